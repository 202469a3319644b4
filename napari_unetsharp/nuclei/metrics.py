"""How well nuclei match the truth: PQ, AJI, F1, AP, pixel IoU and Dice, pooled and as means over images."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.nuclei.matching import match_nuclei

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""IoU from which nuclei match, for F1 and AP."""

METRICS = (
    "pq", "aji", *(f"f1_{100 * value:.0f}" for value in THRESHOLDS), *(f"ap_{100 * value:.0f}" for value in THRESHOLDS),
    "iou", "dice",
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """What is counted in one image; the sum of many pools their nuclei and pixels.

    Attributes
    ----------
    nuclei, results : int
        Nuclei of the truth and of the result.
    matched : tuple of int
        Pairs of one each with an IoU of at least 0.5, 0.6, 0.7, 0.8, 0.9 (see `Matching.matches`).
    above_half : int
        Pairs with an IoU above 0.5, which is PQ's rule; differs from the first of `matched` only where an IoU is 0.5.
    overlap : float
        Sum of the IoU of those.
    split, merged : int
        Nuclei of the truth that were cut apart, and result nuclei that join several (see `Matching.split`).
    shared_area, united_area : int
        Numerator and denominator of AJI, in pixels (see `Matching.aggregated`).
    shared_pixels, true_pixels, result_pixels : int
        Pixels in both masks, in that of the truth, and in that of the result.
    """

    nuclei: int = 0
    results: int = 0
    matched: tuple[int, ...] = (0,) * len(THRESHOLDS)
    above_half: int = 0
    overlap: float = 0.0
    split: int = 0
    merged: int = 0
    shared_area: int = 0
    united_area: int = 0
    shared_pixels: int = 0
    true_pixels: int = 0
    result_pixels: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Pool."""
        values = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        values["matched"] = tuple(mine + theirs for mine, theirs in zip(self.matched, other.matched, strict=True))
        return Counts(**values)

    @property
    def found(self) -> int:
        """Nuclei of the truth with a match (IoU of at least 0.5)."""
        return self.matched[0]

    @property
    def missed(self) -> int:
        """Nuclei of the truth without one."""
        return self.nuclei - self.found

    @property
    def false(self) -> int:
        """Result nuclei without one."""
        return self.results - self.found

    def metrics(self) -> dict[str, float]:
        """All of `METRICS`, 0 to 1; NaN where there is nothing to find and nothing found.

        With TP matched pairs, FN and FP nuclei of truth and result without a match:

        - pq: sum of the IoU of the matches / (TP + FP/2 + FN/2), matched above 0.5 (Kirillov et al. 2019)
        - aji: aggregated Jaccard index (Kumar et al. 2017)
        - f1_T: 2 TP / (2 TP + FP + FN), matched from T on
        - ap_T: TP / (TP + FP + FN), matched from T on ("accuracy" in StarDist, AP in Cellpose; not COCO's AP)
        - iou, dice: of the pixels, |A and B| / |A or B| and 2 |A and B| / (|A| + |B|)
        """
        total = self.nuclei + self.results
        pixels = self.true_pixels + self.result_pixels
        f1 = [_ratio(2 * count, total) for count in self.matched]
        ap = [_ratio(count, total - count) for count in self.matched]
        values = (
            _ratio(self.overlap, total / 2), _ratio(self.shared_area, self.united_area), *f1, *ap,
            _ratio(self.shared_pixels, pixels - self.shared_pixels), _ratio(2 * self.shared_pixels, pixels),
        )  # fmt: skip
        return dict(zip(METRICS, values, strict=True))


@dataclass(frozen=True)
class Scores:
    """Counts and metrics of one or many images; the sum of two is that of their images together.

    Attributes
    ----------
    counts : Counts
        Pooled.
    totals : tuple of float
        Sum over images of each of `METRICS`.
    images : int
        All of them.
    left_out : int
        Those without a nucleus in truth and result: they have no metrics, so the means leave them out.
    seconds : float
        What it took.
    """

    counts: Counts = Counts()
    totals: tuple[float, ...] = (0.0,) * len(METRICS)
    images: int = 0
    left_out: int = 0
    seconds: float = 0.0

    def __add__(self, other: Scores) -> Scores:
        """Both together."""
        totals = tuple(mine + theirs for mine, theirs in zip(self.totals, other.totals, strict=True))
        return Scores(
            self.counts + other.counts, totals, self.images + other.images, self.left_out + other.left_out,
            self.seconds + other.seconds,
        )  # fmt: skip

    def means(self) -> dict[str, float]:
        """Each of `METRICS` as the mean over images; NaN where all were left out."""
        count = self.images - self.left_out
        return {name: _ratio(total, count) for name, total in zip(METRICS, self.totals, strict=True)}

    def pooled(self) -> dict[str, float]:
        """Each of `METRICS` over all nuclei or pixels at once; NaN where there are none."""
        return self.counts.metrics()

    def as_dict(self) -> dict[str, float | int | None]:
        """One row for JSON: means by name, pooled values as ``NAME_pooled``, counts and seconds; None for NaN."""
        values = self.means() | {f"{name}_pooled": value for name, value in self.pooled().items()}
        counts = {name: getattr(self.counts, name) for name in ("found", "missed", "false", "split", "merged")}
        return {name: None if math.isnan(value) else value for name, value in values.items()} | counts | {
            "nuclei": self.counts.nuclei, "images": self.images, "left_out": self.left_out,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


def score_nuclei(
    truth: NDArray[Any], found: NDArray[Any], mask: NDArray[np.bool_] | None = None, seconds: float = 0.0
) -> Scores:
    """Measure the nuclei of one image.

    Parameters
    ----------
    truth, found : array of int, (Y, X)
        Instance maps: 0 and below is outside; ids needn't be consecutive.
    mask : array of bool, (Y, X), optional
        Pixels taken for nuclei, for pixel IoU and Dice; those of `found` by default.
    seconds : float
        What the result took.

    Returns
    -------
    Scores

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    compared = match_nuclei(truth, found)
    real, mask = truth > 0, found > 0 if mask is None else mask
    if mask.shape != truth.shape:
        raise ShapeError(f"a mask of shape {mask.shape} doesn't fit a truth of shape {truth.shape}; give equal ones")
    iou = compared.iou
    counts = Counts(
        len(compared.true_areas), len(compared.found_areas),
        tuple(len(compared.matches(threshold)) for threshold in THRESHOLDS),
        int(np.count_nonzero(iou > 0.5)), float(iou[iou > 0.5].sum()), len(compared.split()), len(compared.merged()),
        *compared.aggregated(), *(int(np.count_nonzero(pixels)) for pixels in (mask & real, real, mask)),
    )  # fmt: skip
    if not counts.nuclei and not counts.results:
        return Scores(counts, images=1, left_out=1, seconds=seconds)
    metrics = counts.metrics()
    return Scores(counts, tuple(0.0 if math.isnan(metrics[name]) else metrics[name] for name in METRICS), 1, 0, seconds)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
