"""How well nuclei match the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Matching:
    """Nuclei of one or many images against the truth, matched where their IoU is above a half.

    Above a half a nucleus can match only one other, so no choice is involved (Kirillov et al., *Panoptic
    Segmentation*).

    Attributes
    ----------
    found : int
        Matched nuclei.
    missed : int
        Nuclei of the truth without a match.
    false : int
        Found nuclei without a match.
    overlap : float
        Sum of the IoU of matched pairs.
    """

    found: int = 0
    missed: int = 0
    false: int = 0
    overlap: float = 0.0

    def __add__(self, other: Matching) -> Matching:
        """Pool two matchings."""
        return Matching(
            self.found + other.found, self.missed + other.missed, self.false + other.false, self.overlap + other.overlap
        )

    @property
    def f1(self) -> float:
        """2 found / (2 found + missed + false); NaN where there is nothing to find and nothing found."""
        total = 2 * self.found + self.missed + self.false
        return 2 * self.found / total if total else float("nan")

    @property
    def panoptic_quality(self) -> float:
        """Mean IoU of the matches times F1; NaN where there is nothing."""
        total = self.found + (self.missed + self.false) / 2
        return self.overlap / total if total else float("nan")


def match_nuclei(truth: NDArray[Any], found: NDArray[Any]) -> Matching:
    """Match two instance maps.

    Parameters
    ----------
    truth, found : array of int, (Y, X)
        0 outside; ids needn't be consecutive.

    Returns
    -------
    Matching
    """
    true_areas, found_areas = np.bincount(truth.ravel()), np.bincount(found.ravel())
    true_areas[0] = found_areas[0] = 0
    both = (truth > 0) & (found > 0)
    keys, shared = np.unique(truth[both].astype(np.int64) * len(found_areas) + found[both], return_counts=True)
    union = true_areas[keys // len(found_areas)] + found_areas[keys % len(found_areas)] - shared
    overlap = shared / union
    matched = overlap > 0.5
    count = int(matched.sum())
    return Matching(
        count,
        int(np.count_nonzero(true_areas)) - count,
        int(np.count_nonzero(found_areas)) - count,
        float(overlap[matched].sum()),
    )
