"""What a live look needs of the network, made once and kept while nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray

from napari_unetsharp.images.image import adapt_channels, check_finite
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.inference.live_patches import longest_side
from napari_unetsharp.inference.live_results import LiveResults
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Index
from napari_unetsharp.inference.scaling import ModelScale, magnification
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.device import choose_device

CPU_TILE, GPU_TILE = 512, 2048
"""Side of what is read at once: small where a tile takes long, since a look is dropped between tiles only."""

PATIENCE = 3.0
"""Seconds within which all of a view must have its first nuclei; what would take longer is too wide."""

LEAST = 2e6
"""Pixels of a view at the model's scale that are looked at, however slow the device: a screenful."""

MOST = 16e6
"""Pixels of a view at the model's scale that are looked at, however fast the device."""

_PIXELS_PER_SECOND = {"cpu": 0.4e6, "mps": 4e6, "cuda": 20e6}
"""Of depth 1, on a CPU by core, until something was measured (benchmarks/network.md: half of what is seen there)."""


@dataclass(frozen=True)
class LiveWish:
    """What is asked of the network.

    Attributes
    ----------
    model, device : str
    depth : int
    nucleus_size : float or None
        Diameter in pixels that the person set; estimated if None.
    options : tuple of (str, object)
        Test-time options of `Predictor`.
    written : int
        When the model's file was written: another file of the same name is another model.
    """

    model: str
    device: str
    depth: int
    nucleus_size: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    written: int = 0


@dataclass(frozen=True)
class MeasuredIntensity(Intensity):
    """The limits of a plane, taken once: every look at a part of it then starts without reading all of it."""

    measured: tuple[float, float] = (0.0, 1.0)

    def limits(self, plane: NDArray[Any]) -> tuple[float, float]:
        """What was measured, whatever is given."""
        return self.measured


class LiveNetwork:
    """Predictors of the chosen depth and of depth 1, and a plane as they want it.

    Attributes
    ----------
    chosen : Predictor
    first : Predictor or None
        Gives something at once; None where the chosen depth is 1, or the model has no head there.
    pixels : array, (Y, X, C)
    """

    chosen: Predictor
    first: Predictor | None
    pixels: NDArray[Any]

    def __init__(self) -> None:
        self._wish: LiveWish | None = None
        self._checkpoint: Checkpoint
        self._nucleus_size: float | None = None
        self._plane: tuple[Any, Index] | None = None
        self._claimed: LiveResults | None = None
        self._pace = 0.0

    def take(self, wish: LiveWish, load: Callable[[str], Checkpoint]) -> None:
        """Make the predictors, unless they are here.

        Raises
        ------
        CheckpointError, DeviceError, SettingsError
        """
        if wish == self._wish:
            return
        self._wish = self._claimed = self._plane = None
        self._checkpoint = checkpoint = load(wish.model)
        self._nucleus_size = wish.nucleus_size
        level, on_cpu = min(wish.depth, checkpoint.config.level), choose_device(wish.device).kind == "cpu"
        tile = CPU_TILE if on_cpu else GPU_TILE
        self.chosen = Predictor(checkpoint, wish.device, level, tile=tile, **dict(wish.options))
        self.first = None
        if level > 1 and "x01" in checkpoint.config.heads:
            self.first = Predictor(checkpoint, wish.device, 1, ("x01",), tile, precision="auto")
        self._pace = _PIXELS_PER_SECOND[self.chosen.device.kind] * (torch.get_num_threads() if on_cpu else 1)
        self._wish = wish

    def look_at(self, results: LiveResults, first: LiveResults, index: Index) -> None:
        """Get a plane and the places for what will be found on it ready; what no longer holds is cleared.

        Parameters
        ----------
        results : LiveResults
            Of the chosen depth.
        first : LiveResults
            What depth 1 gives until the chosen depth is there.
        index : tuple of int
            Of the plane.

        Raises
        ------
        ImageError
        """
        if self._claimed is not results:
            self._claim(results, first)
        if not results.is_of_depth(index, self.chosen.level):
            results.clear()
        self._get_plane(results, index)
        results.prepare(self.chosen.branches, self.chosen.checkpoint.config.extras)
        results.measure(self.chosen, index)
        if self.first is not None:
            if first.nucleus_size not in (None, results.nucleus_size):
                first.clear()
            first.nucleus_size = results.nucleus_size
            first.prepare(self.first.branches, self.first.checkpoint.config.extras)

    @property
    def room(self) -> int:
        """Pixels at the model's scale whose first nuclei this device finds within `PATIENCE`, `LEAST` to `MOST`."""
        return round(min(MOST, max(LEAST, PATIENCE * self._pace)))

    def note_pace(self, pixels: int, seconds: float) -> None:
        """Learn how fast the first nuclei come; the fastest counts, since whatever else runs only slows it."""
        self._pace = max(self._pace, pixels / max(seconds, 1e-6))

    def scale(self, nucleus_size: float | None) -> ModelScale:
        """How the plane lies in the model's pixels."""
        wanted = self._checkpoint.metadata.nucleus_size
        factor = magnification(wanted, nucleus_size) if wanted and nucleus_size else 1.0
        return ModelScale.of(self.pixels.shape, factor)

    def side(self, predictor: Predictor) -> int:
        """Longest side of a patch that is one tile for a predictor, in the model's pixels."""
        return longest_side(predictor.level, predictor.means.tile)

    def _claim(self, results: LiveResults, first: LiveResults) -> None:
        """Clear what was computed in another way; what counts are the checkpoint's own intensities."""
        for predictor, claimed in ((self.chosen, results), (self.first, first)):
            if predictor is not None:
                predictor.checkpoint = self._checkpoint
                claimed.claim(predictor, self._nucleus_size)
        self._claimed, self._plane = results, None

    def _get_plane(self, results: LiveResults, index: Index) -> None:
        pixels = results.image.pixels
        if self._plane is not None and self._plane[0] is pixels and self._plane[1] == index:
            return
        plane = results.image.plane(index)
        check_finite(plane)
        self.pixels, note = adapt_channels(plane, self._checkpoint.config.in_channels)
        if note and note not in results.notes:
            results.notes.append(note)
        intensity = self._checkpoint.metadata.intensity
        measured = MeasuredIntensity(**vars(intensity), measured=intensity.limits(self.pixels))
        metadata = replace(self._checkpoint.metadata, intensity=measured)
        for predictor in (self.chosen, self.first):
            if predictor is not None:
                predictor.checkpoint = Checkpoint(self._checkpoint.network, metadata)
        self._plane = pixels, index
