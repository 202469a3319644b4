"""Channels of a picture are fitted to a network by what they are: colours, or stains of their own."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_slides import slide_of

from napari_unetsharp.images.image import adapt_channels
from napari_unetsharp.slides.plane import SlidePlane


def drawn(channels: int, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 200, (40, 50, channels)).astype(dtype)


@pytest.mark.parametrize(
    ("given", "wanted", "source", "said"),
    [
        (4, 3, [0, 0, 0], "first of 4 channels was repeated"),
        (4, 1, [0], "first of 4 channels was taken"),
        (3, 1, [0], "first of 3 channels was taken"),
        (2, 1, [0], "first of 2 channels was taken"),
        (1, 3, [0, 0, 0], "one channel was repeated"),
        (1, 1, [0], ""),
        (3, 3, [0, 1, 2], ""),
    ],
)
def test_stains_are_neither_colours_nor_transparency(given: int, wanted: int, source: list[int], said: str) -> None:
    plane = drawn(given)
    fitted, note = adapt_channels(plane, wanted, colours=False)
    np.testing.assert_array_equal(fitted, plane[..., source])
    assert said in note
    assert bool(said) == bool(note)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_fourth_channel_of_a_slide_is_no_transparency(dtype: type) -> None:
    pixels = drawn(4, dtype)
    plane = SlidePlane(slide_of(pixels))
    assert "first of 4 channels" in plane.note
    np.testing.assert_array_equal(plane[5:20, 7:30], np.repeat(pixels[5:20, 7:30, :1], 3, axis=-1))


def test_colours_of_16_bits_are_still_colours() -> None:
    pixels = drawn(3)
    assert SlidePlane(slide_of(pixels)).note == ""
    averaged = SlidePlane(slide_of(pixels), channels=1)
    assert "averaged" in averaged.note
    assert np.abs(averaged[:40, :50][..., 0] - pixels.mean(axis=-1)).max() <= 1
