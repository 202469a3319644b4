"""What to do when memory runs out: one step down at a time, said in one line."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from napari_unetsharp.inference.engine import half_of
from napari_unetsharp.inference.tiling import least_tile

_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")
"""What torch's allocators say; several raise a bare RuntimeError."""


@dataclass(frozen=True)
class Means:
    """How tiles are computed.

    Attributes
    ----------
    tile : int
        Side in pixels of what is read at once, at most.
    dtype : torch.dtype
    device : "cuda", "mps" or "cpu"
    """

    tile: int
    dtype: torch.dtype
    device: str

    def __str__(self) -> str:
        return f"tiles of {self.tile} px in {str(self.dtype).removeprefix('torch.')} on {self.device}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def step_down(means: Means, level: int, first: Means) -> Means | None:
    """The next thing to try with less memory: smaller tiles, then half precision, then the CPU.

    Tiles are computed one by one, so there is no batch to make smaller.

    Parameters
    ----------
    means : Means
        What there was too little memory for.
    level : int
        Decides the smallest tile.
    first : Means
        What was tried first; the CPU begins again with that tile and precision.

    Returns
    -------
    Means or None
        None if nothing is left to try.
    """
    least = least_tile(level)
    if means.tile > least:
        return replace(means, tile=max(least, means.tile // 32 * 16))
    half = half_of(means.device)
    if means.dtype == torch.float32 and half is not None:
        return replace(means, tile=first.tile, dtype=half)
    if means.device != "cpu":
        return replace(first, device="cpu", dtype=torch.float32)
    return None
