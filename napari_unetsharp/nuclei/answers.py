"""Answers: yes, no, can't tell, for one nucleus or many; completed views, ignored regions, tags and classes.

Each function reads the findings, changes nothing and returns the delta to apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.delta import BoxDelta, NucleusChange, OutlineChange, ViewChange
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.pixels import Box, PixelChange, union
from napari_unetsharp.nuclei.shapes import inside_polygon, polygon_box
from napari_unetsharp.nuclei.states import Nucleus, State

FEW = 50
"""So many nuclei are taken out one by one; more in one sweep over the box around all."""


def accept(findings: Findings, id_: int) -> BoxDelta:
    """Yes to what is drawn. A changed nucleus stays changed: that was a yes already."""
    changed = findings.nucleus(id_).state is State.CHANGED
    return answered(findings, [] if changed else [id_], State.RIGHT)


def reject(findings: Findings, id_: int, reason: str = "") -> BoxDelta:
    """No: its pixels leave the labels; its outline stays known, to be shown and brought back."""
    return answered(findings, [id_], State.NOT, reason)


def unsure(findings: Findings, id_: int, reason: str = "") -> BoxDelta:
    """Can't tell."""
    return answered(findings, [id_], State.UNSURE, reason)


def to_do(findings: Findings, id_: int) -> BoxDelta:
    """Nobody has looked at it, as far as the review goes."""
    return answered(findings, [id_], State.TO_DO)


def answered(
    findings: Findings, ids: Iterable[int], state: State, reason: str = "", kind: str = "", focus: int | None = None
) -> BoxDelta:
    """Give nuclei a state, as one step.

    Parameters
    ----------
    findings : Findings
    ids : iterable of int
    state : State
    reason : str, optional
        Why, for no and can't tell.
    kind : str, optional
        What the step is called; the state where empty.
    focus : int, optional
        Nucleus to go to; the first one that changes where not given.

    Returns
    -------
    BoxDelta
        Empty where all of them have this state and reason already.

    Raises
    ------
    ReviewError
        If one doesn't exist, or was declared none and its place is taken by others.
    """
    nuclei: list[NucleusChange] = []
    outlines: list[OutlineChange] = []
    gone: list[int] = []
    back: list[PixelChange] = []
    for id_ in dict.fromkeys(ids):
        nucleus = findings.nucleus(id_)
        after = replace(nucleus, state=state, reason=reason)
        if after == nucleus:
            continue
        nuclei.append(NucleusChange(id_, nucleus, after))
        if state is State.NOT and nucleus.state is not State.NOT:
            gone.append(id_)
        elif state is not State.NOT and nucleus.state is State.NOT:
            back.append(_brought_back(findings, id_, back))
            outlines.append(OutlineChange(id_, findings.rejected[id_], None))
    removed = removal(findings, gone)
    outlines += [OutlineChange(id_, None, outline) for id_, outline in removed.by_id().items()]
    first = nuclei[0].id if nuclei else 0
    boxes = [findings.box_of(change.id) for change in nuclei]
    return BoxDelta(
        kind or state.value,
        PixelChange.together([removed, *back], findings.shape[1]),
        union(boxes),
        tuple(nuclei),
        tuple(outlines),
        focus=first if focus is None else focus,
    )


def removal(findings: Findings, ids: Sequence[int]) -> PixelChange:
    """Take the pixels of nuclei out of the labels."""
    if len(ids) < FEW:
        windows = [(id_, *findings.window(id_)) for id_ in ids]
        parts = [
            PixelChange.between(box, window, np.where(window == id_, 0, window), findings.shape[1])
            for id_, box, window in windows
        ]
        return PixelChange.together(parts, findings.shape[1])
    box = union([findings.box_of(id_) for id_ in ids])
    window = findings.labels[box.slices]
    return PixelChange.between(box, window, np.where(np.isin(window, ids), 0, window), findings.shape[1])


def _brought_back(findings: Findings, id_: int, others: Sequence[PixelChange]) -> PixelChange:
    """Pixels of a rejected nucleus that are still free, also of those brought back in the same step."""
    outline = findings.rejected[id_]
    box, mask = outline.box, outline.mask()
    for other in others:
        if other.box.meets(box):
            mask &= ~other.mask(box)
    window = findings.labels[box.slices]
    change = PixelChange.between(box, window, np.where(mask & (window == 0), id_, window), findings.shape[1])
    if not change:
        raise ReviewError(f"the place of nucleus {id_} is taken by others; take those away first")
    return change


def lasso(findings: Findings, polygon: Sequence[Sequence[float]], state: State, reason: str = "") -> BoxDelta:
    """Answer for all nuclei with more than half of their pixels inside a polygon, as one step.

    Yes leaves changed nuclei as they are.

    Parameters
    ----------
    findings : Findings
    polygon : sequence of (row, column)
        At least three corners, in pixels.
    state : State
    reason : str, optional
    """
    box, mask = _region(findings, polygon)
    ids = mostly_inside(findings, box, mask)
    if state is State.RIGHT:
        ids = [id_ for id_ in ids if findings.nuclei[id_].state is not State.CHANGED]
    return answered(findings, ids, state, reason)


def complete_view(findings: Findings, view: Box) -> BoxDelta:
    """Declare a rectangle complete: what is to do in it becomes right, and nothing is missing in it.

    Parameters
    ----------
    findings : Findings
    view : Box
        In pixels; cut to the plane.

    Raises
    ------
    ReviewError
        If it lies outside the plane.
    """
    view = Box(*map(int, view)).grown(0, findings.shape)
    if not view.area:
        raise ReviewError(f"the view {tuple(view)} lies outside the image of {findings.shape} pixels; move it there")
    inside = mostly_inside(findings, view, np.ones(view.shape, bool))
    delta = answered(
        findings,
        [id_ for id_ in inside if findings.nuclei[id_].state is State.TO_DO],
        State.RIGHT,
        kind="complete view",
    )
    return replace(delta, box=delta.box.union(view), views=(ViewChange(len(findings.views), view),))


def reopen_view(findings: Findings, point: tuple[float, float]) -> BoxDelta:
    """Take back that the views around a point are complete; the answers in them stay."""
    row, column = point
    around = [
        ViewChange(place, view, added=False)
        for place, view in enumerate(findings.views)
        if view.top <= row < view.bottom and view.left <= column < view.right
    ]
    box = union([change.view for change in around])
    return BoxDelta("reopen view", PixelChange.none(findings.shape[1]), box, views=tuple(reversed(around)))


def ignore(findings: Findings, polygon: Sequence[Sequence[float]], ignored: bool = True) -> BoxDelta:
    """Leave a region out of training, or take it in again.

    Parameters
    ----------
    findings : Findings
    polygon : sequence of (row, column)
        At least three corners, in pixels.
    ignored : bool, optional
    """
    box, mask = _region(findings, polygon)
    before = findings.ignored[box.slices]
    after = np.where(mask, ignored, before)
    kind = "ignore region" if ignored else "take in region"
    width = findings.shape[1]
    return BoxDelta(kind, PixelChange.none(width), box, ignored=PixelChange.between(box, before, after, width))


def tag(findings: Findings, id_: int, tags: Sequence[str]) -> BoxDelta:
    """Give a nucleus free words in place of those it has."""
    words = tuple(dict.fromkeys(word.strip() for word in tags if word.strip()))
    return _described(findings, id_, "tags", replace(findings.nucleus(id_), tags=words))


def classify(findings: Findings, id_: int, kind: str) -> BoxDelta:
    """Give a nucleus a class; none where empty."""
    return _described(findings, id_, "class", replace(findings.nucleus(id_), kind=kind))


def _described(findings: Findings, id_: int, kind: str, after: Nucleus) -> BoxDelta:
    before = findings.nucleus(id_)
    changes = () if before == after else (NucleusChange(id_, before, after),)
    return BoxDelta(kind, PixelChange.none(findings.shape[1]), findings.box_of(id_), changes, focus=id_)


def mostly_inside(findings: Findings, box: Box, mask: NDArray[np.bool_]) -> list[int]:
    """Nuclei with more than half of their pixels in a mask of a box, in order of id."""
    window = findings.labels[box.slices]
    ids, inside = counts_of(window, mask)
    return [id_ for id_, pixels in zip(ids.tolist(), inside.tolist(), strict=True) if 2 * pixels > findings.areas[id_]]


def counts_of(labels: NDArray[np.int32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Labels above 0 within a mask, ascending, and their numbers of pixels there."""
    values = labels[mask]
    starts = np.flatnonzero(np.diff(values, prepend=-1))  # runs first: far fewer numbers to sort
    ids, places = np.unique(values[starts], return_inverse=True)
    counts = np.bincount(places.ravel(), np.diff(starts, append=len(values)), len(ids)).astype(np.int64)
    return ids[ids > 0], counts[ids > 0]


def _region(findings: Findings, polygon: Sequence[Sequence[float]]) -> tuple[Box, NDArray[np.bool_]]:
    if len(polygon) < 3:
        raise ReviewError(f"a region has at least three corners; got {len(polygon)}")
    box = polygon_box(polygon, findings.shape)
    return box, inside_polygon(polygon, box)
