"""Which nuclei belong to one split or join, and where nuclei lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.matching import SMALLEST_PART, Matching
from napari_unetsharp.nuclei.stretches import Runs


@dataclass(frozen=True, eq=False)
class Groups:
    """Nuclei of one map that are several in the other, and their parts.

    Attributes
    ----------
    wholes, parts : array of int64, (parts,)
        Numbers (as in `Matching`) of the nucleus and of one of its parts; sorted by whole.
    areas : array of int64, (parts,)
        Pixels of the whole and all of its parts together; the same for every part of a whole.
    """

    wholes: NDArray[np.int64]
    parts: NDArray[np.int64]
    areas: NDArray[np.int64]

    def each(self) -> Iterator[tuple[int, list[int], int]]:
        """Whole, its parts, and the pixels of all of them."""
        starts = np.flatnonzero(np.diff(self.wholes, prepend=-1))
        for begin, end in pairwise([*starts.tolist(), len(self.wholes)]):
            yield int(self.wholes[begin]), self.parts[begin:end].tolist(), int(self.areas[begin])


def group_nuclei(matching: Matching) -> tuple[Groups, Groups]:
    """Splits of the first map by the second, and joins; by the rules of `Matching.split`.

    Parameters
    ----------
    matching : Matching

    Returns
    -------
    split : Groups
        Wholes are of the first map, parts of the second.
    joined : Groups
        Wholes are of the second map, parts of the first.
    """
    first, second = (matching.truth, matching.true_areas), (matching.found, matching.found_areas)
    split = _groups(*first, *second, matching.shared, matching.split())
    return split, _groups(*second, *first, matching.shared, matching.merged())


def _groups(
    whole: NDArray[np.int64], whole_areas: NDArray[np.int64], part: NDArray[np.int64], part_areas: NDArray[np.int64],
    shared: NDArray[np.int64], divided: NDArray[np.int64],
) -> Groups:  # fmt: skip
    inside = (2 * shared > part_areas[part]) & np.isin(whole, divided)
    whole, part, shared = whole[inside], part[inside], shared[inside]
    largest = np.zeros(len(whole_areas), np.int64)
    np.maximum.at(largest, whole, shared)
    counted = shared >= SMALLEST_PART * largest[whole]
    whole, part, shared = whole[counted], part[counted], shared[counted]
    areas = whole_areas.copy()
    np.add.at(areas, whole, part_areas[part] - shared)
    order = np.lexsort((part, whole))
    return Groups(whole[order], part[order], areas[whole[order]])


def boxes_of(runs: Runs, ids: NDArray[Any]) -> NDArray[np.int64]:
    """Smallest box around each nucleus.

    Parameters
    ----------
    runs : Runs
    ids : array of int, (nuclei,)
        All ids of `runs`, in any order.

    Returns
    -------
    array of int64, (nuclei, 4)
        Top, left, bottom, right in the order of `ids`, the last ones left out.
    """
    if not len(ids):
        return np.zeros((0, 4), np.int64)
    first = runs.first
    low = [np.minimum.reduceat(values, first) for values in (runs.row, runs.start)]
    high = [np.maximum.reduceat(values, first) for values in (runs.row + 1, runs.stop)]
    boxes = np.stack([*low, *high], 1)
    return np.asarray(boxes[np.searchsorted(runs.ids, ids)])
