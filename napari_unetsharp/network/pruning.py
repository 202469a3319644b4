"""Pruning: a shallower network cut out of a deeper one (UNet#, Sec. 2.3)."""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import nn

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.network.grid import nodes_of_level
from napari_unetsharp.network.unet_sharp import UNetSharp


def prune(network: UNetSharp, level: int) -> UNetSharp:
    """Cut out the sub-network of a level, with its one head x0L.

    Parameters
    ----------
    network : UNetSharp
        Stays as it is.
    level : int
        1 to 4.

    Returns
    -------
    UNetSharp
        A copy in the same mode, on the same device and laid out alike in memory; its output is x0L of
        `network` to the last bit.

    Raises
    ------
    SettingsError
        If the level is deeper than the network, or x0L has no head there.
    """
    head = f"x0{level}"
    if head not in network.heads:
        raise SettingsError(
            f"depth {level} has no head of its own in this network (it has {', '.join(network.heads)}); "
            "choose one of those, or a checkpoint trained with deep supervision"
        )
    # copied, not built anew: another layout in memory (channels-last or not) rounds the last bit otherwise
    pruned = copy.deepcopy(network)
    pruned.config = replace(network.config, level=level, deep_supervision=False)
    kept = nodes_of_level(level)
    _keep_only(pruned.nodes, set(kept))
    _keep_only(pruned.links, {name for name in pruned.links if name.split("_")[1] in kept})
    _keep_only(pruned.heads, {head})
    _keep_only(pruned.guides, {head})
    return pruned


def _keep_only(modules: nn.ModuleDict, names: set[str]) -> None:
    for name in set(modules) - names:
        del modules[name]
