"""UNet# in its plain form: nothing but 3 x 3 convolutions, upsampling and concatenation, on whole images.

This file needs torch alone, so that it can travel with the weights into a bioimage.io package. Batch norm is folded
into the convolutions. UNet#: Qian et al., arXiv:2205.11759.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


class PlainUNetSharp(nn.Module):
    """A network described by plain values.

    Parameters
    ----------
    channels : int
        Of the image.
    nodes : dict
        By node, in order of evaluation: ``[channels, [[source, factor, own], ...]]``. The sources are upsampled by
        their factors (bilinear, corners aligned) and concatenated; where `own` is above 0, through a convolution of
        that many channels first. No source: the image. Factor 0: pooled by 2.
    heads : dict
        By node: ``[channels, side of the kernel]``.
    guides : dict, optional
        By node: widths of the linear layers that tell whether the image holds a target.
    """

    def __init__(
        self,
        channels: int,
        nodes: dict[str, list[Any]],
        heads: dict[str, list[int]],
        guides: dict[str, list[int]] | None = None,
    ) -> None:
        super().__init__()
        self.reads = {name: [tuple(item) for item in reads] for name, (_, reads) in nodes.items()}
        width = {name: entry[0] for name, entry in nodes.items()}
        self.nodes, self.links = nn.ModuleDict(), nn.ModuleDict()
        for name, reads in self.reads.items():
            for source, _, own in reads:
                if own:
                    self.links[f"{source}_{name}"] = nn.Conv2d(width[source], own, 3, padding=1)
            entering = sum(own or width[source] for source, _, own in reads) or channels
            self.nodes[name] = nn.Sequential(
                nn.Conv2d(entering, width[name], 3, padding=1), nn.ReLU(),
                nn.Conv2d(width[name], width[name], 3, padding=1), nn.ReLU(),
            )  # fmt: skip
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(width[name], outputs, side, padding=side // 2) for name, (outputs, side) in heads.items()}
        )
        self.guides = nn.ModuleDict({name: _layers(widths) for name, widths in (guides or {}).items()})

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """Maps of all nodes, by name: (B, C, H / scale, W / scale)."""
        maps: dict[str, Tensor] = {}
        for name, reads in self.reads.items():
            entering = [self._entering(maps[source], f"{source}_{name}", factor) for source, factor, _ in reads]
            maps[name] = self.nodes[name](torch.cat(entering, 1) if entering else image)
        return maps

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Probabilities.

        Parameters
        ----------
        image : Tensor, (B, channels, H, W), float32
            Scaled and standardised as the model was trained; H and W divisible by 16.

        Returns
        -------
        dict of str to Tensor
            By view, (B, outputs, H / scale, W / scale), 0..1; and ``VIEW_presence``, (B,), where there are guides.
        """
        maps = self.maps(image)
        found = {name: torch.sigmoid(head(maps[name])) for name, head in self.heads.items()}
        for name, guide in self.guides.items():
            pooled = torch.cat([maps[name].mean((2, 3)), maps[name].amax((2, 3))], 1)
            found[f"{name}_presence"] = torch.softmax(guide(pooled), 1)[:, 1]
        return found

    def _entering(self, map_: Tensor, key: str, factor: int) -> Tensor:
        if factor == 0:
            return nn.functional.max_pool2d(map_, 2)
        if factor > 1:
            map_ = nn.functional.interpolate(map_, scale_factor=factor, mode="bilinear", align_corners=True)
        return torch.relu(self.links[key](map_)) if key in self.links else map_


class OneView(PlainUNetSharp):
    """The same with one head, whose probabilities are given as a tensor."""

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, channels, H, W) -> (B, outputs, H, W), 0..1."""
        maps, (name,) = self.maps(image), self.heads
        return torch.sigmoid(self.heads[name](maps[name]))


def _layers(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entering, leaving in pairwise(widths):
        layers += [nn.Linear(entering, leaving), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
