"""From a network of this package to its plain form."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from napari_unetsharp.exporting.plain import OneView, PlainUNetSharp
from napari_unetsharp.network.classification import GuidedModule
from napari_unetsharp.network.folding import folded
from napari_unetsharp.network.grid import BRANCHES, NODES
from napari_unetsharp.network.needed import needed_nodes
from napari_unetsharp.network.unet_sharp import UNetSharp


def description(network: UNetSharp, heads: tuple[str, ...], guided: bool = True) -> dict[str, Any]:
    """Arguments of `PlainUNetSharp`, as plain values for JSON and YAML.

    Parameters
    ----------
    network : UNetSharp
    heads : tuple of str
        Views that are wanted; only the nodes that they need are described.
    guided : bool
        With the guided modules of these views, where the network has them.
    """
    config, width = network.config, {name: network.config.widths[node.row] for name, node in NODES.items()}
    nodes: dict[str, list[Any]] = {}
    for name in needed_nodes(heads):
        node = NODES[name]
        pooled = node.column == 0
        nodes[name] = [
            width[name],
            [
                [link.source, 0 if pooled else link.factor, width[name] * (f"{link.source}_{name}" in network.links)]
                for link in node.inputs
            ],
        ]
    guides = {name: _widths(network.guides[name]) for name in heads if guided and name in network.guides}
    return {
        "channels": config.in_channels,
        "nodes": nodes,
        "heads": {name: [config.outputs, BRANCHES[name].kernel] for name in heads},
        "guides": guides,
    }


def plain_network(network: UNetSharp, heads: tuple[str, ...], guided: bool = True) -> PlainUNetSharp:
    """The same function up to rounding, in its plain form.

    Parameters
    ----------
    network : UNetSharp
        Stays as it is.
    heads, guided
        As in `description`.

    Returns
    -------
    PlainUNetSharp
        In evaluation mode, float32, on the CPU.
    """
    return _filled(PlainUNetSharp(**description(network, heads, guided)), network)


def one_view(network: UNetSharp, head: str) -> OneView:
    """As `plain_network`, with one view and without guides."""
    plain = OneView(**description(network, (head,), guided=False))
    _filled(plain, network)
    return plain


@torch.no_grad()
def _filled(plain: PlainUNetSharp, network: UNetSharp) -> PlainUNetSharp:
    source = folded(network).cpu()
    for name, layers in plain.nodes.items():
        assert isinstance(layers, nn.Sequential)
        node: Any = source.nodes[name]
        layers[0].load_state_dict(node.conv1.state_dict())
        layers[2].load_state_dict(node.conv2.state_dict())
    for name, link in plain.links.items():
        taken: Any = source.links[name]
        link.load_state_dict(taken.conv.state_dict())
    for name, head in plain.heads.items():
        head.load_state_dict(source.heads[name].state_dict())
    for name, layers in plain.guides.items():
        assert isinstance(layers, nn.Sequential)
        _fill_guide(layers, source.guides[name])
    return plain.eval().requires_grad_(False)


def _fill_guide(layers: nn.Sequential, guide: nn.Module) -> None:
    """Fold each batch norm of a guided module into the linear layer behind it."""
    assert isinstance(guide, GuidedModule)
    norms = [layer for layer in guide.layers if isinstance(layer, nn.BatchNorm1d)]
    linears = [layer for layer in guide.layers if isinstance(layer, nn.Linear)]
    targets = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for target, linear, norm in zip(targets, linears, norms, strict=True):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = norm.bias.double() - norm.running_mean.double() * gain
        weight = linear.weight.double()
        target.weight.copy_(weight * gain)
        target.bias.copy_(linear.bias.double() + weight @ shift)


def _widths(guide: nn.Module) -> list[int]:
    assert isinstance(guide, GuidedModule)
    linears = [layer for layer in guide.layers if isinstance(layer, nn.Linear)]
    return [linears[0].in_features, *(linear.out_features for linear in linears)]
