"""Matching nuclei, by cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_unetsharp.nuclei.metrics import Matching, match_nuclei


def squares(*corners, side=10, shape=(60, 60)):
    labels = np.zeros(shape, np.int32)
    for label, (row, column) in enumerate(corners, start=5):
        labels[row : row + side, column : column + side] = label
    return labels


def test_the_same_map_is_perfect():
    truth = squares((0, 0), (20, 20), (40, 40))
    matching = match_nuclei(truth, truth)
    assert matching == Matching(3, 0, 0, 3.0)
    assert matching.f1 == matching.panoptic_quality == 1


def test_a_shift_by_hand():
    matching = match_nuclei(squares((0, 0)), squares((0, 2)))  # 80 of 120 px shared
    assert matching.found == 1
    assert matching.overlap == pytest.approx(80 / 120)
    assert matching.panoptic_quality == pytest.approx(2 / 3)


def test_half_an_overlap_is_no_match():
    found = squares((0, 0))
    found[:, 5:] = 0  # 50 of 100 px: IoU is exactly a half
    assert match_nuclei(squares((0, 0)), found) == Matching(0, 1, 1, 0.0)


def test_missed_false_and_found_are_counted():
    matching = match_nuclei(squares((0, 0), (20, 20)), squares((0, 0), (40, 40), (40, 0)))
    assert (matching.found, matching.missed, matching.false) == (1, 1, 2)
    assert matching.f1 == pytest.approx(2 / 5)


def test_joined_nuclei_count_as_one_false_and_two_missed():
    truth = squares((0, 0), (0, 10))
    assert match_nuclei(truth, (truth > 0).astype(np.int32)) == Matching(0, 2, 1, 0.0)


def test_nothing_against_nothing_has_no_score():
    nothing = match_nuclei(np.zeros((8, 8), int), np.zeros((8, 8), int))
    assert nothing == Matching()
    assert math.isnan(nothing.f1)
    assert math.isnan(nothing.panoptic_quality)


def test_pooling_adds_counts():
    assert Matching(1, 2, 3, 0.9) + Matching(4, 5, 6, 3.0) == Matching(5, 7, 9, 3.9)
