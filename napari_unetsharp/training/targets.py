"""What the network should answer on a crop: nuclei, their cores, and where two of them meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CORE = 0.4
"""A pixel is core if it lies deeper than this share of its nucleus's half-width."""
BORDER_REACH = 2
"""A pixel is border if two nuclei lie within so many pixels of it (in its square neighbourhood)."""


def targets(labels: NDArray[np.int32], extras: tuple[str, ...] = ()) -> NDArray[np.float32]:
    """Truth of every channel of a head.

    Parameters
    ----------
    labels : array of int32, (Y, X)
        0 outside.
    extras : tuple of str
        Of ``"core"`` and ``"border"``: channels after the nuclei.

    Returns
    -------
    array of float32, (1 + extras, Y, X)
        0 or 1.
    """
    nuclei = nuclei_without_seams(labels)
    drawn = {"core": cores, "border": borders}
    return np.stack([nuclei, *(drawn[name](labels) for name in extras)])


def nuclei_without_seams(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """1 on nuclei, 0 outside and on the pixels where two of them touch.

    A network that has never seen a gap between touching nuclei joins them. Each of the two gives up
    the one pixel that has the other among its eight neighbours.

    Parameters
    ----------
    labels : array of int32, (Y, X)

    Returns
    -------
    array of float32, (Y, X)
    """
    lowest, highest = _range_around(labels, 1)
    return np.asarray((labels > 0) & (highest == labels) & (lowest == labels), dtype=np.float32)


def cores(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """1 on the inner part of each nucleus: deeper than `CORE` of its own half-width.

    Cores of touching nuclei lie apart by a distance that grows with the nuclei, unlike a seam of one pixel.

    Parameters
    ----------
    labels : array of int32, (Y, X)

    Returns
    -------
    array of float32, (Y, X)
    """
    if not labels.any():
        return np.zeros(labels.shape, np.float32)
    depth = ndimage.distance_transform_edt(nuclei_without_seams(labels))
    half_widths = np.asarray(ndimage.maximum(depth, labels, np.arange(int(labels.max()) + 1)), np.float64)
    half_widths[0] = 1
    relative = depth / np.maximum(half_widths, 1e-9)[labels]
    return np.asarray((labels > 0) & (depth > 0) & (relative > CORE), dtype=np.float32)


def borders(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """1 where two nuclei lie within `BORDER_REACH` pixels, also in the gap between them.

    Parameters
    ----------
    labels : array of int32, (Y, X)

    Returns
    -------
    array of float32, (Y, X)
    """
    lowest, highest = _range_around(labels, BORDER_REACH)
    return np.asarray((highest > 0) & (lowest < highest), dtype=np.float32)


def _range_around(labels: NDArray[np.int32], reach: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Smallest and largest label in the square around each pixel; outside counts for neither."""
    side = (2 * reach + 1, 2 * reach + 1)
    outside = np.where(labels > 0, labels, np.iinfo(np.int32).max)
    return ndimage.minimum_filter(outside, side), ndimage.maximum_filter(labels, side)


def known_pixels(
    labels: NDArray[np.int32], reviewed: NDArray[np.bool_], extras: tuple[str, ...] = ()
) -> NDArray[np.float32]:
    """Where the truth of every channel is known, if a person looked at some pixels only.

    A pixel counts if everything that decides its truth was looked at: seams depend on the nucleus next to it, borders
    on all that lies within `BORDER_REACH`, and cores on the whole nucleus.

    Parameters
    ----------
    labels : array of int32, (Y, X)
        Proposals where nobody looked.
    reviewed : array of bool, (Y, X)
    extras : tuple of str
        As in `targets`.

    Returns
    -------
    array of float32, (1 + extras, Y, X)
        1 where `targets` are known, else 0; 0 wherever nobody looked.
    """
    doubtful = (labels > 0) & ~reviewed
    seam = (labels > 0) & ndimage.maximum_filter(doubtful, 3)
    channels = [reviewed & ~seam]
    for name in extras:
        if name == "core":
            channels.append(reviewed & ~seam & ~np.isin(labels, np.unique(labels[doubtful])))
        else:
            seen = borders(np.where(reviewed, labels, 0)) > 0
            channels.append(reviewed & (seen | ndimage.minimum_filter(reviewed, 2 * BORDER_REACH + 1)))
    return np.stack(channels).astype(np.float32)
