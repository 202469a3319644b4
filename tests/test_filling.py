"""Pixels from outlines that other programs drew: fractions, holes, crossings, the world outside the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from napari_unetsharp.errors import LabelsError
from napari_unetsharp.nuclei.filling import FARTHEST, fill_outlines

numbers = st.floats(-4, 16, allow_subnormal=False)
rings = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=3)


def ring(*points):
    return np.array([*points, points[0]], np.float64)


def box(left, top, right, bottom):
    return ring((left, top), (right, top), (right, bottom), (left, bottom))


def filled(*polygons, shape=(12, 12)):
    return fill_outlines(shape, [(1, list(polygons))])


def test_a_pixel_belongs_where_its_middle_is():
    assert filled([box(1.5, 2.5, 3.5, 4.4)]).labels.sum() == 4
    labels = filled([box(1.51, 2.51, 3.49, 4.49)]).labels
    assert np.argwhere(labels).tolist() == [[3, 2]]


def test_neighbours_that_share_an_edge_share_no_pixel():
    """Every pixel of the two together belongs to one of them, wherever the edge runs."""
    for x in np.linspace(2, 9, 57):
        both = [(1, [[box(1, 1, x, 9)]]), (2, [[box(x, 1, 10, 9)]])]
        result = fill_outlines((12, 12), both)
        assert result.shared == 0
        np.testing.assert_array_equal(result.labels > 0, filled([box(1, 1, 10, 9)]).labels > 0)


@settings(deadline=None, derandomize=True)
@given(rings)
def test_triangles(points):
    """As by testing every middle, but for those that lie on an edge."""
    labels = filled([ring(*points)]).labels
    middles = np.argwhere(np.ones((12, 12)))[:, ::-1] + 0.5
    shifts = ((1e-6, 1e-6), (-1e-6, 1e-6), (1e-6, -1e-6), (-1e-6, -1e-6))
    inside = np.array([points_in_poly(middles + shift, np.array(points)).reshape(12, 12) for shift in shifts])
    assert (labels[inside.all(axis=0)] == 1).all()
    assert (labels[~inside.any(axis=0)] == 0).all()


@pytest.mark.parametrize("turn", [1, -1])
def test_holes_whichever_way_they_run(turn):
    result = filled([box(0, 0, 6, 6), box(2, 2, 4, 4)[::turn]])
    assert result.labels.sum() == 32
    assert len(result.crossing) == 0


def test_several_pieces_touching_in_a_corner():
    result = filled([box(0, 0, 2, 2)], [box(2, 2, 4, 4)])
    assert result.labels.sum() == 8
    assert len(result.crossing) == 0


@pytest.mark.parametrize(
    "crossed",
    [
        ring((1, 1), (9, 9), (9, 1), (1, 9)),
        ring((0, 0), (10, 0), (10, 10), (4, 10), (4, 4), (8, 4), (8, 8), (0, 8)),
    ],
    ids=["bow tie", "loop"],
)
def test_outlines_that_cross_themselves_are_told(crossed):
    result = filled([crossed])
    assert result.crossing.tolist() == [1]
    assert result.labels.any()


def test_a_hole_outside_its_shell_is_told():
    assert filled([box(0, 0, 3, 3), box(6, 6, 9, 9)]).crossing.tolist() == [1]


def test_the_first_keeps_what_two_claim():
    result = fill_outlines((6, 6), [(5, [[box(0, 0, 4, 4)]]), (2, [[box(2, 2, 6, 6)]]), (9, [[box(1, 1, 2, 2)]])])
    assert result.shared == 5
    assert (result.labels == 5).sum() == 16
    assert result.missing.tolist() == [9]


def test_what_lies_outside_is_cut_off():
    result = filled([box(-1e6, -1e6, 3, 2)])
    np.testing.assert_array_equal(np.argwhere(result.labels), np.argwhere(np.ones((2, 3))))
    assert filled([box(50, 50, 60, 60)]).missing.tolist() == [1]


def test_thinner_than_a_pixel():
    assert filled([box(1, 1, 1.2, 9)]).missing.tolist() == [1]
    assert filled([np.zeros((0, 2))]).missing.tolist() == [1]


def test_nothing_to_fill():
    assert fill_outlines((3, 4), []).labels.shape == (3, 4)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 2 * FARTHEST])
def test_coordinates_that_no_image_has(wrong):
    with pytest.raises(LabelsError, match="coordinates that no image has"):
        filled([ring((0, 0), (wrong, 0), (3, 3))])


def test_more_crossings_than_memory_is_refused():
    up_and_down = np.stack([np.arange(4001) % 7, np.arange(4001) % 2 * 1000], axis=1).astype(float)
    many = ((number, [[ring(*up_and_down)]]) for number in range(1, 100))
    with pytest.raises(LabelsError, match="to and fro"):
        fill_outlines((1000, 10), many)
