"""One size of a slide: an array that decodes only the tiles that a region touches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import index as whole
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import check_size
from napari_unetsharp.images.lazy_array import LazyArray
from napari_unetsharp.images.slide_cache import TileCache


class Tiles(Protocol):
    """Where the pixels of a level come from.

    Attributes
    ----------
    shape : tuple of int
        (*stack, Y, X, C).
    dtype : dtype
    tile : (int, int)
        Height and width of what is decoded at once.
    together : int
        Channels that one decoded tile holds: C where they are interleaved, 1 where each has its own.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def tile(self) -> tuple[int, int]: ...
    @property
    def together(self) -> int: ...

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        """Decode one tile.

        Parameters
        ----------
        plane : tuple of int
            Index on the stack axes.
        block : int
            Which `together` channels.
        row, column : int
            Of the grid of tiles.

        Returns
        -------
        array, (y, x, together)
            Not beyond the border of the level.
        """
        ...


@dataclass(frozen=True)
class Damage:
    """A tile that couldn't be decoded: first row and column, one past the last, in pixels of its level, and why."""

    top: int
    left: int
    bottom: int
    right: int
    reason: str


class Level(LazyArray):
    """A lazy array (*stack, Y, X, C) that is sliced like a numpy array: ``level[y0:y1, x0:x1]``.

    Parameters
    ----------
    tiles : Tiles
    cache : TileCache
        Shared by the levels of a slide.
    place : int
        0 is the largest level.
    downsample : (float, float)
        Pixels of level 0 per pixel of this one, along Y and X.
    source : str
        The file's name, for messages.
    """

    def __init__(self, tiles: Tiles, cache: TileCache, place: int, downsample: tuple[float, float], source: str):
        self.tiles, self.cache, self.place, self.downsample, self.source = tiles, cache, place, downsample, source
        self.shape = tuple(int(side) for side in tiles.shape)
        self.dtype = np.dtype(tiles.dtype)
        self.closed = False

    def __repr__(self) -> str:
        return f"<level {self.place} of {self.source}: {self.shape} {self.dtype}>"

    @property
    def nbytes(self) -> int:
        """Bytes that the whole level would take."""
        return self.size * self.dtype.itemsize

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Lengths of the axes before Y."""
        return self.shape[:-3]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        check_size(self.shape, self.dtype, f"level {self.place} of {self.source}")
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Decode what is asked for; raises `ImageError` where a tile of it is damaged."""
        pixels, damaged = self.region(key)
        if damaged:
            first = damaged[0]
            raise ImageError(
                f"{len(damaged)} tiles of level {self.place} of {self.source} can't be decoded, the first at row "
                f"{first.top}, column {first.left} ({first.reason}); copy or export the slide again"
            )
        return pixels

    def region(self, key: Any) -> tuple[NDArray[Any], list[Damage]]:
        """Decode what is asked for, and say what couldn't be.

        Parameters
        ----------
        key : int, slice, Ellipsis or tuple of them
            As for a numpy array; steps must be above 0.

        Returns
        -------
        pixels : array
            Like numpy's basic slicing; a copy. Damaged tiles are 0.
        damaged : list of Damage
            The tiles that couldn't be decoded.
        """
        if self.closed:
            raise ImageError(f"{self.source} is closed; open it again")
        wanted, dropped = self._wanted(key)
        pixels = np.zeros([len(one) for one in wanted], self.dtype)
        damaged: dict[tuple[int, int], Damage] = {}
        if pixels.size:
            for place, plane in _numbered(wanted[:-3]):
                self._fill(pixels[place], plane, wanted[-3:], damaged)
        return pixels[tuple(0 if drop else slice(None) for drop in dropped)], list(damaged.values())

    def _wanted(self, key: Any) -> tuple[list[range], list[bool]]:
        """Ranges of indices along each axis, and which axes an index drops."""
        ranges, dropped = [], []
        for one, side in zip(self._keys(key), self.shape, strict=True):
            if isinstance(one, slice):
                chosen = range(side)[one]
                if chosen.step < 1:
                    raise IndexError(f"steps must be above 0 in {self!r}")
            else:
                at = range(side)[whole(one)]
                chosen = range(at, at + 1)
            ranges.append(chosen)
            dropped.append(not isinstance(one, slice))
        return ranges, dropped

    def _fill(
        self, target: NDArray[Any], plane: tuple[int, ...], wanted: list[range], damaged: dict[tuple[int, int], Damage]
    ) -> None:
        rows, columns, channels = wanted
        height, width = self.tiles.tile
        for row, into_y, from_y in _touched(rows, height):
            for column, into_x, from_x in _touched(columns, width):
                for block, into_c, from_c in _touched(channels, self.tiles.together):
                    try:
                        tile = self._tile(plane, block, row, column)
                    except Exception as error:  # every decoder has its own kinds
                        box = (row * height, column * width)
                        end = (min(box[0] + height, self.shape[-3]), min(box[1] + width, self.shape[-2]))
                        damaged.setdefault(box, Damage(*box, *end, first_line(error)))
                        continue
                    target[into_y, into_x, into_c] = tile[from_y, from_x, from_c]

    def _tile(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        key = (self.place, plane, block, row, column)
        tile = self.cache.get(key)
        if tile is None:
            tile = self.tiles.read(plane, block, row, column)
            height, width = self.tiles.tile
            visible = (min(height, self.shape[-3] - row * height), min(width, self.shape[-2] - column * width))
            if tile.shape != (*visible, self.tiles.together):  # a tile of other sides would scramble the picture
                raise ImageError(f"a tile holds {tile.shape} values where {(*visible, self.tiles.together)} belong")
            self.cache.put(key, tile)
        return tile


def _numbered(stack: list[range]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Where a plane goes, and its index on the stack axes."""
    for place in np.ndindex(tuple(len(one) for one in stack)):
        yield place, tuple(one[at] for one, at in zip(stack, place, strict=True))


def _touched(wanted: range, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Pieces of `length` that hold a wanted index: number, where it goes, and what is taken from the piece."""
    done = 0
    while done < len(wanted):
        piece = wanted[done] // length
        end = (piece + 1) * length
        count = -(-(end - wanted[done]) // wanted.step)
        into = slice(done, min(done + count, len(wanted)))
        start = wanted[done] - piece * length
        last = wanted[into.stop - 1] - piece * length
        yield piece, into, slice(start, last + 1, wanted.step)
        done = into.stop
