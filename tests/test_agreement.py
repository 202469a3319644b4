"""How far two readings agree, and which nuclei are read twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.nuclei.agreement import agreement, cohens_kappa, second_reading
from napari_unetsharp.nuclei.states import State


def squares(count, shift=0):
    """Labels of `count` squares of 6 px in a row; shifted down by some pixels."""
    labels = np.zeros((12, 10 * count), np.int32)
    for number in range(count):
        labels[2 + shift : 8 + shift, 10 * number : 10 * number + 6] = number + 1
    return labels


def test_equal_readings_agree():
    states = {1: State.RIGHT, 2: State.NOT, 3: State.UNSURE, 4: State.CHANGED}
    found = agreement(states, states, squares(4), squares(4))
    assert (found.read, found.same, found.kappa, found.f1) == (4, 4, 1.0, 1.0)
    assert found.words == "4 read twice, 4 with the same verdict (100 %, 40 % to 100 %; kappa 1.00); outlines F1 1.00"


def test_kappa_of_a_table_worked_by_hand():
    # 20 and 15 agreed on; 5 and 10 not: observed 0.7, expected 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohens_kappa(first, second) == pytest.approx(0.4)


def test_kappa_of_one_verdict_only_is_undefined():
    assert math.isnan(cohens_kappa(["yes"] * 5, ["yes"] * 5))
    assert math.isnan(cohens_kappa([], []))
    states = dict.fromkeys(range(1, 4), State.RIGHT)
    assert "undefined" in agreement(states, states, squares(3), squares(3)).words


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_kappa_is_symmetric_and_never_above_one(pairs):
    first, second = zip(*pairs, strict=True)
    kappa = cohens_kappa(first, second)
    back = cohens_kappa(second, first)
    assert kappa == pytest.approx(back, nan_ok=True)
    assert math.isnan(kappa) or -1 <= kappa <= 1
    assert (kappa == pytest.approx(1)) == (first == second and len(set(first)) > 1)


def test_guessing_has_no_kappa():
    drawn = np.random.default_rng(3)
    assert abs(cohens_kappa(drawn.integers(0, 2, 20000), drawn.integers(0, 2, 20000))) < 0.03


def test_outlines_that_lie_apart_don_t_agree():
    states = dict.fromkeys((1, 2), State.RIGHT)
    first, second = squares(2), squares(2)
    second[second == 2] = 0
    second[0:2, 10:16] = 2
    found = agreement(states, states, first, second)
    assert (found.same, found.f1) == (2, 0.5)


def test_only_nuclei_judged_twice_count():
    first = {1: State.RIGHT, 2: State.RIGHT, 3: State.NOT, 4: State.RIGHT}
    second = {1: State.CHANGED, 2: State.TO_DO, 3: State.RIGHT, 9: State.NOT}
    found = agreement(first, second, squares(4), squares(4))
    assert (found.read, found.same) == (2, 1)
    assert found.f1 == pytest.approx(2 / 3)  # nucleus 1 by both, nucleus 3 by one


def test_nothing_read_twice():
    found = agreement({1: State.RIGHT}, {}, squares(1), squares(1))
    assert found.read == 0
    assert math.isnan(found.f1)
    assert found.words == "Nothing was read twice yet."


@pytest.mark.parametrize(("count", "wanted"), [(0, 0), (1, 1), (10, 1), (11, 2), (400, 40)])
def test_a_tenth_is_read_again(count, wanted):
    ids = np.arange(5, 5 + count)
    drawn = second_reading(ids, seed=4)
    assert len(set(drawn.tolist())) == len(drawn) == wanted
    assert set(drawn.tolist()) <= set(ids.tolist())


def test_each_nucleus_is_as_likely_to_be_read_again():
    ids = np.arange(1, 51)
    counts = np.zeros(51, int)
    for seed in range(2000):
        counts[second_reading(ids, seed)] += 1
    assert abs(counts[1:] - 200).max() < 5 * np.sqrt(200 * 0.9)
    assert not np.array_equal(second_reading(ids, 1), np.sort(second_reading(ids, 1)))
