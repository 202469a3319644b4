"""Keys and focus: ours after any click, napari's own where they are named so, none in text fields."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QWidget
from review_window import CTRL, LEFT, NONE, SHIFT

from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.keys import KEYS, chord

KEY = Qt.Key

PRESSED = {
    "yes": (KEY.Key_Space, NONE), "no": (KEY.Key_D, NONE), "unsure": (KEY.Key_Space, SHIFT), "next": (KEY.Key_N, NONE),
    "back": (KEY.Key_N, SHIFT), "to_do": (KEY.Key_U, NONE), "other": (KEY.Key_W, NONE),
    "previous_other": (KEY.Key_W, SHIFT), "split": (KEY.Key_S, NONE), "join": (KEY.Key_G, NONE),
    "add": (KEY.Key_A, NONE), "redraw": (KEY.Key_R, NONE), "tidy": (KEY.Key_T, NONE), "filled": (KEY.Key_H, NONE),
    "image_only": (KEY.Key_Q, NONE), "flicker": (KEY.Key_K, NONE), "shallower": (KEY.Key_Comma, NONE),
    "deeper": (KEY.Key_Period, NONE), "grid": (KEY.Key_J, NONE), "undo": (KEY.Key_Z, CTRL),
    "redo": (KEY.Key_Z, CTRL | SHIFT), "sheet": (KEY.Key_F1, NONE),
}  # fmt: skip


@pytest.fixture
def heard(hands, monkeypatch):
    """Names of the actions that were asked for; nothing is done."""
    names = []
    monkeypatch.setattr(hands.desk.keys, "_act", lambda name, begins: names.append(name) if begins else None)
    return names


def press_all(hands, widget=None):
    for key, modifier in PRESSED.values():
        hands.qtbot.keyClick(widget or QApplication.focusWidget() or hands.native, key, modifier)
    hands.qtbot.wait(2)


def expected(names):
    """Space comes a turn of the event loop later than the others."""
    return sorted(names)


def controls(panel):
    """Everything in the dock that can be clicked."""
    for child in panel.findChildren(QWidget):
        if child.isVisible() and child.isEnabled() and isinstance(child, QAbstractButton | QComboBox):
            yield child


def test_every_key_works_after_a_click_on_every_control(hands, heard, monkeypatch):
    work = hands.stage.work
    while hands.dock.find.found.add_next():
        pass
    hands.desk.view.show_tool()  # now all eight views have a button to press
    monkeypatch.setattr(QComboBox, "showPopup", lambda _self: None)
    monkeypatch.setattr(hands.desk, "press", lambda _name: None)
    skipped = {work.save, work.help}
    clicked = [control for control in controls(work) if control not in skipped]
    assert len(clicked) > 25
    for control in (*clicked, work.queue.viewport(), work, hands.stage):
        hands.qtbot.mouseClick(control, LEFT)
        heard.clear()
        press_all(hands)
        assert expected(heard) == sorted(PRESSED), control
        hands.desk.leave_tool()
    check_no_control_takes_the_focus(hands)


def test_keys_work_with_image_and_labels_layers(hands, heard):
    mine = hands.viewer.add_labels(np.zeros((20, 20), int), name="my labels")
    for active in (hands.desk.subject.layer, hands.desk.canvas.corrected, mine, None):
        hands.viewer.layers.selection.active = active
        heard.clear()
        press_all(hands, hands.native)
        own = {"undo", "redo"} if active is mine else set()  # napari's undo of the person's own layer
        assert expected(heard) == sorted(PRESSED.keys() - own), active
    heard.clear()
    check_keys_are_off_on_own_shapes_and_points(hands, heard)


def check_keys_are_off_on_own_shapes_and_points(hands, heard):
    for layer in (hands.viewer.add_shapes(name="mine"), hands.viewer.add_points(name="mine too")):
        hands.viewer.layers.selection.active = layer
        press_all(hands, hands.native)
        assert heard == []
    assert "off" in hands.desk.label.label.text()
    hands.viewer.layers["mine"].mode = "pan_zoom"
    hands.viewer.layers.selection.active = hands.viewer.layers["mine"]
    hands.qtbot.keyClick(hands.native, KEY.Key_S)
    assert hands.viewer.layers["mine"].mode == "select"
    assert heard == []
    hands.viewer.layers.selection.active = hands.desk.subject.layer
    assert "ON" in hands.desk.label.label.text()


def test_naparis_own_keys_still_work(hands):
    corrected, layers = hands.desk.canvas.corrected, hands.viewer.layers
    layers.selection.active = corrected
    hands.key(KEY.Key_P)
    assert corrected.mode == "paint"
    size = corrected.brush_size
    hands.key(KEY.Key_BracketRight)
    assert corrected.brush_size == size + 1
    hands.key(KEY.Key_E)
    assert corrected.mode == "erase"
    hands.key(KEY.Key_6)
    assert corrected.mode == "pan_zoom"
    layers.selection.active = hands.desk.subject.layer
    hands.key(KEY.Key_V)
    assert not hands.desk.subject.layer.visible
    hands.key(KEY.Key_V)
    check_keys_are_off_outside_review(hands)


def check_keys_are_off_outside_review(hands):
    served = hands.session.current
    hands.press(hands.dock.buttons["Find"])
    press_all(hands, hands.native)
    assert hands.state(abs(served)) is State.TO_DO
    assert not hands.desk.label.label.isVisible()
    hands.press(hands.dock.buttons["Review"])
    assert hands.session.current == served
    hands.key(KEY.Key_N)
    assert hands.session.current != served


def check_no_control_takes_the_focus(hands):
    for child in hands.stage.work.findChildren(QWidget):
        if child is not hands.stage.work.tags and isinstance(child, QAbstractButton | QComboBox):
            assert child.focusPolicy() == Qt.FocusPolicy.NoFocus, child
    for made in hands.dock.buttons.values():
        assert made.focusPolicy() == Qt.FocusPolicy.NoFocus


def test_the_sheet_tells_every_key(hands):
    from napari_unetsharp.widgets.key_sheet import sheet_text

    text = sheet_text(hands.desk.keys.keys).replace("&#8202;", "")
    for name, (key, words) in KEYS.items():
        assert words in text, name
        assert key in text.replace(" ", "") or key.replace("+", " + ") in text
    hands.key(KEY.Key_Question, SHIFT)
    assert hands.desk._sheet.isVisible()
    hands.qtbot.keyClick(hands.desk._sheet, KEY.Key_F1)
    assert not hands.desk._sheet.isVisible()


def test_keys_from_the_settings_that_make_no_sense_are_left_out():
    from napari_unetsharp.widgets.keys import _valid

    assert _valid("Ctrl+L", "D") == "Ctrl+L"
    assert _valid("", "D") == "D"
    assert _valid("Hyper+L", "D") == "D"
    assert chord("Ctrl+Shift+Z") == chord("Shift+Ctrl+Z")
