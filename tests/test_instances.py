"""From probability to nuclei: what is split, what is kept, and which id a nucleus bears."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn
from scipy import ndimage
from small_networks import discs

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.instances import (
    LabelSettings,
    align_ids,
    count_nuclei,
    label_nuclei,
    split_touching,
    without_small,
)

ALL = LabelSettings(smallest=0)


def disc(radius, y=0.0, x=0.0):
    """A disc alone, its centre a little off the grid: probability (Y, X)."""
    side = int(2 * radius + 9)
    rows, columns = np.indices((side, side)) - side / 2
    return (np.hypot(rows - y, columns - x) <= radius).astype(np.float16)


def two_discs(radius, other, distance):
    """Two discs that touch or overlap, side by side."""
    rows, columns = np.indices((int(2 * radius + 9), int(2 * (radius + other) + distance + 9)))
    rows, columns = rows - radius - 4, columns - radius - 4
    mask = (np.hypot(rows, columns) <= radius) | (np.hypot(rows, columns - distance) <= other)
    return mask.astype(np.float16)


def same_partition(one, other):
    """Whether two label maps divide the plane alike, whatever the ids are."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs) and (0, 0) in zip(*pairs, strict=True)


labels_maps = drawn.arrays(np.int32, (6, 7), elements=st.integers(0, 9))


# Splitting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [(0, 0), (0.5, 0.5), (0.3, -0.4)])
def test_a_disc_of_any_size_is_one(centre):
    for radius in [3, 3.5, 4, 4.5, *range(5, 61)]:
        labels = label_nuclei(disc(radius, *centre))
        assert labels.max() == 1, radius
        np.testing.assert_array_equal(labels == 1, disc(radius, *centre) > 0)


@pytest.mark.parametrize("elongation", [1.2, 1.5, 2, 2.5, 3, 4])
def test_an_ellipse_is_one_however_it_lies(elongation):
    for half in (4, 6, 10, 15, 25):
        for turn in np.arange(0, np.pi / 2, 0.15):
            side = int(2 * half * elongation + 9)
            rows, columns = np.indices((side, side)) - side / 2
            along = rows * np.sin(turn) + columns * np.cos(turn)
            across = rows * np.cos(turn) - columns * np.sin(turn)
            mask = (along / (half * elongation)) ** 2 + (across / half) ** 2 <= 1
            assert label_nuclei(mask.astype(np.float16)).max() == 1, (half, turn)


@pytest.mark.parametrize("radius", [5, 7, 10, 16, 30, 45])
@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("overlap", [0.0, 0.1])
def test_two_discs_that_touch_are_two(radius, share, overlap):
    other = radius * share
    distance = (radius + other) * (1 - overlap)
    probability = two_discs(radius, other, distance)
    assert overlap == 0 or ndimage.label(probability > 0)[1] == 1
    labels = label_nuclei(probability)
    assert labels.max() == 2
    assert labels[radius + 4, radius + 4] != labels[radius + 4, int(radius + 4 + distance)]
    areas = np.bincount(labels.ravel())[1:]
    expected = np.pi * np.array([radius, other]) ** 2
    np.testing.assert_allclose(np.sort(areas), np.sort(expected), rtol=0.2)


def test_a_chain_is_cut_at_every_neck():
    mask = discs((60, 200), [(30, 30 + 26 * place) for place in range(6)], 14) > 100
    assert ndimage.label(mask)[1] == 1
    probability = mask.astype(np.float16)
    assert label_nuclei(probability).max() == 6
    assert label_nuclei(probability, LabelSettings(split=False)).max() == 1


masks = drawn.arrays(bool, drawn.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(masks, st.booleans())
@example(np.pad(np.ones((22, 22), bool), (0, 2)) | np.pad(np.ones((2, 2), bool), (22, 0)), False)  # corner to corner
def test_splitting_keeps_the_foreground_and_every_component(mask, smooth):
    mask = ndimage.binary_closing(mask) | (mask & ~smooth)
    components, count = ndimage.label(mask)
    parts = split_touching(components)
    assert parts.dtype == np.int32
    np.testing.assert_array_equal(parts > 0, mask)
    found = np.unique(parts)
    np.testing.assert_array_equal(found[found > 0], np.arange(1, parts.max() + 1))
    for component in range(1, count + 1):
        assert parts[components == component].min() > 0


def test_components_never_share_a_label():
    probability = np.random.default_rng(3).random((200, 200))
    components, _ = ndimage.label(ndimage.gaussian_filter(probability, 3) > 0.5)
    parts = split_touching(components)
    assert parts.max() >= components.max() > 10
    for part, box in enumerate(ndimage.find_objects(parts), start=1):
        assert len(np.unique(components[box][parts[box] == part])) == 1


# Threshold, holes, sizes -------------------------------------------------------------------------------


def test_holes_are_filled():
    ring = disc(12) - np.pad(disc(5), 7)
    assert ring.min() == 0
    np.testing.assert_array_equal(label_nuclei(ring), label_nuclei(disc(12)))


@pytest.mark.parametrize("smallest", [0, 1, 20, 49, 50, 1000])
def test_small_ones_are_left_out(smallest):
    probability = np.zeros((40, 40), np.float16)
    probability[2:7, 2:12] = 1  # 50
    probability[20:24, 20:25] = 1  # 20
    probability[30, 30] = 1  # 1
    labels = label_nuclei(probability, LabelSettings(smallest=smallest, split=False))
    kept = [area for area in (50, 20, 1) if area >= smallest]
    assert sorted(np.bincount(labels.ravel())[1:], reverse=True) == kept
    assert count_nuclei(labels) == len(kept)


@settings(deadline=None, derandomize=True)
@given(labels_maps, st.integers(0, 12))
def test_leaving_out_small_ones_renumbers_and_changes_nothing_else(labels, smallest):
    found = without_small(labels, smallest)
    areas = np.bincount(labels.ravel(), minlength=10)
    kept = [label for label in range(1, 10) if areas[label] >= max(1, smallest)]
    for new, old in enumerate(kept, start=1):
        np.testing.assert_array_equal(found == new, labels == old)
    assert found.max(initial=0) == len(kept)


def test_the_threshold_belongs_to_the_nucleus():
    probability = np.full((10, 10), 0.5, np.float16)
    assert label_nuclei(probability, LabelSettings(0.5)).all()
    assert not label_nuclei(probability, LabelSettings(0.501)).any()


def test_a_higher_threshold_never_adds_pixels():
    probability = ndimage.gaussian_filter(np.random.default_rng(0).random((80, 90)), 3).astype(np.float16)
    probability = (probability - probability.min()) / np.ptp(probability)
    before = np.ones(probability.shape, bool)
    for threshold in np.arange(0.05, 1, 0.1):
        now = label_nuclei(probability, LabelSettings(float(threshold), 0)) > 0
        assert not (now & ~before).any()
        before = now
    assert 0 < before.sum() < probability.size / 20


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (1, 30)])
def test_nothing_and_everything(dtype, shape):
    nothing = label_nuclei(np.zeros(shape, dtype))
    assert nothing.dtype == np.int32
    assert nothing.shape == shape
    assert not nothing.any()
    np.testing.assert_array_equal(label_nuclei(np.ones(shape, dtype), ALL), np.ones(shape))


@pytest.mark.parametrize("values", [{"threshold": 0}, {"threshold": 1}, {"threshold": float("nan")}, {"smallest": -1}])
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(SettingsError, match="between 0 and 1"):
        LabelSettings(**values)


def test_counting():
    assert count_nuclei(np.zeros((0, 0), np.int32)) == 0
    assert count_nuclei(np.array([[0, 7], [7, 900]], np.int32)) == 2


# Ids ---------------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(labels_maps, labels_maps, st.integers(0, 30))
def test_alignment_keeps_the_nuclei_and_gives_each_its_own_id(reference, labels, first_free):
    aligned = align_ids(reference, labels, first_free)
    assert aligned.dtype == np.int32
    np.testing.assert_array_equal(aligned > 0, labels > 0)
    assert same_partition(np.pad(aligned, 1), np.pad(labels, 1))
    known = set(np.unique(reference)) - {0}
    for label in set(np.unique(aligned)) - {0}:
        if label in known:  # it overlaps the one whose id it bears
            assert (reference[aligned == label] == label).any()
        else:
            assert label > max(first_free, reference.max())


@settings(deadline=None, derandomize=True)
@given(labels_maps, labels_maps)
def test_the_largest_overlap_gives_the_id(reference, labels):
    aligned = align_ids(reference, labels)
    shared = {
        (own, other): np.count_nonzero((labels == own) & (reference == other))
        for own in set(np.unique(labels)) - {0} for other in set(np.unique(reference)) - {0}
    }  # fmt: skip
    got = {own: int(aligned[labels == own][0]) for own in set(np.unique(labels)) - {0}}
    takers = {label: own for own, label in got.items()}
    for (own, other), pixels in shared.items():
        if pixels and got[own] != other:  # somebody with as much of it took it, or it took one with as much
            taker = takers.get(other)
            elsewhere = shared.get((own, got[own]), 0)
            assert elsewhere >= pixels or (taker is not None and shared[taker, other] >= pixels)


@settings(deadline=None, derandomize=True)
@given(labels_maps)
def test_a_map_aligned_with_itself_is_itself(labels):
    np.testing.assert_array_equal(align_ids(labels, labels), labels)


@settings(deadline=None, derandomize=True)
@given(labels_maps, st.permutations(range(1, 10)))
def test_renumbering_is_undone(labels, order):
    shuffled = np.array([0, *order], np.int32)[labels]
    np.testing.assert_array_equal(align_ids(labels, shuffled), labels)


def test_what_the_reference_does_not_know_gets_new_ids():
    reference, labels = np.zeros((4, 8), np.int32), np.zeros((4, 8), np.int32)
    reference[:, :4] = 5
    labels[:, :3], labels[:, 3], labels[:, 6:] = 1, 2, 3
    aligned = align_ids(reference, labels, 40)
    assert aligned[0, 0] == 5  # three of its four columns
    assert {int(aligned[0, 3]), int(aligned[0, 7])} == {41, 42}


def test_a_ring_of_nuclei_keeps_its_lumen_open():
    rows, columns = np.mgrid[:160, :160]
    probability = np.zeros((160, 160))
    for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
        row, column = 80 + 50 * np.sin(angle), 80 + 50 * np.cos(angle)
        probability[(rows - row) ** 2 + (columns - column) ** 2 <= 11**2] = 1  # neighbours touch: one ring
    labels = label_nuclei(probability)
    assert labels[80, 80] == 0
    assert labels.max() == 16
    for row, column in ((30, 80), (80, 30)):
        assert labels[row, column] > 0


def test_a_pale_middle_is_filled_among_other_nuclei():
    rows, columns = np.mgrid[:60, :120]
    probability = np.zeros((60, 120))
    for column in (30, 90):
        probability[(rows - 30) ** 2 + (columns - column) ** 2 <= 15**2] = 1
    probability[27:34, 27:34] = 0
    assert label_nuclei(probability)[30, 30] > 0
