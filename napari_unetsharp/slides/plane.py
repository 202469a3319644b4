"""A plane of a slide on the result grid, read only where it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.image import adapt_channels
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_level import Level

_STRIP_BYTES = 2**25
"""Pixels of a finer level that are decoded at once when they are averaged."""


class SlidePlane:
    """A lazy array (Y, X, C), sliced ``plane[y0:y1, x0:x1]``, of which one pixel is one of the result grid.

    Parameters
    ----------
    slide : Slide
    downsample : int
        Pixels of level 0 per pixel; a power of 2.
    index : tuple of int
        On the slide's stack axes; the first plane where none is given.
    channels : int
        That the network takes.

    Attributes
    ----------
    shape : tuple of int
        (Y, X, channels); sides are rounded up, the last pixels may stand for fewer of level 0.
    dtype : dtype
        Of the slide.
    source : Level
        The coarsest that is fine enough.
    ratio : int
        Pixels of `source` per pixel along each side, averaged.
    note : str
        What was done to the channels, a sentence; empty where they fit.
    """

    ndim = 3

    def __init__(self, slide: Slide, downsample: int = 1, index: tuple[int, ...] = (), channels: int = 3) -> None:
        sides = slide.shape[-3:-1]
        self.source, self.ratio = source_of(slide, downsample)
        self.shape = (-(-sides[0] // downsample), -(-sides[1] // downsample), channels)
        self.dtype = slide.levels[0].dtype
        self._index = index or (0,) * len(self.source.stack_shape)
        self._colours = slide.rgb or slide.shape[-1] == 3
        self.note = adapt_channels(np.empty((1, 1, slide.shape[-1]), self.dtype), channels, self._colours)[1]

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        """Decode a part; raises `ImageError` where a tile of it is damaged."""
        (top, bottom, _), (left, right, _) = (part.indices(side) for part, side in zip(key, self.shape, strict=False))
        pixels = self._exact(top, bottom, left, right) if self.ratio == 1 else self._averaged(top, bottom, left, right)
        missing = (bottom - top - pixels.shape[0], right - left - pixels.shape[1])
        if max(missing) > 0:  # a coarse level may lack the last row, which stands for less than a whole pixel
            pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        return adapt_channels(pixels, self.shape[2], self._colours)[0]

    def _exact(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        height, width = self.source.shape[-3:-1]
        return self.source[(*self._index, slice(min(top, height - 1), bottom), slice(min(left, width - 1), right))]

    def _averaged(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        """Means of `ratio` x `ratio` pixels, strip by strip."""
        ratio, channels = self.ratio, self.source.shape[-1]
        row_bytes = (right - left) * ratio**2 * channels * 4
        step = max(1, _STRIP_BYTES // max(1, row_bytes))
        strips = [
            self._mean(slice(row, min(bottom, row + step)), slice(left, right)) for row in range(top, bottom, step)
        ]
        return np.concatenate(strips) if strips else np.zeros((0, right - left, channels), np.float32)

    def _mean(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        ratio = self.ratio
        key = tuple(slice(part.start * ratio, part.stop * ratio) for part in (rows, columns))
        fine = self.source[(*self._index, *key)]
        height, width = -(-fine.shape[0] // ratio), -(-fine.shape[1] // ratio)
        lacking = (height * ratio - fine.shape[0], width * ratio - fine.shape[1])
        if max(lacking) > 0:
            fine = np.pad(fine, ((0, lacking[0]), (0, lacking[1]), (0, 0)), mode="edge")
        cells = fine.reshape(height, ratio, width, ratio, fine.shape[-1])
        return np.asarray(cells.mean(axis=(1, 3), dtype=np.float32))


def source_of(slide: Slide, downsample: int) -> tuple[Level, int]:
    """The level to read a result grid from, and how many of its pixels make one of the grid along each side.

    Levels whose sides aren't those of level 0 divided by a power of 2 would shift the grid, and aren't taken.

    Parameters
    ----------
    slide : Slide
    downsample : int
        A power of 2.

    Returns
    -------
    level : Level
    ratio : int
    """
    whole = slide.shape[-3:-1]
    for level in reversed(slide.levels):
        coarse = 1
        while coarse <= downsample:
            sides = level.shape[-3:-1]
            if all(abs(side * coarse - full) < coarse for side, full in zip(sides, whole, strict=True)):
                return level, downsample // coarse
            coarse *= 2
    return slide.levels[0], downsample
