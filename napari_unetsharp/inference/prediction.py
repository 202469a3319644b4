"""What a pass gives: probability maps by branch, cores, and where the views disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.stepping import Means
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.network.grid import BRANCHES


@dataclass(frozen=True)
class TileMaps:
    """One finished tile.

    Attributes
    ----------
    core : Region
        Where it belongs, in pixels of the plane.
    full : mapping of str to array of float16, (core.height, core.width)
        By branch, at the plane's resolution.
    cores : mapping of str to array of float16, same shape
        Probability of a nucleus's inner part, by branch of the top row; empty if the network has none.
    doubt : array of float16, same shape, or None
        Where the views disagree, measured at the model's scale; None of a single view.
    done, total : int
        Tiles.
    seconds : float
        Since the pass began.
    means : Means or None
        How it was computed: size of tiles, precision, device.
    """

    core: Region
    full: Mapping[str, NDArray[np.float16]]
    cores: Mapping[str, NDArray[np.float16]]
    doubt: NDArray[np.float16] | None
    done: int
    total: int
    seconds: float
    means: Means | None = None


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
    cores : dict of str to array of float16, (Y, X)
        Probability of a nucleus's inner part, for branches of the top row, where the network has it.
    doubt : array of float16, (Y, X), or None
        Where the views disagree (see `doubt_map`); None if there is only one.
    computed : array of bool, (Y, X)
        Where tiles have been placed.
    notes : list of str
        What a person should know, a sentence each.
    """

    shape: tuple[int, int]
    level: int
    full: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    cores: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    doubt: NDArray[np.float16] | None = None
    computed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    notes: list[str] = field(default_factory=list)

    @classmethod
    def empty(
        cls, shape: tuple[int, int], level: int, branches: tuple[str, ...], extras: tuple[str, ...] = ()
    ) -> Prediction:
        """Maps of zeros for these branches, with those of the extras that are kept."""
        prediction = cls(shape, level, computed=np.zeros(shape, bool))
        for name in branches:
            prediction.full[name] = np.zeros(shape, np.float16)
            if "core" in extras and BRANCHES[name].scale == 1:
                prediction.cores[name] = np.zeros(shape, np.float16)
        if has_doubt(branches, level):
            prediction.doubt = np.zeros(shape, np.float16)
        return prediction

    def place(self, tile: TileMaps) -> None:
        """Write a finished tile into the maps."""
        for maps, values_of in ((self.full, tile.full), (self.cores, tile.cores)):
            for name, values in values_of.items():
                maps[name][tile.core.slices] = values
        if self.doubt is not None and tile.doubt is not None:
            self.doubt[tile.core.slices] = tile.doubt
        self.computed[tile.core.slices] = True


def has_doubt(branches: tuple[str, ...], level: int) -> bool:
    """Whether these views can disagree: the deepest level and at least one more."""
    return f"x0{level}" in branches and len(branches) > 1
