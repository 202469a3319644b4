"""Tiles at the model's scale, and where they belong in the plane."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.prediction import TileMaps
from napari_unetsharp.inference.scaling import ModelScale
from napari_unetsharp.inference.stepping import Means
from napari_unetsharp.inference.tile_pass import WindowMaps
from napari_unetsharp.inference.tiling import Region, TilePlan, plan_tiles
from napari_unetsharp.network.upconv import Window

Placed = deque[tuple[TilePlan, Region]]
"""Tiles that wait, each with its pixels of the plane."""


def placed(plans: list[TilePlan], scale: ModelScale) -> Placed:
    """Leave out tiles that hold no pixel's centre of the plane."""
    return deque((plan, core) for plan in plans if (core := scale.core(plan.core)) is not None)


def cut_smaller(waiting: Placed, scale: ModelScale, level: int, tile: int) -> Placed:
    """Tiles that are left, cut to a smaller side."""
    return placed([part for plan, _ in waiting for part in plan_tiles(scale.model, plan.core, level, tile)], scale)


def resampled(
    maps: WindowMaps, scale: ModelScale, window: Window, core: Region, count: tuple[int, int], seconds: float,
    means: Means,
) -> TileMaps:  # fmt: skip
    """A window's maps as a tile of the plane.

    Parameters
    ----------
    maps : WindowMaps
    scale : ModelScale
    window : Window
        Where the maps lie, at the model's scale.
    core : Region
        Where the tile belongs in the plane.
    count : tuple of int
        Which of how many tiles it is.
    seconds : float
        Since the pass began.
    means : Means

    Returns
    -------
    TileMaps
    """

    def back(values: NDArray[Any]) -> NDArray[np.float16]:
        return scale.back(values.astype(np.float32, copy=False), window, core).astype(np.float16)

    return TileMaps(
        core,
        {name: back(values) for name, values in maps.full.items()},
        {name: back(values) for name, values in maps.cores.items()},
        None if maps.doubt is None else back(maps.doubt),
        *count,
        seconds,
        means,
    )
