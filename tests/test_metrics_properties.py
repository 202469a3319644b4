"""Metrics of nuclei, by what must hold of any maps, by slow definitions, and against libraries."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from napari_unetsharp.nuclei.matching import match_nuclei
from napari_unetsharp.nuclei.metrics import METRICS, THRESHOLDS, Scores, score_nuclei

untimed = settings(deadline=None, derandomize=True)
SYMMETRIC = tuple(name for name in METRICS if name != "aji")


@st.composite
def two_maps(draw):
    """Two small instance maps of one shape; nuclei come in pieces and ties of IoU are common."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7))
    kinds = st.integers(0, draw(st.integers(0, 6)))
    return tuple(draw(arrays(np.int32, shape, elements=kinds)) for _ in range(2))


def values(scores):
    """Metrics, with -1 for NaN so that they can be compared."""
    return {name: -1 if np.isnan(value) else value for name, value in scores.pooled().items()}


def drawn(seed, nuclei=40, shape=(96, 112)):
    """A map of touching nuclei and a result that moved, lost, cut and joined some of them."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, int)
    seeds[rng.integers(0, shape[0], nuclei), rng.integers(0, shape[1], nuclei)] = 1
    labels, count = ndimage.label(seeds)
    distance, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    truth = np.where(distance < 7, labels[tuple(nearest)], 0).astype(np.int32)
    other = np.where(rng.random(count + 1) < 0.8, np.arange(count + 1), 0)
    other[rng.integers(1, count, 5)] = rng.integers(1, count, 5)
    found = np.roll(other[truth], rng.integers(-2, 3, 2), (0, 1)).astype(np.int32)
    found[:, 50] = 0
    return truth, ndimage.label(found > 0)[0] if seed % 3 == 0 else found


@untimed
@given(two_maps())
def test_a_map_against_itself_is_perfect(maps):
    truth, _ = maps
    expected = 1 if truth.any() else -1
    assert values(score_nuclei(truth, truth)) == dict.fromkeys(METRICS, expected)
    assert score_nuclei(truth, truth).counts.split == score_nuclei(truth, truth).counts.merged == 0


@untimed
@given(two_maps())
def test_everything_but_aji_is_the_same_with_the_maps_exchanged(maps):
    one, other = score_nuclei(*maps), score_nuclei(*maps[::-1])
    assert {name: values(one)[name] for name in SYMMETRIC} == pytest.approx(
        {name: values(other)[name] for name in SYMMETRIC}, rel=1e-12
    )
    assert (one.counts.split, one.counts.merged) == (other.counts.merged, other.counts.split)
    assert (one.counts.missed, one.counts.false) == (other.counts.false, other.counts.missed)


@untimed
@given(two_maps(), st.randoms(use_true_random=False))
def test_ids_mean_nothing(maps, random):
    new = [random.sample(range(1, 10**6), 6) for _ in maps]
    renamed = [np.array([0, *ids])[labels] for ids, labels in zip(new, maps, strict=True)]
    assert score_nuclei(*renamed) == score_nuclei(*maps)


@untimed
@given(two_maps())
def test_all_values_are_within_0_and_1_and_the_order_of_the_metrics_holds(maps):
    scores, nothing = score_nuclei(*maps), not (maps[0].any() or maps[1].any())
    metrics = values(scores)
    assert scores.left_out == nothing
    if not nothing:
        assert all(0 <= value <= 1 for value in metrics.values())
        assert metrics["iou"] <= metrics["dice"]
        assert metrics["pq"] <= metrics["f1_50"]
        for kind in ("f1", "ap"):
            by_threshold = [metrics[f"{kind}_{100 * threshold:.0f}"] for threshold in THRESHOLDS]
            assert by_threshold == sorted(by_threshold, reverse=True)


def exact_iou(truth, found):
    """Table of fractions by nucleus of the truth and of the result, with shared pixels and first places."""
    table = {}
    for one in np.unique(truth[truth > 0]):
        for other in np.unique(found[found > 0]):
            shared = np.count_nonzero((truth == one) & (found == other))
            if shared:
                union = np.count_nonzero((truth == one) | (found == other))
                place = np.flatnonzero(found.ravel() == other)[0]
                table[int(one), int(other)] = (Fraction(shared, union), shared, -place)
    return table


@untimed
@given(two_maps(), st.sampled_from(range(5, 11)))
def test_as_many_matches_as_an_assignment_finds(maps, tenths):
    truth, found = maps
    possible = np.zeros((7, 7))
    for (one, other), (iou, *_) in exact_iou(truth, found).items():
        possible[one, other] = iou >= Fraction(tenths, 10)
    largest = possible[linear_sum_assignment(-possible)].sum()
    matching = match_nuclei(truth, found)
    places = matching.matches(tenths / 10)
    assert len(places) == largest
    assert len(set(matching.truth[places])) == len(set(matching.found[places])) == len(places)


@untimed
@given(two_maps())
def test_aji_as_its_definition_says(maps):
    truth, found = maps
    table, shared, union, used = exact_iou(truth, found), 0, 0, set()
    for one in np.unique(truth[truth > 0]):
        row = {other: value for (mine, other), value in table.items() if mine == one}
        if not row:
            union += np.count_nonzero(truth == one)
            continue
        best = max(row, key=row.get)
        used.add(best)
        shared += np.count_nonzero((truth == one) & (found == best))
        union += np.count_nonzero((truth == one) | (found == best))
    union += sum(np.count_nonzero(found == other) for other in np.unique(found[found > 0]) if other not in used)
    assert match_nuclei(truth, found).aggregated() == (shared, union)


@untimed
@given(st.lists(two_maps(), min_size=1, max_size=4))
def test_the_order_of_the_images_and_pooling_two_halves_change_nothing(images):
    each = [score_nuclei(*maps) for maps in images]
    forwards, backwards = sum(each, Scores()), sum(each[::-1], Scores())
    assert values(forwards) == pytest.approx(values(backwards), rel=1e-12)
    assert forwards.images == len(images)
    side_by_side = [np.concatenate([np.pad(maps[k] + (maps[k] > 0) * 10 * place, ((0, 7 - len(maps[k])), (0, 0)))
                    for place, maps in enumerate(images)], axis=1) for k in range(2)]  # fmt: skip
    assert values(forwards) == pytest.approx(values(score_nuclei(*side_by_side)), rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_panoptic_quality_against_torchmetrics(seed):
    detection = pytest.importorskip("torchmetrics.detection", reason="torchmetrics is not installed")
    import torch

    truth, found = drawn(seed)
    metric = detection.PanopticQuality(things={1}, stuffs={0}, return_per_class=True)
    pairs = [torch.from_numpy(np.stack([labels > 0, labels], axis=-1).astype(np.int64)[None])
             for labels in (found, truth)]  # fmt: skip
    thing, _ = metric(*pairs).flatten().tolist()
    assert score_nuclei(truth, found).pooled()["pq"] == pytest.approx(thing, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_f1_and_ap_against_stardist(seed):
    matching = pytest.importorskip("stardist.matching", reason="stardist is not installed").matching
    truth, found = drawn(seed)
    metrics = score_nuclei(truth, found).pooled()
    for threshold in THRESHOLDS:
        theirs, place = matching(truth, found, thresh=threshold), f"{100 * threshold:.0f}"
        assert (metrics[f"f1_{place}"], metrics[f"ap_{place}"]) == (theirs.f1, theirs.accuracy)


def test_the_drawn_maps_hold_every_kind_of_error():
    total = sum((score_nuclei(*drawn(seed)) for seed in range(4)), Scores())
    counts = total.counts
    assert min(counts.found, counts.missed, counts.false, counts.split, counts.merged) > 0
    assert 0.1 < total.means()["pq"] < 0.95
