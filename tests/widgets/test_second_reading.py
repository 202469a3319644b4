"""A blinded second reading in the real window: there, blind, and back, with how far the two agree."""

from __future__ import annotations

import csv

import numpy as np
from qtpy.QtCore import Qt
from review_window import CTRL, LEFT, SHIFT

from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import READINGS
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.state_layer import CODES

KEY = Qt.Key


def answer(hands, wanted):
    """Answer so many nuclei with real keys, each third one with no, each fifth with can't tell."""
    for number in sorted(hands.review.boxes)[:wanted]:
        hands.session.go_to(number)
        hands.session.card = None  # the nucleus itself is asked about, not an offer
        if number % 3 == 0:
            hands.key(KEY.Key_D)
        elif number % 5 == 0:
            hands.key(KEY.Key_Space, SHIFT)
        else:
            hands.key(KEY.Key_Space)


def begin_reading(hands, name="Grace"):
    """Press the button, write a name and press Enter."""
    strip = hands.stage.work.reading
    hands.press(hands.stage.work.second)
    assert strip.start_button.isVisible()
    hands.qtbot.mouseClick(strip.reader, LEFT)
    strip.reader.clear()
    hands.qtbot.keyClicks(strip.reader, name)
    hands.qtbot.keyClick(strip.reader, KEY.Key_Return)
    hands.qtbot.wait(5)
    assert hands.stage.first is not None
    assert not strip.reader.hasFocus()


def states_on_screen(hands):
    return set(np.unique(hands.viewer.layers["Review"].data).tolist()) - {0}


def check_it_is_blind(hands, first):
    """Nothing of the first answers is on screen: not on the tissue, not in the dock, not in a layer."""
    numbers = hands.session.queue.numbers
    assert len(numbers) == int(np.ceil(len(first) / 10))
    assert states_on_screen(hands) <= {CODES[State.TO_DO]}
    assert {hands.state(number) for number in numbers} == {State.TO_DO}
    assert not hands.review.rejected
    assert hands.stage.work.progress.text.text().startswith("<b>0</b> of")
    assert not any(word in hands.stage.work.card.title.text() for word in ("right", "can't tell", "not a"))
    shown = [layer.name for layer in hands.viewer.layers if layer.visible]
    assert shown == ["field", "Review"]
    assert [layer.name for layer in hands.viewer.layers].count("Corrected") == 1
    np.testing.assert_array_equal(hands.viewer.layers["Corrected"].data, hands.review.labels)
    work = hands.stage.work
    for hidden in (work.save, work.second, work.screen, work.order, work.errors, work.tags):
        assert not hidden.isVisible()


def test_there_and_back(hands):
    hands.press(hands.stage.work.second)
    assert "answer some first" in hands.stage.message.text()
    answer(hands, 20)
    first = {id_: nucleus for id_, nucleus in hands.review.nuclei.items() if nucleus.state is not State.TO_DO}
    everything, labels, actions = dict(hands.review.nuclei), hands.review.labels.copy(), len(hands.review.history)
    begin_reading(hands)
    check_it_is_blind(hands, first)
    hands.key(KEY.Key_D)
    hands.key(KEY.Key_Z, CTRL)
    hands.key(KEY.Key_D)
    served = list(hands.session.queue.numbers)
    check_another_window_sees_it_on_disk(hands, served)
    hands.key(KEY.Key_Space)
    assert "All 2 were read again" in hands.stage.message.text()
    hands.press(hands.stage.work.reading.end_button)
    assert hands.stage.first is None
    assert dict(hands.review.nuclei) == everything
    assert len(hands.review.history) == actions
    np.testing.assert_array_equal(hands.review.labels, labels)
    line = hands.stage.work.reading.text.text()
    same = (first[served[0]].state is State.NOT) + (first[served[1]].state in {State.RIGHT, State.CHANGED})
    assert line.startswith(f"Second reading by Grace: 2 read twice, {same} with the same verdict")
    check_save_writes_both_answers(hands, first, served)


def check_another_window_sees_it_on_disk(hands, served):
    folder, identity = hands.desk.subject.folder, hands.desk.subject.identity
    assert folder.parent == hands.stage.subject.folder
    other = Review.open(folder, identity)
    assert other.read_only
    assert other.nuclei[served[0]].state is State.NOT
    first = Review.open(folder.parent, identity)
    assert first.read_only  # the review stays locked for others while a second reading goes on


def check_save_writes_both_answers(hands, first, served):
    hands.press(hands.stage.work.save)
    hands.qtbot.waitUntil(lambda: not hands.desk.saver.running, timeout=20_000)
    with (hands.desk.subject.folder / READINGS).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["nucleus"]) for row in rows] == served
    assert [row["first"] for row in rows] == [first[id_].state.value for id_ in served]
    assert [row["second"] for row in rows] == ["not a nucleus", "right"]
    assert READINGS in hands.stage.message.text()


def test_it_is_left_and_gone_on_with(hands):
    answer(hands, 20)
    begin_reading(hands)
    served = list(hands.session.queue.numbers)
    hands.key(KEY.Key_D)
    hands.press(hands.dock.buttons["Find"])
    hands.press(hands.dock.buttons["Review"])
    assert hands.stage.first is not None
    assert hands.session.queue.numbers[:1] != []
    hands.dock.cases.note_state()  # the state of the case is that of the review, not of the tenth
    assert '"in review"' in (hands.stage.subject.folder / "case.json").read_text(encoding="utf-8")
    assert hands.stage.close_review()  # as for another case, or when the window closes
    assert hands.stage.first is None
    hands.stage.enter()
    hands.press(hands.stage.start_panel.go_on_button)
    assert "1 of 2 so far" in hands.stage.work.reading.text.text()
    hands.press(hands.stage.work.second)
    assert "by Grace isn't finished (1 of 2)" in hands.stage.work.reading.text.text()
    hands.press(hands.stage.work.reading.go_on_button)
    assert hands.state(served[0]) is State.NOT
    assert hands.session.current == served[1]
    states = hands.viewer.layers["Review"]
    states.locked = False
    hands.viewer.layers.remove(states)
    hands.qtbot.wait(5)
    assert hands.stage.desk is None
    assert hands.stage.first is None
    assert "saved and closed" in hands.stage.message.text()
