"""Outlines along pixel edges: exact, valid, and back to the same pixels bit for bit."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.nuclei.filling import fill_outlines
from napari_unetsharp.nuclei.outlines import outlines, twice_area
from napari_unetsharp.nuclei.stretches import fill_runs, find_runs, pieces, runs_of_masks

LARGEST = 2**31 - 1

small_labels = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))


def of(*rows):
    """A label image from lines of digits."""
    return np.array([[int(letter) for letter in row] for row in rows], np.int32)


def refilled(labels):
    filled = fill_outlines(labels.shape, outlines(labels))
    assert filled.shared == len(filled.crossing) == len(filled.missing) == 0
    return filled.labels


def corners(ring):
    return [tuple(point) for point in ring.tolist()]


# What comes out -----------------------------------------------------------------------------------------


def test_a_pixel_spans_from_its_index_to_the_next():
    [(number, polygons)] = outlines(of("000", "007"))
    assert number == 7
    [[ring]] = polygons
    assert corners(ring) == [(2, 1), (3, 1), (3, 2), (2, 2), (2, 1)]


def test_a_hole_is_a_ring_of_its_own():
    [(_, [polygon])] = outlines(of("111", "101", "111"))
    shell, hole = polygon
    assert twice_area(shell) == 18
    assert twice_area(hole) == -2


def test_a_nucleus_in_the_hole_of_another():
    found = dict(outlines(of("1111", "1221", "1221", "1111")))
    assert len(found[1][0]) == 2
    assert corners(found[1][0][1])[::-1] == corners(found[2][0][0])


def test_pieces_that_touch_in_a_corner_are_two_polygons():
    [(_, polygons)] = outlines(of("10", "01"))
    assert len(polygons) == 2


def test_a_nucleus_that_touches_itself_in_a_corner_has_a_hole_there():
    [(_, [polygon])] = outlines(of("110", "101", "111"))
    assert [twice_area(ring) for ring in polygon] == [16, -2]


def test_holes_that_touch_in_a_corner_are_two_holes():
    [(_, [polygon])] = outlines(of("1111", "1011", "1101", "1111"))
    assert [twice_area(ring) for ring in polygon] == [32, -2, -2]


def test_ids_ascend_with_gaps_up_to_the_largest():
    labels = np.zeros((4, 4), np.int32)
    labels[0, 0], labels[3, 3], labels[1, 2] = LARGEST, 5, 70000
    assert [number for number, _ in outlines(labels)] == [5, 70000, LARGEST]
    np.testing.assert_array_equal(refilled(labels), labels)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (3, 3)])
def test_no_nuclei(shape):
    assert list(outlines(np.zeros(shape, np.int32))) == []


@pytest.mark.parametrize("labels", [np.zeros((2, 2), np.float32), np.zeros((2, 2, 2), np.int32)])
def test_what_is_no_label_image(labels):
    with pytest.raises(ShapeError, match="plane of whole numbers"):
        list(outlines(labels))


# First principles ---------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, derandomize=True)
@given(small_labels)
def test_filling_gives_the_same_labels(labels):
    np.testing.assert_array_equal(refilled(labels), labels)


@settings(deadline=None, derandomize=True)
@given(small_labels)
def test_polygons_are_valid(labels):
    """No ring passes a point twice or goes straight on, shells and holes run opposite ways, areas add up."""
    for number, polygons in outlines(labels):
        assert sum(twice_area(ring) for polygon in polygons for ring in polygon) == 2 * (labels == number).sum()
        assert len(polygons) == ndimage.label(labels == number)[1]
        edges = Counter()
        for polygon in polygons:
            assert [twice_area(ring) > 0 for ring in polygon] == [True] + [False] * (len(polygon) - 1)
            for ring in polygon:
                points = corners(ring)
                assert points[0] == points[-1]
                assert len(set(points)) == len(points) - 1 >= 4
                steps = np.sign(np.diff(ring, axis=0))
                assert (np.abs(steps).sum(axis=1) == 1).all()
                assert all((one != two).any() for one, two in pairwise([*steps, steps[0]]))
                edges.update(pairwise(points))
        assert max(edges.values()) == 1
        assert not {(end, begin) for begin, end in edges} & edges.keys()


@settings(deadline=None, derandomize=True)
@given(small_labels)
def test_runs_and_pieces(labels):
    runs = find_runs(labels)
    np.testing.assert_array_equal(
        fill_runs(labels.shape, runs.row, runs.start, runs.stop, runs.ids[runs.index]), labels
    )
    piece, owner = pieces(runs)
    numbered = fill_runs(labels.shape, runs.row, runs.start, runs.stop, piece + 1)
    for place, number in enumerate(runs.ids.tolist()):
        expected, count = ndimage.label(labels == number)
        mine = np.unique(numbered[labels == number])
        assert len(mine) == count == (owner == place).sum()
        assert all(len(np.unique(expected[numbered == one])) == 1 for one in mine)


def test_masks_may_lie_on_each_other():
    square = np.ones((3, 3), bool)
    runs = runs_of_masks({9: (2, 1, square), 4: (0, 0, square), 6: (0, 0, ~square)}, (8, 8))
    assert runs.ids.tolist() == [4, 9]
    assert runs.per_nucleus(runs.stop - runs.start).tolist() == [9, 9]
    assert runs.row.tolist() == [0, 1, 2, 2, 3, 4]


# At size ------------------------------------------------------------------------------------------------


def test_a_drawn_field():
    _, mask = draw_fluorescence(3, 300, 260, 60)
    np.testing.assert_array_equal(refilled(mask), mask)


def test_noise_of_one_label_with_thousands_of_pieces_and_holes():
    labels = np.random.default_rng(0).integers(0, 2, (300, 300)).astype(np.int32)
    np.testing.assert_array_equal(refilled(labels), labels)
    assert len(dict(outlines(labels))[1]) == ndimage.label(labels)[1]
