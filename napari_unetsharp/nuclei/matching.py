"""Which nuclei of a result match which of the truth, which were cut apart and which joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SettingsError, ShapeError

SMALLEST_PART = 0.1
"""A piece of less than this share of the largest piece is debris: it neither splits nor merges anything."""


@dataclass(frozen=True)
class Matching:
    """Areas of the nuclei of two instance maps, and the pixels that they share.

    Nuclei are numbered from 0 in the order in which their first pixels come, row by row, so that nothing here
    depends on their ids.

    Attributes
    ----------
    true_ids, found_ids : array, (nuclei of that map,)
        Ids by number, as in the maps.
    true_areas, found_areas : array of int64, (nuclei of that map,)
        Pixels by number.
    truth, found : array of int64, (pairs,)
        Numbers of the two nuclei of each pair that shares at least one pixel.
    shared : array of int64, (pairs,)
        Pixels that the pair shares.
    """

    true_ids: NDArray[Any]
    found_ids: NDArray[Any]
    true_areas: NDArray[np.int64]
    found_areas: NDArray[np.int64]
    truth: NDArray[np.int64]
    found: NDArray[np.int64]
    shared: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """Pixels of either nucleus, by pair."""
        return np.asarray(self.true_areas[self.truth] + self.found_areas[self.found] - self.shared)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Shared pixels over those of either, 0 to 1, by pair.

        Equal ratios give equal floats (a division is rounded correctly), so comparing with 0.6 is exact.
        """
        return np.asarray(self.shared / self.union)

    def matches(self, threshold: float = 0.5) -> NDArray[np.int64]:
        """Pairs with an IoU of at least the threshold, each nucleus in one pair at most, as many as possible.

        Above a half no choice is involved: two nuclei of one map that both had such an IoU with a third would have
        to share pixels (Kirillov et al., *Panoptic Segmentation*, 2019). At exactly a half a nucleus can meet two
        others, but only if these are its two halves, and then they meet nobody else: whichever is taken, the number
        of matches is the largest possible and their IoU the same. The first is taken.

        Parameters
        ----------
        threshold : float
            0.5 to 1.

        Returns
        -------
        array of int64, (matches,)
            Places in `truth`, `found` and `shared`.

        Raises
        ------
        SettingsError
            If the threshold is outside 0.5..1.
        """
        if not 0.5 <= threshold <= 1:
            raise SettingsError(f"nuclei match uniquely at an IoU of 0.5 to 1 only; got a threshold of {threshold}")
        pairs = np.flatnonzero(self.iou >= threshold)
        for side in (self.truth, self.found):
            pairs = pairs[np.sort(np.unique(side[pairs], return_index=True)[1])]
        return pairs

    def split(self) -> NDArray[np.int64]:
        """Numbers of the nuclei of the truth that the result cut apart.

        Two or more result nuclei lie in such a nucleus, each with more than half of its own area, and with at
        least a tenth (`SMALLEST_PART`) of what the largest of them covers there. A split nucleus may match as well.
        """
        return _divided(self.truth, self.found, self.shared, self.true_areas, self.found_areas)

    def merged(self) -> NDArray[np.int64]:
        """Numbers of the result nuclei that join nuclei of the truth: `split` with the two maps exchanged."""
        return _divided(self.found, self.truth, self.shared, self.found_areas, self.true_areas)

    def aggregated(self) -> tuple[int, int]:
        """Numerator and denominator of the aggregated Jaccard index, in pixels.

        Each nucleus of the truth takes the result nucleus of the largest IoU with it, which others may take too;
        shared pixels and unions are summed, then the areas of all result nuclei that nobody took are added to the
        union (Kumar et al., *A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
        Pathology*, IEEE TMI 2017, Algorithm 1). Among equal IoU the larger overlap is taken, then the first.
        """
        order = np.lexsort((self.found, -self.shared, -self.iou, self.truth))
        best = order[np.unique(self.truth[order], return_index=True)[1]]
        alone, unused = np.ones(len(self.true_areas), bool), np.ones(len(self.found_areas), bool)
        alone[self.truth] = False
        unused[self.found[best]] = False
        union = self.union[best].sum() + self.true_areas[alone].sum() + self.found_areas[unused].sum()
        return int(self.shared[best].sum()), int(union)


def match_nuclei(truth: NDArray[Any], found: NDArray[Any]) -> Matching:
    """Compare two instance maps, in one pass over the pixels.

    Parameters
    ----------
    truth, found : array of int, (Y, X)
        0 and below is outside; ids needn't be consecutive.

    Returns
    -------
    Matching

    Raises
    ------
    ShapeError
        If the two differ in shape.
    """
    if truth.shape != found.shape:
        raise ShapeError(f"instance maps of shape {truth.shape} and {found.shape} can't be compared; give equal ones")
    true_runs, found_runs, lengths = _runs(truth.ravel(), found.ravel())
    true_runs, true_ids = _numbered(true_runs)
    found_runs, found_ids = _numbered(found_runs)
    both = (true_runs >= 0) & (found_runs >= 0)
    width = max(1, len(found_ids))
    pairs, places = np.unique(true_runs[both] * width + found_runs[both], return_inverse=True)
    return Matching(
        true_ids, found_ids, _sums(true_runs, lengths, len(true_ids)), _sums(found_runs, lengths, len(found_ids)),
        pairs // width, pairs % width, _sums(places, lengths[both], len(pairs)),
    )  # fmt: skip


def _runs(truth: NDArray[Any], found: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Ids of both maps and the length, by stretch of pixels in which neither changes.

    There are ten times fewer of them than pixels, and everything after works on them.
    """
    if not truth.size:
        return truth, found, np.zeros(0, np.int64)
    starts = np.flatnonzero((truth[1:] != truth[:-1]) | (found[1:] != found[:-1])) + 1
    starts = np.concatenate([[0], starts])
    return truth[starts], found[starts], np.diff(starts, append=truth.size)


def _numbered(ids: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Numbers instead of ids (-1 outside), in order of appearance, and the ids by number."""
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    order = order[unique[order] > 0]
    numbers = np.full(len(unique), -1, np.int64)
    numbers[order] = np.arange(len(order))
    return numbers[inverse], unique[order]


def _sums(places: NDArray[np.int64], lengths: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    inside = places >= 0
    return np.bincount(places[inside], weights=lengths[inside], minlength=count).astype(np.int64)


def _divided(
    whole: NDArray[np.int64], part: NDArray[np.int64], shared: NDArray[np.int64],
    whole_areas: NDArray[np.int64], part_areas: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    inside = 2 * shared > part_areas[part]
    whole, shared = whole[inside], shared[inside]
    largest = np.zeros(len(whole_areas), np.int64)
    np.maximum.at(largest, whole, shared)
    counted = shared >= SMALLEST_PART * largest[whole]
    return np.flatnonzero(np.bincount(whole[counted], minlength=len(whole_areas)) >= 2)
