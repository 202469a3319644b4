"""THE predictor: window, command line, training and benchmarks all call it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetsharp.errors import DeviceError, SettingsError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import adapt_channels, check_finite
from napari_unetsharp.inference.guidance import Gates, presence_gates
from napari_unetsharp.inference.nucleus_size import estimated_size
from napari_unetsharp.inference.prediction import Prediction, TileMaps
from napari_unetsharp.inference.scaling import ModelScale, magnification
from napari_unetsharp.inference.tile_pass import ORIENTATIONS, TilePass, WindowMaps
from napari_unetsharp.inference.tiling import DEFAULT_TILE, Region, padded, plan_tiles, read_window
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.network.grid import BRANCHES, branches_of_level
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.network.upconv import Window


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
    tile : int
        Side in pixels of what is read at once.
    guided : bool
        Gate each branch by its classification-guided module, where the checkpoint has them.
    orientations : 1, 2, 4 or 8
        Average so many mirrored and transposed views of every tile; costs as many times the time.
    accurate : bool
        The deepest level answers with the average of all branches that are computed.

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
        tile: int = DEFAULT_TILE,
        guided: bool = False,
        orientations: int = 1,
        accurate: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.device = choose_device(device)
        self.level = checkpoint.config.level if level is None else level
        self.tile = tile
        if not 1 <= self.level <= checkpoint.config.level:
            raise SettingsError(
                f"depth {self.level} was asked of a checkpoint of depth {checkpoint.config.level}; "
                f"choose 1 to {checkpoint.config.level}"
            )
        offered = tuple(name for name in branches_of_level(self.level) if name in checkpoint.config.heads)
        self.branches = offered if branches is None else tuple(name for name in BRANCHES if name in branches)
        unknown = set(branches or ()) - set(offered)
        if unknown or not self.branches:
            raise SettingsError(
                f"depth {self.level} of this checkpoint gives {', '.join(offered) or 'nothing'}"
                f"{', not ' + ', '.join(sorted(unknown)) if unknown else ''}; choose among those"
            )
        if guided and not checkpoint.config.guided:
            raise SettingsError("this checkpoint has no guided modules; switch them off")
        if orientations not in ORIENTATIONS:
            raise SettingsError(f"orientations are one of {ORIENTATIONS}, not {orientations!r}")
        self.guided = guided
        private: Any = copy.deepcopy(checkpoint.network).eval()  # torch's stub of Module.to lacks memory_format
        try:
            self._network: UNetSharp = private.to(self.device.torch, memory_format=torch.channels_last)
        except RuntimeError as error:
            raise DeviceError(
                f"the network can't be brought to {self.device.kind} ({first_line(error)}); choose another device"
            ) from error
        self._pass = TilePass(self._network, self.level, self.branches, orientations, accurate)

    def tiles(
        self,
        plane: NDArray[Any],
        region: Region | None = None,
        notes: list[str] | None = None,
        nucleus_size: float | None = None,
    ) -> Iterator[TileMaps]:
        """Compute a plane, yielding each tile as it is finished, the middle of the region first.

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

        Yields
        ------
        TileMaps

        Raises
        ------
        ImageError
            If the plane holds NaN or infinite values, with their number.
        DeviceError
            If the device fails; the true reason is in the message.
        """
        plane = self._checked(plane, notes)
        scale = self._scale(plane, nucleus_size)
        plans = plan_tiles(scale.model, None if region is None else scale.region(region.within(scale.native)),
                           self.level, self.tile)  # fmt: skip
        limits = self.checkpoint.metadata.intensity.limits(plane)

        def read(window: Window) -> NDArray[np.float32]:
            return self.checkpoint.metadata.intensity.apply(scale.read(plane, window), limits)

        crop = self.checkpoint.metadata.crop
        gates = presence_gates(self._run_window, read, scale.model, crop, plans) if self.guided else None
        started = time.monotonic()
        cores = [(plan, core) for plan in plans if (core := scale.core(plan.core)) is not None]
        for done, (plan, core) in enumerate(cores, start=1):
            maps = self._maps(read(plan.window), plan.window, gates)
            yield _resampled(maps, scale, plan.window, core, done, len(cores), time.monotonic() - started)

    def estimate_size(self, plane: NDArray[Any]) -> float | None:
        """Typical diameter in pixels of a plane's nuclei, found by this network at several scales.

        Parameters
        ----------
        plane : array, (Y, X, C) or (Y, X)

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
        limits = self.checkpoint.metadata.intensity.limits(plane)

        def run(part: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
            return self._looked(self.checkpoint.metadata.intensity.apply(part, limits))

        return estimated_size(plane, wanted, run)

    @torch.inference_mode()
    def _looked(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Nuclei and cores as a shallow level sees a small picture that stands for itself."""
        level = min(2, self.level)
        window = Window.whole(padded(pixels.shape[0]), padded(pixels.shape[1]))
        name = next((f"x0{depth}" for depth in (level, self.level) if f"x0{depth}" in self._network.heads), None)
        if name is None:
            return np.zeros(pixels.shape[:2], np.float32), None
        task = TilePass(self._network, int(name[2]), (name,))
        try:
            maps = task.run(self._tensor(read_window(pixels, window)), window)
        except (RuntimeError, MemoryError) as error:
            raise _device_error(error, self.device.kind, pixels) from error
        part = slice(pixels.shape[0]), slice(pixels.shape[1])
        return maps.full[name][part], maps.cores[name][part] if maps.cores else None

    @property
    def options(self) -> tuple[Any, ...]:
        """What changes a result besides the checkpoint: gates, orientations, accurate mode."""
        return self.guided, self._pass.orientations, self._pass.accurate

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
    ) -> Prediction:
        """Compute a plane in one call.

        Parameters
        ----------
        plane, region, nucleus_size
            As in `tiles`.
        on_tile : callable, optional
            Called after each tile.

        Returns
        -------
        Prediction
        """
        prediction = self.empty(plane.shape[:2])
        for tile in self.tiles(plane, region, prediction.notes, nucleus_size):
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
        try:
            return self._pass.run(self._tensor(pixels), window, gate)
        except (RuntimeError, MemoryError) as error:
            raise _device_error(error, self.device.kind, pixels) from error

    @torch.inference_mode()
    def _run_window(self, pixels: NDArray[np.float32]) -> dict[str, bool]:
        """Presence by branch for one window that stands for itself, as in training."""
        try:
            maps = self._network.features(self._tensor(pixels), self.level)
            presence = self._network.presence_logits(maps, self.level)
            return {name: bool(logits.argmax(1).item()) for name, logits in presence.items()}
        except (RuntimeError, MemoryError) as error:
            raise _device_error(error, self.device.kind, pixels) from error

    def _tensor(self, pixels: NDArray[np.float32]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        return tensor.to(self.device.torch).contiguous(memory_format=torch.channels_last)


def _resampled(
    maps: WindowMaps, scale: ModelScale, window: Window, core: Region, done: int, total: int, seconds: float
) -> TileMaps:
    """A window's maps as a tile of the plane."""

    def back(values: NDArray[Any]) -> NDArray[np.float16]:
        return scale.back(values.astype(np.float32, copy=False), window, core).astype(np.float16)

    return TileMaps(
        core,
        {name: back(values) for name, values in maps.full.items()},
        {name: back(values) for name, values in maps.cores.items()},
        None if maps.doubt is None else back(maps.doubt),
        done,
        total,
        seconds,
    )


def _device_error(error: BaseException, kind: str, pixels: NDArray[np.float32]) -> DeviceError:
    size = f"{pixels.shape[0]} x {pixels.shape[1]} px"
    return DeviceError(
        f"a tile of {size} failed on {kind} ({first_line(error)}); finished tiles are kept, try a smaller depth or CPU"
    )
