"""Other outlines for a nucleus: of another view, by brush, tidied.

Each function reads the findings, changes nothing and returns the delta to apply. No pixel is taken from
another nucleus, and the nucleus counts as looked at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import shapes
from napari_unetsharp.nuclei.answers import answered
from napari_unetsharp.nuclei.delta import BoxDelta, NucleusChange
from napari_unetsharp.nuclei.edits import check_window
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.pixels import NOWHERE, Box, PixelChange
from napari_unetsharp.nuclei.states import Nucleus, State

Mask = NDArray[np.bool_]


def take_outline(findings: Findings, id_: int, labels: Any) -> BoxDelta:
    """Give a nucleus the outline that another view or level draws there.

    Parameters
    ----------
    findings : Findings
    id_ : int
    labels : array of int, (Y, X)
        Of the view, of the size of the plane; only the surroundings of the nucleus are read.

    Raises
    ------
    ReviewError
        If the view sees nothing there.
    """
    found = instance_at(findings, id_, labels)
    if found is None:
        raise ReviewError(f"this view sees nothing at nucleus {id_}; try the next one (W)")
    return redraw(findings, id_, *found, kind="other outline")


def instance_at(findings: Findings, id_: int, labels: Any) -> tuple[Box, Mask] | None:
    """Outline of the nucleus of another label plane that shares the most pixels with one of ours.

    Returns
    -------
    tuple of Box and array of bool, (Y, X) of the box; or None where it sees nothing
    """
    box, window = findings.window(id_)
    shared = np.asarray(labels[box.slices])[window == id_]
    shared = shared[shared > 0]
    if not shared.size:
        return None
    other = np.bincount(shared).argmax() if shared.max() < 1 << 24 else _most_frequent(shared)
    while True:
        mask = np.asarray(labels[box.slices]) == other
        edges = (mask[0], mask[:, 0], mask[-1], mask[:, -1])
        grown = box.grown(16, findings.shape)
        sides = [new if edge.any() else old for edge, old, new in zip(edges, box, grown, strict=True)]
        if Box(*sides) == box:
            return box, mask
        box = Box(*sides)


def _most_frequent(values: NDArray[Any]) -> Any:
    different, counts = np.unique(values, return_counts=True)
    return different[counts.argmax()]


def redraw(findings: Findings, id_: int, box: Box, mask: Mask, kind: str = "redraw") -> BoxDelta:
    """Give a nucleus a new outline; pixels of other nuclei stay theirs.

    Parameters
    ----------
    findings : Findings
    id_ : int
    box : Box
        Within the plane.
    mask : array of bool, (Y, X) of the box
    kind : str, optional
        What the step is called.

    Raises
    ------
    ReviewError
        If nothing of it is free.
    """
    check_window(findings, box, mask.shape)
    old, _ = findings.window(id_)
    around = old.union(box)
    window = findings.labels[around.slices]
    wanted = np.zeros(around.shape, bool)
    wanted[box.top - around.top : box.bottom - around.top, box.left - around.left : box.right - around.left] = mask
    free = wanted & ((window == 0) | (window == id_))
    if not free.any():
        raise ReviewError(f"the new place of nucleus {id_} is taken by others; draw it where there is none")
    after = np.where(free, id_, np.where(window == id_, 0, window))
    return _changed(findings, id_, PixelChange.between(around, window, after, findings.shape[1]), kind)


def brush(findings: Findings, id_: int, box: Box, mask: Mask, erase: bool = False) -> BoxDelta:
    """Paint or erase with a brush that is locked to one nucleus: it takes background only and gives it back.

    A nucleus that is erased altogether was none; an id that is new (`Findings.next_id`) is put in.

    Parameters
    ----------
    findings : Findings
    id_ : int
    box : Box
        Within the plane.
    mask : array of bool, (Y, X) of the box
        Under the brush.
    erase : bool, optional
    """
    check_window(findings, box, mask.shape)
    window = findings.labels[box.slices]
    after = np.where(mask & (window == (id_ if erase else 0)), 0 if erase else id_, window)
    return stroke(findings, id_, PixelChange.between(box, window, after, findings.shape[1]))


def stroke(findings: Findings, id_: int, pixels: PixelChange, box: Box = NOWHERE) -> BoxDelta:
    """A brush stroke as pixels, of which those count that paint a nucleus on background or erase it.

    The box, if one is given, is drawn anew too.

    Raises
    ------
    ReviewError
        If the id was that of a nucleus that is gone.
    """
    allowed = ((pixels.before == 0) & (pixels.after == id_)) | ((pixels.before == id_) & (pixels.after == 0))
    pixels = pixels.only(allowed)
    if id_ in findings.nuclei:
        if findings.nuclei[id_].state is State.NOT:
            raise ReviewError(f"nucleus {id_} was declared none; bring it back first")
        if pixels and _erased(findings, id_, pixels):
            delta = answered(findings, [id_], State.NOT)
        else:
            delta = _changed(findings, id_, pixels, "brush")
        return replace(delta, box=delta.box.union(box))
    if id_ != findings.next_id:
        raise ReviewError(f"number {id_} is not free; a new nucleus gets {findings.next_id}")
    changes = (NucleusChange(id_, None, Nucleus(id_, State.CHANGED)),) if pixels else ()
    return BoxDelta("brush", pixels, pixels.box.union(box), changes, focus=id_)


def _erased(findings: Findings, id_: int, pixels: PixelChange) -> bool:
    gained = int(pixels.lengths[pixels.after == id_].sum())
    return gained == 0 and pixels.area == findings.areas[id_]


def tidy(findings: Findings, id_: int) -> BoxDelta:
    """Fill the holes of a nucleus, smooth its edge and keep its largest piece."""
    box, window = findings.window(id_, margin=8)
    wanted = shapes.smooth(window == id_)[8:-8, 8:-8]
    free = shapes.largest_piece(wanted & ((window == 0) | (window == id_)))
    if not free.any():
        raise ReviewError(f"nucleus {id_} is too thin to be tidied; redraw it (R)")
    after = np.where(free, id_, np.where(window == id_, 0, window))
    return _changed(findings, id_, PixelChange.between(box, window, after, findings.shape[1]), "tidy")


def _changed(findings: Findings, id_: int, pixels: PixelChange, kind: str) -> BoxDelta:
    """A nucleus with other pixels; nothing at all where the pixels are the same."""
    nucleus = findings.nucleus(id_)
    box = findings.box_of(id_).union(pixels.box)
    if not pixels:
        return BoxDelta(kind, pixels, box, focus=id_)
    after = replace(nucleus, state=State.CHANGED, reason="")
    changes = () if after == nucleus else (NucleusChange(id_, nucleus, after),)
    return BoxDelta(kind, pixels, box, changes, focus=id_)
