"""How large the nuclei of an image are, asked of the network itself at several scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.scaling import LARGEST, SMALLEST, resized, scaled_shape
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei

Look = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32] | None]]

SIDE = 256
"""Pixels along each side, at the model's scale, that are looked at."""
_STARTS = (0.45, 1.0, 2.0)
"""Magnifications to begin with: at one alone, pieces of large nuclei may pass for small nuclei."""
_REFINEMENTS = 2
_SETTLED = 1.2
"""A magnification within this factor of one that was tried is not tried again."""
_STRANGENESS = 0.1
"""What the logarithm of (size seen / size wanted) counts against certainty."""


@dataclass(frozen=True)
class _Look:
    """What was seen at a magnification: the median diameter in pixels of the plane, and how well it fits."""

    factor: float
    diameter: float
    score: float


def estimated_size(plane: NDArray[Any], wanted: float, look: Look) -> float | None:
    """Typical diameter of the nuclei of a plane.

    The middle of the plane is looked at in a few magnifications. The best is the one at which the network is surest
    and sees nuclei of about the size that it knows; from there the size is refined.

    Parameters
    ----------
    plane : array, (Y, X, C)
    wanted : float
        Diameter in pixels at which the network knows nuclei.
    look : callable
        (h, w, C) pixels, not yet scaled in brightness, to probabilities of nuclei and of their cores (or None).

    Returns
    -------
    float or None
        Pixels of the plane; None if no nuclei were found.
    """
    looks = [_looked(plane, factor, wanted, look) for factor in _STARTS]
    for _ in range(_REFINEMENTS):
        best = _best(looks)
        if best is None:
            return None
        factor = min(LARGEST, max(SMALLEST, wanted / best.diameter))
        tried = (seen.factor for seen in looks)
        if any(max(factor / other, other / factor) < _SETTLED for other in tried):
            break
        looks.append(_looked(plane, factor, wanted, look))
    best = _best(looks)
    return None if best is None else best.diameter


def _best(looks: list[_Look]) -> _Look | None:
    seen = [look for look in looks if look.diameter > 0]
    return max(seen, key=lambda look: look.score) if seen else None


def _looked(plane: NDArray[Any], factor: float, wanted: float, look: Look) -> _Look:
    diameter, certainty = _measured(plane, factor, look)
    if diameter is None:
        return _Look(factor, 0.0, 0.0)
    return _Look(factor, diameter / factor, certainty - _STRANGENESS * abs(math.log(diameter / wanted)))


def _measured(plane: NDArray[Any], factor: float, look: Look) -> tuple[float | None, float]:
    """Median diameter in magnified pixels, and how sure the network is at that magnification (0..1)."""
    side = max(1, math.ceil(SIDE / factor))
    part = _middle(plane, side)
    probability, core = look(resized(part, scaled_shape(part.shape[:2], factor)))
    labels = label_nuclei(probability, LabelSettings(smallest=12), core)
    areas = _whole_areas(labels)
    if not len(areas):
        return None, 0.0
    return float(np.sqrt(4 / np.pi * np.median(areas))), _certainty(probability, labels)


def _whole_areas(labels: NDArray[np.int32]) -> NDArray[np.intp]:
    """Pixels of each nucleus; those cut by the edge are left out where three others remain."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    inside = areas.copy()
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        inside[edge] = 0
    counted = inside if np.count_nonzero(inside) >= 3 else areas
    return np.asarray(counted[counted > 0])


def _certainty(probability: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Agreement (soft Dice) of the map with its own outlines: near 1 for a sure network."""
    mask = labels > 0
    return float(2 * probability[mask].sum() / (probability.sum() + mask.sum()))


def _middle(plane: NDArray[Any], side: int) -> NDArray[Any]:
    spans = []
    for length in plane.shape[:2]:
        start = max(0, (length - side) // 2)
        spans.append(slice(start, start + min(length, side)))
    return plane[tuple(spans)]
