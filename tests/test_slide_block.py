"""A block's maps are a part of what one pass over the whole plane gives, at whatever scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_slides import ArrayTiles, halves, slide_of, spotted
from skimage.data import immunohistochemistry
from small_networks import one_thread, seeded, seeing_brightness  # noqa: F401

from napari_unetsharp.errors import ImageError, SettingsError
from napari_unetsharp.images.tissue import TissueLook
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.slides.block import block_maps, compute_block, maps_given
from napari_unetsharp.slides.plane import SlidePlane
from napari_unetsharp.slides.preparing import RunSettings, prepare

TISSUE = immunohistochemistry()[:309, :401]


def about_of(slide, predictor, magnification=1.0, downsample=1, side=128):
    about = prepare(slide, predictor, RunSettings(side=side), []).about
    options = about.options | {"magnification": magnification}
    return replace(about, options=options, downsample=downsample, margin=32)


def assembled(slide, predictor, about, name):
    """Own pixels of all blocks, put side by side."""
    whole = np.zeros(about.shape, np.uint8)
    for row, column in about.grid:
        own, window = about.grid.own(row, column), about.grid.window(row, column)
        maps = compute_block(slide, predictor, about, row, column)
        assert set(maps) == set(about.maps)
        assert maps[name].shape == window.shape
        inner = np.s_[own.top - window.top : own.bottom - window.top, own.left - window.left : own.right - window.left]
        whole[own.slices] = maps[name][inner]
    return whole


@pytest.mark.parametrize(("magnification", "downsample"), [(1.0, 1), (0.7, 1), (1.3, 1), (0.4, 2)])
def test_blocks_side_by_side_are_the_whole_pass(magnification, downsample):
    levels = halves(TISSUE[:308, :400], 2)
    slide = slide_of(*levels)
    predictor = Predictor(seeded(TISSUE, 1), "cpu", 2)
    about = about_of(slide, predictor, magnification, downsample)
    plane = levels[downsample - 1]
    whole = predictor.empty(plane.shape[:2])
    for tile in predictor.tiles(plane, limits=tuple(about.limits), factor=magnification * downsample):
        whole.place(tile)
    for name, expected in (("x02", whole.full["x02"]), ("doubt", whole.doubt)):
        values = assembled(slide, predictor, about, name)
        assert values.std() > 1
        difference = np.abs(values - 255 * expected.astype(np.float32))
        assert np.percentile(difference, 99.9) <= 3


def test_windows_of_neighbours_agree_where_they_overlap():
    slide, predictor = slide_of(TISSUE), Predictor(seeded(TISSUE, 1), "cpu", 1)
    about = about_of(slide, predictor)
    left, right = (compute_block(slide, predictor, about, 1, column)["x01"] for column in (0, 1))
    shared = 2 * about.margin
    difference = np.abs(left[:, -shared:].astype(int) - right[:, :shared])
    assert np.percentile(difference, 99.9) <= 2


def test_a_perfect_network_gives_the_picture():
    pixels, _ = spotted((300, 260), 30)
    slide, predictor = slide_of(pixels), Predictor(seeing_brightness(), "cpu", 2, ("x02",))
    about = about_of(slide, predictor)
    assert about.maps == ("x02",)
    np.testing.assert_array_equal(assembled(slide, predictor, about, "x02") > 127, pixels[..., 0] > 127)


def test_a_damaged_tile_fails_the_blocks_that_see_it_and_no_other():
    slide = slide_of(ArrayTiles(TISSUE, 64, ((0, 5),)))  # columns 320 to 384 of rows 0 to 64
    predictor = Predictor(seeded(TISSUE, 1), "cpu", 1)
    about = about_of(slide, predictor)
    assert compute_block(slide, predictor, about, 0, 0) is not None
    for column in (2, 3):
        with pytest.raises(ImageError, match="can't be decoded"):
            compute_block(slide, predictor, about, 0, column)


def test_nan_is_refused_where_it_lies():
    pixels = TISSUE.astype(np.float32) / 255
    pixels[300, 390] = np.nan
    slide, predictor = slide_of(pixels), Predictor(seeded(TISSUE, 1), "cpu", 1)
    about = about_of(slide, predictor)
    compute_block(slide, predictor, about, 0, 0)
    with pytest.raises(ImageError, match="NaN"):
        compute_block(slide, predictor, about, 2, 3)


def test_stop_is_asked_between_tiles():
    slide, predictor = slide_of(TISSUE), Predictor(seeded(TISSUE, 1), "cpu", 1, tile=96)
    about = about_of(slide, predictor)
    asked = []

    def stop():
        asked.append(True)
        return len(asked) == 2

    assert compute_block(slide, predictor, about, 1, 1, stop) is None
    assert len(asked) == 2


def test_channels_are_adapted_and_it_is_said_once():
    slide, predictor = slide_of(TISSUE[..., :1]), Predictor(seeded(TISSUE, 1), "cpu", 1)
    about, notes = about_of(slide, predictor), []
    for column in (0, 1):
        compute_block(slide, predictor, about, 0, column, notes=notes)
    assert notes == ["The one channel was repeated for the 3 that this model takes."]


def test_glass_costs_no_network():
    pixels, _ = spotted((256, 256), 20, inside=(0, 0, 120, 120))
    slide, predictor = slide_of(pixels), Predictor(seeing_brightness(), "cpu", 1, ("x01",))
    about = replace(about_of(slide, predictor), margin=0)
    look = TissueLook.of(pixels)
    assert block_maps(slide, predictor, about, look, 0, 0)["x01"].max() == 255
    assert not block_maps(slide, predictor, about, look, 1, 1)["x01"].any()
    assert compute_block(slide, predictor, about, 1, 1)["x01"].shape == (128, 128)


def test_guided_blocks_are_the_whole_pass():
    pixels, _ = spotted((256, 320), 25, inside=(0, 0, 256, 150))
    checkpoint = seeing_brightness(guided_from=0.15)
    predictor = Predictor(checkpoint, "cpu", 1, ("x01",), guided=True)
    slide = slide_of(pixels)
    whole = predictor.predict(pixels).full["x01"].astype(np.float32)
    assert 0.1 < whole[pixels[..., 0] > 127].min() + 0.2 < whole.max()
    values = assembled(slide, predictor, about_of(slide, predictor), "x01")
    assert np.abs(values - 255 * whole).max() <= 2


def test_a_depth_without_a_map_is_refused():
    predictor = Predictor(seeing_brightness(), "cpu", 2, ("x01",))
    with pytest.raises(SettingsError, match="no map at depth 2"):
        maps_given(predictor)


# The plane that a block is read from ---------------------------------------------------------------------


def test_a_plane_without_a_smaller_level_is_averaged():
    pixels = np.random.default_rng(0).integers(0, 4000, (11, 14, 1), dtype=np.uint16)
    plane = SlidePlane(slide_of(pixels), 4, channels=1)
    assert plane.shape == (3, 4, 1)
    assert plane.ratio == 4
    np.testing.assert_allclose(plane[0:2, 1:3][..., 0], pixels[:8, 4:12, 0].reshape(2, 4, 2, 4).mean((1, 3)), rtol=1e-6)
    last = pixels[8:, 12:, 0].astype(float)  # 3 rows and 2 columns, each end repeated
    last = np.pad(last, ((0, 1), (0, 2)), mode="edge")
    np.testing.assert_allclose(plane[2:3, 3:4], last.mean(), rtol=1e-6)


def test_a_smaller_level_is_taken_where_it_fits_the_grid():
    fine = np.random.default_rng(0).integers(0, 255, (203, 150, 3), dtype=np.uint8)
    exact, quarter, shifted = fine[:202:2, ::2], fine[:200:4, :148:4], fine[:96, :70]
    slide = slide_of(fine, exact, quarter)
    for downsample, level, ratio in ((1, 0, 1), (2, 1, 1), (4, 2, 1), (8, 2, 2)):
        plane = SlidePlane(slide, downsample)
        assert (plane.source, plane.ratio) == (slide.levels[level], ratio)
        assert plane.shape[:2] == (-(-203 // downsample), -(-150 // downsample))
    np.testing.assert_array_equal(SlidePlane(slide, 2)[90:102, 10:75][:11], exact[90:101, 10:75])
    np.testing.assert_array_equal(
        SlidePlane(slide, 2)[101:102, 10:75], exact[100:101, 10:75]
    )  # the last row is lacking
    odd = SlidePlane(slide_of(fine, shifted), 2)
    assert (odd.source.place, odd.ratio) == (0, 2)


def test_a_large_part_is_averaged_in_strips(monkeypatch):
    fine = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    slide = slide_of(fine)
    whole = SlidePlane(slide, 4)[0:16, 0:12]
    monkeypatch.setattr("napari_unetsharp.slides.plane._STRIP_BYTES", 4000)
    np.testing.assert_array_equal(SlidePlane(slide, 4)[0:16, 0:12], whole)


def test_a_plane_of_a_stack():
    stack = np.random.default_rng(0).integers(0, 255, (3, 40, 50, 1), dtype=np.uint8)
    slide = slide_of(stack)
    np.testing.assert_array_equal(SlidePlane(slide, 1, (2,), 1)[5:9, 6:30], stack[2, 5:9, 6:30])
    np.testing.assert_array_equal(SlidePlane(slide, 1, (), 1)[5:9, 6:30], stack[0, 5:9, 6:30])
