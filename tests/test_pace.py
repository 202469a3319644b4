"""The time to go comes from the person's own pace."""

from __future__ import annotations

import pytest

from napari_unetsharp.nuclei.pace import FEWEST, REMEMBERED, Pace, to_go


def paced(gaps, start=1000.0):
    pace, now = Pace(), start
    pace.decided(now)
    for gap in gaps:
        now += gap
        pace.decided(now)
    return pace, now


def test_a_steady_pace_is_multiplied():
    pace, _ = paced([3.0] * 10)
    assert pace.seconds_left(220) == pytest.approx(660)
    assert pace.words(220) == "about 11 min to go"


def test_nothing_is_said_before_a_few_decisions():
    pace, now = paced([3.0] * (FEWEST - 1))
    assert pace.seconds_left(10) is None
    assert pace.words(10) == ""
    pace.decided(now + 3)
    assert pace.seconds_left(10) == pytest.approx(30)


def test_nothing_left_needs_no_pace():
    assert Pace().seconds_left(0) == 0
    assert Pace().words(0) == "nothing left"


@pytest.mark.parametrize("pause", [61.0, 3600.0])
def test_a_pause_is_no_work(pause):
    pace, now = paced([2.0] * 8)
    pace.decided(now + pause)
    pace.decided(now + pause + 2)
    assert pace.seconds_left(100) == pytest.approx(200)


def test_a_pause_before_the_pace_is_known_is_no_work():
    pace, _ = paced([3600.0, *[2.0] * 6])
    assert pace.seconds_left(100) == pytest.approx(200)


def test_a_slow_person_is_believed():
    pace, _ = paced([45.0] * 6)
    assert pace.seconds_left(4) == pytest.approx(180)


def test_one_long_look_counts_for_three():
    pace, _ = paced([2.0] * 9 + [12.0])
    assert pace.seconds_left(10) == pytest.approx((9 * 2 + 6) * 10 / 10)


def test_leaving_the_review_is_no_work():
    pace, now = paced([2.0] * 8)
    pace.interrupted()
    pace.decided(now + 9)
    assert pace.seconds_left(100) == pytest.approx(200)


def test_the_latest_decisions_count():
    pace, _ = paced([6.0] * 30 + [2.0] * REMEMBERED)
    assert pace.seconds_left(10) == pytest.approx(20)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "nothing left"), (40, "less than a minute to go"), (80, "about 1 min to go"), (660, "about 11 min to go"),
     (1190, "about 20 min to go"), (1360, "about 25 min to go"), (3500, "about 1 h to go"),
     (3600 + 1300, "about 1 h 20 min to go"), (7200, "about 2 h to go")],
)  # fmt: skip
def test_times_are_said_as_roughly_as_they_are_known(seconds, words):
    assert to_go(seconds) == words
