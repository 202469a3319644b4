"""Some objects of a plane set side by side on a canvas of their own, so that what is slow sees nothing else."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Canvas(NamedTuple):
    """Where the pixels of some objects lie in the plane, and where on the canvas.

    On the canvas no two objects touch, not even by a corner. The pixels of each keep their places to each other, so
    that whatever depends on an object alone, and on the order of its pixels row by row, comes out the same.

    Attributes
    ----------
    shape : tuple of int
        (Y, X) of the canvas.
    source, target : array of int64, (pixels,)
        Flat places in the plane and on the canvas.
    """

    shape: tuple[int, int]
    source: NDArray[np.int64]
    target: NDArray[np.int64]

    def taken(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The objects' values, (Y, X) of the canvas; 0 around them."""
        canvas = np.zeros(self.shape, plane.dtype)
        canvas.ravel()[self.target] = plane.ravel()[self.source]
        return canvas

    def given_back(self, canvas: NDArray[Any], plane: NDArray[Any]) -> None:
        """Write values of the canvas over those of the objects in the plane."""
        np.put(plane, self.source, canvas.ravel()[self.target])


def packed(objects: NDArray[Any], wanted: NDArray[np.bool_]) -> Canvas:
    """Put objects in rows, the highest first, on a canvas about as wide as high.

    Parameters
    ----------
    objects : array of int, (Y, X)
    wanted : array of bool, (largest number + 1,)
        Those to put there, by number; [0] is False.

    Returns
    -------
    Canvas
    """
    source = np.flatnonzero(wanted[objects])
    own = objects.ravel()[source]
    rows, columns = np.divmod(source, objects.shape[1])
    top, left, height, width = _extents(own, rows, columns, len(wanted))
    down, right, shape = _shelves(height, width)
    target = (rows - top[own] + down[own]) * shape[1] + columns - left[own] + right[own]
    return Canvas(shape, source, target)


def _extents(
    own: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Top, left, height and width by number; 0 of what isn't there."""
    top, bottom, right = (np.full(count, -1, np.int64) for _ in range(3))
    left = np.full(count, np.iinfo(np.int64).max)
    top[own[::-1]], bottom[own] = rows[::-1], rows  # pixels come row by row
    np.minimum.at(left, own, columns)
    np.maximum.at(right, own, columns)
    there = bottom >= 0
    return top, left, np.where(there, bottom - top + 1, 0), np.where(there, right - np.minimum(left, right) + 1, 0)


def _shelves(
    height: NDArray[np.int64], width: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int]]:
    """First row and column of each box, a pixel apart from the others and from the edge, and the canvas's shape."""
    order = np.argsort(-height, kind="stable")
    wide = np.where(width > 0, width + 1, 0)[order]
    starts = np.cumsum(wide) - wide
    length = max(1, math.isqrt(int(((height + 1) * (width + 1)).sum())))
    shelf = starts // length
    first = np.flatnonzero(np.diff(shelf, prepend=-1))
    place = np.cumsum(np.diff(shelf, prepend=-1) != 0) - 1
    tall = height[order][first] + 1
    down, right = np.zeros_like(height), np.zeros_like(width)
    down[order] = (np.cumsum(tall) - tall)[place] + 1
    right[order] = starts - starts[first][place] + 1
    return down, right, (int(tall.sum()) + 2, int((right + width).max(initial=0)) + 2)
