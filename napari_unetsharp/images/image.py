"""A picture with its axes: what every reader gives and the predictor takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError

MEMORY_FRACTION = 0.5
"""Share of the machine's memory that one decoded picture may take."""


@dataclass
class Image:
    """Pixels, axes and spacing.

    Attributes
    ----------
    pixels : array-like
        Any real dtype, one axis per letter of `axes`.
    axes : str
        Ends in "YX" or "YXC"; letters before are stack axes such as T or Z ("ZYX", "TZYXC").
    scale : tuple of float
        Size of a step along each axis but C, in `units`.
    units : tuple of str
        A unit per axis but C: "pixel" where nothing is known.
    name : str
        For layers and file names.
    notes : list of str
        What a person should know about how it was read, a sentence each.
    """

    pixels: Any
    axes: str
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    name: str = "image"
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.axes.endswith(("YX", "YXC")) or len(self.axes) != len(self.pixels.shape):
            raise ImageError(
                f"axes {self.axes!r} don't fit a picture of shape {tuple(self.pixels.shape)}; "
                "they must end in YX or YXC"
            )
        check_values(self.pixels.dtype, tuple(self.pixels.shape))
        self.scale = self.scale or (1.0,) * len(self.spatial_axes)
        self.units = self.units or ("pixel",) * len(self.spatial_axes)

    @property
    def spatial_axes(self) -> str:
        """The axes without C."""
        return self.axes.removesuffix("C")

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Lengths of the axes before Y."""
        return tuple(int(side) for side in self.pixels.shape[: len(self.spatial_axes) - 2])

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(Y, X) in pixels."""
        count = len(self.stack_shape)
        return int(self.pixels.shape[count]), int(self.pixels.shape[count + 1])

    def plane(self, index: tuple[int, ...] = ()) -> NDArray[Any]:
        """One plane as (Y, X, C)."""
        plane = np.asarray(self.pixels[index] if index else self.pixels)
        return plane if self.axes.endswith("C") else plane[..., np.newaxis]

    def plane_indices(self) -> Iterator[tuple[int, ...]]:
        """Give the indices of all planes in order: one empty tuple for a single plane."""
        return iter(np.ndindex(self.stack_shape))


def check_values(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse what no network can take: complex numbers, text, pictures without a pixel.

    Raises
    ------
    ImageError
    """
    if dtype.kind not in "uifb":
        raise ImageError(f"pixels of type {dtype} can't be segmented; whole or real numbers are needed")
    if not prod(shape):
        raise ImageError(f"the image is empty (shape {shape}); at least one pixel is needed")


def check_finite(plane: NDArray[Any]) -> None:
    """Refuse NaN and infinite values.

    Raises
    ------
    ImageError
        With their count.
    """
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        bad = int(plane.size - np.count_nonzero(np.isfinite(plane)))
        raise ImageError(
            f"{bad} of {plane.size} values are NaN or infinite; replace them (for instance with 0) and run again"
        )


def adapt_channels(plane: NDArray[Any], wanted: int, colours: bool = True) -> tuple[NDArray[Any], str]:
    """Give a plane the channels that a network takes.

    Parameters
    ----------
    plane : array, (Y, X, C)
    wanted : int
        Channels of the network.
    colours : bool
        Whether several channels may be colours, a fourth of them transparency; False where each is known to be a
        stain of its own.

    Returns
    -------
    plane : array, (Y, X, wanted)
        A view where possible.
    note : str
        What was done, one sentence; empty where the channels fit as they are.
    """
    given = plane.shape[-1]
    if given == wanted:
        return plane, ""
    if not colours and given > 1 and wanted == 1:
        return plane[..., :1], f"The first of {given} channels was taken: this model takes one."
    if colours and given == wanted + 1 and wanted == 3:
        return plane[..., :3], "The fourth channel (transparency) was left out."
    if given == 2 and wanted == 1:
        return plane[..., :1], "The second channel was left out."
    if given >= 3 and wanted == 1:
        grey = plane[..., :3].astype(np.float32).mean(axis=-1, keepdims=True)
        return grey.astype(plane.dtype), "The colours were averaged: this model takes one channel."
    repeated = np.broadcast_to(plane[..., :1], (*plane.shape[:2], wanted))
    source = "The one channel" if given == 1 else f"The first of {given} channels"
    return repeated, f"{source} was repeated for the {wanted} that this model takes."


def check_size(shape: tuple[int, ...], dtype: np.dtype[Any], source: str) -> None:
    """Refuse a picture by its declared size, before a byte of pixels is read.

    Raises
    ------
    ImageError
        If it would take more than half of the machine's memory.
    """
    declared, memory = prod(shape) * dtype.itemsize, physical_memory()
    if declared > memory * MEMORY_FRACTION:
        raise ImageError(
            f"{source} declares {declared / 2**30:,.1f} GiB of pixels (shape {shape}), more than half of this "
            f"machine's {memory / 2**30:,.1f} GiB of memory; crop it or save a smaller version"
        )


def physical_memory() -> int:
    """Bytes of memory of this machine; 8 GiB where the system doesn't say."""
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30
