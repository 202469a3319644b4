"""Opening slides and scans in the window: by the dock's buttons, by napari itself, with the question for pixel size."""

from __future__ import annotations

import gc
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from npe2 import PluginManager
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QApplication, QFileDialog
from slide_files import GREYS, TISSUE, break_tile, channels, flat, pyramid, svs

from napari_unetsharp.widgets import pixel_size, slide_layers, slide_overview
from napari_unetsharp.widgets.dock import open_dock
from napari_unetsharp.widgets.slide_layers import is_slide, slide_of
from napari_unetsharp.widgets.slide_levels import overviews_of
from napari_unetsharp.widgets.slide_pictures import SlidePicture

NOT_SQUARE = "The pixels aren't square: 0.25 µm wide and 0.5 µm high."


@pytest.fixture(autouse=True)
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the person who runs the tests said stays out of it."""
    path = tmp_path / "answers" / "pixel_sizes.json"
    monkeypatch.setattr(pixel_size, "memory_file", lambda: path)
    return path


def click(qtbot, widget):
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def entry(opening, word):
    """Unfold *More* and give its entry."""
    opening.menu.popup(opening.more_button.mapToGlobal(QPoint(0, 0)))
    QApplication.processEvents()
    (found,) = [action for action in opening.menu.actions() if word in action.text()]
    opening.menu.close()
    return found


def test_a_slide_opens_and_its_pixel_size_is_asked_once(window, qtbot, tmp_path, monkeypatch):
    viewer, stage = window
    opening, asked = stage.opening, stage.opening.pixel_size
    path = pyramid(tmp_path / "a.ome.tif", um=False)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(qtbot, opening.open_button)
    (layer,) = viewer.layers
    assert is_slide(layer)
    assert stage.form.image.value is layer
    assert stage.message.text() == "OME-TIFF, 800 x 600 px."
    assert asked.isVisibleTo(stage)
    assert "a.ome.tif doesn't say" in asked.text.text()

    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 400, 600), 2.0
    asked.field.setValue(0.5)
    click(qtbot, asked.use_button)
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (200, 300))  # the same place
    assert viewer.scene.camera.zoom == pytest.approx(4.0)  # at the same size
    assert not asked.isVisibleTo(stage)

    viewer.layers.clear()
    stage.open_image(str(path))
    assert not asked.isVisibleTo(stage)
    np.testing.assert_allclose(viewer.layers[0].scale, (0.5, 0.5))
    assert "0.5 µm per pixel, as you said." in stage.message.text()
    entry(opening, "Pixel size").trigger()  # it can be said anew
    assert asked.field.value() == 0.5
    click(qtbot, asked.unknown_button)
    np.testing.assert_allclose(viewer.layers[0].scale, (1, 1))
    viewer.layers.clear()
    stage.open_image(str(path))
    assert not asked.isVisibleTo(stage)
    assert "lengths are in pixels" in stage.message.text()


def test_the_question_is_about_all_channels_and_goes_with_its_slide(window, qtbot, tmp_path):
    viewer, stage = window
    path = str(channels(tmp_path / "b.ome.tif", ("DAPI", "CD3"), GREYS[:2], um=False))
    stage.open_image(path)
    click(qtbot, stage.opening.pixel_size.use_button)
    for _ in range(2):
        for layer in viewer.layers:
            np.testing.assert_allclose(layer.scale, (0.25, 0.25))
            assert pixel_size.pixel_size_of(slide_of(layer)) == (0.25, 0.25)
        viewer.layers.clear()
        stage.open_image(path)
        assert not stage.opening.pixel_size.isVisibleTo(stage)
    stage.open_image(str(pyramid(tmp_path / "a.ome.tif", um=False)))
    assert stage.opening.pixel_size.isVisibleTo(stage)
    viewer.layers.clear()
    assert not stage.opening.pixel_size.isVisibleTo(stage)


def test_several_slides_are_asked_about_one_after_the_other(window, qtbot, tmp_path):
    viewer, stage = window
    asked = stage.opening.pixel_size
    paths = [
        pyramid(tmp_path / f"{name}.ome.tif", um=False, pixels=TISSUE // part) for part, name in ((1, "a"), (2, "b"))
    ]
    viewer.open([str(path) for path in paths], plugin="napari-unetsharp")
    qtbot.waitUntil(lambda: asked.isVisibleTo(stage), timeout=5_000)
    assert "a.ome.tif doesn't say" in asked.text.text()
    asked.field.setValue(0.5)
    click(qtbot, asked.use_button)
    assert "b.ome.tif doesn't say" in asked.text.text()
    assert asked.isVisibleTo(stage)
    asked.field.setValue(0.2)
    click(qtbot, asked.use_button)
    assert not asked.isVisibleTo(stage)
    assert [layer.scale[-1] for layer in viewer.layers] == [0.5, 0.2]


def test_an_answer_counts_where_it_can_not_be_remembered(window, qtbot, tmp_path, monkeypatch):
    viewer, stage = window
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(pixel_size, "_UNKEPT", {})
    monkeypatch.setattr(pixel_size, "memory_file", lambda: tmp_path / "file" / "sizes.json")
    path = str(pyramid(tmp_path / "a.ome.tif", um=False))
    stage.open_image(path)
    stage.opening.pixel_size.field.setValue(0.5)
    click(qtbot, stage.opening.pixel_size.use_button)
    np.testing.assert_allclose(viewer.layers[0].scale, (0.5, 0.5))
    assert "can't be remembered" in stage.message.text()
    viewer.layers.clear()
    stage.open_image(path)
    assert not stage.opening.pixel_size.isVisibleTo(stage)
    np.testing.assert_allclose(viewer.layers[0].scale, (0.5, 0.5))


def test_folders_channels_and_what_lies_about_itself(window, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    viewer, stage = window
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=3)
    for number, step in enumerate((1, 2)):
        array = group.create_array(str(number), shape=GREYS[:2, ::step, ::step].shape, chunks=(1, 128, 128), dtype="u2")
        array[...] = GREYS[:2, ::step, ::step]
    axes = [{"name": "c", "type": "channel"}, *({"name": one, "type": "space", "unit": "micrometer"} for one in "yx")]
    sets = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5 * step, 0.5 * step]}]}
        for number, step in enumerate((1, 2))
    ]
    told = {"label": "DAPI", "color": "0000FF", "window": {"start": 900, "end": 4000}}
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": sets}], "omero": {"channels": [told, told]}}
    group.attrs["ome"] = ome
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "a.ome.zarr"))
    entry(stage.opening, "folder").trigger()
    assert [layer.name for layer in viewer.layers] == ["a · DAPI", "a · DAPI [1]"]
    assert stage.form.image.value is viewer.layers[0]
    assert viewer.layers.selection.active is viewer.layers[0]
    assert tuple(viewer.layers[0].contrast_limits) == (900, 4000)
    assert tuple(viewer.layers[0].colormap.colors[-1][:3]) == (0, 0, 1)

    (tmp_path / "bad.zarr").mkdir()
    stage.open_image(str(tmp_path / "bad.zarr"))
    assert stage.message.is_problem
    assert "incomplete" in stage.message.text()
    (tmp_path / "bad.svs").write_bytes(b"II*\0 nothing")
    stage.open_image(str(tmp_path / "bad.svs"))
    assert stage.message.is_problem
    assert "bad.svs" in stage.message.text()
    assert len(viewer.layers) == 2


def test_the_label_is_shown_only_when_asked_for_and_never_as_a_layer(window, qtbot, tmp_path):
    pytest.importorskip("openslide")
    viewer, stage = window
    stage.open_image(str(svs(tmp_path / "a.svs")))
    assert not stage.opening.findChildren(SlidePicture)
    assert "aperio" not in stage.message.text()
    entry(stage.opening, "may show a name").trigger()
    (window_of_label,) = stage.opening.findChildren(SlidePicture)
    qtbot.addWidget(window_of_label)
    assert window_of_label.windowTitle() == "label of a.svs"
    whole = window_of_label._whole.toImage()
    for row, column in ((0, 0), (49, 59), (20, 7)):
        shown = whole.pixelColor(column, row)
        assert (shown.red(), shown.green(), shown.blue()) == tuple(TISSUE[row, column])
    QApplication.sendEvent(window_of_label, QResizeEvent(window_of_label.size(), window_of_label.size()))
    assert len(viewer.layers) == 1
    (tmp_path / "a.svs").unlink()
    entry(stage.opening, "Photograph").trigger()
    assert "doesn't exist" in stage.message.text()


def test_what_napari_opens_with_our_reader_is_said_and_chosen(window, qtbot, tmp_path):
    viewer, stage = window
    viewer.add_image(np.zeros((50, 60)), name="first")
    path = channels(tmp_path / "b.ome.tif", ("DAPI", "CD3"), GREYS[:2])
    viewer.open(str(path), plugin="napari-unetsharp")
    qtbot.waitUntil(lambda: stage.message.text() == "OME-TIFF, 800 x 600 px, 0.5 µm per pixel. " + NOT_SQUARE)
    assert stage.form.image.value is viewer.layers[1]
    assert slide_of(viewer.layers[2]).channels[0].name == "CD3"
    claimed = PluginManager.instance()
    for name in ("a.svs", "a.NDPI", "a.ome.tif", "a.nii.gz", str(tmp_path)):
        assert "napari-unetsharp" in {one.plugin_name for one in claimed.iter_compatible_readers([name])}


def test_damage_is_black_and_said_and_the_slide_is_let_go(window, qtbot, tmp_path):
    viewer, stage = window
    stage.open_image(str(break_tile(pyramid(tmp_path / "a.ome.tif"), 8)))
    slide = slide_of(viewer.layers[0])
    gone = ref(slide)
    np.testing.assert_array_equal(viewer.layers[0].data[0][128:256, 128:256], 0)
    assert any("is damaged" in note for note in slide.notes)
    del slide
    viewer.layers.clear()
    stage.open_image(str(flat(tmp_path / "b.tif")))
    qtbot.wait(50)
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert gone() is None


def test_a_flat_slide_is_filled_in_on_screen(window, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(slide_layers, "SMALL", 1000)
    monkeypatch.setattr(slide_overview, "MOST", 120)
    viewer, stage = window
    stage.open_image(str(flat(tmp_path / "a.tf8")))
    assert "filled in bit by bit" in stage.message.text()
    (layer,) = viewer.layers
    drawn: list[np.ndarray] = []
    layer.events.set_data.connect(lambda: drawn.append(layer._slice.image.raw.copy()))
    layer.locked_data_level = 3
    qtbot.waitUntil(lambda: overviews_of(layer).drawn == 35, timeout=20_000)
    np.testing.assert_array_equal(drawn[-1], TISSUE[::8, ::8])
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not stage.opening._filling.isActive(), timeout=5_000)


def test_a_slide_that_was_there_before_the_dock_is_asked_about_too(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer()
    viewer.open(str(pyramid(tmp_path / "a.ome.tif", um=False)), plugin="napari-unetsharp")
    stage = open_dock(viewer).find
    click(qtbot, stage.opening.pixel_size.use_button)
    np.testing.assert_allclose(viewer.layers[0].scale, (0.25, 0.25))
    stage.run_button.quit()
    qtbot.waitUntil(lambda: not stage.running, timeout=30_000)
