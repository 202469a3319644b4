"""Masks of single nuclei: cutting, joining, growing, smoothing. Coordinates are (row, column) in pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.draw import line

from napari_unetsharp.nuclei.instances import fill_small_holes, split_touching
from napari_unetsharp.nuclei.pixels import Box

Mask = NDArray[np.bool_]

SMALLEST_PART = 5
"""A cut that leaves fewer pixels on a side than this is a slip of the hand."""


def largest_piece(mask: Mask) -> Mask:
    """The connected piece with the most pixels."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def piece_at(mask: Mask, point: tuple[int, int]) -> Mask:
    """The connected piece that holds a pixel; nothing where the pixel is outside the mask."""
    pieces, _ = ndimage.label(mask)
    here = pieces[point]
    return np.asarray((pieces == here) & (here > 0))


def polygon_box(points: Sequence[Sequence[float]], shape: tuple[int, int]) -> Box:
    """Smallest box around a polygon, within a plane of this shape."""
    corners = np.asarray(points, float)
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    top, left = (int(value) for value in np.clip(low, 0, shape))
    bottom, right = (int(value) for value in np.clip(high, 0, shape))
    return Box(top, left, bottom, right)


def inside_polygon(points: Sequence[Sequence[float]], box: Box) -> Mask:
    """Which pixel centres of a box lie within a polygon, by the even-odd rule.

    Parameters
    ----------
    points : sequence of (row, column)
        Corners; the last is joined to the first.
    box : Box

    Returns
    -------
    array of bool, (Y, X) of the box
    """
    height, width = box.shape
    crossings = np.zeros((height, width + 1), np.uint8)
    corners = np.asarray(points, float) - (box.top, box.left)
    for (row, column), (next_row, next_column) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        low, high = sorted((row, next_row))
        rows = np.arange(max(0, int(np.ceil(low))), min(height, int(np.ceil(high))))
        if not len(rows):
            continue
        at = column + (rows - row) * (next_column - column) / (next_row - row)
        crossings[rows, np.clip(np.ceil(at), 0, width).astype(np.intp)] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(crossings[:, :-1], axis=1).astype(bool))


def cut_along(mask: Mask, points: ArrayLike) -> NDArray[np.int32]:
    """Cut a mask along a line through given points.

    A line that ends inside is prolonged straight on, as a hand lets go too early.

    Parameters
    ----------
    mask : array of bool, (Y, X)
    points : sequence of (row, column)
        At least two.

    Returns
    -------
    array of int32, (Y, X)
        Parts 1..n, largest first; just 1 where the line doesn't cut.
    """
    corners = np.asarray(points, float)
    parts = _parts(mask, _drawn(corners, mask.shape))
    if parts.max() < 2:
        parts = _parts(mask, _drawn(_prolonged(corners, float(np.hypot(*mask.shape))), mask.shape))
    return parts


def _drawn(corners: NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    drawn = np.zeros(shape, bool)
    for begin, end in pairwise(corners):
        rows, columns = line(*np.rint(begin).astype(int), *np.rint(end).astype(int))
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        drawn[rows[inside], columns[inside]] = True
    return drawn


def _prolonged(corners: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    def beyond(end: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
        way = end - inner
        return np.asarray(end + way / max(float(np.hypot(*way)), 1e-9) * length)

    return np.concatenate([[beyond(corners[0], corners[1])], corners, [beyond(corners[-1], corners[-2])]])


def _parts(mask: Mask, drawn: Mask) -> NDArray[np.int32]:
    """Pieces left by a drawn line, its own pixels and crumbs given to the nearest piece, largest first."""
    pieces, count = ndimage.label(mask & ~drawn)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    order = [int(piece) for piece in np.argsort(-sizes, kind="stable") if sizes[piece] >= SMALLEST_PART]
    renumbered = np.zeros(count + 1, np.int32)
    renumbered[order] = np.arange(1, len(order) + 1)
    parts = renumbered[pieces]
    if not order:
        return mask.astype(np.int32)
    nearest = ndimage.distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
    return np.asarray(np.where(mask, parts[tuple(nearest)], 0).astype(np.int32))


def cut_at_neck(mask: Mask) -> NDArray[np.int32]:
    """Cut a mask where it is narrowest: by the watershed of `instances`, else across its long axis.

    Returns
    -------
    array of int32, (Y, X)
        Parts 1..n, largest first; just 1 where it is too small to cut.
    """
    framed = np.pad(mask, 1)
    parts = split_touching(framed.astype(np.int32))[1:-1, 1:-1]
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    if np.count_nonzero(sizes) < 2:
        return _across(mask)
    order = np.argsort(-sizes, kind="stable")
    renumbered = np.zeros(len(sizes), np.int32)
    renumbered[order] = np.arange(1, len(sizes) + 1)
    renumbered[0] = 0
    return np.asarray(renumbered[parts])


def _across(mask: Mask) -> NDArray[np.int32]:
    """Two parts, cut at the thinnest place of the middle three fifths of the long axis."""
    pixels = np.argwhere(mask).astype(float)
    if len(pixels) < 2 * SMALLEST_PART:
        return mask.astype(np.int32)
    centred = pixels - pixels.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    low, high = np.quantile(along, (0.2, 0.8))
    edges = np.arange(np.floor(low), np.ceil(high) + 1)
    if len(edges) < 2:
        return mask.astype(np.int32)
    widths = ndimage.uniform_filter1d(np.histogram(along, edges)[0].astype(float), 3)
    middle = np.abs((edges[:-1] + edges[1:]) / 2 - np.median(along))
    thinnest = int(np.lexsort((middle, widths))[0])
    second = along > (edges[thinnest] + edges[thinnest + 1]) / 2
    if second.sum() * 2 > len(second):
        second = ~second
    parts = mask.astype(np.int32)
    parts[tuple(pixels[second].astype(int).T)] = 2
    return parts


def bridge(one: Mask, two: Mask, free: Mask) -> Mask:
    """Free pixels on the shortest way between two masks; none where they touch.

    Parameters
    ----------
    one, two, free : array of bool, (Y, X)

    Returns
    -------
    array of bool, (Y, X)
    """
    from_one, from_two = (np.asarray(ndimage.distance_transform_edt(~mask)) for mask in (one, two))
    gap = float(from_two[one].min())
    return np.asarray(free & (from_one + from_two <= gap + 1.5) & (gap > 1))


def smooth(mask: Mask) -> Mask:
    """Fill holes, round the edge and keep the largest piece.

    The edge is where a blur, a tenth as wide as the nucleus, passes a half.
    """
    grown = np.pad(ndimage.binary_fill_holes(mask), 8, mode="edge")
    width = float(np.clip(np.sqrt(mask.sum() / np.pi) / 5, 0.6, 4.0))
    blurred = ndimage.gaussian_filter(grown.astype(np.float32), width) >= 0.5
    return largest_piece(np.asarray(ndimage.binary_fill_holes(blurred)))


def grown_regions(
    probability: NDArray[Any], free: Mask, point: tuple[int, int], thresholds: Sequence[float]
) -> Iterator[tuple[float, Mask]]:
    """Candidates for a nucleus around a point, one per threshold.

    A region that reaches the frame of the window is cut by it, so it is no candidate.

    Yields
    ------
    contrast : float
        Mean probability within less that of a ring of 2 px around it, -1..1.
    region : array of bool, (Y, X)
    """
    known = -1
    for threshold in thresholds:
        piece = piece_at(np.asarray(free & (probability >= threshold)), point)
        area = int(piece.sum())
        if area in {0, known}:
            continue
        known = area
        region = _one_nucleus(piece, free, point)
        framed = region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any()
        if framed or region.sum() < SMALLEST_PART:
            continue
        ring = ndimage.binary_dilation(region, iterations=2) & ~region
        yield float(probability[region].mean() - probability[ring].mean()), region


def _one_nucleus(piece: Mask, free: Mask, point: tuple[int, int]) -> Mask:
    """Fill the holes of a connected piece and keep the nucleus that holds the point, if it is several."""
    rows, columns = np.flatnonzero(piece.any(axis=1)), np.flatnonzero(piece.any(axis=0))
    crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    here = (point[0] - rows[0], point[1] - columns[0])
    filled = fill_small_holes(np.pad(piece[crop], 1))[1:-1, 1:-1] & free[crop]
    parts = split_touching(filled.astype(np.int32))
    region = np.zeros_like(piece)
    region[crop] = piece_at(np.asarray(parts == parts[here]), here)
    return region
