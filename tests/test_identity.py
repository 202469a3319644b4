"""The same image is the same; any other is not, however alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import identity
from napari_unetsharp.nuclei.identity import Identity, identify


def picture(seed=0, shape=(30, 40, 3)):
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def test_the_same_image_is_the_same_however_it_lies_in_memory():
    pixels = picture().astype("<u2")
    first = identify(pixels, "YXC", {"scale": (0.5, 0.5)})
    for same in (pixels.copy(), pixels.astype(">u2"), np.asfortranarray(pixels), np.repeat(pixels, 2, 0)[::2]):
        assert identify(same, "YXC", {"scale": (0.5, 0.5)}) == first
    assert first.part == "all"
    assert not first.differences(first)


@settings(deadline=None)
@given(st.integers(0, 29), st.integers(0, 39), st.integers(0, 2), st.integers(1, 255))
def test_one_other_value_is_another_image(row, column, channel, more):
    pixels = picture()
    first = identify(pixels, "YXC")
    pixels[row, column, channel] ^= np.uint8(more)
    assert identify(pixels, "YXC").differences(first) == "pixels"


def test_size_type_axes_and_metadata_count():
    grey = picture(shape=(30, 40))
    first = identify(grey, "YX", {"unit": "µm"})
    assert identify(grey.reshape(40, 30), "YX", {"unit": "µm"}).differences(first) == "shape, pixels"
    assert "dtype" in identify(grey.astype(np.uint16), "YX", {"unit": "µm"}).differences(first)
    assert identify(grey, "XY", {"unit": "µm"}).differences(first) == "axes"
    assert identify(grey, "YX", {"unit": "mm"}).differences(first) == "metadata"
    assert identify(grey, "YX").differences(first) == "metadata"


def test_an_identity_survives_json():
    first = identify(picture(), "YXC", {"unit": "µm", "scale": [0.25, 0.25]})
    assert Identity.from_json(json.loads(json.dumps(first.to_json()))) == first
    for broken in ({}, {"shape": "x"}, first.to_json() | {"metadata": [1]}):
        with pytest.raises(ReviewError, match="which image"):
            Identity.from_json(broken)


def test_axes_must_fit():
    for axes in ("YX", "ZYXC", "ZTC"):
        with pytest.raises(ReviewError, match="don't fit"):
            identify(picture(), axes)


class Reading:
    """A pyramid level that counts what is read of it."""

    def __init__(self, pixels):
        self.pixels, self.shape, self.dtype, self.read = pixels, pixels.shape, pixels.dtype, 0

    def __getitem__(self, key):
        part = self.pixels[key]
        self.read += part.size
        return part


def test_a_large_image_is_known_by_its_smallest_level_and_fixed_tiles(monkeypatch):
    monkeypatch.setattr(identity, "WHOLE", 10**6)
    large, small = np.zeros((3000, 4000), np.uint8), np.zeros((30, 40), np.uint8)
    level = Reading(large)
    first = identify([level, small], "YX")
    assert first.part == "tiles"
    assert level.read <= 25 * 256**2
    assert identify([large.copy(), small], "YX") == first
    for row, column in ((0, 0), (2999, 3999), (1500, 2000), (0, 3999)):
        large[row, column] = 1
        assert identify([large, small], "YX").differences(first) == "pixels"
        large[row, column] = 0
    small[12, 13] = 1
    assert identify([large, small], "YX").differences(first) == "pixels"


def test_a_large_stack_is_known_by_planes_of_its_beginning_middle_and_end(monkeypatch):
    monkeypatch.setattr(identity, "WHOLE", 1000)
    stack = np.zeros((5, 300, 300), np.uint8)
    first = identify(stack, "ZYX")
    for plane in (0, 2, 4):
        stack[plane, 150, 150] = 1
        assert identify(stack, "ZYX") != first
        stack[plane] = 0


def test_large_images_are_read_in_bands(monkeypatch):
    monkeypatch.setattr(identity, "CHUNK", 1000)
    pixels = picture()
    banded = identify(Reading(pixels), "YXC")
    monkeypatch.undo()
    assert identify(pixels, "YXC") == banded
