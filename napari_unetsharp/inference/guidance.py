"""Gates of the classification-guided modules, on windows that don't depend on the tiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.tiling import Region, TilePlan, padded, read_window
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.upconv import Window


@dataclass(frozen=True)
class Gates:
    """Blended presence by branch.

    Attributes
    ----------
    maps : dict of str to array of float32, (Y, X)
        0 where every window over a pixel says "no target", 1 where every one says "target".
    """

    maps: dict[str, NDArray[np.float32]]

    def at(self, name: str, core: Region) -> NDArray[np.float32]:
        """The part of a branch's gate that belongs to a tile's core."""
        return self.maps[name][core.slices]


def presence_gates(
    run: Callable[[NDArray[np.float32]], dict[str, bool]],
    plane: NDArray[Any],
    checkpoint: Checkpoint,
    limits: tuple[float, float],
    plans: list[TilePlan],
) -> Gates:
    """Ask the guided modules about windows of the training crop's size, at half stride.

    The probability is multiplied later by the gate (a logit of 0 would read as 0.5). Windows lie at multiples
    of half a crop in the whole plane and are blended with a tent, so that tiles don't matter.

    Parameters
    ----------
    run : callable
        (S, S, C) standardised pixels to presence by branch.
    plane : array, (Y, X, C)
    checkpoint : Checkpoint
    limits : tuple of float
        Of the whole plane.
    plans : list of TilePlan
        Only windows that touch one of their cores are asked.

    Returns
    -------
    Gates
    """
    side = min(padded(checkpoint.metadata.crop), padded(max(plane.shape[:2])))
    tent = _tent(side)
    sums: dict[str, NDArray[np.float32]] = {}
    weights = np.zeros(plane.shape[:2], np.float32)
    for top in range(-side // 2, plane.shape[0], side // 2):
        for left in range(-side // 2, plane.shape[1], side // 2):
            if not any(_touches(plan.core, top, left, side) for plan in plans):
                continue
            window = Window(top, left, side, side, side, side)
            pixels = checkpoint.metadata.intensity.apply(read_window(plane, window), limits)
            inside = Region(top, left, side, side).within((plane.shape[0], plane.shape[1]))
            part = tent[inside.top - top :, inside.left - left :][: inside.height, : inside.width]
            weights[inside.slices] += part
            for name, present in run(pixels).items():
                total = sums.setdefault(name, np.zeros(plane.shape[:2], np.float32))
                total[inside.slices] += part * present
    weights = np.maximum(weights, np.float32(1e-6))
    return Gates({name: np.asarray(total / weights, np.float32) for name, total in sums.items()})


def _tent(side: int) -> NDArray[np.float32]:
    ramp = 1 - np.abs((np.arange(side) + 0.5) * 2 / side - 1)
    return np.asarray(np.outer(ramp, ramp), dtype=np.float32)


def _touches(core: Region, top: int, left: int, side: int) -> bool:
    return (
        top < core.top + core.height and core.top < top + side
        and left < core.left + core.width and core.left < left + side
    )  # fmt: skip
