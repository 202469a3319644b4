"""From stored grey values to what a network was trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_unetsharp.errors import ImageError, SettingsError
from napari_unetsharp.images.intensity import IMAGENET_DEVIATION, IMAGENET_MEAN, PUBLISHED, Intensity

PLAIN = Intensity(mean=(0.0,), deviation=(1.0,))


def drawn(dtype, shape=(40, 50, 3), top=200, seed=0):
    return (np.random.default_rng(seed).random(shape) * top).astype(dtype)


def standardised(intensity, plane):
    return intensity.apply(plane, intensity.limits(plane))


# The range of the type ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.int16, 32767), (np.uint32, 2**32 - 1)]
)
def test_whole_numbers_are_divided_by_the_largest_there_is(dtype, top):
    plane = np.array([[[0], [top], [top // 5]]], dtype)
    found = standardised(Intensity("range", mean=(0.0,), deviation=(1.0,)), plane)
    assert found.dtype == np.float32
    assert found.ravel().tolist() == pytest.approx([0, 1, (top // 5) / top], abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_real_numbers_are_taken_as_they_are(dtype):
    plane = np.array([[[0.0], [1.0], [0.25]]], dtype)
    assert standardised(Intensity("range", mean=(0.0,), deviation=(1.0,)), plane).ravel().tolist() == [0, 1, 0.25]


def test_booleans_are_zero_and_one():
    plane = np.array([[[False], [True]]])
    assert standardised(Intensity("range", mean=(0.0,), deviation=(1.0,)), plane).ravel().tolist() == [0, 1]


def test_published_files_mean_imagenet():
    plane = drawn(np.uint8)
    wanted = (plane / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(standardised(PUBLISHED, plane), wanted, rtol=1e-5, atol=1e-5)
    assert (PUBLISHED.mean, PUBLISHED.deviation) == (IMAGENET_MEAN, IMAGENET_DEVIATION)


# Percentiles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_the_percentiles_become_zero_and_one(dtype):
    plane = drawn(dtype)
    low, high = PLAIN.limits(plane)
    assert (low, high) == pytest.approx(tuple(np.percentile(plane, (1.0, 99.8))))
    found = PLAIN.apply(plane, (low, high))
    np.testing.assert_allclose(found, (plane.astype(float) - low) / (high - low), atol=1e-5)


@pytest.mark.parametrize(("gain", "offset"), [(3, 0), (1, 50), (250, 1000)])
def test_exposure_does_not_matter(gain, offset):
    plane = drawn(np.uint16)
    brighter = plane * np.uint16(gain) + np.uint16(offset)
    np.testing.assert_allclose(standardised(PLAIN, brighter), standardised(PLAIN, plane), atol=1e-4)


def test_colours_keep_their_balance():
    """One pair of limits for all channels: a blue stain stays blue."""
    plane = drawn(np.uint8) // np.array([1, 2, 4], np.uint8)
    means = standardised(PLAIN, plane).mean((0, 1))
    assert means[0] > 1.5 * means[1] > 2 * means[2]


def test_outliers_are_held():
    plane = drawn(np.float32, (100, 100, 1))
    plane[0, 0], plane[1, 1] = 1e6, -1e6
    found = standardised(PLAIN, plane)
    assert (found.min(), found.max()) == (-0.5, 2.0)


def test_a_tile_is_scaled_as_its_whole():
    plane = drawn(np.uint16)
    limits = PLAIN.limits(plane)
    tile = np.s_[8:24, 16:40]
    np.testing.assert_array_equal(PLAIN.apply(plane[tile], limits), PLAIN.apply(plane, limits)[tile])


def test_mean_and_deviation_are_per_channel_or_one_for_all():
    plane = drawn(np.uint8)
    limits = PLAIN.limits(plane)
    scaled = PLAIN.apply(plane, limits)
    three = Intensity(mean=(0.1, 0.2, 0.3), deviation=(1.0, 2.0, 4.0))
    np.testing.assert_allclose(three.apply(plane, limits), (scaled - [0.1, 0.2, 0.3]) / [1, 2, 4], atol=1e-5)
    np.testing.assert_allclose(Intensity().apply(plane, limits), (scaled - 0.5) / 0.25, atol=1e-5)


def test_large_planes_are_sampled_not_sorted():
    plane = np.tile(np.arange(2000, dtype=np.uint16), (2000, 1))
    low, high = PLAIN.limits(plane)
    assert low == pytest.approx(20, abs=3)
    assert high == pytest.approx(1996, abs=3)


# Pictures with nothing to measure ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64, bool])
@pytest.mark.parametrize("value", [0, 1, 100])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (32, 32, 1)])
def test_constant_pictures_stay_constant_and_finite(dtype, value, shape):
    plane = np.full(shape, value, dtype)
    low, high = PLAIN.limits(plane)
    assert low < high
    found = PLAIN.apply(plane, (low, high))
    np.testing.assert_allclose(found, 0, atol=1e-3)


@pytest.mark.parametrize(("dtype", "level"), [(np.uint8, 20), (np.uint16, 400), (np.float32, 1e4)])
def test_the_noise_of_an_empty_picture_is_not_blown_up(dtype, level):
    plane = (level + np.random.default_rng(1).integers(0, 2, (64, 64, 1))).astype(dtype)
    assert np.ptp(standardised(PLAIN, plane)) < 0.2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_values_that_are_no_numbers_are_an_error_without_a_warning(bad, share):
    plane = drawn(np.float32, (20, 20, 1))
    plane[: max(1, int(20 * share))] = bad
    with pytest.raises(ImageError, match="NaN or infinite"):
        PLAIN.limits(plane)


# Settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intensity", [Intensity(), PUBLISHED, Intensity("percentile", 0.5, 99.0, (1, 2), (3, 4))])
def test_settings_survive_json(intensity):
    assert Intensity.from_dict(json.loads(json.dumps(intensity.as_dict()))) == intensity


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "magic"}, {"low": 99, "high": 1}, {"low": -1}, {"high": 101}, {"low": "a"}, {"mean": []},
        {"mean": [0.5, 0.5]}, {"deviation": [0.0]}, {"deviation": [-1.0]}, {"deviation": [float("nan")]},
        {"mean": [float("inf")]}, {"mean": 0.5}, {"mean": ["a"]}, {"low": float("nan")}, {"gamma": 2},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(SettingsError):
        Intensity.from_dict(values)
