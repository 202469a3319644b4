"""The review itself: events, history, strokes that napari painted, read only beside another window."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_review import IDENTITY, check_index, content, digest, discs

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, edits
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import Nucleus, State

LABELS = discs((60, 80), [(20, 20), (20, 33), (40, 60)], 7)


@pytest.fixture
def review():
    """1 and 2 touch, 3 is alone."""
    return Review.start(None, IDENTITY, LABELS, who="Ada", model="v1")


def test_ids_of_the_given_labels_are_kept():
    sparse = LABELS.astype(np.int64)
    sparse[sparse == 2] = 2**31 - 1
    review = Review.start(None, IDENTITY, sparse)
    assert set(review.nuclei) == {1, 3, 2**31 - 1}
    assert review.labels.dtype == np.int32
    assert np.array_equal(review.labels, sparse)
    sparse[:] = 0
    assert review.labels.any()


def test_new_numbers_are_left_even_if_the_largest_is_taken():
    labels = np.where(LABELS == 2, 2**31 - 1, LABELS)
    review = Review.start(None, IDENTITY, labels)
    review.apply(edits.split_at_neck, 2**31 - 1)
    review.apply(answers.reject, 2**31 - 1)
    review.apply(edits.split_at_neck, 3)
    assert set(review.nuclei) == {1, 3, 4, 5, 2**31 - 1}
    check_index(review)


def test_what_is_known_before_is_taken_over():
    known = {2: Nucleus(2, State.RIGHT, tags=("mitosis",))}
    review = Review.start(None, IDENTITY, LABELS, nuclei=known)
    assert review.nuclei == {1: Nucleus(1), 2: known[2], 3: Nucleus(3)}
    with pytest.raises(ReviewError, match="no pixels"):
        Review.start(None, IDENTITY, LABELS, nuclei={9: Nucleus(9)})


def test_an_earlier_review_is_taken_over_with_all_that_is_known(review):
    review.apply(answers.reject, 1, "debris")
    review.apply(answers.ignore, [(50, 0), (50, 20), (60, 20), (60, 0)])
    review.apply(answers.complete_view, Box(0, 0, 30, 80))
    rejected = np.zeros_like(review.labels)
    review.rejected[1].reversed().apply(rejected)
    known = {"rejected": rejected, "views": review.views, "ignored": review.ignored}
    again = Review.start(None, IDENTITY, review.labels, nuclei=review.nuclei, model="v1", **known)
    assert content(again)[1:] == content(review)[1:]
    assert np.array_equal(again.labels, review.labels)
    check_index(again)
    again.apply(answers.accept, 1)
    assert np.array_equal(again.labels, LABELS)


def test_answers_that_contradict_the_labels_are_refused():
    for nuclei, rejected in (({1: Nucleus(1, State.NOT)}, None), (None, LABELS), ({4: Nucleus(4)}, (LABELS == 0) * 4)):
        with pytest.raises(ReviewError, match=r"are declared none in one place"):
            Review.start(None, IDENTITY, LABELS, nuclei=nuclei, rejected=rejected)
    with pytest.raises(ReviewError, match="aren't of one image"):
        Review.start(None, IDENTITY, LABELS, ignored=np.zeros((2, 2)))


def test_the_array_of_labels_stays_the_same(review):
    labels = review.labels
    review.apply(answers.reject, 1)
    review.undo()
    review.new_proposals(np.zeros_like(LABELS))
    assert review.labels is labels


def test_whoever_draws_hears_of_every_change_with_its_box(review):
    drawn = review.labels.copy()

    def draw(delta):
        drawn[delta.box.slices] = review.labels[delta.box.slices]

    review.changed.append(draw)
    review.apply(answers.reject, 1)
    review.apply(edits.split_at_neck, 3)
    review.apply(edits.join, 3, 4)
    review.undo()
    review.undo()
    review.redo()
    review.new_proposals(LABELS[:, ::-1])
    review.undo()
    assert np.array_equal(drawn, review.labels)


def test_an_action_that_fails_is_none(review):
    before = digest(review)
    heard = []
    review.changed.append(heard.append)
    with pytest.raises(ReviewError):
        review.apply(edits.split, 3, [(0, 0), (0, 79)])
    assert digest(review) == before
    assert not heard


def test_history_tells_who_did_what_how_and_to_which_model(review):
    review.apply(answers.reject, 1, "debris", how="one by one", seconds=1.5)
    review.apply(edits.split, 3, [(40, 50), (40, 70)])
    review.undo()
    first, second, third = review.history
    assert (first.number, first.who, first.what) == (1, "Ada", "not a nucleus")
    assert (first.how, first.model) == ("one by one", "v1")
    assert first.nuclei == ((1, "to do", "not a nucleus"),)
    assert first.seconds == 1.5
    assert first.when.endswith("+00:00")
    assert second.nuclei == ((3, "to do", "changed"), (4, "", "changed"))
    assert third.what == "undo split"
    assert third.nuclei == ((3, "changed", "to do"), (4, "changed", ""))


# Strokes ------------------------------------------------------------------------------------------------

BOX = Box(10, 22, 30, 60)


@pytest.mark.parametrize("shared", [True, False])
def test_a_stroke_is_locked_to_its_nucleus(review, shared):
    layer = review.labels if shared else review.labels.copy()
    before = layer[BOX.slices].copy()
    layer[BOX.slices] = 1
    heard = []
    review.changed.append(heard.append)
    delta = review.record_stroke(BOX, before, layer[BOX.slices], 1)
    assert np.array_equal(review.labels == 2, LABELS == 2)
    assert (review.labels[BOX.slices] > 0).all()
    assert review.nuclei[1].state is State.CHANGED
    assert review.history[-1].what == "brush"
    assert heard == [delta]
    assert delta.box.union(BOX) == delta.box
    check_index(review)
    review.undo()
    assert np.array_equal(review.labels, LABELS)


def test_a_stroke_that_erases_leaves_others_alone(review):
    before = review.labels[BOX.slices].copy()
    review.labels[BOX.slices] = 0
    review.record_stroke(BOX, before, review.labels[BOX.slices], 1)
    assert np.array_equal(review.labels == 2, LABELS == 2)
    assert not (review.labels[BOX.slices] == 1).any()


def test_a_stroke_over_others_only_is_no_action_but_is_drawn_anew(review):
    box = Box(18, 30, 22, 34)
    before = review.labels[box.slices].copy()
    review.labels[box.slices] = 3
    heard = []
    review.changed.append(heard.append)
    assert not review.record_stroke(box, before, review.labels[box.slices], 3)
    assert np.array_equal(review.labels, LABELS)
    assert heard[0].box.union(box) == heard[0].box
    assert not review.history


def test_a_stroke_with_the_next_number_is_a_new_nucleus(review):
    box = Box(50, 2, 56, 9)
    review.record_stroke(box, np.zeros(box.shape, int), np.full(box.shape, 4), review.next_id)
    assert review.boxes[4] == box


def test_a_stroke_that_was_painted_elsewhere_is_refused(review):
    with pytest.raises(ReviewError, match="layer Corrected"):
        review.record_stroke(BOX, np.full(BOX.shape, 5), np.full(BOX.shape, 1), 1)
    with pytest.raises(ReviewError, match="layer Corrected"):
        review.record_stroke(BOX, np.zeros((2, 2), int), np.ones((2, 2), int), 1)
    assert np.array_equal(review.labels, LABELS)


def test_a_refused_stroke_leaves_the_shared_array_as_it_was(review):
    before = review.labels[BOX.slices].copy()
    review.labels[BOX.slices] = 77
    with pytest.raises(ReviewError, match="not free"):
        review.record_stroke(BOX, before, review.labels[BOX.slices], 77)
    assert np.array_equal(review.labels, LABELS)


# Two windows --------------------------------------------------------------------------------------------


def test_a_second_window_is_read_only_and_says_who_holds_it(tmp_path):
    with Review.start(tmp_path, IDENTITY, LABELS, who="Ada") as first:
        first.apply(answers.reject, 1)
        second = Review.open(tmp_path, IDENTITY, who="Grace")
        assert "another window" in second.read_only
        assert second.holder.user == "Ada"
        assert np.array_equal(second.labels, first.labels)
        for act in (lambda: second.apply(answers.accept, 2), second.undo, second.compact, lambda: second.note("x", 1)):
            with pytest.raises(ReviewError, match=r"can't be changed.*Ada"):
                act()
        second.close()
        first.apply(answers.accept, 2)
    third = Review.open(tmp_path, IDENTITY, who="Grace")
    assert not third.read_only
    assert third.nuclei[2].state is State.RIGHT
    third.close()


def test_a_process_of_this_machine_that_lives_keeps_its_lock(tmp_path):
    with Review.start(tmp_path, IDENTITY, LABELS) as first:
        second = Review.open(tmp_path, IDENTITY, take_over=True)
        assert second.read_only
        second.close()
        first.apply(answers.accept, 1)


def test_whose_lock_was_taken_over_writes_no_more(tmp_path):
    first = Review.start(tmp_path, IDENTITY, LABELS)
    first.apply(answers.accept, 1)
    (tmp_path / "lock").unlink()  # as the other machine does
    with Review.open(tmp_path, IDENTITY, who="Grace") as second:
        second.apply(answers.accept, 2)
        with pytest.raises(ReviewError, match=r"taken over by Grace"):
            first.apply(answers.reject, 3)
    assert first.read_only
    assert first.nuclei[3].state is State.TO_DO
    first.close()
    with Review.open(tmp_path, IDENTITY) as third:
        assert [nucleus.state for nucleus in third.nuclei.values()] == [State.RIGHT, State.RIGHT, State.TO_DO]


def test_whoever_wrote_and_went_is_noticed_too(tmp_path):
    first = Review.start(tmp_path, IDENTITY, LABELS)
    (tmp_path / "lock").unlink()
    with Review.open(tmp_path, IDENTITY) as second:
        second.apply(answers.accept, 2)
    with pytest.raises(ReviewError, match="somebody else"):
        first.apply(answers.accept, 1)
    first.close()


def test_a_lock_that_was_removed_by_hand_is_put_back(tmp_path):
    with Review.start(tmp_path, IDENTITY, LABELS) as review:
        (tmp_path / "lock").unlink()
        review.apply(answers.accept, 1)
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


def test_closed_is_closed(tmp_path):
    review = Review.start(tmp_path, IDENTITY, LABELS)
    review.close()
    with pytest.raises(ReviewError, match="closed"):
        review.apply(answers.accept, 1)
