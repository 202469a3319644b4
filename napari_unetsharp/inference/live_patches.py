"""Which parts of a view still wait for the network, and in what order they are computed."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.scaling import ModelScale
from napari_unetsharp.inference.tiling import MARGINS, Region

STEP = 64
"""A view is rounded out to multiples of so many of the model's pixels: a small move then needs no sliver of a tile."""


def in_view(scale: ModelScale, region: Region) -> Region:
    """What is on screen, in the model's pixels, rounded out to multiples of `STEP` within the plane."""
    seen = scale.region(region)
    top, left = seen.top // STEP * STEP, seen.left // STEP * STEP
    bottom, right = (-(-stop // STEP) * STEP for stop in (seen.top + seen.height, seen.left + seen.width))
    return Region(top, left, bottom - top, right - left).within(scale.model)


def longest_side(level: int, tile: int) -> int:
    """Side of a patch that is one tile at this level, its margins included; a multiple of `STEP`."""
    return max(STEP, (tile - 2 * MARGINS[level]) // STEP * STEP)


def patches(seen: Region, scale: ModelScale, done: NDArray[np.bool_], side: int) -> list[Region]:
    """Cut what is missing in a view into pieces, the middle of the view first.

    Parameters
    ----------
    seen : Region
        As from `in_view`.
    scale : ModelScale
    done : array of bool, (Y, X)
        What was computed before, in pixels of the plane.
    side : int
        Longest side of a piece in the model's pixels, a multiple of `STEP`.

    Returns
    -------
    list of Region
        In the model's pixels; their edges are multiples of `STEP` or the plane's own.
    """
    missing = _missing(seen, scale, done)
    if not missing.any():
        return []
    rows, columns = (_spans(np.any(missing, axis=1 - axis), side // STEP) for axis in (0, 1))
    pieces = []
    for top, bottom in rows:
        for left, right in columns:
            box = _bounds(missing[top:bottom, left:right])
            if box is not None:
                cells = Region(top + box.top, left + box.left, box.height, box.width)
                pieces.append(_in_pixels(cells, seen, scale))
    middle = np.array([seen.top + seen.height / 2, seen.left + seen.width / 2])
    return sorted(pieces, key=lambda piece: float(np.abs(_middle(piece) - middle).max()))


def asked(scale: ModelScale, patch: Region) -> Region | None:
    """The plane's pixels to ask a predictor for, so that it computes a patch and nothing beyond it.

    Its own rounding goes outwards, to multiples of 16, so that within a resampled plane a pixel less is asked for on
    each side. None for a patch that holds no pixel's centre.
    """
    core = scale.core(patch)
    if core is None or scale.is_native or min(core.height, core.width) < 3:
        return core
    top, left = core.top + (patch.top > 0), core.left + (patch.left > 0)
    bottom = core.top + core.height - (patch.top + patch.height < scale.model[0])
    right = core.left + core.width - (patch.left + patch.width < scale.model[1])
    return Region(top, left, bottom - top, right - left)


def grown(region: Region, reach: int, shape: tuple[int, int]) -> Region:
    """A region with so many pixels more on each side, within a plane of this shape."""
    return Region(
        region.top - reach, region.left - reach, region.height + 2 * reach, region.width + 2 * reach
    ).within(shape)  # fmt: skip


def _missing(seen: Region, scale: ModelScale, done: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether anything is missing in each cell of `STEP` x `STEP` of the model's pixels."""
    rows, columns = _edges(seen.top, seen.height, scale, 0), _edges(seen.left, seen.width, scale, 1)
    missing = np.zeros((len(rows) - 1, len(columns) - 1), bool)
    for row in range(len(rows) - 1):
        strip = done[rows[row] : rows[row + 1], columns[0] : columns[-1]]
        across = np.asarray(~np.all(strip, axis=0))
        for column in range(len(columns) - 1):
            start, stop = columns[column] - columns[0], columns[column + 1] - columns[0]
            missing[row, column] = across[start:stop].any()
    return missing


def _edges(start: int, length: int, scale: ModelScale, axis: int) -> list[int]:
    """Edges of cells along an axis, in the plane's pixels whose centres they hold."""
    edges = [*range(start, start + length, STEP), start + length]
    if scale.is_native:
        return edges
    return [math.ceil(edge * scale.native[axis] / scale.model[axis] - 0.5) for edge in edges]


def _spans(missing: Any, most: int) -> list[tuple[int, int]]:
    """The stretch of cells that holds all that is missing, cut evenly into spans of at most so many."""
    places = np.flatnonzero(missing)
    first, last = int(places[0]), int(places[-1]) + 1
    count = -(-(last - first) // most)
    cuts = [first + (last - first) * part // count for part in range(count + 1)]
    return list(pairwise(cuts))


def _bounds(missing: NDArray[np.bool_]) -> Region | None:
    down, across = np.flatnonzero(missing.any(axis=1)), np.flatnonzero(missing.any(axis=0))
    if not len(down):
        return None
    top, left = int(down[0]), int(across[0])
    return Region(top, left, int(down[-1]) + 1 - top, int(across[-1]) + 1 - left)


def _in_pixels(cells: Region, seen: Region, scale: ModelScale) -> Region:
    top, left = seen.top + cells.top * STEP, seen.left + cells.left * STEP
    return Region(top, left, cells.height * STEP, cells.width * STEP).within(scale.model)


def _middle(region: Region) -> NDArray[np.float64]:
    return np.array([region.top + region.height / 2, region.left + region.width / 2])
