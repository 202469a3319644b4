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
"""Pixels around a clump that its cut depends on: the smoothing of the distance reaches four deviations."""

EIGHT = np.ones((3, 3), bool)

CORE_THRESHOLD = 0.5
"""Probability from which a pixel belongs to a nucleus's inner part."""
CORE_SPLIT_DEPTH = 0.05
"""As `instances.SPLIT_DEPTH`, for necks of cores: where two run together their neck is deeper than that of nuclei."""


class Cut(NamedTuple):
    """Parts of a plane, numbered from 1 by kind, then by the first pixel of what they grew from, row by row.

    Attributes
    ----------
    parts : array of int32, (Y, X)
        0 outside.
    kinds : array of int64, (n,)
        0 grown from a top, 1 without one, 2 without even a core.
    firsts : array of int64, (n,)
        Flat place of the first pixel of the top (or core, or part) that it grew from.
    distance : array of float64, (Y, X)
        To the outside of what was cut at its necks; 0 where nothing was.
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
    markers, firsts = _domes(landscape, mask, depth)
    parts, lost = flooded(-landscape, markers, mask, len(firsts))
    kinds = np.repeat(np.arange(2), (len(firsts), len(lost)))
    return Cut(parts, kinds, np.concatenate([firsts, lost]), distance)


def cut_by_cores(mask: NDArray[np.bool_], core: NDArray[Any], border: Border) -> Cut:
    """Grow each piece of core, cut at its necks, to the nucleus around it; see `instances.split_by_cores`."""
    pieces = cut_at_necks(np.asarray(core >= CORE_THRESHOLD) & mask, CORE_SPLIT_DEPTH, border)
    landscape = -ndimage.gaussian_filter(core.astype(np.float32), 0.5)
    parts, lost = flooded(landscape, pieces.parts, mask, len(pieces.firsts))
    kinds = np.concatenate([pieces.kinds, np.full(len(lost), 2, np.int64)])
    return Cut(parts, kinds, np.concatenate([pieces.firsts, lost]), pieces.distance)


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
