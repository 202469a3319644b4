"""What is one nucleus: add, grow, split, join. Edits change nothing by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scripted_review import IDENTITY, check_index, discs

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, edits
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State

SHAPE = (60, 80)


def review_of(labels):
    return Review.start(None, IDENTITY, labels)


@pytest.fixture
def review():
    """1 and 2 touch, 3 is alone."""
    return review_of(discs(SHAPE, [(20, 20), (20, 33), (40, 60)], 7))


def test_an_edit_alone_changes_nothing(review):
    before = review.labels.copy()
    delta = edits.split(review.findings, 3, [(40, 50), (40, 70)])
    assert delta
    assert np.array_equal(review.labels, before)
    assert len(review.nuclei) == 3
    review.apply(delta)
    assert len(review.nuclei) == 4


# Add and grow -------------------------------------------------------------------------------------------


def test_an_added_nucleus_takes_no_pixel_from_others(review):
    before = review.labels.copy()
    delta = review.apply(edits.add, Box(10, 25, 30, 60), np.ones((20, 35), bool))
    assert delta.focus == 4
    assert review.nuclei[4].state is State.CHANGED
    assert np.array_equal(review.labels[before > 0], before[before > 0])
    assert ndimage.label(review.labels == 4)[1] == 1
    check_index(review)


def test_no_nucleus_where_all_is_taken(review):
    with pytest.raises(ReviewError, match="taken by others"):
        review.apply(edits.add, Box(18, 18, 22, 22), np.ones((4, 4), bool))


@pytest.mark.parametrize("box", [Box(-1, 0, 3, 4), Box(58, 0, 62, 4), Box(5, 5, 5, 9), Box(0, 0, 5, 4)])
def test_a_mask_must_fit_its_box_and_the_plane(review, box):
    with pytest.raises(ReviewError, match="doesn't fit"):
        review.apply(edits.add, box, np.ones((4, 4), bool))


def hill(centre, width=4.0, shape=SHAPE):
    """Probability: above a half within `width`, falling to 0 over two pixels."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    away = np.hypot(rows - centre[0], columns - centre[1])
    return (1 / (1 + np.exp(2 * (away - width)))).astype(np.float16)


def test_a_nucleus_is_grown_as_its_map_outlines_it(review):
    truth = np.hypot(*np.ogrid[-50:10, -20:60]) <= 4
    review.apply(edits.grow, (48, 22), [np.zeros(SHAPE, np.float16), hill((50, 20))])
    grown = review.labels == 4
    assert (grown & truth).sum() / (grown | truth).sum() > 0.8


def test_the_clearest_of_several_maps_decides(review):
    vague = hill((50, 20), width=9) * np.float16(0.3)
    review.apply(edits.grow, (50, 20), [vague, hill((50, 20)), vague])
    assert 35 <= review.areas[4] <= 75


def test_a_nucleus_at_the_edge_of_the_image_is_grown(review):
    review.apply(edits.grow, (0, 78), [hill((0, 78), 6)])
    assert review.boxes[4].top == 0
    assert review.boxes[4].right == SHAPE[1]


def test_of_two_that_touch_the_one_at_the_point_is_grown():
    review = review_of(np.zeros(SHAPE, np.int32))
    both = np.maximum(hill((30, 30), 8), hill((30, 44), 8))
    review.apply(edits.grow, (30, 28), [both])
    box = review.boxes[1]
    assert box.right <= 39
    assert box.shape[0] >= 13


def test_growing_stays_in_reach(review):
    with pytest.raises(ReviewError, match="draw it with the brush"):
        review.apply(edits.grow, (50, 20), [np.full(SHAPE, 0.9, np.float16)], reach=8)


@pytest.mark.parametrize(
    ("point", "words"), [((20, 20), "there already"), ((50, 20), "no view"), ((70, 0), "outside"), ((-1, 3), "outside")]
)
def test_nothing_to_grow(review, point, words):
    with pytest.raises(ReviewError, match=words):
        review.apply(edits.grow, point, [hill((5, 70))])


# Split --------------------------------------------------------------------------------------------------


def test_a_line_cuts_and_the_larger_part_keeps_the_id(review):
    before = review.labels == 3
    review.apply(answers.classify, 3, "tumour")
    review.apply(edits.split, 3, [(37, 50), (37, 70)])
    assert np.array_equal((review.labels == 3) | (review.labels == 4), before)
    assert review.areas[3] > review.areas[4] > 5
    assert review.boxes[4].bottom <= 39
    assert {review.nuclei[id_].state for id_ in (3, 4)} == {State.CHANGED}
    assert review.nuclei[4].kind == "tumour"
    check_index(review)


def test_a_line_that_ends_too_early_is_prolonged(review):
    review.apply(edits.split, 3, [(40, 58), (40, 61)])
    assert review.areas[4] >= 50


def test_a_bent_line_may_cut_into_three(review):
    review.apply(edits.split, 3, [(30, 58), (50, 58), (50, 62), (30, 62)])
    assert sum(review.areas[id_] for id_ in (3, 4, 5)) == 149
    assert review.areas[3] >= review.areas[4] >= review.areas[5]


def test_a_line_beside_it_cuts_nothing(review):
    with pytest.raises(ReviewError, match="doesn't cut"):
        review.apply(edits.split, 3, [(5, 0), (5, 70)])
    with pytest.raises(ReviewError, match="two points"):
        review.apply(edits.split, 3, [(40, 50)])


def test_a_peanut_is_cut_at_its_neck():
    labels = (discs(SHAPE, [(30, 25), (30, 38)], 8) > 0).astype(np.int32)
    review = review_of(labels)
    review.apply(edits.split_at_neck, 1)
    assert set(np.unique(review.labels)) == {0, 1, 2}
    boxes = sorted((review.boxes[1].left, review.boxes[1].right, review.boxes[2].left, review.boxes[2].right))
    assert boxes[0] == 17
    assert all(29 <= side <= 35 for side in boxes[1:3])


@pytest.mark.parametrize("turned", [False, True])
def test_what_has_no_neck_is_cut_across(turned):
    labels = np.zeros((60, 60), np.int32)
    labels[10:50, 20:30] = 1
    review = review_of(labels.T if turned else labels)
    review.apply(edits.split_at_neck, 1)
    assert abs(review.areas[1] - review.areas[2]) <= 100
    assert review.areas[1] >= review.areas[2]


def test_a_speck_is_not_cut():
    labels = np.zeros(SHAPE, np.int32)
    labels[5:7, 5:7] = 1
    with pytest.raises(ReviewError, match="too small"):
        review_of(labels).apply(edits.split_at_neck, 1)


# Join ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_larger_keeps_its_id(review, order):
    larger = max((1, 2), key=review.areas.get)
    both = np.isin(review.labels, (1, 2))
    delta = review.apply(edits.join, *order)
    assert delta.focus == larger
    assert 3 - larger not in review.nuclei
    assert np.array_equal(review.labels == larger, both)
    check_index(review)


def test_a_gap_is_bridged_but_nothing_else():
    review = review_of(discs(SHAPE, [(20, 20), (20, 40), (40, 60)], 7))
    before = review.labels.copy()
    review.apply(edits.join, 1, 2)
    joined = review.labels == 1
    assert ndimage.label(joined)[1] == 1
    new = joined & (before == 0)
    assert 5 <= new.sum() <= 40
    assert np.array_equal(review.labels == 3, before == 3)


def test_joining_keeps_the_tags_of_both(review):
    review.apply(answers.tag, 1, ["mitosis"])
    review.apply(answers.tag, 2, ["pale", "mitosis"])
    review.apply(edits.join, 1, 2)
    assert set(review.nuclei[review.labels[20, 26]].tags) == {"mitosis", "pale"}


def test_only_neighbours_are_joined(review):
    with pytest.raises(ReviewError, match="itself"):
        review.apply(edits.join, 1, 1)
    with pytest.raises(ReviewError, match="no nucleus 9"):
        review.apply(edits.join, 1, 9)
    far = review_of(discs((60, 200), [(20, 20), (20, 150)], 7))
    with pytest.raises(ReviewError, match="apart"):
        far.apply(edits.join, 1, 2)
