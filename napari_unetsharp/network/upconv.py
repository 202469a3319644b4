"""Upsampling, and the 3 x 3 convolution of an upsampled map that never builds it.

Bilinear upsampling with ``align_corners=True`` ties every coarse map to the size of the *whole*
image. A tile therefore takes its rows of the interpolation from the whole image's coordinates, which
a `Window` carries; then tile size and position don't change a result.

Upsampling acts on each channel alone and is linear, so the nine taps of a convolution can be applied
at low resolution first and their nine results upsampled, shifted and summed (``convolve_upsampled``): by one
matrix per axis where the tile is small (dense), else by blocks whose cost doesn't grow with the tile (banded).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from napari_unetsharp.network.bands import Span, blocks, neighbours
from napari_unetsharp.network.forms import Form, link_form

_BLOCK = 32
"""Fine rows or columns of one block of the banded form."""


@dataclass(frozen=True)
class Window:
    """Where a tile lies in the whole (padded) image, in pixels of the image.

    Attributes
    ----------
    top, left : int
        Origin of the tile; multiples of 16.
    height, width : int
        Size of the tile; multiples of 16.
    whole_height, whole_width : int
        Size of the whole padded image; multiples of 16.
    """

    top: int
    left: int
    height: int
    width: int
    whole_height: int
    whole_width: int

    @classmethod
    def whole(cls, height: int, width: int) -> Window:
        """Make the window that is the whole image."""
        return cls(0, 0, height, width, height, width)

    @property
    def is_whole(self) -> bool:
        """Whether the tile is the whole image."""
        return (self.height, self.width) == (self.whole_height, self.whole_width)

    def span(self, axis: int, scale: int) -> Span:
        """Start, length and whole length along axis 0 (rows) or 1 (columns) at 1/scale."""
        if axis == 0:
            return self.top // scale, self.height // scale, self.whole_height // scale
        return self.left // scale, self.width // scale, self.whole_width // scale


@lru_cache(maxsize=128)
@torch.inference_mode(False)  # a cached tensor may be needed for training later
def _tap_matrix(span: Span, factor: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``[S_-1 U, U, S_+1 U]`` side by side, (length, 3 * length / factor).

    Column block t belongs to tap t of the kernel: the fine row y reads the upsampled row y + t - 1,
    and zero outside the tile, which is the convolution's own padding.
    """
    below, above, weight = neighbours(*span, factor, torch.device("cpu"))
    length, coarse = span[1], span[1] // factor
    upsampling = torch.zeros(length, coarse)
    rows = torch.arange(length)
    upsampling.index_put_((rows, below), 1 - weight, accumulate=True)
    upsampling.index_put_((rows, above), weight, accumulate=True)
    taps = torch.zeros(3, length, coarse)
    taps[0, 1:] = upsampling[:-1]
    taps[1] = upsampling
    taps[2, :-1] = upsampling[1:]
    return taps.permute(1, 0, 2).reshape(length, 3 * coarse).to(device=device, dtype=dtype)


def upsample(coarse: Tensor, factor: int, window: Window, scale: int) -> Tensor:
    """Bilinear upsampling (``align_corners=True``) by an integer factor, in whole-image coordinates.

    Parameters
    ----------
    coarse : Tensor, (B, C, h, w), floating
        The map of a tile.
    factor : int
        2, 4, 8 or 16.
    window : Window
        Where the tile lies in the whole image.
    scale : int
        Image pixels per *fine* pixel (1 for the top row).

    Returns
    -------
    Tensor, (B, C, factor * h, factor * w)
        Same dtype as `coarse`.
    """
    if factor == 1:
        return coarse
    if window.is_whole:
        size = (coarse.shape[-2] * factor, coarse.shape[-1] * factor)
        return functional.interpolate(coarse, size=size, mode="bilinear", align_corners=True)
    fine = coarse
    for axis in (0, 1):
        below, above, weight = neighbours(*window.span(axis, scale), factor, coarse.device)
        shape = (-1, 1) if axis == 0 else (-1,)
        lower, upper = fine.index_select(2 + axis, below), fine.index_select(2 + axis, above)
        fine = torch.lerp(lower, upper, weight.to(coarse.dtype).reshape(shape))
    return fine


def form_of(coarse: Tensor, factor: int, scale: int) -> Form:
    """Form that `convolve_upsampled` takes for a map, by the committed table."""
    side = factor * max(coarse.shape[-2:])
    return link_form(coarse.device.type, coarse.dtype, scale, factor, side)


def convolve_upsampled(
    coarse: Tensor, weight: Tensor, factor: int, window: Window, scale: int, form: Form | None = None
) -> Tensor:
    """``conv3x3(upsample(coarse))`` without bias, equal to about 1e-6 relative in float32.

    Parameters
    ----------
    coarse : Tensor, (B, C, h, w), floating
    weight : Tensor, (O, C, 3, 3)
    factor, window, scale
        As in `upsample`.
    form : "upsample", "dense" or "banded", optional
        By the committed table (`form_of`) by default.

    Returns
    -------
    Tensor, (B, O, factor * h, factor * w), channels-last in memory unless it was upsampled first
    """
    form = form or form_of(coarse, factor, scale)
    if form == "upsample":
        return functional.conv2d(upsample(coarse, factor, window, scale), weight, padding=1)
    low = _tapped(coarse, weight)
    spread = _dense if form == "dense" else _banded
    return spread(low, factor, window.span(0, scale), window.span(1, scale))


def taps_of(weight: Tensor) -> Tensor:
    """A kernel (O, C, 3, 3) as a matrix per vertical tap: (3, C, 3 * O), horizontal taps side by side."""
    return weight.permute(2, 1, 3, 0).reshape(3, weight.shape[1], -1)


def _tapped(coarse: Tensor, weight: Tensor) -> Tensor:
    """Each of the nine taps at low resolution: (B, vertical tap, h, w, horizontal tap, O)."""
    batch, channels, height, width = coarse.shape
    taps = weight.permute(1, 2, 3, 0).reshape(channels, -1)
    low = coarse.permute(0, 2, 3, 1).reshape(-1, channels) @ taps
    return low.reshape(batch, height, width, 3, 3, -1).permute(0, 3, 1, 2, 4, 5)


def _dense(low: Tensor, factor: int, row_span: Span, column_span: Span) -> Tensor:
    """Two matrix products: rows first, then columns."""
    batch, _, low_height, low_width, _, out = low.shape
    rows = _tap_matrix(row_span, factor, low.dtype, low.device)
    columns = _tap_matrix(column_span, factor, low.dtype, low.device)
    tall = rows @ low.reshape(batch, 3 * low_height, low_width * 3 * out)
    height = tall.shape[1]
    tall = tall.reshape(batch, height, low_width, 3, out).transpose(2, 3)
    fine = columns @ tall.reshape(batch * height, 3 * low_width, out)
    return fine.reshape(batch, height, -1, out).permute(0, 3, 1, 2)


def _banded(low: Tensor, factor: int, row_span: Span, column_span: Span) -> Tensor:
    """Rows, then columns, each by blocks that read a short run of coarse rows."""
    batch, _, _, low_width, _, out = low.shape
    tall = _spread(low.reshape(batch, 3, -1, low_width * 3 * out), factor, row_span)
    tall = tall.reshape(batch * row_span[1], low_width, 3, out).transpose(1, 2)
    fine = _spread(tall, factor, column_span)
    return fine.reshape(batch, row_span[1], column_span[1], out).permute(0, 3, 1, 2)


def _spread(low: Tensor, factor: int, span: Span) -> Tensor:
    """Interpolate, shift and add along one axis: (N, 3, length / factor, M) to (N, length, M)."""
    matrix = blocks(span, factor, _BLOCK, low.dtype, low.device)
    count, _, _, read = matrix.shape
    step = _BLOCK // factor
    beyond = (count - 1) * step + read - 1 - low.shape[2]
    parts = functional.pad(low, (0, 0, 1, beyond)).unfold(2, read, step)
    parts = parts.permute(0, 2, 1, 4, 3).reshape(low.shape[0], count, 3 * read, -1)
    fine = matrix.reshape(count, _BLOCK, 3 * read) @ parts
    return fine.reshape(low.shape[0], count * _BLOCK, -1)[:, : span[1]]
