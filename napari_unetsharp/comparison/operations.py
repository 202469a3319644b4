"""How many multiply-adds a pass takes, counted node by node; nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from napari_unetsharp.network.forms import StripForm, strip_form
from napari_unetsharp.network.grid import BRANCHES, NODES
from napari_unetsharp.network.unet_sharp import UNetSharpConfig

_BLOCK = 64
"""Fine columns that `StripPass` interpolates by one matrix."""


@dataclass(frozen=True)
class Operations:
    """Multiply-adds per pixel of the image, each counted once; ReLU, pooling and biases are not counted.

    Attributes
    ----------
    convolutions : float
        Those of the nodes, where maps from rows below are convolved at their own resolution.
    interpolation : float
        Bringing those up: products with banded matrices, zeros in them included.
    heads : float
    plain : float
        All of it in the plain form, which upsamples first and convolves then; the upsampling itself isn't counted.
    """

    convolutions: float
    interpolation: float
    heads: float
    plain: float

    @property
    def evaluated(self) -> float:
        """All that the CPU does, in rectangles (`StripPass`): twice this is the number of operations."""
        return self.convolutions + self.interpolation + self.heads


def count_operations(
    config: UNetSharpConfig, nodes: Sequence[str], heads: Sequence[str], form: StripForm | None = None
) -> Operations:
    """Count, for a plane whose rows at every scale are cut into whole rectangles.

    Parameters
    ----------
    config : UNetSharpConfig
    nodes : sequence of str
        Nodes that are evaluated.
    heads : sequence of str
    form : StripForm, optional
        Size of the rectangles; that of float32 by default. Maps from below are convolved two coarse rows and columns
        further than a rectangle reaches.

    Returns
    -------
    Operations
    """
    form = form or strip_form(torch.float32)
    convolutions = interpolation = plain = 0.0
    for name in nodes:
        node, width = NODES[name], config.widths[NODES[name].row]
        share, channels = 1 / node.scale**2, 0 if node.inputs else config.in_channels
        far: list[tuple[int, int]] = []
        for link in node.inputs:
            source = config.widths[NODES[link.source].row]
            if link.factor > 2 and config.full_scale == "conv":
                some = _from_below([(source, link.factor)], width, form)
                convolutions, interpolation = convolutions + some[0] * share, interpolation + some[1] * share
                plain += 9 * source * width * share
                channels += width
            elif link.factor > 1:
                far.append((source, link.factor))
            else:
                channels += source
        taps, spread = _from_below(far, width, form)
        own = 9 * (channels + width) * width
        convolutions += (own + taps) * share
        interpolation += spread * share
        plain += (own + 9 * sum(source for source, _ in far) * width) * share
    top = sum(
        BRANCHES[name].kernel ** 2 * config.widths[NODES[name].row] * config.outputs / BRANCHES[name].scale ** 2
        for name in heads
    )
    return Operations(convolutions, interpolation, top, plain + top)


def _from_below(far: Sequence[tuple[int, int]], width: int, form: StripForm) -> tuple[float, float]:
    """Taps and interpolation of maps from below, (channels, factor) each, per fine pixel."""
    tall, wide = form.rows, form.columns
    taps = columns = rows = 0.0
    for channels, factor in far:
        low_rows, low_columns = tall // factor + 2, wide // factor + 2
        taps += 9 * channels * width * low_rows * low_columns / (tall * wide)
        read = 2 if factor == 2 and form.pairs else _BLOCK // factor + 2
        columns += 3 * low_rows * 3 * read * width / tall
        rows += 3 * low_rows * width
    return taps, columns + rows
