"""One channel of several: a slide or picture of it alone, and which one shows the nuclei."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.pyramid_described import described
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_cache import TileCache
from napari_unetsharp.images.slide_level import Level
from napari_unetsharp.images.slide_open import open_slide

_NUCLEAR = re.compile(r"dapi|hoechst|nucle(?:us|i|ar)|(?<![a-z])dna(?![a-z])", re.IGNORECASE)
_NUMBERED = re.compile(r"channel \d+|red|green|blue", re.IGNORECASE)


class _OneChannel:
    """Tiles of one channel, from those that the whole slide keeps; its files stay open as long as they're used."""

    together = 1

    def __init__(self, whole: Slide, level: Level, number: int) -> None:
        self._whole, self._level, self._number = whole, level, number
        self.shape, self.dtype, self.tile = (*level.shape[:-1], 1), level.dtype, level.tiles.tile

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        """Decode one tile; see `slide_level.Tiles`."""
        rows, columns = (slice(at * side, (at + 1) * side) for at, side in zip((row, column), self.tile, strict=True))
        pixels, damaged = self._level.region((*plane, rows, columns, slice(self._number, self._number + 1)))
        if damaged:
            raise ImageError(damaged[0].reason)
        return pixels


@dataclass
class ChannelSlide(Slide):
    """A slide of one channel; `number` is the channel's in the file, `whole` the slide with all of them."""

    number: int = 0
    whole: Slide | None = None

    def __reduce__(self) -> tuple[Callable[..., Slide], tuple[Path, int]]:  # type: ignore[override]
        """A worker process opens the file again."""
        return _opened_again, (self.path, self.number)


def _opened_again(path: Path, number: int) -> Slide:
    whole = open_slide(path)
    made = one_channel(whole, number)
    made.opened.callback(whole.close)
    return made


def one_channel(slide: Slide, number: int) -> ChannelSlide:
    """Give a slide of one channel alone; the given one stays open as long as it's used.

    Parameters
    ----------
    slide : Slide
    number : int
        Of the channel, from 0.

    Returns
    -------
    ChannelSlide
        With an identity of its own.
    """
    nothing = TileCache(0)  # the whole slide keeps the tiles
    levels = tuple(
        Level(_OneChannel(slide, level, number), nothing, level.place, level.downsample, level.source)
        for level in slide.levels
    )

    def identify() -> str:
        return hashlib.sha256(f"{slide.identity} channel {number}".encode()).hexdigest()

    made = ChannelSlide(
        slide.path, slide.kind, levels, slide.axes, (slide.channels[number],), False, identify, slide.um_per_pixel,
        slide.steps, slide.units, slide.vendor, slide.objective, slide.bounds, number=number, whole=slide,
    )  # fmt: skip
    made.notes = list(slide.notes)
    return made


def slide_channel(slide: Slide, said: str) -> Slide:
    """Give a slide as a network of one picture takes it: its colours, or the channel asked for.

    Parameters
    ----------
    slide : Slide
    said : str
        Name of a channel, or its number from 1; empty for the one that shows nuclei by its name, else the first.

    Returns
    -------
    Slide
        The given one where it has one channel, or colours and no channel was asked for.

    Raises
    ------
    ImageError
        If there is no such channel.
    """
    names = [channel.name for channel in slide.channels]
    number, note = _chosen(names, slide.rgb, slide.levels[0].dtype, said, slide.path.name)
    if number is None:
        return slide
    made = one_channel(slide, number)
    made.notes += note
    return made


def picture_channel(image: Image, path: Path, said: str) -> Image:
    """Give a picture as `slide_channel` does a slide; raises `ImageError`.

    Parameters
    ----------
    image : Image
        With its pixels in memory.
    path : Path
        The file that it was read from: it tells colours from channels, and their names.
    said : str
    """
    count = int(image.pixels.shape[-1]) if image.axes.endswith("C") else 1
    told = _told(path, count) if count > 1 else []
    names = told or [f"channel {number + 1}" for number in range(count)]
    number, note = _chosen(names, not told, image.pixels.dtype, said, path.name)
    if number is None:
        return image
    return replace(image, pixels=image.pixels[..., number : number + 1], notes=[*image.notes, *note])


def _told(path: Path, count: int) -> list[str]:
    """Names of the channels of a TIFF; none where its samples are colours, or the file is of another kind."""
    try:
        with tifffile.TiffFile(path) as file:
            if "C" not in file.series[0].axes or "S" in file.series[0].axes:
                return []
            names = [channel.name for channel in described(file, [file.pages.first]).channels]
    except tifffile.TiffFileError:
        return []
    return names if len(names) == count else [f"channel {number + 1}" for number in range(count)]


def _chosen(
    names: Sequence[str], rgb: bool, dtype: np.dtype[Any], said: str, file: str
) -> tuple[int | None, list[str]]:  # fmt: skip
    """Choose a channel, from 0, and what is to be told of it; None for all that there are."""
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    if said:
        lower = [name.casefold() for name in names]
        number = int(said) - 1 if said.isdecimal() else lower.index(said.casefold()) if said.casefold() in lower else -1
        if not 0 <= number < len(names):
            raise ImageError(f"{file} has no channel {said}; it has {listed}")
        return number if len(names) > 1 else None, []
    unnamed = all(_NUMBERED.fullmatch(name) for name in names)
    colours = rgb or (unnamed and (len(names) == 3 or (len(names) == 4 and dtype == np.uint8)))
    if len(names) == 1 or colours:
        return None, []
    number = next((at for at, name in enumerate(names) if _NUCLEAR.search(name)), 0)
    return number, [
        f"Only channel {number + 1} ({names[number]}) of {len(names)} was run; "
        f"--channel or a manifest can name another one ({listed})."
    ]
