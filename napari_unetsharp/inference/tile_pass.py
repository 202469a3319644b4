"""One tile through the network, at the model's scale: turned and mirrored if wanted, gated, averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_unetsharp.inference.engine import Engine
from napari_unetsharp.inference.prediction import has_doubt
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.network.unet_sharp import probabilities
from napari_unetsharp.network.upconv import Window, upsample
from napari_unetsharp.nuclei.doubt import doubt_map, max_pool

ORIENTATIONS = (1, 2, 4, 8)
"""How many ways a tile may be looked at: as it is, mirrored, mirrored both ways, and all that transposed."""

Gate = Callable[[str], NDArray[np.float32]]


@dataclass(frozen=True)
class WindowMaps:
    """Maps of a whole window, float32, (h, w), by branch."""

    full: dict[str, NDArray[np.float32]]
    cores: dict[str, NDArray[np.float32]]
    doubt: NDArray[np.float16] | None


@dataclass(frozen=True)
class TilePass:
    """What is asked of every tile.

    Attributes
    ----------
    engine : Engine
    level : int
    branches : tuple of str
    orientations : int
        One of `ORIENTATIONS`: that many views of the tile are averaged (original U-Net: rotations averaged).
    accurate : bool
        The deepest level answers with the average of all branches computed (UNet++ and UNet#: accurate mode).
    """

    engine: Engine
    level: int
    branches: tuple[str, ...]
    orientations: int = 1
    accurate: bool = False

    def run(self, image: Tensor, window: Window, gate: Gate | None = None) -> WindowMaps:
        """Compute a window.

        Parameters
        ----------
        image : Tensor, (1, C, h, w)
            Standardised, as from `Engine.tensor`.
        window : Window
            Where it lies in the whole plane.
        gate : callable, optional
            A branch's gate on the window, 0..1, (h, w).

        Returns
        -------
        WindowMaps
        """
        outputs = self._averaged(image, window)
        classes, extras = self.engine.config.classes, self.engine.config.extras
        full, cores, coarse = {}, {}, {}
        for name in self.branches:
            own, upsampled = outputs[name]
            full[name] = upsampled[:classes].amax(0).cpu().numpy()
            scale = BRANCHES[name].scale
            if scale > 1:
                coarse[scale] = own[:classes].amax(0).cpu().numpy()
            elif "core" in extras:
                cores[name] = upsampled[classes + extras.index("core")].cpu().numpy()
            if gate is not None:
                full[name] = full[name] * gate(name)
                if scale > 1:
                    coarse[scale] = coarse[scale] * max_pool(gate(name), scale)
        doubt = self._doubt(full, coarse)
        deepest = f"x0{self.level}"
        if self.accurate and deepest in full:
            full[deepest] = np.mean(list(full.values()), axis=0)
            if cores:
                cores[deepest] = np.mean(list(cores.values()), axis=0)
        return WindowMaps(full, cores, doubt)

    def _averaged(self, image: Tensor, window: Window) -> dict[str, tuple[Tensor, Tensor]]:
        """Probabilities by branch, (outputs, h / scale, w / scale) and (outputs, h, w), over all orientations."""
        totals: dict[str, tuple[Tensor, Tensor]] = {}
        for orientation in range(self.orientations):
            seen = turned_window(window, orientation)
            for name, logits in self.engine.logits(turned(image, orientation), seen, self.branches).items():
                scale = BRANCHES[name].scale
                own = turned(probabilities(logits), orientation, back=True)[0]
                upsampled = own if scale == 1 else turned(
                    probabilities(upsample(logits, scale, seen, 1)), orientation, back=True
                )[0]  # fmt: skip
                before = totals.get(name)
                totals[name] = (own, upsampled) if before is None else (before[0] + own, before[1] + upsampled)
        if self.orientations == 1:
            return totals
        return {name: (own / self.orientations, full / self.orientations) for name, (own, full) in totals.items()}

    def _doubt(
        self, full: dict[str, NDArray[np.float32]], coarse: dict[int, NDArray[np.float32]]
    ) -> NDArray[np.float16] | None:
        deepest = f"x0{self.level}"
        if not has_doubt(self.branches, self.level):
            return None
        others = [values for name, values in full.items() if BRANCHES[name].scale == 1 and name != deepest]
        return doubt_map(full[deepest], others, coarse)


def turned(values: Tensor, orientation: int, back: bool = False) -> Tensor:
    """One of eight orientations of (..., h, w), or its way back: bits 0 and 1 mirror, bit 2 transposes first."""
    flips = [axis for bit, axis in ((1, -1), (2, -2)) if orientation & bit]
    if not back and orientation & 4:
        values = values.transpose(-1, -2)
    values = values.flip(flips) if flips else values
    return values.transpose(-1, -2) if back and orientation & 4 else values


def turned_window(window: Window, orientation: int) -> Window:
    """Where a tile lies in the whole plane once all of it is turned like `turned`."""
    top, left, height, width = window.top, window.left, window.height, window.width
    whole_height, whole_width = window.whole_height, window.whole_width
    if orientation & 4:
        top, left, height, width = left, top, width, height
        whole_height, whole_width = whole_width, whole_height
    if orientation & 1:
        left = whole_width - left - width
    if orientation & 2:
        top = whole_height - top - height
    return Window(top, left, height, width, whole_height, whole_width)
