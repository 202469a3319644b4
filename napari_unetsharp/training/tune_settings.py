"""Settings of fine-tuning, as JSON can hold them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.intensity import NORMALISATIONS
from napari_unetsharp.training.kept_aside import SIDES
from napari_unetsharp.training.old_examples import DRAWN_TO_CHECK, DRAWN_TO_TEACH
from napari_unetsharp.training.protection import Protection
from napari_unetsharp.training.reviewed_crops import CropSettings
from napari_unetsharp.training.sample_sources import Source
from napari_unetsharp.training.speeds import Speed

RATES = {Speed.TOUCH_UP: 5e-3, Speed.STANDARD: 2e-4, Speed.THOROUGH: 2e-4}
"""Peak learning rates: the more weights learn, the smaller each step."""


@dataclass(frozen=True)
class TuneSettings:
    """Everything that decides what fine-tuning gives.

    Attributes
    ----------
    checkpoint : str
        A shipped model by name, or a path.
    samples : tuple of Source
    speed : Speed
    level : int or None
        Depth that is tuned and saved (1 to 4); the model's own where None. Touch when a shallower depth will do.
    old_folders : tuple of str
        A person's own training folders, mixed in and checked against forgetting.
    drawn_old, drawn_check : int
        Drawn fields that are mixed in, and others that are checked after each epoch.
    epochs, steps : int
        Of the training, and of each epoch. More when the losses still fall at the end.
    rate : float
        Peak learning rate; 0 for that of the speed. Smaller when the loss jumps.
    averaging : float
        Share that stays per step in the running average of the weights, which is what is tested and kept.
    hold_statistics : bool
        Keep the parent's statistics of batch norm (see `speeds.hold_statistics`). Untick with hundreds of images only.
    crops : CropSettings
    protection : Protection
    seed : int
    quarter : str
        Side of a single image that is kept aside for testing, of `kept_aside.SIDES`; empty for the best one.
    device : "auto", "cpu", "cuda" or "mps"
    devices : int
        How many GPUs.
    precision : str
        As Lightning Fabric names it.
    threads : int
        Of the CPU; 0 leaves one core for the window.
    minutes : float
        End after so long with the best so far; 0 for no bound.
    normalisation : str
        Of a published file, see `images.intensity.NORMALISATIONS`.
    nucleus_size : float
        Diameter in pixels at which the model knows nuclei, where its file doesn't say; 0 for unknown.
    """

    checkpoint: str
    samples: tuple[Source, ...] = ()
    speed: Speed = Speed.STANDARD
    level: int | None = None
    old_folders: tuple[str, ...] = ()
    drawn_old: int = DRAWN_TO_TEACH
    drawn_check: int = DRAWN_TO_CHECK
    epochs: int = 6
    steps: int = 25
    rate: float = 0.0
    averaging: float = 0.95
    hold_statistics: bool = True
    crops: CropSettings = field(default_factory=CropSettings)
    protection: Protection = field(default_factory=Protection)
    seed: int = 1
    quarter: str = ""
    device: str = "auto"
    devices: int = 1
    precision: str = "32-true"
    threads: int = 0
    minutes: float = 0.0
    normalisation: str = ""
    nucleus_size: float = 0.0

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "speed", Speed(self.speed))
        except ValueError as error:
            raise SettingsError(f"the speed is one of {', '.join(Speed)}, not {self.speed!r}") from error
        if self.epochs < 1 or self.steps < 1 or self.crops.batch < 1 or self.crops.crop < 16 or self.crops.crop % 16:
            raise SettingsError(
                f"epochs, steps and batch are 1 or more and the crop is divisible by 16; got {self.epochs}, "
                f"{self.steps}, {self.crops.batch} and {self.crops.crop}"
            )
        counts = self.rate, self.minutes, self.nucleus_size, self.seed, self.drawn_old, self.drawn_check
        if min(counts) < 0 or not 0 <= self.averaging < 1:
            raise SettingsError("rate, minutes, sizes, seed and counts are 0 or above, and averaging lies in 0..1")
        if not all(0 < share < 1 for share in self.protection.blends):
            raise SettingsError(f"blends lie between 0 and 1; got {self.protection.blends}")
        if not 0 < self.crops.smallest <= self.crops.largest or not 0 <= self.crops.old < 1:
            raise SettingsError("magnifications rise from above 0, and the share of old examples lies in 0..1")
        if self.quarter and self.quarter not in SIDES:
            raise SettingsError(f"the quarter that is kept aside is one of {', '.join(SIDES)}, not {self.quarter!r}")
        known = [known.name for known in NORMALISATIONS]
        if self.normalisation and self.normalisation not in known:
            raise SettingsError(f"normalisation {self.normalisation!r} is unknown; choose one of {', '.join(known)}")

    @property
    def peak_rate(self) -> float:
        """The learning rate that is used."""
        return self.rate or RATES[self.speed]

    @property
    def known(self) -> dict[str, Any]:
        """What `load_checkpoint` is told about a published file."""
        known: dict[str, Any] = {}
        if self.normalisation:
            known["intensity"] = next(entry.intensity for entry in NORMALISATIONS if entry.name == self.normalisation)
        if self.nucleus_size:
            known["nucleus_size"] = self.nucleus_size
        return known

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {
            "speed": str(self.speed), "protection": self.protection.as_dict(),
            "samples": [source.as_dict() for source in self.samples],
            "old_folders": list(self.old_folders),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TuneSettings:
        """Undo `as_dict`; keys that are missing have their defaults.

        Raises
        ------
        SettingsError
            If a key is unknown, or a value is of another kind than it should be.
        """
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise SettingsError(f"unknown settings of fine-tuning {sorted(unknown)}; a newer version may know them")
        kept = dict(values)
        try:
            kept["samples"] = tuple(Source.from_dict(source) for source in values.get("samples", ()))
            kept["old_folders"] = tuple(str(folder) for folder in values.get("old_folders", ()))
            kept["crops"] = CropSettings(**values.get("crops", {}))
            protection = dict(values.get("protection", {}))
            if "blends" in protection:
                protection["blends"] = tuple(map(float, protection["blends"]))
            kept["protection"] = Protection(**protection)
            return cls(**kept)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"the settings of fine-tuning can't be used: {error}") from error
