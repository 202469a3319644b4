"""One channel of a slide as a slide by itself, and how it's shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.slide import Channel, Slide
from napari_unetsharp.images.slide_cache import TileCache
from napari_unetsharp.images.slide_level import Level
from napari_unetsharp.images.slide_open import open_slide

_LARGEST = 2**23
"""Values of a level that are looked at whole to find dark and bright."""

_PLACES = 4
_SHARES = (0.5, 99.8)
_TURNS = ((0, 255, 255), (255, 0, 255), (255, 255, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))


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


def limits_of(slide: Slide, channel: Channel) -> tuple[float, float]:
    """Values to show as dark and bright, without decoding more than a few tiles of a large level.

    Parameters
    ----------
    slide : Slide
        Of one channel.
    channel : Channel
        Whose window is taken where it has one that makes sense.

    Returns
    -------
    (float, float)
        The second above the first.
    """
    if channel.window is not None and channel.window[0] < channel.window[1]:
        return channel.window
    if slide.levels[0].dtype == np.uint8:
        return 0.0, 255.0
    values = _sampled(slide.levels[-1])
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, _SHARES))
    return low, high if high > low else low + 1.0


def _sampled(level: Level) -> NDArray[Any]:
    """Values of the middle plane: all of a small level, else of some tiles spread over it."""
    plane = tuple(side // 2 for side in level.stack_shape)
    height, width = level.shape[-3:-1]
    if height * width <= _LARGEST:
        return level.region(plane)[0].ravel()
    tall, wide = level.tiles.tile
    found = []
    for place in range(1, _PLACES + 1):
        top, left = height * place // (_PLACES + 1), width * place // (_PLACES + 1)
        for at in (left, width - left):
            row, column = top // tall * tall, at // wide * wide
            found.append(level.region((*plane, slice(row, row + tall), slice(column, column + wide)))[0].ravel())
    return np.concatenate(found)


def colour_of(channel: Channel, number: int, count: int) -> tuple[float, float, float]:
    """Red, green and blue (0 to 1) at the bright end: the file's, else grey for one channel, by turns for several."""
    colour = channel.colour or ((255, 255, 255) if count == 1 else _TURNS[number % len(_TURNS)])
    red, green, blue = (value / 255 for value in colour)
    return red, green, blue
