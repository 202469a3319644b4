"""A network made ready to look: batch norm folded, channels-last, on its device, at a precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetsharp.errors import DeviceError, SettingsError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.network.device import Device
from napari_unetsharp.network.folding import folded
from napari_unetsharp.network.forms import strip_form
from napari_unetsharp.network.grid import NODES, nodes_of_level
from napari_unetsharp.network.strips import StripPass
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.network.upconv import Window

PRECISIONS = ("float32", "half", "auto")
"""As computed in training; half of the bits; half where the device is known to gain by it."""

HALF_TOLERANCE = 0.01
"""A probability of the shipped model changes by no more than this in half precision, at any pixel and branch."""


def half_of(device: str) -> torch.dtype | None:
    """The half precision that a device gains by, or None: float16 on a GPU, bfloat16 on a CPU with instructions for it.

    Parameters
    ----------
    device : "cuda", "mps" or "cpu"

    Returns
    -------
    torch.dtype or None
    """
    if device != "cpu":
        return torch.float16
    return torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else None


def dtype_of(precision: str, device: str) -> torch.dtype:
    """The dtype that a wish means on a device.

    Parameters
    ----------
    precision : "float32", "half" or "auto"
        ``auto`` takes the half precision on CPUs alone: GPUs were not measured.
    device : "cuda", "mps" or "cpu"

    Returns
    -------
    torch.dtype

    Raises
    ------
    SettingsError
        If half precision was asked of a CPU that computes it slower, or the wish is unknown.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is one of {PRECISIONS}, not {precision!r}")
    half = half_of(device)
    if precision == "half" and half is None:
        raise SettingsError("this CPU has no instructions for half precision (AVX512-BF16); choose float32 or auto")
    if precision == "float32" or half is None or (precision == "auto" and device != "cpu"):
        return torch.float32
    return half


@contextmanager
def explained(device: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Turn what torch raises over a tile of this (Y, X, ...) shape into one of our errors, with its reason."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise DeviceError(
            f"a tile of {shape[0]} x {shape[1]} px failed on {device} ({first_line(error)}); finished tiles are kept, "
            "try a smaller depth or CPU"
        ) from error


class Engine:
    """The predictor's private copy of a network.

    On a CPU the grid is evaluated in small rectangles (`StripPass`), elsewhere node by node.

    Parameters
    ----------
    network : UNetSharp
        Stays as it is.
    device : Device
    dtype : torch.dtype

    Attributes
    ----------
    config : UNetSharpConfig
    device : Device
    dtype : torch.dtype

    Raises
    ------
    DeviceError
        If the network can't be brought to the device.
    """

    def __init__(self, network: UNetSharp, device: Device, dtype: torch.dtype = torch.float32) -> None:
        self.config, self.device, self.dtype = network.config, device, dtype
        copied: Any = folded(network)  # torch's stub of Module.to lacks memory_format
        try:
            self._network: UNetSharp = copied.to(device.torch, memory_format=torch.channels_last)
        except RuntimeError as error:
            raise DeviceError(
                f"the network can't be brought to {device.kind} ({first_line(error)}); choose another device"
            ) from error
        self._strips: StripPass | None = None
        if device.kind == "cpu":
            self._strips = StripPass(self._network, dtype, strip_form(dtype))
        elif dtype != torch.float32:
            self._network.to(dtype)

    def tensor(self, pixels: NDArray[np.float32]) -> Tensor:
        """Pixels (h, w, C) as a tensor (1, C, h, w) on the device, channels-last."""
        tensor = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        return tensor.to(self.device.torch, self.dtype).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def logits(self, image: Tensor, window: Window, branches: Sequence[str]) -> dict[str, Tensor]:
        """Logits of the branches that are asked for, each at its own scale; nothing else is computed.

        Parameters
        ----------
        image : Tensor, (1, C, h, w)
            As from `tensor`.
        window : Window
        branches : sequence of str

        Returns
        -------
        dict of str to Tensor
            (1, outputs, h / scale, w / scale), float32.
        """
        if self._strips is not None:
            logits = self._strips.logits(image, window, branches)
        else:
            image = image.contiguous(memory_format=torch.channels_last)
            maps = self._network.maps_for(branches, image, window)
            logits = {name: self._network.heads[name](maps[name]) for name in branches}
        return {name: values.float() for name, values in logits.items()}

    @torch.inference_mode()
    def presence(self, image: Tensor, level: int) -> dict[str, bool]:
        """What the guided modules say of a window that stands for itself, by branch."""
        dtype = next(self._network.parameters()).dtype  # on a CPU the modules themselves stay in float32
        maps = self._network.features(image.to(dtype), level)
        presence = self._network.presence_logits(maps, level)
        return {name: bool(logits.argmax(1).item()) for name, logits in presence.items()}

    def room(self, level: int) -> float:
        """Pixels of a tile for whose maps half of the memory that is free now would do."""
        nodes = (NODES[name] for name in nodes_of_level(level))
        values = sum(self.config.widths[node.row] / node.scale**2 for node in nodes)
        copies = 1.5 if self._strips is not None else 3  # pooled maps, and those between two convolutions
        on_gpu = self.device.kind == "cuda"
        free = torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available
        return float(free / 2 / (copies * values * self.dtype.itemsize))

    def release(self) -> None:
        """Give back the memory of the maps until the next tile."""
        if self._strips is not None:
            self._strips.release()
