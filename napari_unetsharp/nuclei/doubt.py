"""Where the views disagree, so that a perfect network leaves no doubt anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def max_pool(values: NDArray[Any], scale: int) -> NDArray[Any]:
    """Largest value of each cell of scale x scale pixels; cells at the far edge are completed by mirroring.

    So is the image that the network sees, and its coarse branches answer for whole cells.

    Parameters
    ----------
    values : array, (Y, X)
    scale : int

    Returns
    -------
    array, (ceil(Y / scale), ceil(X / scale)), same dtype
    """
    height, width = values.shape
    grown = np.pad(values, ((0, -height % scale), (0, -width % scale)), mode="symmetric")
    cells = grown.reshape(grown.shape[0] // scale, scale, grown.shape[1] // scale, scale)
    return np.asarray(cells.max(axis=(1, 3)))


def doubt_map(
    deepest: NDArray[Any], shallower: Sequence[NDArray[Any]], coarse: Mapping[int, NDArray[Any]]
) -> NDArray[np.float16]:
    """Mean absolute difference of every other view from the deepest one, each at its own scale.

    A coarse view is compared with the deepest map max-pooled to that view's scale, which is what it was
    trained to give: its blocks alone are no doubt.

    Parameters
    ----------
    deepest : array of floating, (Y, X)
        Probability of the deepest level that was computed.
    shallower : sequence of array, (Y, X)
        The levels above it.
    coarse : mapping of int to array, (ceil(Y / scale), ceil(X / scale))
        The deep branches by scale.

    Returns
    -------
    array of float16, (Y, X)
        0 (all agree) to 1.
    """
    total = np.zeros(deepest.shape, np.float32)
    reference = deepest.astype(np.float32)
    for values in shallower:
        total += np.abs(values.astype(np.float32) - reference)
    for scale, values in coarse.items():
        cells = np.abs(values.astype(np.float32) - max_pool(reference, scale))
        total += cells.repeat(scale, 0).repeat(scale, 1)[: deepest.shape[0], : deepest.shape[1]]
    return (total / max(1, len(shallower) + len(coarse))).astype(np.float16)
