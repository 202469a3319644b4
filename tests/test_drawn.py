"""The drawn field: its mask is exact, its picture looks like a stain, and a seed gives the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.drawn import draw_fluorescence


@pytest.fixture(scope="module")
def field() -> tuple[np.ndarray, np.ndarray]:
    """The field as the sample menu shows it: uint8 and int32, (512, 512)."""
    return draw_fluorescence()


def test_types_and_sides(field):
    picture, mask = field
    assert (picture.dtype, mask.dtype) == (np.uint8, np.int32)
    assert picture.shape == mask.shape == (512, 512)
    picture, mask = draw_fluorescence(3, height=100, width=230, nuclei=12)
    assert picture.shape == mask.shape == (100, 230)


@pytest.mark.parametrize("seed", range(5))
def test_every_number_is_one_nucleus_of_one_piece(seed):
    _, mask = draw_fluorescence(seed, 200, 240, 40)
    numbers = np.unique(mask)
    np.testing.assert_array_equal(numbers, np.arange(41))
    for number in numbers[1:]:
        assert label(mask == number, connectivity=1).max() == 1


def test_nuclei_are_10_to_30_pixels_long(field):
    _, mask = field
    inner = [region for region in regionprops(mask) if min(region.bbox) > 0 and max(region.bbox) < 512]
    lengths = np.array([region.feret_diameter_max for region in inner])
    assert lengths.max() <= 31
    assert np.percentile(lengths, 2) >= 10
    assert np.ptp(lengths) > 10  # small and large ones


def test_outlines_are_smooth_but_no_plain_ellipses(field):
    _, mask = field
    solid = np.array([region.solidity for region in regionprops(mask) if region.area > 150])
    assert np.median(solid) > 0.93
    assert solid.min() > 0.8


def test_some_nuclei_touch_and_none_overlap(field):
    _, mask = field
    beside = (mask[:, 1:] != mask[:, :-1]) & (mask[:, 1:] > 0) & (mask[:, :-1] > 0)
    assert beside.any()
    assert label(mask > 0).max() < mask.max()  # fewer islands than nuclei: separating them is part of the task


def test_the_same_seed_gives_the_same_pixels_and_another_one_others(field):
    again, other = draw_fluorescence(0), draw_fluorescence(1)
    np.testing.assert_array_equal(again[0], field[0])
    np.testing.assert_array_equal(again[1], field[1])
    assert (other[1] != field[1]).any()


def test_drawing_leaves_the_random_state_of_others_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    draw_fluorescence(0, 64, 64, 4)
    assert np.random.random() == expected


def test_light_comes_from_the_nuclei(field):
    picture, mask = field
    overlap = ((picture > threshold_otsu(picture)) & (mask > 0)).sum() / ((mask > 0).sum())
    assert overlap > 0.6
    brightness = ndimage.mean(picture, mask, np.arange(1, mask.max() + 1))
    assert brightness.min() > np.median(picture[mask == 0])
    assert brightness.max() > 2 * brightness.min()  # faint and bright ones


def test_picture_has_texture_noise_and_an_uneven_background(field):
    picture, mask = field
    values = picture.astype(float)
    fine = values - ndimage.gaussian_filter(values, 1)
    background = ndimage.binary_erosion(mask == 0, iterations=12)
    inside = ndimage.binary_erosion(mask > 0, iterations=3)
    assert 0.5 < fine[background].std() < fine[inside].std()  # photon noise grows with the light
    smooth = ndimage.gaussian_filter(values, 4)
    assert np.ptp(np.percentile(smooth[background], (1, 99))) > 3
    assert (picture == 255).mean() < 0.01  # not overexposed


def test_few_nuclei_none_and_a_crowd():
    picture, mask = draw_fluorescence(0, 32, 32, 0)
    assert mask.max() == 0
    assert picture.std() > 0
    _, mask = draw_fluorescence(0, 32, 32, 500)
    np.testing.assert_array_equal(np.unique(mask), np.arange(mask.max() + 1))
    assert 1 <= mask.max() < 500


@pytest.mark.parametrize("wrong", [{"height": 31}, {"width": 0}, {"nuclei": -1}])
def test_impossible_fields_are_refused(wrong):
    with pytest.raises(SettingsError, match="can't be drawn"):
        draw_fluorescence(**wrong)
