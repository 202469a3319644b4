"""THE predictor: window, command line, training and benchmarks all call it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetsharp.errors import DeviceError, SettingsError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import adapt_channels, check_finite
from napari_unetsharp.inference.guidance import Gates, presence_gates
from napari_unetsharp.inference.prediction import Prediction, TileMaps
from napari_unetsharp.inference.tiling import DEFAULT_TILE, Region, TilePlan, plan_tiles, read_window
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.network.grid import BRANCHES, branches_of_level
from napari_unetsharp.network.unet_sharp import UNetSharp, probabilities
from napari_unetsharp.network.upconv import upsample
from napari_unetsharp.nuclei.doubt import max_pool


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
        self.guided = guided
        private: Any = copy.deepcopy(checkpoint.network).eval()  # torch's stub of Module.to lacks memory_format
        try:
            self._network: UNetSharp = private.to(self.device.torch, memory_format=torch.channels_last)
        except RuntimeError as error:
            raise DeviceError(
                f"the network can't be brought to {self.device.kind} ({first_line(error)}); choose another device"
            ) from error

    def tiles(
        self, plane: NDArray[Any], region: Region | None = None, notes: list[str] | None = None
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
        plane = plane if plane.ndim == 3 else plane[..., np.newaxis]
        check_finite(plane)
        plane, note = adapt_channels(plane, self.checkpoint.config.in_channels)
        if note and notes is not None and note not in notes:
            notes.append(note)
        plans = plan_tiles(plane.shape[:2], region, self.level, self.tile)
        limits = self.checkpoint.metadata.intensity.limits(plane)
        gates = presence_gates(self._run_window, plane, self.checkpoint, limits, plans) if self.guided else None
        started = time.monotonic()
        for done, plan in enumerate(plans, start=1):
            yield self._tile(plane, limits, plan, gates, done, len(plans), started)

    def predict(
        self, plane: NDArray[Any], region: Region | None = None, on_tile: Callable[[TileMaps], None] | None = None
    ) -> Prediction:
        """Compute a plane in one call.

        Parameters
        ----------
        plane, region
            As in `tiles`.
        on_tile : callable, optional
            Called after each tile.

        Returns
        -------
        Prediction
        """
        prediction = self.empty(plane.shape[:2])
        for tile in self.tiles(plane, region, prediction.notes):
            prediction.place(tile)
            if on_tile is not None:
                on_tile(tile)
        return prediction

    def empty(self, shape: tuple[int, ...]) -> Prediction:
        """An unfilled prediction for a plane of this (Y, X) shape."""
        return Prediction.empty((int(shape[0]), int(shape[1])), self.level, self.branches)

    def _tile(
        self, plane: NDArray[Any], limits: tuple[float, float], plan: TilePlan, gates: Gates | None,
        done: int, total: int, started: float,
    ) -> TileMaps:  # fmt: skip
        pixels = self.checkpoint.metadata.intensity.apply(read_window(plane, plan.window), limits)
        try:
            full, coarse = self._maps(pixels, plan)
        except (RuntimeError, MemoryError) as error:
            raise _device_error(error, self.device.kind, pixels) from error
        if gates is not None:
            for name in full:
                gate = gates.at(name, plan.core)
                full[name] = (full[name] * gate).astype(np.float16)
                if name in coarse:
                    coarse[name] = (coarse[name] * max_pool(gate, BRANCHES[name].scale)).astype(np.float16)
        return TileMaps(plan.core, full, coarse, done, total, time.monotonic() - started)

    @torch.inference_mode()
    def _maps(
        self, pixels: NDArray[np.float32], plan: TilePlan
    ) -> tuple[dict[str, NDArray[np.float16]], dict[str, NDArray[np.float16]]]:
        maps = self._network.features(self._tensor(pixels), self.level, plan.window)
        full, coarse = {}, {}
        for name in self.branches:
            logits = self._network.heads[name](maps[name])
            scale = BRANCHES[name].scale
            if scale > 1:
                coarse[name] = _on_host(probabilities(logits), _scaled(plan, scale))
            full[name] = _on_host(probabilities(upsample(logits, scale, plan.window, 1)), plan.kept)
        return full, coarse

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


def _scaled(plan: TilePlan, scale: int) -> tuple[slice, slice]:
    """The core inside a window's arrays at 1/scale; the far edge of the plane is rounded up."""
    rows, columns = plan.kept
    return (
        slice(rows.start // scale, -(-rows.stop // scale)),
        slice(columns.start // scale, -(-columns.stop // scale)),
    )


def _on_host(values: Tensor, part: tuple[slice, slice]) -> NDArray[np.float16]:
    """Part of a (1, classes, h, w) map as float16; of several classes the most probable one."""
    return values[0, :, part[0], part[1]].amax(0).to(torch.float16).cpu().numpy()


def _device_error(error: BaseException, kind: str, pixels: NDArray[np.float32]) -> DeviceError:
    size = f"{pixels.shape[0]} x {pixels.shape[1]} px"
    return DeviceError(
        f"a tile of {size} failed on {kind} ({first_line(error)}); finished tiles are kept, try a smaller depth or CPU"
    )
