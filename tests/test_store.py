"""What comes back from disk: after closing, killing, damage, another image, a full or vanished disk."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_review import ACTS, IDENTITY, act, check_index, digest, field

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, store
from napari_unetsharp.nuclei.head import JOURNAL, find_review
from napari_unetsharp.nuclei.identity import Identity
from napari_unetsharp.nuclei.journal import read_journal
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.store import set_aside

steps = st.lists(
    st.tuples(st.integers(0, len(ACTS) - 1), st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=25
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Präparat 3.tif.unetsharp"


def left(review):
    """Leave a review as a kill does: nothing but the lock is given back."""
    review._store._lock.release()
    review._store._journal.close()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), steps, st.sampled_from([0.003, 0.02, 256]), st.integers(0, 25))
def test_the_journal_replays_to_the_same(tmp_path_factory, seed, script, megabytes, when):
    folder = tmp_path_factory.mktemp("review")
    review = Review.start(folder, IDENTITY, field(seed), undo_megabytes=megabytes)
    for place, step in enumerate(script):
        act(review, *step)
        if place == when:
            review.compact()
    left(review)
    again = Review.open(folder, IDENTITY)
    check_index(again)
    assert digest(again) == digest(review)
    assert again.history == review.history
    assert again.next_id == review.next_id
    for one in (review, again):
        one._store = None  # go on in memory
        while one.undo() is not None:
            pass
    assert digest(again) == digest(review)


def test_an_action_takes_a_few_hundred_bytes(folder):
    with Review.start(folder, IDENTITY, field()) as review:
        for step, edit in enumerate([answers.accept, answers.reject, answers.unsure]):
            before = (folder / JOURNAL).stat().st_size
            review.apply(edit, step + 3)
            assert 100 < (folder / JOURNAL).stat().st_size - before < 1000


def test_what_is_there_is_found_without_reading_all(folder):
    assert find_review(folder) is None
    Review.start(folder, IDENTITY, field(), who="Ada").close()
    head = find_review(folder)
    assert head.identity == IDENTITY
    assert head.who == "Ada"
    assert head.shape == (72, 72)
    started, written = (datetime.fromisoformat(when) for when in (head.started, head.written))
    assert -1 < (written - started).total_seconds() < 60


def test_a_review_is_not_overwritten_by_a_new_one(folder):
    with Review.start(folder, IDENTITY, field()) as review:
        review.apply(answers.accept, 2)
    with pytest.raises(ReviewError, match="open it, or set it aside"):
        Review.start(folder, IDENTITY, field())
    aside = set_aside(folder)
    assert find_review(folder) is None
    assert len(read_journal(aside).lines) == 3
    Review.start(folder, IDENTITY, field()).close()
    assert set_aside(folder.parent) is None


def test_a_review_in_use_is_not_set_aside(folder):
    with Review.start(folder, IDENTITY, field()), pytest.raises(ReviewError, match="another window"):
        set_aside(folder)


@pytest.mark.parametrize(
    "other",
    [
        replace(IDENTITY, pixels="1" * 64),
        replace(IDENTITY, shape=(1, 2)),
        replace(IDENTITY, metadata=(("scale", "2"),)),
        replace(IDENTITY, dtype="uint16"),
    ],
)
def test_the_journal_of_another_image_is_never_applied(folder, other: Identity):
    Review.start(folder, IDENTITY, field()).close()
    with pytest.raises(ReviewError, match="another image"):
        Review.open(folder, other)
    Review.open(folder, IDENTITY).close()


def test_there_is_no_review(folder):
    with pytest.raises(ReviewError, match="no review"):
        Review.open(folder, IDENTITY)


def test_notes_come_back(folder):
    with Review.start(folder, IDENTITY, field()) as review:
        review.note("spot check", {"nucleus": 3, "where": (1, 2)})
        review.note("spot check", {"nucleus": 4})
    with Review.open(folder, IDENTITY) as again:
        assert again.notes == {"spot check": [{"nucleus": 3, "where": [1, 2]}, {"nucleus": 4}]}
        assert again.undo() is None


def test_a_smaller_bound_holds_from_then_on(folder):
    with Review.start(folder, IDENTITY, field()) as review:
        for turn in range(60):
            review.apply([answers.unsure, answers.to_do][turn % 2], 2)
    Review.open(folder, IDENTITY, undo_megabytes=0.01).close()
    with Review.open(folder, IDENTITY) as again:
        assert again.course.undo.limit == 10_000
        assert len(again.course.undo.done) < 20
        assert len(again.history) == 60


def test_labels_that_are_no_plane_of_whole_numbers():
    empty, negative, huge = np.zeros((0, 4), int), -np.ones((3, 3), int), np.full((2, 2), 2**31)
    for labels in (np.zeros((3, 3)), np.zeros((2, 3, 3), int), empty, negative, huge):
        with pytest.raises(ReviewError, match="can't be reviewed"):
            Review.start(None, IDENTITY, labels)


def test_a_long_journal_is_shortened_when_it_is_opened(folder, monkeypatch):
    monkeypatch.setattr(store, "LONG_TAIL", 3000)
    with Review.start(folder, IDENTITY, field()) as review:
        for turn in range(40):
            review.apply([answers.unsure, answers.to_do][turn % 2], 2)
        expected = digest(review)
    assert len(read_journal(folder / JOURNAL).lines) == 42
    with Review.open(folder, IDENTITY) as again:
        assert digest(again) == expected
    assert len(read_journal(folder / JOURNAL).lines) == 2
    with Review.open(folder, IDENTITY) as again:
        assert digest(again) == expected
        assert again.undo().focus == 2
