"""Exact outlines of nuclei: polygons along the edges of pixels, with holes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.stretches import Runs, find_runs, pieces

Ring = NDArray[Any]
"""(n, 2): x and y of the corners; the last is the first again."""
Polygon = list[Ring]
"""The shell, then the holes."""

_Corners = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def outlines(labels: NDArray[Any]) -> Iterator[tuple[int, list[Polygon]]]:
    """Trace every nucleus along the edges of its pixels.

    Coordinates are those of QuPath: pixel (0, 0) spans 0 to 1, so that all corners are whole numbers. Shells
    run anticlockwise and holes clockwise with Y taken upwards, as RFC 7946 asks. Each polygon is valid in the
    sense of OGC simple features: no ring passes a corner twice; pieces that touch by a corner alone are polygons
    of their own, and holes may touch each other or the shell in single points.

    Parameters
    ----------
    labels : array of int, (Y, X)
        0 outside; ids needn't be consecutive.

    Yields
    ------
    tuple of int and list of Polygon
        Id and its pieces, by ascending id. Corners are int64; filling them gives the same labels again.
    """
    yield from trace(find_runs(labels))


def trace(runs: Runs) -> Iterator[tuple[int, list[Polygon]]]:
    """Trace nuclei given as runs; see `outlines`."""
    piece, owner = pieces(runs)
    corners = _corners(piece, runs.row, runs.start, runs.stop)
    last, polygons = -1, list[Polygon]()
    for number, polygon in _polygons(corners):
        if owner[number] != last:
            if polygons:
                yield int(runs.ids[last]), polygons
            last, polygons = int(owner[number]), []
        polygons.append(polygon)
    if polygons:
        yield int(runs.ids[last]), polygons


def _corners(
    piece: NDArray[np.int64], row: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64]
) -> _Corners:
    """Find the corners of all pieces, sorted by piece, y and x.

    The ends of the runs above and below a grid line are compared: an end on one side only is a corner. Ends of
    different kinds on both sides are two corners at one point, where a piece touches itself.

    Returns
    -------
    tuple of array of int64, (corners,)
        Piece, y, x, and which one of two corners at one point comes first along the vertical line (0, 1).
    """
    ends = np.concatenate([start, stop, start, stop])
    lines = np.concatenate([row, row, row + 1, row + 1])
    is_stop = np.tile(np.repeat([False, True], len(row)), 2)
    below = np.repeat([True, False], 2 * len(row))  # the run lies below the grid line
    owner = np.tile(piece, 4)
    order = np.lexsort((below, ends, lines, owner))
    owner, lines, ends, is_stop = (part[order] for part in (owner, lines, ends, is_stop))
    same = (owner[1:] == owner[:-1]) & (lines[1:] == lines[:-1]) & (ends[1:] == ends[:-1])
    straight = same & (is_stop[1:] == is_stop[:-1])
    kept = np.ones(len(owner), bool)
    kept[1:][straight] = False
    kept[:-1][straight] = False
    # Pixels of one piece that meet in a corner are kept apart. If the upper one lies left, then the left edge
    # goes on upwards and the right edge downwards; else the other way round.
    vertical = np.zeros(len(owner), np.int64)
    crossing = np.flatnonzero(same & ~straight)
    upper_left = is_stop[crossing]
    vertical[crossing] = ~upper_left
    vertical[crossing + 1] = upper_left
    return owner[kept], lines[kept], ends[kept], vertical[kept]


def _polygons(corners: _Corners) -> Iterator[tuple[int, Polygon]]:
    """Piece by piece, join the corners to rings.

    On every grid line the corners of a piece are pairwise the ends of edges. The first corner of a piece is its
    topmost, so the ring through it is the shell.
    """
    owner, y, x, vertical = corners
    order = np.lexsort((vertical, y, x, owner))
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    points, along, owners = np.stack([x, y], axis=1), partner.tolist(), owner.tolist()
    double = np.zeros(len(order), bool)
    twice = (owner[1:] == owner[:-1]) & (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    double[1:] |= twice
    double[:-1] |= twice
    seen = bytearray(len(order))
    starts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(order)] if len(order) else []
    for begin, end in pairwise(starts):
        polygon: Polygon = []
        for corner in range(begin, end):
            if not seen[corner]:
                ring = _walk(corner, along, seen)
                closed = points[[*ring, corner]]
                closed = closed[::-1] if polygon else closed
                polygon += _simple(closed) if double[ring].any() else [closed]
        yield owners[begin], polygon


def _walk(first: int, along: list[int], seen: bytearray) -> list[int]:
    """Go from corner to corner, eastwards first, until the first one is met again."""
    ring: list[int] = []
    corner = first
    while not seen[corner]:
        side = corner ^ 1  # neighbours on a horizontal line follow each other
        seen[corner] = seen[side] = 1
        ring += (corner, side)
        corner = along[side]
    return ring


def _simple(ring: Ring) -> list[Ring]:
    """Cut a ring at points that it passes twice; what encloses the others comes first.

    The shell of a piece that touches itself so becomes a shell and holes, a hole becomes several.
    """
    found: list[Ring] = []
    path: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for x, y in ring.tolist():
        point = (x, y)
        if point in place:
            begin = place[point]
            loop = [*path[begin:], point]
            found.append(np.array(loop))
            for passed in path[begin:]:
                del place[passed]
            del path[begin:]
        place[point] = len(path)
        path.append(point)
    shells = [loop for loop in found if twice_area(loop) > 0]
    return shells + [loop for loop in found if twice_area(loop) <= 0]


def twice_area(ring: Ring) -> float:
    """Twice the signed area of a closed ring, above 0 if it runs anticlockwise with Y taken upwards."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
