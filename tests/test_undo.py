"""One stack for everything: bit for bit back to the start and forth to the end, bounded in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_review import ACTS, IDENTITY, act, check_index, content, digest, discs, field

from napari_unetsharp.nuclei import answers, edits
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State

steps = st.lists(
    st.tuples(st.integers(0, len(ACTS) - 1), st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=25
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5), steps)
def test_undo_to_the_start_restores_every_bit_and_redo_the_end(seed, script):
    review = Review.start(None, IDENTITY, field(seed))
    first = content(review)
    for step in script:
        act(review, *step)
        check_index(review)
    while review.redo() is not None:
        check_index(review)
    last, taken = content(review), len(review.course.undo.done)
    while review.undo() is not None:
        check_index(review)
    assert content(review) == first
    for _ in range(taken):
        assert review.redo() is not None
    assert review.redo() is None
    assert content(review) == last


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5), steps)
def test_an_id_is_given_once(seed, script):
    """A nucleus comes into being only under a number that nothing ever had; undo and redo bring back the same."""
    review = Review.start(None, IDENTITY, field(seed))
    given_before = set(review.nuclei)

    def watch(delta):
        if not delta or review.history[-1].what.startswith(("undo", "redo")):
            return
        born = {change.id for change in delta.nuclei if change.before is None}
        assert not born & given_before
        given_before.update(born)

    review.changed.append(watch)
    for step in script:
        act(review, *step)
    assert set(review.nuclei) <= given_before


@settings(max_examples=30, deadline=None)
@given(steps)
def test_proposals_change_only_by_a_new_run(script):
    review = Review.start(None, IDENTITY, field())
    for step in script:
        before = review.proposals.copy()
        act(review, *step)
        new_run = review.history and review.history[-1].what.endswith("new proposals")
        assert new_run or np.array_equal(review.proposals, before)


def test_undo_and_redo_say_where_to_go():
    review = Review.start(None, IDENTITY, discs((60, 80), [(20, 20), (40, 60)], 7))
    assert review.undo() is None
    assert review.redo() is None
    done = review.apply(edits.split, 2, [(40, 50), (40, 70)])
    back = review.undo()
    assert back.box == done.box
    assert back.focus == 2
    assert back.went_back
    assert review.redo().focus == 2


def test_a_new_step_ends_redo():
    review = Review.start(None, IDENTITY, field())
    review.apply(answers.accept, 1)
    review.undo()
    review.apply(answers.accept, 2)
    assert review.redo() is None
    assert review.nuclei[1].state is State.TO_DO


def test_ids_are_not_given_again_after_undo():
    review = Review.start(None, IDENTITY, discs((60, 80), [(20, 20)], 7))
    box = Box(40, 40, 50, 50)
    review.apply(edits.add, box, np.ones(box.shape, bool))
    review.undo()
    assert review.nuclei.keys() == {1}
    review.apply(edits.add, box, np.ones(box.shape, bool))
    assert review.nuclei.keys() == {1, 3}


# Bounded ------------------------------------------------------------------------------------------------


def test_the_oldest_steps_are_forgotten_not_what_they_did():
    review = Review.start(None, IDENTITY, field(), undo_megabytes=0.02)
    for turn in range(200):
        review.apply([answers.unsure, answers.to_do][turn % 2], 1)
    assert review.course.undo.nbytes <= 20_000
    kept = len(review.course.undo.done)
    assert 10 < kept < 100
    while review.undo() is not None:
        pass
    assert len(review.history) == 200 + kept
    assert review.nuclei[1].state is [State.TO_DO, State.UNSURE][(200 - kept) % 2]


def test_the_newest_step_can_be_taken_back_however_large_it_is():
    labels = discs((300, 300), [(150, 150)], 140)
    review = Review.start(None, IDENTITY, labels, undo_megabytes=0.001)
    review.apply(answers.unsure, 1)
    review.apply(answers.reject, 1)
    assert len(review.course.undo.done) == 1
    review.undo()
    assert np.array_equal(review.labels, labels)


def test_a_step_costs_as_much_as_it_changes():
    small, large = (Review.start(None, IDENTITY, discs((side, side), [(30, 30)], 8)) for side in (64, 2048))
    for review in (small, large):
        review.apply(answers.reject, 1)
    assert small.course.undo.nbytes == large.course.undo.nbytes < 3000


@pytest.mark.parametrize("megabytes", [0.005, 1.0])
def test_undone_steps_count_too(megabytes):
    review = Review.start(None, IDENTITY, field(), undo_megabytes=megabytes)
    for id_ in list(review.nuclei):
        review.apply(answers.reject, id_)
    before = review.course.undo.nbytes
    review.undo()
    assert review.course.undo.nbytes == before
    review.apply(answers.tag, min(review.nuclei), ["x"])
    assert digest(review) == digest(review)
    assert review.course.undo.nbytes == sum(step.delta.nbytes for step in review.course.undo.done)
