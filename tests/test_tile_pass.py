"""Orientations, accurate mode and cores of one tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import immunohistochemistry
from small_networks import one_thread, seeded, seeing_brightness  # noqa: F401

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tile_pass import ORIENTATIONS, turned, turned_window
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.network.upconv import Window

TISSUE = immunohistochemistry()[60:188, 100:212]


@pytest.fixture(scope="module")
def checkpoint():
    return seeded(TISSUE, 3)


@pytest.mark.parametrize("orientation", range(8))
def test_every_turn_has_its_way_back(orientation):
    values = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert torch.equal(turned(turned(values, orientation), orientation, back=True), values)


def test_the_eight_turns_differ():
    values = torch.arange(36.0).reshape(6, 6)
    assert len({tuple(turned(values, orientation).flatten().tolist()) for orientation in range(8)}) == 8


@given(st.integers(0, 7), st.integers(0, 3), st.integers(0, 2), st.integers(1, 3), st.integers(1, 3))
def test_a_window_turns_with_its_plane(orientation, top, left, height, width):
    whole = torch.arange(7 * 6).reshape(7, 6)
    window = Window(top, left, height, width, 7, 6)
    part = whole[top : top + height, left : left + width]
    seen = turned_window(window, orientation)
    around = turned(whole, orientation)
    assert tuple(around.shape) == (seen.whole_height, seen.whole_width)
    found = around[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
    assert torch.equal(found, turned(part, orientation))


@pytest.mark.parametrize("count", ORIENTATIONS)
def test_orientations_are_averaged(checkpoint, count):
    """Turn the picture by hand, run it plainly, turn the maps back, average."""
    averaged = Predictor(checkpoint, "cpu", orientations=count).predict(TISSUE)
    plain = Predictor(checkpoint, "cpu")
    turned_back = []
    for orientation in range(count):
        picture = turned(torch.from_numpy(TISSUE).permute(2, 0, 1), orientation).permute(1, 2, 0).numpy()
        maps = plain.predict(np.ascontiguousarray(picture)).full
        turned_back.append(
            {
                name: turned(torch.from_numpy(values.astype(np.float32)), orientation, back=True).numpy()
                for name, values in maps.items()
            }
        )
    for name, values in averaged.full.items():
        expected = np.mean([maps[name] for maps in turned_back], axis=0)
        np.testing.assert_allclose(values.astype(float), expected, atol=2e-3)


def test_tiles_do_not_change_an_averaged_result(checkpoint):
    plane = immunohistochemistry()[:300, :120]
    whole, tiled = (Predictor(checkpoint, "cpu", 2, orientations=8, tile=side).predict(plane) for side in (4096, 112))
    for name, values in whole.full.items():
        np.testing.assert_allclose(tiled.full[name].astype(float), values.astype(float), atol=0.01)


def test_accurate_mode_averages_the_branches(checkpoint):
    fast = Predictor(checkpoint, "cpu").predict(TISSUE).full
    accurate = Predictor(checkpoint, "cpu", accurate=True).predict(TISSUE).full
    expected = np.mean([values.astype(np.float32) for values in fast.values()], axis=0)
    np.testing.assert_allclose(accurate["x04"].astype(float), expected, atol=2e-3)
    for name in set(BRANCHES) - {"x04"}:
        np.testing.assert_array_equal(accurate[name], fast[name])


def test_accurate_mode_leaves_no_trace_in_the_doubt(checkpoint):
    doubts = [Predictor(checkpoint, "cpu", accurate=accurate).predict(TISSUE).doubt for accurate in (False, True)]
    np.testing.assert_array_equal(*doubts)


def test_cores_come_with_the_top_row():
    checkpoint = seeing_brightness(extras=("core", "border"), in_channels=1)
    with torch.no_grad():  # only what is brighter still is core
        for name, head in checkpoint.network.heads.items():
            head.bias[1] = -40.0 * (0.8 if BRANCHES[name].scale == 1 else 2.0)
    grey = np.zeros((32, 48), np.uint8)
    grey[4:20, 4:20], grey[8:16, 8:16] = 160, 255
    prediction = Predictor(checkpoint, "cpu").predict(grey)
    assert set(prediction.cores) == {"x01", "x02", "x03", "x04"}
    for values in prediction.cores.values():
        np.testing.assert_array_equal(values > 0.5, grey == 255)
    np.testing.assert_array_equal(prediction.full["x04"] > 0.5, grey > 100)  # a core is no class
    assert Predictor(seeing_brightness(), "cpu").predict(np.zeros((20, 20, 3), np.uint8)).cores == {}


def test_other_numbers_of_orientations_are_refused(checkpoint):
    with pytest.raises(SettingsError, match=r"\(1, 2, 4, 8\), not 3"):
        Predictor(checkpoint, "cpu", orientations=3)


def test_options_tell_results_apart(checkpoint):
    plain = Predictor(checkpoint, "cpu").options
    assert plain == Predictor(replace(checkpoint), "cpu").options
    assert len({plain, Predictor(checkpoint, "cpu", accurate=True).options,
                Predictor(checkpoint, "cpu", orientations=2).options}) == 3  # fmt: skip
