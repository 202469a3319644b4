"""Cutting touching nuclei apart, where each clump's cut depends on nothing farther than `REACH` from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from napari_unetsharp.nuclei.label_canvas import packed
from napari_unetsharp.nuclei.label_holes import Border, distances

REACH = 4
"""Pixels around a clump that its cut depends on: as far as distance and cores are smoothed."""

EIGHT = np.ones((3, 3), bool)

CORE_ODDS = 1.5
"""A nucleus has a core: somewhere the odds of its inner part are this many times those of the threshold."""
CORE_DEPTH = 0.06
"""How much lower the way between two nuclei must be than both, in probability of the core, smoothed, plus `WIDTH`."""
WIDTH = 0.25
"""What the logarithm of the width counts: a way that narrows by a fifth parts as well as a core that dips by 0.06."""
CORE_SMOOTHING = 2.0
"""Pixels by which cores are smoothed before they are told apart: texture within a nucleus is finer than a gap."""


class Cut(NamedTuple):
    """Parts of a plane, numbered from 1 by kind, then by the first pixel of what they grew from, row by row.

    Attributes
    ----------
    parts : array of int32, (Y, X)
        0 outside.
    kinds : array of int64, (n,)
        0 grown from a top, 1 without one.
    firsts : array of int64, (n,)
        Flat place of the first pixel of the top (or part) that it grew from.
    distance : array of float64, (Y, X)
        To the outside; 0 where nothing was cut.
    """

    parts: NDArray[np.int32]
    kinds: NDArray[np.int64]
    firsts: NDArray[np.int64]
    distance: NDArray[np.float64]


def uncut(mask: NDArray[np.bool_]) -> Cut:
    """Every 4-connected object as it is."""
    objects, count = ndimage.label(mask)
    return Cut(
        objects.astype(np.int32, copy=False), np.zeros(count, np.int64), first_places(objects, count),
        np.zeros(mask.shape),
    )  # fmt: skip


def cut_at_necks(mask: NDArray[np.bool_], depth: float, border: Border) -> Cut:
    """Cut objects by the watershed of their distance to the outside; see `instances.split_touching`.

    Parameters
    ----------
    mask : array of bool, (Y, X)
    depth : float
        How much narrower a neck must be than both sides, in the logarithm of the half-width.
    border : tuple of bool
        Whether nothing lies beyond the top, left, bottom and right edge: it then counts as outside.

    Returns
    -------
    Cut
    """
    distance = distance_inside(mask, border)
    landscape = np.log1p(ndimage.gaussian_filter(distance.astype(np.float32), 1.0))
    landscape[~mask] = 0
    return _grown(landscape, -landscape, mask, depth, distance)


def cut_by_cores(mask: NDArray[np.bool_], core: NDArray[Any], border: Border) -> Cut:
    """Cut objects where their cores dip and their width narrows, together; see `instances.split_by_cores`.

    Where a gap parts two nuclei their cores dip between them, and mostly their outline narrows too. The core of a
    textured nucleus dips as well, but not where it is narrow, and its dips are filled by smoothing. Tops of the sum of
    both maps are nuclei. Their pixels are shared out by the core alone, hardly smoothed, which knows the seam best.

    Parameters
    ----------
    mask : array of bool, (Y, X)
    core : array, (Y, X), floating, 0..1
        Probability of a nucleus's inner part.
    border : tuple of bool
        As in `cut_at_necks`.

    Returns
    -------
    Cut
    """
    distance = distance_inside(mask, border)
    core = core.astype(np.float32)
    landscape = WIDTH * np.log1p(ndimage.gaussian_filter(distance.astype(np.float32), 1.0))
    landscape += ndimage.gaussian_filter(core, CORE_SMOOTHING, radius=REACH)
    landscape[~mask] = 0
    return _grown(landscape, -1 - ndimage.gaussian_filter(core, 0.5), mask, CORE_DEPTH, distance)


def has_core(parts: NDArray[np.int32], count: int, core: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Which parts 1..count, (count,), are nuclei by their cores.

    The bar follows the threshold of the nuclei, so that a lower one shows paler nuclei: 0.6 at 0.5, 0.27 at 0.2.

    Parameters
    ----------
    parts : array of int32, (Y, X)
    count : int
    core : array, (Y, X), floating, 0..1
    threshold : float
        Probability from which a pixel is a nucleus, within 0..1.
    """
    odds = CORE_ODDS * threshold / (1 - threshold)
    cored = np.zeros(count + 1, bool)
    cored[parts[core >= odds / (1 + odds)]] = True
    return cored[1:]


def distance_inside(mask: NDArray[np.bool_], border: Border) -> NDArray[np.float64]:
    """Distance of each pixel of a mask to the nearest one outside, (Y, X), in pixels; `border` as in `cut_at_necks`."""
    top, left, bottom, right = map(int, border)
    framed = np.pad(mask, ((top, bottom), (left, right)))
    distance = np.zeros(framed.shape)
    np.put(distance, *distances(framed))
    return distance[top : top + mask.shape[0], left : left + mask.shape[1]]


def first_places(objects: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Flat place of the first pixel of each object 1..count, row by row, (count,)."""
    places = np.flatnonzero(objects)[::-1]
    firsts = np.zeros(count + 1, np.int64)
    firsts[objects.ravel()[places]] = places
    return firsts[1:]


def _grown(
    landscape: NDArray[np.float32], valleys: NDArray[np.float32], mask: NDArray[np.bool_], depth: float,
    distance: NDArray[np.float64],
) -> Cut:  # fmt: skip
    """Grow the tops of a landscape that stand out by `depth` to all of the mask, from the deepest valleys on."""
    markers, firsts = _domes(landscape, mask, depth)
    parts, lost = flooded(valleys, markers, mask, len(firsts))
    kinds = np.repeat(np.arange(2), (len(firsts), len(lost)))
    return Cut(parts, kinds, np.concatenate([firsts, lost]), distance)


def _domes(
    landscape: NDArray[np.float32], mask: NDArray[np.bool_], depth: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number the tops that stand out by `depth`, 1..n, (Y, X), and tell the first pixel of each, (n,).

    A whole dome is one top, however many pixels of it share the largest height.
    """
    lowered = _without_domes(landscape, mask, depth)
    domes, count = ndimage.label(landscape > lowered, EIGHT)
    places = np.flatnonzero(domes)
    own = domes.ravel()[places]
    heights = np.zeros(count + 1, np.float32)
    np.maximum.at(heights, own, (landscape - lowered).ravel()[places])
    high = heights >= np.float32(depth) * np.float32(0.999)
    high[0] = False
    numbers = np.where(high, np.cumsum(high), 0).astype(np.int32)
    return numbers[domes], first_places(domes, count)[high[1:]]


def _without_domes(landscape: NDArray[np.float32], mask: NDArray[np.bool_], depth: float) -> NDArray[np.float32]:
    """The landscape with its tops cut off `depth` below: the reconstruction of the lowered one under it.

    What lies `depth` below a clump's lowest peak stays, and parts the rest into regions that don't depend on each
    other. In a region with one peak the tops are cut off by a plain minimum; only the others are reconstructed.
    """
    step = np.float32(depth)
    clumps, count = ndimage.label(mask, EIGHT)
    peaks, number = ndimage.label((ndimage.maximum_filter(landscape, 3) == landscape) & mask, EIGHT)
    places = first_places(peaks, number)
    lowest = np.full(count + 1, np.inf, np.float32)
    np.minimum.at(lowest, clumps.ravel()[places], landscape.ravel()[places])
    regions, count = ndimage.label(landscape > np.maximum(lowest - step, 0)[clumps], EIGHT)
    own, heights = regions.ravel()[places], landscape.ravel()[places]
    highest = np.full(count + 1, np.inf, np.float32)
    highest[1:] = 0
    np.maximum.at(highest, own, heights)
    lowered: NDArray[np.float32] = np.minimum(landscape, np.maximum(highest - step, 0)[regions])
    several = np.bincount(own, minlength=count + 1) > 1
    several[0] = False
    if several.any():
        canvas = packed(regions, several)
        above = canvas.taken(landscape)
        found = reconstruction(np.maximum(above - step, 0), above, method="dilation", footprint=EIGHT)
        canvas.given_back(found, lowered)
    return lowered


def flooded(
    landscape: NDArray[np.float32], markers: NDArray[np.int32], mask: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Watershed of a landscape; objects without any marker get numbers of their own after `count`.

    Only objects with several markers are flooded. Marker pixels of the same height are taken row by row: by skimage
    alone their order, and with it pixels that two markers reach alike, would depend on everything else in the plane.

    Parameters
    ----------
    landscape : array of float32, (Y, X)
        Flooded from its lowest places.
    markers : array of int32, (Y, X)
        Numbers 1..count; within the mask, and below 0 in the landscape.
    mask : array of bool, (Y, X)
    count : int

    Returns
    -------
    parts : array of int32, (Y, X)
    lost : array of int64
        Flat place of the first pixel of each object without a marker.
    """
    objects, number = ndimage.label(mask)
    places = np.flatnonzero(markers)
    own, marks = objects.ravel()[places], markers.ravel()[places]
    largest, least = np.zeros(number + 1, np.int32), np.full(number + 1, np.iinfo(np.int32).max, np.int32)
    np.maximum.at(largest, own, marks)
    np.minimum.at(least, own, marks)
    alone = largest == 0
    alone[0] = False
    contested = largest > least
    largest[alone] = count + np.arange(1, np.count_nonzero(alone) + 1)
    parts = largest[objects]
    if contested.any():
        canvas = packed(objects, contested)
        seeds = canvas.taken(markers)
        heights = _row_by_row(canvas.taken(landscape).astype(np.float64), seeds)
        canvas.given_back(watershed(heights, seeds, mask=canvas.taken(mask)), parts)
    return parts, first_places(objects, number)[alone[1:]]


def _row_by_row(heights: NDArray[np.float64], seeds: NDArray[np.int32]) -> NDArray[np.float64]:
    """Lower the marker pixels, which are below 0, by less than a step of float32, the first ones most."""
    places = np.flatnonzero(seeds)
    steps = heights.ravel().view(np.int64)
    steps[places] += np.arange(len(places), 0, -1)
    return heights
