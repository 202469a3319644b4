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

OFFERED = 0.2
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

    @property
    def doubt(self) -> NDArray[np.float64]:
        """About the chance that each is a nucleus, so that it ranks among the doubtful nuclei, (n,), 0..1."""
        return _chance(self.terms)


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
    faint = _faint(maps, level)
    sources: list[str] = []  # by number on the canvas, from 1
    areas = [np.zeros(0, np.int64)]
    for source, objects, ids in [
        (FAINT, faint, _untouched(faint, own)), *_of_depths(labels, level, matchings or {})
    ]:  # fmt: skip
        if len(ids):
            areas.append(_painted(canvas, objects, ids, own, smallest, len(sources)))
            sources += [source] * len(areas[-1])
    return _listed(canvas, tuple(sources), np.concatenate(areas), maps, labels, level, least)


def _painted(
    canvas: NDArray[np.int32], objects: NDArray[Any], ids: NDArray[np.int64], own: NDArray[Any], smallest: int,
    last: int,
) -> NDArray[np.int64]:  # fmt: skip
    """Paint the large ones of some objects over what is there, but not over nuclei; their areas.

    `ids` ascend; they get the numbers after `last` on the canvas.
    """
    wanted = np.zeros(int(objects.max(initial=0)) + 1, bool)
    wanted[ids] = True
    where = np.flatnonzero(wanted[objects])
    found = objects.ravel()[where]
    areas = np.bincount(found, minlength=len(wanted))
    large = ids[areas[ids] >= smallest]
    numbers = np.zeros(len(wanted), np.int32)
    numbers[large] = np.arange(last + 1, last + 1 + len(large))
    free = (own.ravel()[where] == 0) & (numbers[found] > 0)
    np.put(canvas, where[free], numbers[found[free]])
    return areas[large]


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
    canvas: NDArray[np.int32], sources: tuple[str, ...], painted: NDArray[np.int64],
    maps: Mapping[str, NDArray[Any]], labels: Mapping[int, NDArray[Any]], level: int, least: float,
) -> Misses:  # fmt: skip
    """Everything of which most is still to be seen on the canvas, and that is likely enough."""
    where = np.flatnonzero(canvas)
    owner, count = canvas.ravel()[where] - 1, len(sources)
    areas = np.bincount(owner, minlength=count)

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(owner, values, count) / np.maximum(1, areas)

    means = {name: mean(values.ravel()[where]) for name, values in maps.items()}
    seen = {f"x0{other}": mean(labels[other].ravel()[where] > 0) >= 0.25 for other in sorted(labels) if other != level}
    coarse = _coarse(means)
    if coarse:
        seen[COARSE] = np.mean([means[name] for name in coarse], axis=0) >= 0.5
    terms = _terms(means, np.sum([*seen.values(), np.zeros(count)], axis=0) / (len(labels) + 1), level)
    terms[:, TERMS.index("small")] = _small(areas, labels[level])
    together = terms[:, TERMS.index("views")] >= TOGETHER
    kept = np.flatnonzero((2 * areas > painted) & ((_chance(terms) >= least) | together))
    centres = np.stack([mean(axis) for axis in np.divmod(where, canvas.shape[1])], axis=1)[kept]
    boxes, masks = _outlined(canvas, kept + 1)
    return Misses(
        boxes, centres, areas[kept], tuple(sources[place] for place in kept.tolist()),
        tuple(tuple(name for name, by in seen.items() if by[place]) for place in kept.tolist()), masks, terms[kept],
    )  # fmt: skip


def _outlined(canvas: NDArray[np.int32], numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
    """Boxes, (n, 4), and masks of numbers on the canvas."""
    parts = ndimage.find_objects(canvas) if len(numbers) else []
    chosen = [parts[number - 1] for number in numbers.tolist()]
    boxes = [(part[0].start, part[1].start, part[0].stop, part[1].stop) for part in chosen]
    masks = tuple(canvas[part] == number for part, number in zip(chosen, numbers.tolist(), strict=True))
    return np.array(boxes, np.int64).reshape(-1, 4), masks


def _terms(means: Mapping[str, NDArray[np.float64]], seen: NDArray[np.float64], level: int) -> NDArray[np.float64]:
    """In the order of `TERMS`, (n, len(TERMS)); the size comes later."""
    every = np.stack(list(means.values()))
    coarse = np.stack([means[name] for name in _coarse(means)] or list(means.values()))
    columns = (means[f"x0{level}"], every.max(0), every.mean(0), coarse.mean(0), seen, np.zeros(len(seen)))
    return np.stack(columns, axis=1)


def _chance(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.array([MISS_WEIGHTS[name] for name in TERMS])
    return np.asarray(1 / (1 + np.exp(-(MISS_BIAS + terms @ weights))))


def _small(areas: NDArray[np.int64], own: NDArray[Any]) -> NDArray[np.float64]:
    """How much smaller than the nuclei of the level; 1 is a sixteenth."""
    nuclei = np.bincount(own[own > 0])
    known = nuclei[nuclei > 0] if nuclei.any() else areas[areas > 0]
    usual = np.median(known) if len(known) else 1.0
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
