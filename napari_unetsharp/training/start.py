"""Begin with the weights of another checkpoint."""

from __future__ import annotations

from napari_unetsharp.errors import TrainingError
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.unet_sharp import UNetSharp


def begin_with(network: UNetSharp, parent: Checkpoint) -> None:
    """Copy what the parent knows; outputs and guided modules that it lacks stay as they were drawn.

    Parameters
    ----------
    network : UNetSharp
        Filled in place.
    parent : Checkpoint
        Of the same channels, widths and skips, and at least as deep.

    Raises
    ------
    TrainingError
        If the networks differ in more than heads and guided modules.
    """
    ours, theirs = network.config, parent.config
    same = ("in_channels", "classes", "widths", "full_scale")
    different = [name for name in same if getattr(ours, name) != getattr(theirs, name)]
    if different or theirs.level < ours.level:
        raise TrainingError(
            f"{parent.metadata.name} can't be the start: it differs in {', '.join(different) or 'depth'}; "
            "give a checkpoint of the same network, or none"
        )
    state = network.state_dict()
    for key, value in parent.network.state_dict().items():
        if key not in state:
            continue
        if state[key].shape == value.shape:
            state[key].copy_(value)
        elif key.startswith("heads."):
            kept = min(len(value), len(state[key]), ours.classes + len(_shared(ours.extras, theirs.extras)))
            state[key][:kept].copy_(value[:kept])


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Leading channels that both have in the same place."""
    return tuple(name for name, again in zip(one, other, strict=False) if name == again)
