"""Batch norm folded into the convolutions, for a copy of a network that only looks."""

from __future__ import annotations

import copy

import torch
from torch import nn

from napari_unetsharp.network.blocks import Block, UpsampledConvolution
from napari_unetsharp.network.unet_sharp import UNetSharp


@torch.no_grad()
def folded(network: UNetSharp) -> UNetSharp:
    """Copy a network with each batch norm folded into the convolution before it.

    Parameters
    ----------
    network : UNetSharp
        Stays as it is.

    Returns
    -------
    UNetSharp
        In evaluation mode; the same function up to rounding, with `Identity` in place of every batch norm. Not
        for training.
    """
    copied = copy.deepcopy(network).eval()
    for module in list(copied.modules()):
        if isinstance(module, Block):
            _fold(module.conv1, module.bn1)
            _fold(module.conv2, module.bn2)
            module.bn1, module.bn2 = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        elif isinstance(module, UpsampledConvolution):
            _fold(module.conv, module.bn)
            module.bn = nn.Identity()  # type: ignore[assignment]
    return copied


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = (conv.bias.double() - norm.running_mean.double()) * gain + norm.bias.double()
    conv.weight.copy_(conv.weight.double() * gain[:, None, None, None])
    conv.bias.copy_(shift)
