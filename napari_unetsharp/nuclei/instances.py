"""From a probability map to nuclei: threshold, splitting of touching ones, smallest size, stable ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.label_cut import cut_at_necks, cut_by_cores
from napari_unetsharp.nuclei.label_holes import WHOLE, filled, half_widths, largest_hole
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.label_tiles import label_tiles, windows_of
from napari_unetsharp.nuclei.label_window import SPLIT_DEPTH
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.progress import run

__all__ = [
    "SPLIT_DEPTH", "LabelSettings", "align_ids", "count_nuclei", "fill_small_holes", "label_nuclei", "median_diameter",
    "split_by_cores", "split_touching", "without_small",
]  # fmt: skip


def label_nuclei(
    probability: NDArray[Any], settings: LabelSettings | None = None, core: NDArray[Any] | None = None
) -> NDArray[np.int32]:
    """Instance map of a plane, by tiles in parallel where it is large; the tiles don't change it.

    Parameters
    ----------
    probability : array, (Y, X), floating, 0..1
        Anything that can be sliced; only windows of it are read.
    settings : LabelSettings, optional
    core : array, (Y, X), floating, 0..1, optional
        Probability of a nucleus's inner part: nuclei are cut apart where it dips and their outline narrows, and what
        has no such part is no nucleus (`label_cut.has_core`). Without it, or where nothing is to be split, all of
        the foreground is nuclei; without it they are cut apart at their necks.

    Returns
    -------
    array of int32, (Y, X)
        0 outside, 1..n by the place that each nucleus grew from, row by row.
    """
    shape = probability.shape[0], probability.shape[1]
    labels = np.zeros(shape, np.int32)
    boxes: list[Box] = []

    def keep(step: tuple[Box, NDArray[np.int32]]) -> None:
        box, found = step
        labels[box.slices] = found
        boxes.append(box)

    read_core = None if core is None else windows_of(core)
    order = run(label_tiles(windows_of(probability), shape, settings, read_core), keep)
    for box in boxes:
        labels[box.slices] = order[labels[box.slices]]
    return labels


def fill_small_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill holes that are at most twice as wide as the nuclei around them are half-wide.

    Such a hole is the pale middle of a nucleus; a wider one is the lumen of a gland.

    Parameters
    ----------
    mask : array of bool, (Y, X)

    Returns
    -------
    array of bool, (Y, X)
    """
    return filled(mask, largest_hole(half_widths(mask).largest)).mask


def split_touching(components: NDArray[Any], depth: float = SPLIT_DEPTH) -> NDArray[np.int32]:
    """Cut components at necks, by the watershed of their distance to the outside.

    Peaks of the distance are kept apart if the way between them narrows by more than `depth` in the
    logarithm of the half-width: a large and a small nucleus are judged alike.

    Parameters
    ----------
    components : array of int, (Y, X)
    depth : float
        How much narrower a neck must be than both sides.

    Returns
    -------
    array of int32, (Y, X)
        The same foreground; parts are renumbered 1..n.
    """
    return cut_at_necks(np.asarray(components > 0), depth, WHOLE).parts


def split_by_cores(components: NDArray[Any], core: NDArray[Any]) -> NDArray[np.int32]:
    """Cut components where their cores dip and their outline narrows, together.

    The landscape is the core, smoothed, plus `label_cut.WIDTH` times the logarithm of the distance to the outside,
    and its tops are kept apart if the way between them lies more than `label_cut.CORE_DEPTH` below both. Chosen by
    benchmarks/touching.py among other ways of reading the same maps.

    Parameters
    ----------
    components : array of int, (Y, X)
    core : array, (Y, X), floating, 0..1
        Probability of the inner part.

    Returns
    -------
    array of int32, (Y, X)
        The same foreground; parts are renumbered 1..n.
    """
    return cut_by_cores(np.asarray(components > 0), core, WHOLE).parts


def without_small(labels: NDArray[np.int32], smallest: int) -> NDArray[np.int32]:
    """Leave out nuclei of fewer pixels and number the others 1..n, in order of their old numbers."""
    areas = np.bincount(labels.ravel())
    kept = areas >= max(1, smallest)
    kept[0] = False
    renumbered = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return np.asarray(renumbered[labels])


def count_nuclei(labels: NDArray[Any]) -> int:
    """Number of different labels above 0."""
    return int(np.count_nonzero(np.bincount(labels.ravel())[1:])) if labels.size else 0


def median_diameter(labels: NDArray[Any]) -> float | None:
    """Median diameter in pixels of discs as large as the nuclei; None without nuclei."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(4 / np.pi * np.median(areas))) if len(areas) else None


def align_ids(reference: NDArray[np.int32], labels: NDArray[np.int32], first_free: int = 0) -> NDArray[np.int32]:
    """Give nuclei the ids of those that they mostly cover in another map of the same plane.

    A colour then belongs to a nucleus, not to a depth. Each id goes to the one nucleus that shares the most
    pixels with it; the others get ids that the reference doesn't use.

    Parameters
    ----------
    reference, labels : array of int32, (Y, X)
    first_free : int
        New ids start above this and above all ids of the reference.

    Returns
    -------
    array of int32, (Y, X)
        The same nuclei as in `labels`.
    """
    count = int(labels.max(initial=0))
    if count == 0:
        return labels
    mapping = np.zeros(count + 1, np.int32)
    pairs, shared = _shared_pixels(labels.ravel(), reference.ravel())
    taken: set[int] = set()
    for index in np.argsort(-shared, kind="stable"):
        own, other = int(pairs[0, index]), int(pairs[1, index])
        if mapping[own] == 0 and other not in taken:
            mapping[own] = other
            taken.add(other)
    present = np.bincount(labels.ravel(), minlength=count + 1) > 0
    present[0] = False
    unnamed = np.flatnonzero(present & (mapping == 0))
    start = max(first_free, int(reference.max(initial=0))) + 1
    mapping[unnamed] = np.arange(start, start + len(unnamed))
    return np.asarray(mapping[labels])


def _shared_pixels(
    labels: NDArray[np.int32], reference: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of ids, (2, pairs), ascending, and how many pixels each shares; by stretches in which neither changes."""
    starts = np.flatnonzero((labels[1:] != labels[:-1]) | (reference[1:] != reference[:-1])) + 1
    starts = np.append(0, starts)
    own, other, lengths = labels[starts], reference[starts], np.diff(starts, append=labels.size)
    both = (own > 0) & (other > 0)
    width = int(reference.max(initial=0)) + 1
    keys, places = np.unique(own[both].astype(np.int64) * width + other[both], return_inverse=True)
    shared = np.bincount(places, lengths[both], len(keys)).astype(np.int64)
    return np.stack([keys // width, keys % width]), shared
