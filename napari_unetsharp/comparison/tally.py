"""What each nucleus counts in a comparison with the truth: the one place from which numbers and intervals come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.outline_distance import outline_distances
from napari_unetsharp.nuclei.matching import Matching, match_nuclei
from napari_unetsharp.nuclei.metrics import Scores, score_nuclei

COLUMNS = (
    "true", "matched", "results", "overlap", "shared_area", "united_area", "shared_pixels", "true_pixels",
    "result_pixels", "boundary_px", "boundary_um",
)  # fmt: skip
"""What is summed over nuclei; all numbers of `measures` are ratios of such sums."""

_AT = {name: place for place, name in enumerate(COLUMNS)}


@dataclass(frozen=True, eq=False)
class Tally:
    """One candidate against the truth of one or many images.

    Attributes
    ----------
    scores : Scores
        As ``unetsharp evaluate`` counts them.
    true : array of float64, (true nuclei, columns)
        What each nucleus of the truth and the one that matches it count.
    false : array of float64, (false nuclei, columns)
        What the others count.
    loose_pixels : int
        Pixels at the threshold that belong to no nucleus at all.
    in_um : bool
        Whether the size of a pixel is known.
    """

    scores: Scores
    true: NDArray[np.float64]
    false: NDArray[np.float64]
    loose_pixels: int
    in_um: bool

    @classmethod
    def pooled(cls, tallies: Sequence[Tally]) -> Tally:
        """Several images together, in their order."""
        return cls(
            sum((tally.scores for tally in tallies), Scores()), np.concatenate([tally.true for tally in tallies]),
            np.concatenate([tally.false for tally in tallies]), sum(tally.loose_pixels for tally in tallies),
            all(tally.in_um for tally in tallies),
        )  # fmt: skip

    def measures(self, sums: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
        """Ratios of sums over nuclei; NaN where there is nothing to divide by.

        Parameters
        ----------
        sums : array, (..., columns), optional
            Those of the nuclei as they are by default.

        Returns
        -------
        dict of str to array, (...)
            dice, iou, f1_50, pq, aji, found and precise (shares of the true and of the result's nuclei that match),
            false (how many), boundary_px, boundary_um.
        """
        sums = self.true.sum(0) + self.false.sum(0) if sums is None else sums
        of = {name: sums[..., place] for name, place in _AT.items()}
        both = of["true"] + of["results"]
        pixels = of["true_pixels"] + of["result_pixels"] + self.loose_pixels
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "dice": 2 * of["shared_pixels"] / pixels,
                "iou": of["shared_pixels"] / (pixels - of["shared_pixels"]),
                "f1_50": 2 * of["matched"] / both,
                "pq": 2 * of["overlap"] / both,
                "aji": of["shared_area"] / of["united_area"],
                "found": of["matched"] / of["true"],
                "precise": of["matched"] / of["results"],
                "false": of["results"] - of["matched"],
                "boundary_px": of["boundary_px"] / of["matched"],
                "boundary_um": of["boundary_um"] / of["matched"] * (1.0 if self.in_um else np.nan),
            }


@dataclass(frozen=True, eq=False)
class Seen:
    """Truth and result where a person has looked.

    Attributes
    ----------
    truth, found : array of int, (Y, X)
        Only nuclei that lie mostly where somebody looked; of the result, those that match such a nucleus as well.
    mask : array of bool, (Y, X)
        Pixels of the result, there.
    matching : Matching
    """

    truth: NDArray[Any]
    found: NDArray[Any]
    mask: NDArray[np.bool_]
    matching: Matching

    @classmethod
    def of(cls, candidate: Candidate, truth: Candidate) -> Seen:
        """What of a candidate can be compared with a truth.

        Raises
        ------
        ShapeError
            If the shapes differ.
        """
        mask = candidate.labels > 0 if candidate.mask is None else candidate.mask
        matching = match_nuclei(truth.labels, candidate.labels)
        if truth.seen is None:
            return cls(truth.labels, candidate.labels, mask, matching)
        real = _mostly(truth.labels, matching.true_ids, matching.true_areas, truth.seen)
        known = _mostly(candidate.labels, matching.found_ids, matching.found_areas, truth.seen)
        pairs = matching.matches()
        known[matching.found[pairs]] = real[matching.truth[pairs]]
        kept = np.where(np.isin(truth.labels, matching.true_ids[real]), truth.labels, 0)
        found = np.where(np.isin(candidate.labels, matching.found_ids[known]), candidate.labels, 0)
        return cls(kept, found, mask & (truth.seen | (kept > 0)), match_nuclei(kept, found))


def tally(seen: Seen, spacing_um: tuple[float, float] | None = None) -> Tally:
    """Count.

    Parameters
    ----------
    seen : Seen
    spacing_um : tuple of float, optional
        Height and width of a pixel in micrometres.

    Returns
    -------
    Tally
    """
    of, matching = seen.matching, seen.matching
    count, pairs = len(of.true_ids), matching.matches()
    unit = np.full(len(of.found_ids), -1, np.int64)
    unit[of.found[pairs]] = of.truth[pairs]
    alone = np.flatnonzero(unit < 0)
    unit[alone] = count + np.arange(len(alone))
    columns = np.zeros((count + len(alone), len(COLUMNS)))
    put = {name: columns[:, place] for name, place in _AT.items()}
    put["true"][:count] = 1
    put["matched"][of.truth[pairs]] = 1
    put["results"][:] = np.bincount(unit, minlength=len(columns))
    above = of.iou > 0.5
    put["overlap"][of.truth[above]] = of.iou[above]
    _put_aji(put, matching, unit)
    loose = _put_pixels(put, seen, unit)
    _put_boundary(put, seen, pairs, spacing_um)
    scores = score_nuclei(seen.truth, seen.found, seen.mask)
    return Tally(scores, columns[:count], columns[count:], loose, spacing_um is not None)


def _put_aji(put: dict[str, NDArray[np.float64]], of: Matching, unit: NDArray[np.int64]) -> None:
    """By the rule of `Matching.aggregated`."""
    order = np.lexsort((of.found, -of.shared, -of.iou, of.truth))
    best = order[np.unique(of.truth[order], return_index=True)[1]]
    put["united_area"][: len(of.true_ids)] = of.true_areas
    put["shared_area"][of.truth[best]] = of.shared[best]
    put["united_area"][of.truth[best]] = of.union[best]
    unused = np.setdiff1d(np.arange(len(of.found_ids)), of.found[best])
    np.add.at(put["united_area"], unit[unused], of.found_areas[unused])


def _put_pixels(put: dict[str, NDArray[np.float64]], seen: Seen, unit: NDArray[np.int64]) -> int:
    """A pixel of the result counts for the true nucleus that it lies in, else for its own."""
    of, count, total = seen.matching, len(seen.matching.true_ids), len(put["true"])
    inside, outside = seen.mask & (seen.truth > 0), seen.mask & (seen.truth <= 0)
    shared = np.bincount(_numbers(seen.truth[inside], of.true_ids), minlength=total)
    own = seen.found[outside]
    results = np.bincount(unit[_numbers(own[own > 0], of.found_ids)], minlength=total)
    put["true_pixels"][:count] = of.true_areas
    put["shared_pixels"][:], put["result_pixels"][:] = shared, shared + results
    return int(np.count_nonzero(own <= 0))


def _put_boundary(
    put: dict[str, NDArray[np.float64]], seen: Seen, pairs: NDArray[np.int64], spacing: tuple[float, float] | None
) -> None:
    of = seen.matching
    ids = np.stack([of.true_ids[of.truth[pairs]], of.found_ids[of.found[pairs]]], 1).astype(np.int64)
    distances = outline_distances(seen.truth, seen.found, ids)
    put["boundary_px"][of.truth[pairs]] = distances
    if spacing is None:
        return
    square = abs(spacing[0] - spacing[1]) <= 1e-9 * max(spacing)
    micrometres = distances * spacing[0] if square else outline_distances(seen.truth, seen.found, ids, spacing)
    put["boundary_um"][of.truth[pairs]] = micrometres


def _numbers(ids: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int64]:
    """Number of each id in the order of `known`, which holds all of them."""
    order = np.argsort(known)
    return np.asarray(order[np.searchsorted(known[order], ids)], np.int64)


def _mostly(
    labels: NDArray[Any], ids: NDArray[Any], areas: NDArray[np.int64], inside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether more than half of each nucleus lies inside."""
    within = labels[inside]
    counts = np.bincount(_numbers(within[within > 0], ids), minlength=len(ids))
    return np.asarray(2 * counts > areas)
