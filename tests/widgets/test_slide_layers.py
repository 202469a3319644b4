"""What napari gets of a slide: lazy levels in µm, channels by name and colour, planes one by one."""

from __future__ import annotations

import gc
import pickle
import time
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from slide_files import GREYS, TISSUE, break_tile, channels, flat, pyramid, stack, svs

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.widgets import pixel_size, slide_layers, slide_overview
from napari_unetsharp.widgets.channels import one_channel
from napari_unetsharp.widgets.pixel_size import is_answered, pixel_size_of, remember
from napari_unetsharp.widgets.slide_layers import is_slide, layers_from_slide, said_of, slide_of
from napari_unetsharp.widgets.slide_levels import overviews_of
from napari_unetsharp.widgets.source import image_from_layer


@pytest.fixture(autouse=True)
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the person who runs the tests said stays out of it."""
    path = tmp_path / "answers" / "pixel_sizes.json"
    monkeypatch.setattr(pixel_size, "memory_file", lambda: path)
    return path


class Counted:
    """Tiles of a level that count what is decoded."""

    def __init__(self, tiles: Any) -> None:
        self._tiles = tiles
        self.decoded: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tiles, name)

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> np.ndarray:
        self.decoded.append((plane, block, row, column))
        return self._tiles.read(plane, block, row, column)


def counted(slide: Slide) -> list[Counted]:
    """Count what is decoded of each level."""
    for level in slide.levels:
        level.tiles = Counted(level.tiles)
    return [level.tiles for level in slide.levels]


def shown(slide: Slide) -> list[Image]:
    viewer = ViewerModel()
    return [viewer.add_image(data, **keywords) for data, keywords, _ in layers_from_slide(slide)]


def test_a_pyramid_is_one_lazy_layer_in_micrometres(tmp_path: Path):
    slide = open_slide(pyramid(tmp_path / "a.ome.tif"))
    tiles = counted(slide)
    (layer,) = shown(slide)
    assert not tiles[0].decoded
    assert (layer.multiscale, layer.rgb, layer.name) == (True, True, "a")
    np.testing.assert_allclose(layer.scale, (0.5, 0.25))
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.axis_labels == ("y", "x")
    for step, level in zip((1, 2, 4), layer.data, strict=True):
        np.testing.assert_array_equal(np.asarray(level), TISSUE[::step, ::step])
    assert slide_of(layer) is slide
    assert is_slide(layer)
    assert layer.metadata["unetsharp_path"] == str(tmp_path / "a.ome.tif")
    assert said_of(layer) == "OME-TIFF, 800 x 600 px, 0.5 µm per pixel."


def test_what_a_scanner_says_is_in_the_metadata_and_the_label_is_only_named(tmp_path: Path):
    pytest.importorskip("openslide")
    (layer,) = shown(open_slide(svs(tmp_path / "a.svs")))
    assert (layer.metadata["vendor"], layer.metadata["objective"]) == ("aperio", 40)
    assert set(layer.metadata["unetsharp_pictures"]) == {"label", "macro", "thumbnail"}
    assert said_of(layer) == "Aperio SVS, 40x, 800 x 600 px, 0.252 µm per pixel."


def test_channels_are_layers_with_names_colours_and_limits_of_their_own(tmp_path: Path):
    slide = open_slide(channels(tmp_path / "a.ome.tif", ("DAPI", "CD3"), GREYS[:2]))
    first, second = shown(slide)
    assert [layer.name for layer in (first, second)] == ["a · DAPI", "a · CD3"]
    assert [tuple(layer.colormap.colors[-1][:3]) for layer in (first, second)] == [(1, 0, 0), (0, 1, 0)]
    for layer, pixels in ((first, GREYS[0]), (second, GREYS[1])):
        assert str(layer.blending) == "additive"
        np.testing.assert_array_equal(np.asarray(layer.data[0]), pixels)
        np.testing.assert_array_equal(layer.data[1][3:9, 5:50], pixels[::2, ::2][3:9, 5:50])
        low, high = np.percentile(pixels, (0.5, 99.8))
        np.testing.assert_allclose(layer.contrast_limits, (low, high), rtol=0.02)


def test_of_many_channels_four_are_shown(tmp_path: Path):
    names = tuple(f"m{number}" for number in range(6))
    layers = shown(open_slide(channels(tmp_path / "a.ome.tif", names, GREYS)))
    assert [layer.visible for layer in layers] == [True] * 4 + [False] * 2


def test_a_channel_is_a_slide_of_its_own(tmp_path: Path):
    with open_slide(channels(tmp_path / "a.ome.tif", ("DAPI", "CD3"), GREYS[:2])) as slide:
        parts = [one_channel(slide, number) for number in range(2)]
        assert len({slide.identity, *(part.identity for part in parts)}) == 3
        with pickle.loads(pickle.dumps(parts[1])) as again:
            for part in (parts[1], again):
                assert part.shape == (600, 800, 1)
                assert (part.channels[0].name, part.um_per_pixel) == ("CD3", (0.5, 0.25))
                np.testing.assert_array_equal(part.crop(0, 20, 30, 40, 50).pixels[..., 0], GREYS[1, 20:60, 30:80])
            assert again.identity == parts[1].identity


def test_of_a_stack_only_the_plane_on_screen_is_decoded(tmp_path: Path):
    slide = open_slide(stack(tmp_path / "a.ome.tif", GREYS, sizes=2))
    tiles = counted(slide)
    (layer,) = shown(slide)
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.25))
    level = layer.data[0]
    before = len(tiles[0].decoded)
    part = level[:, 130:250, 10:120]  # as napari cuts out the field of view, then the plane
    assert part.shape == (6, 120, 110)
    assert len(tiles[0].decoded) == before
    np.testing.assert_array_equal(part[4], GREYS[4, 130:250, 10:120])
    np.testing.assert_array_equal(np.asarray(part[2:3, 5:7]), GREYS[2:3, 135:137, 10:120])
    assert {plane for plane, *_ in tiles[0].decoded[before:]} == {(4,), (2,)}
    np.testing.assert_array_equal(np.asarray(part[1:3]), GREYS[1:3, 130:250, 10:120])
    np.testing.assert_array_equal(image_from_layer(layer).plane((5,))[..., 0], GREYS[5])


def test_a_large_stack_of_small_planes_is_run_plane_by_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = stack(tmp_path / "a.ome.tif", GREYS, sizes=1)
    monkeypatch.setattr(slide_layers, "SMALL", 2 * 600 * 800)
    slide = open_slide(path)
    tiles = counted(slide)
    (layer,) = shown(slide)
    assert (layer.multiscale, is_slide(layer), layer.data.shape) == (False, False, GREYS.shape)
    planes = {plane for plane, *_ in tiles[0].decoded}
    assert len(planes) <= 3  # the one shown, and those looked at for dark and bright
    np.testing.assert_array_equal(image_from_layer(layer).plane((5,))[..., 0], GREYS[5])


def test_a_small_picture_of_one_size_is_no_slide(tmp_path: Path):
    slide = open_slide(flat(tmp_path / "a.tif"))
    (layer,) = shown(slide)
    assert (layer.multiscale, is_slide(layer)) == (False, False)
    np.testing.assert_array_equal(layer.data, TISSUE)
    assert isinstance(layer.data, np.ndarray)


def test_a_flat_slide_is_seen_whole_at_once_and_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slide_layers, "SMALL", 1000)
    monkeypatch.setattr(slide_overview, "MOST", 120)
    monkeypatch.setattr(slide_overview.Overview, "start", lambda overview: None)  # by hand here
    slide = open_slide(flat(tmp_path / "a.tif"))
    tiles = counted(slide)
    (layer,) = shown(slide)
    assert [level.shape for level in layer.data] == [(600, 800, 3), (300, 400, 3), (150, 200, 3), (75, 100, 3)]
    assert not tiles[0].decoded
    overview = overviews_of(layer).of(())
    for _ in range(12):  # every other tile of 5 x 7
        assert overview.fill_one()
    whole = np.asarray(layer.data[-1])
    assert (whole.max(axis=-1) > 0).all()  # rough, but nowhere black
    while overview.fill_one():
        pass
    assert overview.filled == overview.tiles == 35
    np.testing.assert_array_equal(whole, TISSUE[::8, ::8])  # napari keeps the array: it must be the live one
    np.testing.assert_array_equal(layer.data[1][10:90, 31:77], TISSUE[::2, ::2][10:90, 31:77])
    between = layer.data[2][40:60, 50:80]
    np.testing.assert_array_equal(between[::2, ::2], TISSUE[::8, ::8][20:30, 25:40])


def test_what_is_in_view_is_filled_in_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slide_layers, "SMALL", 1000)
    monkeypatch.setattr(slide_overview, "MOST", 120)
    monkeypatch.setattr(slide_overview.Overview, "start", lambda overview: None)
    (layer,) = shown(open_slide(flat(tmp_path / "a.tif")))
    overview = overviews_of(layer).of(())
    view = slice(100, 145), slice(70, 95)  # rows 400 to 579 and columns 280 to 379 of the slide
    layer.data[2][view]
    for _ in range(16 + 4):  # the rough look, then the four tiles around the view
        overview.fill_one()
    np.testing.assert_array_equal(layer.data[3][50:73, 35:48], TISSUE[::8, ::8][50:73, 35:48])
    while overview.fill_one():
        pass
    assert overview.filled == overview.tiles


def test_an_overview_fills_itself_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slide_layers, "SMALL", 1000)
    monkeypatch.setattr(slide_overview, "MOST", 120)
    (layer,) = shown(open_slide(flat(tmp_path / "a.tif")))
    end = time.monotonic() + 30
    while overviews_of(layer).filled < 35 and time.monotonic() < end:
        time.sleep(0.02)
    np.testing.assert_array_equal(np.asarray(layer.data[-1]), TISSUE[::8, ::8])


def test_a_damaged_tile_is_black_and_told_once(tmp_path: Path):
    slide = open_slide(break_tile(pyramid(tmp_path / "a.ome.tif"), 8))  # the second tile of the second row
    (layer,) = shown(slide)
    told: list[str] = []

    def hear(notification: Any) -> None:
        told.append(str(notification.message))

    notification_manager.notification_ready.connect(hear)
    for _ in range(2):
        seen = layer.data[0][100:300, 0:300]
    notification_manager.notification_ready.disconnect(hear)
    expected = TISSUE[100:300, 0:300].copy()
    expected[28:156, 128:256] = 0
    np.testing.assert_array_equal(seen, expected)
    (sentence,) = told
    assert "a.ome.tif is damaged" in sentence
    assert "row 128, column 128" in sentence


def test_a_slide_is_closed_when_no_layer_shows_it_any_more(tmp_path: Path):
    slide = open_slide(channels(tmp_path / "a.ome.tif", ("DAPI", "CD3"), GREYS[:2]))
    closed: list[bool] = []
    slide.opened.callback(closed.append, True)
    viewer = ViewerModel()
    for data, keywords, _ in layers_from_slide(slide):
        viewer.add_image(data, **keywords)
    gone = ref(slide)
    del data, keywords, slide, _
    viewer.layers.pop(0)
    gc.collect()
    assert not closed
    np.testing.assert_array_equal(viewer.layers[0].data[0][:9, :9], GREYS[1, :9, :9])
    viewer.layers.clear()
    viewer.add_image(GREYS[0])  # napari remembers what was selected last until something else is
    gc.collect()
    assert closed == [True]
    assert gone() is None


def test_a_duplicated_layer_shows_the_same_slide(tmp_path: Path):
    slide = open_slide(pyramid(tmp_path / "a.ome.tif"))
    (layer,) = shown(slide)
    viewer = ViewerModel()
    viewer.layers.append(layer)
    viewer.layers.selection.active = layer
    from napari.layers._layer_actions import _duplicate_layer

    _duplicate_layer(viewer.layers)
    assert slide_of(viewer.layers[1]) is slide
    np.testing.assert_array_equal(viewer.layers[1].data[0][:9, :9], TISSUE[:9, :9])


def test_a_level_that_would_fill_the_memory_is_no_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (layer,) = shown(open_slide(pyramid(tmp_path / "a.ome.tif")))
    monkeypatch.setattr("napari_unetsharp.images.image.physical_memory", lambda: 10**6)
    with pytest.raises(ImageError, match="declares"):
        np.asarray(layer.data[0])


def test_a_pixel_size_is_remembered_for_the_content_whatever_its_name(tmp_path: Path, answers: Path):
    path = pyramid(tmp_path / "a.ome.tif", um=False)
    copy = tmp_path / "other" / "b.ome.tif"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    with open_slide(path) as slide:
        assert pixel_size_of(slide) is None
        assert not is_answered(slide)
        remember(slide, (0.5, 0.25))
        (layer,) = shown(open_slide(copy))
        np.testing.assert_allclose(layer.scale, (0.5, 0.25))
        assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
        assert "0.5 µm per pixel, as you said." in layer.metadata["unetsharp_notes"]
        remember(slide, None)
        assert is_answered(slide)
        assert pixel_size_of(slide) is None
        (layer,) = shown(open_slide(copy))
        np.testing.assert_allclose(layer.scale, (1, 1))
        answers.write_text("{broken")
        assert not is_answered(slide)


def test_what_the_file_says_is_not_asked(tmp_path: Path):
    with open_slide(pyramid(tmp_path / "a.ome.tif")) as slide:
        assert is_answered(slide)
        assert pixel_size_of(slide) == (0.5, 0.25)
