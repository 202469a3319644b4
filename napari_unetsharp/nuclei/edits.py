"""Corrections of what is one nucleus: add, grow, split, join.

Each function reads the findings, changes nothing and returns the delta to apply. No edit takes a pixel from
another nucleus than those it is about, and an edited nucleus counts as looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import shapes
from napari_unetsharp.nuclei.delta import BoxDelta, NucleusChange
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.pixels import Box, PixelChange, union
from napari_unetsharp.nuclei.states import Nucleus, State

Mask = NDArray[np.bool_]

THRESHOLDS = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
"""Probabilities at which a nucleus is tried to be grown around a point."""

REACH = 64
"""How far from the point a nucleus is grown, in pixels, where nothing is known about sizes."""

WIDEST_GAP = 32
"""Nuclei further apart than this, in pixels, are not joined."""


def add(findings: Findings, box: Box, mask: Mask, kind: str = "") -> BoxDelta:
    """Put in a new nucleus, where no other one is; its largest piece, if others cut it.

    Parameters
    ----------
    findings : Findings
    box : Box
        Within the plane.
    mask : array of bool, (Y, X) of the box
    kind : str, optional
        Its class.

    Raises
    ------
    ReviewError
        If all of its place is taken.
    """
    check_window(findings, box, mask.shape)
    window = findings.labels[box.slices]
    free = shapes.largest_piece(mask & (window == 0))
    if not free.any():
        raise ReviewError("the place of the new nucleus is taken by others; point at tissue without an outline")
    id_ = findings.next_id
    pixels = PixelChange.between(box, window, np.where(free, id_, window), findings.shape[1])
    change = NucleusChange(id_, None, Nucleus(id_, State.CHANGED, kind=kind))
    return BoxDelta("add", pixels, pixels.box, (change,), focus=id_)


def grow(
    findings: Findings,
    point: tuple[float, float],
    maps: Sequence[Any],
    reach: int = REACH,
    thresholds: Sequence[float] = THRESHOLDS,
) -> BoxDelta:
    """Add the nucleus around a point as the probability maps outline it.

    Of the connected regions around the point at several thresholds of each map, the one that stands out most
    from a ring around it is taken.

    Parameters
    ----------
    findings : Findings
    point : tuple of float
        (row, column) in pixels.
    maps : sequence of array, (Y, X), floating, 0..1
        Of the size of the plane; only the surroundings of the point are read.
    reach : int, optional
        Half the side of the square in which the nucleus must lie, in pixels.
    thresholds : sequence of float, optional

    Raises
    ------
    ReviewError
        If there is a nucleus already, or no region in reach.
    """
    row, column = round(point[0]), round(point[1])
    if not (0 <= row < findings.shape[0] and 0 <= column < findings.shape[1]):
        raise ReviewError(f"the point {row}, {column} lies outside the image; point at tissue")
    if findings.labels[row, column]:
        raise ReviewError(f"nucleus {findings.labels[row, column]} is there already; select it to change it")
    box = Box(row, column, row + 1, column + 1).grown(reach, findings.shape)
    region = _standing_out(findings, box, (row, column), maps, thresholds)
    if region is None:
        raise ReviewError("no view sees a nucleus at this point; draw it with the brush (R)")
    return add(findings, box, region)


def _standing_out(
    findings: Findings, box: Box, point: tuple[int, int], maps: Sequence[Any], thresholds: Sequence[float]
) -> Mask | None:
    # sides of the window that are sides of the image get a margin: a nucleus may end there
    sides = ((box.top == 0, box.bottom == findings.shape[0]), (box.left == 0, box.right == findings.shape[1]))
    margins = tuple((int(low), int(high)) for low, high in sides)
    free = np.pad(findings.labels[box.slices] == 0, margins)
    here = (point[0] - box.top + margins[0][0], point[1] - box.left + margins[1][0])
    best, most = None, -np.inf
    for values in maps:
        window = np.pad(np.asarray(values[box.slices], np.float32), margins)
        for contrast, region in shapes.grown_regions(window, free, here, thresholds):
            if contrast > most:
                best, most = region, contrast
    if best is None:
        return None
    top, left = margins[0][0], margins[1][0]
    return best[top : top + box.shape[0], left : left + box.shape[1]]


def split(findings: Findings, id_: int, points: Sequence[Sequence[float]]) -> BoxDelta:
    """Cut a nucleus along a line; the larger part keeps the id.

    Parameters
    ----------
    findings : Findings
    id_ : int
    points : sequence of (row, column)
        Of the line, in pixels; at least two.

    Raises
    ------
    ReviewError
        If the line doesn't cut it.
    """
    if len(points) < 2:
        raise ReviewError("a line has at least two points; drag across the nucleus")
    box, window = findings.window(id_)
    parts = shapes.cut_along(window == id_, np.asarray(points, float) - (box.top, box.left))
    if parts.max() < 2:
        raise ReviewError(f"the line doesn't cut nucleus {id_}; drag from one side of it to the other")
    return _cut(findings, id_, box, window, parts)


def split_at_neck(findings: Findings, id_: int) -> BoxDelta:
    """Cut a nucleus where it is narrowest; the larger part keeps the id.

    Raises
    ------
    ReviewError
        If it is too small.
    """
    box, window = findings.window(id_)
    parts = shapes.cut_at_neck(window == id_)
    if parts.max() < 2:
        raise ReviewError(f"nucleus {id_} is too small to be split; drag a line across it")
    return _cut(findings, id_, box, window, parts)


def _cut(findings: Findings, id_: int, box: Box, window: NDArray[np.int32], parts: NDArray[np.int32]) -> BoxDelta:
    nucleus = findings.nucleus(id_)
    count = int(parts.max())
    ids = np.array([0, id_, *range(findings.next_id, findings.next_id + count - 1)], np.int32)
    pixels = PixelChange.between(box, window, np.where(parts > 0, ids[parts], window), findings.shape[1])
    changes = [NucleusChange(id_, nucleus, replace(nucleus, state=State.CHANGED, reason=""))]
    for new in ids[2:].tolist():
        changes.append(NucleusChange(new, None, replace(nucleus, id=new, state=State.CHANGED, reason="")))
    return BoxDelta("split", pixels, box, tuple(changes), focus=id_)


def join(findings: Findings, one: int, two: int) -> BoxDelta:
    """Make two nuclei one, over the gap between them if there is one; the larger keeps its id.

    Raises
    ------
    ReviewError
        If they are the same or too far apart.
    """
    if one == two:
        raise ReviewError(f"nucleus {one} can't be joined with itself; click its neighbour")
    first, second = findings.window(one)[0], findings.window(two)[0]
    gap = max(
        first.top - second.bottom, second.top - first.bottom, first.left - second.right, second.left - first.right
    )
    if gap > WIDEST_GAP:
        raise ReviewError(f"nuclei {one} and {two} are {gap} px apart; only neighbours can be joined")
    kept, gone = (one, two) if findings.areas[one] >= findings.areas[two] else (two, one)
    box = union([first, second])
    window = findings.labels[box.slices]
    link = shapes.bridge(window == kept, window == gone, window == 0)
    pixels = PixelChange.between(box, window, np.where((window == gone) | link, kept, window), findings.shape[1])
    nucleus, other = findings.nucleus(kept), findings.nucleus(gone)
    tags = tuple(dict.fromkeys((*nucleus.tags, *other.tags)))
    changes = (
        NucleusChange(kept, nucleus, replace(nucleus, state=State.CHANGED, reason="", tags=tags)),
        NucleusChange(gone, other, None),
    )
    return BoxDelta("join", pixels, box, changes, focus=kept)


def check_window(findings: Findings, box: Box, shape: tuple[int, ...]) -> None:
    """See that a mask fits its box and the box the plane.

    Raises
    ------
    ReviewError
    """
    inside = box.top >= 0 and box.left >= 0 and box.bottom <= findings.shape[0] and box.right <= findings.shape[1]
    if not inside or not box.area or shape != box.shape:
        raise ReviewError(
            f"a mask of {shape} pixels doesn't fit the box {tuple(box)} of an image of {findings.shape}; cut it there"
        )
