"""What heads are taught: nuclei without seams, cores that stay apart, borders between neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unetsharp.nuclei.instances import median_diameter
from napari_unetsharp.training.targets import borders, cores, nuclei_without_seams, targets


def pair(radius, gap=0):
    """Two discs side by side; at a gap of 0 they touch along a line."""
    side = 2 * radius + 8
    rows, columns = np.mgrid[:side, : 2 * side]
    labels = np.zeros((side, 2 * side), np.int32)
    middle = side - radius + 2
    labels[np.hypot(rows - side / 2, columns - middle) <= radius] = 7
    right = (np.hypot(rows - side / 2, columns - middle - 2 * radius + 4 - gap) <= radius) & (labels == 0)
    labels[right] = 9
    return labels


@pytest.mark.parametrize("radius", [5, 9, 16, 30])
def test_each_nucleus_has_one_core_apart_from_its_neighbour(radius):
    labels = pair(radius)
    core = cores(labels)
    pieces, count = ndimage.label(core, np.ones((3, 3)))
    assert count == 2
    assert {int(labels[pieces == piece].min()) for piece in (1, 2)} == {7, 9}
    assert not core[labels == 0].any()
    share = core.sum() / np.count_nonzero(labels)
    assert 0.15 < share < 0.6
    left, right = (ndimage.distance_transform_edt(pieces != piece) for piece in (1, 2))
    assert (left + right).min() > 0.3 * radius  # the gap grows with the nuclei


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 2), (3, 3)])
def test_also_the_smallest_nucleus_has_a_core(shape):
    labels = np.zeros((20, 20), np.int32)
    labels[5 : 5 + shape[0], 5 : 5 + shape[1]] = 3
    assert cores(labels).any()


def test_borders_lie_between_neighbours_only():
    labels = np.zeros((12, 20), np.int32)
    labels[2:10, 2:8], labels[2:10, 8:14] = 1, 2
    border = borders(labels)
    assert border[4, 6:10].all()
    assert not border[4, :6].any()
    assert not border[4, 10:].any()
    labels[labels == 2] = 0
    assert not borders(labels).any()


def test_a_gap_of_two_pixels_is_a_border_of_five_is_not():
    for gap, meets in ((2, True), (5, False)):
        labels = np.zeros((6, 20), np.int32)
        labels[:, 2:6], labels[:, 6 + gap : 10 + gap] = 1, 2
        assert bool(borders(labels).any()) is meets


@pytest.mark.parametrize("extras", [(), ("core",), ("core", "border")])
def test_channels_come_in_the_order_of_the_extras(extras):
    labels = pair(9)
    stacked = targets(labels, extras)
    assert stacked.shape == (1 + len(extras), *labels.shape)
    assert stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked[0], nuclei_without_seams(labels))
    drawn = {"core": cores, "border": borders}
    for channel, name in zip(stacked[1:], extras, strict=True):
        np.testing.assert_array_equal(channel, drawn[name](labels))


def test_nothing_to_see_teaches_nothing():
    assert not targets(np.zeros((9, 9), np.int32), ("core", "border")).any()


def test_median_diameter_is_that_of_equal_discs():
    rows, columns = np.mgrid[:60, :120]
    labels = np.zeros((60, 120), np.int32)
    for name, (column, radius) in enumerate([(15, 8), (50, 12), (90, 20)], start=1):
        labels[np.hypot(rows - 30, columns - column) <= radius] = 10 * name
    assert median_diameter(labels) == pytest.approx(24, rel=0.05)
    assert median_diameter(np.zeros((5, 5), np.int32)) is None
