"""Possible misses: what another depth, the coarse views, or the level itself faintly, sees where it has no nucleus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.nuclei.doubt_weights import MISS_BIAS, MISS_WEIGHTS
from napari_unetsharp.nuclei.doubtful import listed
from napari_unetsharp.nuclei.matching import Matching, match_nuclei
from napari_unetsharp.nuclei.pixels import Box

TERMS = ("here", "best", "views", "coarse", "seen", "small")
"""Names of what speaks for a miss, in the order of the columns of `Misses.terms`."""

COARSE = "coarse views"
FAINT = "views"
"""Besides the branches of other depths: the mean of the coarse views; that, or the level itself faintly."""

FAINTLY = 0.25
"""Probability from which the level itself sees something faintly."""

OFFERED = 0.15
"""Chance of being a nucleus from which a possible miss is worth somebody's while."""

TOGETHER = 0.5
"""Mean probability of all views from which it is offered in any case."""

COVERED = 0.1
"""What another depth sees and shares more than this of its pixels with nuclei of the level is no miss."""


@dataclass(frozen=True)
class Misses:
    """What may be nuclei, though the chosen level has none there.

    Attributes
    ----------
    boxes : array of int64, (n, 4)
        Top, left, bottom, right; the last two are left out.
    centres : array of float64, (n, 2)
        Y and x.
    areas : array of int64, (n,)
        Pixels.
    sources : tuple of str, (n,)
        Whose outline it is: a branch, or `FAINT`.
    seen : tuple of tuple of str, (n,)
        All that clearly see it: branches of other depths, and `COARSE`.
    masks : tuple of array of bool
        Outline within each box.
    terms : array of float64, (n, len(TERMS))
        What speaks for each; mean probabilities, the share of the sources, sizes as in `Evidence`.
    """

    boxes: NDArray[np.int64]
    centres: NDArray[np.float64]
    areas: NDArray[np.int64]
    sources: tuple[str, ...]
    seen: tuple[tuple[str, ...], ...]
    masks: tuple[NDArray[np.bool_], ...]
    terms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.areas)

    def those(self, kept: NDArray[np.bool_]) -> Misses:
        """Some of them."""
        places = np.flatnonzero(kept).tolist()
        return Misses(
            self.boxes[kept], self.centres[kept], self.areas[kept],
            tuple(self.sources[place] for place in places), tuple(self.seen[place] for place in places),
            tuple(self.masks[place] for place in places), self.terms[kept],
        )  # fmt: skip

    @property
    def doubt(self) -> NDArray[np.float64]:
        """About the chance that each is a nucleus, so that it ranks among the doubtful nuclei, (n,), 0..1."""
        weights = np.array([MISS_WEIGHTS[name] for name in TERMS])
        return np.asarray(1 / (1 + np.exp(-(MISS_BIAS + self.terms @ weights))))


def possible_misses(
    maps: Mapping[str, NDArray[Any]], labels: Mapping[int, NDArray[Any]], level: int, smallest: int = 20,
    least: float = OFFERED, matchings: Mapping[int, Matching] | None = None,
) -> Misses:  # fmt: skip
    """Find what the chosen level may have missed.

    Parameters
    ----------
    maps, labels, level
        As in `evidence.gather`.
    smallest : int
        Pixels below which nothing is offered.
    least : float
        Chance of being a nucleus (`Misses.doubt`) below which nothing is offered, unless the views together see it.
    matchings : mapping of int to Matching, optional
        `Evidence.matchings`, so that they aren't made again.

    Returns
    -------
    Misses
        They don't overlap each other. Where several sources see the same, the outline is that of the nearest depth,
        else of what the level and the coarse views see faintly.
    """
    own = labels[level]
    canvas = np.zeros(own.shape, np.int32)
    painted: list[tuple[str, int]] = []  # by number on the canvas, from 1
    faint = _faint(maps, level)
    for source, objects, ids in [
        (FAINT, faint, _untouched(faint, own)), *_of_depths(labels, level, matchings or {})
    ]:  # fmt: skip
        boxes = ndimage.find_objects(objects) if len(ids) else []
        for number in ids.tolist():
            part = boxes[number - 1]
            inside = objects[part] == number
            area = int(inside.sum())
            if area >= smallest:
                painted.append((source, area))
                canvas[part][inside & (own[part] == 0)] = len(painted)
    every = _listed(canvas, painted, maps, labels, level)
    together = every.terms[:, TERMS.index("views")] >= TOGETHER
    return every.those((every.doubt >= least) | together)


def _faint(maps: Mapping[str, NDArray[Any]], level: int) -> NDArray[np.int32]:
    """Objects that the level sees faintly, or the mean of the coarse views sees."""
    weak = maps[f"x0{level}"] >= FAINTLY
    coarse = _coarse(maps)
    if coarse:
        total = np.zeros(weak.shape, np.float32)
        for name in coarse:
            total += maps[name]
        weak |= total >= len(coarse) / 2
    return np.asarray(ndimage.label(weak)[0])


def _coarse(maps: Mapping[str, Any]) -> list[str]:
    return [name for name in maps if not name.startswith("x0")]


def _untouched(objects: NDArray[np.int32], own: NDArray[Any]) -> NDArray[np.int64]:
    """Objects that share no pixel with nuclei: the coarse blocks around a small nucleus are no miss."""
    touched = np.zeros(int(objects.max(initial=0)) + 1, bool)
    touched[objects.ravel()[np.flatnonzero(own)]] = True
    touched[0] = True
    return np.flatnonzero(~touched)


def _of_depths(
    labels: Mapping[int, NDArray[Any]], level: int, matchings: Mapping[int, Matching]
) -> Iterator[tuple[str, NDArray[Any], NDArray[np.int64]]]:
    """Nuclei of other depths that hardly share a pixel with nuclei of the level, the nearest depth last."""
    for other in sorted(labels, key=lambda other: (-abs(other - level), other)):
        if other != level:
            matching = matchings.get(other) or match_nuclei(labels[level], labels[other])
            covered = np.bincount(matching.found, matching.shared, len(matching.found_ids))
            yield f"x0{other}", labels[other], np.sort(matching.found_ids[covered <= COVERED * matching.found_areas])


def _listed(
    canvas: NDArray[np.int32], painted: list[tuple[str, int]], maps: Mapping[str, NDArray[Any]],
    labels: Mapping[int, NDArray[Any]], level: int,
) -> Misses:  # fmt: skip
    """Everything of which most is still to be seen on the canvas."""
    parts = ndimage.find_objects(canvas, max_label=len(painted)) if painted else []
    boxes, masks, sources, terms, seen = [], [], [], [], []
    for number, (part, (source, first)) in enumerate(zip(parts, painted, strict=True), start=1):
        mask = canvas[part] == number if part is not None else np.zeros((1, 1), bool)
        if 2 * int(mask.sum()) > first:
            boxes.append((part[0].start, part[1].start, part[0].stop, part[1].stop))
            masks.append(mask)
            sources.append(source)
            means = {name: float(values[part][mask].mean(dtype=np.float32)) for name, values in maps.items()}
            seen.append(_seen(mask, part, means, labels, level))
            terms.append(_terms(means, len(seen[-1]) / (len(labels) + 1), level))
    areas = np.array([mask.sum() for mask in masks], np.int64)
    columns = np.array(terms, np.float64).reshape(-1, len(TERMS))
    columns[:, TERMS.index("small")] = _small(areas, labels[level])
    corners = np.array(boxes, np.int64).reshape(-1, 4)
    middles = [np.argwhere(mask).mean(0) for mask in masks]
    centres = np.array(middles, np.float64).reshape(-1, 2) + corners[:, :2]
    return Misses(corners, centres, areas, tuple(sources), tuple(seen), tuple(masks), columns)


def _seen(
    mask: NDArray[np.bool_], part: tuple[slice, slice], means: Mapping[str, float],
    labels: Mapping[int, NDArray[Any]], level: int,
) -> tuple[str, ...]:  # fmt: skip
    """Depths with a nucleus on at least a quarter of it, and the coarse views if their mean is a half or more."""
    depths = [
        f"x0{other}" for other in sorted(labels) if other != level and (labels[other][part][mask] > 0).mean() >= 0.25
    ]
    coarse = [means[name] for name in _coarse(means)]
    return (*depths, COARSE) if coarse and np.mean(coarse) >= 0.5 else tuple(depths)


def _terms(means: Mapping[str, float], seen: float, level: int) -> tuple[float, ...]:
    """In the order of `TERMS`; the size comes later."""
    every = list(means.values())
    coarse = [means[name] for name in _coarse(means)] or every
    return means[f"x0{level}"], max(every), float(np.mean(every)), float(np.mean(coarse)), seen, 0.0


def _small(areas: NDArray[np.int64], own: NDArray[Any]) -> NDArray[np.float64]:
    """How much smaller than the nuclei of the level; 1 is a sixteenth."""
    nuclei = np.bincount(own[own > 0])
    usual = np.median(nuclei[nuclei > 0]) if nuclei.any() else np.median(areas) if len(areas) else 1.0
    return np.asarray(np.clip(np.log2(usual / np.maximum(1, areas)) / 4, 0, 1), np.float64)


def words(misses: Misses, index: int) -> str:
    """Why something may be a missed nucleus; without a full stop."""
    depths = [name[-1] for name in misses.seen[index] if name.startswith("x0")]
    others = []
    if depths:
        others.append(f"depth {listed(depths)}")
    if COARSE in misses.seen[index]:
        others.append("the coarse views")
    if not others:
        return "faintly seen: maybe a missed nucleus"
    verb = "sees" if len(depths) == 1 and len(others) == 1 else "see"
    return f"{' and '.join(others)} {verb} a nucleus here"


def box_of(misses: Misses, index: int) -> Box:
    """Where it lies."""
    return Box(*(int(side) for side in misses.boxes[index]))
