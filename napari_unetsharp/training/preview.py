"""A patch of reviewed tissue, shown again after each epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.training.reviewed_sample import ReviewedSample

SIDE = 256
"""Of the patch, in pixels."""


class Preview:
    """What was predicted on one patch, before and now.

    Parameters
    ----------
    samples : list of ReviewedSample
        The patch lies on the one with the most nuclei, where most of them are.
    node : str
        The output that is shown.
    """

    def __init__(self, samples: list[ReviewedSample], node: str) -> None:
        self.sample = max(samples, key=lambda sample: len(sample.nuclei))
        self.node, self.region = node, _densest(self.sample)
        self._planes: dict[str, NDArray[Any]] = {}

    def before(
        self, sample: ReviewedSample, node: str, probability: NDArray[Any], labels: NDArray[np.int32]
    ) -> None:  # fmt: skip
        """Take what the parent predicts; see `quality.Shown`."""
        self._take("before", sample, node, probability, labels)

    def after(self, sample: ReviewedSample, node: str, probability: NDArray[Any], labels: NDArray[np.int32]) -> None:
        """Take what the tuned model predicts."""
        self._take("", sample, node, probability, labels)

    def _take(
        self, when: str, sample: ReviewedSample, node: str, probability: NDArray[Any], labels: NDArray[np.int32]
    ) -> None:
        if sample is self.sample and node == self.node:
            self._planes[f"probability_{when}".rstrip("_")] = probability[self.region.slices].astype(np.float16)
            self._planes[f"labels_{when}".rstrip("_")] = labels[self.region.slices].copy()

    def save(self, path: Path) -> Path:
        """Write the patch, beside and renamed.

        ``pixels``, ``truth``, ``reviewed``, ``probability``, ``labels``, ``probability_before``, ``labels_before``
        (as far as they were predicted), ``box`` (top, left, bottom, right) and ``name`` of the sample.

        Returns
        -------
        Path
        """
        part, region = self.region.slices, self.region
        known = {
            "pixels": self.sample.pixels[part], "truth": self.sample.labels[part],
            "reviewed": self.sample.reviewed[part], "name": np.array(self.sample.name),
            "box": np.array([region.top, region.left, region.top + region.height, region.left + region.width]),
        }  # fmt: skip
        with written_beside(path) as beside, beside.open("wb") as file:
            np.savez(file, **known, **self._planes)  # type: ignore[arg-type]
        return path


def _densest(sample: ReviewedSample) -> Region:
    """Around the reviewed pixel with the most reviewed ones around it."""
    seen = np.pad(sample.reviewed.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(SIDE, length) for length in sample.reviewed.shape)
    sums = seen[height:, width:] - seen[:-height, width:] - seen[height:, :-width] + seen[:-height, :-width]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return Region(int(top), int(left), height, width)
