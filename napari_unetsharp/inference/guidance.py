"""Gates of the classification-guided modules, on windows that don't depend on the tiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.tiling import Region, TilePlan, mirrored, padded
from napari_unetsharp.network.upconv import Window

_AROUND = 8


@dataclass(frozen=True)
class Gates:
    """Blended presence by branch.

    Attributes
    ----------
    maps : dict of str to array of float32, (area.height, area.width)
        0 where every window over a pixel says "no target", 1 where every one says "target".
    area : Region
        Where they lie in the plane: all that a tile reads.
    shape : tuple of int
        (Y, X) of the plane.
    """

    maps: dict[str, NDArray[np.float32]]
    area: Region
    shape: tuple[int, int]

    def at(self, name: str, window: Window) -> NDArray[np.float32]:
        """A branch's gate on a tile's window, mirrored beyond the plane as its pixels are."""
        rows = mirrored(window.top, window.height, self.shape[0]) - self.area.top
        columns = mirrored(window.left, window.width, self.shape[1]) - self.area.left
        return np.asarray(self.maps[name][rows[:, None], columns[None, :]])


def presence_gates(
    run: Callable[[NDArray[np.float32]], dict[str, bool]],
    read: Callable[[Window], NDArray[np.float32]],
    shape: tuple[int, int],
    crop: int,
    plans: list[TilePlan],
) -> Gates:
    """Ask the guided modules about windows of the training crop's size, at half stride.

    The probability is multiplied later by the gate (a logit of 0 would read as 0.5). Windows lie at multiples
    of half a crop in the whole plane and are blended with a tent, so that tiles don't matter.

    Parameters
    ----------
    run : callable
        (S, S, C) standardised pixels to presence by branch.
    read : callable
        Standardised pixels of a window of the plane, mirrored beyond its edge.
    shape : tuple of int
        (Y, X) of the plane, at the model's scale.
    crop : int
        Side of the training crops.
    plans : list of TilePlan
        Only windows that touch one of their cores, or nearly, are asked.

    Returns
    -------
    Gates
    """
    side = min(padded(crop), padded(max(shape)))
    tent = _tent(side)
    sums: dict[str, NDArray[np.float32]] = {}
    area = _area(plans, shape)
    weights = np.zeros((area.height, area.width), np.float32)
    for top in _starts(area.top, area.height, side):
        for left in _starts(area.left, area.width, side):
            if not any(_touches(plan.core, top, left, side) for plan in plans):
                continue
            inside = Region(top - area.top, left - area.left, side, side).within(weights.shape)
            from_top, from_left = inside.top + area.top - top, inside.left + area.left - left
            part = tent[from_top : from_top + inside.height, from_left : from_left + inside.width]
            weights[inside.slices] += part
            for name, present in run(read(Window(top, left, side, side, side, side))).items():
                total = sums.setdefault(name, np.zeros_like(weights))
                total[inside.slices] += part * present
    weights = np.maximum(weights, np.float32(1e-6))
    return Gates({name: np.asarray(total / weights, np.float32) for name, total in sums.items()}, area, shape)


def _area(plans: list[TilePlan], shape: tuple[int, int]) -> Region:
    """The part of the plane that the tiles read: a block of a slide is small beside it."""
    windows = [plan.window for plan in plans]
    top, left = min(window.top for window in windows), min(window.left for window in windows)
    bottom = max(window.top + window.height for window in windows)
    right = max(window.left + window.width for window in windows)
    return Region(top, left, bottom - top, right - left).within(shape)


def _starts(first: int, length: int, side: int) -> range:
    """Multiples of half a side from which a window reaches into a stretch of an axis."""
    half = side // 2
    return range((first // half - 1) * half, first + length, half)


def _tent(side: int) -> NDArray[np.float32]:
    ramp = 1 - np.abs((np.arange(side) + 0.5) * 2 / side - 1)
    return np.asarray(np.outer(ramp, ramp), dtype=np.float32)


def _touches(core: Region, top: int, left: int, side: int) -> bool:
    """Whether a window reaches a core, or the few pixels around it that resampling reads."""
    return (
        top < core.top + core.height + _AROUND and core.top < top + side + _AROUND
        and left < core.left + core.width + _AROUND and core.left < left + side + _AROUND
    )  # fmt: skip
