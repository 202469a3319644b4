"""Upsampling, and the 3 x 3 convolution of an upsampled map that never builds it.

Bilinear upsampling with ``align_corners=True`` ties every coarse map to the size of the *whole*
image. A tile therefore takes its rows of the interpolation from the whole image's coordinates, which
a `Window` carries; then tile size and position don't change a result.

Upsampling acts on each channel alone and is linear, so the nine taps of a convolution can be applied
at low resolution first and their nine results upsampled, shifted and summed (``convolve_upsampled``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

DENSE_LIMIT = {2: 128, 4: 512, 8: 512, 16: 512}
"""Longest side (fine pixels) up to which the dense form of the identity runs, by factor.

Its cost grows with the side of the tile, so larger maps are upsampled and then convolved. A factor of 2
gains little from it (measured on 2 cores: 8 % of a training step at 128 px).
"""


def runs_dense(factor: int, height: int, width: int) -> bool:
    """Whether `convolve_upsampled` uses the dense form for a fine map of this size."""
    return max(height, width) <= DENSE_LIMIT[factor]


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

    def span(self, axis: int, scale: int) -> tuple[int, int, int]:
        """Start, length and whole length along axis 0 (rows) or 1 (columns) at 1/scale."""
        if axis == 0:
            return self.top // scale, self.height // scale, self.whole_height // scale
        return self.left // scale, self.width // scale, self.whole_width // scale


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a cached tensor may be needed for training later
def _neighbours(
    start: int, length: int, whole: int, factor: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper source rows (local) and the upper one's weight, for each fine row of a span.

    ``start``, ``length`` and ``whole`` are in fine pixels. Sources outside the tile are clamped to its
    edge: that touches only the outer margin, which the predictor throws away.
    """
    coarse_whole, coarse_start, coarse_length = whole // factor, start // factor, length // factor
    fine = torch.arange(start, start + length, dtype=torch.float64)
    position = fine * (coarse_whole - 1) / max(whole - 1, 1)
    lower = position.floor().clamp(max=coarse_whole - 1)
    weight = (position - lower).to(torch.float32)
    below = (lower - coarse_start).clamp(0, coarse_length - 1).long()
    above = (torch.clamp(lower + 1, max=coarse_whole - 1) - coarse_start).clamp(0, coarse_length - 1).long()
    return below.to(device), above.to(device), weight.to(device)


@lru_cache(maxsize=128)
@torch.inference_mode(False)
def _tap_matrix(start: int, length: int, whole: int, factor: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``[S_-1 U, U, S_+1 U]`` side by side, (length, 3 * length / factor).

    Column block t belongs to tap t of the kernel: the fine row y reads the upsampled row y + t - 1,
    and zero outside the tile, which is the convolution's own padding.
    """
    below, above, weight = _neighbours(start, length, whole, factor, torch.device("cpu"))
    coarse = length // factor
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
        below, above, weight = _neighbours(*window.span(axis, scale), factor, coarse.device)
        shape = (-1, 1) if axis == 0 else (-1,)
        lower, upper = fine.index_select(2 + axis, below), fine.index_select(2 + axis, above)
        fine = torch.lerp(lower, upper, weight.to(coarse.dtype).reshape(shape))
    return fine


def convolve_upsampled(coarse: Tensor, weight: Tensor, factor: int, window: Window, scale: int) -> Tensor:
    """``conv3x3(upsample(coarse))`` without bias, equal to about 1e-6 relative in float32.

    Parameters
    ----------
    coarse : Tensor, (B, C, h, w), floating
    weight : Tensor, (O, C, 3, 3)
    factor, window, scale
        As in `upsample`.

    Returns
    -------
    Tensor, (B, O, factor * h, factor * w), channels-last in memory where the dense form ran
    """
    height, width = coarse.shape[-2] * factor, coarse.shape[-1] * factor
    if not runs_dense(factor, height, width):
        return functional.conv2d(upsample(coarse, factor, window, scale), weight, padding=1)
    return _dense(coarse, weight, factor, window, scale)


def _dense(coarse: Tensor, weight: Tensor, factor: int, window: Window, scale: int) -> Tensor:
    """Nine taps at low resolution, then two matrix products: rows first, then columns."""
    batch, _, low_height, low_width = coarse.shape
    out = weight.shape[0]
    taps = weight.permute(2, 3, 0, 1).reshape(9 * out, weight.shape[1], 1, 1)
    low = functional.conv2d(coarse, taps)
    rows = _tap_matrix(*window.span(0, scale), factor, low.dtype, low.device)
    columns = _tap_matrix(*window.span(1, scale), factor, low.dtype, low.device)
    low = low.reshape(batch, 3, 3, out, low_height, low_width).permute(0, 1, 4, 5, 2, 3)
    tall = rows @ low.reshape(batch, 3 * low_height, low_width * 3 * out)
    height = tall.shape[1]
    tall = tall.reshape(batch, height, low_width, 3, out).transpose(2, 3)
    fine = columns @ tall.reshape(batch * height, 3 * low_width, out)
    return fine.reshape(batch, height, -1, out).permute(0, 3, 1, 2)
