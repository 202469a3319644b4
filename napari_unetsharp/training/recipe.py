"""Settings of a training, each with its reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from napari_unetsharp.errors import SettingsError


@dataclass(frozen=True)
class Recipe:
    """The paper's recipe; what differs says why.

    Attributes
    ----------
    epochs : int
        Paper: 100.
    crops_per_epoch : int
        0: as many as there are training images.
    batch : int
        Paper: 128 (of 96 px) on two A100; 8 of 128 px fit any machine.
    crop : int
        Side in pixels, divisible by 16. The paper resizes whole images to 96; crops at native resolution
        keep small nuclei apart.
    rate : float
        Peak learning rate; falls to zero along a cosine over all epochs (paper: 1e-3).
    decay : float
        Weight decay of Adam (paper: 1e-4).
    warm_up : int
        Steps with a rising rate: a cold start at the full rate unsettles small batches.
    averaging : float
        Share that stays per step in the running average of the weights, which is what is validated and
        saved; 0 switches it off.
    smallest, largest : float
        Range of magnifications of the crops.
    validation_side : int
        Larger validation images are cut to their middle of this side: the same pixels in every epoch.
    level : int
        4 trains the whole network (pruned later: embedded), 1 to 3 that level alone (isolated).
    guided : bool
        Train the classification-guided modules as well.
    seed : int
        Of weights, crops and looks.
    """

    epochs: int = 100
    crops_per_epoch: int = 0
    batch: int = 8
    crop: int = 128
    rate: float = 1e-3
    decay: float = 1e-4
    warm_up: int = 40
    averaging: float = 0.98
    smallest: float = 0.6
    largest: float = 1.4
    validation_side: int = 256
    level: int = 4
    guided: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.crop < 16 or self.crop % 16:
            raise SettingsError(
                f"epochs and batch must be 1 or more and the crop divisible by 16; got epochs={self.epochs}, "
                f"batch={self.batch}, crop={self.crop}"
            )
        if not (0 < self.smallest <= self.largest) or not 0 <= self.averaging < 1 or not self.rate > 0:
            raise SettingsError("magnifications must rise, averaging lie in 0..1, and the learning rate above 0")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"the seed lies in 0..{2**32 - 1}; got {self.seed}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Undo `as_dict`; raises `SettingsError` on unknown keys."""
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise SettingsError(f"unknown recipe settings {sorted(unknown)}")
        return cls(**values)
