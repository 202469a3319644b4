"""From a probability map to nuclei: threshold, splitting of touching ones, smallest size, stable ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from napari_unetsharp.errors import SettingsError

SPLIT_DEPTH = 0.1
"""How much narrower (in the logarithm of the half-width) a neck must be than both sides to be cut."""


@dataclass(frozen=True)
class LabelSettings:
    """What re-applies without the network.

    Attributes
    ----------
    threshold : float
        Probability from which a pixel is a nucleus, within 0..1.
    smallest : int
        Nuclei with fewer pixels are left out.
    split : bool
        Cut touching nuclei apart at their necks.
    """

    threshold: float = 0.5
    smallest: int = 20
    split: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1 or self.smallest < 0:
            raise SettingsError(
                f"the threshold lies between 0 and 1 and the smallest size at 0 or above; got {self.threshold} "
                f"and {self.smallest}"
            )


def label_nuclei(
    probability: NDArray[Any], settings: LabelSettings | None = None, core: NDArray[Any] | None = None
) -> NDArray[np.int32]:
    """Instance map of a plane.

    Parameters
    ----------
    probability : array, (Y, X), floating, 0..1
    settings : LabelSettings, optional
    core : array, (Y, X), floating, 0..1, optional
        Probability of a nucleus's inner part: each piece of it is one nucleus. Without it nuclei are cut apart at
        their necks.

    Returns
    -------
    array of int32, (Y, X)
        0 outside, 1..n.
    """
    settings = settings or LabelSettings()
    mask = fill_small_holes(np.asarray(probability >= settings.threshold))
    if not mask.any():
        return np.zeros(probability.shape, np.int32)
    components, _ = ndimage.label(mask)
    if not settings.split:
        labels = components.astype(np.int32)
    else:
        labels = split_touching(components) if core is None else split_by_cores(components, core)
    return without_small(labels, settings.smallest)


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
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if not count:
        return mask
    components, parts = ndimage.label(mask)
    half_widths = ndimage.maximum(ndimage.distance_transform_edt(mask), components, np.arange(1, parts + 1))
    widest = np.pi * (2 * float(np.median(half_widths))) ** 2
    small = np.bincount(holes.ravel()) <= widest
    small[0] = False
    return np.asarray(mask | small[holes])


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
    mask = components > 0
    framed = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(framed)[1:-1, 1:-1].astype(np.float32)
    landscape = np.log1p(ndimage.gaussian_filter(distance, 1.0))
    landscape[~mask] = 0
    markers = _domes(landscape, depth)
    parts = np.asarray(watershed(-landscape, markers, mask=mask), dtype=np.int32)
    lost = mask & (parts == 0)  # specks too small for a peak that stands out
    if lost.any():
        parts[lost] = ndimage.label(lost)[0][lost] + markers.max()
    return parts


CORE_THRESHOLD = 0.5
"""Probability from which a pixel belongs to a nucleus's inner part."""
CORE_SPLIT_DEPTH = 0.05
"""As `SPLIT_DEPTH`, for necks of cores: where two of them run together their neck is deeper than that of the nuclei."""


def split_by_cores(components: NDArray[Any], core: NDArray[Any]) -> NDArray[np.int32]:
    """Grow each piece of core, cut at its necks, to the nucleus around it; what has no core stays as it is.

    Chosen by benchmarks/touching.py among other ways of reading the same maps.

    Parameters
    ----------
    components : array of int, (Y, X)
    core : array, (Y, X), floating
        Probability of the inner part.

    Returns
    -------
    array of int32, (Y, X)
        The same foreground; parts are renumbered 1..n.
    """
    mask = components > 0
    pieces, count = ndimage.label((core >= CORE_THRESHOLD) & mask)
    markers = split_touching(pieces, CORE_SPLIT_DEPTH) if count else pieces
    landscape = -ndimage.gaussian_filter(core.astype(np.float32), 0.5)
    parts = np.asarray(watershed(landscape, markers, mask=mask), dtype=np.int32)
    lost = mask & (parts == 0)
    if lost.any():
        parts[lost] = ndimage.label(lost)[0][lost] + markers.max()
    return parts


def _domes(landscape: NDArray[np.float32], depth: float) -> NDArray[np.int32]:
    """Number the tops that stand out by `depth`, by morphological reconstruction.

    A whole dome is one top, however many pixels of it share the largest height.
    """
    lowered = np.maximum(landscape - np.float32(depth), 0)
    current = reconstruction(lowered, landscape, method="dilation", footprint=np.ones((3, 3))).astype(np.float32)
    domes, count = ndimage.label(landscape > current, structure=np.ones((3, 3)))
    heights = ndimage.maximum(landscape - current, domes, np.arange(count + 1))
    high = np.asarray(heights) >= np.float32(depth) * np.float32(0.999)
    high[0] = False
    return np.asarray(np.where(high, np.cumsum(high), 0)[domes], np.int32)


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
    both = (labels > 0) & (reference > 0)
    width = int(reference.max(initial=0)) + 1
    keys, shared = np.unique(labels[both].astype(np.int64) * width + reference[both], return_counts=True)
    pairs = np.stack([keys // width, keys % width])
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
