"""A blinded second reading beside a review: kept apart, frozen, on disk, saved."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei import answers, redrawing
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import READINGS, load_review, save_review
from napari_unetsharp.nuclei.second_reading import drawn, second_readings, start_second_reading, told
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.nuclei.store import set_aside

PIXELS = np.random.default_rng(2).integers(0, 255, (100, 100), np.uint8)
IDENTITY = identify(PIXELS, "YX")


def squares():
    """A hundred nuclei of 6 x 6 px."""
    labels = np.zeros((100, 100), np.int32)
    for number in range(100):
        row, column = divmod(number, 10)
        labels[10 * row + 2 : 10 * row + 8, 10 * column + 2 : 10 * column + 8] = number + 1
    return labels


@pytest.fixture
def review(tmp_path):
    """Sixty nuclei answered by Ada: every fifth is none, every seventh of the others was made smaller."""
    made = Review.start(tmp_path / "field.unetsharp", IDENTITY, squares(), "Ada")
    for id_ in range(1, 61):
        if id_ % 5 == 0:
            made.apply(answers.reject, id_, "debris")
        elif id_ % 7 == 0:
            box = made.boxes[id_]
            half = np.zeros(box.shape, np.int32)
            half[:2] = 1
            made.apply(redrawing.redraw, id_, box, half > 0, "redraw")
        else:
            made.apply(answers.accept, id_)
    yield made
    made.close()


def everything(review):
    """Whatever could be touched of a review."""
    return (
        review.labels.copy(), dict(review.nuclei), dict(review.rejected), list(review.history), review.course.number,
        (review.folder / JOURNAL).read_bytes(),
    )  # fmt: skip


def same(one, other):
    return np.array_equal(one[0], other[0]) and one[1:] == other[1:]


def test_a_tenth_of_the_answered_is_drawn_blind(review):
    with start_second_reading(review, "Grace", seed=1) as reading:
        numbers = drawn(reading)
        assert len(numbers) == len(set(numbers)) == 6
        assert all(review.nuclei[id_].state is not State.TO_DO for id_ in numbers)
        assert {nucleus.state for nucleus in reading.nuclei.values()} == {State.TO_DO}
        assert set(reading.nuclei) == set(numbers)
        assert not reading.rejected
        assert not reading.history
        # outlines as they were proposed, whatever the first reading made of them
        np.testing.assert_array_equal(reading.labels, np.where(np.isin(squares(), numbers), squares(), 0))


def test_the_first_answers_are_never_touched_nor_the_second_by_them(review):
    before = everything(review)
    with start_second_reading(review, "Grace", seed=1) as reading:
        for id_ in drawn(reading):
            reading.apply(answers.reject, id_)
        assert same(everything(review), before)
        compared = told(reading)
        for id_ in drawn(reading):  # the first reader changes their mind afterwards
            review.apply(answers.answered, [id_], State.NOT)
        assert told(reading) == compared


def test_the_agreement_counts_verdicts_and_outlines(review):
    with start_second_reading(review, "Grace", seed=1) as reading:
        numbers = drawn(reading)
        for id_ in numbers[:-1]:
            reading.apply(answers.accept, id_)
        found = told(reading)
    rejected = sum(id_ % 5 == 0 for id_ in numbers[:-1])
    assert found.read == found.agreement.read == 5
    assert found.agreement.same == 5 - rejected
    assert f"5 of {len(numbers)} so far" in found.words
    # a third of the height is left of what was redrawn: an IoU of 1/3 is no match
    smaller = sum(id_ % 7 == 0 and id_ % 5 != 0 for id_ in numbers[:-1])
    assert found.agreement.f1 == pytest.approx(2 * (5 - rejected - smaller) / (5 + 5 - rejected))


def test_everything_is_back_after_a_kill(review):
    """A process that reads is killed; what it had answered is there, and the review goes on."""
    code = f"""
import sys, numpy as np
sys.path.insert(0, {str(os.path.dirname(__file__))!r})
from test_second_reading import *
from pathlib import Path
review = Review.open(Path({str(review.folder)!r}), IDENTITY)
reading = start_second_reading(review, "Grace", seed=1)
for id_ in drawn(reading)[:3]:
    reading.apply(answers.reject, id_)
print("ready", flush=True)
sys.stdin.read()
"""
    review.close()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.communicate()
    with Review.open(review.folder, IDENTITY) as again:
        (reading,), problems = second_readings(again)
        assert not problems
        assert [second for _, _, second in reading.nuclei] == [State.NOT] * 3 + [State.TO_DO] * 3
        assert (reading.first_reader != "", reading.second_reader) == (True, "Grace")
        with Review.open(reading.folder, IDENTITY) as on:
            on.apply(answers.accept, drawn(on)[3])
        assert second_readings(again)[0][0].read == 4


def test_readings_are_numbered_and_belong_to_their_review(review):
    for reader in ("Grace", "Ada"):
        start_second_reading(review, reader).close()
    readings, _ = second_readings(review)
    assert [reading.second_reader for reading in readings] == ["Grace", "Ada"]
    assert [reading.folder.name for reading in readings] == ["second reading 1", "second reading 2"]
    folder = review.folder
    review.close()
    set_aside(folder)
    with Review.start(folder, IDENTITY, squares(), "Ada") as afresh:
        assert second_readings(afresh) == ([], [])


def test_a_damaged_reading_is_told_and_the_rest_goes_on(review):
    for _ in range(2):
        start_second_reading(review, "Grace").close()
    journal = review.folder / "second reading 1" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:40] + b"??" + journal.read_bytes()[42:])
    readings, problems = second_readings(review)
    assert [reading.folder.name for reading in readings] == ["second reading 2"]
    assert problems[0].startswith("second reading 1")


def test_nothing_answered_is_one_sentence(tmp_path):
    fresh = Review.start(tmp_path / "new", IDENTITY, squares(), "Ada")
    with fresh, pytest.raises(ReviewError, match="answer"):
        start_second_reading(fresh, "Grace")
    memory = Review.start(None, IDENTITY, squares(), "Ada")
    assert second_readings(memory) == ([], [])


def test_save_writes_table_and_summary(review, tmp_path):
    image = Image(PIXELS[..., None], "YXC")
    folder = save_review(tmp_path / "saved", review, image)
    assert not (folder / READINGS).exists()
    with start_second_reading(review, "=Grace", seed=1) as reading:
        first, second, *_ = drawn(reading)
        reading.apply(answers.reject, first)
        reading.apply(answers.unsure, second)
    save_review(folder, review, image)
    with (folder / READINGS).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["nucleus"]) for row in rows][:2] == [first, second]
    assert [row["second"] for row in rows] == ["not a nucleus", "can't tell"] + ["to do"] * 4
    assert [row["same"] for row in rows] == ["yes" if first % 5 == 0 else "no", "no", "", "", "", ""]
    assert not rows[0]["second reader"].startswith("=")  # no formula in a spreadsheet
    told_there = json.loads((folder / "review.json").read_text(encoding="utf-8"))["second readings"]
    assert [(entry["drawn"], entry["read twice"]) for entry in told_there] == [(6, 2)]
    assert len(load_review(folder).nuclei) == 100


def test_split_and_added_nuclei_are_not_drawn(tmp_path):
    """They were never proposed, so there is nothing to show blind."""
    from napari_unetsharp.nuclei import edits

    with Review.start(tmp_path / "few", IDENTITY, squares(), "Ada") as few:
        few.apply(edits.split, 1, [(4.5, 0), (4.5, 9)])
        few.apply(edits.add, Box(0, 0, 2, 2), np.ones((2, 2), bool))
        with start_second_reading(few, "Ada") as reading:
            assert drawn(reading) == [1]
