"""Stage Find in the real window: what a person does, with real clicks."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetsharp import Predictor, load_checkpoint
from napari_unetsharp.inference.results import TileDone
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei

THIRTEEN = {branch.title for branch in BRANCHES.values()} | {f"L{level} · nuclei" for level in range(1, 5)} | {"doubt"}


def ours(viewer):
    return {layer.name: layer for layer in viewer.layers if "unetsharp" in layer.metadata}


def first_tile(stage, qtbot):
    """Wait for the first tile of the run that begins within; a poll could come after the last."""
    return qtbot.waitSignal(
        stage.run_button.step, timeout=60_000, check_params_cb=lambda step: isinstance(step, TileDone)
    )


def test_a_run_gives_thirteen_layers_where_the_image_is(ready, find):
    viewer, stage, image = ready
    image.translate, image.rotate = (7, 9), 30
    find(stage)
    layers = ours(viewer)
    assert set(layers) == THIRTEEN
    assert [name for name, layer in layers.items() if layer.visible] == ["L4 · nuclei"]
    for layer in layers.values():
        np.testing.assert_allclose(layer.scale, image.scale)
        np.testing.assert_allclose(layer.translate, image.translate)
        np.testing.assert_allclose(layer.rotate, image.rotate)
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        assert layer.data.shape == image.data.shape
    assert layers["1/16 · x40"].data.dtype == np.float16
    assert viewer.layers.selection.active is image


def test_layers_say_where_they_come_from(ready, find, small_checkpoint):
    viewer, stage, _ = ready
    find(stage)
    about = ours(viewer)["L2 · nuclei"].metadata["unetsharp"]
    loaded = load_checkpoint(small_checkpoint).metadata
    assert (about["checkpoint"], about["sha256"]) == ("small", loaded.sha256)
    assert (about["node"], about["level"], about["threshold"]) == ("x02", 2, 0.5)
    assert about["version"]


def test_the_window_shows_what_the_predictor_computes(ready, find, small_checkpoint, field):
    viewer, stage, _ = ready
    find(stage)
    expected = Predictor(load_checkpoint(small_checkpoint), "cpu").predict(field[0])
    for node, branch in BRANCHES.items():
        np.testing.assert_array_equal(ours(viewer)[branch.title].data, expected.full[node])
    np.testing.assert_array_equal(ours(viewer)["L4 · nuclei"].data, label_nuclei(expected.full["x04"]))


def test_shipped_model_finds_drawn_nuclei(window, find, field):
    viewer, stage = window
    viewer.add_image(field[0], name="field")
    stage.form.model.value = "nuclei"
    stage.form.where.value = "whole image"
    find(stage)
    found, truth = ours(viewer)["L4 · nuclei"].data > 0, field[1] > 0
    assert np.sum(found & truth) / np.sum(found | truth) > 0.6
    count = len(np.unique(ours(viewer)["L4 · nuclei"].data)) - 1
    assert f"{count} nuclei at depth 4" in stage.message.text()


def test_running_again_updates_the_same_layers(ready, find):
    viewer, stage, image = ready
    find(stage)
    before = ours(viewer)
    kept = np.array(before["L4 · x04"].data)
    image.data = np.ascontiguousarray(image.data[::-1])
    find(stage)
    after = ours(viewer)
    assert {name: id(layer) for name, layer in after.items()} == {name: id(layer) for name, layer in before.items()}
    assert not np.array_equal(after["L4 · x04"].data, kept)


def test_another_model_starts_afresh_in_the_same_layers(ready, find, tmp_path):
    import torch

    from napari_unetsharp.network.checkpoint import Checkpoint
    from napari_unetsharp.network.metadata import CheckpointMetadata
    from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig

    viewer, stage, _ = ready
    find(stage)
    layer = ours(viewer)["L1 · x01"]
    torch.manual_seed(6)
    path = tmp_path / "other.safetensors"
    Checkpoint(UNetSharp(UNetSharpConfig(widths=(4, 4, 4, 4, 4))).eval(), CheckpointMetadata("other")).save(path)
    stage.open_model(str(path))
    stage.form.depth.value = 1
    find(stage)
    assert set(ours(viewer)) == {"L1 · x01", "L1 · nuclei"}
    assert ours(viewer)["L1 · x01"] is layer
    assert layer.metadata["unetsharp"]["checkpoint"] == "other"


def test_cancel_keeps_what_is_finished_and_runs_again(ready, find, qtbot):
    viewer, stage, image = ready
    image.data = np.tile(image.data, (4, 4))
    stage._follow()
    with first_tile(stage, qtbot):
        qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
        assert stage.run_button.button.text() == "Cancel"
    assert "Mpx/s" in stage.message.text()
    assert "left" in stage.message.text()
    with qtbot.waitSignal(stage.finished, timeout=60_000):
        qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    assert "what was finished is kept" in stage.message.text()
    assert stage.run_button.button.text() == "Find nuclei"
    qtbot.waitUntil(lambda: not stage.running, timeout=30_000)
    computed = ours(viewer)["L4 · x04"].data > 0
    assert 0 < computed.mean() < 1
    stage.form.depth.value = 1
    find(stage)
    assert (ours(viewer)["L1 · x01"].data > 0).all()


def test_threshold_size_and_splitting_act_without_the_network(ready, find, qtbot):
    viewer, stage, _ = ready
    find(stage)
    probability = np.array(ours(viewer)["L4 · x04"].data)
    threshold = float(np.quantile(probability.astype(float), 0.7))
    stage.label_form.threshold.value = round(threshold, 2)
    stage.label_form.smallest.value = 5
    stage.label_form.split.value = False
    expected = label_nuclei(probability, LabelSettings(round(threshold, 2), 5, False))
    qtbot.waitUntil(lambda: np.array_equal(ours(viewer)["L4 · nuclei"].data, expected), timeout=20_000)
    np.testing.assert_array_equal(ours(viewer)["L4 · x04"].data, probability)
    qtbot.waitUntil(lambda: not stage.relabeller.running, timeout=20_000)
    assert ours(viewer)["L4 · nuclei"].metadata["unetsharp"]["threshold"] == round(threshold, 2)
    stage.label_form.shown.value = 1
    first = (np.array(ours(viewer)["L1 · x01"].data) >= round(threshold, 2)).sum()
    qtbot.waitUntil(lambda: (ours(viewer)["L1 · nuclei"].data > 0).sum() >= 0.5 * first, timeout=20_000)
    assert ours(viewer)["L1 · nuclei"].visible
    assert not ours(viewer)["L4 · nuclei"].visible


def test_no_nuclei_names_the_two_controls(ready, find, qtbot):
    _, stage, _ = ready
    find(stage)
    stage.label_form.smallest.value = 100_000
    qtbot.waitUntil(lambda: "No nuclei found" in stage.message.text(), timeout=20_000)
    assert "More / fewer" in stage.message.text()
    assert "Smallest" in stage.message.text()


def test_edit_a_copy_is_never_touched_again(ready, find, qtbot):
    viewer, stage, _ = ready
    find(stage)
    qtbot.mouseClick(stage.views.edit_button, Qt.MouseButton.LeftButton)
    corrected = viewer.layers["Corrected"]
    assert corrected.editable
    assert corrected.locked
    np.testing.assert_array_equal(corrected.data, ours(viewer)["L4 · nuclei"].data)
    corrected.data_setitem((np.array([5]), np.array([5])), 999)
    painted = np.array(corrected.data)
    find(stage)
    np.testing.assert_array_equal(corrected.data, painted)
    assert all(not layer.editable for layer in ours(viewer).values() if layer.name.endswith("· nuclei"))
    assert viewer.layers.index(corrected) == len(viewer.layers) - 1
    qtbot.mouseClick(stage.views.edit_button, Qt.MouseButton.LeftButton)
    np.testing.assert_array_equal(viewer.layers["Corrected"].data, painted)


def test_a_stack_runs_this_plane_or_all(window, find, field, small_checkpoint):
    viewer, stage = window
    stack = np.stack([field[0], field[0][::-1], field[0][:, ::-1]])
    viewer.add_image(stack, name="stack")
    stage.open_model(small_checkpoint)
    stage.form.where.value = "whole image"
    viewer.dims.set_current_step(0, 1)
    find(stage)
    computed = [bool(plane.any()) for plane in ours(viewer)["L4 · x04"].data]
    assert computed == [False, True, False]
    assert not stage.form.planes.native.isHidden()
    stage.form.planes.value = "all planes"
    find(stage)
    alone = Predictor(load_checkpoint(small_checkpoint), "cpu").predict(stack[2])
    np.testing.assert_array_equal(ours(viewer)["L4 · x04"].data[2], alone.full["x04"])
    assert ours(viewer)["L4 · nuclei"].data.shape == stack.shape


def test_drawn_rectangle_runs_only_there(ready, find):
    viewer, stage, image = ready
    stage.form.where.value = "drawn rectangle"
    shapes = viewer.layers["UNet# area"]
    assert shapes.mode == "add_rectangle"
    np.testing.assert_array_equal(shapes.scale, image.scale)
    shapes.add_rectangles(np.array([[32, 48], [32, 112], [96, 112], [96, 48]]))
    find(stage)
    rows, columns = np.nonzero(ours(viewer)["L4 · x04"].data)
    assert (rows.min(), columns.min()) == (32, 48)
    assert 95 <= rows.max() < 96 + 16
    assert 111 <= columns.max() < 112 + 16


def test_what_i_see_runs_what_is_on_screen(ready, find):
    viewer, stage, image = ready
    viewer.fit_to_view()
    viewer.scene.camera.center = (0, *(np.array([96, 128]) * image.scale))
    viewer.scene.camera.zoom = viewer.canvas.size[0] / (64 * image.scale[0])
    stage.form.where.value = "what I see"
    find(stage)
    rows, _ = np.nonzero(ours(viewer)["L4 · x04"].data)
    assert 48 <= rows.min() <= 64
    assert 127 <= rows.max() < 127 + 17


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.full((40, 40), np.nan, np.float32), "NaN"),
        (np.ones((40, 40), np.complex64), "complex64"),
    ],
)
def test_what_cannot_be_segmented_is_one_sentence_that_stays(window, qtbot, small_checkpoint, pixels, sentence):
    viewer, stage = window
    stage.open_model(small_checkpoint)
    layer = viewer.add_image(np.zeros((40, 40), np.uint8), name="bad")
    layer._data = pixels  # napari itself warns about both
    stage.form.where.value = "whole image"
    qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.message.is_problem and not stage.running, timeout=20_000)
    assert sentence in stage.message.text()
    assert stage.run_button.button.text() == "Find nuclei"
    layer._data = np.zeros((40, 40), np.uint8)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((64, 80), np.uint8),
        np.arange(35, dtype=np.uint8).reshape(7, 5),
        (np.random.default_rng(1).random((50, 60)) * 40_000).astype(np.uint16),
        np.random.default_rng(2).random((50, 60)).astype(np.float64),
        np.random.default_rng(3).random((50, 60)) > 0.5,
        np.random.default_rng(4).integers(0, 255, (50, 60, 4), dtype=np.uint8),
    ],
    ids=["black", "7x5", "uint16", "float", "bool", "rgba"],
)
def test_odd_pictures_give_a_result(window, find, small_checkpoint, pixels):
    viewer, stage = window
    viewer.add_image(pixels, name="odd")
    stage.open_model(small_checkpoint)
    stage.form.where.value = "whole image"
    find(stage)
    assert not stage.message.is_problem
    assert ours(viewer)["L4 · x04"].data.shape == pixels.shape[:2]
    assert ours(viewer)["L4 · x04"].data.all()
    said = "was repeated for the 3" if pixels.ndim == 2 else "transparency"
    assert said in stage.message.text()


def test_nothing_open_says_what_to_do(window, qtbot, small_checkpoint):
    _, stage = window
    stage.open_model(small_checkpoint)
    qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    assert stage.message.is_problem
    assert "press Open" in stage.message.text()


def test_closing_the_image_in_the_middle_of_a_run(ready, qtbot):
    viewer, stage, image = ready
    image.data = np.tile(image.data, (4, 4))
    with first_tile(stage, qtbot):
        qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    viewer.layers.remove(image)
    qtbot.waitUntil(lambda: not stage.running, timeout=60_000)
    assert "closed" in stage.message.text()
    assert stage.run_button.button.text() == "Find nuclei"


def test_deleting_a_result_layer_in_the_middle_of_a_run(ready, qtbot, find):
    viewer, stage, image = ready
    image.data = np.tile(image.data, (4, 4))
    qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Mpx/s" in stage.message.text() and not stage.views.adding, timeout=60_000)
    viewer.layers.remove(viewer.layers["L4 · x04"])
    qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not stage.running, timeout=60_000)
    assert not stage.message.is_problem
    stage.form.where.value = "what I see"
    stage.form.depth.value = 4
    find(stage)
    assert set(ours(viewer)) == THIRTEEN


def test_closing_the_window_in_the_middle_of_a_run(make_napari_viewer, qtbot, small_checkpoint, field):
    from napari_unetsharp.widgets.dock import open_dock

    viewer = make_napari_viewer()
    stage = open_dock(viewer).find
    viewer.add_image(np.tile(field[0], (4, 4)), name="field")
    stage.open_model(small_checkpoint)
    stage.form.where.value = "whole image"
    with first_tile(stage, qtbot):
        qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    worker = stage.run_button._worker
    viewer.close()
    assert worker.stop.is_set()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)


def test_a_device_that_is_not_there_is_one_sentence(ready, qtbot):
    from napari_unetsharp.network.device import why_no_cuda

    if not why_no_cuda():
        pytest.skip("this machine has CUDA")
    _, stage, _ = ready
    stage.form.device.value = "cuda"
    qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: stage.message.is_problem and not stage.running, timeout=20_000)
    assert "cuda was asked for" in stage.message.text().lower()


def test_auto_device_gives_name_and_reason(ready, find):
    from napari_unetsharp.network.device import choose_device

    _, stage, _ = ready
    find(stage)
    assert choose_device().name in stage.device_label.text()
    assert choose_device().reason in stage.device_label.text()


def test_open_reads_files_and_says_what_is_wrong(window, tmp_path, field):
    import tifffile

    viewer, stage = window
    path = tmp_path / "Übersicht 1.tif"
    tifffile.imwrite(
        path, np.stack([field[0]] * 3), imagej=True, resolution=(4, 4), metadata={"axes": "ZYX", "unit": "um"}
    )
    stage.open_image(str(path))
    assert stage.layer.data.shape == (3, 192, 256)
    np.testing.assert_allclose(stage.layer.scale[1:], 0.25)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    stage.open_image(str(tmp_path / "broken.png"))
    assert stage.message.is_problem
    assert "broken.png" in stage.message.text()
    assert len(viewer.layers) == 1


def test_a_model_with_one_head_says_why_views_are_missing(window, find, field, tmp_path):
    import torch

    from napari_unetsharp.network.checkpoint import Checkpoint
    from napari_unetsharp.network.metadata import CheckpointMetadata
    from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig

    torch.manual_seed(7)
    network = UNetSharp(UNetSharpConfig(widths=(4, 4, 8, 8, 8), deep_supervision=False)).eval()
    Checkpoint(network, CheckpointMetadata("one head")).save(tmp_path / "one.safetensors")
    viewer, stage = window
    viewer.add_image(field[0], name="field")
    stage.open_model(str(tmp_path / "one.safetensors"))
    stage.form.where.value = "whole image"
    find(stage)
    assert set(ours(viewer)) == {"L4 · x04", "L4 · nuclei"}
    assert "no head on x13" in stage.views._why_not("x13")


def test_our_maps_are_not_offered_as_images(ready, find):
    viewer, stage, image = ready
    find(stage)
    assert [layer for layer in stage.form.image.choices if layer is not None] == [image]
    viewer.add_image(np.zeros((20, 20)), name="second")
    assert [layer.name for layer in stage.form.image.choices if layer is not None] == ["field", "second"]


def test_a_picture_that_was_open_before_the_dock_is_chosen(make_napari_viewer, field):
    from napari_unetsharp.widgets.dock import open_dock

    viewer = make_napari_viewer()
    image = viewer.add_image(field[0], name="before")
    viewer.add_labels(field[1], name="labels")
    stage = open_dock(viewer).find
    assert stage.layer is image
    viewer.layers.remove(image)
    assert stage.layer is None
    assert viewer.add_image(field[0], name="after") is stage.layer
