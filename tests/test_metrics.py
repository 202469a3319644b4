"""Metrics of nuclei, by cases worked by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.nuclei.metrics import METRICS, THRESHOLDS, Counts, Scores, score_nuclei

NOTHING = np.zeros((60, 60), np.int32)


def squares(*corners, side=10):
    labels = NOTHING.copy()
    for label, (row, column) in enumerate(corners, start=5):
        labels[row : row + side, column : column + side] = label
    return labels


def test_the_names():
    assert METRICS == ("pq", "aji", "f1_50", "f1_60", "f1_70", "f1_80", "f1_90",
                       "ap_50", "ap_60", "ap_70", "ap_80", "ap_90", "iou", "dice")  # fmt: skip


def test_the_same_map_is_perfect():
    truth = squares((0, 0), (20, 20), (40, 40))
    scores = score_nuclei(truth, truth)
    assert scores.means() == scores.pooled() == dict.fromkeys(METRICS, 1.0)
    assert (scores.counts.found, scores.counts.missed, scores.counts.false) == (3, 0, 0)


@pytest.fixture
def by_hand():
    """One found exactly, one shifted by 2 (80 of 120 px shared), one missed, one false; 100 px each."""
    return score_nuclei(squares((0, 0), (20, 20), (40, 40)), squares((0, 0), (20, 22), (0, 40)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pq", (1 + 2 / 3) / (2 + 1 / 2 + 1 / 2)),
        ("aji", (100 + 80) / (100 + 120 + 100 + 100)),
        ("f1_50", 2 * 2 / (2 * 2 + 1 + 1)), ("f1_60", 4 / 6),
        ("f1_70", 2 * 1 / (2 * 1 + 2 + 2)), ("f1_80", 2 / 6), ("f1_90", 2 / 6),
        ("ap_50", 2 / (2 + 1 + 1)), ("ap_60", 2 / 4),
        ("ap_70", 1 / (1 + 2 + 2)), ("ap_80", 1 / 5), ("ap_90", 1 / 5),
        ("iou", 180 / 420),
        ("dice", 2 * 180 / 600),
    ],
)  # fmt: skip
def test_each_metric_by_hand(name, value, by_hand):
    assert by_hand.means()[name] == pytest.approx(value, abs=1e-15)
    assert by_hand.pooled()[name] == pytest.approx(value, abs=1e-15)


def test_the_counts_by_hand(by_hand):
    counts = by_hand.counts
    assert (counts.nuclei, counts.results, counts.found, counts.missed, counts.false) == (3, 3, 2, 1, 1)
    assert counts.matched == (2, 2, 1, 1, 1)


def test_half_an_overlap_counts_for_f1_and_ap_but_not_for_pq():
    found = squares((0, 0))
    found[:, 5:] = 0  # 50 of 100 px
    scores = score_nuclei(squares((0, 0)), found)
    metrics = scores.pooled()
    assert (metrics["f1_50"], metrics["ap_50"], metrics["f1_60"], metrics["pq"]) == (1, 1, 0, 0)
    assert (scores.counts.found, scores.counts.missed, scores.counts.false) == (1, 0, 0)


def test_joined_nuclei():
    truth = squares((0, 0), (0, 10))
    scores = score_nuclei(truth, (truth > 0).astype(np.int32))
    metrics, counts = scores.pooled(), scores.counts
    assert metrics["iou"] == metrics["dice"] == 1
    assert metrics["pq"] == metrics["f1_60"] == 0
    assert metrics["aji"] == 0.5
    assert (counts.found, counts.missed, counts.false, counts.split, counts.merged) == (1, 1, 0, 0, 1)


@pytest.mark.parametrize(("truth", "found"), [(squares((0, 0)), NOTHING), (NOTHING, squares((0, 0)))])
def test_all_missed_or_all_false_is_zero(truth, found):
    scores = score_nuclei(truth, found)
    assert scores.means() == scores.pooled() == dict.fromkeys(METRICS, 0.0)
    assert (scores.images, scores.left_out) == (1, 0)


def test_nothing_in_truth_and_result_has_no_metrics_and_is_counted():
    scores = score_nuclei(NOTHING, NOTHING)
    assert all(math.isnan(value) for value in [*scores.means().values(), *scores.pooled().values()])
    assert (scores.images, scores.left_out) == (1, 1)
    assert scores.as_dict()["pq"] is None


def test_a_mask_of_its_own_for_the_pixels():
    truth, found = squares((0, 0)), squares((0, 0))
    mask = squares((0, 5)) > 0
    scores = score_nuclei(truth, found, mask)
    assert scores.means()["iou"] == 50 / 150
    assert scores.means()["dice"] == 100 / 200
    assert scores.means()["pq"] == 1
    with pytest.raises(ShapeError, match=r"\(60, 59\)"):
        score_nuclei(truth, found, mask[:, 1:])


def test_pooling_weighs_nuclei_and_the_mean_weighs_images():
    one = score_nuclei(squares((0, 0)), squares((0, 0)))
    three = score_nuclei(squares((0, 0), (20, 20), (40, 40)), squares((0, 40), side=20))
    both = one + three
    assert both.means()["f1_50"] == both.means()["iou"] == 0.5
    assert both.pooled()["f1_50"] == 2 * 1 / (2 * 1 + 3 + 1)
    assert both.pooled()["ap_50"] == 1 / (1 + 3 + 1)
    assert both.pooled()["iou"] == both.pooled()["aji"] == 100 / 800
    assert both.pooled()["dice"] == 200 / (400 + 500)


def test_images_left_out_change_no_mean():
    found = score_nuclei(squares((0, 0), (20, 20)), squares((0, 0)))
    total = found + score_nuclei(NOTHING, NOTHING) + score_nuclei(NOTHING, NOTHING)
    assert total.means() == found.means()
    assert (total.images, total.left_out) == (3, 2)


def test_scores_add_up_from_nothing(by_hand):
    assert Scores() + by_hand == by_hand
    assert Counts() + by_hand.counts == by_hand.counts
    assert math.isnan(Scores().means()["pq"])


def test_a_row_holds_every_metric_twice_and_the_counts(by_hand):
    row = json.loads(json.dumps((by_hand + by_hand).as_dict(), allow_nan=False))
    counts = {"found": 4, "missed": 2, "false": 2, "split": 0, "merged": 0, "nuclei": 6, "images": 2, "left_out": 0}
    assert {name: row[name] for name in counts} == counts
    assert set(row) == {*METRICS, *(f"{name}_pooled" for name in METRICS), *counts, "seconds"}
    assert row["ap_50"] == row["ap_50_pooled"] == 0.5


def test_seconds_add_up():
    nothing = score_nuclei(NOTHING, NOTHING, seconds=1.25)
    assert (nothing + nothing).as_dict()["seconds"] == 2.5


def test_stricter_thresholds_find_less():
    truth = squares((0, 0), (0, 20), (0, 40), (20, 0), (20, 20))
    found = NOTHING.copy()
    for label, (row, column, width) in enumerate([(0, 0, 5), (0, 20, 6), (0, 40, 7), (20, 0, 8), (20, 20, 9)], start=1):
        found[row : row + 10, column : column + width] = label
    assert THRESHOLDS == (0.5, 0.6, 0.7, 0.8, 0.9)
    assert score_nuclei(truth, found).counts.matched == (5, 4, 3, 2, 1)
