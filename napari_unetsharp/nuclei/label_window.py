"""The nuclei of a window of a plane, and which of them would be the same whatever lies beyond it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.nuclei.label_cut import (
    EIGHT,
    REACH,
    Cut,
    cut_at_necks,
    cut_by_cores,
    first_places,
    has_core,
    uncut,
)
from napari_unetsharp.nuclei.label_holes import Border, depths, edges, filled, not_at
from napari_unetsharp.nuclei.pixels import Box

SPLIT_DEPTH = 0.1
"""How much narrower (in the logarithm of the half-width) a neck must be than both sides to be cut."""


class Clumps(NamedTuple):
    """The foreground of a window: clumps are its 8-connected pieces, and whatever cuts one lies within `REACH` of it.

    Attributes
    ----------
    box : Box
        The window in the plane.
    border : tuple of bool
        Whether the plane ends at its edges.
    mask : array of bool, (Y, X)
    numbers : array of int, (Y, X)
        1..total.
    total : int
    frame : int
        Pixels along the edges where the plane goes on in which clumps are unsure.
    unsure : array of bool, (total + 1,)
        Clumps that reach the frame.
    threshold : float
        Probability from which a pixel is foreground.
    """

    box: Box
    border: Border
    mask: NDArray[np.bool_]
    numbers: NDArray[Any]
    total: int
    frame: int
    unsure: NDArray[np.bool_]
    threshold: float


class Window(NamedTuple):
    """The nuclei of a window.

    Attributes
    ----------
    clumps : Clumps
    parts : array of int32, (Y, X)
        Nuclei 1..n, of any size.
    keys : array of int64, (n,)
        What each is known by in the whole plane: where it grew from. Their order is that of the ids.
    areas : array of int64, (n,)
        Pixels.
    clump_of : array of int64, (n,)
    cut_off : array of bool, (clumps + 1,)
        Clumps that may go on beyond the window, or be cut otherwise for what lies there.
    """

    clumps: Clumps
    parts: NDArray[np.int32]
    keys: NDArray[np.int64]
    areas: NDArray[np.int64]
    clump_of: NDArray[np.int64]
    cut_off: NDArray[np.bool_]


def border_of(box: Box, shape: tuple[int, int]) -> Border:
    """Whether the plane ends at the top, left, bottom and right of a box."""
    return box.top == 0, box.left == 0, box.bottom == shape[0], box.right == shape[1]


def clumps_of(
    probability: NDArray[Any], box: Box, shape: tuple[int, int], threshold: float, largest_hole: float
) -> Clumps:
    """Foreground of a window.

    Parameters
    ----------
    probability : array, (Y, X) of the box, floating, 0..1
    box : Box
    shape : tuple of int
        (Y, X) of the plane.
    threshold : float
    largest_hole : float
        Pixels up to which holes are filled.

    Returns
    -------
    Clumps
    """
    border = border_of(box, shape)
    mask, reach = filled(np.asarray(probability >= threshold), largest_hole, border)
    numbers, count = ndimage.label(mask, EIGHT)
    frame = max(REACH, reach + 1)
    unsure = np.zeros(count + 1, bool)
    for edge in edges(numbers, not_at(border), frame):
        unsure[edge] = True
    unsure[0] = False
    return Clumps(box, border, mask, numbers, count, frame, unsure, threshold)


def labelled(clumps: Clumps, core: NDArray[Any] | None, shape: tuple[int, int], split: bool = True) -> Window:
    """Label a window.

    Parameters
    ----------
    clumps : Clumps
    core : array, (Y, X) of the box, floating, 0..1, optional
        As in `instances.label_nuclei`; it counts only where nuclei are cut apart.
    shape : tuple of int
        (Y, X) of the plane.
    split : bool
        Cut touching nuclei apart.

    Returns
    -------
    Window
    """
    if not split or not clumps.total:
        cut = uncut(clumps.mask)
    elif core is None:
        cut = cut_at_necks(clumps.mask, SPLIT_DEPTH, clumps.border)
    else:
        cut = _with_cores(cut_by_cores(clumps.mask, core, clumps.border), core, clumps.threshold)
    areas = np.bincount(cut.parts.ravel(), minlength=len(cut.firsts) + 1)[1:]
    clump_of = clumps.numbers.ravel()[first_places(cut.parts, len(cut.firsts))].astype(np.int64)
    return Window(clumps, cut.parts, _keys(cut, clumps.box, shape), areas, clump_of, _cut_off(clumps, cut.distance))


def _with_cores(cut: Cut, core: NDArray[Any], threshold: float) -> Cut:
    """Only the parts that have a core; the others are outside."""
    kept = has_core(cut.parts, len(cut.firsts), core, threshold)
    numbers = np.append(0, np.where(kept, np.cumsum(kept), 0)).astype(np.int32)
    return Cut(numbers[cut.parts], cut.kinds[kept], cut.firsts[kept], cut.distance)


def _keys(cut: Cut, box: Box, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Kind and flat place in the plane as one number."""
    rows, columns = np.divmod(cut.firsts, box.right - box.left)
    keys: NDArray[np.int64] = cut.kinds * (shape[0] * shape[1]) + (rows + box.top) * shape[1] + columns + box.left
    return keys


def _cut_off(clumps: Clumps, distance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Clumps of which something is unsure: they reach the frame, or lie within `REACH` of unsure distances."""
    cut_off = clumps.unsure.copy()
    wrong = cut_off[clumps.numbers]
    if wrong.any():
        wrong &= distance > depths(clumps.mask.shape, clumps.border) - clumps.frame
    if wrong.any():
        cut_off[clumps.numbers[ndimage.maximum_filter(wrong, 2 * REACH + 1)]] = True
        cut_off[0] = False
    return cut_off
