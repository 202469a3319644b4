"""Corrections in the real window: each one gesture, each one step of undo."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from review_window import CTRL, LEFT

from napari_unetsharp.nuclei.states import State

KEY = Qt.Key


def choose_largest(hands):
    """Make the largest nucleus current by a click."""
    id_ = max(hands.review.areas, key=hands.review.areas.get)
    hands.click(*hands.middle(id_))
    assert hands.session.current == id_
    return id_


def across(hands, id_):
    """A line from above a nucleus to below it."""
    box = hands.review.boxes[id_]
    row, column = hands.middle(id_)
    hands.show(row, column)
    return [(box.top - 4, column), (row, column), (box.bottom + 3, column)]


def synced(hands):
    """What is drawn is what the review holds."""
    canvas = hands.desk.canvas
    np.testing.assert_array_equal(canvas.corrected.data, hands.review.labels)
    np.testing.assert_array_equal(canvas.states.data, canvas.picture.window_of_all())


def check_split_by_a_line(hands):
    largest = choose_largest(hands)
    before = len(hands.review.boxes)
    line = across(hands, largest)
    centre = np.array(hands.viewer.scene.camera.center)
    hands.key(KEY.Key_S)
    hands.drag(line)
    assert len(hands.review.boxes) == before + 1
    np.testing.assert_array_equal(hands.viewer.scene.camera.center, centre)
    assert hands.state(largest) is State.CHANGED
    assert hands.desk.tool == "select"
    assert hands.viewer.scene.camera.mouse_pan
    synced(hands)
    hands.key(KEY.Key_Z, CTRL)
    assert len(hands.review.boxes) == before
    synced(hands)


def check_split_again_is_automatic(hands):
    choose_largest(hands)
    before = len(hands.review.boxes)
    hands.key(KEY.Key_S)
    hands.key(KEY.Key_S)
    assert len(hands.review.boxes) == before + 1


def check_escape_leaves_a_tool(hands):
    choose_largest(hands)
    for key in (KEY.Key_S, KEY.Key_G, KEY.Key_R):
        hands.key(key)
        assert hands.desk.tool != "select"
        hands.key(KEY.Key_Escape)
        assert hands.desk.tool == "select"
    assert not hands.review.history


def check_join_with_a_click(hands):
    labels = hands.review.labels
    beside = (labels[:, :-1] != labels[:, 1:]) & (labels[:, :-1] > 0) & (labels[:, 1:] > 0)
    rows, columns = np.nonzero(beside)
    one, two = int(labels[rows[0], columns[0]]), int(labels[rows[0], columns[0] + 1])
    hands.click(*hands.middle(one))
    hands.key(KEY.Key_G)
    hands.click(*hands.middle(two))
    assert sum(id_ in hands.review.nuclei for id_ in (one, two)) == 1
    synced(hands)


def check_add_at_the_pointer(hands):
    victim = max(hands.review.areas, key=hands.review.areas.get)
    place = hands.middle(victim)
    hands.click(*place, CTRL)
    assert hands.state(victim) is State.NOT
    before = set(hands.review.boxes)
    hands.show(*place)
    hands.move(*place)
    hands.key(KEY.Key_A)
    added = set(hands.review.boxes) - before
    assert len(added) == 1
    assert hands.session.current == added.pop()
    synced(hands)


def check_add_where_no_view_sees_one_offers_the_brush(hands, qtbot):
    field = hands.session.material.maps["x04"].astype(float)
    row, column = np.argwhere((hands.review.labels == 0) & (field < 0.05))[200]
    hands.session.material.maps = {name: np.zeros_like(plane) for name, plane in hands.session.material.maps.items()}
    hands.show(row, column)
    hands.move(row, column)
    new = hands.review.next_id
    hands.key(KEY.Key_A)
    assert hands.desk.tool == "brush"
    qtbot.mouseClick(hands.native, LEFT, pos=hands.at(row, column))
    qtbot.waitUntil(lambda: new in hands.review.boxes, timeout=5_000)
    hands.key(KEY.Key_R)
    assert hands.desk.tool == "select"
    assert hands.state(new) is State.CHANGED
    synced(hands)


def check_redraw_is_locked_to_one_nucleus(hands, qtbot):
    largest = choose_largest(hands)
    others = np.where(hands.review.labels == largest, 0, hands.review.labels)
    area = hands.review.areas[largest]
    box = hands.review.boxes[largest]
    hands.key(KEY.Key_R)
    corrected = hands.desk.canvas.corrected
    assert corrected.mode == "paint"
    assert corrected.selected_label == largest
    row = (box.top + box.bottom) // 2
    hands.drag([(row, box.right - 2), (row, box.right + 12)])
    qtbot.waitUntil(lambda: hands.review.areas[largest] > area, timeout=5_000)
    np.testing.assert_array_equal(np.where(hands.review.labels == largest, 0, hands.review.labels), others)
    synced(hands)
    hands.key(KEY.Key_R)
    assert corrected.mode == "pan_zoom"
    assert hands.viewer.layers.selection.active is hands.desk.subject.layer
    hands.key(KEY.Key_Z, CTRL)
    assert hands.review.areas[largest] == area
    synced(hands)


def check_escape_takes_a_redraw_back(hands, qtbot):
    largest = choose_largest(hands)
    before = hands.review.labels.copy()
    box = hands.review.boxes[largest]
    hands.key(KEY.Key_R)
    row = (box.top + box.bottom) // 2
    hands.drag([(row, box.right - 2), (row, box.right + 12)])
    qtbot.waitUntil(lambda: bool((hands.review.labels != before).any()), timeout=5_000)
    hands.key(KEY.Key_Escape)
    np.testing.assert_array_equal(hands.review.labels, before)
    assert hands.desk.tool == "select"
    synced(hands)


def check_tidy_and_other_outline(hands):
    largest = choose_largest(hands)
    before = hands.review.labels.copy()
    hands.key(KEY.Key_W)
    assert (hands.review.labels != before).any(), hands.stage.message.text()
    assert "Outline" in hands.stage.message.text()
    changed = hands.review.labels.copy()
    hands.key(KEY.Key_W, Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_array_equal(hands.review.labels, before)
    hands.key(KEY.Key_W)
    np.testing.assert_array_equal(hands.review.labels, changed)
    hands.key(KEY.Key_T)
    assert hands.state(largest) is State.CHANGED
    synced(hands)


def check_lasso_answers_for_many_in_one_step(hands):
    hands.press(hands.stage.work.screen)
    view = hands.desk.sweep.view
    inside = [id_ for id_, box in hands.review.boxes.items() if box.top > view.top + 8 and box.left > view.left + 8
              and box.bottom < view.bottom - 8 and box.right < view.right - 8]  # fmt: skip
    assert len(inside) > 2
    hands.press(hands.stage.work.lassos["lasso right"])
    top, left, bottom, right = view.top + 2, view.left + 2, view.bottom - 3, view.right - 3
    hands.drag([(top, left), (top, right), (bottom, right), (bottom, left), (top, left)])
    assert all(hands.state(id_) is State.RIGHT for id_ in inside)
    assert hands.review.history[-1].how == "bulk"
    hands.key(KEY.Key_Z, CTRL)
    assert all(hands.state(id_) is State.TO_DO for id_ in inside)


def check_ignored_regions_are_marked_and_taken_in_again(hands):
    hands.press(hands.stage.work.screen)
    view = hands.desk.sweep.view
    corners = [(view.top + 5, view.left + 5), (view.top + 5, view.left + 45), (view.top + 45, view.left + 45),
               (view.top + 45, view.left + 5), (view.top + 5, view.left + 5)]  # fmt: skip
    for wanted in (True, False):
        hands.press(hands.stage.work.lassos["ignore"])
        hands.drag(corners)
        assert hands.review.ignored.any() == wanted
        synced(hands)


def check_fill_and_image_only(hands, qtbot):
    states = hands.desk.canvas.states
    edges = (states.data > 0).sum()
    hands.key(KEY.Key_H)
    assert (states.data > 0).sum() > 2 * edges
    hands.key(KEY.Key_H)
    assert (states.data > 0).sum() == edges
    qtbot.keyPress(hands.native, KEY.Key_Q)
    assert not states.visible
    qtbot.keyRelease(hands.native, KEY.Key_Q)
    assert states.visible


def test_split(hands):
    check_split_by_a_line(hands)
    hands.again()
    check_split_again_is_automatic(hands)
    hands.again()
    check_escape_leaves_a_tool(hands)


def test_join_and_add(hands, qtbot):
    check_join_with_a_click(hands)
    hands.again()
    check_add_at_the_pointer(hands)
    hands.again()
    check_add_where_no_view_sees_one_offers_the_brush(hands, qtbot)


def test_redraw(hands, qtbot):
    check_redraw_is_locked_to_one_nucleus(hands, qtbot)
    hands.again()
    check_escape_takes_a_redraw_back(hands, qtbot)


def test_tidy_other_outline_and_looks(hands, qtbot):
    check_tidy_and_other_outline(hands)
    hands.again()
    check_fill_and_image_only(hands, qtbot)


def test_regions(hands):
    check_lasso_answers_for_many_in_one_step(hands)
    hands.again()
    check_ignored_regions_are_marked_and_taken_in_again(hands)
