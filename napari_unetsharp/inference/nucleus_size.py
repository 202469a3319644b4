"""How large the nuclei of an image are, asked of the network itself at several scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.scaling import LARGEST, SMALLEST, resized, scaled_shape
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei

Look = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32] | None]]

SIDE = 384
"""Pixels along each side, at the model's scale, that are looked at."""
_STARTS = (1.0, 0.45, 2.2)
_ROUNDS = 3
_SETTLED = 1.15
"""A scale is right if the nuclei found at it have the wanted size within this factor."""


def estimated_size(plane: NDArray[Any], wanted: float, look: Look) -> float | None:
    """Typical diameter of the nuclei of a plane.

    From each of several magnifications the nuclei found are measured and brought to the wanted size, until that
    doesn't move any more; of the scales that settled, the one counts at which the network is surest.

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
    best: tuple[float, float] | None = None
    tried: list[float] = []
    for start in _STARTS:
        factor = start
        for _ in range(_ROUNDS):
            if any(max(factor / other, other / factor) < _SETTLED for other in tried):
                break
            tried.append(factor)
            diameter, certainty = _measured(plane, factor, look)
            if diameter is None:
                break
            if best is None or certainty > best[0]:
                best = (certainty, diameter / factor)
            factor = min(LARGEST, max(SMALLEST, wanted / diameter * factor))
    return None if best is None else best[1]


def _measured(plane: NDArray[Any], factor: float, look: Look) -> tuple[float | None, float]:
    """Median diameter in magnified pixels, and how sure the network is at that magnification (0..1)."""
    side = max(1, math.ceil(SIDE / factor))
    part = _middle(plane, side)
    probability, core = look(resized(part, scaled_shape(part.shape[:2], factor)))
    labels = label_nuclei(probability, LabelSettings(smallest=12), core)
    areas = np.bincount(labels.ravel())[1:]
    if not len(areas):
        return None, 0.0
    return float(np.sqrt(4 / np.pi * np.median(areas))), _certainty(probability, labels)


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
