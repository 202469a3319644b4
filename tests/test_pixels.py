"""A change of pixels is its runs: it says where, from what to what, and goes both ways."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.findings import extents, whole
from napari_unetsharp.nuclei.pixels import NOWHERE, Box, PixelChange, union

SHAPE = (9, 11)
planes = arrays(np.int32, SHAPE, elements=st.integers(0, 3))
boxes = st.tuples(*(st.integers(0, 9) for _ in range(4))).map(lambda sides: Box(*sides))


@settings(deadline=None)
@given(planes, planes)
def test_a_change_leads_from_one_plane_to_the_other_and_back(one, two):
    change = PixelChange.between(Box(0, 0, *SHAPE), one, two, SHAPE[1])
    plane = one.copy()
    assert change.fits(plane)
    change.apply(plane)
    assert np.array_equal(plane, two)
    change.reversed().apply(plane)
    assert np.array_equal(plane, one)
    assert change.area == np.count_nonzero(one != two)
    assert np.array_equal(change.mask(Box(0, 0, *SHAPE)), one != two)
    assert PixelChange.from_bytes(change.to_bytes(), SHAPE) == change


@settings(deadline=None)
@given(planes)
def test_boxes_and_areas_are_those_of_the_pixels(plane):
    for id_, box, area in extents(whole(plane)):
        rows, columns = np.nonzero(plane == id_)
        assert box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert area == len(rows)
    assert [id_ for id_, _, _ in extents(whole(plane))] == sorted(set(plane.ravel().tolist()) - {0})


@settings(deadline=None)
@given(planes)
def test_the_runs_of_each_value_together_are_the_change(plane):
    gone = whole(plane).reversed()
    parts = gone.by_id()
    assert sorted(parts) == sorted(set(plane.ravel().tolist()) - {0})
    for id_, part in parts.items():
        assert np.array_equal(part.mask(Box(0, 0, *SHAPE)), plane == id_)


def test_runs_are_as_few_as_can_be():
    before, after = np.zeros((4, 6), np.int32), np.zeros((4, 6), np.int32)
    after[1:3, 2:5] = 7
    change = PixelChange.between(Box(10, 20, 14, 26), before, after, 100)
    assert change.starts.tolist() == [11 * 100 + 22, 12 * 100 + 22]
    assert change.lengths.tolist() == [3, 3]
    assert change.box == (11, 22, 13, 25)


def test_nothing_changes():
    change = PixelChange.between(Box(0, 0, 2, 2), np.ones((2, 2)), np.ones((2, 2)), 2)
    assert not change
    assert change == PixelChange.none(2)
    assert change.box == NOWHERE
    assert PixelChange.from_bytes(change.to_bytes(), (2, 2)) == change


@settings(deadline=None)
@given(boxes, boxes)
def test_a_union_holds_both_boxes_and_no_more(one, two):
    plane = np.zeros((10, 10), bool)
    for box in (one, two):
        plane[box.slices] = True
    both = union([one, two])
    assert both == one.union(two) or not both.area
    assert plane[both.slices].sum() == plane.sum()
    if plane.any():
        rows, columns = np.nonzero(plane)
        assert both == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [([98], [3]), ([-1], [1]), ([5], [0]), ([8], [5]), ([0] * 3, [9] * 3), ([2**40], [1])],
    ids=["over the end", "before the start", "empty", "over a row", "more pixels than there are", "far away"],
)
def test_a_forged_change_is_refused(starts, lengths):
    count = len(starts)
    values = np.ones(count, np.int32)
    change = PixelChange(9, np.array(starts, np.int64), np.array(lengths, np.int32), values, values)
    with pytest.raises(ReviewError):
        PixelChange.from_bytes(change.to_bytes(), (2, 9))


@pytest.mark.parametrize("packed", [b"", b"nonsense", zlib.compress(b"1234567"), zlib.compress(bytes(10**6))])
def test_other_bytes_are_refused(packed):
    with pytest.raises(ReviewError):
        PixelChange.from_bytes(packed, (10, 10))
