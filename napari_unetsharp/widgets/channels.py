"""How one channel of a slide is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.channel import ChannelSlide, one_channel
from napari_unetsharp.images.slide import Channel, Slide
from napari_unetsharp.images.slide_level import Level

__all__ = ["ChannelSlide", "colour_of", "limits_of", "one_channel"]

_LARGEST = 2**23
"""Values of a level that are looked at whole to find dark and bright."""

_PLACES = 4
_SHARES = (0.5, 99.8)
_TURNS = ((0, 255, 255), (255, 0, 255), (255, 255, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))


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
