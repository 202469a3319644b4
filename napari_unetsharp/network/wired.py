"""A network from any wiring, made of the blocks that UNet# is made of."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor, nn

from napari_unetsharp.errors import SettingsError, ShapeError
from napari_unetsharp.network.blocks import Block, UpsampledConvolution
from napari_unetsharp.network.classification import guided_modules
from napari_unetsharp.network.grid import DEPTH, STRIDE
from napari_unetsharp.network.upconv import Window
from napari_unetsharp.network.wiring import Input, WiredNode, Wiring


class Convolved(UpsampledConvolution):
    """One conv3x3-BN-ReLU of a map that is upsampled, max-pooled or taken as it is."""

    def forward(self, coarse: Tensor, factor: float, window: Window, scale: int) -> Tensor:
        """(B, source_channels, h, w) -> (B, channels, factor * h, factor * w)."""
        if factor > 1:
            return super().forward(coarse, int(factor), window, scale)
        return torch.relu(self.bn(self.conv(_pooled(coarse, factor))))


class WiredNetwork(nn.Module):
    """The network that a wiring describes; with that of UNet#, the same function as `UNetSharp`.

    Weights have the names that `UNetSharp` gives them, so that a state of one fits the other.

    Parameters
    ----------
    wiring : Wiring
    in_channels, classes : int
        Channels of the image and of every head.
    guided : bool
        Classification-guided modules on every node with a head, for wirings whose nodes have the width of their row.

    Raises
    ------
    SettingsError
        If guided modules are asked of a wiring that they don't fit.
    """

    def __init__(self, wiring: Wiring, in_channels: int = 3, classes: int = 1, guided: bool = False) -> None:
        super().__init__()
        self.wiring, self.in_channels = wiring, in_channels
        channels = {node.name: node.channels for node in wiring.nodes}
        self.nodes, self.links = nn.ModuleDict(), nn.ModuleDict()
        for node in wiring.nodes:
            entering = 0 if node.inputs else in_channels
            for item in node.inputs:
                if item.channels is not None:
                    self.links[f"{item.source}_{node.name}"] = Convolved(channels[item.source], item.channels)
                entering += item.channels or channels[item.source]
            self.nodes[node.name] = (Block if node.convolutions == 2 else Convolved)(entering, node.channels)
        self.heads = nn.ModuleDict(
            {
                head.node: nn.Conv2d(channels[head.node], classes, head.kernel, padding=head.kernel // 2)
                for head in wiring.heads
            }
        )
        self.guides = _guides(wiring) if guided else nn.ModuleDict()

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Maps of all nodes.

        Parameters
        ----------
        image : Tensor, (B, in_channels, H, W), floating
            H and W divisible by 16.

        Returns
        -------
        dict of str to Tensor
            By node name, (B, channels, H / 2**row, W / 2**row).

        Raises
        ------
        ShapeError
            If the sides or the channels don't fit.
        """
        if image.ndim != 4 or image.shape[1] != self.in_channels or any(side % STRIDE for side in image.shape[-2:]):
            raise ShapeError(
                f"{self.wiring.name} takes (batch, {self.in_channels}, height, width) with sides divisible by "
                f"{STRIDE}; got {tuple(image.shape)}; crop or pad the image"
            )
        window = Window.whole(image.shape[-2], image.shape[-1])
        maps: dict[str, Tensor] = {}
        for node in self.wiring.nodes:
            maps[node.name] = self._evaluate(node, maps, image, window)
        return maps

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Logits of every head, by node name: (B, classes, H / 2**row, W / 2**row). Errors as in `features`."""
        return self.head_logits(self.features(image))

    def head_logits(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Heads on the maps of `features`; see `forward` for shapes."""
        return {name: head(maps[name]) for name, head in self.heads.items()}

    def presence_logits(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Guided modules on the maps of `features`: (B, 2) per head, empty without such modules."""
        return {name: guide(maps[name]) for name, guide in self.guides.items()}

    def _evaluate(self, node: WiredNode, maps: dict[str, Tensor], image: Tensor, window: Window) -> Tensor:
        scale = 2**node.row
        inputs = [self._enter(item, node.name, maps, window, scale) for item in node.inputs] or [(image, 1)]
        if node.convolutions == 2:
            evaluated: Tensor = self.nodes[node.name](inputs, window, scale)
        else:
            evaluated = self.nodes[node.name](torch.cat([entered for entered, _ in inputs], dim=1), 1, window, scale)
        return evaluated

    def _enter(
        self, item: Input, reader: str, maps: dict[str, Tensor], window: Window, scale: int
    ) -> tuple[Tensor, int]:
        """Give a map and how many times the reader has still to upsample it."""
        source, key = maps[item.source], f"{item.source}_{reader}"
        if key in self.links:
            return self.links[key](source, item.factor, window, scale), 1
        return (source, int(item.factor)) if item.factor >= 1 else (_pooled(source, item.factor), 1)


def initialise(network: nn.Module, seed: int) -> None:
    """He initialisation (the paper's recipe), drawn for each convolution by its name.

    Layers of the same name and shape start from the same weights in every network: two wirings differ at the start
    by what one of them has and the other has not.

    Parameters
    ----------
    network : Module
        Changed in place.
    seed : int
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _pooled(tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1 else nn.functional.max_pool2d(tensor, round(1 / factor))


def _guides(wiring: Wiring) -> nn.ModuleDict:
    widths = {node.row: node.channels for node in wiring.nodes if node.name[2] == "0"}
    heads = [wiring.node(head.node) for head in wiring.heads]
    unfit = [node.name for node in heads if widths.get(node.row) != node.channels]
    if unfit:
        raise SettingsError(
            f"{wiring.name}: guided modules need heads on nodes of their row's width; {', '.join(unfit)} differ; "
            "leave guided=False"
        )
    every = guided_modules(tuple(widths.get(row, 1) for row in range(DEPTH + 1)))
    return nn.ModuleDict({node.name: every[node.name] for node in heads})
