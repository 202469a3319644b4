"""What the views say of each nucleus: one number per kind of evidence against it, 0 where there is none.

A perfect network gives no evidence against any nucleus: its views agree and are sure of every pixel. An odd shape or
size is therefore counted only as far as the maps are unsure (`SURE`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.nuclei.matching import Matching, match_nuclei
from napari_unetsharp.nuclei.territory import Territory

TERMS = (
    "faint", "unstable", "depths", "shallow", "views", "small", "large", "shape", "centres", "parts", "joined",
)  # fmt: skip
"""Names of the evidence, in the order of the columns of `Evidence.terms`."""

SURE = 0.05
"""Mean of 4 p (1 - p) over a nucleus and its rim from which its shape and size count in full."""

SEEN = 0.25
"""IoU from which another depth sees the same nucleus."""

PART = 0.2
"""Share of a nucleus that a part must have to be a nucleus of its own."""

TOP = 0.6
"""Where a nucleus's tops begin, from its mean probability (0) to its largest (1)."""


@dataclass(frozen=True)
class Evidence:
    """Nuclei of a plane and what speaks against each.

    Attributes
    ----------
    level : int
        The depth that they are of.
    ids : array of int64, (n,)
        Ascending.
    areas : array of int64, (n,)
        Pixels.
    boxes : array of int64, (n, 4)
        Top, left, bottom, right; the last two are left out.
    centres : array of float64, (n, 2)
        Y and x of the mean pixel.
    terms : array of float64, (n, len(TERMS))
        Each from 0 (nothing against it) to about 1; those that can't be known are 0.
    sides : array of float64, (n, 2)
        Where the views disagree, from the centre, down and right, in radii.
    seen : dict of int to array of bool, (n,)
        Whether each other depth sees it.
    parts : dict of int to array of int64, (n,)
        In how many nuclei of its own each other depth sees it; 0 and 1 are one.
    partners : dict of int to array of int64, (n,)
        Id of the neighbour with which each other depth sees it as one, or 0.
    matchings : dict of int to Matching
        Pixels that they (as the truth) share with the nuclei of each other depth.
    """

    level: int
    ids: NDArray[np.int64]
    areas: NDArray[np.int64]
    boxes: NDArray[np.int64]
    centres: NDArray[np.float64]
    terms: NDArray[np.float64]
    sides: NDArray[np.float64]
    seen: dict[int, NDArray[np.bool_]]
    parts: dict[int, NDArray[np.int64]]
    partners: dict[int, NDArray[np.int64]]
    matchings: dict[int, Matching]

    def __len__(self) -> int:
        return len(self.ids)

    def term(self, name: str) -> NDArray[np.float64]:
        """A column of `terms`, (n,)."""
        return np.asarray(self.terms[:, TERMS.index(name)])

    def depths(self, index: int) -> tuple[int, ...]:
        """The depths that see a nucleus, its own among them; `index` is its place here."""
        return tuple(sorted({self.level} | {level for level, seen in self.seen.items() if seen[index]}))


def gather(
    maps: Mapping[str, NDArray[Any]], labels: Mapping[int, NDArray[Any]], level: int, doubt: NDArray[Any] | None = None
) -> Evidence:
    """Collect the evidence on every nucleus of a level.

    Parameters
    ----------
    maps : mapping of str to array, (Y, X), floating, 0..1
        Probability by branch; x0`level` is needed, the others are looked at where they are.
    labels : mapping of int to array of int, (Y, X)
        By level, those that were labelled; ids needn't be consecutive, nor the same in different levels.
    level : int
        The one whose nuclei are judged.
    doubt : array, (Y, X), floating, 0..1, optional
        Where the views disagree, each at its own scale (`doubt_map`).

    Returns
    -------
    Evidence
    """
    pixels = Territory.of(labels[level])
    columns = dict.fromkeys(TERMS, np.zeros(pixels.count))
    values = np.asarray(maps[f"x0{level}"], np.float32)
    columns |= _certainty(pixels, values)
    others = [other for other in sorted(labels) if other != level and f"x0{other}" in maps]
    matchings = {other: match_nuclei(labels[level], labels[other]) for other in others}
    moved = {other: 1 - _best(pixels, matching) for other, matching in matchings.items()}
    seen = {other: moved[other] <= 1 - SEEN for other in others}
    parts = {other: _parts(pixels, matching) for other, matching in matchings.items()}
    partners = {other: _partners(pixels, matching) for other, matching in matchings.items()}
    columns |= _depths(level, moved)
    sides = np.zeros((pixels.count, 2))
    if doubt is not None:
        columns["views"], sides = _views(pixels, doubt)
    unsure = np.minimum(1, columns.pop("soft") / SURE)
    columns |= {name: values * unsure for name, values in _shape(pixels).items()}
    columns["centres"] = _centres(pixels, labels[level], values) * unsure
    if others:
        columns["parts"] = np.mean([parts[other] > 1 for other in others], axis=0)
        columns["joined"] = np.mean([partners[other] > 0 for other in others], axis=0)
    terms = np.stack([columns[name] for name in TERMS], axis=1)
    return Evidence(
        level, pixels.ids, pixels.areas, pixels.boxes, pixels.centres, terms, sides, seen, parts, partners, matchings
    )


def _certainty(pixels: Territory, values: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """How far the level itself is from sure: inside, with the rim, and under another threshold."""
    return {
        "faint": 1 - pixels.sums(values) / pixels.areas,
        "soft": pixels.sums(4 * values * (1 - values), rim=True) / pixels.pixels,
        "unstable": pixels.sums((values > 0.3) & (values <= 0.7), rim=True) / pixels.areas,
    }


def _views(pixels: Territory, doubt: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean disagreement of the views in and around each nucleus, and the side on which it lies."""
    parts = pixels.by_stretch(doubt)
    total = pixels.gathered(parts, rim=True)
    radii = np.sqrt(pixels.areas / np.pi) * np.maximum(total, 1e-6)
    rows = pixels.gathered(parts * (pixels.starts // pixels.shape[1]), rim=True)
    columns = pixels.sums(doubt * np.arange(pixels.shape[1], dtype=np.float64), rim=True)
    sides = np.stack([rows, columns], axis=1) - total[:, None] * pixels.centres
    return total / pixels.pixels, sides / radii[:, None]


def _depths(level: int, moved: Mapping[int, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """How far the outline moves at the nearest other depth, and on the mean of the rest."""
    if not moved:
        return {}
    near = min(moved, key=lambda other: (abs(other - level), -other))
    rest = [moved[other] for other in moved if other != near]
    return {"depths": moved[near]} | ({"shallow": np.mean(rest, axis=0)} if rest else {})


def _shape(pixels: Territory) -> dict[str, NDArray[np.float64]]:
    """How much smaller or larger than the others, and how far from an ellipse; a cut nucleus can only be too large.

    The area is compared with that of the ellipse with the same second moments: any dent or branch makes that larger.
    """
    down, right, slant = pixels.spreads.T
    spread = (down + 1 / 12) * (right + 1 / 12) - slant**2  # a pixel has a width
    ellipse = 4 * np.pi * np.sqrt(np.maximum(spread, 1 / 144))
    typical = np.median(pixels.areas) if pixels.count else 1.0
    smaller = np.log2(typical / pixels.areas)
    whole = ~np.any(pixels.boxes == np.array([0, 0, *pixels.shape]), axis=1)
    return {
        "small": np.clip(smaller / 4, 0, 1) * whole,  # 1 is a sixteenth of the usual area
        "large": np.clip(-smaller / 2, 0, 1),  # 1 is four times the usual area: nuclei that were not cut apart
        "shape": np.sqrt(np.clip(1 - pixels.areas / ellipse, 0, 1)) * whole,
    }


def _centres(pixels: Territory, labels: NDArray[Any], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the second largest top in the nucleus, 0..0.5."""
    matching = match_nuclei(labels, ndimage.label(_tops(pixels, values))[0])
    order = np.lexsort((-matching.shared, matching.truth))
    own = matching.truth[order]
    second = np.flatnonzero(np.diff(own, prepend=-1) != 0) + 1
    second = second[second < len(own)]
    second = second[own[second] == own[second - 1]]
    share = np.zeros(pixels.count)
    places = pixels.numbers[matching.true_ids[own[second]]]
    share[places] = matching.shared[order[second]] / pixels.areas[places]
    return share


def _tops(pixels: Territory, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where each nucleus is surest, as far as it is surer there than elsewhere, (Y, X)."""
    highest, mean = pixels.largest(values), pixels.sums(values) / pixels.areas
    limit = (mean + TOP * (highest - mean)).astype(np.float32)
    return np.asarray(values >= pixels.spread_out(limit, np.inf))


def _best(pixels: Territory, matching: Matching) -> NDArray[np.float64]:
    """Largest IoU of each nucleus with one of the other map."""
    best = np.zeros(pixels.count)
    np.maximum.at(best, pixels.numbers[matching.true_ids[matching.truth]], matching.iou)
    return best


def _parts(pixels: Territory, matching: Matching) -> NDArray[np.int64]:
    """How many nuclei of the other map lie in each, as large parts of it."""
    within = 2 * matching.shared > matching.found_areas[matching.found]
    large = matching.shared >= PART * matching.true_areas[matching.truth]
    own = pixels.numbers[matching.true_ids[matching.truth[within & large]]]
    return np.bincount(own, minlength=pixels.count)


def _partners(pixels: Territory, matching: Matching) -> NDArray[np.int64]:
    """The largest neighbour with which each nucleus lies in one nucleus of the other map, by id; 0 for none."""
    within = 2 * matching.shared > matching.true_areas[matching.truth]
    large = matching.shared >= PART * matching.found_areas[matching.found]
    own, whole, shared = (part[within & large] for part in (matching.truth, matching.found, matching.shared))
    order = np.lexsort((-shared, whole))
    own, whole = own[order], whole[order]
    first = np.flatnonzero(np.diff(whole, prepend=-1) != 0)
    sizes = np.diff(first, append=len(whole))
    largest = np.repeat(own[first], sizes)
    runner_up = np.repeat(own[np.minimum(first + 1, len(own) - 1)], sizes) if len(own) else own
    partner = np.where(own == largest, runner_up, largest)
    joined = np.repeat(sizes > 1, sizes)
    partners = np.zeros(pixels.count, np.int64)
    partners[pixels.numbers[matching.true_ids[own[joined]]]] = matching.true_ids[partner[joined]]
    return partners
