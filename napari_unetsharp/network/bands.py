"""Upsampling along one axis, shifted by each tap of a 3 x 3 convolution, as small matrices.

A fine row reads two coarse rows per tap, so the matrix of a whole axis is a band. It is cut into blocks: each
fine block of so many rows reads a short run of coarse rows, and the cost per pixel doesn't depend on the side
of the tile. Positions are those of the whole image (``align_corners=True``).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_SINGLE = 4096
"""Longest side whose positions are rounded as torch's own upsampling rounds them (float32): with exact positions a
map of 1024 px differs from torch's by 1.6e-5, all of it torch's. Longer sides would feel that rounding."""

Span = tuple[int, int, int]
"""Start, length and whole length along one axis, in fine pixels (`Window.span`)."""


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a cached tensor may be needed for training later
def neighbours(start: int, length: int, whole: int, factor: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper source rows (local) and the upper one's weight, for each fine row of a span.

    ``start``, ``length`` and ``whole`` are in fine pixels. Sources outside the tile are clamped to its
    edge: that touches only the outer margin, which the predictor throws away.
    """
    coarse_whole, coarse_start, coarse_length = whole // factor, start // factor, length // factor
    dtype = torch.float32 if whole <= _SINGLE else torch.float64
    step = torch.tensor(coarse_whole - 1, dtype=dtype) / max(whole - 1, 1)
    position = torch.arange(start, start + length, dtype=dtype) * step
    lower = position.floor().clamp(max=coarse_whole - 1)
    weight = (position - lower).to(torch.float32)
    below = (lower - coarse_start).clamp(0, coarse_length - 1).long()
    above = (torch.clamp(lower + 1, max=coarse_whole - 1) - coarse_start).clamp(0, coarse_length - 1).long()
    return below.to(device), above.to(device), weight.to(device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def blocks(span: Span, factor: int, block: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Cut ``[S_-1 U, U, S_+1 U]`` into blocks of fine rows.

    Fine row y of tap t reads the upsampled row y + t - 1, and zero outside the tile, which is the convolution's
    own padding. Block i holds the fine rows from ``i * block`` on; it reads the coarse rows from
    ``i * block / factor - 1`` on, because a position lies at most one coarse row below ``y / factor``.

    Parameters
    ----------
    span : Span
    factor : int
        2, 4, 8 or 16.
    block : int
        A multiple of the factor. A last block that is shorter is filled with zeros.

    Returns
    -------
    Tensor, (blocks, block, 3, block / factor + 2)
        Weights by block, fine row, tap and coarse row.
    """
    length, read = span[1], block // factor + 2
    below, above, weight = neighbours(*span, factor, torch.device("cpu"))
    matrix = torch.zeros(-(-length // block), block, 3, read)
    for tap in range(3):
        fine = torch.arange(max(0, 1 - tap), length - max(0, tap - 1))
        source, which, inside = fine + tap - 1, fine // block, fine % block
        first = which * (block // factor) - 1
        taps = torch.full_like(fine, tap)
        matrix.index_put_((which, inside, taps, below[source] - first), 1 - weight[source], accumulate=True)
        matrix.index_put_((which, inside, taps, above[source] - first), weight[source], accumulate=True)
    return matrix.to(device=device, dtype=dtype)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def pairs(span: Span, dtype: torch.dtype) -> Tensor:
    """Weights of an upsampling by 2, for which every tap reads two neighbours at a place that doesn't move.

    Fine row 2 j + p at tap t reads the coarse rows j - 1 and j where p + t <= 1, else j and j + 1.

    Returns
    -------
    Tensor, (2, 3, 2, length / 2, 1)
        By p, tap, which of the two rows, and j.
    """
    length = span[1]
    below, above, weight = neighbours(*span, 2, torch.device("cpu"))
    matrix = torch.zeros(2, 3, 2, length // 2, 1)
    for phase in (0, 1):
        for tap in range(3):
            coarse = torch.arange(length // 2)
            source = 2 * coarse + phase + tap - 1
            within = (source >= 0) & (source < length)
            coarse, source = coarse[within], source[within]
            first = coarse - (1 if phase + tap <= 1 else 0)
            target, zero = matrix[phase, tap], torch.zeros_like(coarse)
            target.index_put_((below[source] - first, coarse, zero), 1 - weight[source], accumulate=True)
            # a row that lies two away has no weight
            upper = (above[source] - first).clamp(max=1)
            target.index_put_((upper, coarse, zero), weight[source], accumulate=True)
    return matrix.to(dtype)
