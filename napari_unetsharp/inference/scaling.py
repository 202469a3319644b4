"""Bring an image to the scale of a model, and its maps back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_unetsharp.inference.tiling import Region, mirrored, read_window
from napari_unetsharp.network.upconv import Window

SMALLEST, LARGEST = 1 / 8, 4.0
"""Magnification stays within these, however odd the sizes of an image's nuclei."""


def magnification(wanted: float, diameter: float) -> float:
    """Factor that brings nuclei of a diameter to the wanted one, within `SMALLEST` to `LARGEST`."""
    return min(LARGEST, max(SMALLEST, wanted / diameter))


def resized(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample bilinearly; smoothed before where it shrinks.

    Parameters
    ----------
    values : array, (Y, X) or (Y, X, C), real
    shape : tuple of int
        New (Y, X).

    Returns
    -------
    array of float32, (*shape,) or (*shape, C)
    """
    planes = values if values.ndim == 3 else values[..., np.newaxis]
    tensor = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).permute(2, 0, 1)[None]
    if tuple(tensor.shape[2:]) != shape:
        shrinks = shape[0] < tensor.shape[2] or shape[1] < tensor.shape[3]
        tensor = functional.interpolate(tensor, size=shape, mode="bilinear", align_corners=False, antialias=shrinks)
    result = tensor[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(result if values.ndim == 3 else result[..., 0])


def nearest(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Resample labels: each pixel takes the one under its centre. Shapes as in `resized`."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shape, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns[None, :]])


def scaled_shape(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    """(Y, X) after magnification, at least one pixel each."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


@dataclass(frozen=True)
class ModelScale:
    """How a plane lies in the model's own pixels.

    Attributes
    ----------
    native : tuple of int
        (Y, X) of the plane.
    model : tuple of int
        (Y, X) at the model's scale; the same where nothing is resampled.
    """

    native: tuple[int, int]
    model: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, ...], factor: float = 1.0) -> ModelScale:
        """Scale by which a plane of this shape is magnified."""
        native = (int(shape[0]), int(shape[1]))
        return cls(native, scaled_shape(native, factor))

    @property
    def is_native(self) -> bool:
        """Whether nothing is resampled."""
        return self.native == self.model

    def region(self, native: Region) -> Region:
        """The smallest region in the model's pixels that holds one in the plane's."""
        spans = []
        for start, length, whole, model in zip(
            (native.top, native.left), (native.height, native.width), self.native, self.model, strict=True
        ):
            first, last = start * model // whole, -(-(start + length) * model // whole)
            spans.append((min(first, model - 1), max(1, min(last, model) - min(first, model - 1))))
        return Region(spans[0][0], spans[1][0], spans[0][1], spans[1][1])

    def core(self, model: Region) -> Region | None:
        """The plane's pixels whose centres lie in a core of the model's; None if there are none."""
        if self.is_native:
            return model
        spans = []
        for start, length, whole, scaled in zip(
            (model.top, model.left), (model.height, model.width), self.native, self.model, strict=True
        ):
            first, last = (math.ceil(edge * whole / scaled - 0.5) for edge in (start, start + length))
            spans.append((first, last - first))
        if min(length for _, length in spans) < 1:
            return None
        return Region(spans[0][0], spans[1][0], spans[0][1], spans[1][1])

    def read(self, plane: NDArray[Any], window: Window) -> NDArray[Any]:
        """The pixels of a window of the model's plane, mirrored beyond its edge; exact, whatever the tiling."""
        if self.is_native:
            return read_window(plane, window)
        indices = (
            mirrored(window.top, window.height, self.model[0]), mirrored(window.left, window.width, self.model[1])
        )  # fmt: skip
        (top, rows), (left, columns) = (
            interpolation(index, new, old) for index, new, old in zip(indices, self.model, self.native, strict=True)
        )
        block = np.asarray(plane[top : top + rows.shape[1], left : left + columns.shape[1]], dtype=np.float32)
        return np.asarray(np.einsum("ij,jkc->ikc", rows, np.einsum("lk,jkc->jlc", columns, block, optimize=True),
                                    optimize=True))  # fmt: skip

    def back(self, values: NDArray[np.float32], window: Window, core: Region) -> NDArray[np.float32]:
        """A window's map, resampled to the plane's pixels of a core."""
        if self.is_native:
            top, left = core.top - window.top, core.left - window.left
            return values[top : top + core.height, left : left + core.width]
        inside = values[: self.model[0] - window.top, : self.model[1] - window.left]  # mirrored pixels are no evidence
        (top, rows), (left, columns) = (
            interpolation(np.arange(start, start + length), new, old)
            for start, length, new, old in zip(
                (core.top, core.left), (core.height, core.width), self.native, self.model, strict=True
            )
        )
        part = inside[top - window.top :, left - window.left :][: rows.shape[1], : columns.shape[1]]
        return np.asarray(rows @ part @ columns.T)


def interpolation(rows: NDArray[np.intp], new: int, old: int) -> tuple[int, NDArray[np.float32]]:
    """Weights of old pixels for some new ones along one axis: bilinear, with a wider tent where it shrinks.

    Any row has the same weights whichever others are asked with it, so that tiles agree.

    Parameters
    ----------
    rows : array of int
        New pixels, 0 to new - 1, in any order.
    new, old : int
        Lengths of the whole axis.

    Returns
    -------
    first : int
        The old pixel of the first column.
    weights : array of float32, (len(rows), columns)
        Each row sums to 1.
    """
    reach = max(1.0, old / new)
    centres = (rows + 0.5) * (old / new) - 0.5
    first = max(0, math.floor(float(centres.min()) - reach))
    last = min(old - 1, math.ceil(float(centres.max()) + reach))
    distance = np.abs(np.arange(first, last + 1)[None, :] - centres[:, None])
    weights = np.clip(1 - distance / reach, 0, None)
    return first, np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
