"""Doubt is where the views disagree, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.nuclei.doubt import doubt_map, max_pool

SCALES = (2, 4, 8, 16)
planes = drawn.arrays(np.uint8, drawn.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@settings(deadline=None, derandomize=True)
@given(planes, st.sampled_from(SCALES))
def test_max_pooling_takes_the_largest_of_each_cell(values, scale):
    pooled = max_pool(values, scale)
    assert pooled.shape == tuple(-(-side // scale) for side in values.shape)
    assert pooled.dtype == values.dtype
    mirrored = np.pad(values, [(0, scale)] * 2, mode="symmetric")
    for row, column in np.ndindex(pooled.shape):
        cell = mirrored[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
        assert pooled[row, column] == cell.max()


@pytest.mark.parametrize("shape", [(64, 48), (61, 35), (7, 5), (1, 1)])
def test_a_perfect_network_leaves_no_doubt(shape):
    truth = np.random.default_rng(0).integers(0, 2, shape).astype(np.float16)
    coarse = {scale: max_pool(truth, scale) for scale in SCALES}
    doubt = doubt_map(truth, [truth] * 3, coarse)
    assert doubt.dtype == np.float16
    assert doubt.shape == shape
    assert not doubt.any()


def test_a_perfect_network_leaves_no_doubt_through_the_predictor():
    picture = discs((150, 117), [(20, 20), (70, 60), (110, 100), (149, 10)], 9)
    predictor = Predictor(seeing_brightness(), "cpu", tile=224)
    prediction = predictor.predict(np.repeat(picture[..., np.newaxis], 3, axis=2))
    assert prediction.full["x04"].max() > 0.99
    assert prediction.doubt.max() < 0.01


@pytest.mark.parametrize("view", ["x02", *SCALES])
def test_a_disagreement_is_where_it_is(view):
    truth = discs((64, 80), [(20, 20), (40, 60)], 8).astype(np.float16) / 255
    shallower = [truth.copy() for _ in range(3)]
    coarse = {scale: max_pool(truth, scale) for scale in SCALES}
    missed = np.zeros(truth.shape, bool)
    if view == "x02":
        missed[32:48, 48:72] = True
        shallower[1][missed] = 0
        expected = truth * missed / 7
    else:
        cells = np.zeros(coarse[view].shape, bool)
        cells[32 // view : 48 // view, 48 // view : 64 // view] = True
        missed = cells.repeat(view, 0).repeat(view, 1)
        expected = np.where(cells, coarse[view], 0).repeat(view, 0).repeat(view, 1) / 7
        coarse[view] = np.where(cells, 0, coarse[view])
    doubt = doubt_map(truth, shallower, coarse)
    assert doubt[missed].max() > 0.1
    assert not doubt[~missed].any()
    np.testing.assert_allclose(doubt, expected, atol=1e-3)


def test_total_disagreement_is_one():
    ones = np.ones((20, 20), np.float16)
    doubt = doubt_map(ones, [ones * 0] * 3, {scale: max_pool(ones * 0, scale) for scale in SCALES})
    np.testing.assert_array_equal(doubt, 1)


def test_a_blind_branch_is_doubted_where_the_nuclei_are():
    picture = discs((96, 96), [(30, 30), (70, 70)], 8)
    predictor = Predictor(seeing_brightness({"x02": 2.0}), "cpu")
    doubt = predictor.predict(np.repeat(picture[..., np.newaxis], 3, axis=2)).doubt
    np.testing.assert_allclose(doubt, np.where(picture > 100, 1 / 7, 0), atol=0.01)


@pytest.mark.parametrize(
    ("level", "branches", "views"),
    [(1, None, 0), (2, None, 1), (4, ("x04",), 0), (4, ("x01", "x03"), None), (4, ("x13", "x04"), 1),
     (4, ("x01", "x04", "x40"), 2)],
)  # fmt: skip
def test_doubt_needs_the_deepest_view_and_another(level, branches, views):
    picture = np.zeros((40, 50, 3), np.uint8)
    picture[10:20, 10:20] = 255
    blind = {"x01": 2.0, "x13": 2.0, "x40": 2.0} if level == 4 else {"x01": 2.0}
    doubt = Predictor(seeing_brightness(blind), "cpu", level, branches).predict(picture).doubt
    if not views:
        assert doubt is None
        return
    assert doubt[15, 15] > 0.99  # all others miss it
    assert doubt[39, 49] < 0.01


def test_doubt_of_a_region_stays_in_it():
    picture = discs((96, 240), [(30, 30), (70, 200)], 8)
    predictor = Predictor(seeing_brightness({"x02": 2.0}), "cpu", 3, tile=144)
    prediction = predictor.predict(np.repeat(picture[..., np.newaxis], 3, axis=2), Region(0, 0, 64, 64))
    doubt = prediction.doubt
    assert doubt[30, 30] > 0.4
    assert not doubt[~prediction.computed].any()
