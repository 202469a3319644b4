"""The key layout of the paper's published code, read without executing anything."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_unetsharp.errors import CheckpointError, SettingsError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.network.grid import DEPTH
from napari_unetsharp.network.unet_sharp import UNetSharpConfig

HEADS = {
    "final1": "x01", "final2": "x02", "final3": "x03", "final4": "x04",
    "final5": "x40", "final6": "x31", "final7": "x22", "final8": "x13",
}  # fmt: skip
"""Heads of the published code with deep supervision; without it there is one, ``final`` on x04."""

_NODE = re.compile(r"conv(\d)_(\d)\.(.+)")
_HEAD = re.compile(r"(final\d?)\.(weight|bias)")


def is_published(file: Path) -> bool:
    """Whether a file is a torch archive or pickle, by its first bytes or, failing that, its ending.

    Safetensors begin with the length of their header, whose bytes may be those of an archive or a pickle
    (one length in 32 is); but only they have a brace in ninth place.
    """
    with file.open("rb") as opened:
        start = opened.read(9)
    if start[8:] == b"{":
        return False
    return start[:2] == b"PK" or start[:1] == b"\x80" or file.suffix.lower() in (".pth", ".pt", ".tar", ".bin")


def read_published(file: Path) -> tuple[UNetSharpConfig, dict[str, Tensor]]:
    """Read configuration and weights, under our names.

    Parameters
    ----------
    file : Path

    Returns
    -------
    config : UNetSharpConfig
        Channels, classes and widths as the shapes tell.
    state : dict of str to Tensor

    Raises
    ------
    CheckpointError
        If the file is damaged, holds anything but tensors, or isn't UNet#.
    """
    state = _state_dict(file)
    renamed = {_our_name(key.removeprefix("module.")): value for key, value in state.items()}
    if len(renamed) < len(state):
        raise CheckpointError(f"{file.name} holds some weights twice, under two names; save one state_dict alone")
    return _config(file, renamed), renamed


def published_name(key: str, config: UNetSharpConfig) -> str:
    """Name that the published code gives to a weight of ours, for messages about a file in its layout."""
    _, name, rest = key.split(".", 2) if key.count(".") > 1 else ("", "", "")
    if key.startswith("nodes.x"):
        return f"conv{name[1]}_{name[2]}.{rest}"
    if key.startswith("heads.x"):
        heads = {ours: theirs for theirs, ours in HEADS.items()}
        return f"{heads[name] if config.deep_supervision else 'final'}.{rest}"
    return key


def _state_dict(file: Path) -> dict[str, Tensor]:
    try:
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file.name} holds more than weights (code or objects), so it was not opened; "
            "save its state_dict alone and load that"
        ) from error
    except Exception as error:  # torch raises nearly every kind on damaged files
        raise CheckpointError(
            f"{file.name} is damaged or not a torch file ({first_line(error)}); copy it again"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(f"{file.name} holds no weights by name; a state_dict is needed")
    strangers = [str(key) for key, value in loaded.items() if not isinstance(value, Tensor) or not isinstance(key, str)]
    if strangers:
        raise CheckpointError(
            f"{file.name} holds entries that are no weights ({', '.join(strangers[:3])}); save its state_dict alone"
        )
    return loaded


def _our_name(key: str) -> str:
    if node := _NODE.fullmatch(key):
        return f"nodes.x{node[1]}{node[2]}.{node[3]}"
    if head := _HEAD.fullmatch(key):
        return f"heads.{HEADS.get(head[1], 'x04')}.{head[2]}"
    return key


def _config(file: Path, state: dict[str, Tensor]) -> UNetSharpConfig:
    columns = [f"nodes.x{row}0.conv1.weight" for row in range(DEPTH + 1)]
    deep = any(f"heads.{name}.weight" in state for name in HEADS.values() if name != "x04")
    needed = [*columns, "heads.x04.weight"]
    missing = [key for key in needed if key not in state or state[key].ndim != 4]
    if missing:
        names = [published_name(key, UNetSharpConfig(deep_supervision=deep)) for key in missing[:3]]
        raise CheckpointError(
            f"{file.name} doesn't fit UNet#: {'; '.join(f'{name} is missing' for name in names)}; "
            "load a UNet# checkpoint, ours or published"
        )
    try:
        return UNetSharpConfig(
            in_channels=state[columns[0]].shape[1],
            classes=state["heads.x04.weight"].shape[0],
            widths=tuple(state[key].shape[0] for key in columns),
            deep_supervision=deep,
        )
    except SettingsError as error:
        raise CheckpointError(f"{file.name} doesn't fit UNet#: {error}") from error
