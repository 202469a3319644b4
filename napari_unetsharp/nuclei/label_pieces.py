"""Clumps of nuclei that are larger than a tile's margin: each is looked at once, in a window of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.label_window import Clumps, Window
from napari_unetsharp.nuclei.pixels import Box


class Piece(NamedTuple):
    """The nuclei of one clump.

    Attributes
    ----------
    box : Box
        Around the clump.
    parts : array of int32, (Y, X) of the box
        1..n; 0 outside the clump.
    keys, areas : array of int64, (n,)
        As in `Window`.
    """

    box: Box
    parts: NDArray[np.int32]
    keys: NDArray[np.int64]
    areas: NDArray[np.int64]


class LargeClumps:
    """Large clumps that were found, until all tiles that they reach are done.

    Parameters
    ----------
    outline, look : callable
        The clumps, and the nuclei, of the window of a box.
    shape : tuple of int
        (Y, X) of the plane.
    tiles : iterable of Box
    margin : int
        Pixels around what is seen of a clump that are looked at first.
    """

    def __init__(
        self, outline: Callable[[Box], Clumps], look: Callable[[Box], Window], shape: tuple[int, int],
        tiles: Iterable[Box], margin: int,
    ) -> None:  # fmt: skip
        self._outline, self._look, self._shape, self._waiting = outline, look, shape, set(tiles)
        self._margin = margin
        self._known: list[Piece] = []
        self._lock = Lock()

    def at(self, row: int, column: int, seen: Box) -> Piece:
        """The clump that holds a pixel of the plane.

        Parameters
        ----------
        row, column : int
        seen : Box
            Around as much of the clump as is known.
        """
        with self._lock:
            for piece in self._known:
                if holds(piece, row, column):
                    return piece
            self._known.append(self._whole(row, column, seen))
            return self._known[-1]

    def done(self, tile: Box) -> None:
        """Forget clumps that only this tile was still to need."""
        with self._lock:
            self._waiting.discard(tile)
            self._known = [piece for piece in self._known if any(piece.box.meets(box) for box in self._waiting)]

    def _whole(self, row: int, column: int, seen: Box) -> Piece:
        """Follow the clump to its ends, then cut it in a window so large that nothing beyond could change it."""
        window = seen.grown(self._margin, self._shape)
        while True:
            clumps = self._outline(window)
            number = number_at(clumps, row, column)
            seen = extent(clumps, number)
            if not clumps.unsure[number]:
                break
            window = wider(seen, clumps, self._shape, self._margin)
        margin = self._margin
        while True:
            found = self._look(seen.grown(margin, self._shape))
            number = number_at(found.clumps, row, column)
            if not found.cut_off[number]:
                return taken(found, number, seen)
            margin *= 2


def wider(seen: Box, clumps: Clumps, shape: tuple[int, int], margin: int) -> Box:
    """A larger window, by half of what is seen of a clump on the sides where it reaches the frame of this one."""
    box, frame = clumps.box, clumps.frame
    down, right = (margin + side // 2 for side in seen.shape)
    return Box(
        max(0, box.top - down * (seen.top < box.top + frame)),
        max(0, box.left - right * (seen.left < box.left + frame)),
        min(shape[0], box.bottom + down * (seen.bottom > box.bottom - frame)),
        min(shape[1], box.right + right * (seen.right > box.right - frame)),
    )


def number_at(clumps: Clumps, row: int, column: int) -> int:
    """The clump at a pixel of the plane."""
    return int(clumps.numbers[row - clumps.box.top, column - clumps.box.left])


def holds(piece: Piece, row: int, column: int) -> bool:
    """Whether a pixel of the plane is one of a piece's."""
    box = piece.box
    inside = box.top <= row < box.bottom and box.left <= column < box.right
    return inside and bool(piece.parts[row - box.top, column - box.left])


def extent(clumps: Clumps, number: int) -> Box:
    """Box around what is seen of a clump, in the plane."""
    where = clumps.numbers == number
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    top, left = clumps.box[:2]
    return Box(int(rows[0]) + top, int(columns[0]) + left, int(rows[-1]) + 1 + top, int(columns[-1]) + 1 + left)


def taken(window: Window, clump: int, box: Box) -> Piece:
    """A clump out of a window; `box` is around it."""
    chosen = window.clump_of == clump
    parts = numbered(chosen)[window.parts[within(window.clumps.box, box)]]
    return Piece(box, parts, window.keys[chosen], window.areas[chosen])


def numbered(kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """New numbers 1..n of those that are kept, by old number from 0 (outside); 0 for the others."""
    return np.append(0, np.where(kept, np.cumsum(kept), 0)).astype(np.int32)


def within(outer: Box, inner: Box) -> tuple[slice, slice]:
    """Slices of a box inside another."""
    return (
        slice(inner.top - outer.top, inner.bottom - outer.top),
        slice(inner.left - outer.left, inner.right - outer.left),
    )


def shared(one: Box, other: Box) -> Box:
    """What two boxes that meet have in common."""
    return Box(
        max(one.top, other.top), max(one.left, other.left), min(one.bottom, other.bottom), min(one.right, other.right)
    )
