"""Stage Review in the real window: classes, tags, reasons, and regions of the queue."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from review_window import CTRL, LEFT, SHIFT

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.states import REASONS, State

KEY = Qt.Key
NAMES = ("epithelial", "lymphocyte", "fibroblast")


def test_digits_do_nothing_without_classes(hands):
    served, mode = hands.session.current, hands.desk.subject.layer.mode
    assert not hands.stage.work.description.classes
    hands.key(KEY.Key_1)
    assert not hands.review.history
    hands.desk.subject.layer.mode = mode
    check_tags_belong_to_the_nucleus_they_were_typed_for(hands)
    hands.again()
    check_a_tag_in_use_is_one_click(hands)
    hands.again()
    check_every_reason_is_one_click(hands)
    assert served


def check_tags_belong_to_the_nucleus_they_were_typed_for(hands):
    field, one = hands.stage.work.tags, hands.session.current
    two = max(set(hands.review.boxes) - {one})
    for leave in ("enter", "escape", "click"):
        hands.session.go_to(one)
        hands.qtbot.mouseClick(field, LEFT)
        field.setFocus()
        field.clear()
        hands.qtbot.keyClicks(field, f"seen, {leave}")
        if leave == "click":
            hands.click(*hands.middle(two))
            assert hands.session.current == two
        else:
            hands.qtbot.keyClick(field, KEY.Key_Return if leave == "enter" else KEY.Key_Escape)
            assert not field.hasFocus()
        wanted = {"enter": "enter", "escape": "enter", "click": "click"}[leave]
        assert hands.review.nuclei[one].tags == ("seen", wanted)
    assert hands.review.nuclei[two].tags == ()
    assert field.text() == ""
    hands.key(KEY.Key_Z, CTRL)
    assert hands.review.nuclei[one].tags == ("seen", "enter")


def check_a_tag_in_use_is_one_click(hands):
    one = hands.session.current
    hands.session.tag(one, "mitosis")
    hands.key(KEY.Key_N)
    two = hands.session.current
    hands.desk.view.refresh_counts()
    chip = hands.stage.work.description.chips["mitosis"]
    assert not chip.isChecked()
    hands.press(chip)
    assert hands.review.nuclei[two].tags == ("mitosis",)
    assert hands.stage.work.description.chips["mitosis"].isChecked()
    assert hands.stage.work.tags.text() == "mitosis"
    hands.press(chip)
    assert hands.review.nuclei[two].tags == ()


def check_every_reason_is_one_click(hands):
    hands.session.card = None
    served = hands.session.current
    hands.key(KEY.Key_Space, SHIFT)
    chips = hands.stage.work.card.reasons.chips
    for reason in REASONS:
        hands.press(chips[reason])
        assert (hands.review.nuclei[served].state, hands.review.nuclei[served].reason) == (State.UNSURE, reason)
        assert [word for word, chip in chips.items() if chip.isChecked()] == [reason]


@pytest.fixture
def nothing_but_a_name(nothing_but_a_name, request):
    """A model of three classes, for the tests that ask for it."""
    if "classes" not in request.fixturenames:
        return nothing_but_a_name
    return replace(nothing_but_a_name, metadata=replace(nothing_but_a_name.metadata, class_names=NAMES))


@pytest.fixture
def classes():
    """The model has these."""
    return NAMES


def test_digits_give_classes(classes, hands):
    work, served = hands.stage.work, hands.session.current
    assert [made.text() for made in work.description.classes] == ["1 epithelial", "2 lymphocyte", "3 fibroblast"]
    assert not work.tags.isVisible()
    hands.viewer.layers.selection.active = hands.desk.canvas.corrected  # its digits choose a mode otherwise
    hands.key(KEY.Key_2)
    assert hands.review.nuclei[served].kind == "lymphocyte"
    assert hands.desk.canvas.corrected.mode == "pan_zoom"
    assert "lymphocyte" in work.card.title.text()
    assert [made.isChecked() for made in work.description.classes] == [False, True, False]
    assert hands.session.current == served
    hands.key(KEY.Key_4)  # there is no fourth
    hands.key(KEY.Key_3)
    hands.key(KEY.Key_Z, CTRL)
    assert hands.review.nuclei[served].kind == "lymphocyte"
    hands.key(KEY.Key_2)
    assert hands.review.nuclei[served].kind == ""
    hands.press(work.description.classes[0])
    assert hands.state(served) is State.TO_DO
    check_classes_are_saved_and_come_back(hands, served)


def check_classes_are_saved_and_come_back(hands, served):
    hands.press(hands.stage.work.save)
    hands.qtbot.waitUntil(lambda: not hands.desk.saver.running, timeout=20_000)
    folder = hands.desk.subject.folder
    with (folder / "nuclei.csv").open(newline="", encoding="utf-8") as file:
        assert {row["id"]: row["class"] for row in csv.DictReader(file)}[str(served)] == "epithelial"
    assert '"epithelial"' in (folder / "nuclei.geojson").read_text(encoding="utf-8")
    hands.dock.find.found.remove_all()  # as after a restart: the network was not run
    assert hands.stage.close_review()
    hands.stage.enter()
    hands.press(hands.stage.start_panel.go_on_button)
    hands.session.go_to(served)
    hands.key(KEY.Key_3)
    assert hands.review.nuclei[served].kind == "fibroblast"


def inside(hands, region):
    """Nuclei and misses of a queue of everything whose middle lies in a box."""
    hands.session.queue.region = None
    hands.session.queue.refresh()
    boxes = {number: hands.session.queue.box(number) for number in hands.session.queue.numbers}
    return {
        number
        for number, box in boxes.items()
        if region.top <= (box.top + box.bottom - 1) // 2 < region.bottom
        and region.left <= (box.left + box.right - 1) // 2 < region.right
    }


def choose(combo, text):
    """As a click in the list does: a choice, also of what is chosen already."""
    combo.refill()
    combo.setCurrentText(text)
    combo.activated.emit(combo.currentIndex())


def test_regions_of_the_queue(hands):
    work, queue = hands.stage.work, hands.session.queue
    work.order.setCurrentText("all")
    everything = set(queue.numbers)
    check_in_view_follows_the_view(hands, everything)
    choose(work.region, "anywhere")
    assert set(queue.numbers) == everything
    check_a_drawn_region(hands, everything)
    choose(work.region, "anywhere")
    check_shapes_of_the_person(hands, everything)


def check_in_view_follows_the_view(hands, everything):
    combo, queue = hands.stage.work.region, hands.session.queue
    served = []
    for corner in (Box(0, 0, 96, 128), Box(96, 128, 192, 256)):
        hands.desk.canvas.show_box(corner)
        hands.qtbot.wait(20)  # what was chosen before is an earlier click
        view = hands.desk.canvas.view()
        choose(combo, "in view")
        assert set(queue.numbers) == {number for number in everything if queue.box(number).meets(view)}
        assert hands.stage.work.queue.numbers == queue.numbers
        served.append(set(queue.numbers))
    assert served[0] != served[1]
    assert len(served[0]) < len(everything)


def check_a_drawn_region(hands, everything):
    combo, queue = hands.stage.work.region, hands.session.queue
    hands.desk.canvas.show_box(Box(0, 0, 192, 256))
    hands.qtbot.wait(20)
    choose(combo, "drawn")
    hands.drag([(10, 10), (10, 120), (100, 120), (100, 10)])
    wanted = inside(hands, Box(10, 10, 100, 120))
    choose(combo, "drawn")
    hands.key(KEY.Key_Escape)  # not another one after all
    assert combo.currentText() == "drawn"
    hands.drag([(10, 10), (10, 120), (100, 120), (100, 10)])  # no tool: moves the picture
    choose(combo, "anywhere")
    hands.desk.canvas.show_box(Box(0, 0, 192, 256))
    hands.qtbot.wait(20)
    choose(combo, "drawn")
    hands.key(KEY.Key_Escape)
    assert combo.currentText() == "anywhere"
    assert set(queue.numbers) == everything
    choose(combo, "drawn")
    hands.drag([(10, 10), (10, 120), (100, 120), (100, 10)])
    assert set(queue.numbers) == wanted
    assert 0 < len(wanted) < len(everything)


def check_shapes_of_the_person(hands, everything):
    work, layers = hands.stage.work, hands.viewer.layers
    shapes = hands.viewer.add_shapes(name="mine")
    work.region.refill()
    assert "in mine" in [work.region.itemText(place) for place in range(work.region.count())]
    choose(work.region, "in mine")
    assert "no rectangle" in hands.stage.message.text()
    assert work.region.currentText() == "anywhere"
    shapes.add_rectangles(np.array([[10, 10], [10, 120], [100, 120], [100, 10]]))
    choose(work.region, "in mine")
    served = set(hands.session.queue.numbers)
    assert served == inside(hands, Box(10, 10, 100, 120))
    assert layers.selection.active is hands.desk.subject.layer  # their layer would keep our keys off
    shapes.add_ellipses(np.array([[100, 130], [100, 250], [190, 250], [190, 130]]))
    hands.qtbot.wait(20)
    choose(work.region, "in mine")
    more = set(hands.session.queue.numbers) - served
    assert 0 < len(more) <= len(inside(hands, Box(100, 130, 191, 251)))
    layers.remove(shapes)
    hands.qtbot.wait(20)
    choose(work.region, "in mine")
    assert work.region.currentText() == "anywhere"
    assert set(hands.session.queue.numbers) == everything
