"""Checkpoints: weights with everything that is needed to use them again.

Our own files are safetensors with one JSON text in the metadata. The published layout (``.pth``) is read
with ``weights_only=True``, without any fall-back: code inside such a file is never executed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_unetsharp.errors import CheckpointError, SettingsError
from napari_unetsharp.images.intensity import PUBLISHED
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.published import is_published, published_name, read_published
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig

KEY = "unetsharp"
FORMAT = 1
LARGEST_FILE = 4 * 2**30
LARGEST_TEXT = 16 * 2**20
SHIPPED = {"nuclei": Path(__file__).parent.parent / "models" / "nuclei.safetensors"}
"""Checkpoints that come with the package, by the name that every command takes."""


@dataclass
class Checkpoint:
    """A network in eval mode, and what is known about it.

    Attributes
    ----------
    network : UNetSharp
    metadata : CheckpointMetadata
    """

    network: UNetSharp
    metadata: CheckpointMetadata = field(default_factory=CheckpointMetadata)

    @property
    def config(self) -> UNetSharpConfig:
        """The network's configuration."""
        return self.network.config

    def save(self, path: str | Path, half: bool = False) -> None:
        """Write as safetensors, beside and renamed.

        Parameters
        ----------
        path : str or Path
            A file of this name is replaced only once the new one is whole.
        half : bool
            Weights in float16; the running statistics of batch norm stay in float32.

        Raises
        ------
        CheckpointError
            If the file can't be written; the one that was there is whole then.
        """
        tensors = {}
        for key, value in self.network.state_dict().items():
            statistic = "running_" in key or not value.is_floating_point()
            kept = value.detach().cpu()
            tensors[key] = (kept.half() if half and not statistic else kept).contiguous()
        text = json.dumps(
            {"format": FORMAT, "config": self.config.as_dict(), "metadata": self.metadata.as_dict()}, allow_nan=False
        )
        try:
            with written_beside(Path(path)) as beside:
                save_file(tensors, beside, metadata={KEY: text})
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} can't be written ({error}); choose another place or make room") from error


def load_checkpoint(path: str | Path, **known: Any) -> Checkpoint:
    """Load a shipped model by name, one of our files, or one in the published layout.

    Parameters
    ----------
    path : str or Path
        ``"nuclei"``, or a path to ``.safetensors`` (ours) or ``.pth``/``.pt`` (published layout: a bare
        state dict, ``{"state_dict": ...}`` or ``{"model": ...}``, with or without ``module.`` prefixes).
    **known
        Fields of `CheckpointMetadata` that the caller knows better, such as ``intensity`` or
        ``nucleus_size`` for a published file, which says nothing about either.

    Returns
    -------
    Checkpoint
        On the CPU, float32, in eval mode.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, holds code, or its weights don't fit (naming the first three
        differences) or aren't finite.
    """
    file = Path(SHIPPED.get(str(path), path))
    if not file.is_file():
        raise CheckpointError(
            f"no checkpoint at {file}; give the path of a .safetensors or .pth file, or the name of a shipped "
            f"model ({', '.join(SHIPPED)})"
        )
    size = file.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise CheckpointError(
            f"{file.name} has {size:,} bytes, a checkpoint between 1 and {LARGEST_FILE:,}; copy it again"
        )
    digest = file_hash(file)
    shown: Callable[[str], str] = str
    if is_published(file):
        config, state = read_published(file)
        shown = partial(published_name, config=config)
        metadata = CheckpointMetadata(
            file.stem, PUBLISHED, _class_names(config.classes), crop=96, layout="published", sha256=digest
        )
    else:
        config, metadata = read_header(file)
        metadata = replace(metadata, sha256=digest)
        state = _read_tensors(file, config)
    metadata = replace(metadata, **known)
    _check_metadata(file, config, metadata)
    return Checkpoint(_filled(file, config, state, shown), metadata)


def read_header(file: Path) -> tuple[UNetSharpConfig, CheckpointMetadata]:
    """Read configuration and metadata of one of our files, without its weights.

    Raises
    ------
    CheckpointError
        If the file is damaged, not one of ours, or its metadata makes no sense.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(KEY)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{file.name} is neither whole safetensors nor the published .pth layout ({error}); copy it again"
        ) from error
    if text is None:
        raise CheckpointError(f"{file.name} is safetensors, but not of UNet# (no {KEY!r} metadata); load one that is")
    if len(text) > LARGEST_TEXT:
        raise CheckpointError(f"{file.name} has {len(text):,} letters of metadata; at most {LARGEST_TEXT:,} are read")
    try:
        values = json.loads(text)
        config = UNetSharpConfig.from_dict(values["config"])
        metadata = CheckpointMetadata.from_dict(values["metadata"])
    except (SettingsError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"the metadata of {file.name} can't be used ({error}); copy it again") from error
    return config, metadata


def file_hash(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read_tensors(file: Path, config: UNetSharpConfig) -> dict[str, Tensor]:
    """Tensors of our file, after its names and shapes were compared with the configuration."""
    wanted = {key: tuple(value.shape) for key, value in _empty(config).state_dict().items()}
    try:
        with safe_open(file, framework="pt") as opened:
            found = {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
            check_layout(file.name, found, wanted)
            return {key: opened.get_tensor(key) for key in found}
    except (SafetensorError, OSError, ValueError, AttributeError) as error:  # a type that torch doesn't have
        raise CheckpointError(f"the weights of {file.name} can't be read ({error}); copy it again") from error


def check_layout(
    name: str, found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], shown: Callable[[str], str] = str
) -> None:
    """Compare names and shapes of weights.

    Parameters
    ----------
    name : str
        Of the file, for the message.
    found, wanted : dict of str to tuple of int
        Shapes by our names.
    shown : callable
        What the file calls a weight of ours.

    Raises
    ------
    CheckpointError
        Naming the first three differences and how many there are.
    """
    differences = [f"{shown(key)} is missing" for key in wanted if key not in found]
    differences += [f"{shown(key)} is unknown" for key in found if key not in wanted]
    differences += [
        f"{shown(key)} has shape {found[key]} instead of {shape}"
        for key, shape in wanted.items()
        if key in found and found[key] != shape
    ]
    if differences:
        more = f", and {len(differences) - 3} more differences" if len(differences) > 3 else ""
        raise CheckpointError(
            f"{name} doesn't fit UNet#: {'; '.join(differences[:3])}{more}; load a UNet# checkpoint, ours or published"
        )


def _filled(
    file: Path, config: UNetSharpConfig, state: dict[str, Tensor], shown: Callable[[str], str] = str
) -> UNetSharp:
    own = _empty(config).state_dict()  # nothing is allocated before names, shapes and types are known to fit
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    check_layout(file.name, shapes, {key: tuple(value.shape) for key, value in own.items()}, shown)
    odd = [f"{shown(key)} ({value.dtype})" for key, value in state.items() if not _is_plain(value, own[key])]
    if odd:
        raise CheckpointError(
            f"{file.name} holds weights that are no plain numbers of their kind: {', '.join(odd[:3])}; "
            "save its state_dict in float32 or float16"
        )
    broken = [shown(key) for key, value in state.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise CheckpointError(
            f"{file.name} holds weights that are NaN or infinite ({', '.join(broken[:3])}); "
            "the training that wrote it failed, so use an earlier checkpoint"
        )
    network = UNetSharp(config)
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})
    return network.eval()


def _is_plain(value: Tensor, own: Tensor) -> bool:
    """Whether a tensor holds all of its numbers, whole or real as ours: not sparse, nor one number spread wide."""
    if value.layout != torch.strided or value.device.type != "cpu":
        return False
    held = value.untyped_storage().nbytes() >= value.numel() * value.element_size()
    return held and value.is_floating_point() == own.is_floating_point() and not value.is_complex()


def _empty(config: UNetSharpConfig) -> UNetSharp:
    with torch.device("meta"):
        return UNetSharp(config)


def _class_names(classes: int) -> tuple[str, ...]:
    return ("nucleus",) if classes == 1 else tuple(f"class {index + 1}" for index in range(classes))


def _check_metadata(file: Path, config: UNetSharpConfig, metadata: CheckpointMetadata) -> None:
    sizes = [size for size in (metadata.pixel_size, metadata.nucleus_size) if size is not None]
    if not all(0 < size < math.inf for size in sizes):
        raise CheckpointError(f"pixel size and nucleus size of {file.name} must be above 0; got {sizes}")
    lengths = {len(metadata.intensity.mean)} - {1, config.in_channels}
    if lengths and metadata.layout == "published":
        raise CheckpointError(
            f"{file.name} takes {config.in_channels} channels, but its normalisation has {lengths.pop()} means; "
            "say how it was normalised (unetsharp convert IN OUT --normalisation zero-one)"
        )
    if lengths:
        raise CheckpointError(f"{file.name} takes {config.in_channels} channels, its normalisation {lengths.pop()}")
    if len(metadata.class_names) != config.classes:
        raise CheckpointError(f"{file.name} has {config.classes} classes but {len(metadata.class_names)} class names")
