"""An image of which somebody looked at some pixels: what fine-tuning learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import DatasetError
from napari_unetsharp.images.image import adapt_channels, check_finite
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.reviewed import reviewed_pixels
from napari_unetsharp.nuclei.states import State

SNAPSHOT = ".npz"
"""Ending of the files that `ReviewedSample.save` writes."""


@dataclass(frozen=True, eq=False)
class ReviewedSample:
    """A plane, its labels, and the pixels that a person vouched for.

    Attributes
    ----------
    name : str
    pixels : array, (Y, X, C)
    labels : array of int32, (Y, X)
        0 outside; where nobody looked, whatever was proposed.
    reviewed : array of bool, (Y, X)
        Pixels whose label can be trusted; all others teach nothing.
    edited : frozenset of int
        Nuclei whose outline a person drew or changed. The others carry the outline of the model that proposed them.
    group : str
        Samples of one group never end up on both sides of a split.
    source : str
        Where it is from, for a person.
    part : "auto", "train" or "aside"
        Whether it is to be kept aside for testing; "auto" leaves the choice to `kept_aside.split`.
    """

    name: str
    pixels: NDArray[Any]
    labels: NDArray[np.int32]
    reviewed: NDArray[np.bool_]
    edited: frozenset[int] = frozenset()
    group: str = ""
    source: str = ""
    part: str = field(default="auto")

    @classmethod
    def of_findings(cls, name: str, pixels: NDArray[Any], findings: Findings, source: str = "") -> ReviewedSample:
        """What a review knows: completed views and looked-at nuclei; see `reviewed.reviewed_pixels`."""
        edited = (id_ for id_, nucleus in findings.nuclei.items() if nucleus.state is State.CHANGED)
        return cls(
            name, _three(pixels), findings.labels.copy(), reviewed_pixels(findings), frozenset(edited), name, source
        )

    @classmethod
    def of_pair(
        cls, name: str, pixels: NDArray[Any], labels: NDArray[Any], box: Box | None = None, source: str = ""
    ) -> ReviewedSample:
        """A corrected mask: all of it, or a rectangle, counts as reviewed and every nucleus in it as drawn by hand.

        Parameters
        ----------
        name : str
        pixels : array, (Y, X, C) or (Y, X)
        labels : array of int, (Y, X)
            -1 and below: nobody knows what is there.
        box : Box, optional
        source : str

        Raises
        ------
        DatasetError
            If the two differ in size, or the rectangle lies outside.
        """
        pixels, labels = _three(pixels), np.asarray(labels)
        if labels.shape != pixels.shape[:2] or labels.dtype.kind not in "iub":
            raise DatasetError(
                f"sample {name}: labels of shape {labels.shape} and type {labels.dtype} don't fit an image of "
                f"{pixels.shape[:2]}; give whole numbers of the same height and width"
            )
        reviewed = labels >= 0
        if box is not None:
            inside = np.zeros(labels.shape, bool)
            inside[Box(*map(int, box)).grown(0, (int(labels.shape[0]), int(labels.shape[1]))).slices] = True
            reviewed &= inside
        kept = np.where(labels > 0, labels, 0).astype(np.int32)
        return cls(name, pixels, kept, reviewed, frozenset(np.unique(kept[reviewed]).tolist()) - {0}, name, source)

    @cached_property
    def nuclei(self) -> NDArray[np.int32]:
        """Ids of the nuclei that were looked at as a whole, ascending."""
        known = np.setdiff1d(np.unique(self.labels[self.reviewed]), np.unique(self.labels[~self.reviewed]))
        return np.asarray(known[known > 0], np.int32)

    @property
    def edited_nuclei(self) -> int:
        """Number of nuclei with an outline that a person drew or changed."""
        return len(self.edited & set(self.nuclei.tolist()))

    @property
    def share(self) -> float:
        """Part of the pixels that counts, 0 to 1."""
        return float(self.reviewed.mean()) if self.reviewed.size else 0.0

    @property
    def diameter(self) -> float | None:
        """Median diameter in pixels of the nuclei that were looked at; None without any."""
        if not len(self.nuclei):
            return None
        return float(np.sqrt(4 / np.pi * np.median(np.bincount(self.labels.ravel())[self.nuclei])))

    @cached_property
    def sha256(self) -> str:
        """Of everything that teaches: pixels, labels and which of them count."""
        digest = hashlib.sha256(repr((self.pixels.shape, self.pixels.dtype.str)).encode())
        for part in (self.pixels, np.where(self.reviewed, self.labels, -1).astype("<i4")):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def only(self, inside: NDArray[np.bool_], part: str) -> ReviewedSample:
        """The same with fewer reviewed pixels; nuclei that would be cut teach nothing.

        Parameters
        ----------
        inside : array of bool, (Y, X)
        part : str
        """
        cut = np.intersect1d(np.unique(self.labels[inside]), np.unique(self.labels[~inside]))
        whole = inside & ((self.labels == 0) | ~np.isin(self.labels, cut))
        return replace(self, reviewed=self.reviewed & whole, part=part)

    def with_channels(self, channels: int) -> ReviewedSample:
        """Fit the channels of a network.

        Raises
        ------
        ImageError
            If pixels aren't finite, or the channels can't be brought to that number.
        """
        check_finite(self.pixels)
        return replace(self, pixels=np.ascontiguousarray(adapt_channels(self.pixels, channels)[0]))

    def save(self, path: Path) -> Path:
        """Write everything to one file (`SNAPSHOT`), beside and renamed; for another process.

        Returns
        -------
        Path
        """
        words = np.array([self.name, self.group, self.source, self.part])
        with written_beside(path) as beside, beside.open("wb") as file:
            np.savez_compressed(
                file, pixels=self.pixels, labels=self.labels, reviewed=self.reviewed,
                edited=np.array(sorted(self.edited), np.int32), words=words,
            )  # fmt: skip
        return path

    @classmethod
    def load(cls, path: Path) -> ReviewedSample:
        """Inverse of `save`.

        Raises
        ------
        DatasetError
            If it is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                name, group, source, part = (str(word) for word in kept["words"])
                planes = kept["pixels"], kept["labels"].astype(np.int32), kept["reviewed"].astype(bool)
                edited = frozenset(kept["edited"].tolist())
        except Exception as error:  # zip and numpy have many kinds
            raise DatasetError(f"{path} is no sample that was saved for fine-tuning; save it again") from error
        if not planes[0].shape[:2] == planes[1].shape == planes[2].shape:
            raise DatasetError(f"{path} is damaged: its planes differ in size; save it again")
        return cls(name, *planes, edited, group, source, part)


def what_is_missing(samples: Iterable[ReviewedSample]) -> str:
    """What is needed before samples can teach, in one sentence; empty where nothing is.

    Parameters
    ----------
    samples : iterable of ReviewedSample
    """
    samples = list(samples)
    pixels = sum(int(sample.reviewed.sum()) for sample in samples)
    nuclei = sum(len(sample.nuclei) for sample in samples)
    background = sum(int(np.count_nonzero(sample.reviewed & (sample.labels == 0))) for sample in samples)
    if not samples or not pixels:
        return "nothing is reviewed yet: say yes or no to some nuclei, complete a view, or choose a corrected mask"
    if not nuclei:
        return "only background is reviewed: at least one whole nucleus is needed, so say yes to some or add some"
    if not background:
        return "only nuclei are reviewed, no background: complete a view, or give a mask with pixels outside of nuclei"
    return ""


def _three(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
