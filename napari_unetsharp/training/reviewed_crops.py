"""Batches of crops from reviewed pixels, with a weight per pixel, and old examples among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetsharp.inference.scaling import magnification
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.training.augment import random_crop
from napari_unetsharp.training.crops import cut_ahead, stacked_images
from napari_unetsharp.training.looks import vary_look
from napari_unetsharp.training.quality import looked_at
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.targets import known_pixels, nuclei_without_seams, targets

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Images, targets, weights (0 where nobody looked), and 1 for each that is an old example."""

ON_NUCLEI = 0.75
"""Share of the crops that are cut around a reviewed nucleus; the others lie around any reviewed pixel."""


@dataclass(frozen=True)
class CropSettings:
    """How crops are cut and mixed.

    Attributes
    ----------
    batch, crop : int
        Crops per batch, and their side in pixels.
    old : float
        Share of each batch that is old examples, rounded.
    smallest, largest : float
        Range of magnifications around the model's own scale.
    bend : float
        Share of crops that are turned by any angle and bent.
    look : float
        Share of crops of the samples that get another stain, brightness, blur or noise.
    """

    batch: int = 8
    crop: int = 96
    old: float = 0.375
    smallest: float = 0.8
    largest: float = 1.25
    bend: float = 0.2
    look: float = 0.7


@dataclass(frozen=True)
class _Picture:
    """A sample in memory: pixels of 0..1, and label and trust in one map (twice the label, plus one if reviewed)."""

    pixels: NDArray[np.float16]
    code: NDArray[np.int32]
    centres: NDArray[np.intp]
    seen: NDArray[np.intp]
    factor: float


class ReviewedCrops:
    """All samples in memory, and batches of crops from them.

    Parameters
    ----------
    samples, old : list of ReviewedSample
        To learn from, and against forgetting; in the channels of the network.
    settings : CropSettings
    metadata : CheckpointMetadata
        Its intensity scales the pixels, its nucleus size the nuclei.
    extras : tuple of str
        Channels of the heads beside the classes.
    """

    def __init__(
        self,
        samples: list[ReviewedSample],
        old: list[ReviewedSample],
        settings: CropSettings,
        metadata: CheckpointMetadata,
        extras: tuple[str, ...] = (),
    ) -> None:
        self.settings, self.intensity, self.extras = settings, metadata.intensity, extras
        self._pictures = [_picture(sample, metadata, settings) for sample in samples if sample.reviewed.any()]
        self._old = [_picture(sample, metadata, settings) for sample in old]
        nuclei = np.array([max(1, len(picture.centres)) for picture in self._pictures], float)
        self._shares = nuclei / nuclei.sum()

    @property
    def old_places(self) -> int:
        """How many crops of each batch are old examples; they come last."""
        return round(self.settings.old * self.settings.batch) if self._old else 0

    def batches(self, seed: tuple[int, ...], count: int) -> Iterator[Batch]:
        """Cut so many batches.

        Parameters
        ----------
        seed : tuple of int
            The same seed gives the same crops, however many threads cut them.
        count : int

        Yields
        ------
        images : Tensor, (B, C, crop, crop), channels last
        targets, weights : Tensor, (B, 1 + extras, crop, crop)
        old : Tensor, (B,)
        """
        old = torch.zeros(self.settings.batch)
        old[self.settings.batch - self.old_places :] = 1
        for crops in cut_ahead(self.crop, seed, count, self.settings.batch):
            truth, weight = (torch.from_numpy(np.stack([crop[place] for crop in crops])) for place in (1, 2))
            yield stacked_images([crop[0] for crop in crops]), truth, weight, old

    def crop(self, seed: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """One crop; the last number of the seed is its place in the batch, which says whether it is an old example.

        Returns
        -------
        pixels : array of float32, (crop, crop, C)
            As the network sees them.
        targets, weights : array of float32, (1 + extras, crop, crop)
        """
        rng, settings = np.random.default_rng(seed), self.settings
        is_old = seed[-1] >= settings.batch - self.old_places
        picture = self._old_picture(rng) if is_old else self._sample_picture(rng)
        pixels, code = _cut(picture, settings, rng)
        labels, reviewed = code >> 1, (code & 1) > 0
        pixels = pixels.astype(np.float32)
        if is_old or rng.random() < settings.look:
            pixels = vary_look(pixels, rng, nuclei_without_seams(labels))
        mean, deviation = (np.array(values, np.float32) for values in (self.intensity.mean, self.intensity.deviation))
        return (
            np.asarray((pixels - mean) / deviation, np.float32),
            targets(labels, self.extras),
            known_pixels(labels, reviewed, self.extras),
        )

    def _sample_picture(self, rng: np.random.Generator) -> _Picture:
        return self._pictures[int(rng.choice(len(self._pictures), p=self._shares))]

    def _old_picture(self, rng: np.random.Generator) -> _Picture:
        return self._old[int(rng.integers(len(self._old)))]


def _picture(sample: ReviewedSample, metadata: CheckpointMetadata, settings: CropSettings) -> _Picture:
    """What crops can reach of a sample, in the brightness of the whole plane."""
    wanted, diameter = metadata.nucleus_size, sample.diameter
    factor = magnification(wanted, diameter) if wanted and diameter else 1.0
    part = looked_at(sample, int(settings.crop / (factor * settings.smallest)) + 2).slices
    plain = replace(metadata.intensity, mean=(0.0,), deviation=(1.0,))
    pixels = plain.apply(sample.pixels[part], plain.limits(sample.pixels)).astype(np.float16)
    labels, reviewed = sample.labels[part], sample.reviewed[part]
    ids, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape) + (0 if ids[0] == 0 else 1)
    code = (numbers * 2 + reviewed).astype(np.int32)
    return _Picture(pixels, code, _middles(labels, sample.nuclei), np.flatnonzero(reviewed), factor)


def _middles(labels: NDArray[np.int32], nuclei: NDArray[np.int32]) -> NDArray[np.intp]:
    """A pixel of each of these nuclei, half its pixels before it, as flat indices."""
    flat = labels.ravel()
    order = np.argsort(flat, kind="stable")
    first, last = np.searchsorted(flat[order], nuclei), np.searchsorted(flat[order], nuclei, "right")
    return np.asarray(order[(first + last) // 2])


def _cut(
    picture: _Picture, settings: CropSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A crop that holds at least one pixel that counts, at a drawn scale."""
    drawn = float(np.exp(rng.uniform(np.log(settings.smallest), np.log(settings.largest))))
    scale = picture.factor * drawn
    side = max(8, round(settings.crop / scale))
    places = picture.centres if len(picture.centres) and rng.random() < ON_NUCLEI else picture.seen
    anchor = np.unravel_index(int(places[int(rng.integers(len(places)))]), picture.code.shape)
    window = tuple(
        _span(int(place), side, length, rng) for place, length in zip(anchor, picture.code.shape, strict=True)
    )
    return random_crop(picture.pixels[window], picture.code[window], settings.crop, rng, (scale, scale), settings.bend)


def _span(place: int, side: int, length: int, rng: np.random.Generator) -> slice:
    """So many pixels that hold the place, within the image; all of it where it is shorter."""
    if length <= side:
        return slice(0, length)
    low, high = max(0, place - side + 1), min(place, length - side)
    return slice(start := int(rng.integers(low, high + 1)), start + side)
