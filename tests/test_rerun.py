"""A new run touches what nobody has looked at, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_review import IDENTITY, SIDE, act, check_index, content, discs, field, numbers

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, edits, findings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State

CENTRES = [(20, 20), (20, 50), (45, 20), (45, 50)]
SHAPE = (64, 70)
LABELS = discs(SHAPE, CENTRES, 7)


@pytest.fixture
def review():
    return Review.start(None, IDENTITY, LABELS, model="v1")


def moved(by=2):
    """The same nuclei elsewhere, numbered otherwise, and one more at the bottom right."""
    labels = discs(SHAPE, [(row + by, column) for row, column in CENTRES], 7)
    return np.where(labels > 0, 9 - labels, 0) + 20 * discs(SHAPE, [(60, 64)], 3)


def test_what_is_found_again_keeps_its_id_and_takes_the_new_outline(review):
    review.new_proposals(moved(), "v2")
    assert set(review.nuclei) == {1, 2, 3, 4, 5}
    assert np.array_equal(review.labels == 2, moved() == 7)
    assert np.array_equal(review.labels == 5, moved() == 20)
    assert np.array_equal(review.proposals, review.labels)
    assert review.findings.model == "v2"
    assert review.history[-1].what == "new proposals"
    check_index(review)


def test_what_is_not_found_again_goes_and_its_number_with_it(review):
    review.new_proposals(moved(20))
    assert set(review.nuclei).isdisjoint({1, 2, 3, 4})
    assert all(nucleus.state is State.TO_DO for nucleus in review.nuclei.values())
    check_index(review)


def test_what_was_looked_at_keeps_every_pixel(review):
    review.apply(answers.accept, 1)
    review.apply(answers.unsure, 2)
    review.apply(edits.split_at_neck, 3)
    review.apply(answers.tag, 4, ["mitosis"])
    before, nuclei = review.labels.copy(), dict(review.nuclei)
    review.new_proposals(moved(), "v2")
    for id_ in (1, 2, 3, 4, 5):
        assert np.array_equal(review.labels == id_, before == id_)
        assert review.nuclei[id_] == nuclei[id_]
    assert review.boxes.keys() - nuclei.keys() == {int(review.labels[60, 64])}
    assert review.proposals[22, 20] == 1


def test_what_was_declared_none_is_not_proposed_again(review):
    review.apply(answers.reject, 1)
    review.new_proposals(moved())
    assert not review.labels[10:30, 10:30].any()
    assert review.nuclei[1].state is State.NOT
    review.apply(answers.accept, 1)
    assert np.array_equal(review.labels == 1, LABELS == 1)


def test_nothing_new_in_a_completed_view(review):
    review.apply(answers.complete_view, Box(50, 50, 64, 70))
    review.new_proposals(moved())
    assert not review.labels[57:, 61:].any()
    assert review.proposals[60, 64] == review.next_id - 1


def test_a_new_one_beside_a_looked_at_one_keeps_what_is_free(review):
    review.apply(answers.accept, 1)
    review.new_proposals(discs(SHAPE, [(20, 30)], 7))
    new = review.labels == 5
    assert new.any()
    assert np.array_equal(review.labels == 1, LABELS == 1)
    assert np.array_equal(new, (discs(SHAPE, [(20, 30)], 7) > 0) & (LABELS != 1))


def test_one_step_of_undo(review):
    review.apply(answers.accept, 1)
    before = content(review)
    review.new_proposals(moved(), "v2")
    after = content(review)
    review.undo()
    assert content(review) == before
    review.redo()
    assert content(review) == after


def test_a_run_on_a_part_leaves_the_rest(review):
    box = Box(0, 0, 33, 70)
    review.new_proposals(np.zeros(box.shape, int), box=box)
    assert np.array_equal(review.labels, np.where(LABELS > 2, LABELS, 0))
    assert np.array_equal(review.proposals, review.labels)


def test_a_nucleus_that_leaves_the_part_is_kept(review):
    box = Box(0, 0, 20, 70)
    review.new_proposals(np.zeros(box.shape, int), box=box)
    assert np.array_equal(review.labels, LABELS)


@pytest.mark.parametrize("many", [1, 10**6])
def test_boxes_follow_a_run_on_many_nuclei_too(review, monkeypatch, many):
    monkeypatch.setattr(findings, "MANY", many)
    review.new_proposals(moved())
    check_index(review)
    review.undo()
    check_index(review)


def test_labels_must_fit(review):
    with pytest.raises(ReviewError, match="don't fit"):
        review.new_proposals(np.zeros((3, 3), int))
    with pytest.raises(ReviewError, match="don't fit"):
        review.new_proposals(LABELS, box=Box(0, 0, 5, 5))


def test_classes_come_with_the_run(review):
    from napari_unetsharp.nuclei.rerun import new_proposals

    review.apply(new_proposals, moved(20), kinds={8: "tumour", 20: "stroma"})
    assert {nucleus.kind for nucleus in review.nuclei.values()} >= {"stroma"}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 5))
def test_whatever_was_done_before_looked_at_nuclei_stay(seed, count, other):
    review, script = Review.start(None, IDENTITY, field()), numbers(seed)
    for _ in range(count):
        act(review, *next(script))
    looked_at = [id_ for id_, n in review.nuclei.items() if n.state is not State.TO_DO or n.tags]
    before, nuclei = review.labels.copy(), dict(review.nuclei)
    review.new_proposals(field(other, 20), "new")
    kept = np.isin(before, looked_at)
    assert np.array_equal(review.labels[kept], before[kept])
    assert all(review.nuclei[id_] == nuclei[id_] for id_ in looked_at)
    born = review.nuclei.keys() - nuclei.keys()
    assert all(id_ > max(nuclei, default=0) for id_ in born)
    assert review.labels.shape == (SIDE, SIDE)
    check_index(review)
