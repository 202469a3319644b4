"""The networks that are set side by side, each a wiring, and the two protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from napari_unetsharp.images.intensity import IMAGENET_DEVIATION, IMAGENET_MEAN
from napari_unetsharp.network.grid import WIDTHS
from napari_unetsharp.network.unet_sharp import count_parameters
from napari_unetsharp.network.wired import WiredNetwork
from napari_unetsharp.network.wiring import (
    GATHERED,
    WIDE_WIDTHS,
    Wiring,
    unet,
    unet_3_plus,
    unet_plus_plus,
    unet_sharp,
)


@dataclass(frozen=True)
class Row:
    """One network of the comparison.

    Attributes
    ----------
    name : str
        As given to ``--rows``.
    title : str
        As in the tables.
    wire : callable
        Makes the wiring from a share of the published widths.
    guided : bool
        With classification-guided modules.
    """

    name: str
    title: str
    wire: Callable[[float], Wiring]
    guided: bool = False

    def network(self, share: float = 1.0) -> WiredNetwork:
        """Make the network with this share of the published widths; the caller initialises it."""
        return WiredNetwork(self.wire(share), guided=self.guided)

    def parameters(self, share: float = 1.0) -> int:
        """Trainable values, counted without allocating them."""
        with torch.device("meta"):
            return count_parameters(self.network(share))

    @property
    def supervised(self) -> bool:
        """Whether there are heads besides the result's."""
        return len(self.wire(1.0).heads) > 1

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout in memory, for speed alone: UNet3+'s wide 3x3 weight gradients are slow in channels-last on CPUs."""
        plain = any(node.convolutions == 1 for node in self.wire(1.0).nodes)
        return torch.contiguous_format if plain else torch.channels_last


def narrowed(share: float, widths: tuple[int, ...] = WIDTHS) -> tuple[int, ...]:
    """Channels per row at a share of the published ones."""
    return tuple(max(1, round(share * width)) for width in widths)


def _sharp(**settings: Any) -> Callable[[float], Wiring]:
    return lambda share: unet_sharp(widths=narrowed(share), **settings)


def _plus_plus(deep_supervision: bool) -> Callable[[float], Wiring]:
    return lambda share: unet_plus_plus(deep_supervision, narrowed(share))


def _three_plus(deep_supervision: bool, gathered: int = GATHERED) -> Callable[[float], Wiring]:
    return lambda share: unet_3_plus(deep_supervision, narrowed(share), *narrowed(share, (gathered,)))


ROWS = {
    row.name: row
    for row in (
        Row("unet", "U-Net", lambda share: unet(narrowed(share))),
        Row("unet#_ds", "UNet# DS", _sharp()),
        Row("unet++_ds", "UNet++ DS", _plus_plus(True)),
        Row("unet3+_ds", "UNet3+ DS", _three_plus(True)),
        Row("wide_unet", "wide U-Net", lambda share: unet(narrowed(share, WIDE_WIDTHS), "wide U-Net")),
        Row("unet++", "UNet++", _plus_plus(False)),
        Row("unet#", "UNet#", _sharp(deep_supervision=False)),
        Row("unet#_l1", "UNet# L1 alone", _sharp(level=1)),
        Row("unet#_l2", "UNet# L2 alone", _sharp(level=2)),
        Row("unet#_l3", "UNet# L3 alone", _sharp(level=3)),
        Row("unet#_ds_cgm", "UNet# DS, guided", _sharp(), guided=True),
        Row("unet#_ds_conv", "UNet# DS, conv skips", _sharp(full_scale="conv")),
        Row("unet3+32_ds", "UNet3+ DS, 32 gathered", _three_plus(True, 32)),
        Row("unet3+", "UNet3+", _three_plus(False)),
    )
}
"""In order of importance: what comes first is run first."""


@dataclass(frozen=True)
class Protocol:
    """How pictures become samples, and on what a network is measured.

    Attributes
    ----------
    name : str
    resized : bool
        Whole images are resized to the sample's size (the paper), or crops are cut at native resolution (ours);
        validation images likewise, or whole at native resolution.
    random_split : bool
        Images are split at random (the paper), or the given split is kept, which never parts the tiles of a field.
    mean, deviation : tuple of float
        Standardisation of values within 0..1.
    """

    name: str
    resized: bool
    random_split: bool
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("paper", True, False, IMAGENET_MEAN, IMAGENET_DEVIATION),
        Protocol("native", False, False, (0.5,) * 3, (0.25,) * 3),
        Protocol("random", True, True, IMAGENET_MEAN, IMAGENET_DEVIATION),
    )
}
"""``paper``: the paper's but for its split; ``native``: ours; ``random``: the paper's with a random split."""
