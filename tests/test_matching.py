"""Which nuclei match, by cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetsharp.errors import SettingsError, ShapeError
from napari_unetsharp.nuclei.matching import match_nuclei


def squares(*corners, side=10, shape=(60, 60)):
    labels = np.zeros(shape, np.int32)
    for label, (row, column) in enumerate(corners, start=5):
        labels[row : row + side, column : column + side] = label
    return labels


def strips(*widths, start=0, height=10, shape=(20, 60)):
    """Nuclei side by side, of these widths."""
    labels = np.zeros(shape, np.int32)
    for label, width in enumerate(widths, start=1):
        labels[:height, start : start + width] = label
        start += width
    return labels


def matched(matching, threshold=0.5):
    """Pairs of ids."""
    places = matching.matches(threshold)
    truth, found = matching.true_ids[matching.truth[places]], matching.found_ids[matching.found[places]]
    return list(zip(truth.tolist(), found.tolist(), strict=True))


def test_areas_shared_pixels_and_iou():
    matching = match_nuclei(squares((0, 0), (20, 20)), squares((0, 2), (40, 40), side=9))
    assert matching.true_ids.tolist() == matching.found_ids.tolist() == [5, 6]
    assert matching.true_areas.tolist() == [100, 100]
    assert matching.found_areas.tolist() == [81, 81]
    assert matching.shared.tolist() == [72]  # 9 rows, columns 2 to 9
    assert matching.union.tolist() == [109]
    assert matching.iou == pytest.approx([72 / 109])


def test_a_match_is_named_by_the_ids_of_both():
    truth, found = squares((0, 0), (20, 20)), squares((20, 21), (40, 40), (0, 0))
    assert matched(match_nuclei(truth, found)) == [(5, 7), (6, 5)]
    assert matched(match_nuclei(truth, found), 0.9) == [(5, 7)]


@pytest.mark.parametrize(("threshold", "pairs"), [(0.6, 1), (0.6000001, 0)])
def test_a_match_begins_at_the_threshold_itself(threshold, pairs):
    truth, found = squares((0, 0)), squares((0, 0))
    found[:, 6:] = 0  # 60 of 100 pixels
    assert len(match_nuclei(truth, found).matches(threshold)) == pairs


def test_the_two_halves_of_a_nucleus_make_one_match():
    whole, halves = strips(20), strips(10, 10)
    assert matched(match_nuclei(whole, halves)) == [(1, 1)]
    assert matched(match_nuclei(halves, whole)) == [(1, 1)]
    assert matched(match_nuclei(whole, halves), 0.500001) == []


@pytest.mark.parametrize("threshold", [0.49, 0, -1, 1.01, float("nan")])
def test_below_a_half_matches_are_not_unique(threshold):
    with pytest.raises(SettingsError, match=r"0\.5 to 1"):
        match_nuclei(squares((0, 0)), squares((0, 0))).matches(threshold)


def test_maps_of_different_shape_are_refused():
    with pytest.raises(ShapeError, match=r"\(60, 60\) and \(60, 61\)"):
        match_nuclei(squares((0, 0)), squares((0, 0), shape=(60, 61)))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (4, 4)])
def test_nothing_matches_nothing(shape):
    matching = match_nuclei(np.zeros(shape, np.int32), np.zeros(shape, np.uint16))
    assert matching.aggregated() == (0, 0)
    for nothing in (matching.true_areas, matching.found_areas, matching.matches(), matching.split(), matching.merged()):
        assert len(nothing) == 0


def test_a_map_full_of_one_nucleus():
    full = np.full((4, 5), 9)
    matching = match_nuclei(full, full)
    assert matching.true_areas.tolist() == matching.shared.tolist() == [20]
    assert matched(matching, 1.0) == [(9, 9)]


def test_ids_may_be_huge_and_of_any_type():
    truth, found = squares((0, 0), (20, 20)).astype(np.int64), squares((0, 0), (20, 20)).astype(np.uint32)
    truth[truth == 5] = 2**60
    found[found == 6] = 2**32 - 1
    assert sorted(matched(match_nuclei(truth, found))) == [(6, 2**32 - 1), (2**60, 5)]


def test_below_zero_is_outside():
    truth = squares((0, 0))
    truth[truth == 0] = -1
    assert match_nuclei(truth, squares((0, 0))).true_ids.tolist() == [5]


def test_a_nucleus_in_two_places_is_one():
    truth = squares((0, 0), (20, 20))
    truth[truth == 6] = 5
    assert match_nuclei(truth, truth).true_areas.tolist() == [200]


# Split and merged --------------------------------------------------------------------------------------


def divided(truth, found):
    """Numbers of split and of merged nuclei, and the same with the maps exchanged."""
    one, other = match_nuclei(truth, found), match_nuclei(found, truth)
    assert len(one.split()) == len(other.merged())
    assert len(one.merged()) == len(other.split())
    return len(one.split()), len(one.merged())


def test_equal_maps_are_neither_split_nor_merged():
    truth = strips(10, 10, 10)
    assert divided(truth, truth) == (0, 0)


def test_a_nucleus_in_two_parts_is_split_and_may_match_as_well():
    matching = match_nuclei(strips(20), strips(15, 5))
    assert matching.true_ids[matching.split()].tolist() == [1]
    assert len(matching.matches(0.75)) == 1


def test_two_nuclei_in_one_are_merged():
    assert divided(strips(10, 10, 10), strips(30)) == (0, 1)


def test_twenty_nuclei_in_one_are_merged_however_small_each_is():
    assert divided(strips(*[3] * 20), strips(60)) == (0, 1)


def test_debris_splits_nothing():
    assert divided(strips(30), strips(28, 2)) == (0, 0)  # 2 < 28 / 10
    assert divided(strips(30), strips(27, 3)) == (1, 0)


def test_a_neighbour_that_reaches_over_splits_nothing():
    truth, found = strips(20, 20), strips(14, 26)  # 6 of its 26 columns lie in the first nucleus
    assert divided(truth, found) == (0, 0)


def test_half_of_a_nucleus_is_not_most_of_it():
    assert divided(strips(20, 20), strips(10, 20, 10)) == (0, 0)


# Aggregated Jaccard index ------------------------------------------------------------------------------


def test_aggregated_pixels_by_hand():
    truth = squares((0, 0), (20, 20), (40, 40))
    found = squares((0, 0), (20, 22), (0, 40))  # exact; 80 of 120 shared; missed; and one that nobody takes
    assert match_nuclei(truth, found).aggregated() == (100 + 80, 100 + 120 + 100 + 100)


def test_a_joined_nucleus_is_taken_by_both():
    assert match_nuclei(strips(10, 10), strips(20)).aggregated() == (200, 400)


def test_of_two_halves_one_is_left_over():
    assert match_nuclei(strips(20), strips(10, 10)).aggregated() == (100, 300)


def test_the_largest_iou_is_taken_not_the_largest_overlap():
    truth, found = strips(20), strips(11, 40)  # 110/200 = 0.55; 90/510
    found[10:, 11:51] = np.where(found[:10, 11:51] > 0, 2, 0)
    assert match_nuclei(truth, found).aggregated() == (110, 200 + 800)
