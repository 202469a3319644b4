"""A depth cut out of a checkpoint, with all of its views."""

from __future__ import annotations

import copy
from dataclasses import replace

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.network.checkpoint import SHIPPED, Checkpoint, file_hash
from napari_unetsharp.network.grid import branches_of_level, nodes_of_level
from napari_unetsharp.network.metadata import CheckpointMetadata

LICENCE = "MIT"
"""Of this project and of the weights that come with it."""


def views(checkpoint: Checkpoint, level: int) -> tuple[str, ...]:
    """Views that a depth of a checkpoint gives: those of its branches that have a head.

    Raises
    ------
    SettingsError
        If the checkpoint has no such depth, with those that it has.
    """
    heads = checkpoint.config.heads
    if f"x0{level}" not in heads:
        depths = ", ".join(str(depth) for depth in range(1, 5) if f"x0{depth}" in heads)
        raise SettingsError(f"{checkpoint.metadata.name} can't be exported at depth {level}; it has depth {depths}")
    return tuple(name for name in branches_of_level(level) if name in heads)


def cut(checkpoint: Checkpoint, level: int) -> Checkpoint:
    """Cut out a depth; unlike `prune`, it keeps the heads of all views of that depth.

    Parameters
    ----------
    checkpoint : Checkpoint
        Stays as it is.
    level : int
        1 to 4.

    Returns
    -------
    Checkpoint
        A copy; each view is that of `checkpoint` to the last bit. Its parent is the file it was cut from, whose own
        parent and depth are in the recipe under ``cut_from``.

    Raises
    ------
    SettingsError
        If the checkpoint has no such depth.
    """
    kept = views(checkpoint, level)
    network = copy.deepcopy(checkpoint.network)
    network.config = replace(network.config, level=level)
    nodes = nodes_of_level(level)
    for modules in (network.nodes, network.links, network.heads, network.guides):
        wanted = nodes if modules is network.nodes or modules is network.links else kept
        for name in [name for name in modules if name.split("_")[-1] not in wanted]:
            del modules[name]
    return Checkpoint(network, _metadata(checkpoint, level))


def _metadata(checkpoint: Checkpoint, level: int) -> CheckpointMetadata:
    metadata = checkpoint.metadata
    origin = {"name": metadata.name, "sha256": metadata.sha256, "parent": metadata.parent,
              "level": checkpoint.config.level}  # fmt: skip
    recipe = metadata.recipe | {"cut_from": origin}
    licence = licence_of(metadata)
    if licence:
        recipe["licence"] = licence
    parent = metadata.sha256 or metadata.parent
    return replace(metadata, name=f"{metadata.name}-L{level}", parent=parent, sha256="", recipe=recipe)


def licence_of(metadata: CheckpointMetadata) -> str:
    """SPDX name of the licence of the weights; empty where nobody stated one."""
    stated = metadata.recipe.get("licence", "")
    if isinstance(stated, str) and stated:
        return stated
    shipped = [path for path in SHIPPED.values() if metadata.sha256 and path.is_file()]
    return LICENCE if any(file_hash(path) == metadata.sha256 for path in shipped) else ""
