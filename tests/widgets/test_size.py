"""The nucleus size in the window: estimated, set, shown on the tissue and dragged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unetsharp import Predictor, load_checkpoint
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.widgets.size_ring import NAME


@pytest.fixture(scope="session")
def sized_checkpoint(tmp_path_factory):
    """Bright is a nucleus, its brightest part a core; the model knows nuclei of 20 px and has guided modules."""
    import torch

    network = UNetSharp(UNetSharpConfig(widths=(4, 8, 8, 16, 16), guided=True, extras=("core", "border"))).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.weight.zero_()
                module.bias.zero_()
        for block in network.nodes.values():
            block.conv1.weight[0, 0, 1, 1] = block.conv2.weight[0, 0, 1, 1] = 1
        for head in network.heads.values():
            head.weight[:2, 0, head.kernel_size[0] // 2, head.kernel_size[0] // 2] = 40
            head.bias[:] = torch.tensor([-12.0, -16.0, -40.0])
    path = tmp_path_factory.mktemp("models") / "sized.safetensors"
    Checkpoint(network, CheckpointMetadata("sized", nucleus_size=20.0, crop=64)).save(path)
    return str(path)


@pytest.fixture
def sized(window, field, sized_checkpoint):
    viewer, stage = window
    layer = viewer.add_image(np.array(field[0]), name="field", scale=(0.5, 0.5), units=("um", "um"))
    stage.open_model(sized_checkpoint)
    stage.form.where.value = "whole image"
    return viewer, stage, layer


def ring_of(viewer):
    return next((layer for layer in viewer.layers if layer.name.startswith(NAME)), None)


def test_the_size_is_estimated_and_said_in_px_and_micrometres(sized, find, field, sized_checkpoint):
    _, stage, _ = sized
    assert stage.form.nucleus_size.native.text() == "estimated"
    find(stage)
    size = stage.found.results.nucleus_size
    assert size == Predictor(load_checkpoint(sized_checkpoint), "cpu").estimate_size(field[0])
    assert f"about {size:.0f} px ({size * 0.5:.1f} µm) across, estimated" in stage.message.text()


def test_a_size_that_was_set_is_used(sized, find, field, sized_checkpoint):
    _, stage, _ = sized
    stage.form.nucleus_size.value = 31
    find(stage)
    assert stage.found.results.nucleus_size == 31
    assert "31 px (15.5 µm) across, as you set it" in stage.message.text()
    expected = Predictor(load_checkpoint(sized_checkpoint), "cpu").predict(field[0], nucleus_size=31)
    np.testing.assert_array_equal(stage.found.results.maps["x04"], expected.full["x04"])
    np.testing.assert_array_equal(stage.found.results.cores["x04"], expected.cores["x04"])


def test_a_model_without_a_size_of_its_own_asks_for_none(ready):
    _, stage, _ = ready
    assert not stage.form.nucleus_size.enabled
    assert stage.form.guided.native.isHidden()


def test_the_ring_lies_on_the_tissue_and_leaves_it(sized, qtbot):
    viewer, stage, layer = sized
    stage.form.nucleus_size.value = 24
    qtbot.mouseClick(stage.size_button, Qt.MouseButton.LeftButton)
    ring = ring_of(viewer)
    corners = np.asarray(ring.data[0])
    np.testing.assert_allclose(np.ptp(corners, axis=0), [24, 24])
    np.testing.assert_allclose(corners.mean(0), np.array(layer.data.shape) / 2, atol=2)
    np.testing.assert_allclose(ring.scale, layer.scale)
    stage.form.nucleus_size.value = 30
    np.testing.assert_allclose(np.ptp(np.asarray(ring_of(viewer).data[0]), axis=0), [30, 30])
    qtbot.mouseClick(stage.size_button, Qt.MouseButton.LeftButton)
    assert ring_of(viewer) is None


def test_dragging_the_ring_sets_the_size(sized, qtbot):
    viewer, stage, layer = sized
    viewer.window._qt_window.show()
    viewer.fit_to_view()
    stage.form.nucleus_size.value = 40
    qtbot.mouseClick(stage.size_button, Qt.MouseButton.LeftButton)
    ring = ring_of(viewer)
    viewer.layers.selection.active = ring
    ring.mode, ring.selected_data = "select", {0}
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.wait(200)

    def place(point):
        """Where a point of the image is on the canvas."""
        world = np.asarray(layer.data_to_world(point))[-2:]
        middle = np.array([canvas.height(), canvas.width()]) / 2
        row, column = (world - np.array(viewer.scene.camera.center[-2:])) * viewer.scene.camera.zoom + middle
        return QPoint(round(column), round(row))

    corner = np.asarray(ring.data[0]).max(0)
    qtbot.mouseMove(canvas, place(corner))
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(corner))
    for step in (3, 6, 10):
        qtbot.mouseMove(canvas, place(corner + step))
        qtbot.wait(50)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place(corner + 10))
    qtbot.waitUntil(lambda: stage.form.nucleus_size.value != 40, timeout=5_000)
    assert 42 < stage.form.nucleus_size.value < 62
    assert "Press Find nuclei to use it" in stage.message.text()


def test_the_ring_is_no_drawn_rectangle(sized, qtbot):
    viewer, stage, _ = sized
    qtbot.mouseClick(stage.size_button, Qt.MouseButton.LeftButton)
    stage.form.where.value = "drawn rectangle"
    assert [layer.name for layer in viewer.layers if "area" in layer.name] == ["UNet# area"]


def test_a_ring_that_was_deleted_unchecks_the_button(sized, qtbot):
    viewer, stage, _ = sized
    qtbot.mouseClick(stage.size_button, Qt.MouseButton.LeftButton)
    viewer.layers.remove(ring_of(viewer))
    assert not stage.size_button.isChecked()


def test_averages_are_a_choice(sized, find, field, sized_checkpoint):
    _, stage, _ = sized
    stage.form.nucleus_size.value = 20
    checkpoint = load_checkpoint(sized_checkpoint)
    for look, options in (("average of all views", {"accurate": True}), ("8 orientations", {"orientations": 8})):
        stage.form.look.value = look
        find(stage)
        expected = Predictor(checkpoint, "cpu", **options).predict(field[0], nucleus_size=20)
        np.testing.assert_array_equal(stage.found.results.maps["x04"], expected.full["x04"])


def test_guided_modules_are_a_switch_that_is_off(sized, find, tmp_path):
    """Modules that never see a target clear everything once they are asked."""
    import torch

    _, stage, _ = sized
    checkpoint = load_checkpoint(stage.form.model.value)
    with torch.no_grad():
        for guide in checkpoint.network.guides.values():
            guide.layers[-1].bias[:] = torch.tensor([9.0, -9.0])
    path = tmp_path / "blind.safetensors"
    replace(checkpoint, metadata=replace(checkpoint.metadata, name="blind")).save(path)
    stage.open_model(str(path))
    assert not stage.form.guided.native.isHidden()
    assert not stage.form.guided.value
    find(stage)
    assert stage.found.results.maps["x04"].max() > 0.5
    stage.form.guided.value = True
    find(stage)
    assert stage.found.results.maps["x04"].max() < 0.01
    assert "No nuclei found" in stage.message.text()
