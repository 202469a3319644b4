"""Rows of a comparison: the numbers of `evaluate`, their intervals, and the nuclei behind them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import binom
from test_comparison_difference import drawn, random_nuclei

from napari_unetsharp.comparison.bootstrap import drawn_sums, interval
from napari_unetsharp.comparison.candidate import Candidate, average_of_views, choose_truth, short_name, view_name
from napari_unetsharp.comparison.difference import Kind
from napari_unetsharp.comparison.outline_distance import outline_distances
from napari_unetsharp.comparison.rows import SCORES, rows, rows_of, rows_steps
from napari_unetsharp.comparison.tally import Seen, Tally, tally
from napari_unetsharp.errors import SettingsError, ShapeError
from napari_unetsharp.nuclei.metrics import score_nuclei
from napari_unetsharp.progress import run


def corrected(labels, seen=None):
    return Candidate("Corrected", labels, is_truth=True, seen=seen)


def random_mask(labels, seed):
    """What a threshold gives: the nuclei, less some pixels, and crumbs."""
    noise = np.random.default_rng(seed).random(labels.shape)
    return np.where(labels > 0, noise > 0.1, noise > 0.97)


def row_of(found, truth, **options):
    return rows([found], truth, **options)[0]


@pytest.mark.parametrize("seed", range(8))
def test_sums_over_nuclei_give_the_metrics_of_evaluate(seed):
    """The columns that are resampled add up to PQ, AJI, F1, IoU and Dice as `score_nuclei` defines them."""
    truth, found = random_nuclei(seed), random_nuclei(seed + 50)
    found[:40] = np.roll(truth, seed % 4, 1)[:40]
    mask = random_mask(found, seed)
    one = tally(Seen.of(Candidate("a", found, mask), corrected(truth)))
    expected = score_nuclei(truth, found, mask)
    measures, pooled = one.measures(), expected.pooled()
    assert one.scores.counts == expected.counts
    for name in SCORES:
        assert float(measures[name]) == pytest.approx(pooled[name], abs=1e-12)
    assert float(measures["found"]) == expected.counts.found / expected.counts.nuclei
    assert float(measures["false"]) == expected.counts.false
    assert expected.counts.found > 3


def test_exactly_a_half_counts_for_f1_and_not_for_pq():
    truth, found = drawn((10, 20), (1, 2, 2, 4, 10)), drawn((10, 20), (1, 2, 2, 4, 6), (2, 2, 6, 4, 10))
    row = row_of(Candidate("a", found), corrected(truth))
    assert (row.found, row.missed, row.false, row.split) == (1, 0, 1, 1)
    assert (row.scores["f1_50"], row.scores["pq"], row.scores["aji"]) == (
        2 / 3,
        0.0,
        score_nuclei(truth, found).pooled()["aji"],
    )


def test_many_images_pool():
    pairs = [(random_nuclei(seed), random_nuclei(seed)) for seed in (1, 2, 3)]
    for truth, found in pairs:
        found[:30] = 0
        found[found == truth.max()] = 0
    single = [row_of(Candidate("a", found), corrected(truth)) for truth, found in pairs]
    pooled = rows_of([single[0]], {"a": Tally.pooled([row.tally for row in single])})[0]
    assert pooled.found == sum(row.found for row in single)
    assert pooled.true_nuclei == sum(row.true_nuclei for row in single)
    together = sum((score_nuclei(*pair) for pair in pairs[1:]), score_nuclei(*pairs[0]))
    assert pooled.scores == {name: together.pooled()[name] for name in SCORES}
    assert pooled.against == "Corrected"
    assert pooled.corrected


@pytest.mark.parametrize("seed", range(3))
def test_behind_every_number_are_its_nuclei(seed):
    truth, found = random_nuclei(seed), random_nuclei(seed + 7)
    found[:50] = truth[:50]
    row = row_of(Candidate("a", found), corrected(truth))
    for name in ("found", "missed", "false", "split", "joined"):
        assert len(row.stories[name]) == getattr(row, name)
    pairs = row.stories["found"]
    assert {item.kind for item in pairs} == {Kind.BOTH}
    assert [item.ids_a for item in pairs[1:]] == [pairs[place].ids_a for place in range(1, len(pairs))]
    for item in (pairs[0], pairs[-1]):
        both = (truth == item.ids_a[0]) | (found == item.ids_b[0])
        rows_, columns = np.nonzero(both)
        assert item.box == (rows_.min(), columns.min(), rows_.max() + 1, columns.max() + 1)
        assert item.area == both.sum()
    missed = {id_ for item in row.stories["missed"] for id_ in item.ids_a}
    assert len(missed) == row.missed
    assert missed <= set(np.unique(truth).tolist())
    assert {item.ids_b[0] for item in row.stories["false"]} <= set(np.unique(found).tolist())


def test_what_is_compared_with_is_named_and_has_no_score():
    labels = random_nuclei(1)
    candidates = [Candidate("Depth 2 · x02", labels, node="x02"), Candidate("Depth 4 · x04", labels, node="x04")]
    truth = choose_truth(candidates)
    assert truth is candidates[1]
    shallow, deep = rows(candidates, truth)
    assert (shallow.against, shallow.corrected, shallow.found) == ("Depth 4 · x04", False, deep.nuclei)
    assert (deep.found, deep.scores, deep.true_nuclei) == (None, {}, shallow.true_nuclei)
    person = corrected(labels)
    assert choose_truth([*candidates, person]) is person
    assert choose_truth([Candidate("a layer", labels)]) is None


def test_candidates_are_reported_one_by_one():
    labels = random_nuclei(1)
    seen = []
    found = run(rows_steps([Candidate("a", labels), Candidate("b", labels)], corrected(labels)), seen.append)
    assert seen == [(1, 2), (2, 2)]
    assert [row.name for row in found] == ["a", "b"]


def test_two_of_one_name():
    labels = random_nuclei(1)
    with pytest.raises(SettingsError, match="two candidates are called a"):
        rows([Candidate("a", labels), Candidate("a", labels)], corrected(labels))


def test_planes_that_do_not_fit():
    labels = random_nuclei(1)
    with pytest.raises(ShapeError, match="mask of shape"):
        Candidate("a", labels, labels[1:] > 0)
    with pytest.raises(ShapeError, match="can't be compared"):
        rows([Candidate("a", labels[1:])], corrected(labels))


# Only where somebody looked ------------------------------------------------------------------------------


def test_only_reviewed_pixels_count():
    """Left half reviewed: what is wrong on the right counts for nothing."""
    truth = drawn((20, 60), (1, 2, 2, 10, 10), (2, 2, 40, 10, 48))
    found = drawn((20, 60), (1, 2, 2, 10, 10), (2, 12, 12, 16, 16), (3, 2, 50, 10, 58), (4, 12, 40, 18, 46))
    seen = np.zeros(truth.shape, bool)
    seen[:, :30] = True
    row = row_of(Candidate("a", found), corrected(truth, seen))
    assert (row.true_nuclei, row.nuclei, row.found, row.missed, row.false) == (1, 2, 1, 0, 1)
    area, false = 64, 16
    assert row.scores["dice"] == pytest.approx(2 * area / (2 * area + false))
    everywhere = row_of(Candidate("a", found), corrected(truth))
    assert (everywhere.true_nuclei, everywhere.missed, everywhere.false) == (2, 1, 3)


def test_a_match_that_reaches_out_of_what_was_reviewed_is_found():
    truth, found = drawn((20, 40), (1, 2, 2, 12, 12)), drawn((20, 40), (1, 2, 2, 12, 20))
    seen = np.zeros(truth.shape, bool)
    seen[2:12, 2:10] = True  # most of the nucleus, and less than half of what was found
    row = row_of(Candidate("a", found), corrected(truth, seen))
    assert (row.found, row.missed, row.false) == (1, 0, 0)


def test_everything_reviewed_is_no_restriction():
    truth, found = random_nuclei(4), np.roll(random_nuclei(4), 2, 0)
    mask = random_mask(found, 1)
    whole = row_of(Candidate("a", found, mask), corrected(truth, np.ones(truth.shape, bool)))
    assert whole.tally.scores.counts == score_nuclei(truth, found, mask).counts


# Outlines ------------------------------------------------------------------------------------------------


def test_distance_of_shifted_squares():
    """A square of 10 px, moved by 2 columns: three sides of its edge keep near, worked out by a distance transform."""
    truth, found = drawn((30, 40), (1, 5, 5, 15, 15)), drawn((30, 40), (1, 5, 7, 15, 17))
    edges = [labels & ~ndimage.binary_erosion(labels) for labels in (truth > 0, found > 0)]
    ways = [ndimage.distance_transform_edt(~edges[other])[edges[1 - other]] for other in (0, 1)]
    expected = np.concatenate(ways).mean()
    assert outline_distances(truth, found, np.array([[1, 1]])) == pytest.approx([expected])
    row = row_of(Candidate("a", found), corrected(truth), spacing_um=(0.5, 0.5))
    assert row.boundary_px == pytest.approx(expected)
    assert row.boundary_um == pytest.approx(expected / 2)


def test_pixels_that_are_not_square():
    """Only columns differ, so that only their width matters."""
    truth, found = drawn((9, 40), (1, 4, 5, 5, 25)), drawn((9, 40), (1, 4, 5, 5, 27))
    expected = (1 + 2) / (20 + 22)
    assert outline_distances(truth, found, np.array([[1, 1]])) == pytest.approx([expected])
    assert outline_distances(truth, found, np.array([[1, 1]]), (9.0, 0.5)) == pytest.approx([expected / 2])
    assert row_of(Candidate("a", found), corrected(truth), spacing_um=(9.0, 0.5)).boundary_um == pytest.approx(
        expected / 2
    )


def test_distances_are_those_of_the_pair_and_not_of_a_neighbour():
    """Each nucleus of a crowd, measured alone, gives the same."""
    truth = drawn(
        (60, 60),
        *(
            (1 + 6 * row + column, 10 * row, 10 * column, 10 * row + 9, 10 * column + 10)
            for row in range(6)
            for column in range(6)
        ),
    )
    found = np.roll(truth, 1, 1)
    ids = np.unique(truth)[1:]
    together = outline_distances(truth, found, np.stack([ids, ids], 1))
    alone = [
        outline_distances(np.where(truth == id_, 1, 0), np.where(found == id_, 1, 0), np.array([[1, 1]]))[0]
        for id_ in ids
    ]
    assert together == pytest.approx(alone)


def test_outlines_of_the_same_nuclei_are_on_each_other():
    labels = random_nuclei(2)
    row = row_of(Candidate("a", labels), corrected(labels))
    assert (row.boundary_px, row.boundary_um) == (0.0, None)
    assert outline_distances(labels, labels, np.zeros((0, 2), np.int64)).shape == (0,)


# Intervals -----------------------------------------------------------------------------------------------


def test_the_interval_of_a_share_is_that_of_theory():
    """140 of 200 found: the bootstrap's interval agrees with the normal one of a binomial share."""
    share, count = 0.7, 200
    columns = np.zeros((count, 2))
    columns[:, 0], columns[: int(share * count), 1] = 1, 1
    sums = drawn_sums([columns], [np.zeros((0, 2))], seed=3)[0]
    low, high = interval(sums[:, 1] / sums[:, 0])
    expected = [binom.ppf(tail, count, share) / count for tail in (0.025, 0.975)]
    assert [low, high] == pytest.approx(expected, abs=0.012)


def test_differences_are_paired():
    """Two candidates that find the same nuclei differ by nothing in any draw, however few nuclei there are."""
    truth = random_nuclei(6)
    some = np.where(np.isin(truth, np.unique(truth)[::2]), truth, 0)
    one, other = rows([Candidate("a", some), Candidate("b", np.where(some > 0, some, 0))], corrected(truth))
    assert (one.draws["found"] == other.draws["found"]).all()
    assert one.intervals["found"][0] < one.found / one.true_nuclei < one.intervals["found"][1]


def test_intervals_hold_their_numbers_and_come_again():
    truth, found = random_nuclei(1), random_nuclei(1)
    found[:30] = 0
    first, again = (row_of(Candidate("a", found), corrected(truth)) for _ in range(2))
    assert first.intervals == again.intervals
    for name in SCORES:
        low, high = first.intervals[name]
        assert low <= first.scores[name] <= high
        assert 0 <= low < high <= 1


def test_nothing_at_all():
    nothing = np.zeros((20, 20), np.int32)
    row = row_of(Candidate("a", nothing), corrected(nothing))
    assert (row.found, row.missed, row.false, row.intervals, row.boundary_px) == (0, 0, 0, {}, None)
    assert all(np.isnan(value) for value in row.scores.values())
    missed = row_of(Candidate("a", nothing), corrected(random_nuclei(1)[:20, :20]))
    assert missed.found == 0
    assert missed.scores["pq"] == 0


# Candidates ----------------------------------------------------------------------------------------------


def test_the_average_is_that_of_numbers():
    maps = {
        "x01": np.full((2, 2), 0.25, np.float16),
        "x02": np.full((2, 2), 0.75, np.float16),
        "x03": np.ones((2, 2), np.float16),
    }
    assert average_of_views(maps) == pytest.approx(np.full((2, 2), 2 / 3), abs=1e-6)
    with pytest.raises(SettingsError):
        average_of_views({})


@pytest.mark.parametrize(
    ("node", "model", "name", "short"),
    [
        ("x02", "", "Depth 2 · x02", "depth 2"),
        ("x40", "", "1/16 · x40", "1/16"),
        ("mean", "", "Average of views", "average of views"),
        ("x04", "nuclei-v2", "nuclei-v2 · depth 4 · x04", "nuclei-v2 · depth 4"),
    ],
)
def test_names_as_on_screen(node, model, name, short):
    assert view_name(node, model) == name
    assert short_name(name) == short
