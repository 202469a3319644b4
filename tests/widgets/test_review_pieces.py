"""Parts of Review that need no window of napari."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetsharp.nuclei import answers, edits
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.outline import brackets, smooth_outlines
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.review_session import ReviewSession
from napari_unetsharp.widgets.state_layer import CODES, FILL, StatePicture
from napari_unetsharp.widgets.sweep import Sweep


@pytest.fixture
def review():
    labels = np.zeros((60, 80), np.int32)
    for number, (row, column) in enumerate([(5, 5), (5, 30), (5, 42), (30, 10), (30, 60)], start=1):
        labels[row : row + 12, column : column + 12] = number
    return Review.start(None, identify(labels, "YX"), labels)


@pytest.fixture
def session(review):
    material = Material(np.zeros((60, 80, 1), np.uint8), review.labels.copy())
    made = ReviewSession(review, material)
    made.start()
    return made


def test_pictures_of_states_follow_every_change(review):
    picture = StatePicture(review, 1)
    drawn = picture.codes.copy()

    def follow(delta):
        picture.follow(delta)
        box = delta.box.grown(2, (60, 80))
        drawn[box.slices] = picture.window(box)

    review.changed.append(follow)
    review.apply(answers.accept, 1)
    review.apply(answers.reject, 2)
    review.apply(edits.split_at_neck, 4)
    review.apply(answers.unsure, 5)
    review.apply(answers.ignore, [(40, 40), (40, 55), (55, 55), (55, 40)])
    np.testing.assert_array_equal(drawn, picture.window_of_all())
    assert drawn[5, 5] == CODES[State.RIGHT]
    assert drawn[8, 8] == 0
    assert not drawn[5:17, 30:41].any()
    while review.undo() is not None:
        np.testing.assert_array_equal(drawn, picture.window_of_all())
    picture.filled = True
    assert picture.window_of_all()[8, 8] == CODES[State.TO_DO] + FILL


def test_touching_nuclei_of_one_state_have_an_edge_between_them(review):
    picture = StatePicture(review, 1)
    assert (picture.codes[10, 41:43] == CODES[State.TO_DO]).all()


def test_outlines_are_smooth_and_stay_at_the_edge():
    rows, columns = np.mgrid[:40, :40]
    mask = (rows - 20) ** 2 + (columns - 18) ** 2 < 12**2
    (path,) = smooth_outlines(mask, Box(100, 200, 140, 240))
    radii = np.hypot(path[:, 0] - 120, path[:, 1] - 218)
    assert np.abs(radii - 11.7).max() < 0.8
    np.testing.assert_array_equal(path[0], path[-1])
    turns = np.abs(np.diff(np.unwrap(np.arctan2(*np.diff(path, axis=0).T))))
    assert turns.max() < np.pi / 3
    ring = mask & ~((rows - 20) ** 2 + (columns - 18) ** 2 < 25)
    assert len(smooth_outlines(ring, Box(0, 0, 40, 40))) == 2
    assert len(smooth_outlines(np.ones((1, 1), bool), Box(0, 0, 1, 1))) == 1
    assert len(brackets(Box(0, 0, 10, 10), 3)) == 4


def test_the_queue_serves_each_once_and_then_says_so(session, review):
    said = []
    session.said.append(lambda text, problem: said.append(text))
    served = []
    for _ in range(5):
        served.append(session.current)
        session.yes()
    assert sorted(served) == [1, 2, 3, 4, 5]
    assert "Nothing is left" in said[-1]
    assert all(nucleus.state is State.RIGHT for nucleus in review.nuclei.values())


def test_undo_goes_to_the_nucleus_and_joined_ones_are_not_served(session, review):
    session.go_to(2)
    session.join(3)
    assert {2, 3} & review.nuclei.keys() == {2}
    assert all(session.queue.takes(number) for number in (1, 4, 5))
    session.go_to(5)
    session.undo()
    assert session.current == 2
    assert review.nuclei[3].state is State.TO_DO


def test_what_cannot_be_done_is_a_sentence(session):
    said = []
    session.said.append(lambda text, problem: said.append((text, problem)))
    session.go_to(1)
    session.join(5)
    session.split([(0, 0), (1, 1)])
    session.undo()
    session.go_to(0)
    session.tidy()
    session.yes()
    assert ["apart" in said[0][0], "crosses no nucleus" in said[1][0]] == [True, True]
    assert said[2][0] == "There is nothing to undo."
    assert all("No nucleus is chosen" in text for text, _ in said[3:])


def test_screens_cover_the_plane_and_skip_what_is_complete(review):
    sweep = Sweep(review, (100.0, 100.0), 32.0)
    seen = np.zeros((60, 80), bool)
    for view in sweep.views:
        seen[view.slices] = True
    assert seen.all()
    first = sweep.view
    review.apply(answers.complete_view, first)
    assert sweep.next_open()
    assert sweep.view != first
    assert sweep.left() == len(sweep.views) - 1
    again = Sweep(review, (100.0, 100.0), 32.0)
    assert again.view != first


def test_thumbnails_are_painted_only_where_they_are_seen(qtbot):
    from qtpy.QtGui import QPixmap

    from napari_unetsharp.widgets.queue_view import QueueView

    view, painted = QueueView(), []
    qtbot.addWidget(view)
    view.picture = lambda number: painted.append(number) or QPixmap(52, 52)
    view.resize(360, 300)
    view.show_cards(list(range(1, 20_001)), 1)
    view.show()
    qtbot.waitUntil(lambda: len(painted) > 0, timeout=5_000)
    assert len(painted) < 100
    assert painted[0] == 1
    view.set_current(15_000)
    qtbot.waitUntil(lambda: 15_000 in painted, timeout=5_000)
    assert len(painted) < 200
    place = view.numbers.index(15_000)
    with qtbot.waitSignal(view.chosen) as chosen:
        from qtpy.QtCore import Qt

        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.cell(place).center())
    assert chosen.args == [15_000]
    view.show_cards([], 0)
    qtbot.wait(20)
