"""What a pass gives: probability maps by branch, at full size and at their own scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.doubt import doubt_map


@dataclass(frozen=True)
class TileMaps:
    """One finished tile.

    Attributes
    ----------
    core : Region
        Where it belongs, in pixels of the plane.
    full : mapping of str to array of float16, (core.height, core.width)
        By branch, upsampled to the plane's resolution.
    coarse : mapping of str to array of float16
        The deep branches at their own scale, (ceil(core.height / scale), ceil(core.width / scale)).
    done, total : int
        Tiles.
    seconds : float
        Since the pass began.
    """

    core: Region
    full: Mapping[str, NDArray[np.float16]]
    coarse: Mapping[str, NDArray[np.float16]]
    done: int
    total: int
    seconds: float


@dataclass
class Prediction:
    """Maps of one plane, filled tile by tile.

    Attributes
    ----------
    shape : tuple of int
        (Y, X).
    level : int
        Deepest pruning level that was computed.
    full : dict of str to array of float16, (Y, X)
        Probability 0..1 by branch; 0 where nothing was computed yet.
    coarse : dict of str to array of float16
        Deep branches at 1/scale, (ceil(Y / scale), ceil(X / scale)).
    computed : array of bool, (Y, X)
        Where tiles have been placed.
    notes : list of str
        What a person should know, a sentence each.
    """

    shape: tuple[int, int]
    level: int
    full: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    coarse: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    computed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    notes: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, shape: tuple[int, int], level: int, branches: tuple[str, ...]) -> Prediction:
        """Maps of zeros for these branches."""
        prediction = cls(shape, level, computed=np.zeros(shape, bool))
        for name in branches:
            scale = BRANCHES[name].scale
            prediction.full[name] = np.zeros(shape, np.float16)
            if scale > 1:
                coarse = (-(-shape[0] // scale), -(-shape[1] // scale))
                prediction.coarse[name] = np.zeros(coarse, np.float16)
        return prediction

    def place(self, tile: TileMaps) -> None:
        """Write a finished tile into the maps."""
        for name, values in tile.full.items():
            self.full[name][tile.core.slices] = values
        for name, values in tile.coarse.items():
            scale = BRANCHES[name].scale
            top, left = tile.core.top // scale, tile.core.left // scale
            self.coarse[name][top : top + values.shape[0], left : left + values.shape[1]] = values
        self.computed[tile.core.slices] = True

    def doubt(self) -> NDArray[np.float16] | None:
        """Where the branches disagree (see `doubt_map`), or None if there is only one branch."""
        top = [self.full[f"x0{level}"] for level in range(1, self.level + 1) if f"x0{level}" in self.full]
        if len(top) + len(self.coarse) < 2 or f"x0{self.level}" not in self.full:
            return None
        coarse = {BRANCHES[name].scale: values for name, values in self.coarse.items()}
        return doubt_map(self.full[f"x0{self.level}"], top[:-1], coarse)
