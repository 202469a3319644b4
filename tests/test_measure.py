"""Measures of nuclei against geometry, against scikit-image, and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops_table
from skimage.morphology import convex_hull_image, disk

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.nuclei.measure import join_measures, measure, measure_masks, with_views

SKIMAGE = {
    "id": "label", "area_px": "area", "y_px": "centroid-0", "x_px": "centroid-1", "perimeter_px": "perimeter",
    "eccentricity": "eccentricity", "major_axis_px": "axis_major_length", "minor_axis_px": "axis_minor_length",
    "mean_1": "intensity_mean", "std_1": "intensity_std", "min_1": "intensity_min", "max_1": "intensity_max",
}  # fmt: skip

small_labels = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))


def one(mask):
    return {name: column[0] for name, column in measure(mask.astype(np.int32)).items()}


def same(first, second, **tolerance):
    assert list(first) == list(second)
    for name, column in first.items():
        np.testing.assert_allclose(column, second[name], err_msg=name, **tolerance)


# Geometry -----------------------------------------------------------------------------------------------


def test_a_rectangle():
    mask = np.zeros((30, 40), bool)
    mask[10:15, 20:32] = True
    found = one(mask)
    assert (found["y_px"], found["x_px"], found["area_px"], found["solidity"]) == (12, 25.5, 60, 1)
    assert found["perimeter_px"] == 2 * (4 + 11)
    assert found["major_axis_px"] == pytest.approx(4 * np.sqrt((12**2 - 1) / 12))
    assert found["minor_axis_px"] == pytest.approx(4 * np.sqrt((5**2 - 1) / 12))


def test_a_disc_is_round_and_convex():
    found = one(np.pad(disk(20), 3))
    assert found["eccentricity"] == pytest.approx(0, abs=1e-6)
    assert found["solidity"] == 1
    assert found["major_axis_px"] == pytest.approx(40, rel=0.02)
    assert found["perimeter_px"] == pytest.approx(2 * np.pi * 20, rel=0.05)


def test_a_crescent_is_not_convex():
    mask = np.pad(disk(15), 10)
    mask &= ~np.roll(mask, 8, axis=1)
    hull = convex_hull_image(mask, offset_coordinates=False)
    assert one(mask)["solidity"] == pytest.approx(mask.sum() / hull.sum())
    assert one(mask)["solidity"] < 0.9


@pytest.mark.parametrize("step", [(0, 1), (1, 0), (1, 1), (1, 3), (2, 1)])
def test_lines_and_points_have_no_width(step):
    mask = np.zeros((12, 12), bool)
    for number in range(3):
        mask[number * step[0], number * step[1]] = True
    found = one(mask)
    assert found["minor_axis_px"] == pytest.approx(0, abs=1e-6)
    assert found["eccentricity"] == pytest.approx(1)
    assert found["solidity"] == 1


def test_a_single_pixel():
    found = one(np.ones((1, 1), bool))
    assert (found["area_px"], found["solidity"], found["eccentricity"], found["perimeter_px"]) == (1, 1, 0, 0)


def test_far_from_the_origin_nothing_is_lost():
    near, far = np.zeros((40, 40), np.int32), np.zeros((40, 60000), np.int32)
    near[5:25, 8:30] = far[5:25, 59978:] = np.pad(disk(9), ((0, 1), (1, 2)))[:20]
    first, second = measure(near), measure(far)
    for name in ("major_axis_px", "minor_axis_px", "eccentricity", "solidity", "perimeter_px"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-9)
    assert second["x_px"][0] - first["x_px"][0] == pytest.approx(59970)


# scikit-image -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small_labels, st.integers(0, 100))
def test_as_scikit_image_measures(labels, seed):
    light = np.random.default_rng(seed).random(labels.shape).astype(np.float32)
    expected = regionprops_table(labels, light, properties=tuple({name.split("-")[0] for name in SKIMAGE.values()}))
    found = measure(labels, light[..., np.newaxis])
    for mine, theirs in SKIMAGE.items():
        np.testing.assert_allclose(found[mine], expected.get(theirs, []), atol=2e-6, err_msg=mine)


def test_solidity_is_that_of_the_hull_of_middles():
    _, mask = draw_fluorescence(1, 200, 200, 40)
    found = measure(mask)
    for number, solidity in zip(found["id"], found["solidity"], strict=True):
        hull = convex_hull_image(mask == number, offset_coordinates=False)
        assert solidity == pytest.approx((mask == number).sum() / hull.sum(), abs=0.01)


# Units, channels, what is odd ----------------------------------------------------------------------------


def test_micrometres():
    _, mask = draw_fluorescence(1, 120, 140, 20)
    found = measure(mask, micrometres=(0.25, 0.25))
    np.testing.assert_allclose(found["area_um2"], found["area_px"] / 16)
    for name in ("y", "x", "perimeter", "major_axis", "minor_axis"):
        np.testing.assert_allclose(found[f"{name}_um"], found[f"{name}_px"] / 4)


def test_pixels_that_are_not_square():
    """A disc in micrometres, drawn on pixels twice as high as wide, is round."""
    mask = np.pad(disk(40), 2)[::2]
    found = measure(mask.astype(np.int32), micrometres=(1.0, 0.5))
    assert found["major_axis_um"][0] == pytest.approx(found["minor_axis_um"][0], rel=0.01)
    assert found["area_um2"][0] == found["area_px"][0] / 2
    assert np.isnan(found["perimeter_um"]).all()


def test_channels_have_names():
    labels = np.array([[1, 1, 0], [2, 0, 0]])
    pixels = np.zeros((2, 3, 2), np.uint16)
    pixels[..., 0], pixels[..., 1] = 65535, [[3, 5, 9], [7, 9, 9]]
    found = measure(labels, pixels, channels=["DAPI", "Ki 67"])
    assert found["mean_DAPI"].tolist() == found["max_DAPI"].tolist() == [65535, 65535]
    assert found["mean_Ki 67"].tolist() == [4, 7]
    assert found["std_Ki 67"].tolist() == [1, 0]
    assert found["min_Ki 67"].tolist() == [3, 7]


def test_bad_pixels_make_gaps_not_errors():
    labels = np.array([[1, 1], [2, 2], [3, 3]])
    found = measure(labels, np.array([[np.nan, 1], [2, 4], [np.inf, -np.inf]])[..., np.newaxis])
    assert np.isnan(found["mean_1"]).tolist() == [True, False, True]
    assert found["mean_1"][1] == 3


@pytest.mark.parametrize("shape", [(4, 4), (5, 4, 1), (4, 5, 1), (4, 4, 1, 1)])
def test_an_image_that_does_not_fit(shape):
    with pytest.raises(ShapeError, match="doesn't fit"):
        measure(np.ones((4, 4), np.int32), np.zeros(shape))


@pytest.mark.parametrize("names", [["one"], ["same", "same"]])
def test_names_that_do_not_fit(names):
    with pytest.raises(ShapeError, match="names"):
        measure(np.ones((4, 4), np.int32), np.zeros((4, 4, 2)), channels=names)


def test_no_nuclei():
    found = measure(np.zeros((5, 6), np.int32), np.zeros((5, 6, 3)), (1.0, 1.0))
    assert {len(column) for column in found.values()} == {0}
    assert {"solidity", "area_um2", "max_3"} <= set(found)


# Masks, and columns from elsewhere ------------------------------------------------------------------------


def test_masks_are_measured_as_labels_are_even_on_each_other():
    picture, mask = draw_fluorescence(2, 120, 140, 20)
    pixels = picture[..., np.newaxis]
    whole = measure(mask, pixels, (0.5, 0.5))
    masks = {int(number): (0, 0, mask == number) for number in whole["id"]}
    same(measure_masks(masks, mask.shape, pixels, (0.5, 0.5)), whole, rtol=1e-9)
    twice = measure_masks({1: masks[3], 2: (7, 5, mask[7:, 5:] == 3)}, mask.shape, pixels)
    for name, column in twice.items():
        assert name == "id" or column[0] == pytest.approx(column[1], rel=1e-9)


def test_joined_by_id():
    first, second = measure(np.array([[5, 0, 9]])), measure(np.array([[0, 7, 7]]))
    joined = join_measures(first, second)
    assert joined["id"].tolist() == [5, 7, 9]
    assert joined["area_px"].tolist() == [1, 2, 1]


def test_what_the_views_say():
    found = with_views(measure(np.array([[5, 0, 9]])), {5: 0.25}, {9: ("L2", "L4"), 5: ()})
    assert list(found)[:4] == ["id", "doubt", "levels", "levels_seen"]
    np.testing.assert_array_equal(found["doubt"], [0.25, np.nan])
    assert found["levels"].tolist() == ["", "L2 L4"]
    assert found["levels_seen"].tolist() == [0, 2]


def test_nuclei_in_several_goes(monkeypatch):
    """Large images are measured some nuclei at a time; where they are cut changes nothing."""
    picture, mask = draw_fluorescence(2, 120, 140, 20)
    whole = measure(mask, picture[..., np.newaxis])
    for size in (1, 1000):
        monkeypatch.setattr("napari_unetsharp.nuclei.measure._PIXELS_AT_ONCE", size)
        monkeypatch.setattr("napari_unetsharp.nuclei.stretches._ROWS_AT_ONCE", size)
        same(measure(mask, picture[..., np.newaxis]), whole, rtol=0)
