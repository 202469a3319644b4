"""Cases, recovery, saving and screens in the real window."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from review_window import CTRL, LEFT, SHIFT, put_results

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import load_review
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.nuclei.store import set_aside
from napari_unetsharp.widgets.cases import Case, CaseState, list_cases, state_of

KEY = Qt.Key


def check_going_on_where_it_was_left(hands, qtbot):
    served = next(number for number in hands.session.queue.numbers if number > 0)
    hands.session.go_to(served)
    hands.session.card = None
    hands.key(KEY.Key_D)
    labels = hands.review.labels.copy()
    layer = hands.dock.find.layer
    assert hands.stage.close_review()
    assert {item.name for item in hands.viewer.layers if item.visible} >= {"field"}
    hands.press(hands.dock.buttons["Find"])
    hands.press(hands.dock.buttons["Review"])
    assert hands.session is None
    panel = hands.stage.start_panel
    assert "Go on where you stopped?" in panel.found.text()
    hands.press(panel.go_on_button)
    np.testing.assert_array_equal(hands.review.labels, labels)
    assert hands.state(served) is State.NOT
    hands.key(KEY.Key_Z, CTRL)
    assert hands.state(served) is State.TO_DO
    assert hands.dock.find.layer is layer


def check_starting_afresh_keeps_the_old_one_aside(hands):
    hands.session.answer_here(State.RIGHT)
    folder = hands.desk.subject.folder
    hands.stage.close_review()
    hands.press(hands.dock.buttons["Find"])
    hands.press(hands.dock.buttons["Review"])
    hands.press(hands.stage.start_panel.afresh_button)
    assert hands.session is not None
    assert not hands.review.history
    assert [path.name for path in folder.iterdir() if path.name.startswith("journal-old")]


def test_a_second_window_is_read_only_and_says_who(found, qtbot):
    found.stage._subject = None
    from napari_unetsharp.widgets.review_source import subject_of

    subject = subject_of(found.viewer, found.dock.find.layer)
    labels = np.zeros(subject.image.plane_shape, np.int32)
    labels[10:30, 10:30] = 1
    with Review.start(subject.folder, subject.identity, labels, who="Ada"):
        found.press(found.dock.buttons["Review"])
        found.press(found.stage.start_panel.go_on_button)
        assert "Ada" in found.stage.message.text()
        found.session.go_to(1)
        found.key(KEY.Key_D)
        assert found.stage.message.is_problem
        assert found.state(1) is State.TO_DO
        assert "read only" in found.stage.work.foot.text()
        found.stage.close_review()


def test_a_new_run_touches_only_what_nobody_looked_at(hands):
    queue = hands.session.queue
    served = next(n for n in queue.numbers if n > 0 and queue.card(n).kind.value == "nucleus")
    hands.session.go_to(served, served=True)
    hands.key(KEY.Key_Space)
    kept = hands.review.labels == served
    hands.press(hands.dock.buttons["Find"])
    results = hands.dock.find.found.results
    results.labels[4][...] = np.where(results.labels[4] == served, 0, results.labels[4])
    for layer in hands.dock.find.found.layers.values():
        layer.metadata["unetsharp"]["sha256"] = "another"
    hands.press(hands.dock.buttons["Review"])
    assert hands.session is not None
    np.testing.assert_array_equal(hands.review.labels == served, kept)
    assert hands.state(served) is State.RIGHT
    for key in ((KEY.Key_Z, CTRL), (KEY.Key_Z, CTRL | SHIFT)):
        hands.key(*key)
        proposed = np.unique(hands.review.proposals)
        np.testing.assert_array_equal(np.sort(queue.deck.ids[queue.deck.ids > 0]), proposed[proposed > 0])


def test_a_run_of_a_part_says_nothing_of_the_rest(hands):
    before = hands.review.labels.copy()
    results = hands.dock.find.found.results
    half = before.shape[1] // 2
    for what, computed in (("a rectangle", np.s_[:, :half]), ("a corner is missing", np.s_[: half // 2, :half])):
        hands.press(hands.dock.buttons["Find"])
        results._computed[()][...] = False
        results._computed[()][:, : half // 2] = True
        results._computed[()][computed] = True
        results.labels[4][...] = 0
        for layer in hands.dock.find.found.layers.values():
            layer.metadata["unetsharp"]["sha256"] = what
        results.labels[4][2:30, 2:30] = 1
        hands.press(hands.dock.buttons["Review"])
        assert hands.session is not None, hands.stage.message.text()
        beyond = [id_ for id_ in np.unique(before[:, half:]) if id_]
        np.testing.assert_array_equal(np.isin(hands.review.labels, beyond), np.isin(before, beyond))
        left = set(np.unique(hands.review.labels[:, : half - 40])) - set(beyond)
        assert len(left) <= 2, what


def test_a_labels_layer_or_a_mask_file_is_a_start(make_napari_viewer, qtbot, field, tmp_path, monkeypatch):
    from review_window import Hands

    from napari_unetsharp.widgets.dock import open_dock

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    viewer = make_napari_viewer(show=True)
    dock = open_dock(viewer)
    viewer.add_image(field[0], name="field")
    mine = viewer.add_labels(field[1].copy(), name="by hand")
    hands = Hands(viewer, dock, qtbot)
    hands.press(dock.buttons["Review"])
    assert dock.review.start_panel.choice.currentText() == "layer by hand"
    hands.press(dock.review.start_panel.start_button)
    np.testing.assert_array_equal(hands.review.labels > 0, field[1] > 0)
    hands.key(KEY.Key_D)
    np.testing.assert_array_equal(mine.data, field[1])
    assert dock.review.close_review()
    tifffile.imwrite(tmp_path / "mask.tif", (field[1] > 0).astype(np.uint8))
    hands.stage._answer_question("afresh")
    dock.review.start_from_file(str(tmp_path / "mask.tif"))
    hands.wait_until_prepared()
    np.testing.assert_array_equal(hands.review.labels > 0, field[1] > 0)
    assert dock.review.close_review()


def check_screens_are_completed_one_by_one(hands):
    hands.press(hands.stage.work.screen)
    sweep = hands.desk.sweep
    inside = [id_ for id_ in np.unique(hands.review.labels[sweep.view.slices]) if id_]
    wrong = int(np.bincount(hands.review.labels[sweep.view.slices].ravel())[1:].argmax()) + 1
    hands.qtbot.mouseClick(hands.native, LEFT, pos=hands.at(*hands.middle(wrong)))
    assert hands.state(wrong) is State.NOT
    assert "1 clicked" in hands.stage.work.card.title.text()
    view = sweep.view
    hands.key(KEY.Key_Space)
    assert view in hands.review.views
    assert hands.state(wrong) is State.NOT
    whole = [id_ for id_ in inside if id_ != wrong and hands.state(id_) is not State.TO_DO]
    assert len(whole) > 0
    hands.key(KEY.Key_Z, CTRL)
    assert view not in hands.review.views
    assert hands.state(wrong) is State.NOT
    hands.press(hands.stage.work.one)
    assert hands.desk.sweep is None


def check_what_was_clicked_away_can_be_mended_instead(hands):
    hands.press(hands.stage.work.screen)
    view = hands.desk.sweep.view
    largest = int(np.bincount(hands.review.labels[view.slices].ravel())[1:].argmax()) + 1
    hands.qtbot.mouseClick(hands.native, LEFT, pos=hands.at(*hands.middle(largest)))
    assert hands.state(largest) is State.NOT
    hands.key(KEY.Key_S)
    hands.key(KEY.Key_S)
    assert hands.state(largest) is State.CHANGED


def test_save_writes_a_folder_that_loads(hands, qtbot):
    queue = hands.session.queue
    served = next(n for n in queue.numbers if n > 0 and queue.card(n).kind.value == "nucleus")
    hands.session.go_to(served, served=True)
    hands.key(KEY.Key_D)
    hands.press(hands.stage.work.save)
    qtbot.waitUntil(lambda: not hands.desk.saver.running, timeout=30_000)
    assert "Saved in" in hands.stage.message.text(), hands.stage.message.text()
    saved = load_review(hands.desk.subject.folder)
    np.testing.assert_array_equal(saved.labels, hands.review.labels)
    assert saved.nuclei[served].state is State.NOT
    folder, states = hands.desk.subject.folder, {id_: nucleus.state for id_, nucleus in hands.review.nuclei.items()}
    for name in ("nuclei.geojson", "review.json"):
        assert hands.stage.close_review()
        set_aside(folder)
        hands.stage.start_from_file(str(folder / name))
        hands.wait_until_prepared()
        assert hands.session is not None, hands.stage.message.text()
        assert {id_: nucleus.state for id_, nucleus in hands.review.nuclei.items()} == states
        np.testing.assert_array_equal(hands.review.labels, saved.labels)


def check_the_left_column_goes_and_comes_back(hands):
    docks = hands.stage.left_column._docks
    assert all(dock.isHidden() for dock in docks)
    hands.press(hands.stage.work.layers)
    assert not any(dock.isHidden() for dock in docks)
    hands.press(hands.stage.work.layers)
    assert all(dock.isHidden() for dock in docks)
    hands.press(hands.dock.buttons["Find"])
    assert not any(dock.isHidden() for dock in docks)
    hands.press(hands.dock.buttons["Review"])


def check_the_canvas_is_large_enough_at_1280_by_800(hands):
    hands.qtbot.wait(50)
    size, window = hands.native.size(), hands.viewer.window._qt_window.size()
    assert (window.width(), window.height()) == (1280, 800)
    assert size.width() >= 880
    assert size.height() >= 740


def check_deleting_a_layer_saves_and_closes(hands):
    hands.session.answer_here(State.RIGHT)
    hands.viewer.layers.remove(hands.desk.canvas.states)
    assert hands.session is None
    assert "saved and closed" in hands.stage.message.text()


def test_a_folder_is_a_worklist(make_napari_viewer, qtbot, tmp_path, monkeypatch, nothing_but_a_name):
    from review_window import Hands

    from napari_unetsharp.widgets.dock import open_dock

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    pictures = {}
    for number in (1, 2, 3):
        pictures[number] = draw_fluorescence(seed=number, height=96, width=128, nuclei=6)
        tifffile.imwrite(tmp_path / f"field_{number}.tif", pictures[number][0])
    viewer = make_napari_viewer(show=True)
    dock = open_dock(viewer)
    hands = Hands(viewer, dock, qtbot)
    dock.cases.open_folder(str(tmp_path))
    assert dock.cases.title.text() == "field_1 <b>1 of 3</b> · new"
    put_results(viewer, dock.find, dock.find.layer, pictures[1][1], nothing_but_a_name)
    hands.press(dock.buttons["Review"])
    hands.session.go_to(next(iter(hands.review.boxes)))
    hands.session.answer_here(State.RIGHT)
    answered = hands.session.current
    hands.press(dock.cases.next_button)
    assert [layer.name for layer in viewer.layers] == ["field_2"]
    assert dock.stage == "Find"
    assert Case(tmp_path / "field_1.tif").state is CaseState.IN_REVIEW
    hands.press(dock.cases.previous_button)
    assert dock.stage == "Review"
    assert hands.state(answered) is State.RIGHT
    assert dock.cases.title.text() == "field_1 <b>1 of 3</b> · in review"
    noted = json.loads((tmp_path / "field_1.tif.unetsharp" / "case.json").read_text())
    assert noted["nuclei"]["right"] == 1
    assert dock.review.close_review()


def test_states_of_cases(tmp_path):
    counts = dict.fromkeys(State, 0)
    assert state_of({**counts, State.TO_DO: 3}) is CaseState.FOUND
    assert state_of({**counts, State.TO_DO: 1, State.RIGHT: 2}) is CaseState.IN_REVIEW
    assert state_of({**counts, State.NOT: 2}) is CaseState.DONE
    with pytest.raises(Exception, match="no picture"):
        list_cases(tmp_path)
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "A.TIF").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    assert [case.path.name for case in list_cases(tmp_path)] == ["A.TIF", "b.png"]
    assert list_cases(tmp_path)[0].state is CaseState.NEW


def test_closing_the_window_gives_the_review_free(make_napari_viewer, qtbot, field, tmp_path, monkeypatch):
    from review_window import Hands

    from napari_unetsharp.widgets.dock import open_dock

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    viewer = make_napari_viewer(show=True)
    dock = open_dock(viewer)
    viewer.add_image(field[0], name="field")
    viewer.add_labels(field[1].copy(), name="by hand")
    hands = Hands(viewer, dock, qtbot)
    hands.press(dock.buttons["Review"])
    hands.press(dock.review.start_panel.start_button)
    hands.session.go_to(3)
    hands.session.answer_here(State.RIGHT)
    folder, identity = hands.desk.subject.folder, hands.desk.subject.identity
    del hands, dock
    viewer.close()

    def is_free():
        with Review.open(folder, identity) as again:
            return not again.read_only and again.nuclei[3].state is State.RIGHT

    qtbot.waitUntil(is_free, timeout=10_000)


def test_reviews_on_disk(hands, qtbot):
    check_going_on_where_it_was_left(hands, qtbot)
    hands.again()
    check_starting_afresh_keeps_the_old_one_aside(hands)


def test_screens(hands):
    check_screens_are_completed_one_by_one(hands)
    hands.again()
    check_what_was_clicked_away_can_be_mended_instead(hands)


def test_the_window(hands):
    check_the_canvas_is_large_enough_at_1280_by_800(hands)
    hands.again()
    check_the_left_column_goes_and_comes_back(hands)
    hands.again()
    check_deleting_a_layer_saves_and_closes(hands)


def test_a_mask_that_is_opened_is_offered_as_a_start(make_napari_viewer, qtbot, field, tmp_path, monkeypatch):
    from review_window import Hands

    from napari_unetsharp.widgets.dock import open_dock

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    viewer = make_napari_viewer(show=True)
    dock = open_dock(viewer)
    hands, offer = Hands(viewer, dock, qtbot), dock.find.mask_offer
    tifffile.imwrite(tmp_path / "field.tif", field[0])
    tifffile.imwrite(tmp_path / "mask.tif", field[1].astype(np.uint16))
    dock.find.open_image(str(tmp_path / "mask.tif"))
    assert not viewer.layers
    assert "Open its image first" in offer.text.text()
    assert not offer.review_button.isVisible()
    hands.press(offer.labels_button)
    np.testing.assert_array_equal(viewer.layers["mask"].data, field[1])
    viewer.layers.clear()
    dock.find.open_image(str(tmp_path / "mask.tif"))
    dock.find.open_image(str(tmp_path / "field.tif"))
    assert not offer.isVisible()
    dock.find.open_image(str(tmp_path / "mask.tif"))
    hands.press(offer.review_button)
    np.testing.assert_array_equal(hands.review.labels > 0, field[1] > 0)
    assert dock.review.close_review()
    hands.press(dock.buttons["Find"])
    dock.find.open_image(str(tmp_path / "mask.tif"))
    hands.press(offer.review_button)
    hands.press(dock.review.start_panel.go_on_button)  # the review of before, not the mask
    gone_on = hands.session
    hands.press(dock.buttons["Review"])  # once more: nothing is started anew
    assert hands.session is gone_on is not None
    assert dock.review.close_review()
    hands.press(dock.buttons["Find"])
    dock.find.open_image(str(tmp_path / "mask.tif"))
    hands.press(offer.picture_button)
    np.testing.assert_array_equal(dock.find.layer.data, field[1])
