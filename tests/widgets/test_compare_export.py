"""*Export this depth…* by clicks: what is offered, how far it is, where the file went, and what went wrong."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unetsharp.exporting import formats
from napari_unetsharp.exporting.formats import FORMATS
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.widgets.compare_export import ExportPanel


@pytest.fixture
def panel(qtbot, small_checkpoint):
    window = QWidget()
    made = ExportPanel()
    QVBoxLayout(window).addWidget(made)
    window.resize(370, 260)
    qtbot.addWidget(window)
    window.show()
    made.offer(load_checkpoint(small_checkpoint))
    yield made
    made.quit()
    qtbot.waitUntil(lambda: not made.running, timeout=30_000)


@pytest.fixture
def asked(monkeypatch):
    """What the file dialog was asked for; `answer` is what the person types."""
    calls = {"answer": ""}

    def ask(_parent, title, name, kinds):
        calls.update(title=title, name=name, kinds=kinds)
        return calls["answer"], kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    return calls


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def texts(box):
    return [box.itemText(place) for place in range(box.count())]


def test_a_depth_is_written_by_clicks(panel, qtbot, asked, tmp_path):
    assert texts(panel.depth) == ["Depth 1, fastest", "Depth 2", "Depth 3", "Depth 4, fullest"]
    assert panel.depth.currentData() == 4
    assert texts(panel.format) == [item.title for item in FORMATS.values()]
    for place, item in enumerate(FORMATS.values()):
        panel.format.setCurrentIndex(place)
        assert panel.purpose.text() == item.words
    panel.depth.setCurrentIndex(1)
    panel.format.setCurrentIndex(0)
    asked["answer"] = str(tmp_path / "mine")
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        click(qtbot, panel.button)
        assert panel.button.text() == "Cancel"
        assert panel.bar.isVisible()
        assert not panel.depth.isEnabled()
    assert asked["name"] == "small-L2.safetensors"
    assert asked["kinds"] == "Smaller model (*.safetensors)"
    assert load_checkpoint(tmp_path / "mine.safetensors").config.heads == ("x01", "x02")
    assert panel.message.text() == f"Written: {tmp_path / 'mine.safetensors'}"
    assert panel.button.text() == "Export this depth…"
    assert panel.show_button.isVisible()
    assert not panel.bar.isVisible()

    # A name that the dialog showed may be replaced; one that only becomes it with its suffix was not shown.
    written = (tmp_path / "mine.safetensors").stat().st_mtime_ns
    with qtbot.waitSignal(panel.failed, timeout=60_000):
        click(qtbot, panel.button)
    assert panel.message.is_problem
    assert "there already" in panel.message.text()
    assert (tmp_path / "mine.safetensors").stat().st_mtime_ns == written
    qtbot.waitUntil(lambda: not panel.running, timeout=30_000)
    asked["answer"] = str(tmp_path / "mine.safetensors")
    with qtbot.waitSignal(panel.written, timeout=60_000):
        click(qtbot, panel.button)
    qtbot.waitUntil(lambda: not panel.running, timeout=30_000)
    assert (tmp_path / "mine.safetensors").stat().st_mtime_ns > written
    assert not panel.message.is_problem


def test_cancel_writes_nothing_and_says_so(panel, qtbot, asked, tmp_path):
    asked["answer"] = str(tmp_path / "mine.safetensors")
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        click(qtbot, panel.button)
        click(qtbot, panel.button)
        assert not panel.button.isEnabled()
    assert panel.message.text() == "Cancelled; nothing was written."
    assert panel.button.isEnabled()
    assert list(tmp_path.iterdir()) == []


def test_a_dialog_that_is_closed_does_nothing(panel, qtbot, asked):
    click(qtbot, panel.button)
    assert not panel.running
    assert asked["title"] == "Export this depth"
    assert not panel.message.text()


def test_only_depths_that_the_model_has_are_offered(panel):
    panel.offer(Checkpoint(UNetSharp(UNetSharpConfig(widths=(4, 4, 4, 4, 4), level=2)).eval(), CheckpointMetadata()), 1)
    assert texts(panel.depth) == ["Depth 1, fastest", "Depth 2"]
    assert panel.depth.currentData() == 1
    panel.offer(None)
    assert texts(panel.depth) == []
    assert panel.purpose.text() == "No model is loaded yet: find nuclei first."
    assert not panel.button.isEnabled()


def test_a_missing_package_is_said_with_what_to_install(panel, qtbot, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    panel.format.setCurrentIndex(panel.format.findData("onnx"))
    asked["answer"] = str(tmp_path / "mine.onnx")
    click(qtbot, panel.button)
    assert panel.message.is_problem
    assert "pip install 'napari-unetsharp[export]'" in panel.message.text()
    assert list(tmp_path.iterdir()) == []


def test_no_control_takes_the_keyboard(panel):
    for control in (panel.depth, panel.format, panel.button, panel.show_button):
        assert control.focusPolicy() == Qt.FocusPolicy.NoFocus
