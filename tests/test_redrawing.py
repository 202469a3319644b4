"""Other outlines: of another view, by a brush locked to one nucleus, tidied."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scripted_review import IDENTITY, check_index, discs

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, edits, redrawing
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State

SHAPE = (60, 80)
CENTRES = [(20, 20), (20, 33), (40, 60)]


@pytest.fixture
def review():
    """1 and 2 touch, 3 is alone."""
    return Review.start(None, IDENTITY, discs(SHAPE, CENTRES, 7))


def everywhere(box):
    return np.ones(box.shape, bool)


def test_the_outline_of_another_view(review):
    larger = discs(SHAPE, CENTRES[2:], 10) * 77
    review.apply(redrawing.take_outline, 3, larger)
    assert np.array_equal(review.labels == 3, larger == 77)
    assert review.nuclei[3].state is State.CHANGED
    assert review.history[-1].what == "other outline"


def test_another_outline_leaves_neighbours_alone(review):
    before = review.labels == 1
    review.apply(redrawing.take_outline, 2, discs(SHAPE, [(20, 30)], 12) * 5)
    assert np.array_equal(review.labels == 1, before)
    check_index(review)


def test_an_outline_reaching_far_beyond_the_old_one_is_taken_whole(review):
    wide = np.zeros(SHAPE, np.int32)
    wide[38:42, 2:80] = 4
    assert np.array_equal(redrawing.instance_at(review.findings, 3, wide)[1].sum(), (wide == 4).sum())


def test_a_view_that_sees_nothing_is_refused(review):
    with pytest.raises(ReviewError, match="sees nothing"):
        review.apply(redrawing.take_outline, 3, np.zeros(SHAPE, np.int32))


def test_the_same_outline_is_no_action(review):
    assert not review.apply(redrawing.take_outline, 3, review.proposals)
    assert not review.history


def test_a_new_outline_may_lie_elsewhere(review):
    review.apply(redrawing.redraw, 3, Box(50, 0, 55, 5), np.ones((5, 5), bool))
    assert review.boxes[3] == (50, 0, 55, 5)
    with pytest.raises(ReviewError, match="taken by others"):
        review.apply(redrawing.redraw, 3, Box(18, 18, 22, 22), np.ones((4, 4), bool))


# Brush --------------------------------------------------------------------------------------------------


def test_the_brush_paints_on_background_only(review):
    before = review.labels.copy()
    box = Box(10, 10, 45, 70)
    review.apply(redrawing.brush, 1, box, everywhere(box))
    assert np.array_equal(review.labels == 2, before == 2)
    assert np.array_equal(review.labels == 3, before == 3)
    assert (review.labels[box.slices] > 0).all()
    check_index(review)


def test_the_brush_erases_its_own_nucleus_only(review):
    before = review.labels.copy()
    box = Box(0, 18, 60, 80)
    review.apply(redrawing.brush, 1, box, everywhere(box), erase=True)
    assert review.boxes[1].right == 18
    assert np.array_equal(review.labels == 2, before == 2)
    assert review.nuclei[1].state is State.CHANGED
    check_index(review)


def test_erasing_all_of_it_is_a_no(review):
    box = Box(0, 0, *SHAPE)
    review.apply(redrawing.brush, 3, box, everywhere(box), erase=True)
    assert review.nuclei[3].state is State.NOT
    review.apply(answers.accept, 3)
    assert np.array_equal(review.labels == 3, review.proposals == 3)


def test_a_new_nucleus_can_be_painted(review):
    box = Box(50, 10, 56, 16)
    review.apply(redrawing.brush, review.next_id, box, everywhere(box))
    assert review.boxes[4] == box
    assert review.nuclei[4].state is State.CHANGED
    with pytest.raises(ReviewError, match="gets 5"):
        review.apply(redrawing.brush, 17, box, everywhere(box))


def test_the_number_of_a_nucleus_that_is_gone_is_not_painted_with(review):
    review.apply(edits.join, 1, 2)
    gone = 3 - int(review.labels[20, 26])
    box = Box(50, 10, 56, 16)
    with pytest.raises(ReviewError, match=f"number {gone} is not free"):
        review.apply(redrawing.brush, gone, box, everywhere(box))


def test_a_rejected_nucleus_is_not_painted_with(review):
    review.apply(answers.reject, 3)
    box = Box(50, 10, 56, 16)
    with pytest.raises(ReviewError, match="bring it back"):
        review.apply(redrawing.brush, 3, box, everywhere(box))


# Tidy ---------------------------------------------------------------------------------------------------


def test_tidying_fills_holes_and_keeps_the_largest_piece(review):
    for box, erase in ((Box(39, 59, 42, 62), True), (Box(50, 70, 53, 73), False), (Box(40, 66, 41, 75), False)):
        review.apply(redrawing.brush, 3, box, everywhere(box), erase=erase)
    review.apply(redrawing.tidy, 3)
    tidy, disc = review.labels == 3, discs(SHAPE, CENTRES[2:], 7) > 0
    assert ndimage.label(tidy)[1] == 1
    assert ndimage.binary_fill_holes(tidy).sum() == tidy.sum()
    assert (tidy & disc).sum() / (tidy | disc).sum() > 0.85
    check_index(review)


def test_tidying_leaves_neighbours_and_the_edge_of_the_image_alone():
    labels = discs(SHAPE, [(0, 20), (0, 33)], 8)
    review = Review.start(None, IDENTITY, labels)
    review.apply(redrawing.tidy, 1)
    assert np.array_equal(review.labels == 2, labels == 2)
    assert (review.labels[0, 14:25] == 1).all()


def test_a_disc_is_tidy_already(review):
    review.apply(redrawing.tidy, 3)
    assert np.count_nonzero((review.labels == 3) != (review.proposals == 3)) <= 8


def test_what_is_too_thin_is_not_tidied():
    labels = np.zeros(SHAPE, np.int32)
    labels[10, 2:78] = 1
    with pytest.raises(ReviewError, match="too thin"):
        Review.start(None, IDENTITY, labels).apply(redrawing.tidy, 1)
