"""Tissue is found on overviews that look like slides do; empty ones give nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.data import immunohistochemistry

from napari_unetsharp.images.tissue import Tissue, TissueLook, tissue_mask

SHAPE = (300, 400)
ROWS, COLUMNS = np.indices(SHAPE)
GREEN, BLUE, BLACK = (30, 140, 70), (40, 60, 170), (25, 25, 30)


def inside(y, x, height, width):
    return np.hypot((ROWS - y) / height, (COLUMNS - x) / width) <= 1


def glass(seed=0, level=245.0):
    """Bright, a little warmer at one side, with noise."""
    noise = np.random.default_rng(seed).normal(0, 1.5, (*SHAPE, 3))
    return level - 8 * (COLUMNS / SHAPE[1])[..., None] * np.array([0, 0.5, 1]) + noise


def finished(picture):
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def stained(where, seed=0):
    """Pink of uneven strength with purple spots."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), 4)
    pink = np.array([225, 160, 200]) + 60 * texture[..., None]
    purple = rng.random(SHAPE) < 0.15
    pink[purple] = (110, 70, 150)
    picture = glass(seed)
    picture[where] = pink[where]
    return picture


def overlap(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_two_sections_on_glass_are_found_and_nothing_else():
    where = inside(100, 110, 70, 80) | inside(190, 300, 60, 50)
    mask = tissue_mask(finished(stained(where)), 10.0)
    assert mask[where].all()
    rim = ndimage.binary_dilation(where, iterations=12)  # 50 µm are added, and smoothing adds a little
    assert not mask[~rim].any()


def test_pale_tissue_is_found():
    where = inside(150, 200, 80, 120)
    picture = glass()
    picture[where] = np.array([236, 214, 230]) + np.random.default_rng(1).normal(0, 3, (int(where.sum()), 3))
    assert overlap(tissue_mask(finished(picture), 20.0), where) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_empty_glass_gives_nothing(seed):
    assert not tissue_mask(finished(glass(seed)), 10.0).any()
    assert not tissue_mask(np.full((50, 60, 3), 255, np.uint8)).any()


def test_tissue_that_fills_the_picture_is_all_found():
    assert tissue_mask(finished(stained(np.ones(SHAPE, bool))), 10.0).mean() > 0.98
    assert tissue_mask(immunohistochemistry(), 0.5).mean() > 0.8  # the rest is as pale as glass


def test_real_tissue_on_glass_is_told_from_it():
    picture, where = glass(), np.zeros(SHAPE, bool)
    where[60:220, 80:300] = True
    picture[where] = immunohistochemistry()[::2, ::2][:160, :220].reshape(-1, 3)
    assert overlap(tissue_mask(finished(picture), 10.0), where) > 0.85


@pytest.mark.parametrize("ink", [GREEN, BLUE, BLACK])
def test_pen_marks_are_left_out(ink):
    where = inside(170, 120, 70, 80)
    stroke = np.abs(ROWS - 40 - 0.1 * COLUMNS) < 6
    picture = stained(where)
    picture[stroke] = np.array(ink) + np.random.default_rng(2).normal(0, 4, (int(stroke.sum()), 3))
    mask = tissue_mask(finished(picture), 10.0)
    assert mask[where].mean() > 0.99
    assert mask[stroke].mean() < 0.05


def test_dust_is_left_out_and_a_lumen_is_filled():
    where = inside(150, 200, 90, 120)
    picture = stained(where & ~inside(150, 200, 8, 8))
    picture[20:23, 20:23] = 90
    mask = tissue_mask(finished(picture), 10.0)
    assert mask[150, 200]
    assert not mask[10:35, 10:35].any()


def test_what_the_scanner_left_out_is_no_tissue():
    where = inside(150, 250, 60, 80)
    picture = stained(where)
    picture[:, :120] = 0
    mask = tissue_mask(finished(picture), 10.0)
    assert mask[where].all()
    assert not mask[:, :115].any()


def glowing(where, dtype, offset, height, seed=0):
    """Nuclei as single bright pixels, as an overview shows them, on a dark noisy background."""
    rng = np.random.default_rng(seed)
    picture = offset + rng.normal(0, offset / 20 + 1, SHAPE)
    nuclei = where & (rng.random(SHAPE) < 0.25)
    picture[where] += height / 20
    picture[nuclei] = offset + height * rng.uniform(0.4, 1, int(nuclei.sum()))
    return np.clip(picture, 0, np.iinfo(dtype).max).astype(dtype)[..., np.newaxis]


@pytest.mark.parametrize(
    ("dtype", "offset", "height"), [(np.uint8, 8, 180), (np.uint16, 120, 3000), (np.uint16, 0, 40000)]
)
@pytest.mark.parametrize("where", [inside(150, 200, 90, 120), inside(60, 60, 25, 25)], ids=["large", "small"])
def test_fluorescence(where, dtype, offset, height):
    mask = tissue_mask(glowing(where, dtype, offset, height), 10.0)
    assert mask[where].mean() > 0.98
    assert not mask[~ndimage.binary_dilation(where, iterations=12)].any()


def test_fluorescence_that_fills_the_picture_is_all_found():
    assert tissue_mask(glowing(np.ones(SHAPE, bool), np.uint16, 120, 3000), 10.0).mean() > 0.98


@pytest.mark.parametrize("seed", range(3))
def test_an_empty_fluorescence_slide_gives_nothing(seed):
    rng = np.random.default_rng(seed)
    for empty in (rng.normal(120, 8, SHAPE), rng.poisson(40, SHAPE), np.zeros(SHAPE)):
        assert not tissue_mask(empty.astype(np.uint16)[..., np.newaxis], 10.0).any()
    assert not tissue_mask(rng.poisson(10, (*SHAPE, 3)).astype(np.uint8), 10.0).any()


def test_several_channels_each_count():
    left, right = inside(150, 90, 60, 60), inside(150, 300, 60, 60)
    both = np.concatenate([glowing(left, np.uint16, 100, 3000), glowing(right, np.uint16, 100, 500, 1)], axis=-1)
    mask = tissue_mask(both, 10.0)
    assert mask[left].mean() > 0.98
    assert mask[right].mean() > 0.98


def test_a_box_of_level_0_meets_the_pixels_of_the_mask_that_it_touches():
    mask = np.zeros((4, 5), bool)
    mask[1, 3] = True
    tissue = Tissue(mask, (100.0, 50.0))  # covers rows 100 to 200, columns 150 to 200
    assert tissue.meets((199, 199, 300, 300))
    assert tissue.meets((0, 0, 101, 151))
    assert not tissue.meets((200, 150, 300, 200))
    assert not tissue.meets((0, 0, 100, 400))
    assert not tissue.meets((100, 200, 200, 400))
    assert not tissue.meets((150, 150, 150, 200))
    assert tissue.share == 1 / 20
    assert tissue.hash != Tissue(~mask, (100.0, 50.0)).hash != Tissue(~mask, (100.0, 100.0)).hash


def test_the_last_pixel_of_a_mask_reaches_to_the_border():
    mask = np.zeros((4, 5), bool)
    mask[-1, -1] = True
    assert Tissue(mask, (10.0, 10.0)).meets((41, 52, 44, 55))


def test_a_look_at_a_sample_tells_blocks_apart():
    where = inside(150, 200, 90, 120)
    picture = finished(stained(where))
    look = TissueLook.of(picture)
    assert look.is_in(picture[100:200, 150:250])
    assert not look.is_in(picture[:60, :80])


def grey(picture):
    return picture.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(lambda picture: grey(finished(picture)).astype(np.uint8), id="bytes of grey"),
        pytest.param(lambda picture: finished(picture).astype(np.uint16) * 257, id="16 bits"),
        pytest.param(lambda picture: finished(picture).astype(np.uint16) * 16, id="12 of 16 bits"),
        pytest.param(lambda picture: (finished(picture) / 255).astype(np.float32), id="0 to 1"),
        pytest.param(lambda picture: grey(picture).astype(np.float32), id="grey, 0 to 255"),
    ],
)
def test_bright_field_needn_t_be_bytes_of_colour(stored):
    sections = inside(100, 110, 70, 80) | inside(190, 300, 60, 50)
    dense = inside(150, 190, 140, 170)
    for where in (sections, dense):
        mask = tissue_mask(stored(stained(where)), 10.0)
        assert mask[where].mean() > 0.99
        assert not mask[~ndimage.binary_dilation(where, iterations=12)].any()
    assert not tissue_mask(stored(glass()), 10.0).any()
    look = TissueLook.of(stored(stained(sections)))
    assert look.is_in(stored(stained(np.ones(SHAPE, bool)))[:100, :100])
    assert not look.is_in(stored(glass())[:100, :100])


def test_dim_nuclei_on_a_high_offset_are_no_bright_field():
    where = inside(150, 200, 90, 120)
    mask = tissue_mask(1000 + glowing(where, np.uint16, 10, 400), 10.0)
    assert mask[where].mean() > 0.98
    assert not mask[~ndimage.binary_dilation(where, iterations=12)].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_fourth_channel_counts_unless_it_is_of_colours(dtype):
    where = inside(150, 200, 90, 120)
    empty = glowing(np.zeros(SHAPE, bool), dtype, 8, 0)
    four = np.concatenate([empty, empty, empty, glowing(where, dtype, 8, 180)], axis=-1)
    mask = tissue_mask(four, 10.0, rgb=False)
    assert mask[where].mean() > 0.98
    assert not mask[~ndimage.binary_dilation(where, iterations=12)].any()
    assert not tissue_mask(four, 10.0, rgb=True).any()
