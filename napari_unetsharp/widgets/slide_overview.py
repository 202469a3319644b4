"""Small sizes of a slide whose file holds only large ones: seen at once in rough, then filled in."""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import product
from typing import Any
from weakref import WeakSet, ref

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_level import Damage, Level

MOST = 4096
"""The longest side, in pixels, of what is decoded whole to be seen whole."""

_ROUGH, _PLANES = 16, 3
"""Tiles of the first, roughest look; planes of a stack that are kept in small."""

_ALL: WeakSet[Overview] = WeakSet()


class Overview:
    """One plane in small, filled in tile by tile: those far apart first, spread over what isn't there yet.

    Parameters
    ----------
    slide : Slide
        Kept open as long as a tile is being decoded; its smallest level is taken.
    factor : int
        Pixels of the level per pixel of this, along both sides.
    plane : tuple of int
        Index on the stack axes.

    Attributes
    ----------
    pixels : array, (Y, X, C)
        Changes as it is filled in.
    filled, tiles : int
        Tiles decoded so far, and in all.
    damaged : list of Damage
        In pixels of the level.
    """

    def __init__(self, slide: Slide, factor: int, plane: tuple[int, ...] = ()) -> None:
        self.slide, self.level, self.factor, self.plane = slide, slide.levels[-1], factor, plane
        self.damaged: list[Damage] = []
        level = self.level
        height, width = (-(-side // factor) for side in level.shape[-3:-1])
        self.pixels = np.zeros((height, width, level.shape[-1]), level.dtype)
        rows, columns = (-(-side // tile) for side, tile in zip(level.shape[-3:-1], level.tiles.tile, strict=True))
        self.filled, self.tiles = 0, rows * columns
        self._order, self._there = _apart(rows, columns), np.zeros((rows, columns), bool)
        self._looked_at: tuple[slice, slice] | None = None
        self.stop = threading.Event()
        _ALL.add(self)

    def start(self) -> None:
        """Fill in, in a thread that ends with this."""
        threading.Thread(target=_fill, args=(ref(self), self.stop), daemon=True).start()

    def look_at(self, rows: range, columns: range) -> None:
        """Fill in this part first, in pixels of this."""
        ends = zip((rows, columns), self.level.tiles.tile, strict=True)
        top, left = (slice(one.start * self.factor // tile, one.stop * self.factor // tile + 1) for one, tile in ends)
        self._looked_at = top, left

    def _next(self) -> tuple[int, int, int] | None:
        """Row, column and stride of the tile to decode now."""
        looked_at = self._looked_at
        if looked_at is not None and self.filled >= _ROUGH:
            absent = np.argwhere(~self._there[looked_at])
            if len(absent):
                return looked_at[0].start + int(absent[0, 0]), looked_at[1].start + int(absent[0, 1]), 1
        return next((place for place in self._order if not self._there[place[:2]]), None)

    def fill_one(self) -> bool:
        """Decode the next tile, in view first; False when all are there."""
        place = self._next()
        if place is None:
            return False
        row, column, stride = place
        rows, columns = self._part(row, column)
        last = (slice(rows.start * self.factor, (row + 1) * self.level.tiles.tile[0], self.factor),
                slice(columns.start * self.factor, (column + 1) * self.level.tiles.tile[1], self.factor))  # fmt: skip
        small, damaged = self.level.region((*self.plane, *last))
        self.damaged += damaged
        if stride > 1 and small.size:
            colour = small.mean(axis=(0, 1)).astype(self.pixels.dtype)
            for y, x in np.argwhere(~self._there[row : row + stride, column : column + stride]):
                self.pixels[self._part(row + int(y), column + int(x))] = colour
        self.pixels[rows, columns] = small
        self._there[row, column] = True
        self.filled += 1
        return True

    def _part(self, row: int, column: int) -> tuple[slice, slice]:
        """Pixels of this that lie in a tile of the level."""
        edges = [
            [min(-(-(at + more) * tile // self.factor), side) for more in (0, 1)]
            for at, tile, side in zip((row, column), self.level.tiles.tile, self.pixels.shape, strict=False)
        ]
        return slice(*edges[0]), slice(*edges[1])


def _apart(rows: int, columns: int) -> Iterator[tuple[int, int, int]]:
    """Row, column and stride of every tile once: first few far apart, then those between."""
    stride = 1
    while -(-rows // stride) * -(-columns // stride) > _ROUGH:
        stride *= 2
    first = stride
    while stride:
        for row, column in product(range(0, rows, stride), range(0, columns, stride)):
            if stride == first or row % (2 * stride) or column % (2 * stride):
                yield row, column, stride
        stride //= 2


def _fill(overview: ref[Overview], stop: threading.Event) -> None:
    while not stop.is_set():
        alive = overview()
        try:
            if alive is None or not alive.fill_one():
                return
        except ImageError:  # the slide was closed
            return
        del alive


@atexit.register
def _stop_all() -> None:
    """A decoder must not be at work while Python takes itself apart."""
    for overview in list(_ALL):
        overview.stop.set()


class Overviews:
    """The planes of a level in small, made when they're first looked at.

    Parameters
    ----------
    slide : Slide
    factor : int
        As for `Overview`.

    Attributes
    ----------
    drawn : int
        Tiles that were there when it was drawn last.
    """

    def __init__(self, slide: Slide, factor: int) -> None:
        self.slide, self.factor, self.drawn = slide, factor, 0
        self._kept: OrderedDict[tuple[int, ...], Overview] = OrderedDict()

    def of(self, plane: tuple[int, ...]) -> Overview:
        """Give a plane in small, as far as it's filled in."""
        if plane not in self._kept:
            made = self._kept[plane] = Overview(self.slide, self.factor, plane)
            made.start()
            while len(self._kept) > _PLANES:
                self._kept.popitem(last=False)
        return self._kept[plane]

    @property
    def filled(self) -> int:
        """Tiles decoded so far."""
        return sum(one.filled for one in self._kept.values())


class SmallerLevel:
    """A size that the file doesn't hold, by single pixels of the smallest level that it holds.

    Parameters
    ----------
    level : Level
    factor : int
        Pixels of the level per pixel of this one.
    source : Overviews or None
        Where the pixels come from; decoded when they're asked for where None.
    """

    def __init__(self, level: Level, factor: int, source: Overviews | None) -> None:
        self.level, self.factor, self.source = level, factor, source
        height, width = (-(-side // factor) for side in level.shape[-3:-1])
        self.shape = (*level.shape[:-3], height, width, level.shape[-1])
        self.dtype = level.dtype

    def __repr__(self) -> str:
        return f"<1/{self.factor} of {self.level!r}>"

    def region(self, key: Any) -> tuple[NDArray[Any], list[Damage]]:
        """Give pixels as `Level.region` does; of an overview what is there by now, as a view where possible."""
        *stack, rows, columns, colour = key
        wanted = range(self.shape[-3])[rows], range(self.shape[-2])[columns]
        if self.source is None:
            fine = (slice(one.start * self.factor, one.stop * self.factor, one.step * self.factor) for one in wanted)
            return self.level.region((*stack, *fine, colour))
        sides = self.shape[: len(stack)]
        chosen = [
            range(side)[one] if isinstance(one, slice) else (one,) for one, side in zip(stack, sides, strict=True)
        ]
        planes = [self.source.of(plane) for plane in product(*chosen)]
        found = [self._cut(plane.pixels, wanted)[..., colour] for plane in planes]
        if wanted[0] and wanted[1] and max(self.shape[-3:-1]) > max(len(one) for one in wanted):
            ratio = self.source.factor // self.factor
            for plane in planes:
                plane.look_at(*(range(one[0] // ratio, one[-1] // ratio + 1) for one in wanted))
        damaged = [damage for plane in planes for damage in plane.damaged]
        if not any(isinstance(one, slice) for one in stack):
            return found[0], damaged
        lengths = [len(some) for some, one in zip(chosen, stack, strict=True) if isinstance(one, slice)]
        return np.stack(found).reshape(*lengths, *found[0].shape), damaged

    def _cut(self, pixels: NDArray[Any], wanted: tuple[range, range]) -> NDArray[Any]:
        ratio = self.source.factor // self.factor if self.source else 1
        if ratio == 1:
            return pixels[tuple(slice(one.start, one.stop, one.step) for one in wanted)]
        rows, columns = (
            np.minimum(np.asarray(one) // ratio, side - 1) for one, side in zip(wanted, pixels.shape, strict=False)
        )
        cut: NDArray[Any] = pixels[rows[:, np.newaxis], columns]
        return cut


def smaller_levels(slide: Slide) -> list[SmallerLevel]:
    """Sizes to add below the smallest one of a file, so that no look at the whole decodes all of it at once.

    Parameters
    ----------
    slide : Slide

    Returns
    -------
    list of SmallerLevel
        Each half as large as the one before; none where the file has a small one. Half the size is decoded when it's
        looked at, four times the pixels on screen; smaller ones come from an overview that is filled in bit by bit.
    """
    level, factor = slide.levels[-1], 1
    while max(level.shape[-3:-1]) > MOST * factor:
        factor *= 2
    source = Overviews(slide, factor)
    each = [2**power for power in range(1, factor.bit_length())]
    return [SmallerLevel(level, one, None if one == 2 and factor > 2 else source) for one in each]
