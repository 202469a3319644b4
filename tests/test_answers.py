"""Yes, no, can't tell; lasso, completed views, ignored regions, tags and classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_review import IDENTITY, check_index, discs

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, edits
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.shapes import inside_polygon, polygon_box
from napari_unetsharp.nuclei.states import State

SHAPE = (60, 80)


@pytest.fixture
def review():
    """1 and 2 touch, 3 is alone."""
    return Review.start(None, IDENTITY, discs(SHAPE, [(20, 20), (20, 33), (40, 60)], 7))


def states(review):
    return {id_: nucleus.state for id_, nucleus in review.nuclei.items()}


def test_all_is_to_do_at_first(review):
    assert set(states(review).values()) == {State.TO_DO}


def test_yes_changes_the_state_alone(review):
    before = review.labels.copy()
    delta = review.apply(answers.accept, 2)
    assert review.nuclei[2].state is State.RIGHT
    assert np.array_equal(review.labels, before)
    assert delta.ids == (2,)
    assert delta.focus == 2
    assert delta.box == review.boxes[2]


def test_yes_twice_is_one_action(review):
    assert review.apply(answers.accept, 2)
    assert not review.apply(answers.accept, 2)
    assert len(review.history) == 1


def test_yes_to_a_changed_nucleus_leaves_it_changed(review):
    review.apply(edits.split, 3, [(40, 50), (40, 70)])
    assert not review.apply(answers.accept, 3)
    assert review.nuclei[3].state is State.CHANGED


def test_no_takes_its_pixels_and_keeps_its_outline(review):
    before = review.labels == 2
    delta = review.apply(answers.reject, 2, "debris")
    assert not (review.labels == 2).any()
    assert review.nuclei[2].reason == "debris"
    outline = review.rejected[2]
    assert np.array_equal(outline.mask(), before[outline.box.slices])
    assert delta.box == outline.box
    assert 2 not in review.boxes
    check_index(review)


@pytest.mark.parametrize("answer", [answers.accept, answers.unsure, answers.to_do])
def test_a_rejected_nucleus_comes_back_with_every_pixel(review, answer):
    before = review.labels.copy()
    review.apply(answers.reject, 2, "debris")
    review.apply(answer, 2)
    assert np.array_equal(review.labels, before)
    assert review.nuclei[2].reason == ""
    assert not review.rejected
    check_index(review)


def test_what_comes_back_takes_no_pixel_from_others(review):
    review.apply(answers.reject, 2)
    review.apply(edits.add, Box(10, 30, 30, 50), np.ones((20, 20), bool))
    new = review.labels == 4
    review.apply(answers.accept, 2)
    assert np.array_equal(review.labels == 4, new)
    assert 0 < review.areas[2] < 149
    check_index(review)


def test_what_has_no_place_left_does_not_come_back(review):
    review.apply(answers.reject, 3)
    review.apply(edits.add, Box(30, 50, 50, 70), np.ones((20, 20), bool))
    with pytest.raises(ReviewError, match="taken by others"):
        review.apply(answers.accept, 3)
    assert review.nuclei[3].state is State.NOT


def test_two_that_overlap_share_their_place_when_they_come_back_together(review):
    review.apply(answers.reject, 3)
    review.apply(edits.add, Box(36, 56, 56, 76), np.ones((20, 20), bool))
    review.apply(answers.reject, 4)
    review.apply(answers.answered, [3, 4], State.RIGHT)
    assert review.areas[3] == 149
    assert review.areas[4] < 400
    check_index(review)
    review.undo()
    check_index(review)


def test_there_is_no_such_nucleus(review):
    for answer in (answers.accept, answers.reject, answers.unsure, answers.to_do):
        with pytest.raises(ReviewError, match="no nucleus 8"):
            review.apply(answer, 8)
    assert not review.history


def test_many_are_rejected_like_one():
    centres = [(row, column) for row in range(6, 114, 12) for column in range(6, 114, 12)]
    labels = discs((120, 120), centres, 5)
    at_once, singly = (Review.start(None, IDENTITY, labels) for _ in range(2))
    ids = list(range(1, len(centres), 1))
    assert len(ids) > answers.FEW
    at_once.apply(answers.answered, ids, State.NOT)
    for id_ in ids:
        singly.apply(answers.reject, id_)
    assert np.array_equal(at_once.labels, singly.labels)
    assert at_once.rejected == singly.rejected
    check_index(at_once)
    at_once.undo()
    assert np.array_equal(at_once.labels, labels)


# Regions ------------------------------------------------------------------------------------------------


def test_a_lasso_answers_for_what_is_mostly_inside(review):
    delta = review.apply(answers.lasso, [(0, 0), (0, 31), (59, 31), (59, 0)], State.NOT, "edge", how="bulk")
    assert states(review) == {1: State.NOT, 2: State.TO_DO, 3: State.TO_DO}
    assert review.nuclei[1].reason == "edge"
    assert delta.ids == (1,)
    assert review.history[-1].how == "bulk"


def test_a_lasso_of_yes_leaves_changed_nuclei_changed(review):
    review.apply(edits.split, 3, [(40, 50), (40, 70)])
    review.apply(answers.lasso, [(0, 0), (0, 80), (60, 80), (60, 0)], State.RIGHT)
    assert states(review) == {1: State.RIGHT, 2: State.RIGHT, 3: State.CHANGED, 4: State.CHANGED}
    review.undo()
    assert states(review)[1] is State.TO_DO


def test_a_lasso_may_leave_the_image_but_needs_three_corners(review):
    review.apply(answers.lasso, [(-50, -50), (-50, 300), (300, 300), (300, -50)], State.UNSURE)
    assert set(states(review).values()) == {State.UNSURE}
    with pytest.raises(ReviewError, match="three corners"):
        review.apply(answers.lasso, [(0, 0), (5, 5)], State.RIGHT)
    assert not review.apply(answers.lasso, [(-9, -9), (-9, -5), (-5, -9)], State.RIGHT)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=7))
def test_pixels_of_a_polygon_are_those_around_which_it_winds_oddly(points):
    box = polygon_box(points, (20, 20))
    inside = np.zeros((20, 20), bool)
    inside[box.slices] = inside_polygon(points, box)
    for row in range(20):
        crossings, clear = np.zeros(20, int), np.ones(20, bool)
        for (y0, x0), (y1, x1) in zip(points, [*points[1:], points[0]], strict=True):
            if (y0 <= row) != (y1 <= row):
                place = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
                crossings += place <= np.arange(20)
                clear &= abs(place - np.arange(20)) > 1e-9  # on the line itself rounding decides
        assert np.array_equal(inside[row][clear], crossings[clear] % 2 == 1)


def test_a_completed_view_makes_the_rest_right_in_one_step(review):
    review.apply(answers.reject, 1)
    delta = review.apply(answers.complete_view, Box(0, 0, 30, 50), how="screen")
    assert states(review) == {1: State.NOT, 2: State.RIGHT, 3: State.TO_DO}
    assert review.views == [Box(0, 0, 30, 50)]
    assert delta.box == Box(0, 0, 30, 50)
    review.undo()
    assert states(review)[2] is State.TO_DO
    assert not review.views


def test_a_view_without_nuclei_can_be_complete(review):
    assert review.apply(answers.complete_view, Box(0, 60, 20, 80))
    with pytest.raises(ReviewError, match="outside the image"):
        review.apply(answers.complete_view, Box(60, 0, 70, 10))


def test_a_view_is_opened_again_and_undo_puts_it_back_in_its_place(review):
    views = [Box(0, 0, 10, 10), Box(5, 5, 20, 20), Box(30, 30, 40, 40), Box(0, 0, 60, 80)]
    for view in views:
        review.apply(answers.complete_view, view)
    review.apply(answers.reopen_view, (7, 7))
    assert review.views == [views[2]]
    review.undo()
    assert review.views == views
    assert not review.apply(answers.reopen_view, (70, 70))


def test_a_region_is_ignored_and_taken_in_again(review):
    review.apply(answers.ignore, [(0, 0), (0, 40), (20, 40), (20, 0)])
    assert review.ignored[:20, :40].all()
    assert review.ignored.sum() == 800
    review.apply(answers.ignore, [(0, 0), (0, 40), (10, 40), (10, 0)], ignored=False)
    assert review.ignored.sum() == 400
    review.undo()
    assert review.ignored.sum() == 800


def test_tags_and_classes(review):
    review.apply(answers.tag, 1, [" mitosis ", "", "blass", "mitosis"])
    review.apply(answers.classify, 1, "tumour")
    assert review.nuclei[1].tags == ("mitosis", "blass")
    assert review.nuclei[1].kind == "tumour"
    assert review.nuclei[1].state is State.TO_DO
    assert not review.apply(answers.classify, 1, "tumour")
    review.undo()
    review.undo()
    assert review.nuclei[1].tags == ()
