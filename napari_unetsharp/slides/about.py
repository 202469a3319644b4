"""What a run over a slide is: written beside its results, so that only the same run goes on with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_unetsharp.errors import SettingsError, SlideRunError
from napari_unetsharp.slides.grid import SIDE, BlockGrid

_NOT_NAMED = ("slide", "path", "um_per_pixel", "checkpoint", "tissue", "version")
"""What may change without changing a block's maps."""

_WORDS = {
    "identity": "the slide's content", "slide_shape": "the slide's size", "plane": "the plane",
    "downsample": "the size of result pixels", "checkpoint_sha256": "the model", "level": "the depth",
    "nucleus_size": "the size of nuclei", "limits": "the intensity limits", "options": "the options of the run",
    "side": "the size of blocks", "margin": "the margin of blocks", "maps": "the maps that are kept",
}  # fmt: skip
"""How a person calls what decides."""


@dataclass(frozen=True)
class RunAbout:
    """A slide, a model and how the one is run over the other.

    Attributes
    ----------
    slide : str
        Name of the slide.
    path : str
        Where it was.
    identity : str
        Hash of its content; see `images.slide.Slide.identity`.
    slide_shape : tuple of int
        (Y, X) of level 0.
    plane : tuple of int
        Index on the stack axes; empty for a single plane.
    downsample : int
        Level-0 pixels per result pixel along each side; a power of 2.
    um_per_pixel : tuple of float or None
        Of level 0, along Y and X, as used.
    checkpoint, checkpoint_sha256 : str
        Name and hash of the model.
    level : int
        Depth, 1 to 4.
    nucleus_size : float or None
        Diameter in level-0 pixels.
    limits : list
        Intensity limits as used; what JSON can hold.
    options : dict
        Whatever else changes the maps; what JSON can hold.
    side, margin : int
        Of a block, in result pixels.
    maps : tuple of str
        What a block's file holds: the probability first, then "core" and "doubt" where there are such.
    tissue : str
        Hash of the tissue mask or region that was used; empty for all. Not part of the fingerprint.
    version : str
        Of this package.
    """

    slide: str
    path: str
    identity: str
    slide_shape: tuple[int, int]
    plane: tuple[int, ...] = ()
    downsample: int = 1
    um_per_pixel: tuple[float, float] | None = None
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    level: int = 4
    nucleus_size: float | None = None
    limits: list[Any] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    side: int = SIDE
    margin: int = 64
    maps: tuple[str, ...] = ("x04",)
    tissue: str = ""
    version: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of the result plane; pixels at the far borders may reach beyond the slide."""
        height, width = self.slide_shape
        return -(-height // self.downsample), -(-width // self.downsample)

    @property
    def grid(self) -> BlockGrid:
        """The blocks of the result plane."""
        return BlockGrid(self.shape, self.side, self.margin)

    @property
    def um_per_result_pixel(self) -> tuple[float, float] | None:
        """Height and width of a result pixel in µm."""
        if self.um_per_pixel is None:
            return None
        return self.um_per_pixel[0] * self.downsample, self.um_per_pixel[1] * self.downsample

    @property
    def fingerprint(self) -> str:
        """Hash of all that changes a block's maps, 64 hex digits."""
        text = json.dumps(self._deciding(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def differs(self, other: RunAbout) -> list[str]:
        """What another run has otherwise, in words; empty where the fingerprints are the same."""
        mine, theirs = self._deciding(), other._deciding()
        return [_WORDS[name] for name in mine if mine[name] != theirs[name]]

    def _deciding(self) -> dict[str, Any]:
        return {name: value for name, value in self.as_dict().items() if name not in _NOT_NAMED}

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold; the inverse of `from_dict`."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> RunAbout:
        """Read what `as_dict` gave; names that it doesn't know are left alone.

        Raises
        ------
        SlideRunError
            If something is missing or of another kind.
        """
        try:
            given = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
            for name in ("slide_shape", "plane", "um_per_pixel", "maps"):
                if given.get(name) is not None:
                    given[name] = tuple(given[name])
            about = cls(**given)
            if len(about.slide_shape) != 2 or about.downsample < 1:
                raise ValueError(f"a slide of {about.slide_shape}, each pixel {about.downsample} wide")
            BlockGrid(about.shape, about.side, about.margin)
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise SlideRunError(f"the description of a run over a slide can't be used ({error})") from error
        return about


def run_folder(root: Path, about: RunAbout) -> Path:
    """Where the run that is this and no other lies, below a folder for all runs of a slide."""
    return root / f"{about.slide}-{about.fingerprint[:10]}"
