"""Settings of a training, each with its reason."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from napari_unetsharp.errors import SettingsError

FOLDER = Path(__file__).parent.parent / "models"
SHIPPED_RECIPES = {name: FOLDER / f"{name}.toml" for name in ("nuclei", "nuclei-cpu")}
"""By name: for a GPU from scratch, and a short one for a CPU."""


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
        Range of magnifications of the crops, around the one that brings the image's nuclei to
        `nucleus_size` where that is set.
    nucleus_size : float
        Diameter in pixels that the nuclei of every image are brought to, so that the network need not learn
        the same shapes at ten sizes; 0 leaves images at their own scale. Stored in the checkpoint.
    balance : float
        A modality is drawn in proportion to its number of images to this power: 1 as they come, 0 all alike.
    empty : float
        Share of crops without any nucleus (the guided modules need some).
    bend : float
        Share of crops that are turned by any angle and bent.
    extras : tuple of str
        Channels beside the classes (`network.unet_sharp.EXTRAS`).
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
    nucleus_size: float = 0.0
    balance: float = 0.5
    empty: float = 0.0
    bend: float = 0.2
    extras: tuple[str, ...] = ()
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
        if self.nucleus_size < 0 or not 0 <= self.balance <= 1 or not 0 <= self.empty < 1 or not 0 <= self.bend <= 1:
            raise SettingsError("nucleus_size is 0 or above, balance, empty and bend lie in 0..1")
        object.__setattr__(self, "extras", tuple(self.extras))
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"the seed lies in 0..{2**32 - 1}; got {self.seed}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"extras": list(self.extras)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Undo `as_dict`; raises `SettingsError` on unknown keys."""
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise SettingsError(f"unknown recipe settings {sorted(unknown)}")
        return cls(**values)

    @classmethod
    def load(cls, name: str | Path) -> Recipe:
        """Read a recipe.

        Parameters
        ----------
        name : str or Path
            A shipped one by name (`SHIPPED_RECIPES`), or a TOML file with the attributes above as keys.

        Raises
        ------
        SettingsError
            If it can't be read, or holds an unknown key or a value of another kind.
        """
        path = SHIPPED_RECIPES.get(str(name), Path(name))
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            known = ", ".join(SHIPPED_RECIPES)
            raise SettingsError(f"{name} is no recipe ({error}); give a TOML file, or one of {known}") from error
        try:
            return cls.from_dict(values)
        except TypeError as error:
            raise SettingsError(f"{path}: {error}; compare it with a shipped recipe in {FOLDER}") from error
