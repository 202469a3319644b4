"""Measures of every nucleus: place, size, shape and brightness, in pixels and micrometres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.nuclei.stretches import Runs, find_runs, runs_of_masks

Measures = dict[str, NDArray[Any]]
"""A column per measure, a row per nucleus; "id" is the first."""

_PIXELS_AT_ONCE = 1 << 22
_DIAGONAL = np.sqrt(2)


def measure(
    labels: NDArray[Any],
    pixels: NDArray[Any] | None = None,
    micrometres: tuple[float, float] | None = None,
    channels: Sequence[str] = (),
) -> Measures:
    """Measure every nucleus of a label image.

    Definitions are those of scikit-image where it has them (`regionprops`: perimeter, eccentricity, axes), so
    that they can be checked there. Solidity is the area divided by the number of pixels whose middles lie in
    the convex hull of the nucleus' pixel middles: 1 for a digital disc.

    Parameters
    ----------
    labels : array of int, (Y, X)
        0 outside; ids needn't be consecutive.
    pixels : array, (Y, X, C), optional
        The image; without it, brightness is left out.
    micrometres : tuple of float, optional
        Height and width of a pixel; without them, columns in micrometres are left out.
    channels : sequence of str
        Names of the channels, for the columns; numbered from 1 without them.

    Returns
    -------
    dict of str to array, (nuclei,)
        In this order: "id" (int64, ascending), "y_px", "x_px" (centre of mass; the middle of the first pixel is
        0, 0), "area_px", "perimeter_px", "major_axis_px", "minor_axis_px", "eccentricity" (0..1), "solidity"
        (0..1), "y_um", "x_um", "area_um2", "perimeter_um" (NaN where pixels aren't square), "major_axis_um",
        "minor_axis_um", and per channel "mean_C", "std_C", "min_C", "max_C".

    Raises
    ------
    ShapeError
        If the image or the names of its channels don't fit the labels.
    """
    runs = find_runs(labels)
    return _measured(runs, _perimeter(labels, runs.ids), pixels, micrometres, channels)


def measure_masks(
    masks: Mapping[int, tuple[int, int, NDArray[np.bool_]]],
    shape: tuple[int, int],
    pixels: NDArray[Any] | None = None,
    micrometres: tuple[float, float] | None = None,
    channels: Sequence[str] = (),
) -> Measures:
    """Measure nuclei that may lie on each other.

    Parameters
    ----------
    masks : mapping of int to tuple of int, int and array of bool
        By id: row and column of the upper left corner, and the pixels from there, at least one.
    shape : tuple of int
        (Y, X) of the plane.
    pixels, micrometres, channels
        As for `measure`.

    Returns
    -------
    dict of str to array, (nuclei,)
        As from `measure`.
    """
    one = np.ones(1, np.int64)
    perimeter = [_perimeter(masks[number][2].astype(np.int64), one)[0] for number in sorted(masks)]
    runs = runs_of_masks(masks, shape)
    return _measured(runs, np.array(perimeter, np.float64), pixels, micrometres, channels)


def _measured(
    runs: Runs,
    perimeter: NDArray[np.float64],
    pixels: NDArray[Any] | None,
    micrometres: tuple[float, float] | None,
    channels: Sequence[str],
) -> Measures:
    area, y, x, moments = _moments(runs)
    columns: Measures = {"id": runs.ids, "y_px": y, "x_px": x, "area_px": area, "perimeter_px": perimeter}
    columns |= _axes(moments, (1.0, 1.0), "_px")
    columns["solidity"] = area / _hull_pixels(runs)
    if micrometres is not None:
        columns |= _in_micrometres(columns, moments, micrometres)
    if pixels is not None:
        columns |= _brightness(runs, pixels, channels)
    return columns


def join_measures(first: Measures, second: Measures) -> Measures:
    """Rows of both, by ascending id.

    Parameters
    ----------
    first, second : dict of str to array
        With the same columns and different ids.
    """
    order = np.argsort(np.concatenate([first["id"], second["id"]]))
    return {name: np.concatenate([column, second[name]])[order] for name, column in first.items()}


def with_views(
    measures: Measures, doubt: Mapping[int, float] | None = None, levels: Mapping[int, Sequence[str]] | None = None
) -> Measures:
    """Measures with what the network's views say, as columns after "id".

    Parameters
    ----------
    measures : dict of str to array
        From `measure`.
    doubt : mapping of int to float, optional
        By id; nuclei that it lacks have NaN.
    levels : mapping of int to sequence of str, optional
        Names of the levels that see each nucleus, by id.

    Returns
    -------
    dict of str to array, (nuclei,)
        With "doubt" (float64), "levels" (str, such as "L2 L3 L4") and "levels_seen" (how many, int64), each where
        it was given.
    """
    ids = measures["id"].tolist()
    found: Measures = {"id": measures["id"]}
    if doubt is not None:
        found["doubt"] = np.array([doubt.get(number, np.nan) for number in ids], np.float64)
    if levels is not None:
        found["levels"] = np.array([" ".join(levels.get(number, ())) for number in ids], dtype=str)
        found["levels_seen"] = np.array([len(levels.get(number, ())) for number in ids], np.int64)
    return found | {name: column for name, column in measures.items() if name not in found}


def _moments(runs: Runs) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Area, centre (y, x) and second central moments (3, nuclei): yy, xx, yx, per pixel.

    Sums are taken from the top left of each nucleus, which loses no digits far from the origin.
    """
    if not len(runs.ids):
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros((3, 0))
    length = runs.stop - runs.start
    area = runs.per_nucleus(length)
    top, left = (np.minimum.reduceat(part, runs.first) for part in (runs.row, runs.start))
    row, begin = (runs.row - top[runs.index]).astype(np.float64), (runs.start - left[runs.index]).astype(np.float64)
    along = length * (begin + (length - 1) / 2)  # sum of x over the run
    squares = length * begin**2 + begin * length * (length - 1) + (length - 1) * length * (2 * length - 1) / 6
    y, x = runs.per_nucleus(row * length) / area, runs.per_nucleus(along) / area
    yy = runs.per_nucleus(row**2 * length) / area - y**2
    xx = runs.per_nucleus(squares) / area - x**2
    yx = runs.per_nucleus(row * along) / area - y * x
    return area, y + top, x + left, np.stack([yy, xx, yx])


def _axes(moments: NDArray[Any], step: tuple[float, float], unit: str) -> Measures:
    """Axes of the ellipse with the same second moments, and its eccentricity."""
    yy, xx, yx = moments[0] * step[0] ** 2, moments[1] * step[1] ** 2, moments[2] * step[0] * step[1]
    half, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    large, small = np.maximum(half + spread, 0), np.maximum(half - spread, 0)
    found = {f"major_axis{unit}": 4 * np.sqrt(large), f"minor_axis{unit}": 4 * np.sqrt(small)}
    if unit == "_px":
        ratio = np.divide(small, large, out=np.ones_like(large), where=large > 0)
        found["eccentricity"] = np.sqrt(1 - ratio)
    return found


def _in_micrometres(columns: Measures, moments: NDArray[Any], step: tuple[float, float]) -> Measures:
    height, width = step
    square = np.isclose(height, width, rtol=1e-3)
    found = {
        "y_um": columns["y_px"] * height,
        "x_um": columns["x_px"] * width,
        "area_um2": columns["area_px"] * (height * width),
        "perimeter_um": columns["perimeter_px"] * (np.sqrt(height * width) if square else np.nan),
    }
    return found | _axes(moments, step, "_um")


def _perimeter(labels: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Length of the line through the middles of the border pixels.

    A border pixel has a side without a neighbour of its nucleus; it counts 1 in a straight line, the square
    root of 2 in a diagonal, their mean where one turns into the other (Benkrid and Crookes 2000, the perimeter of
    scikit-image with 4 neighbours).
    """
    framed = np.pad(labels, 1)
    middle = framed[1:-1, 1:-1]
    inner = np.ones(labels.shape, bool)
    for shifted in (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:]):
        inner &= shifted == middle
    border = np.pad((middle > 0) & ~inner, 1)
    places, width = np.flatnonzero(border), framed.shape[1]
    flat, at_border = framed.ravel(), border.ravel()
    own = flat[places]

    def count(steps: Sequence[int]) -> NDArray[np.int64]:
        near = [(flat[places + step] == own) & at_border[places + step] for step in steps]
        return np.asarray(np.sum(near, axis=0), np.int64)

    side, corner = count((-width, width, -1, 1)), count((-width - 1, -width + 1, width - 1, width + 1))
    weight = np.zeros((5, 5))
    weight[2:4, :3] = 1.0
    weight[0, 2] = weight[1, 3] = _DIAGONAL
    weight[1, 1] = weight[1, 2] = (1 + _DIAGONAL) / 2
    return np.asarray(np.bincount(np.searchsorted(ids, own), weight[side, corner], len(ids)), np.float64)


def _hull_pixels(runs: Runs) -> NDArray[np.int64]:
    """Pixels in the convex hull of the middles of each nucleus' pixels, by Pick's theorem."""
    line = np.flatnonzero(np.diff(runs.index * (runs.shape[0] + 1) + runs.row, prepend=-1))
    rows, left = runs.row[line].tolist(), runs.start[line].tolist()
    right = (runs.stop[np.append(line[1:], len(runs.row)) - 1] - 1).tolist() if len(line) else []
    ends = [*np.searchsorted(runs.index[line], np.arange(len(runs.ids))).tolist(), len(line)]
    found = np.empty(len(runs.ids), np.int64)
    for number, (begin, end) in enumerate(pairwise(ends)):
        some = slice(begin, end)
        hull = _chain(rows[some], left[some], 1) + _chain(rows[some], right[some], -1)[::-1]
        found[number] = _lattice_points(hull)
    return found


def _chain(rows: list[int], columns: list[int], side: int) -> list[tuple[int, int]]:
    """Convex part of the points on the left (side 1) or right (side -1), from top to bottom (Andrew 1979)."""
    kept: list[tuple[int, int]] = []
    for point in zip(rows, columns, strict=True):
        while len(kept) > 1:
            (y, x), (last_y, last_x) = kept[-2], kept[-1]
            if side * ((last_x - x) * (point[0] - y) - (point[1] - x) * (last_y - y)) < 0:
                break
            kept.pop()
        kept.append(point)
    return kept


def _lattice_points(hull: list[tuple[int, int]]) -> int:
    """Whole points in a polygon with whole corners: its area, half of those on its border, and 1 (Pick 1899)."""
    twice, border = 0, 0
    last_y, last_x = hull[-1]
    for y, x in hull:
        twice += last_x * y - x * last_y
        border += gcd(x - last_x, y - last_y)
        last_y, last_x = y, x
    return (abs(twice) + border) // 2 + 1


def _brightness(runs: Runs, pixels: NDArray[Any], channels: Sequence[str]) -> Measures:
    if pixels.ndim != 3 or pixels.shape[:2] != runs.shape:
        raise ShapeError(f"an image of shape {pixels.shape} doesn't fit labels of {runs.shape}; (Y, X, C) is needed")
    names = list(channels) or [str(number) for number in range(1, pixels.shape[2] + 1)]
    if len(names) != pixels.shape[2] or len(set(names)) != len(names):
        raise ShapeError(f"{len(names)} names ({', '.join(names)}) don't fit {pixels.shape[2]} different channels")
    found: Measures = {}
    for channel, name in enumerate(names):
        values = _channel_brightness(runs, pixels[..., channel])
        found |= {f"{kind}_{name}": column for kind, column in zip(("mean", "std", "min", "max"), values, strict=True)}
    return found


def _channel_brightness(runs: Runs, channel: NDArray[Any]) -> NDArray[np.float64]:
    """Mean, standard deviation, smallest and largest value, (4, nuclei)."""
    found = np.empty((4, len(runs.ids)))
    first = np.append(runs.first, len(runs.index))
    total = np.append(0, np.cumsum(runs.stop - runs.start))[first]
    begin = 0
    while begin < len(runs.ids):  # some nuclei at a time: their pixels are copied
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + _PIXELS_AT_ONCE, side="right")) - 1)
        some = slice(first[begin], first[end])
        length = runs.stop[some] - runs.start[some]
        shift = runs.start[some] - (np.cumsum(length) - length)
        columns = np.arange(length.sum()) + np.repeat(shift, length)
        values = channel[np.repeat(runs.row[some], length), columns].astype(np.float64)
        found[:, begin:end] = _statistics(values, total[begin:end] - total[begin])
        begin = end
    return found


def _statistics(values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    number = np.diff(first, append=len(values))
    with np.errstate(invalid="ignore"):  # NaN and infinite pixels make NaN, which the table leaves empty
        mean = np.add.reduceat(values, first) / number
        spread = np.add.reduceat((values - np.repeat(mean, number)) ** 2, first) / number
        low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    return np.stack([mean, np.sqrt(spread), low, high])
