"""Stage Review in the real window: answers, the way through the queue, and what is on disk."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from review_window import CTRL, LEFT, SHIFT

from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.state_layer import CODES

KEY = Qt.Key


def nuclei_served(hands):
    """Cards that ask about a nucleus as such."""
    return [number for number in hands.session.queue.numbers if number > 0]


def serve_plain(hands):
    """Go to a card that asks about nothing but its nucleus."""
    for number in nuclei_served(hands):
        card = hands.session.queue.card(number)
        if hands.state(number) is State.TO_DO and card.kind.value in {"nucleus", "possible false find"}:
            hands.session.go_to(number, served=True)
            return number
    raise AssertionError("no plain card is left")


def check_find_then_review_serves_the_first_card(hands):
    assert hands.session.current == hands.session.queue.numbers[0]
    assert hands.stage.work.card.answers["yes"].text() == "Right\nSpace" or hands.session.card.kind.value != "nucleus"
    assert {layer.name for layer in hands.viewer.layers if layer.visible} == {"field", "Review"}
    states = hands.viewer.layers["Review"].data
    assert set(np.unique(states)) == {0, CODES[State.TO_DO]}
    assert (hands.desk.subject.folder / JOURNAL).exists()
    assert hands.desk.subject.folder.name == "field.tif.unetsharp"


def check_space_d_and_shift_space_answer_and_go_on(hands):
    first = serve_plain(hands)
    hands.key(KEY.Key_Space)
    second = serve_plain(hands)
    hands.key(KEY.Key_D)
    third = serve_plain(hands)
    hands.key(KEY.Key_Space, SHIFT)
    assert [hands.state(id_) for id_ in (first, second, third)] == [State.RIGHT, State.NOT, State.UNSURE]
    assert hands.session.current not in {first, second, third}
    assert second not in hands.review.boxes
    assert [action.how for action in hands.review.history[-3:]] == ["one by one"] * 3


def check_everything_is_on_disk_before_the_next_key(hands):
    served = serve_plain(hands)
    hands.key(KEY.Key_D)
    folder, identity = hands.desk.subject.folder, hands.desk.subject.identity
    other = Review.open(folder, identity)
    assert other.read_only
    assert other.nuclei[served].state is State.NOT
    np.testing.assert_array_equal(other.labels, hands.review.labels)


def check_hold_space_is_napari_and_no_answer(hands, qtbot):
    served = serve_plain(hands)
    qtbot.keyPress(hands.native, KEY.Key_Space)
    qtbot.wait(400)
    qtbot.keyRelease(hands.native, KEY.Key_Space)
    qtbot.wait(5)
    assert hands.state(served) is State.TO_DO
    qtbot.keyPress(hands.native, KEY.Key_Space)
    qtbot.mouseClick(hands.native, LEFT, pos=hands.at(*hands.middle(served)))
    qtbot.keyRelease(hands.native, KEY.Key_Space)
    qtbot.wait(5)
    assert hands.state(served) is State.TO_DO


def check_next_and_back_decide_nothing(hands):
    first = hands.session.current
    hands.key(KEY.Key_N)
    second = hands.session.current
    assert second != first
    hands.key(KEY.Key_N, SHIFT)
    assert hands.session.current == first
    assert not hands.review.history


def check_undo_and_redo_go_there(hands):
    served = serve_plain(hands)
    before = hands.review.labels.copy()
    hands.key(KEY.Key_D)
    after = hands.review.labels.copy()
    hands.key(KEY.Key_Z, CTRL)
    assert hands.session.current == served
    assert hands.state(served) is State.TO_DO
    np.testing.assert_array_equal(hands.review.labels, before)
    hands.key(KEY.Key_Z, CTRL | SHIFT)
    np.testing.assert_array_equal(hands.review.labels, after)
    np.testing.assert_array_equal(hands.desk.canvas.corrected.data, after)
    np.testing.assert_array_equal(hands.desk.canvas.states.data, hands.desk.canvas.picture.window_of_all())


def check_u_brings_back_to_to_do(hands):
    served = serve_plain(hands)
    hands.key(KEY.Key_D)
    hands.session.go_to(served)
    hands.key(KEY.Key_U)
    assert hands.state(served) is State.TO_DO
    assert served in hands.review.boxes


def check_a_reason_is_one_click(hands):
    served = serve_plain(hands)
    assert hands.stage.work.card.reasons.isHidden()
    hands.key(KEY.Key_D)
    assert not hands.stage.work.card.reasons.isHidden()
    hands.press(hands.stage.work.card.reasons.chips["out of focus"])
    assert hands.review.nuclei[served].reason == "out of focus"
    assert hands.stage.work.card.reasons.chips["out of focus"].isChecked()


def check_clicks_select_reject_and_join(hands):
    one, two = sorted(hands.review.boxes)[:2]
    hands.click(*hands.middle(one))
    assert hands.session.current == one
    place = hands.middle(two)
    hands.click(*place, CTRL)
    assert hands.state(two) is State.NOT
    hands.click(*place, CTRL)
    assert hands.state(two) is State.TO_DO
    pair = touching_pair(hands)
    hands.click(*hands.middle(pair[0]))
    hands.click(*hands.middle(pair[1]), SHIFT)
    assert sum(id_ in hands.review.nuclei for id_ in pair) == 1


def touching_pair(hands):
    """Two nuclei that lie side by side."""
    labels = hands.review.labels
    beside = (labels[:, :-1] != labels[:, 1:]) & (labels[:, :-1] > 0) & (labels[:, 1:] > 0)
    rows, columns = np.nonzero(beside)
    return int(labels[rows[0], columns[0]]), int(labels[rows[0], columns[0] + 1])


def check_picked_nuclei_are_no_served_ones(hands):
    last = hands.session.queue.numbers[-1]
    hands.click(*hands.middle(sorted(set(hands.review.boxes) - {last})[-1]))
    hands.session.card = None
    hands.key(KEY.Key_Space)
    assert hands.review.history[-1].how == "picked"


def test_tags_keep_the_keys_and_give_them_back(hands, qtbot):
    served = serve_plain(hands)
    field = hands.stage.work.tags
    qtbot.mouseClick(field, LEFT)
    field.setFocus()
    qtbot.keyClicks(field, "mitosis, sad")
    assert hands.state(served) is State.TO_DO
    qtbot.keyClick(field, KEY.Key_Return)
    assert hands.review.nuclei[served].tags == ("mitosis", "sad")
    assert not field.hasFocus()


def check_the_queue_view_chooses_and_filters(hands, qtbot):
    work = hands.stage.work
    queue = work.queue
    qtbot.mouseClick(queue.viewport(), LEFT, pos=queue.cell(2).center())
    assert hands.session.current == hands.session.queue.numbers[2]
    work.order.setCurrentText("all")
    assert len(queue.numbers) >= len(hands.review.nuclei)
    served = serve_plain(hands)
    hands.key(KEY.Key_D)
    work.state.setCurrentText("not a nucleus")
    assert queue.numbers == [served]
    work.state.setCurrentText("to do")
    assert served not in queue.numbers


def let_depth_3_disagree(hands):
    """Depth 3 sees the largest nucleus as two, and two that touch as one."""
    depth, review = hands.session.material.levels[3], hands.review
    pair = touching_pair(hands)
    whole = max(set(review.areas) - set(pair), key=review.areas.get)
    box = review.boxes[whole]
    depth[np.isin(review.labels, (whole, *pair))] = 0
    for number, half in ((9001, np.s_[: (box.top + box.bottom) // 2]), (9002, np.s_[(box.top + box.bottom) // 2 :])):
        depth[half][review.labels[half] == whole] = number
    depth[np.isin(review.labels, pair)] = 9003
    hands.session.queue.order = "all"
    hands.session.queue.deal_again()
    return whole, pair


def check_offers_are_answered_with_the_same_keys(hands):
    whole, pair = let_depth_3_disagree(hands)
    hands.session.go_to(whole, served=True)
    assert "split" in hands.stage.work.card.title.text().lower()
    assert hands.stage.work.card.answers["yes"].text() == "Split it\nSpace"
    hands.key(KEY.Key_D)  # not this split: the nucleus itself is asked about then
    assert hands.session.current == whole
    assert hands.session.card is None
    assert hands.state(whole) is State.TO_DO
    hands.key(KEY.Key_Space)
    assert hands.state(whole) is State.RIGHT
    hands.key(KEY.Key_Z, CTRL)
    hands.session.go_to(pair[0], served=True)
    assert "join" in hands.stage.work.card.title.text().lower()
    hands.key(KEY.Key_Space)
    assert sum(id_ in hands.review.nuclei for id_ in pair) == 1


def check_a_possible_miss_is_added_or_forgotten(hands, qtbot):
    queue = hands.session.queue
    victim = next(n for n in nuclei_served(hands) if hands.session.queue.card(n).kind.value == "nucleus")
    material = hands.session.material
    box = hands.review.boxes[victim]
    material.labels = np.where(material.labels == victim, 0, material.labels)
    hands.review.new_proposals(material.labels, "other")
    queue.deal_again()
    queue.order = "all"
    queue.refresh()
    misses = [number for number in queue.numbers if number < 0 and queue.box(number).meets(box)]
    assert misses
    hands.session.go_to(misses[0], served=True)
    assert hands.stage.work.card.answers["yes"].text().startswith("Add it")
    before = set(hands.review.boxes)
    hands.key(KEY.Key_Space)
    added = set(hands.review.boxes) - before
    assert len(added) == 1
    assert not queue.takes(misses[0])


def test_cards_are_served_and_answered(hands):
    check_find_then_review_serves_the_first_card(hands)
    hands.again()
    check_space_d_and_shift_space_answer_and_go_on(hands)
    hands.again()
    check_everything_is_on_disk_before_the_next_key(hands)


def test_space_held_and_steps_decide_nothing(hands, qtbot):
    check_hold_space_is_napari_and_no_answer(hands, qtbot)
    hands.again()
    check_next_and_back_decide_nothing(hands)


def test_answers_are_taken_back(hands):
    check_undo_and_redo_go_there(hands)
    hands.again()
    check_u_brings_back_to_to_do(hands)
    hands.again()
    check_a_reason_is_one_click(hands)


def test_clicks(hands, qtbot):
    check_clicks_select_reject_and_join(hands)
    hands.again()
    check_picked_nuclei_are_no_served_ones(hands)
    hands.again()
    check_the_queue_view_chooses_and_filters(hands, qtbot)


def test_offers_and_misses(hands, qtbot):
    check_offers_are_answered_with_the_same_keys(hands)
    hands.again()
    check_a_possible_miss_is_added_or_forgotten(hands, qtbot)
