"""Cutting a plane into tiles that reproduce the whole-image pass.

Origins, sizes and margins are multiples of 16, and each tile knows where it lies in the whole padded plane
(`Window`), so a core pixel doesn't depend on the tile it was computed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.network.grid import STRIDE
from napari_unetsharp.network.upconv import Window

MARGINS = {1: 32, 2: 32, 3: 64, 4: 96}
"""Pixels read around a core, by level: on tissue the tiled pass then equals the whole-image pass exactly."""

DEFAULT_TILE = 640
"""Side of a tile where a person may wait for it: margins cost half of the time at depth 4."""

LARGE_TILE = 1024
"""Side of a tile of planes that are long work anyway: margins cost a third of the time."""

_LARGE_PLANE = 2048
_CPU_TILE, _GPU_TILE = 768, 2048


@dataclass(frozen=True)
class Region:
    """A rectangle in pixels of a plane.

    Attributes
    ----------
    top, left, height, width : int
        Within the plane, height and width above 0.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing (Y, X)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def within(self, shape: tuple[int, int]) -> Region:
        """The part of it that lies in a plane of this shape.

        Raises
        ------
        ShapeError
            If no pixel of it does.
        """
        top, left = max(0, self.top), max(0, self.left)
        bottom, right = min(shape[0], self.top + self.height), min(shape[1], self.left + self.width)
        if bottom <= top or right <= left:
            raise ShapeError(
                f"the region at ({self.top}, {self.left}) of {self.height} x {self.width} px lies outside the image "
                f"of {shape[0]} x {shape[1]} px; move it onto the image"
            )
        return Region(top, left, bottom - top, right - left)


@dataclass(frozen=True)
class TilePlan:
    """One tile: what is read, and which part of it is kept.

    Attributes
    ----------
    window : Window
        What is read, in the padded plane.
    core : Region
        What is kept, in pixels of the plane; multiples of 16 but for the far edges of the plane.
    """

    window: Window
    core: Region

    @property
    def kept(self) -> tuple[slice, slice]:
        """The core inside the window's arrays."""
        top, left = self.core.top - self.window.top, self.core.left - self.window.left
        return slice(top, top + self.core.height), slice(left, left + self.core.width)


def padded(length: int) -> int:
    """The length rounded up to a multiple of 16."""
    return int(-(-length // STRIDE) * STRIDE)


def plan_tiles(
    shape: tuple[int, int], region: Region | None = None, level: int = 4, tile: int = DEFAULT_TILE
) -> list[TilePlan]:
    """Tiles that cover a region, the middle first.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) of the plane.
    region : Region, optional
        The whole plane by default. Cores may reach up to 15 px beyond it.
    level : int
        Decides the margin.
    tile : int
        Side of what is read at once, at most; rounded down to a multiple of 16.

    Returns
    -------
    list of TilePlan
        Cores don't overlap; nearest to the middle of the region first.

    Raises
    ------
    ShapeError
        If the tile is too small for its margins.
    """
    region = (region or Region(0, 0, *shape)).within(shape)
    margin = MARGINS[level]
    tile = tile // STRIDE * STRIDE
    least = least_tile(level)
    if tile < least:
        raise ShapeError(f"a tile of {tile} px has no core left at depth {level}; {least} or more is needed")
    rows = _cores(region.top, region.height, shape[0], margin, tile)
    columns = _cores(region.left, region.width, shape[1], margin, tile)
    plans = [_plan(row, column, shape, margin) for row in rows for column in columns]
    middle = np.array([region.top + region.height / 2, region.left + region.width / 2])

    def distance(plan: TilePlan) -> float:
        core = plan.core
        centre = np.array([core.top + core.height / 2, core.left + core.width / 2])
        return float(np.abs(centre - middle).max())

    return sorted(plans, key=distance)


def least_tile(level: int) -> int:
    """Smallest side of a tile that has a core at this level."""
    return int(2 * MARGINS[level] + STRIDE)


def suitable_tile(shape: tuple[int, int], level: int, room: float) -> int:
    """Side of the tiles of a plane.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) of the plane.
    level : int
    room : float
        Pixels for whose maps there is memory.

    Returns
    -------
    int
        `LARGE_TILE` for a plane of 2048 px or more, else `DEFAULT_TILE`; less where memory is short.
    """
    tile = LARGE_TILE if max(shape) >= _LARGE_PLANE else DEFAULT_TILE
    return max(least_tile(level), min(tile, padded(int(room**0.5)) - int(STRIDE)))


def block_tile(shape: tuple[int, int], level: int, room: float, device: str) -> int:
    """Side of the tiles of a block of a slide: all of it at once where there is room.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) of the block at the model's scale.
    level : int
    room : float
        Pixels for whose maps there is memory.
    device : "cuda", "mps" or "cpu"
        On a CPU tiles stay small: memory is to stay flat, and a stop waits for a tile.

    Returns
    -------
    int
    """
    whole = padded(max(shape)) + 2 * (MARGINS[level] + STRIDE)
    most = _CPU_TILE if device == "cpu" else _GPU_TILE
    return int(max(least_tile(level), min(whole, most, padded(int(room**0.5)) - STRIDE)))


def _cores(start: int, length: int, whole: int, margin: int, tile: int) -> list[tuple[int, int]]:
    """(start, stop) of cores along one axis, in multiples of 16; the plane's own edges need no margin."""
    limit = padded(whole)
    position, stop = start // STRIDE * STRIDE, min(padded(start + length), limit)
    cores = []
    while position < stop:
        before = min(position, margin)
        room = tile - before
        end = limit if position + room >= limit else position + room - margin
        end = min(end, stop)
        cores.append((position, end))
        position = end
    return _evened(cores)


def _evened(cores: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Cores of about the same length, so that no sliver costs a whole margin at the far edge."""
    if len(cores) < 3:
        return cores
    first, last = cores[0][0], cores[-1][1]
    longest = max(end - start for start, end in cores[1:-1])
    short = cores[-1][1] - cores[-1][0]
    if short >= longest // 2:
        return cores
    inner = padded(-(-(last - cores[0][1]) // (len(cores) - 1)))
    edges = [first, *range(cores[0][1], last, inner), last]
    return list(pairwise(edges))


def _plan(row: tuple[int, int], column: tuple[int, int], shape: tuple[int, int], margin: int) -> TilePlan:
    whole = (padded(shape[0]), padded(shape[1]))
    spans = []
    for (start, stop), limit in zip((row, column), whole, strict=True):
        first, last = max(0, start - margin), min(limit, stop + margin)
        spans.append((first, last - first))
    window = Window(spans[0][0], spans[1][0], spans[0][1], spans[1][1], *whole)
    bottom, right = min(row[1], shape[0]), min(column[1], shape[1])
    return TilePlan(window, Region(row[0], column[0], bottom - row[0], right - column[0]))


def read_window(plane: NDArray[Any], window: Window) -> NDArray[Any]:
    """The pixels of a window; beyond the plane's edge it is mirrored.

    Parameters
    ----------
    plane : array, (Y, X, C)
        Anything that can be sliced like numpy.
    window : Window

    Returns
    -------
    array, (window.height, window.width, C)
    """
    rows = mirrored(window.top, window.height, plane.shape[0])
    columns = mirrored(window.left, window.width, plane.shape[1])
    block = np.asarray(plane[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    return np.asarray(block[(rows - rows.min())[:, None], (columns - columns.min())[None, :]])


def mirrored(start: int, length: int, whole: int) -> NDArray[np.intp]:
    """Indices along one axis from `start` on; beyond the edges they run back."""
    index = np.arange(start, start + length) % (2 * whole)
    return np.minimum(index, 2 * whole - 1 - index)
