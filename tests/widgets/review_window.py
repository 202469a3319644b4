"""A window in stage Review, without a run of the network: maps are drawn from the exact mask."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_unetsharp.inference.results import Results
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.nuclei.doubt import max_pool
from napari_unetsharp.nuclei.instances import LabelSettings
from napari_unetsharp.nuclei.store import set_aside
from napari_unetsharp.widgets.dock import open_dock
from napari_unetsharp.widgets.layers import ResultLayers
from napari_unetsharp.widgets.source import image_from_layer

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def draw_maps(truth, seed=1):
    """Probability by branch: sure inside, soft at edges, less sure the shallower; some nuclei faint."""
    generator = np.random.default_rng(seed)
    ids = np.arange(truth.max() + 1)
    strength = np.where(generator.random(len(ids)) < 0.15, 0.62, 0.97)
    strength[0] = 0.02
    sharp = strength[truth]
    edges = ndimage.maximum_filter(truth, 3) != ndimage.minimum_filter(truth, 3)
    sharp = np.where(edges & (truth > 0), 0.55, sharp)
    maps = {}
    for level in (4, 3, 2, 1):
        noise = ndimage.gaussian_filter(generator.normal(0, 1, truth.shape), 3) * (0.15 * (4 - level))
        maps[f"x0{level}"] = np.clip(ndimage.gaussian_filter(sharp, 0.5 + 0.3 * (4 - level)) + noise, 0, 1)
    for node, scale in (("x13", 2), ("x22", 4), ("x31", 8), ("x40", 16)):
        cells = max_pool(maps["x04"], scale)
        maps[node] = cells.repeat(scale, 0).repeat(scale, 1)[: truth.shape[0], : truth.shape[1]]
    return {node: maps[node].astype(np.float16) for node in BRANCHES}


def put_results(viewer, stage, layer, truth, checkpoint, maps=None, layers=2):
    """Give stage Find the results that a run would leave, with the first few of its thirteen layers."""
    results = Results(image_from_layer(layer))
    results.prepare(tuple(BRANCHES), ())
    for node, values in (maps or draw_maps(truth)).items():
        results.maps[node][...] = values
    results.doubt[...] = np.abs(results.maps["x04"].astype(np.float32) - results.maps["x03"].astype(np.float32))
    results._computed[()] = np.ones(truth.shape, bool)
    results.label((), LabelSettings(0.5, 20, True))
    found = stage.results[layer] = ResultLayers(viewer, layer, results)
    found.show(checkpoint, 4, 0.5)
    for _ in range(layers):
        found.add_next()
    stage.reset_choices()
    return found


class Hands:
    """Real keys, clicks and drags on the canvas of a review."""

    def __init__(self, viewer, dock, qtbot):
        self.viewer, self.dock, self.qtbot = viewer, dock, qtbot
        self.stage = dock.review

    @property
    def desk(self):
        return self.stage.desk

    @property
    def session(self):
        return self.stage.session

    @property
    def review(self):
        return self.session.review

    def again(self):
        """Start the review anew in the same window: much faster than another window."""
        folder = self.desk.subject.folder
        assert self.stage.close_review()
        set_aside(folder)
        self.stage.enter()
        self.wait_until_prepared()
        assert self.session is not None
        self.qtbot.wait(1)

    def wait_until_prepared(self):
        """A review is read and ordered in a thread."""
        self.qtbot.waitUntil(lambda: not self.stage.preparation.running, timeout=30_000)

    @property
    def native(self):
        return self.viewer.window._qt_viewer.canvas.native

    def key(self, key, modifier=NONE, widget=None):
        """Press and let go of a key, where the focus is or on the canvas."""
        self.qtbot.keyClick(widget or self.native, key, modifier)
        self.qtbot.wait(1)

    def at(self, row, column):
        """Where a pixel of the image is on the canvas."""
        world = np.asarray(self.desk.canvas.states.data_to_world((row, column)))[-2:]
        camera = self.viewer.scene.camera
        height, width = self.viewer.canvas.size
        y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom + np.array([height, width]) / 2
        return QPoint(round(x), round(y))

    def show(self, row, column):
        """Bring a pixel into the middle of the canvas."""
        from napari_unetsharp.nuclei.pixels import Box

        self.desk.canvas.centre(Box(int(row), int(column), int(row) + 1, int(column) + 1))
        self.qtbot.wait(1)

    def click(self, row, column, modifier=NONE):
        """Click on a pixel."""
        self.show(row, column)
        self.move(row, column)
        self.qtbot.mouseClick(self.native, LEFT, modifier, self.at(row, column))
        self.qtbot.wait(1)

    def move(self, row, column):
        """Point at a pixel."""
        place = self.at(row, column)
        self.qtbot.mouseMove(self.native, place + QPoint(3, 3))
        self.qtbot.wait(8)
        self.qtbot.mouseMove(self.native, place)
        self.qtbot.wait(8)

    def drag(self, points):
        """Hold the button and go along pixels."""
        self.qtbot.mousePress(self.native, LEFT, NONE, self.at(*points[0]))
        for one, two in itertools.pairwise(points):
            for share in (0.34, 0.67, 1.0):
                self._drag_to(self.at(*(np.asarray(one) + share * (np.asarray(two) - np.asarray(one)))))
        self.qtbot.mouseRelease(self.native, LEFT, NONE, self.at(*points[-1]))
        self.qtbot.wait(2)

    def _drag_to(self, place):
        position = QPointF(place)
        globally = QPointF(self.native.mapToGlobal(place))
        event = QMouseEvent(QEvent.Type.MouseMove, position, globally, Qt.MouseButton.NoButton, LEFT, NONE)
        QApplication.sendEvent(self.native, event)
        self.qtbot.wait(8)

    def middle(self, id_):
        """A pixel within a nucleus, away from its edge."""
        box = self.review.boxes[id_]
        depth = ndimage.distance_transform_edt(np.pad(self.review.labels[box.slices] == id_, 1))
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        return box.top + int(row) - 1, box.left + int(column) - 1

    def press(self, button):
        """Click a button of the dock."""
        self.qtbot.mouseClick(button, LEFT)
        self.wait_until_prepared()
        self.qtbot.wait(1)

    def state(self, id_):
        return self.review.nuclei[id_].state


@pytest.fixture(scope="session")
def nothing_but_a_name():
    """A checkpoint for the layers' metadata; its network isn't run."""
    network = UNetSharp(UNetSharpConfig(widths=(4, 4, 4, 4, 4))).eval()
    return Checkpoint(network, CheckpointMetadata("drawn"))


@pytest.fixture
def found(make_napari_viewer, qtbot, field, nothing_but_a_name, tmp_path, monkeypatch):
    """Nuclei were found on the drawn field; stage Find is on screen."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    dock = open_dock(viewer)
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, field[0])
    dock.find.open_image(str(path))
    put_results(viewer, dock.find, dock.find.layer, field[1], nothing_but_a_name)
    hands = Hands(viewer, dock, qtbot)
    yield hands
    qtbot.waitUntil(lambda: hands.desk is None or not hands.desk.saver.running, timeout=20_000)
    dock.review.close_review()


@pytest.fixture
def hands(found, qtbot):
    """A review of what was found, with its first card."""
    found.press(found.dock.buttons["Review"])
    assert found.session is not None, found.stage.message.text()
    qtbot.wait(5)
    return found
