"""What all jobs of a command share: what to write, and which network with which options."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.network.grid import branches_of_level
from napari_unetsharp.nuclei.label_settings import LabelSettings


@dataclass(frozen=True)
class JobSettings:
    """What to write, and how to read the maps.

    Attributes
    ----------
    folder : Path
        Made if it isn't there.
    level : int
        Deepest level.
    all_levels : bool
        Labels of every level up to it; of a slide, the deepest alone.
    branches : bool
        Probability maps of every branch; of a slide, the deepest output's alone.
    labels : LabelSettings
    nucleus_size : float or None
        Diameter in pixels of a typical nucleus; estimated for each image if None.
    um_per_pixel : (float, float) or None
        Along Y and X in µm, for all inputs; what each file says if None.
    tissue_only : bool
        Of a slide, leave glass out.
    channel : str
        By name or number from 1, of all inputs; see `source.Source`.
    """

    folder: Path
    level: int
    all_levels: bool = False
    branches: bool = False
    labels: LabelSettings = field(default_factory=LabelSettings)
    nucleus_size: float | None = None
    um_per_pixel: tuple[float, float] | None = None
    tissue_only: bool = True
    channel: str = ""

    def wanted(self, heads: tuple[str, ...]) -> tuple[str, ...]:
        """Branches that have to be computed, of those that have a head.

        Raises
        ------
        SettingsError
            If the level asked for has no head.
        """
        if f"x0{self.level}" not in heads:
            raise SettingsError(
                f"depth {self.level} has no head in this checkpoint (it has {', '.join(heads)}); choose another --level"
            )
        offered = [name for name in branches_of_level(self.level) if name in heads]
        if self.branches:
            return tuple(offered)
        if self.all_levels:
            return tuple(name for name in offered if name.startswith("x0"))
        return (f"x0{self.level}",)

    def deciding(self) -> dict[str, Any]:
        """What changes a result, as plain values: all but the folder, and the channel, which each source has."""
        return {key: value for key, value in asdict(self).items() if key not in ("folder", "channel")}


@dataclass(frozen=True)
class NetworkSettings:
    """How a process builds its predictor; goes to other processes and machines.

    Attributes
    ----------
    checkpoint : str
        Shipped model by name, or a path that every machine sees.
    level : int
    branches : tuple of str or None
        All that the level gives if None.
    device : str
    options : tuple of (str, value)
        Further arguments of `Predictor`: guided, orientations, accurate, precision.
    """

    checkpoint: str
    level: int
    branches: tuple[str, ...] | None = None
    device: str = "auto"
    options: tuple[tuple[str, Any], ...] = ()

    def predictor(self, threads: int = 0) -> Predictor:
        """Give this process's predictor, built when it is first asked for.

        Parameters
        ----------
        threads : int
            Torch's share of the processors; as it is if 0.

        Raises
        ------
        CheckpointError, DeviceError, SettingsError
        """
        if threads:
            torch.set_num_threads(threads)
        return _predictor(self)


@lru_cache(maxsize=1)
def _predictor(asked: NetworkSettings) -> Predictor:
    loaded = load_checkpoint(asked.checkpoint)
    return Predictor(loaded, asked.device, asked.level, asked.branches, **dict(asked.options))
