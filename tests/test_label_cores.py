"""Nuclei by their cores: what a textured nucleus, a gap, a neck and a missing core do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn
from scipy import ndimage

from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei, split_by_cores

masks = drawn.arrays(bool, drawn.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


def test_each_core_is_a_nucleus_and_nothing_is_lost():
    """Three nuclei in one blob without any neck: only their cores tell them apart."""
    probability = np.zeros((20, 60), np.float32)
    probability[4:16, 4:56] = 0.9
    core = np.zeros_like(probability)
    for left in (8, 26, 44):
        core[7:13, left : left + 8] = 0.8
    assert label_nuclei(probability).max() == 1
    labels = label_nuclei(probability, core=core)
    assert labels.max() == 3
    np.testing.assert_array_equal(labels > 0, probability > 0.5)
    for left in (8, 26, 44):
        assert len(np.unique(labels[7:13, left : left + 8])) == 1


@pytest.mark.parametrize("elongation", [1.0, 1.6])
@pytest.mark.parametrize("radius", [6, 10, 16])
def test_a_textured_nucleus_is_not_split_although_its_core_falls_to_pieces(radius, elongation):
    side = int(2 * radius * elongation + 12)
    rows, columns = np.indices((side, side)) - side // 2
    reach = np.hypot(rows / elongation, columns) / radius
    core = np.where(reach <= 0.6, 0.85, 0.05)
    core[:, side // 2] *= 0.5  # a fold
    core[np.random.default_rng(radius).random(core.shape) < 0.08] = 0  # and specks
    assert ndimage.label(core >= 0.5)[1] >= 2
    labels = label_nuclei((reach <= 1).astype(np.float32), core=core)
    np.testing.assert_array_equal(labels, reach <= 1)


@pytest.mark.parametrize("radius", [5, 9, 15, 25])
def test_touching_discs_with_a_core_each_are_two(radius):
    distance = int(1.5 * radius)
    rows, columns = np.indices((2 * radius + 9, 2 * radius + distance + 9)) - radius - 4
    nearest = np.minimum(np.hypot(rows, columns), np.hypot(rows, columns - distance))
    probability, inner = (nearest <= radius).astype(np.float16), nearest <= 0.6 * radius
    core = ndimage.gaussian_filter(np.where(inner, 0.95, 0.05), 0.7)
    labels = label_nuclei(probability, core=core)
    np.testing.assert_array_equal(labels > 0, probability > 0)
    assert labels.max() == 2
    left = labels[:, : radius + 4 + distance // 2]
    assert np.mean(left[left > 0] == 1) > 0.97


@pytest.mark.parametrize(("dip", "nuclei"), [(0.0, 1), (0.04, 1), (0.3, 2), (0.9, 2)])
def test_where_nothing_narrows_the_dip_of_the_core_decides(dip, nuclei):
    probability, core = np.zeros((30, 90), np.float32), np.zeros((30, 90), np.float32)
    probability[5:25, 5:85] = 1
    core[10:20, 10:80] = 0.9
    core[10:20, 40:50] -= 0.9 * dip
    assert label_nuclei(probability, core=core).max() == nuclei


@pytest.mark.parametrize(("neck", "nuclei"), [(0.9, 1), (0.3, 2)])
def test_where_the_core_does_not_dip_the_neck_decides(neck, nuclei):
    rows, columns = np.mgrid[:50, :110]
    discs_ = (np.hypot(rows - 25, columns - 30) <= 18) | (np.hypot(rows - 25, columns - 80) <= 18)
    mask = discs_ | ((abs(rows - 25) <= 18 * neck) & (columns > 30) & (columns < 80))
    assert label_nuclei(mask.astype(np.float32), core=np.ones(mask.shape, np.float32)).max() == nuclei


def test_what_has_no_core_is_no_nucleus_and_a_core_without_a_nucleus_is_none():
    probability, core = np.zeros((30, 60), np.float32), np.zeros((30, 60), np.float32)
    probability[5:20, 5:20] = probability[5:20, 22:37] = 0.9
    core[8:12, 8:12] = core[8:12, 42:46] = 0.9
    labels = label_nuclei(probability, core=core)
    expected = probability > 0.5
    expected[:, 21:] = False
    np.testing.assert_array_equal(labels, expected)
    assert label_nuclei(probability).max() == label_nuclei(probability, LabelSettings(split=False), core).max() == 2
    parts = split_by_cores(ndimage.label(probability > 0.5)[0], core)
    np.testing.assert_array_equal(parts > 0, probability > 0.5)


def test_a_lower_threshold_asks_for_less_of_a_core():
    """Its odds must be 1.5 times those of the threshold: 0.6 at 0.5, 0.5 at 0.4, 1/3 at 0.25."""
    probability = np.zeros((20, 60), np.float32)
    core = np.zeros_like(probability)
    for left, height in ((4, 0.65), (24, 0.55), (44, 0.4)):
        probability[4:16, left : left + 12] = 0.9
        core[8:12, left + 4 : left + 8] = height
    found = [label_nuclei(probability, LabelSettings(threshold), core).max() for threshold in (0.8, 0.5, 0.4, 0.25)]
    assert found == [0, 1, 2, 3]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(masks, st.integers(0, 10**6))
def test_splitting_by_cores_keeps_the_foreground_and_every_clump(mask, seed):
    core = ndimage.gaussian_filter(np.random.default_rng(seed).random(mask.shape), 0.7)
    clumps, count = ndimage.label(mask, np.ones((3, 3)))  # a top may reach across a corner
    parts = split_by_cores(clumps, core)
    np.testing.assert_array_equal(parts > 0, mask)
    found = np.unique(parts)
    np.testing.assert_array_equal(found[found > 0], np.arange(1, parts.max() + 1))
    owners = {(part, clump) for part, clump in zip(parts[mask], clumps[mask], strict=True)}
    assert len(owners) == parts.max() >= count


def test_cores_that_run_together_are_cut_at_their_neck():
    rows, columns = np.mgrid[:40, :80]
    left, right = (np.hypot(rows - 20, columns - middle) for middle in (28, 50))
    probability = ((left < 13) | (right < 13)).astype(np.float32)
    core = ((left < 9) | (right < 9) | ((abs(rows - 20) < 3) & (columns > 28) & (columns < 50))).astype(np.float32)
    assert ndimage.label(core)[1] == 1
    assert label_nuclei(probability, core=core).max() == 2


def test_cores_count_only_where_nuclei_are_to_be_split():
    probability, core = np.ones((20, 40), np.float32), np.zeros((20, 40), np.float32)
    core[8:12, 4:8], core[8:12, 30:34] = 1, 1
    assert label_nuclei(probability, LabelSettings(split=False), core).max() == 1
    assert label_nuclei(probability, LabelSettings(), core).max() == 2
