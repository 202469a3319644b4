"""From outlines back to pixels: a pixel belongs to the polygon that its middle lies in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import LabelsError
from napari_unetsharp.nuclei.outlines import Polygon, Ring, twice_area
from napari_unetsharp.nuclei.stretches import fill_runs

FARTHEST = 2.0**31
"""Coordinates beyond this belong to no image."""

_AT_ONCE = 1 << 20
"""Corners, and crossings of rows, that are looked at in one go."""
_MOST_CROSSINGS = 1 << 24
"""Times that one outline may cross the rows of the image; a nucleus of 1000 px has a few thousand."""
_CROSSINGS_PER_PIXEL = 4
"""Times that all outlines may, per pixel: those that share no pixel can't cross more than twice in each."""

_Outlines = Iterable[tuple[int, Sequence[Polygon]]]
_Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Filled:
    """A label image from outlines, and what was found odd on the way.

    Attributes
    ----------
    labels : array of int32, (Y, X)
    crossing : array of int64
        Ids whose outlines cross themselves or each other; what lies in them twice was left out.
    missing : array of int64
        Ids of which no pixel is left: outside the image, too thin, or covered by others.
    shared : int
        Pixels that lie in several nuclei; the first in order keeps them.
    """

    labels: NDArray[np.int32]
    crossing: NDArray[np.int64]
    missing: NDArray[np.int64]
    shared: int


def fill_outlines(shape: tuple[int, int], outlines: _Outlines) -> Filled:
    """Fill outlines, whatever is in their polygons: holes, several pieces, fractions of pixels.

    Whether a middle lies inside is decided by the even-odd rule; of what two polygons share exactly, each pixel
    goes to one of them.

    Parameters
    ----------
    shape : tuple of int
        (Y, X).
    outlines : iterable of tuple of int and sequence of Polygon
        Ids above 0 and at most 2**31 - 1; coordinates where pixel (0, 0) spans 0 to 1.

    Returns
    -------
    Filled

    Raises
    ------
    LabelsError
        If a coordinate is NaN or beyond `FARTHEST`, or if outlines go to and fro more often than the image has
        pixels.
    """
    ids: list[int] = []
    found: list[_Columns] = []
    crossing: list[NDArray[np.int64]] = []
    for batch in _batches(outlines, shape):
        crossings = _crossings(shape, batch)
        found.append(_runs(crossings, len(ids)))
        crossing.append(np.unique(_beyond_one(crossings)) + len(ids))
        ids += [number for number, _ in batch]
    label = np.array(ids, np.int64)
    row, start, stop, owner = (np.concatenate(part) for part in zip(*found, strict=True)) if found else _no_runs()
    backwards = slice(None, None, -1)  # so that the first one stays
    labels = fill_runs(shape, row[backwards], start[backwards], stop[backwards], label[owner][backwards])
    missing = np.setdiff1d(label, np.unique(labels))
    shared = int((stop - start).sum()) - int(np.count_nonzero(labels))
    odd = np.concatenate(crossing) if crossing else np.zeros(0, np.int64)
    return Filled(labels, label[odd], missing, shared)


def _no_runs() -> _Columns:
    empty = np.zeros(0, np.int64)
    return empty, empty, empty, empty


def _batches(outlines: _Outlines, shape: tuple[int, int]) -> Iterator[list[tuple[int, Sequence[Polygon]]]]:
    batch: list[tuple[int, Sequence[Polygon]]] = []
    corners, crossings, left = 0, 0, max(_MOST_CROSSINGS, _CROSSINGS_PER_PIXEL * shape[0] * shape[1])
    for number, polygons in outlines:
        rings = [ring for polygon in polygons for ring in polygon]
        rows = sum(_rows_crossed(ring, number, shape[0]) for ring in rings)
        left -= rows
        if rows > _MOST_CROSSINGS or left < 0:
            raise LabelsError(
                f"the outlines up to nucleus {number} go to and fro over the rows of the image more often than it has "
                "pixels; leave out what is no nucleus"
            )
        batch.append((number, polygons))
        corners, crossings = corners + sum(map(len, rings)), crossings + rows
        if max(corners, crossings) >= _AT_ONCE:
            yield batch
            batch, corners, crossings = [], 0, 0
    if batch:
        yield batch


def _rows_crossed(ring: Ring, number: int, height: int) -> int:
    """How often a ring crosses rows of the image, about."""
    if not np.isfinite(ring).all() or np.abs(ring).max(initial=0) > FARTHEST:
        raise LabelsError(
            f"the outline of nucleus {number} has coordinates that no image has (NaN, or beyond {FARTHEST:,.0f}); "
            "coordinates in pixels are needed"
        )
    return int(np.abs(np.diff(ring[:, 1].clip(0, height))).sum())


@dataclass(frozen=True)
class _Crossings:
    """Where edges cross the middles of rows, sorted by outline, row and x; always an even number per row."""

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    turns: NDArray[np.int64]
    """How many times the outline goes round what follows on the right; 0 and 1 in turn for a valid polygon."""


def _crossings(shape: tuple[int, int], batch: list[tuple[int, Sequence[Polygon]]]) -> _Crossings:
    begin, end, owner, sign = _edges(batch)
    low, high = np.minimum(begin[:, 1], end[:, 1]), np.maximum(begin[:, 1], end[:, 1])
    first, last = (np.clip(np.ceil(bound - 0.5), 0, shape[0]).astype(np.int64) for bound in (low, high))
    number = last - first
    edge = np.repeat(np.arange(len(owner)), number)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(number) - number, number)
    (x, y), (to_x, to_y) = begin[edge].T, end[edge].T
    place = x + (row + 0.5 - y) * ((to_x - x) / (to_y - y))
    upwards = np.where(to_y > y, -1, 1) * sign[edge]
    order = np.lexsort((place, row, owner[edge]))
    column = np.clip(np.ceil(place - 0.5), 0, shape[1]).astype(np.int64)
    return _Crossings(owner[edge][order], row[order], column[order], np.cumsum(upwards[order]))


def _edges(batch: list[tuple[int, Sequence[Polygon]]]) -> tuple[NDArray[Any], ...]:
    """Begin and end (edges, 2), outline and sign (edges,): shells count +1 inside and holes -1, however they run."""
    begins, ends, owners, signs = [np.zeros((0, 2))], [np.zeros((0, 2))], [0], [0]
    lengths = [0]
    for place, (_, polygons) in enumerate(batch):
        for polygon in polygons:
            for hole, ring in enumerate(polygon):
                begins.append(ring[:-1])
                ends.append(ring[1:])
                lengths.append(max(len(ring) - 1, 0))
                owners.append(place)
                signs.append((-1 if twice_area(ring) < 0 else 1) * (-1 if hole else 1))
    begin, end = np.concatenate(begins), np.concatenate(ends)
    return begin, end, np.repeat(owners, lengths), np.repeat(signs, lengths)


def _runs(crossings: _Crossings, offset: int) -> _Columns:
    start, stop = crossings.column[0::2], crossings.column[1::2]
    kept = start < stop
    return crossings.row[0::2][kept], start[kept], stop[kept], crossings.owner[0::2][kept] + offset


def _beyond_one(crossings: _Crossings) -> NDArray[np.int64]:
    """Outlines that go round some pixel more than once, or the wrong way round."""
    turns = crossings.turns[:-1]
    wide = (crossings.column[1:] > crossings.column[:-1]) & (crossings.row[1:] == crossings.row[:-1])
    odd = wide & ((turns < 0) | (turns > 1)) & (crossings.owner[1:] == crossings.owner[:-1])
    return np.asarray(crossings.owner[:-1][odd])
