"""Errors left come from spot checks alone, and their interval keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.errors_left import FEWEST, errors_left, from_review, interval, was_wrong
from napari_unetsharp.nuclei.order import draw_spot_checks, mix, one_by_one
from napari_unetsharp.nuclei.states import State


@pytest.mark.parametrize(("population", "checked"), [(25, 20), (60, 20), (60, 45), (440, 30), (440, 120)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_holds_the_true_number_as_often_as_it_says(population, checked, confidence):
    """Exactly: every true number, every outcome with its probability."""
    outcomes = np.arange(checked + 1)
    lows, highs = np.transpose([interval(population, checked, wrong, confidence) for wrong in outcomes.tolist()])
    totals = np.arange(population + 1)[:, None]
    covered = np.where((lows <= totals) & (totals <= highs), hypergeom.pmf(outcomes, population, totals, checked), 0)
    assert covered.sum(axis=1).min() >= confidence - 1e-9


@pytest.mark.parametrize("skill", [0.0, 0.9])
def test_the_interval_holds_in_reviews_from_beginning_to_end(skill):
    """Whole reviews, stopped anywhere: doubtful ones served first, spot checks mixed in, wrong ones found by the way.

    `skill` is how well doubt tells wrong nuclei: the better, the more misleading the doubtful ones would be.
    """
    drawn = np.random.default_rng(11)
    held = estimated = 0
    for trial in range(400):
        count = int(drawn.integers(150, 400))
        wrong = drawn.random(count) < drawn.uniform(0, 0.4)
        doubt = np.where(drawn.random(count) < skill, wrong, drawn.random(count))
        queue = one_by_one(doubt, drawn.uniform(0, 1000, (count, 2)))
        spots = draw_spot_checks(np.arange(1, count + 1), 60, seed=trial)
        queue = mix(queue, spots, seed=trial, every=2)
        served = int(drawn.integers(1, len(queue) + 1))
        looked_at = np.zeros(count, bool)
        looked_at[queue.cards[:served]] = True
        by_the_way = drawn.random(count) < 0.1
        looked_at |= by_the_way
        is_spot = np.zeros(count, bool)
        is_spot[queue.cards[:served][queue.spots[:served]]] = True
        left = from_review(is_spot, queue.shown(served, count), looked_at, wrong)
        if left.estimate is None:
            continue
        estimated += 1
        nobody_knows = int(np.sum(wrong & ~looked_at))
        held += left.low <= nobody_knows <= left.high
        assert left.low <= left.estimate <= left.high
    assert estimated > 150
    assert held / estimated >= 0.93


def test_the_doubtful_ones_say_nothing():
    """However many of the doubtful ones were wrong, the estimate stays."""
    spot = np.arange(300) < 30
    shown = np.arange(300) >= 240
    wrong = np.zeros(300, bool)
    wrong[:3] = True
    calm = from_review(spot, shown, spot | shown, wrong)
    wrong[240:] = True
    assert from_review(spot, shown, spot | shown, wrong) == calm
    assert calm.unseen == 210
    assert calm.estimate == pytest.approx(0.1 * 240 - 3)


def test_what_caught_the_eye_neither_helps_nor_hurts_the_estimate():
    spot = np.arange(300) < 40
    wrong = np.arange(300) % 10 == 0
    nothing = np.zeros(300, bool)
    plain = from_review(spot, nothing, spot, wrong)
    right_ones = from_review(spot, nothing, spot | (np.arange(300) % 10 == 5), wrong)
    assert (right_ones.low, right_ones.high) == (plain.low, plain.high)
    five_found = from_review(spot, nothing, spot | ((np.arange(300) >= 250) & wrong), wrong)
    assert five_found.high == plain.high - 5


def test_an_error_that_was_found_is_no_longer_left():
    before = errors_left(400, 50, 5)
    assert before.estimate == pytest.approx(35)
    assert errors_left(400, 50, 5, found_otherwise=10).estimate == pytest.approx(25)


def test_too_few_spot_checks_say_so():
    left = errors_left(400, FEWEST - 1, 3, views=2)
    assert left.estimate is left.low is left.high is None
    assert left.words == (
        "Errors left: known from 20 spot checks on, 19 so far. Misses are counted only inside the 2 completed views."
    )
    assert errors_left(400, FEWEST, 3).estimate is not None


def test_the_words_give_the_interval():
    left = errors_left(440, 100, 3, views=1)
    assert left.words == (
        f"Errors left: about 10 ({left.low} to {left.high}) among 340 nuclei not looked at, from 100 spot checks. "
        "Misses are counted only inside the 1 completed view."
    )


def test_misses_are_never_extrapolated():
    assert errors_left(440, 100, 3).words.endswith("Misses are counted only inside completed views; there is none yet.")


def test_everything_checked_leaves_nothing_to_estimate():
    left = errors_left(30, 30, 4)
    assert (left.estimate, left.low, left.high, left.unseen) == (0, 0, 0, 0)
    assert left.words.startswith("Every nucleus has been looked at.")
    assert errors_left(3, 3, 1).estimate == 0
    assert errors_left(0, 0, 0).unseen == 0


@settings(deadline=None, derandomize=True)
@given(st.data())
def test_the_interval_stays_within_what_is_possible(data):
    population = data.draw(st.integers(FEWEST, 200))
    checked = data.draw(st.integers(FEWEST, population))
    wrong = data.draw(st.integers(0, checked))
    found = data.draw(st.integers(0, population - checked))
    left = errors_left(population, checked, wrong, found)
    assert 0 <= left.low <= left.estimate <= left.high <= left.unseen == population - checked - found


def test_more_spot_checks_make_it_narrower():
    widths = [errors_left(1000, n, n // 10).high - errors_left(1000, n, n // 10).low for n in (20, 50, 100, 200, 500)]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    "numbers", [(10, 20, 3), (100, 20, 30), (100, -1, 0), (100, 20, 2, 81), (100, 20, -1), (100, 20, 2, -1)]
)
def test_numbers_that_contradict_each_other_are_refused(numbers):
    with pytest.raises(SettingsError):
        errors_left(*numbers)


@pytest.mark.parametrize("confidence", [0, 1, 1.5])
def test_a_confidence_that_makes_no_sense_is_refused(confidence):
    with pytest.raises(SettingsError):
        errors_left(100, 30, 2, confidence=confidence)


def test_wrong_is_what_was_changed_or_rejected():
    states = [State.TO_DO, State.RIGHT, State.CHANGED, State.NOT, State.UNSURE]
    assert was_wrong(states).tolist() == [False, False, True, True, False]
    assert was_wrong([]).tolist() == []
