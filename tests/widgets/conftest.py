"""A window with the dock, and pictures in it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from review_window import found, hands, nothing_but_a_name  # noqa: F401

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.widgets import models, pixel_size
from napari_unetsharp.widgets.dock import open_dock


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """Recent models and pixel sizes of the person who runs the tests stay out of it."""
    monkeypatch.setattr(models, "memory_file", lambda: tmp_path / "memory" / "models.json")
    monkeypatch.setattr(pixel_size, "memory_file", lambda: tmp_path / "memory" / "pixel_sizes.json")


@pytest.fixture(scope="session")
def field():
    """A drawn field of 192 x 256 px and its exact mask."""
    return draw_fluorescence(seed=3, height=192, width=256, nuclei=24)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory):
    """A narrow network with random weights: fast, for everything but quality."""
    import torch

    torch.manual_seed(5)
    network = UNetSharp(UNetSharpConfig(widths=(4, 8, 8, 16, 16))).eval()
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    Checkpoint(network, CheckpointMetadata("small")).save(path)
    return str(path)


@pytest.fixture
def window(make_napari_viewer, qtbot):
    """Viewer and stage Find; everything that runs is ended before the window closes."""
    viewer = make_napari_viewer()
    dock = open_dock(viewer)
    yield viewer, dock.find
    dock.find.run_button.quit()
    qtbot.waitUntil(lambda: not dock.find.running and not dock.find.relabeller.running, timeout=30_000)


@pytest.fixture
def find(qtbot):
    """Press Find nuclei and wait until the run has ended and all layers are there."""

    def press(stage, timeout=60_000):
        with qtbot.waitSignal(stage.finished, timeout=timeout):
            qtbot.mouseClick(stage.run_button.button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not stage.running and not stage.views.adding, timeout=timeout)

    return press


@pytest.fixture
def ready(window, field, small_checkpoint):
    """The drawn field is open and the small model is chosen."""
    viewer, stage = window
    layer = viewer.add_image(np.array(field[0]), name="field", scale=(0.5, 0.25), units=("um", "um"))
    stage.open_model(small_checkpoint)
    stage.form.where.value = "whole image"
    return viewer, stage, layer
