"""What a person has vouched for, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_review import IDENTITY, discs

from napari_unetsharp.nuclei import answers, edits
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review

LABELS = discs((60, 80), [(20, 20), (20, 33), (40, 60)], 7)


@pytest.fixture
def review():
    """1 and 2 touch, 3 is alone."""
    return Review.start(None, IDENTITY, LABELS)


def rim_of(mask, width):
    """All pixels within a square of the mask, by shifting it."""
    grown = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        grown[max(0, row - width) : row + width + 1, max(0, column - width) : column + width + 1] = True
    return grown


def test_at_first_nothing_is_known(review):
    assert not review.reviewed_pixels().any()


@pytest.mark.parametrize("rim", [0, 1, 3, 5])
def test_a_looked_at_nucleus_counts_with_its_rim(review, rim):
    review.apply(answers.accept, 3)
    assert np.array_equal(review.reviewed_pixels(rim), rim_of(LABELS == 3, rim))


def test_the_rim_stops_at_nuclei_that_are_to_do(review):
    review.apply(answers.accept, 1)
    assert np.array_equal(review.reviewed_pixels(3), rim_of(LABELS == 1, 3) & (LABELS != 2))


def test_where_a_person_saw_none_is_background_that_is_known(review):
    review.apply(answers.reject, 3)
    assert np.array_equal(review.reviewed_pixels(2), rim_of(LABELS == 3, 2))
    assert not review.labels[review.reviewed_pixels(2)].any()


def test_an_edited_nucleus_counts(review):
    review.apply(edits.split_at_neck, 3)
    assert review.reviewed_pixels(0).sum() == 149


def test_what_nobody_can_tell_stays_unknown_in_completed_views_too(review):
    review.apply(answers.unsure, 3)
    assert not review.reviewed_pixels().any()
    review.apply(answers.complete_view, Box(0, 0, 60, 80))
    assert np.array_equal(review.reviewed_pixels(), LABELS != 3)


def test_a_completed_view_is_known_background_included(review):
    review.apply(answers.complete_view, Box(5, 5, 35, 50))
    known = review.reviewed_pixels(0)
    assert known[5:35, 5:50].all()
    assert known.sum() == 30 * 45


def test_ignored_regions_are_left_out(review):
    review.apply(answers.complete_view, Box(0, 0, 60, 80))
    review.apply(answers.ignore, [(0, 0), (0, 40), (60, 40), (60, 0)])
    known = review.reviewed_pixels()
    assert not known[:, :40].any()
    assert known[:, 40:].all()


def test_what_is_set_back_to_do_is_unknown_again(review):
    review.apply(answers.complete_view, Box(0, 0, 60, 80))
    review.apply(answers.to_do, 2)
    assert np.array_equal(review.reviewed_pixels(), LABELS != 2)
