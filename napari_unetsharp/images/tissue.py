"""Where tissue is on a slide: a quick look at a small picture of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

Rectangle = tuple[int, int, int, int]
"""Top, left, bottom and right, the last ones left out."""

BRIGHT = 0.3
"""Mean brightness, of 0 to 1, from which a colour picture of bytes is taken for bright field."""

_WHITE = 0.5
"""Median of other pictures, as a share of their brightest, from which they may be bright field."""

FAINTEST, SUREST = 15.0, 30.0
"""Grey values of 255 that the palest tissue takes from the light; what takes more than the second is tissue."""

_GLASS, _NEUTRAL = 190, 25
"""Darkest channel, and spread of the channels, of what may be empty glass."""

_FOUND = 0.04
"""Share of the range of a fluorescence slide, from its darkest to its brightest, above which tissue glows."""

_SMALLEST_UM = {True: 60.0, False: 6.0}
"""Side of the smallest piece of tissue, in bright field and else: dust takes light too, but only cells glow."""

_AROUND_UM, _HOLE_UM = 50.0, 300.0
"""What is added around tissue, and the side of holes that are filled."""

_DUST = 0.002
"""Share of a block up to which it counts as empty."""


@dataclass(frozen=True)
class Tissue:
    """Where a slide is worth looking at.

    Attributes
    ----------
    mask : array of bool, (y, x)
    downsample : (float, float)
        Pixels of level 0 per pixel of the mask, along Y and X.
    """

    mask: NDArray[np.bool_]
    downsample: tuple[float, float]

    def meets(self, box: Rectangle) -> bool:
        """Whether any tissue lies in a box (top, left, bottom, right) of level 0."""
        return bool(self.mask[self._cells(box)].any())

    @property
    def share(self) -> float:
        """Of the slide, 0 to 1."""
        return float(self.mask.mean()) if self.mask.size else 0.0

    @property
    def hash(self) -> str:
        """SHA-256 of the mask and its place, 64 hex digits."""
        text = f"{self.mask.shape} {self.downsample}".encode()
        return hashlib.sha256(text + np.packbits(self.mask).tobytes()).hexdigest()

    def _cells(self, box: Rectangle) -> tuple[slice, slice]:
        """Pixels of the mask that a box touches; the last ones reach to the slide's border."""
        spans = []
        for start, stop, step, side in zip(box[:2], box[2:], self.downsample, self.mask.shape, strict=True):
            first = min(math.floor(max(0, start) / step), side - 1)
            spans.append(slice(first, max(first + 1, math.ceil(stop / step)) if stop > start else first))
        return spans[0], spans[1]


@dataclass(frozen=True)
class TissueLook:
    """How tissue differs from its surroundings on one slide, as measured on a sample of its pixels.

    Attributes
    ----------
    bright_field : bool
        Tissue takes light from a bright background; else it glows on a dark one.
    background : tuple of float
        Of each channel that counts, in grey values.
    threshold : float
        Difference from the background, in grey values, from which on it is tissue; infinite where there is none.
    scale : float
        What grey values are multiplied by before all this.
    """

    bright_field: bool
    background: tuple[float, ...]
    threshold: float
    scale: float = 1.0

    @classmethod
    def of(cls, pixels: NDArray[np.generic], rgb: bool | None = None) -> TissueLook:
        """Measure a sample.

        Parameters
        ----------
        pixels : array, (Y, X, C), any real dtype
            An overview, or pieces of the slide side by side.
        rgb : bool, optional
            Whether the channels are colours, of which the first three count; otherwise all do. Bytes are taken for
            colours where it isn't known.

        Returns
        -------
        TissueLook
        """
        flat = pixels.reshape(-1, pixels.shape[-1])
        if rgb or (rgb is None and pixels.dtype == np.uint8):
            flat = flat[:, :3]
        seen = flat[flat.any(axis=1)]  # what a scanner left out is 0 in every channel
        if len(seen) < 2:
            return cls(False, (0.0,) * flat.shape[1], math.inf)
        if pixels.dtype == np.uint8 and flat.shape[1] == 3 and seen.mean() > 255 * BRIGHT:
            return cls._of_stained(seen)
        if flat.shape[1] in (1, 3) and (white := _white(seen)):
            return cls._of_stained(seen.astype(np.float32) * (255 / white), 255 / white)
        return cls._of_glowing(seen)

    @classmethod
    def _of_stained(cls, seen: NDArray[np.generic], scale: float = 1.0) -> TissueLook:
        seen = seen.astype(np.int16)
        darkest, spread = seen.min(axis=1), np.ptp(seen, axis=1)
        glass = seen[(darkest >= _GLASS) & (spread <= _NEUTRAL)]
        background = np.array([245.0] * seen.shape[1])
        if len(glass) > 0.002 * len(seen):
            background = np.median(glass[glass.min(axis=1) >= np.percentile(glass.min(axis=1), 50)], axis=0)
        lost = (background - seen).max(axis=1)
        threshold = threshold_otsu(lost) if np.ptp(lost) else SUREST
        return cls(True, tuple(map(float, background)), float(np.clip(threshold, FAINTEST, SUREST)), scale)

    @classmethod
    def _of_glowing(cls, seen: NDArray[np.generic]) -> TissueLook:
        values = seen.astype(np.float32)
        background, threshold = [], math.inf
        for channel in values.T:
            low, middle, high = (float(value) for value in np.percentile(channel, (1, 50, 99.9)))
            background.append(low)
            if high - low < _noise(seen.dtype, low, high) or _only_noise(channel, low, middle, high):
                continue
            threshold = min(threshold, _FOUND * (high - low) + max(0.0, min(middle - low, _FOUND * (high - low))))
        return cls(False, tuple(background), threshold)

    def shows(self, pixels: NDArray[np.generic], smooth: float = 1.5) -> NDArray[np.bool_]:
        """Find tissue in a picture of this slide, pixel by pixel.

        Parameters
        ----------
        pixels : array, (Y, X, C)
        smooth : float
            Width of the smoothing against single odd pixels, in pixels.

        Returns
        -------
        array of bool, (Y, X)
        """
        colours = pixels[..., : len(self.background)].astype(np.float32) * np.float32(self.scale)
        scanned = colours.any(axis=-1)
        away = colours - np.array(self.background, np.float32)
        difference = (-away if self.bright_field else away).max(axis=-1)
        inked = self.bright_field and colours.shape[-1] == 3
        counted = scanned & ~pen(colours) if inked else scanned
        difference[~counted] = 0
        return np.asarray((ndimage.gaussian_filter(difference, smooth) > self.threshold) & counted)

    def is_in(self, pixels: NDArray[np.generic]) -> bool:
        """Whether more than dust is in a part of the slide, (Y, X, C), as it is at full resolution."""
        return float(self.shows(pixels[::4, ::4], 2.0).mean()) > _DUST


def tissue_mask(
    pixels: NDArray[np.generic], um_per_pixel: float | None = None, rgb: bool | None = None
) -> NDArray[np.bool_]:
    """Find tissue on an overview, in bright field (stained) or fluorescence.

    Small pieces (dust) are left out, small holes filled, and a rim is added. Pen marks in green, blue and black are
    left out of bright field. Empty glass gives nothing.

    Parameters
    ----------
    pixels : array, (Y, X, C), any real dtype
    um_per_pixel : float, optional
        Of the overview.
    rgb : bool, optional
        As in `TissueLook.of`.

    Returns
    -------
    array of bool, (Y, X)
    """
    look = TissueLook.of(pixels, rgb)
    found = look.shows(pixels)
    longest = max(pixels.shape[:2])
    um = um_per_pixel or 20_000 / longest  # a section is about 2 cm long
    smallest = max(4.0, min((_SMALLEST_UM[look.bright_field] / um) ** 2, 1e-3 * found.size))
    found = _without_small(found, smallest)
    found = ~_without_small(~found, min((_HOLE_UM / um) ** 2, 1e-2 * found.size))
    rim = int(np.clip(round(_AROUND_UM / um), 1, 8))
    return np.asarray(ndimage.binary_dilation(found, iterations=rim))


def pen(colours: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Marks of a green, blue or black pen, (Y, X), in colours of 0 to 255, (Y, X, 3).

    Stains of tissue let more red than green pass, or nearly; the ink of these pens doesn't.
    """
    red, green, blue = (ndimage.uniform_filter(colours[..., channel], 3) for channel in range(3))
    strongest, weakest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    is_green = (green > red + 25) & (green > blue - 15)
    is_blue = (blue > red + 60) & (green > red + 5)
    is_black = (strongest < 70) & (strongest - weakest < 20)
    return np.asarray(ndimage.binary_dilation(is_green | is_blue | is_black, iterations=2))


def _white(seen: NDArray[np.generic]) -> float:
    """Grey value of the brightest of a bright field picture; 0 where it isn't one.

    Light is what most of it has, and tissue takes some: the median is bright and dark values reach farther from it
    than bright ones do. Glass alone is nearly even. What glows on a dark ground is the other way round.
    """
    values = seen.astype(np.float32)
    low, middle, high = (float(value) for value in np.percentile(values.mean(axis=1), (0.1, 50, 99.9)))
    if middle < _WHITE * high:
        return 0.0
    taken, glowing = middle - low, high - middle
    is_bright = taken > 1.3 * glowing or (high - low < 0.1 * high and glowing <= 2 * taken)
    return float(np.percentile(values, 99.9)) if is_bright else 0.0


def _noise(dtype: np.dtype[np.generic], low: float, high: float) -> float:
    """Range of grey values below which nothing is told apart."""
    if dtype.kind in "ui":
        return 8.0 if dtype.itemsize == 1 else 16.0
    return max(1e-3 * max(abs(low), abs(high)), 1e-6)


def _only_noise(channel: NDArray[np.float32], low: float, middle: float, high: float) -> bool:
    """Whether the values lie about as far above their middle as below it, in one heap."""
    if high - middle > 2 * (middle - np.percentile(channel, 0.1)):
        return False
    split = channel > threshold_otsu(channel)
    share = float(split.mean())
    between = share * (1 - share) * float(channel[split].mean() - channel[~split].mean()) ** 2
    return between < 0.7 * float(channel.var())  # 2 / pi for a normal distribution, 3 / 4 for an even one


def _without_small(mask: NDArray[np.bool_], smallest: float) -> NDArray[np.bool_]:
    numbers, count = ndimage.label(mask)
    large = np.bincount(numbers.ravel(), minlength=count + 1) >= smallest
    large[0] = False
    return np.asarray(large[numbers])
