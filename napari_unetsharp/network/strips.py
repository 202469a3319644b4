"""The grid evaluated in small rectangles, so that what is in work stays in the processor's cache.

For inference on a CPU, one image at a time. Every map lies in a frame of zeros, (height + 2, width + 2, channels),
which is the padding of the next convolution; a node is evaluated rectangle by rectangle, straight into its frame.
Maps from rows below are never upsampled: their taps are applied at low resolution, interpolated along the columns,
and one matrix product per rectangle interpolates the rows of all of them and adds them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unetsharp.network.bands import blocks, pairs
from napari_unetsharp.network.blocks import Block, UpsampledConvolution
from napari_unetsharp.network.forms import StripForm
from napari_unetsharp.network.grid import NODES
from napari_unetsharp.network.needed import needed_nodes
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.network.upconv import Window, taps_of
from napari_unetsharp.network.workers import Workers

_BLOCK = 64
"""Fine columns that are interpolated by one matrix."""


@dataclass(frozen=True)
class _Far:
    """A map from a row below: its taps, (3, channels, 3 * outputs) by vertical tap."""

    source: str
    factor: int
    taps: Tensor


@dataclass(frozen=True)
class _Layer:
    """A convolution with ReLU: of maps of this row, and of maps from below."""

    weight: Tensor | None
    bias: Tensor
    near: tuple[str, ...]
    far: tuple[_Far, ...]


class StripPass:
    """A network whose batch norm is folded, evaluated in small rectangles.

    Parameters
    ----------
    network : UNetSharp
        Folded (`napari_unetsharp.network.folding`), on the CPU.
    dtype : torch.dtype
        float32 or bfloat16, for maps and weights.
    form : StripForm
        Size of the rectangles, and how columns are interpolated.
    """

    def __init__(self, network: UNetSharp, dtype: torch.dtype, form: StripForm) -> None:
        self._dtype, self._form = dtype, form
        self._widths = network.config.widths
        self._layers: dict[str, _Layer] = {}
        for name in network.nodes:
            self._read_node(network, name)
        self._heads = {
            name: (self._cast(cast(nn.Conv2d, head).weight), self._cast(cast(nn.Conv2d, head).bias))
            for name, head in network.heads.items()
        }
        self._frames: dict[str, Tensor] = {}
        self._workers = Workers()

    @torch.inference_mode()  # buffers that were made so can't be written otherwise
    def logits(self, image: Tensor, window: Window, branches: Sequence[str]) -> dict[str, Tensor]:
        """Logits of some branches; only the nodes that they need are evaluated.

        Parameters
        ----------
        image : Tensor, (1, C, H, W)
            H and W divisible by 16.
        window : Window
            Where the tile lies in the whole image.
        branches : sequence of str

        Returns
        -------
        dict of str to Tensor
            By branch, (1, outputs, H / scale, W / scale), of the pass's dtype.
        """
        height, width = image.shape[-2:]
        self._frame("image", height, width, image.shape[1])[1:-1, 1:-1] = image[0].permute(1, 2, 0)
        with self._workers.at_work():
            for name in needed_nodes(branches):
                self._evaluate(name, height, width, window)
            return {name: self._head(name) for name in branches}

    def release(self) -> None:
        """Give back the memory of the maps; the next pass takes it again."""
        self._frames.clear()
        self._workers.release()

    # Weights ---------------------------------------------------------------------------------------------

    def _read_node(self, network: UNetSharp, name: str) -> None:
        node, block = NODES[name], cast(Block, network.nodes[name])
        weight, at = block.conv1.weight, 0
        near: list[str] = []
        kept: list[Tensor] = []
        far: list[_Far] = []
        for link in node.inputs if node.column else ():
            key, channels = f"{link.source}_{name}", self._widths[NODES[link.source].row]
            if key in network.links:
                conv = cast(UpsampledConvolution, network.links[key]).conv
                only = _Far(link.source, link.factor, self._cast(taps_of(conv.weight)))
                self._layers[key] = _Layer(None, self._cast(conv.bias), (), (only,))
                channels = conv.out_channels
            part = weight[:, at : at + channels]
            if link.factor == 1 or key in network.links:
                near.append(key if key in network.links else link.source)
                kept.append(part)
            else:
                far.append(_Far(link.source, link.factor, self._cast(taps_of(part))))
            at += channels
        if not node.column:
            near, kept = [f"pooled {name}" if node.row else "image"], [weight]
        together = self._cast(torch.cat(kept, 1))
        self._layers[f"{name} first"] = _Layer(together, self._cast(block.conv1.bias), tuple(near), tuple(far))
        self._layers[name] = _Layer(
            self._cast(block.conv2.weight), self._cast(block.conv2.bias), (f"first {node.row}",), ()
        )

    def _cast(self, values: Tensor | None) -> Tensor:
        assert values is not None  # every convolution of the grid has a bias
        weight = values.detach().to(self._dtype)
        return weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight.contiguous()

    # Nodes -----------------------------------------------------------------------------------------------

    def _evaluate(self, name: str, height: int, width: int, window: Window) -> None:
        node = NODES[name]
        height, width, channels = height // node.scale, width // node.scale, self._widths[node.row]
        if node.row and not node.column:
            self._pool(self._frames[node.inputs[0].source], f"pooled {name}")
        for link in node.inputs:
            key = f"{link.source}_{name}"
            if key in self._layers:
                self._convolve(self._layers[key], self._frame(key, height, width, channels), window, node.scale)
        first = self._frame(f"first {node.row}", height, width, channels)
        self._convolve(self._layers[f"{name} first"], first, window, node.scale)
        self._convolve(self._layers[name], self._frame(name, height, width, channels), window, node.scale)

    def _frame(self, key: str, height: int, width: int, channels: int) -> Tensor:
        """Zeros around a map; only the inside is ever written, so a frame serves many tiles of one size."""
        frame = self._frames.get(key)
        if frame is None or frame.shape != (height + 2, width + 2, channels):
            frame = self._frames[key] = self._scratch(f"memory of {key}", height + 2, width + 2, channels)
            for edge in (frame[0], frame[-1], frame[:, 0], frame[:, -1]):
                edge.zero_()
        return frame

    def _scratch(self, key: str, *shape: int) -> Tensor:
        """Memory that is written before it is read; a key that a rectangle uses names the thread too."""
        count = torch.Size(shape).numel()
        buffer = self._frames.get(key)
        if buffer is None or buffer.numel() < count:
            buffer = self._frames[key] = torch.empty(count, dtype=self._dtype)
        return buffer[:count].view(shape)

    def _pool(self, source: Tensor, key: str) -> None:
        height, width, channels = source.shape[0] // 2 - 1, source.shape[1] // 2 - 1, source.shape[2]
        inside = self._frame(key, height, width, channels)[1:-1, 1:-1]
        torch.maximum(source[1:-1:2, 1:-1:2], source[2:-1:2, 1:-1:2], out=inside)
        torch.maximum(inside, source[1:-1:2, 2:-1:2], out=inside)
        torch.maximum(inside, source[2:-1:2, 2:-1:2], out=inside)

    def _head(self, name: str) -> Tensor:
        weight, bias = self._heads[name]
        frame = self._frames[name]
        inside = frame if weight.shape[-1] == 3 else frame[1:-1, 1:-1]
        return functional.conv2d(inside.permute(2, 0, 1)[None], weight, bias)

    # Rectangles ------------------------------------------------------------------------------------------

    def _convolve(self, layer: _Layer, target: Tensor, window: Window, scale: int) -> None:
        """ReLU of a layer's convolutions into the inside of its frame."""
        height, width = target.shape[0] - 2, target.shape[1] - 2
        tall = min(self._form.rows, max(16, (height // 2 + 15) // 16 * 16))  # two at least, for two threads
        near = [self._frames[name] for name in layer.near]
        rows = [blocks(window.span(0, scale), far.factor, tall, self._dtype, target.device) for far in layer.far]
        columns = [self._columns_of(window, scale, far.factor) for far in layer.far]

        def evaluate(box: tuple[int, int, int, int]) -> None:
            top, bottom, left, right = box
            total = self._near(layer, near, box)
            if layer.far:
                matrix = _rows_of_strip(rows, layer.far, top // tall, bottom - top)
                total.addmm_(matrix, self._interpolated(layer.far, columns, box))
            inside = target[1 + top : 1 + bottom, 1 + left : 1 + right]
            torch.clamp_min(total.view(inside.shape), 0, out=inside)

        wide = self._form.columns
        self._workers.each(
            evaluate,
            [
                (top, min(top + tall, height), left, min(left + wide, width))
                for top in range(0, height, tall)
                for left in range(0, width, wide)
            ],
        )

    def _near(self, layer: _Layer, near: list[Tensor], box: tuple[int, int, int, int]) -> Tensor:
        """Convolution of the maps of this row over a rectangle, (rows, columns * outputs)."""
        top, bottom, left, right = box
        if layer.weight is None:
            return layer.bias.repeat(bottom - top, right - left)
        parts = [frame[top : bottom + 2, left : right + 2] for frame in near]
        stacked = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        convolved = functional.conv2d(stacked.permute(2, 0, 1)[None], layer.weight, layer.bias)
        return convolved[0].permute(1, 2, 0).reshape(bottom - top, -1)

    def _columns_of(self, window: Window, scale: int, factor: int) -> Tensor:
        """Weights along the columns: (2, 3, 2, width / 2, 1), or (blocks, block, 3 * coarse columns)."""
        span = window.span(1, scale)
        if factor == 2 and self._form.pairs:
            return pairs(span, self._dtype)
        return blocks(span, factor, _BLOCK, self._dtype, torch.device("cpu")).transpose(2, 3)

    def _interpolated(self, far: tuple[_Far, ...], columns: list[Tensor], box: tuple[int, int, int, int]) -> Tensor:
        """Taps of all maps from below, interpolated along the columns: (3 * coarse rows of all, columns * outputs)."""
        top, bottom, left, right = box
        outputs = far[0].taps.shape[2] // 3
        counts = [3 * ((bottom - top) // item.factor + 2) for item in far]
        stacked = self._scratch(f"interpolated {get_ident()}", sum(counts), right - left, outputs)
        at = 0
        for item, weights, count in zip(far, columns, counts, strict=True):
            factor = item.factor
            low = self._frames[item.source][
                top // factor : bottom // factor + 2, left // factor : right // factor + 2
            ]  # fmt: skip
            tapped = self._scratch(f"taps {get_ident()}", 3, low.shape[0] * low.shape[1], 3 * outputs)
            flat = low.reshape(1, -1, low.shape[2])
            torch.bmm(flat.expand(3, -1, -1), item.taps, out=tapped)
            tapped, target = tapped.view(count, low.shape[1], 3, outputs), stacked[at : at + count]
            if weights.ndim == 5:
                _by_pairs(tapped, weights[..., left // 2 : right // 2, :], target)
            else:
                _by_blocks(tapped, weights[left // _BLOCK :], factor, target)
            at += count
        return stacked.view(sum(counts), -1)


def _rows_of_strip(rows: list[Tensor], far: tuple[_Far, ...], strip: int, height: int) -> Tensor:
    """Weights along the rows for all maps from below: (height, 3 * coarse rows of all)."""
    parts = [
        weights[strip, :height, :, : height // item.factor + 2].reshape(height, -1)
        for weights, item in zip(rows, far, strict=True)
    ]
    return torch.cat(parts, 1)


def _by_pairs(tapped: Tensor, weights: Tensor, target: Tensor) -> None:
    """Columns of an upsampling by 2, one neighbour after the other."""
    width = weights.shape[3]
    phases = target.view(target.shape[0], width, 2, -1)
    for phase in (0, 1):
        first, total = True, phases[:, :, phase]
        for tap in range(3):
            for side in (0, 1):
                start = side + (0 if phase + tap <= 1 else 1)
                source, weight = tapped[:, start : start + width, tap], weights[phase, tap, side]
                if first:
                    torch.mul(source, weight, out=total)
                else:
                    total.addcmul_(source, weight)
                first = False


def _by_blocks(tapped: Tensor, weights: Tensor, factor: int, target: Tensor) -> None:
    """Columns by small matrices."""
    count, _, _, outputs = tapped.shape
    flat = tapped.view(count, -1, outputs)
    for block, left in enumerate(range(0, target.shape[1], _BLOCK)):
        width = min(_BLOCK, target.shape[1] - left)
        read, start = width // factor + 2, left // factor
        matrix = weights[block, :width, :read].reshape(1, width, 3 * read)
        target[:, left : left + width] = torch.bmm(
            matrix.expand(count, -1, -1), flat[:, 3 * start : 3 * (start + read)]
        )
