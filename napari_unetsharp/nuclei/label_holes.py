"""Pale middles of nuclei are filled, lumens of glands are not: the size that tells them apart, and the filling."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Border = tuple[bool, bool, bool, bool]
"""Whether the plane ends at the top, left, bottom and right edge of a window of it."""

WHOLE: Border = (True, True, True, True)


class Filled(NamedTuple):
    """A mask with its small holes filled, as far as the window tells.

    Attributes
    ----------
    mask : array of bool, (Y, X)
    unsure : int
        How far into the window, from the edges where the plane goes on, holes reach of which it can't be told
        whether they are small; in pixels.
    """

    mask: NDArray[np.bool_]
    unsure: int


def largest_hole(half_widths: NDArray[np.float64]) -> float:
    """Pixels up to which a hole is filled: those of a disc twice as wide as the nuclei are half-wide.

    Parameters
    ----------
    half_widths : array, (n,)
        Of all nuclei of the plane; none is needed where there is no hole.
    """
    return float(np.pi * (2 * float(np.median(half_widths))) ** 2) if len(half_widths) else 0.0


def filled(mask: NDArray[np.bool_], largest: float, border: Border = WHOLE) -> Filled:
    """Fill holes of at most `largest` pixels; what reaches the plane's border is no hole.

    Parameters
    ----------
    mask : array of bool, (Y, X)
        A window of the plane.
    largest : float
    border : tuple of bool

    Returns
    -------
    Filled
    """
    gaps, count = ndimage.label(~mask)
    areas = np.bincount(gaps.ravel())
    small = areas <= largest
    small[0] = False
    for edge in edges(gaps, border):
        small[edge] = False
    small[0] = False
    cut = np.zeros(count + 1, bool)
    for edge in edges(gaps, not_at(border)):
        cut[edge] = small[edge]
    unsure = 0
    if cut.any():
        unsure = int((depths(mask.shape, border) * cut[gaps]).max())
        small &= ~cut
    return Filled(mask | small[gaps] if small.any() else mask, unsure)


def not_at(border: Border) -> Border:
    """The edges beyond which the plane goes on."""
    top, left, bottom, right = border
    return not top, not left, not bottom, not right


def edges(plane: NDArray[Any], wanted: Border, width: int = 1) -> list[NDArray[Any]]:
    """Values of the wanted ones of the first rows, first columns, last rows and last columns."""
    bands = (plane[:width], plane[:, :width], plane[-width:], plane[:, -width:])
    return [band.ravel() for band, taken in zip(bands, wanted, strict=True) if taken]


def depths(shape: tuple[int, ...], border: Border) -> NDArray[np.int64]:
    """Steps from each pixel of a window to the nearest one beyond it where the plane goes on, (Y, X).

    Parameters
    ----------
    shape : tuple of int
        (Y, X) of the window.
    border : tuple of bool
        Edges beyond which nothing is.
    """
    axes = []
    far = 2 * max(shape) + 1
    for length, first, last in ((shape[0], border[0], border[2]), (shape[1], border[1], border[3])):
        steps = np.arange(1, length + 1)
        before, after = np.where(first, far, steps), np.where(last, far, steps[::-1])
        axes.append(np.minimum(before, after))
    return np.minimum(axes[0][:, None], axes[1][None, :])


class HalfWidths(NamedTuple):
    """Half-widths of the objects of a tile, and its outermost pixels, to join it with its neighbours.

    Attributes
    ----------
    largest : array of float64, (objects,)
        Largest distance to the outside.
    lines : tuple of array of int
        Numbers 1..objects on the first row, first column, last row and last column; 0 outside.
    sure : bool
        Whether the window was large enough to tell.
    """

    largest: NDArray[np.float64]
    lines: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
    sure: bool


def half_widths(
    mask: NDArray[np.bool_], inside: tuple[slice, slice] = np.s_[:, :], border: Border = WHOLE
) -> HalfWidths:
    """Half-widths of the 4-connected objects of a tile.

    Parameters
    ----------
    mask : array of bool, (Y, X)
        A window around the tile.
    inside : tuple of slice
        The tile within it.
    border : tuple of bool

    Returns
    -------
    HalfWidths
    """
    objects, count = ndimage.label(mask[inside])
    largest, sure = np.zeros(count + 1), True
    if mask.all():
        sure = all(border)
    elif count:
        places, found = distances(mask, inside)
        np.maximum.at(largest, objects.ravel()[places], found)
        if not all(border):
            sure = bool((found <= depths(mask.shape, border)[inside].ravel()[places]).all())
    top, left, bottom, right = (line.copy() for line in (objects[0], objects[:, 0], objects[-1], objects[:, -1]))
    return HalfWidths(largest[1:], (top, left, bottom, right), sure)  # copies: a view would keep the whole tile


def distances(
    mask: NDArray[np.bool_], inside: tuple[slice, slice] = np.s_[:, :]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Distance of the pixels of a mask to the nearest one outside.

    As scipy's, to the bit, but only for the pixels of the mask.

    Parameters
    ----------
    mask : array of bool, (Y, X)
    inside : tuple of slice
        Where it is wanted.

    Returns
    -------
    places : array of int64, (pixels,)
        Flat, inside what is wanted.
    distances : array of float64, (pixels,)
        In pixels.
    """
    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    wanted = mask[inside]
    places = np.flatnonzero(wanted)
    squares = np.zeros(len(places), np.int64)
    for axis, own in enumerate(np.divmod(places, wanted.shape[1])):
        steps = nearest[axis][inside].ravel()[places] - own - (inside[axis].start or 0)
        squares += steps * steps
    return places, np.sqrt(squares.astype(np.float64))
