"""A whole slide: levels that decode on demand, and what the file says about itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide_cache import TileCache
from napari_unetsharp.images.slide_level import Level, Tiles


@dataclass(frozen=True)
class Channel:
    """A channel by name, its colour on screen (red, green, blue, 0 to 255) and the values shown as dark and bright."""

    name: str
    colour: tuple[int, int, int] | None = None
    window: tuple[float, float] | None = None


_DOUBLE_ENDINGS = (".ome.tif", ".ome.tiff", ".ome.btf", ".ome.zarr")

COLOURS = (Channel("red", (255, 0, 0)), Channel("green", (0, 255, 0)), Channel("blue", (0, 0, 255)))


@dataclass
class Slide:
    """A picture too large for memory, in several sizes.

    Attributes
    ----------
    path : Path
        What was opened: a file, or the folder of a zarr or DICOM slide.
    kind : str
        The format, as a person calls it ("Aperio SVS", "OME-Zarr 0.5").
    levels : tuple of Level
        Largest first.
    axes : str
        "YXC" with the letters of stack axes before ("ZYXC", "TZYXC").
    um_per_pixel : (float, float) or None
        Of level 0, along Y and X, in µm; None where the file doesn't say.
    steps, units : tuple
        Step along each stack axis and its unit; 1 and "pixel" where unknown.
    channels : tuple of Channel
        As many as the last axis.
    rgb : bool
        Whether the channels are the colours of one picture.
    vendor : str
        Of the scanner or writer; empty where unknown.
    objective : float or None
        Magnification.
    bounds : (int, int, int, int) or None
        Top, left, height and width in level 0 of what was scanned, where the file says.
    notes : list of str
        What a person should know about how it was read, a sentence each.
    """

    path: Path
    kind: str
    levels: tuple[Level, ...]
    axes: str
    channels: tuple[Channel, ...]
    rgb: bool
    identify: Callable[[], str]
    um_per_pixel: tuple[float, float] | None = None
    steps: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    vendor: str = ""
    objective: float | None = None
    bounds: tuple[int, int, int, int] | None = None
    pictures: dict[str, Callable[[], NDArray[Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    opened: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        stack = len(self.axes) - 3
        self.steps = self.steps or (1.0,) * stack
        self.units = self.units or ("pixel",) * stack
        if self.um_per_pixel is None:
            self.notes.append("The file states no pixel size: lengths are in pixels.")

    @property
    def name(self) -> str:
        """For layers and folders."""
        name = self.path.name
        ending = next((end for end in _DOUBLE_ENDINGS if name.lower().endswith(end)), "")
        if not ending and (self.path.is_file() or self.path.suffix.lower() == ".zarr"):
            ending = self.path.suffix
        return name[: len(name) - len(ending)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the largest level: (*stack, Y, X, C)."""
        return self.levels[0].shape

    @cached_property
    def identity(self) -> str:
        """A hash of the content (64 hex digits): the same wherever the slide lies and whatever it's called."""
        return self.identify()

    @property
    def associated(self) -> tuple[str, ...]:
        """Names of the small pictures that come with the slide: "label", "macro", "thumbnail"."""
        return tuple(self.pictures)

    def picture(self, name: str) -> NDArray[Any]:
        """Read one of the small pictures that come with the slide.

        Parameters
        ----------
        name : str
            One of `associated`. A label may show a person's name: never shown unasked.

        Returns
        -------
        array, (Y, X, C)

        Raises
        ------
        ImageError
        """
        if name not in self.pictures:
            raise ImageError(f"{self.path.name} holds no picture called {name!r}; it has {list(self.pictures)}")
        return self.pictures[name]()

    def overview(self, side: int = 1024, plane: tuple[int, ...] = ()) -> tuple[NDArray[Any], tuple[float, float]]:
        """Give the whole slide in small, by taking single pixels of the smallest level that is large enough.

        Parameters
        ----------
        side : int
            The longer side is at most this.
        plane : tuple of int
            Index on the stack axes; the first plane where none is given.

        Returns
        -------
        pixels : array, (Y, X, C)
        downsample : (float, float)
            Pixels of level 0 per pixel, along Y and X.
        """
        fitting = [level for level in self.levels if max(level.shape[-3:-1]) >= side]
        level = fitting[-1] if fitting else self.levels[0]
        step = -(-max(level.shape[-3:-1]) // side)
        index = (*(plane or (0,) * len(level.stack_shape)), slice(None, None, step), slice(None, None, step))
        return level[index], (level.downsample[0] * step, level.downsample[1] * step)

    def crop(self, level: int, top: int, left: int, height: int, width: int, plane: tuple[int, ...] = ()) -> Image:
        """Cut a region out, as a picture by itself.

        Parameters
        ----------
        level : int
        top, left, height, width : int
            In pixels of that level; what lies beyond its border is left out.
        plane : tuple of int
            Index on the stack axes; the first plane where none is given.

        Returns
        -------
        Image
            Axes "YXC"; µm as scale where the slide knows it.

        Raises
        ------
        ImageError
            If a tile of the region is damaged, or none of it lies on the slide.
        """
        source = self.levels[level]
        rows, columns = (slice(max(0, at), max(0, at + side)) for at, side in ((top, height), (left, width)))
        pixels = source[(*(plane or (0,) * len(source.stack_shape)), rows, columns)]
        scale, units = (1.0, 1.0), ("pixel", "pixel")
        if self.um_per_pixel:
            fine = self.um_per_pixel
            scale = (fine[0] * source.downsample[0], fine[1] * source.downsample[1])
            units = ("micrometer", "micrometer")
        return Image(pixels, "YXC", scale, units, f"{self.name} y{rows.start} x{columns.start}")

    def close(self) -> None:
        """Close the files; what is asked for afterwards raises `ImageError`."""
        for level in self.levels:
            level.closed = True
        self.levels[0].cache.clear()
        self.opened.close()

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[Path], Slide], tuple[Path]]:
        """A worker process opens the file again: handles don't travel."""
        return _opened_again, (self.path,)


def _opened_again(path: Path) -> Slide:
    from napari_unetsharp.images.slide_open import open_slide

    return open_slide(path)


def stacked_levels(each: Sequence[Tiles], source: str) -> tuple[Level, ...]:
    """Make levels that share one cache; downsamples follow from their sides."""
    cache, sides = TileCache(), each[0].shape[-3:-1]
    ratios = [(sides[0] / tiles.shape[-3], sides[1] / tiles.shape[-2]) for tiles in each]
    return tuple(Level(tiles, cache, place, ratios[place], source) for place, tiles in enumerate(each))


def plain_channels(count: int, dtype: np.dtype[Any]) -> tuple[tuple[Channel, ...], bool]:
    """Colours for three channels of bytes, else numbered ones."""
    if count == 3 and dtype == np.uint8:
        return COLOURS, True
    return tuple(Channel(f"channel {number + 1}") for number in range(count)), False
