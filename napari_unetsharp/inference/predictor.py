"""THE predictor: window, command line, training and benchmarks all call it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetsharp.errors import DeviceError, SettingsError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import adapt_channels, check_finite
from napari_unetsharp.inference.engine import Engine, dtype_of, explained
from napari_unetsharp.inference.guidance import Gates, presence_gates
from napari_unetsharp.inference.nucleus_size import estimated_size
from napari_unetsharp.inference.placing import cut_smaller, placed, resampled
from napari_unetsharp.inference.prediction import Prediction, TileMaps
from napari_unetsharp.inference.request import check_options, checked_branches
from napari_unetsharp.inference.scaling import ModelScale, magnification
from napari_unetsharp.inference.stepping import Means, is_out_of_memory, step_down
from napari_unetsharp.inference.tile_pass import TilePass, WindowMaps
from napari_unetsharp.inference.tiling import (
    LARGE_TILE,
    Region,
    block_tile,
    padded,
    plan_tiles,
    read_window,
    suitable_tile,
)
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.network.upconv import Window

Limits = tuple[float, float]


class Predictor:
    """Runs a checkpoint over planes, tile by tile.

    Parameters
    ----------
    checkpoint : Checkpoint
        Stays as it is; the predictor keeps a copy of the network on its device.
    device : "auto", "cuda", "mps" or "cpu"
    level : int, optional
        Deepest pruning level to compute; the checkpoint's own by default.
    branches : sequence of str, optional
        Views wanted, by node; all that the level gives by default.
    tile : int, optional
        Side in pixels of what is read at once; by default that which suits the plane and the free memory. It doesn't
        change a result.
    guided : bool
        Gate each branch by its classification-guided module, where the checkpoint has them.
    orientations : 1, 2, 4 or 8
        Average so many mirrored and transposed views of every tile; costs as many times the time.
    accurate : bool
        The deepest level answers with the average of all branches that are computed.
    precision : "float32", "half" or "auto"
        Half: bfloat16 on a CPU, else float16; auto: half on a CPU that has instructions for it.

    Attributes
    ----------
    device : Device
        The one chosen, with its name and the reason.
    level : int
    branches : tuple of str
        What will be computed; branches without a head are left out.

    Raises
    ------
    DeviceError
        If the device isn't there, or has no room for the network.
    SettingsError
        If level or branches aren't in the checkpoint.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        level: int | None = None,
        branches: tuple[str, ...] | None = None,
        tile: int | None = None,
        guided: bool = False,
        orientations: int = 1,
        accurate: bool = False,
        precision: str = "float32",
    ) -> None:
        self.checkpoint = checkpoint
        self.device = choose_device(device)
        self.level = checkpoint.config.level if level is None else level
        self.branches = checked_branches(checkpoint.config, self.level, branches)
        check_options(checkpoint.config, guided, orientations)
        self.guided = guided
        self._tile = tile
        self._means = self._first = Means(tile or LARGE_TILE, dtype_of(precision, self.device.kind), self.device.kind)
        engine = Engine(checkpoint.network, self.device, self._means.dtype)
        self._pass = TilePass(engine, self.level, self.branches, orientations, accurate)

    @property
    def means(self) -> Means:
        """Size of tiles, precision and device, as they are after any step down."""
        return self._means

    def tiles(
        self,
        plane: NDArray[Any],
        region: Region | None = None,
        notes: list[str] | None = None,
        nucleus_size: float | None = None,
        limits: Limits | None = None,
        factor: float | None = None,
    ) -> Iterator[TileMaps]:
        """Compute a plane, yielding each tile as it is finished, the middle of the region first.

        Where memory runs out, the tiles that are left are computed in smaller ones, then in half precision, then on
        the CPU; each step is said in `notes`.

        Parameters
        ----------
        plane : array, (Y, X, C) or (Y, X), any real dtype
            Limits of brightness are taken from all of it, also where only a region is computed, so all of it
            must be finite.
        region : Region, optional
            The whole plane by default.
        notes : list of str, optional
            Gets a sentence for each thing a person should know.
        nucleus_size : float, optional
            Typical diameter in pixels of the plane's nuclei, by which it is brought to the checkpoint's scale; by
            default it is estimated (`estimate_size`). The checkpoint's own size leaves the plane as it is, and so does
            a checkpoint that knows none.
        limits : (float, float), optional
            Grey values that become 0 and 1 (`Intensity.limits`), shared by all blocks of a slide. The plane is then
            read only where it is computed, so it may be anything with `shape`, `ndim` and `dtype`, the channels that
            the network takes, and slices ``plane[y0:y1, x0:x1]``.
        factor : float, optional
            Magnification that brings the plane to the checkpoint's scale, whatever the size of its nuclei.

        Yields
        ------
        TileMaps

        Raises
        ------
        ImageError
            If the plane holds NaN or infinite values, with their number.
        DeviceError
            If the device fails and nothing smaller helps; the true reason is in the message.
        """
        lazy = limits is not None
        plane = plane if lazy else self._checked(plane, notes)
        scale = self._scale(plane, nucleus_size) if factor is None else ModelScale.of(plane.shape, factor)
        part = None if region is None else scale.region(region.within(scale.native))
        if self._tile is None and self._means == self._first:  # none given, and memory never ran out
            shape = scale.model if part is None else (part.height, part.width)
            room = self._pass.engine.room(self.level)
            tile = block_tile(shape, self.level, room, self.device.kind) if lazy else suitable_tile(
                shape, self.level, room
            )  # fmt: skip
            self._means = self._first = replace(self._first, tile=tile)
        plans = plan_tiles(scale.model, part, self.level, self._means.tile)
        span = limits or self.checkpoint.metadata.intensity.limits(plane)

        def read(window: Window) -> NDArray[np.float32]:
            pixels = scale.read(plane, window)
            if lazy:
                check_finite(pixels)
            return self.checkpoint.metadata.intensity.apply(pixels, span)

        crop = self.checkpoint.metadata.crop
        gates = presence_gates(self._run_window, read, scale.model, crop, plans) if self.guided else None
        started = time.monotonic()
        waiting, done = placed(plans, scale), 0
        try:
            while waiting:
                plan, core = waiting[0]
                try:
                    maps = self._maps(read(plan.window), plan.window, gates)
                except DeviceError as error:
                    self._step_down(error, notes)
                    waiting = cut_smaller(waiting, scale, self.level, self._means.tile)
                    continue
                waiting.popleft()
                done += 1
                count, seconds = (done, done + len(waiting)), time.monotonic() - started
                yield resampled(maps, scale, plan.window, core, count, seconds, self._means)
        finally:
            self._pass.engine.release()

    def _step_down(self, error: DeviceError, notes: list[str] | None) -> None:
        """Go on with less memory and say so, or let the error be the end."""
        cause = error.__cause__
        means = step_down(self._means, self.level, self._first) if cause and is_out_of_memory(cause) else None
        if means is None or cause is None:
            raise error
        note = f"Memory ran out for {self._means} ({first_line(cause)}); going on with {means}."
        if (means.device, means.dtype) != (self._means.device, self._means.dtype):
            self._pass.engine.release()
            device = self.device if means.device == self.device.kind else choose_device(means.device)
            try:
                self._pass = replace(self._pass, engine=Engine(self.checkpoint.network, device, means.dtype))
            except (DeviceError, RuntimeError, MemoryError):  # no room for another copy either
                raise error from cause
        self._means = means
        if notes is not None and note not in notes:
            notes.append(note)

    def estimate_size(self, plane: NDArray[Any], limits: Limits | None = None) -> float | None:
        """Typical diameter in pixels of a plane's nuclei, found by this network at several scales.

        Parameters
        ----------
        plane : array, (Y, X, C) or (Y, X)
        limits : (float, float), optional
            Grey values that become 0 and 1; those of the plane by default.

        Returns
        -------
        float or None
            None where no nuclei were found, or where the checkpoint knows no scale of its own.

        Raises
        ------
        ImageError, DeviceError
            As in `tiles`.
        """
        wanted = self.checkpoint.metadata.nucleus_size
        if not wanted:
            return None
        plane = self._checked(plane, None)
        intensity = self.checkpoint.metadata.intensity
        span = limits or intensity.limits(plane)
        return estimated_size(plane, wanted, lambda part: self._looked(intensity.apply(part, span)))

    @torch.inference_mode()
    def _looked(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Nuclei and cores as a shallow level sees a small picture that stands for itself."""
        level = min(2, self.level)
        window = Window.whole(padded(pixels.shape[0]), padded(pixels.shape[1]))
        heads = self.checkpoint.config.heads
        name = next((f"x0{depth}" for depth in (level, self.level) if f"x0{depth}" in heads), None)
        if name is None:
            return np.zeros(pixels.shape[:2], np.float32), None
        task = TilePass(self._pass.engine, int(name[2]), (name,))
        with explained(self._means.device, pixels.shape):
            maps = task.run(self._pass.engine.tensor(read_window(pixels, window)), window)
        part = slice(pixels.shape[0]), slice(pixels.shape[1])
        return maps.full[name][part], maps.cores[name][part] if maps.cores else None

    @property
    def options(self) -> tuple[Any, ...]:
        """What changes a result besides the checkpoint: gates, orientations, accurate mode, precision."""
        return self.guided, self._pass.orientations, self._pass.accurate, self._first.dtype

    def _checked(self, plane: NDArray[Any], notes: list[str] | None) -> NDArray[Any]:
        plane = plane if plane.ndim == 3 else plane[..., np.newaxis]
        check_finite(plane)
        plane, note = adapt_channels(plane, self.checkpoint.config.in_channels)
        if note and notes is not None and note not in notes:
            notes.append(note)
        return plane

    def _scale(self, plane: NDArray[Any], nucleus_size: float | None) -> ModelScale:
        wanted = self.checkpoint.metadata.nucleus_size
        if nucleus_size is not None and not 0 < nucleus_size < np.inf:
            raise SettingsError(f"a nucleus size is a diameter in pixels above 0, not {nucleus_size}")
        size = nucleus_size or self.estimate_size(plane)
        factor = magnification(wanted, size) if wanted and size else 1.0
        return ModelScale.of(plane.shape, factor)

    def predict(
        self,
        plane: NDArray[Any],
        region: Region | None = None,
        on_tile: Callable[[TileMaps], None] | None = None,
        nucleus_size: float | None = None,
        limits: Limits | None = None,
    ) -> Prediction:
        """Compute a plane in one call.

        Parameters
        ----------
        plane, region, nucleus_size, limits
            As in `tiles`.
        on_tile : callable, optional
            Called after each tile.

        Returns
        -------
        Prediction
        """
        prediction = self.empty(plane.shape[:2])
        for tile in self.tiles(plane, region, prediction.notes, nucleus_size, limits):
            prediction.place(tile)
            if on_tile is not None:
                on_tile(tile)
        return prediction

    def empty(self, shape: tuple[int, ...]) -> Prediction:
        """An unfilled prediction for a plane of this (Y, X) shape."""
        extras = self.checkpoint.config.extras
        return Prediction.empty((int(shape[0]), int(shape[1])), self.level, self.branches, extras)

    @torch.inference_mode()
    def _maps(self, pixels: NDArray[np.float32], window: Window, gates: Gates | None) -> WindowMaps:
        gate = None if gates is None else partial(gates.at, window=window)
        with explained(self._means.device, pixels.shape):
            return self._pass.run(self._pass.engine.tensor(pixels), window, gate)

    @torch.inference_mode()
    def _run_window(self, pixels: NDArray[np.float32]) -> dict[str, bool]:
        """Presence by branch for one window that stands for itself, as in training."""
        with explained(self._means.device, pixels.shape):
            return self._pass.engine.presence(self._pass.engine.tensor(pixels), self.level)
