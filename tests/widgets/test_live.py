"""*Live* in the real window: nuclei of whatever comes into view."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_unetsharp import Predictor, load_checkpoint
from napari_unetsharp.inference import live_network
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.widgets.dock import open_dock
from napari_unetsharp.widgets.live_layers import FIRST
from napari_unetsharp.widgets.preparing import computed_box
from napari_unetsharp.widgets.review_source import starting_points, subject_of

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def large(ready):
    """A picture of 768 x 1024 px, of which a part is on screen."""
    viewer, stage, image = ready
    image.data = np.tile(image.data, (4, 4))
    stage.form.depth.value = 2
    look_at(viewer, image, (150, 200))
    return viewer, stage, image


def look_at(viewer, image, centre, height=120):
    """Bring a place into the middle of the canvas, with so many rows in view."""
    row, column = np.array(centre) * image.scale
    viewer.scene.camera.center = (0, row, column)
    viewer.scene.camera.zoom = viewer.canvas.size[0] / (height * image.scale[0])


def drag_to(canvas, place):
    """Move with the button held, as Qt tells a widget."""
    there = QPointF(place), QPointF(canvas.mapToGlobal(place))
    nothing = Qt.MouseButton.NoButton, LEFT, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, *there, *nothing))


def press_live(stage, qtbot):
    qtbot.mouseClick(stage.live_button, LEFT)


def rests(stage):
    """Nothing is due and nothing is under way: true from a move on until the look after it has ended."""
    return not stage.live.waiting and not stage.live.running


def wait_for_nuclei(stage, qtbot):
    """Wait for the look that the last move, press or wish asked for, however short it is."""
    qtbot.waitUntil(
        lambda: rests(stage) and "in view at depth" in stage.message.text() and not stage.views.adding, timeout=90_000
    )


@contextmanager
def when_it_looks(stage, qtbot, act):
    """Do something the moment the next look begins; one that is short would be over before a poll sees it."""
    acted = []

    def once():
        stage.live.began.disconnect(once)
        act()
        acted.append(True)

    stage.live.began.connect(once)
    yield
    qtbot.waitUntil(lambda: bool(acted), timeout=30_000)


def end(stage, qtbot):
    stage.live.end()
    qtbot.waitUntil(lambda: not stage.running, timeout=60_000)


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_what_comes_into_view_is_found_and_stays(large, qtbot, small_checkpoint):
    viewer, stage, image = large
    press_live(stage, qtbot)
    wait_for_nuclei(stage, qtbot)
    results = stage.found.results
    here = results.computed(())
    assert here[150, 200]
    assert not here[600, 800]
    assert "L2 · nuclei" in names(viewer)
    assert viewer.layers["L2 · nuclei"].visible
    look_at(viewer, image, (600, 800))
    wait_for_nuclei(stage, qtbot)
    both = results.computed(())
    assert both[600, 800]
    assert (both & here).sum() == here.sum()
    kept = np.array(results.labels[2])
    look_at(viewer, image, (150, 200))
    wait_for_nuclei(stage, qtbot)
    np.testing.assert_array_equal(results.computed(()), both)
    np.testing.assert_array_equal(results.labels[2], kept)
    alone = Predictor(load_checkpoint(small_checkpoint), "cpu", 2).predict(image.data)
    for node in ("x01", "x02"):
        np.testing.assert_allclose(results.maps[node][both], alone.full[node][both], atol=5e-4)  # a float16 step
    subject = subject_of(viewer, image)
    material = starting_points(viewer, subject, stage.found, 2)["nuclei found, depth 2"]
    np.testing.assert_array_equal(material.computed, both)
    assert computed_box(material) is None  # two places, far from each other
    press_live(stage, qtbot)
    assert "stays" in stage.message.text()
    assert FIRST not in names(viewer)
    end(stage, qtbot)


def test_zoomed_out_too_far_it_says_so_and_zooming_in_finds(large, qtbot, monkeypatch):
    viewer, stage, image = large
    monkeypatch.setattr(live_network, "MOST", 0.3e6)
    look_at(viewer, image, (384, 512), height=768)
    press_live(stage, qtbot)
    qtbot.waitUntil(lambda: "Zoom in: 0." in stage.message.text(), timeout=60_000)
    assert "up to 0.3" in stage.message.text()
    assert not stage.message.is_problem
    assert not stage.found.results.computed(()).any()
    look_at(viewer, image, (384, 512))
    wait_for_nuclei(stage, qtbot)
    assert stage.found.results.computed(())[384, 512]
    end(stage, qtbot)


def test_more_and_fewer_act_on_what_is_there(large, qtbot):
    _, stage, _ = large
    press_live(stage, qtbot)
    wait_for_nuclei(stage, qtbot)
    results = stage.found.results
    probability = np.array(results.maps["x02"])
    done = results.computed(())
    threshold = round(float(np.quantile(probability[done].astype(float), 0.7)), 2)
    stage.label_form.split.value = False
    stage.label_form.threshold.value = threshold
    expected = label_nuclei(probability, LabelSettings(threshold, 20, False))
    qtbot.waitUntil(lambda: np.array_equal(results.labels[2] > 0, expected > 0), timeout=60_000)
    qtbot.waitUntil(lambda: rests(stage), timeout=60_000)
    np.testing.assert_array_equal(results.maps["x02"], probability)
    np.testing.assert_array_equal(results.computed(()), done)
    end(stage, qtbot)


def test_find_nuclei_turns_it_off_and_runs_as_always(large, qtbot, small_checkpoint):
    viewer, stage, image = large
    seen = []
    with when_it_looks(stage, qtbot, lambda: (seen.append(stage.live._worker), stage.run_button.button.click())):
        press_live(stage, qtbot)
    qtbot.waitUntil(lambda: not stage.running, timeout=60_000)
    assert seen[0].stop.is_set()
    assert not stage.live_button.isChecked()
    assert FIRST not in names(viewer)
    alone = Predictor(load_checkpoint(small_checkpoint), "cpu", 2).predict(image.data)
    np.testing.assert_array_equal(stage.found.results.maps["x02"], alone.full["x02"])
    np.testing.assert_array_equal(viewer.layers["L2 · nuclei"].data, label_nuclei(alone.full["x02"]))
    press_live(stage, qtbot)  # everything in view is there, so nothing is left to do
    wait_for_nuclei(stage, qtbot)
    np.testing.assert_array_equal(viewer.layers["L2 · nuclei"].data, label_nuclei(alone.full["x02"]))
    end(stage, qtbot)


def test_a_move_drops_what_is_under_way(large, qtbot):
    viewer, stage, image = large
    look_at(viewer, image, (384, 512), height=700)
    seen = []

    def move():
        seen.append(stage.live._worker)
        look_at(viewer, image, (700, 900), height=60)

    with when_it_looks(stage, qtbot, move):
        press_live(stage, qtbot)
    assert seen[0].stop.is_set()
    wait_for_nuclei(stage, qtbot)
    assert stage.found.results.computed(())[700, 900]
    end(stage, qtbot)


def test_an_error_ends_it_with_one_message(large, qtbot):
    viewer, stage, image = large
    data = image.data
    image._data = np.full(data.shape, np.nan, np.float32)  # napari itself warns about it
    press_live(stage, qtbot)
    qtbot.waitUntil(lambda: stage.message.is_problem and rests(stage), timeout=60_000)
    said = stage.message.text()
    assert "NaN" in said
    assert not stage.live_button.isChecked()
    look_at(viewer, image, (300, 300))
    qtbot.wait(400)
    assert stage.message.text() == said
    assert not stage.live.running
    image._data = data


def test_no_image_in_view_and_no_image_at_all_is_waited_for(large, qtbot, field):
    viewer, stage, image = large
    look_at(viewer, image, (-900, -900))
    press_live(stage, qtbot)
    qtbot.waitUntil(lambda: "Live waits" in stage.message.text(), timeout=30_000)
    assert stage.live_button.isChecked()
    with when_it_looks(stage, qtbot, lambda: viewer.layers.remove(image)):
        look_at(viewer, image, (150, 200))
    qtbot.waitUntil(lambda: not stage.live.running, timeout=60_000)
    qtbot.waitUntil(lambda: "Live waits for an image" in stage.message.text(), timeout=30_000)
    assert not stage.message.is_problem
    other = viewer.add_image(field[0], name="other")
    look_at(viewer, other, (60, 60), 60)
    wait_for_nuclei(stage, qtbot)
    assert stage.results[other].results.computed(())[60, 60]
    end(stage, qtbot)


def test_it_rests_while_another_stage_is_open_and_follows_a_real_drag(
    make_napari_viewer, qtbot, field, small_checkpoint, monkeypatch
):
    viewer = make_napari_viewer(show=True)
    dock = open_dock(viewer)
    stage = dock.find
    image = viewer.add_image(np.tile(field[0], (4, 4)), name="field")
    stage.open_model(small_checkpoint)
    stage.form.depth.value = 2
    look_at(viewer, image, (230, 300))
    press_live(stage, qtbot)
    wait_for_nuclei(stage, qtbot)
    before = stage.found.results.computed(())
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    with monkeypatch.context() as held:
        held.setattr(QApplication, "mouseButtons", lambda: LEFT)  # Qt doesn't count buttons that tests press
        qtbot.mousePress(canvas, LEFT, pos=middle)
        for step in range(1, 6):
            drag_to(canvas, middle + QPoint(0, -60 * step))
            qtbot.wait(8)
        assert viewer.scene.camera.center[-2] > 270
        qtbot.wait(500)
        assert not stage.live.running
    qtbot.mouseRelease(canvas, LEFT, pos=middle + QPoint(0, -300))
    wait_for_nuclei(stage, qtbot)
    after = stage.found.results.computed(())
    assert after.sum() > before.sum()
    dock.show_stage("Teach")
    assert FIRST not in names(viewer)
    look_at(viewer, image, (600, 800))
    qtbot.wait(400)
    assert not stage.live.running
    assert not stage.found.results.computed(())[600, 800]
    dock.show_stage("Find")
    wait_for_nuclei(stage, qtbot)
    assert stage.found.results.computed(())[600, 800]
    seen = []
    with when_it_looks(stage, qtbot, lambda: seen.append(stage.live._worker)):
        look_at(viewer, image, (384, 512), height=768)  # enough for many tiles, so that it is still at work
    worker = seen[0]
    viewer.close()
    assert worker.stop.is_set()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
