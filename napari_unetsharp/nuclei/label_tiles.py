"""Nuclei of a plane of any size, tile by tile in parallel, the same as if it were looked at as one.

Nothing is cut at a tile's edge: each tile sees a margin, and what is larger than that is looked at in a window of its
own (`label_pieces`). A nucleus is known by the place that it grew from, so that tiles that see parts of the same one
agree on it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.label_holes import HalfWidths, half_widths, largest_hole
from napari_unetsharp.nuclei.label_pieces import LargeClumps, numbered, shared, within
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.label_window import Clumps, Window, border_of, clumps_of, labelled
from napari_unetsharp.nuclei.pixels import Box

TILE = 1024
"""Pixels along the side of a tile: a larger plane is looked at by tiles of at most that."""

MARGIN = 64
"""Pixels around a tile that are looked at too: a nucleus on its edge mostly ends there."""

WORKERS = min(8, os.cpu_count() or 1)
"""Tiles at a time; nearly all of the work is done without Python's lock."""


Made = TypeVar("Made")

Reader = Callable[[Box], NDArray[Any]]
"""Gives the values of a box, (Y, X)."""


class _Tile(NamedTuple):
    """Nuclei of a tile's own pixels: numbers 1..n, (Y, X), what each is known by, and whether others see it too."""

    parts: NDArray[np.int32]
    keys: NDArray[np.int64]
    elsewhere: NDArray[np.bool_]


def windows_of(plane: Any) -> Reader:
    """Read windows of anything that can be sliced: an array, a memory map, zarr."""
    return lambda box: np.asarray(plane[box.slices])


def tiles_of(shape: tuple[int, int], tile: int = TILE) -> list[list[Box]]:
    """Tiles of about equal size, at most `tile` pixels along a side, in rows."""
    rows, columns = (np.linspace(0, side, -(-side // tile) + 1).round().astype(int).tolist() for side in shape)
    return [
        [Box(top, left, bottom, right) for left, right in pairwise(columns)] for top, bottom in pairwise(rows)
    ]  # fmt: skip


def label_tiles(
    read: Reader, shape: tuple[int, int], settings: LabelSettings | None = None, read_core: Reader | None = None,
    tile: int = TILE, workers: int = WORKERS, margin: int = MARGIN,
) -> Generator[tuple[Box, NDArray[np.int32]], None, NDArray[np.int32]]:  # fmt: skip
    """Label a plane tile by tile, with as much memory as a few tiles need.

    Every window of the probability is read twice, first to learn which holes are small (`label_holes`). A clump of
    touching nuclei that is larger than a tile needs memory for a window around all of it.

    Parameters
    ----------
    read : callable
        Box to probability, (Y, X), floating, 0..1; called from several threads. See `windows_of`.
    shape : tuple of int
        (Y, X) of the plane.
    settings : LabelSettings, optional
    read_core : callable, optional
        Box to probability of nuclei's inner parts; see `instances.label_nuclei`.
    tile : int
        Largest side of a tile, in pixels. The nuclei don't depend on it.
    workers : int
        Tiles at a time.
    margin : int
        Pixels around a tile that are looked at too. The nuclei don't depend on it.

    Yields
    ------
    box : Box
        Tiles row by row; they don't overlap.
    labels : array of int32, (Y, X) of the box
        0 outside; a nucleus has the same id in all tiles that it reaches.

    Returns
    -------
    array of int32, (n + 1,)
        By id, the one in `instances.label_nuclei`, which is the same for any tile size.

    Raises
    ------
    SettingsError
        If `tile`, `workers` or `margin` is below 1.
    """
    if min(tile, workers, margin) < 1:
        raise SettingsError(f"tile, workers and margin are 1 or more; got {tile}, {workers} and {margin}")
    settings = settings or LabelSettings()
    grid = tiles_of(shape, tile)
    boxes = [box for row in grid for box in row]
    pool = ThreadPoolExecutor(workers)
    try:
        measure = partial(_half_widths, read, shape, settings.threshold, margin)
        hole = largest_hole(_joined(grid, list(_ahead(pool, measure, boxes, workers))))
        outline = partial(_clumps, read, shape, settings.threshold, hole)
        look = partial(_window, outline, read_core if settings.split else None, shape, settings.split)
        make = partial(_tile, look, LargeClumps(outline, look, shape, boxes, margin), shape, settings.smallest, margin)
        ids = _Ids()
        for box, found in zip(boxes, _ahead(pool, make, boxes, workers), strict=True):
            yield box, ids.of(found)[found.parts]
    finally:
        pool.shutdown(cancel_futures=True)
    return ids.in_order()


def _ahead(pool: ThreadPoolExecutor, make: Callable[[Box], Made], boxes: list[Box], workers: int) -> Iterator[Made]:
    """What is made of boxes, in order, with only a few made before they are asked for; one alone in this thread."""
    if len(boxes) < 2:
        yield from map(make, boxes)
        return
    waiting: deque[Future[Made]] = deque()
    for box in boxes:
        waiting.append(pool.submit(make, box))
        if len(waiting) > workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _clumps(read: Reader, shape: tuple[int, int], threshold: float, hole: float, box: Box) -> Clumps:
    return clumps_of(read(box), box, shape, threshold, hole)


def _window(
    outline: Callable[[Box], Clumps], read_core: Reader | None, shape: tuple[int, int], split: bool, box: Box
) -> Window:
    return labelled(outline(box), None if read_core is None else read_core(box), shape, split)


def _tile(
    look: Callable[[Box], Window], large: LargeClumps, shape: tuple[int, int], smallest: int, margin: int, box: Box
) -> _Tile:
    """Nuclei of a tile, by a window around it and the large clumps that reach it."""
    window = look(box.grown(margin, shape))
    inside = within(window.clumps.box, box)
    kept = ~window.cut_off[window.clump_of] & (window.areas >= smallest)
    parts = numbered(kept)[window.parts[inside]]
    keys, areas = [window.keys[kept]], [window.areas[kept]]
    for row, column, seen in _cut_off(window, inside):
        piece = large.at(row + box.top, column + box.left, seen)
        common = shared(box, piece.box)
        own, kept = piece.parts[within(piece.box, common)], piece.areas >= smallest
        numbers = np.where(kept, numbered(kept)[1:] + sum(map(len, keys)), 0)
        np.copyto(parts[within(box, common)], np.append(0, numbers).astype(np.int32)[own], where=own > 0)
        keys.append(piece.keys[kept])
        areas.append(piece.areas[kept])
    large.done(box)
    return _present(parts, np.concatenate(keys), np.concatenate(areas))


def _cut_off(window: Window, inside: tuple[slice, slice]) -> list[tuple[int, int, Box]]:
    """Row and column in the tile of a pixel of each clump that the window doesn't settle, and a box around it."""
    clumps = window.clumps.numbers[inside]
    places = np.flatnonzero(window.cut_off[clumps])
    if not len(places):
        return []
    numbers, first = np.unique(clumps.ravel()[places], return_index=True)
    boxes = ndimage.find_objects(window.clumps.numbers)
    top, left = window.clumps.box[:2]
    found = []
    for number, place in zip(numbers.tolist(), places[first].tolist(), strict=True):
        rows, columns = boxes[number - 1]
        seen = Box(rows.start + top, columns.start + left, rows.stop + top, columns.stop + left)
        found.append((*divmod(place, clumps.shape[1]), seen))
    return found


def _present(parts: NDArray[np.int32], keys: NDArray[np.int64], areas: NDArray[np.int64]) -> _Tile:
    """Only the nuclei with pixels in the tile."""
    pixels = np.bincount(parts.ravel(), minlength=len(keys) + 1)[1:]
    there = pixels > 0
    return _Tile(numbered(there)[parts], keys[there], (pixels < areas)[there])


class _Ids:
    """Ids of nuclei as they come, tile by tile."""

    def __init__(self) -> None:
        self._crossing: dict[int, int] = {}
        self._keys: list[NDArray[np.int64]] = []
        self._count = 0

    def of(self, tile: _Tile) -> NDArray[np.int32]:
        """Ids by number in the tile, from 0 (outside)."""
        ids = np.zeros(len(tile.keys), np.int32)
        crossing = np.flatnonzero(tile.elsewhere)
        ids[crossing] = [self._crossing.get(key, 0) for key in tile.keys[crossing].tolist()]
        new = ids == 0
        ids[new] = self._count + np.arange(1, np.count_nonzero(new) + 1)
        self._count += int(np.count_nonzero(new))
        self._keys.append(tile.keys[new])
        self._crossing |= zip(tile.keys[crossing].tolist(), ids[crossing].tolist(), strict=True)
        return np.append(0, ids).astype(np.int32)

    def in_order(self) -> NDArray[np.int32]:
        """By id, the place in the order of keys, from 1."""
        keys = np.concatenate([np.zeros(0, np.int64), *self._keys])
        order = np.zeros(len(keys) + 1, np.int32)
        order[1 + np.argsort(keys)] = np.arange(1, len(keys) + 1)
        return order


def _half_widths(read: Reader, shape: tuple[int, int], threshold: float, margin: int, box: Box) -> HalfWidths:
    """Half-widths of what lies in a tile, by a window as large as it takes."""
    while True:
        window = box.grown(margin, shape)
        mask = np.asarray(read(window) >= threshold)
        found = half_widths(mask, within(window, box), border_of(window, shape))
        if found.sure:
            return found
        margin *= 2


def _joined(grid: list[list[Box]], found: list[HalfWidths]) -> NDArray[np.float64]:
    """Half-widths of the plane's objects: the largest of the pieces that meet at tiles' edges."""
    starts = np.cumsum([0, *(len(each.largest) for each in found)])
    width, pairs = len(grid[0]) if grid else 0, [np.zeros((2, 0), np.int64)]
    for place, each in enumerate(found):
        for other, mine, theirs in ((place + 1, 3, 1), (place + width, 2, 0)):
            if (other % width == 0 and mine == 3) or other >= len(found):
                continue
            one, two = each.lines[mine], found[other].lines[theirs]
            both = (one > 0) & (two > 0)
            pairs.append(np.stack([one[both] - 1 + starts[place], two[both] - 1 + starts[other]]))
    count = int(starts[-1])
    if not count:
        return np.zeros(0)
    one, two = np.concatenate(pairs, axis=1)
    number, objects = connected_components(coo_array((np.ones(len(one), bool), (one, two)), (count, count)), False)
    joined = np.zeros(number)
    np.maximum.at(joined, objects, np.concatenate([np.zeros(0), *(each.largest for each in found)]))
    return joined
