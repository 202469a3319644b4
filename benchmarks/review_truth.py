"""Which cards are worth a look: what each of them is beside the truth.

An error is a nucleus that matches no true one with an IoU of at least a half, or a true nucleus that none matches and
no wrong one touches (where a wrong one touches it, the two are one error: whoever looks at the one sees the other).
A miss is reachable where a possible miss lies on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.evidence import Evidence
from napari_unetsharp.nuclei.matching import match_nuclei
from napari_unetsharp.nuclei.misses import Misses

TOUCHED = 0.2
"""Share of a missed nucleus that a wrong one covers at least where the two are one error."""


@dataclass(frozen=True)
class Verdicts:
    """The truth about the cards of one image.

    Attributes
    ----------
    wrong : array of bool, (nuclei,)
    miss : array of int, (possible misses,)
        The missed nucleus that each lies on, 0 for none.
    unreachable : int
        Missed nuclei that no card lies on.
    swallowed : int
        Those of them that lie, to a fifth or more, in a nucleus that matches another.
    """

    wrong: NDArray[np.bool_]
    miss: NDArray[np.int64]
    unreachable: int
    swallowed: int

    @property
    def finds(self) -> NDArray[np.bool_]:
        """Whether each card shows an error that no card before it in the list showed, (nuclei + possible misses,)."""
        first = np.zeros(len(self.miss), bool)
        first[np.unique(self.miss, return_index=True)[1]] = True
        return np.concatenate([self.wrong, first & (self.miss > 0)])


def verdicts(evidence: Evidence, misses: Misses, labels: NDArray[Any], truth: NDArray[Any]) -> Verdicts:
    """Compare the cards of one image with its truth; labels are those that the evidence is about."""
    matching = match_nuclei(truth, labels)
    pairs = matching.matches()
    right = matching.found_ids[matching.found[pairs]]
    wrong = ~np.isin(evidence.ids, right)
    missed = np.ones(len(matching.true_ids), bool)
    missed[matching.truth[pairs]] = False
    by_wrong = ~np.isin(matching.found_ids[matching.found], right)
    covered = np.bincount(matching.truth[by_wrong], matching.shared[by_wrong], len(missed))
    missed &= covered < TOUCHED * matching.true_areas
    areas = dict(zip(matching.true_ids.tolist(), matching.true_areas.tolist(), strict=True))
    alone = set(matching.true_ids[missed].tolist())
    miss = np.array([_lies_on(misses, index, truth, areas, alone) for index in range(len(misses))], np.int64)
    lost = alone - set(miss.tolist())
    under = np.bincount(matching.truth[~by_wrong], matching.shared[~by_wrong], len(missed))
    swallowed = set(matching.true_ids[under >= TOUCHED * matching.true_areas].tolist())
    return Verdicts(wrong, miss, len(lost), len(lost & swallowed))


def _lies_on(misses: Misses, index: int, truth: NDArray[Any], areas: dict[int, int], alone: set[int]) -> int:
    """The missed nucleus of which it covers a quarter, or in which half of it lies; 0 for none."""
    top, left, bottom, right = misses.boxes[index]
    ids, shared = np.unique(truth[top:bottom, left:right][misses.masks[index]], return_counts=True)
    for place in np.argsort(-shared):
        number, pixels = int(ids[place]), int(shared[place])
        if number in alone and (4 * pixels >= areas[number] or 2 * pixels >= misses.areas[index]):
            return number
    return 0
