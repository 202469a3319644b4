"""What the views say of each nucleus, measured on maps whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.evidence import TERMS, gather
from napari_unetsharp.nuclei.instances import label_nuclei
from napari_unetsharp.nuclei.territory import Territory, with_rim

CENTRES = [(20, 20), (20, 60), (60, 20), (60, 60)]


def plane(centres=CENTRES, radius=8, shape=(80, 80)):
    """A sure map of discs, and its labels in the order of the centres."""
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate(centres, start=1):
        labels[discs(shape, [centre], radius) > 100] = number
    return (labels > 0).astype(np.float16), labels


def soft(labels):
    """Maps are never quite sure; odd shapes and sizes then count."""
    return np.where(labels > 0, 0.9, 0.1).astype(np.float16)


def four(values, labels):
    """The same map and labels at all depths."""
    return {f"x0{level}": values for level in range(1, 5)}, dict.fromkeys(range(1, 5), labels)


def test_a_perfect_network_gives_no_evidence():
    values, labels = plane([*CENTRES, (40, 79)], 5)
    labels[labels == 3] = 2  # and be it an odd shape
    values[labels == 4] = 1
    maps, by_level = four(values, labels)
    evidence = gather(maps, by_level, 4, np.zeros_like(values))
    assert len(evidence) == 4
    assert not evidence.terms.any()


@pytest.mark.parametrize("level", [1, 4])
def test_a_perfect_network_gives_no_evidence_through_the_predictor(level):
    picture = discs((150, 117), [(20, 20), (70, 60), (110, 100), (149, 10), (70, 100)], 9)
    prediction = Predictor(seeing_brightness(), "cpu", level).predict(np.repeat(picture[..., np.newaxis], 3, axis=2))
    labels = {depth: label_nuclei(prediction.full[f"x0{depth}"]) for depth in range(1, level + 1)}
    evidence = gather(prediction.full, labels, level, prediction.doubt)
    assert len(evidence) == 5
    assert evidence.terms.max() < 0.01


def test_places_and_sizes():
    values, labels = plane()
    labels[labels == 3] = 70
    evidence = gather({"x04": values}, {4: labels}, 4)
    assert evidence.ids.tolist() == [1, 2, 4, 70]
    np.testing.assert_allclose(evidence.centres, [(20, 20), (20, 60), (60, 60), (60, 20)])
    assert evidence.areas.tolist() == [np.sum(labels == 1)] * 4
    assert evidence.boxes[0].tolist() == [12, 12, 29, 29]


def only(evidence, *names):
    """Which nuclei have evidence of these kinds; that nothing else speaks against any is asserted."""
    others = [TERMS.index(name) for name in TERMS if name not in names]
    np.testing.assert_allclose(evidence.terms[:, others], 0, atol=0.1)  # a disc of pixels is no perfect ellipse
    return evidence.ids[evidence.terms[:, [TERMS.index(name) for name in names]].max(1) > 0.1].tolist()


def test_a_faint_nucleus():
    values, labels = plane()
    values[labels == 2] = 0.75
    evidence = gather(*four(values, labels), 4)
    assert only(evidence, "faint") == [2]
    assert evidence.term("faint")[1] == pytest.approx(0.25, abs=1e-3)


def test_an_edge_that_hangs_on_the_threshold():
    values, labels = plane()
    values[(with_rim(labels, 2) == 3) & (labels == 0)] = 0.45
    assert only(gather(*four(values, labels), 4), "unstable") == [3]


def test_a_nucleus_that_other_depths_don_t_see():
    values, labels = plane()
    maps, by_level = four(values, labels)
    for level in (1, 3):
        by_level[level] = np.where(labels == 2, 0, labels)
    evidence = gather(maps, by_level, 4)
    assert only(evidence, "depths", "shallow") == [2]
    assert evidence.term("depths")[1] == 1
    assert evidence.term("shallow")[1] == pytest.approx(0.5)
    assert evidence.depths(0) == (1, 2, 3, 4)
    assert evidence.depths(1) == (2, 4)
    assert [evidence.seen[level].tolist() for level in (1, 2, 3)] == [
        [True, False, True, True], [True] * 4, [True, False, True, True],
    ]  # fmt: skip


def test_an_outline_that_moves():
    values, labels = plane()
    maps, by_level = four(values, labels)
    by_level[3] = np.roll(labels, 4, axis=0)
    evidence = gather(maps, by_level, 4)
    shared = np.sum((labels == 1) & (by_level[3] == 1))
    iou = shared / (2 * np.sum(labels == 1) - shared)
    np.testing.assert_allclose(evidence.term("depths"), 1 - iou)
    assert all(evidence.seen[3])


@pytest.mark.parametrize(("side", "axis", "sign"), [("left", 1, -1), ("right", 1, 1), ("up", 0, -1), ("down", 0, 1)])
def test_where_the_views_disagree(side, axis, sign):
    values, labels = plane()
    rows, columns = np.indices(labels.shape)
    offset = (rows - 20, columns - 20)[axis] * sign
    doubt = np.where((labels == 1) & (offset > 4), 1, 0).astype(np.float16)
    evidence = gather(*four(values, labels), 4, doubt)
    assert only(evidence, "views") == [1]
    assert evidence.sides[0, axis] * sign > 0.5
    assert abs(evidence.sides[0, 1 - axis]) < 0.1


def test_a_small_one_among_others():
    _, labels = plane()
    labels[discs(labels.shape, [(40, 40)], 2) > 100] = 9
    evidence = gather(*four(soft(labels), labels), 4)
    assert evidence.ids[evidence.term("small") > 0.1].tolist() == [9]


def test_a_large_one_among_others():
    _, labels = plane([*CENTRES, (40, 110)], shape=(80, 120))
    labels[discs(labels.shape, [(40, 100)], 16) > 100] = 9
    evidence = gather(*four(soft(labels), labels), 4)
    assert evidence.ids[evidence.term("large") > 0.1].tolist() == [9]
    sure = gather(*four((labels > 0).astype(np.float16), labels), 4)
    assert not sure.term("large").any()


def test_a_bent_one_among_others():
    _, labels = plane()
    labels[30:50, 36:40] = 9
    labels[46:50, 36:56] = 9
    evidence = gather(*four(soft(labels), labels), 4)
    assert evidence.term("shape")[-1] > 0.5
    assert evidence.term("shape")[:-1].max() < 0.1


def test_an_odd_shape_cut_by_the_image_s_edge_is_no_fault():
    _, labels = plane([*CENTRES, (40, 79)], 8)
    evidence = gather(*four(soft(labels), labels), 4)
    assert evidence.term("small")[-1] == evidence.term("shape")[-1] == 0


def test_two_centres_in_one():
    values, labels = plane()
    values = np.where(labels > 0, 0.8, 0).astype(np.float16)
    values[18:23, 14:18] = values[18:23, 23:27] = 0.99
    evidence = gather(*four(values, labels), 4)
    assert evidence.ids[evidence.term("centres") > 0.05].tolist() == [1]


def test_another_depth_sees_two():
    values, labels = plane()
    maps, by_level = four(values, labels)
    by_level[2] = labels.copy()
    by_level[2][(labels == 3) & (np.indices(labels.shape)[1] >= 20)] = 40
    evidence = gather(maps, by_level, 4)
    assert evidence.parts[2].tolist() == [1, 1, 2, 1]
    assert evidence.term("parts").tolist() == pytest.approx([0, 0, 1 / 3, 0])


def test_another_depth_sees_one_with_the_neighbour():
    values, labels = plane([(20, 20), (20, 37), (20, 60), (60, 60)])
    maps, by_level = four(values, labels)
    by_level[3] = np.where(labels == 2, 1, labels)
    evidence = gather(maps, by_level, 4)
    assert evidence.partners[3].tolist() == [2, 1, 0, 0]
    assert evidence.term("joined").tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0])


def test_one_map_alone_is_enough():
    values, labels = plane()
    values[labels == 1] = 0.7
    evidence = gather({"x02": values}, {2: labels}, 2)
    assert not evidence.seen
    assert only(evidence, "faint") == [1]


def test_an_empty_plane_has_no_evidence():
    values, labels = plane([])
    evidence = gather(*four(values, labels), 4, values)
    assert len(evidence) == 0
    assert evidence.terms.shape == (0, len(TERMS))
    assert evidence.boxes.shape == (0, 4)


@settings(deadline=None, derandomize=True)
@given(
    drawn.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 0, 3, 8]))
)
def test_sums_by_nucleus_are_those_of_its_pixels(labels):
    values = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    territory = Territory.of(labels)
    assert territory.ids.tolist() == [number for number in (3, 8) if (labels == number).any()]
    inside, both = territory.sums(values), territory.sums(values, rim=True)
    highest = territory.largest(values)
    grown = with_rim(labels, 2)
    for place, number in enumerate(territory.ids.tolist()):
        assert inside[place] == values[labels == number].sum()
        assert both[place] == values[grown == number].sum()
        assert territory.areas[place] == np.sum(labels == number)
        assert territory.pixels[place] == np.sum(grown == number)
        assert highest[place] == values[labels == number].max()
        rows, columns = np.nonzero(labels == number)
        assert territory.boxes[place].tolist() == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        np.testing.assert_allclose(territory.centres[place], (rows.mean(), columns.mean()))
        spread = np.cov(rows, columns, bias=True)
        np.testing.assert_allclose(territory.spreads[place], (spread[0, 0], spread[1, 1], spread[0, 1]), atol=1e-9)
    drawn_out = territory.spread_out(np.arange(territory.count, dtype=np.float32), -1)
    np.testing.assert_array_equal(drawn_out, territory.numbers[labels])


def test_a_rim_reaches_two_steps_and_takes_nothing_from_a_neighbour():
    labels = np.zeros((9, 12), np.int32)
    labels[4, 3], labels[4, 7:9] = 5, 2
    grown = with_rim(labels, 2)
    rows, columns = np.indices(labels.shape)
    assert grown[4, 3] == 5
    assert (grown[4, 7:9] == 2).all()
    assert (grown[(abs(rows - 4) + abs(columns - 3) <= 2)] == 5).all()
    assert (grown[abs(rows - 4) + np.minimum(abs(columns - 3), np.maximum(7 - columns, columns - 8)) > 2] == 0).all()
