"""Resampling to a model's scale and back: right, and the same whatever the tiling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import immunohistochemistry
from small_networks import discs, one_thread, seeded, seeing_brightness  # noqa: F401

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.scaling import ModelScale, interpolation, magnification, nearest, resized
from napari_unetsharp.inference.tiling import Region, plan_tiles
from napari_unetsharp.network.upconv import Window

sides = st.integers(1, 70)


@given(new=sides, old=sides)
@settings(deadline=None, max_examples=150)
def test_weights_are_those_of_torch(new, old):
    """Bilinear, smoothed where it shrinks, is what training crops go through."""
    first, weights = interpolation(np.arange(new), new, old)
    dense = np.zeros((new, old), np.float32)
    dense[:, first : first + weights.shape[1]] = weights
    line = np.random.default_rng(new * 71 + old).random((old, 4)).astype(np.float32)  # torch 2.13 errs at a width of 1
    expected = resized(line, (new, 4))
    np.testing.assert_allclose(dense @ line, expected, atol=1e-5)


@given(new=st.integers(2, 70), old=sides, seed=st.integers(0, 9))
@settings(deadline=None, max_examples=100)
def test_a_row_has_its_weights_whichever_others_are_asked(new, old, seed):
    rows = np.random.default_rng(seed).permutation(new)[: max(1, new // 3)]
    line = np.random.default_rng(seed).random(old).astype(np.float32)
    (first, few), (start, every) = interpolation(rows, new, old), interpolation(np.arange(new), new, old)
    some = few @ line[first : first + few.shape[1]]
    whole = every @ line[start : start + every.shape[1]]
    np.testing.assert_allclose(some, whole[rows], atol=1e-6)


@given(height=st.integers(1, 200), width=st.integers(1, 200), factor=st.floats(0.13, 4.0))
@settings(deadline=None, max_examples=60)
def test_cores_cover_the_plane_once(height, width, factor):
    scale = ModelScale.of((height, width), factor)
    covered = np.zeros((height, width), int)
    for plan in plan_tiles(scale.model, None, 1, 80):
        core = scale.core(plan.core)
        if core is not None:
            assert core == core.within((height, width))
            covered[core.slices] += 1
    assert (covered == 1).all()


@given(height=st.integers(2, 300), width=st.integers(2, 300), factor=st.floats(0.13, 4.0), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_a_region_is_held_by_its_cores(height, width, factor, seed):
    rng = np.random.default_rng(seed)
    top, left = int(rng.integers(height)), int(rng.integers(width))
    region = Region(top, left, int(rng.integers(1, height - top + 1)), int(rng.integers(1, width - left + 1)))
    scale = ModelScale.of((height, width), factor)
    covered = np.zeros((height, width), bool)
    for plan in plan_tiles(scale.model, scale.region(region), 1, 80):
        core = scale.core(plan.core)
        if core is not None:
            covered[core.slices] = True
    assert covered[region.slices].all()


@pytest.mark.parametrize("factor", [0.4, 0.77, 1.0, 1.6, 3.1])
def test_there_and_back_is_the_picture_again(factor):
    """A smooth picture survives, to within what bilinear interpolation of a gentle wave loses."""
    rows, columns = np.mgrid[:90, :70]
    plane = (np.sin(rows / 12) * np.cos(columns / 15)).astype(np.float32)[..., None]
    scale = ModelScale.of(plane.shape, factor)
    window = Window.whole(*(-(-side // 16) * 16 for side in scale.model))
    there = scale.read(plane, window)
    again = scale.back(there[..., 0], window, Region(0, 0, 90, 70))
    assert np.abs(again - plane[..., 0])[6:-6, 6:-6].max() < 0.05


@pytest.mark.parametrize(("factor", "tile", "level"), [(0.7, 112, 2), (1.4, 240, 4), (2.3, 112, 2)])
def test_tiled_equals_whole_at_another_scale(factor, tile, level):
    tissue = immunohistochemistry()[100:280, 150:330]
    checkpoint = seeded(tissue, 1)
    checkpoint = replace(checkpoint, metadata=replace(checkpoint.metadata, nucleus_size=20.0))
    whole, tiled = (
        Predictor(checkpoint, "cpu", level, tile=side).predict(tissue, nucleus_size=20 / factor)
        for side in (4096, tile)
    )
    assert len(plan_tiles(ModelScale.of(tissue.shape, factor).model, None, level, tile)) > 1
    for name, values in whole.full.items():
        assert values.shape == tissue.shape[:2]
        difference = np.abs(values.astype(np.float32) - tiled.full[name].astype(np.float32))
        assert np.percentile(difference, 99.9) <= 0.01, name
    assert whole.computed.all()
    assert tiled.computed.all()
    np.testing.assert_allclose(whole.doubt.astype(float), tiled.doubt.astype(float), atol=0.01)


@pytest.mark.parametrize("size", [8.0, 20.0, 55.0])
def test_nuclei_stay_where_they_are_at_any_scale(size):
    """The network sees discs of 20 px; what comes back covers the discs of the picture."""
    grey = discs((130, 170), [(40, 40), (90, 120)], size / 2)
    checkpoint = seeing_brightness(in_channels=1)
    checkpoint = replace(checkpoint, metadata=replace(checkpoint.metadata, nucleus_size=20.0))
    prediction = Predictor(checkpoint, "cpu", 1).predict(grey, nucleus_size=size)
    found, truth = prediction.full["x01"] > 0.5, grey > 100
    both = np.count_nonzero(found & truth) / np.count_nonzero(found | truth)
    assert both > 0.85
    plain = Predictor(seeing_brightness(in_channels=1), "cpu", 1).predict(grey, nucleus_size=size)
    np.testing.assert_array_equal(
        plain.full["x01"] > 0.5, truth
    )  # a checkpoint without a size takes images as they are


@pytest.mark.parametrize("size", [0, -3, np.nan, np.inf])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(SettingsError, match="diameter in pixels above 0"):
        Predictor(seeing_brightness(), "cpu", 1).predict(np.zeros((20, 20, 3), np.uint8), nucleus_size=size)


def test_magnification_has_limits():
    assert magnification(20, 20) == 1
    assert magnification(20, 10) == 2
    assert magnification(20, 1) == 4
    assert magnification(20, 1000) == 1 / 8


def test_labels_take_the_pixel_under_their_centre():
    labels = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(nearest(labels, (4, 4)), np.kron(labels, np.ones((2, 2), int)))
    np.testing.assert_array_equal(nearest(np.kron(labels, np.ones((3, 3), int)), (2, 2)), labels)
