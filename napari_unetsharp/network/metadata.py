"""What a checkpoint knows about itself, as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.intensity import Intensity


@dataclass(frozen=True)
class CheckpointMetadata:
    """What a checkpoint knows about itself.

    Attributes
    ----------
    name : str
        On screen and in layer metadata.
    intensity : Intensity
        How pixels are scaled before the network.
    class_names : tuple of str
        One per output channel.
    pixel_size : float or None
        Micrometres per pixel of the images it was trained on.
    nucleus_size : float or None
        Typical diameter in pixels of the nuclei it was trained on.
    crop : int
        Side of its training crops in pixels: the window of the guided modules.
    history : list of dict
        A row per epoch of training.
    metrics : dict
        Measured quality by modality and level.
    parent : str
        SHA-256 of the checkpoint it was fine-tuned from; empty for a first one.
    layout : "ours" or "published"
        What kind of file it was read from.
    sha256 : str
        Of the file it was read from; empty for one that was never saved.
    recipe : dict
        Settings, seed, versions and machine of the training.
    """

    name: str = "untitled"
    intensity: Intensity = field(default_factory=Intensity)
    class_names: tuple[str, ...] = ("nucleus",)
    pixel_size: float | None = None
    nucleus_size: float | None = None
    crop: int = 128
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    parent: str = ""
    layout: str = "ours"
    sha256: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without what belongs to the file (hash, layout)."""
        values = asdict(self) | {"intensity": self.intensity.as_dict(), "class_names": list(self.class_names)}
        return {key: value for key, value in values.items() if key not in ("sha256", "layout")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CheckpointMetadata:
        """Undo `as_dict`; unknown keys of later versions are left out.

        Raises
        ------
        SettingsError
            If a value is of another kind than it should be.
        """
        known = {item.name for item in fields(cls)} - {"sha256", "layout"}
        kept = {key: value for key, value in values.items() if key in known}
        for key, kinds in _KINDS.items():
            if not isinstance(kept.get(key, kinds[0]()), kinds):
                raise SettingsError(f"{key} can't be {str(kept[key])[:80]!r}")
        sizes = [size for size in (kept.get("pixel_size"), kept.get("nucleus_size")) if size is not None]
        if not all(0 < size < math.inf for size in (*sizes, kept.get("crop", 1))):
            raise SettingsError("pixel size, nucleus size and crop must be above 0")
        kept["intensity"] = Intensity.from_dict(kept.get("intensity", {}))
        kept["class_names"] = tuple(str(name) for name in kept.get("class_names", ("nucleus",)))
        return cls(**kept)


_KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,), "intensity": (dict,), "class_names": (list,), "pixel_size": (float, int, type(None)),
    "nucleus_size": (float, int, type(None)), "crop": (int,), "history": (list,), "metrics": (dict,),
    "parent": (str,), "recipe": (dict,),
}  # fmt: skip
