"""UNet#: fifteen nodes, dense and full-scale skips, eight supervision branches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from operator import index
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_unetsharp.errors import SettingsError, ShapeError
from napari_unetsharp.network.blocks import Block, UpsampledConvolution
from napari_unetsharp.network.classification import guided_modules
from napari_unetsharp.network.grid import (
    BRANCHES,
    DEPTH,
    LEVELS,
    NODES,
    STRIDE,
    WIDTHS,
    branches_of_level,
    nodes_of_level,
)
from napari_unetsharp.network.needed import needed_nodes
from napari_unetsharp.network.upconv import Window

EXTRAS = ("core", "border")
"""What heads may tell besides classes: the inner part of each nucleus, and where two of them meet."""

_LARGEST_COUNT = 2**16
"""More channels, classes or width than this is a damaged file, not a network."""


@dataclass(frozen=True)
class UNetSharpConfig:
    """Everything that decides the shapes of a network's weights.

    Attributes
    ----------
    in_channels : int
        Channels of the image (3: RGB).
    classes : int
        Output channels of every head; each is a probability of its own (sigmoid).
    widths : tuple of int
        Channels of rows 0 to 4.
    full_scale : "concat" or "conv"
        How inputs from two or more rows below enter: as they are (the published code, and the only
        form whose parameter counts match the paper's), or through conv3x3-BN-ReLU (Eq. 1).
    deep_supervision : bool
        Heads on every branch of the level (all eight at level 4, x01 to x0L below), or on x0L alone.
    guided : bool
        Classification-guided modules on every branch that has a head.
    level : int
        Pruning level of this network: 4 is the whole of it.
    extras : tuple of str
        Of `EXTRAS`, in that order: output channels of every head after its classes, by which touching nuclei
        come apart. The published network has none.
    """

    in_channels: int = 3
    classes: int = 1
    widths: tuple[int, ...] = WIDTHS
    full_scale: Literal["concat", "conv"] = "concat"
    deep_supervision: bool = True
    guided: bool = False
    level: int = DEPTH
    extras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            counts = tuple(index(count) for count in (self.in_channels, self.classes, *self.widths))
        except TypeError:
            counts = ()
        if len(counts) != DEPTH + 3 or min(counts) < 1 or max(counts) > _LARGEST_COUNT:
            raise SettingsError(
                f"the network needs channels, classes and {DEPTH + 1} widths, each 1 to {_LARGEST_COUNT}; got "
                f"in_channels={self.in_channels}, classes={self.classes}, widths={self.widths}"
            )
        for name, value in zip(("in_channels", "classes", "widths"), (*counts[:2], counts[2:]), strict=True):
            object.__setattr__(self, name, value)
        if self.full_scale not in ("concat", "conv"):
            raise SettingsError(f'full_scale is "concat" or "conv", not {self.full_scale!r}')
        if type(self.level) is not int or self.level not in LEVELS:
            raise SettingsError(f"level is 1, 2, 3 or 4, not {self.level!r}")
        object.__setattr__(self, "extras", tuple(self.extras))
        if self.extras not in ((), *((name,) for name in EXTRAS), EXTRAS):
            raise SettingsError(f"extras are some of {EXTRAS}, in that order; got {self.extras}")
        if type(self.deep_supervision) is not bool or type(self.guided) is not bool:
            raise SettingsError(
                f"deep_supervision and guided are true or false, not {self.deep_supervision!r} and {self.guided!r}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"widths": list(self.widths), "extras": list(self.extras)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UNetSharpConfig:
        """Undo `as_dict`.

        Raises
        ------
        SettingsError
            If a key is unknown or a value makes no sense.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise SettingsError(f"unknown network settings {sorted(unknown)}; a newer version may know them")
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"the network settings {values} can't be used: {error}") from error

    @property
    def outputs(self) -> int:
        """Channels of every head: classes, then extras."""
        return self.classes + len(self.extras)

    @property
    def heads(self) -> tuple[str, ...]:
        """Branches that have a head, by node name."""
        return branches_of_level(self.level) if self.deep_supervision else (f"x0{self.level}",)


class UNetSharp(nn.Module):
    """UNet# (Qian et al.), the paper's grid with its eight supervision branches.

    Parameters
    ----------
    config : UNetSharpConfig, optional
        Three channels, one class and the published widths by default.

    Attributes
    ----------
    nodes : ModuleDict of Block
        By node name. Weights are named ``nodes.x04.conv1.weight`` and so on.
    heads : ModuleDict of Conv2d
        By node name; only those that the configuration asks for.
    """

    def __init__(self, config: UNetSharpConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetSharpConfig()
        widths = config.widths
        kept = nodes_of_level(config.level)
        self.nodes = nn.ModuleDict()
        self.links = nn.ModuleDict()
        for name in kept:
            node, width = NODES[name], widths[NODES[name].row]
            channels = 0 if node.inputs else config.in_channels
            for link in node.inputs:
                source = widths[NODES[link.source].row]
                if config.full_scale == "conv" and link.factor > 2:
                    self.links[f"{link.source}_{name}"] = UpsampledConvolution(source, width)
                    source = width
                channels += source
            self.nodes[name] = Block(channels, width)
        self.heads = nn.ModuleDict(
            {
                name: nn.Conv2d(
                    widths[NODES[name].row], config.outputs, BRANCHES[name].kernel, padding=BRANCHES[name].kernel // 2
                )
                for name in config.heads
            }
        )
        self.guides = guided_modules(widths) if config.guided else nn.ModuleDict()
        for name in set(self.guides) - set(config.heads):
            del self.guides[name]
        self.apply(_initialise)

    def features(self, image: Tensor, level: int | None = None, window: Window | None = None) -> dict[str, Tensor]:
        """Compute the maps of all nodes that a level needs.

        Parameters
        ----------
        image : Tensor, (B, in_channels, H, W), floating
            Normalised as the checkpoint says; H and W divisible by 16.
        level : int, optional
            1 to the network's own level (default).
        window : Window, optional
            Where this tile lies in the whole image; by default it is the whole image.

        Returns
        -------
        dict of str to Tensor
            By node name, (B, c_row, H / 2**row, W / 2**row).

        Raises
        ------
        ShapeError
            If the sides aren't divisible by 16, or the channels are not the network's.
        SettingsError
            If the level is deeper than this network.
        """
        level = self.config.level if level is None else level
        self._check(image, level)
        return self._evaluated(nodes_of_level(level), image, window)

    def maps_for(self, nodes: Iterable[str], image: Tensor, window: Window | None = None) -> dict[str, Tensor]:
        """Maps of some nodes and of those that they need; nothing else is computed.

        Parameters
        ----------
        nodes : iterable of str
            Names of nodes that the network has.
        image, window
            As in `features`.

        Returns
        -------
        dict of str to Tensor
            As from `features`.

        Raises
        ------
        ShapeError
            As in `features`.
        """
        self._check(image, self.config.level)
        return self._evaluated(needed_nodes(nodes), image, window)

    def _evaluated(self, names: Iterable[str], image: Tensor, window: Window | None) -> dict[str, Tensor]:
        window = window or Window.whole(image.shape[-2], image.shape[-1])
        maps: dict[str, Tensor] = {}
        for name in names:
            node = NODES[name]
            if not node.inputs:
                inputs = [(image, 1)]
            elif node.column == 0:
                inputs = [(nn.functional.max_pool2d(maps[node.inputs[0].source], 2), 1)]
            else:
                inputs = [self._linked(maps, name, link.source, link.factor, window) for link in node.inputs]
            maps[name] = self.nodes[name](inputs, window, node.scale)
        return maps

    def forward(self, image: Tensor, level: int | None = None, window: Window | None = None) -> dict[str, Tensor]:
        """Logits of every branch that the level gives and that has a head.

        Parameters
        ----------
        image, level, window
            As in `features`.

        Returns
        -------
        dict of str to Tensor
            By node name, (B, classes + extras, H / scale, W / scale): each branch at its own scale. x01 to
            x0L, and x13, x22, x31, x40 at level 4.

        Raises
        ------
        ShapeError, SettingsError
            As in `features`.
        """
        level = self.config.level if level is None else level
        return self.head_logits(self.features(image, level, window), level)

    def head_logits(self, maps: dict[str, Tensor], level: int) -> dict[str, Tensor]:
        """Heads on the maps of `features`; see `forward` for shapes."""
        return {name: self.heads[name](maps[name]) for name in branches_of_level(level) if name in self.heads}

    def presence_logits(self, maps: dict[str, Tensor], level: int) -> dict[str, Tensor]:
        """Guided modules on the maps of `features`: (B, 2) per branch, empty without such modules."""
        return {name: self.guides[name](maps[name]) for name in branches_of_level(level) if name in self.guides}

    def _linked(
        self, maps: dict[str, Tensor], name: str, source: str, factor: int, window: Window
    ) -> tuple[Tensor, int]:
        key = f"{source}_{name}"
        if key in self.links:
            return self.links[key](maps[source], factor, window, NODES[name].scale), 1
        return maps[source], factor

    def _check(self, image: Tensor, level: int) -> None:
        if not 1 <= level <= self.config.level:
            raise SettingsError(
                f"level {level} was asked of a network that was pruned to level {self.config.level}; "
                f"choose 1 to {self.config.level}, or load the full checkpoint"
            )
        if image.ndim != 4 or image.shape[1] != self.config.in_channels:
            raise ShapeError(
                f"the network takes (batch, {self.config.in_channels}, height, width); got {tuple(image.shape)}"
            )
        height, width = image.shape[-2:]
        if height % STRIDE or width % STRIDE or not height or not width:
            options = [max(STRIDE, round(side / STRIDE) * STRIDE) for side in (height, width)]
            larger = [max(STRIDE, -(-side // STRIDE) * STRIDE) for side in (height, width)]
            raise ShapeError(
                f"sides must be divisible by {STRIDE}; got {height} x {width}, the nearest are "
                f"{options[0]} x {options[1]} (cropped or padded) and {larger[0]} x {larger[1]} (padded)"
            )


def _initialise(module: nn.Module) -> None:
    """He initialisation, as in the paper's recipe."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def count_parameters(network: nn.Module) -> int:
    """Count the trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def probabilities(logits: Tensor) -> Tensor:
    """Probability of each class by itself (sigmoid), in float32."""
    return torch.sigmoid(logits.float())
