"""A blinded second reading in stage *Review*: its queue, its desk, and the way there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.agreement import TENTH
from napari_unetsharp.nuclei.order import Queue
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.second_reading import (
    Reading,
    candidates,
    drawn,
    second_readings,
    start_second_reading,
)
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.review_desk import ReviewDesk
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.review_queue import DOUBTFUL, STATES, ReviewQueue
from napari_unetsharp.widgets.review_session import ReviewSession

if TYPE_CHECKING:
    from napari_unetsharp.widgets.review import ReviewStage


class ReadingQueue(ReviewQueue):
    """The nuclei that were drawn, in random order; no offers, no doubt, no spot checks."""

    def deal_again(self) -> None:
        """Take what was drawn."""
        self.deck, self._declined = None, set()
        self._cards = np.array(drawn(self.review), np.int64)
        self._centres = np.array([self._middle(int(id_)) for id_ in self._cards]).reshape(-1, 2)
        count = len(self._cards)
        self._doubts, self._spots = np.zeros(count), np.zeros(0, np.int64)
        places = np.arange(count)
        self._queue = Queue(places, np.zeros(count, np.int64), np.zeros(count, bool), places + 1, places)
        self.refresh()

    def counts(self) -> dict[State, int]:
        """Of what was drawn, by the second answers."""
        counts = dict.fromkeys(State, 0)
        for id_ in self._cards.tolist():
            counts[self._state(id_)] += 1
        return counts


class ReadingSession(ReviewSession):
    """Second answers, in a journal of their own."""

    def __init__(self, review: Review, material: Material) -> None:
        super().__init__(review, material)
        self.queue = ReadingQueue(review, material)
        review.changed[:] = [self.queue.follow]

    def _finished(self) -> None:
        count = len(drawn(self.review))
        left = self.queue.counts()[State.TO_DO]
        self.say(f"{left} of {count} are left." if left else f"All {count} were read again: go back to the review.")
        if self.current:
            self.go_to(self.current, self.served)


class ReadingDesk(ReviewDesk):
    """The desk of a second reading: one by one, nothing else."""

    def begin(self) -> None:
        """Start with the first card."""
        self.panel.show_reading(True)
        super().begin()

    def close(self, keep: bool = False) -> None:
        """As of a review."""
        super().close(keep)
        self.panel.show_reading(False)

    def take_new_run(self, material: Material) -> None:
        """The outlines that are read again stay as they were proposed."""

    def save(self) -> None:
        """Every answer is on disk already; the review's own *Save* writes the table."""
        self.say("Everything is kept. Go back to the review and press Save to write the table of both readings.")


def ask(stage: ReviewStage) -> None:
    """Ask who reads, and whether to go on with a reading that isn't finished."""
    if stage.session is None or stage.first is not None:
        return
    review = stage.session.review
    count = len(candidates(review))
    if not count:
        stage.message.note("A second reading asks a tenth of the answered nuclei again: answer some first.")
        return
    open_ = _unfinished(stage)
    text = f"Second reading: {_tenth(count)} of the {count} answered nuclei, drawn at random, first answers hidden."
    if open_ is not None:
        text += f" The one by {open_.second_reader} isn't finished ({open_.read} of {len(open_.nuclei)})."
    stage.work.reading.give_focus_to(stage.give_focus)
    stage.work.reading.ask(text, review.who, open_ is not None)


def _tenth(count: int) -> int:
    return int(np.ceil(TENTH * count - 1e-9))


def _unfinished(stage: ReviewStage) -> Reading | None:
    """The last second reading that isn't finished."""
    if stage.session is None:
        return None
    readings, _ = second_readings(stage.session.review)
    return next((found for found in reversed(readings) if found.read < len(found.nuclei)), None)


def start(stage: ReviewStage) -> None:
    """Draw a tenth and show its first card."""
    if stage.session is None or stage.first is not None:
        return
    reader = stage.work.reading.reader.text().strip() or stage.session.review.who
    try:
        reading = start_second_reading(stage.session.review, reader)
    except ReviewError as error:
        stage.message.problem(str(error))
        return
    _read(stage, reading)


def go_on(stage: ReviewStage) -> None:
    """Go on with the reading that isn't finished."""
    unfinished = _unfinished(stage)
    if stage.session is None or unfinished is None:
        return
    try:
        reading = Review.open(unfinished.folder, stage.session.review.identity, unfinished.second_reader)
    except ReviewError as error:
        stage.message.problem(str(error))
        return
    _read(stage, reading)


def _read(stage: ReviewStage, reading: Review) -> None:
    """Take the review's layers away, and open a desk for the reading; the review stays open, and locked for others."""
    desk, subject = stage.desk, stage.subject
    if desk is None or subject is None:
        return
    stage.first = desk.session
    desk.close(keep=True)
    first = desk.session.material
    material = Material(
        first.pixels, reading.labels.copy(), first.maps, first.levels, model=first.model, source="second reading"
    )
    material.diameter = first.diameter  # the same zoom
    stage.seat(ReadingSession(reading, material), replace(subject, folder=reading.folder or Path()), ReadingDesk)


def end(stage: ReviewStage) -> None:
    """Close the reading and go back to where the review was."""
    first, subject = stage.first, stage.subject
    if first is None or subject is None or stage.desk is None:
        return
    try:
        stage.desk.close()
    except ReviewError as error:
        stage.message.problem(str(error))
        return
    stage.first = None
    current = first.current
    first.queue.order, first.queue.wanted, first.queue.region = DOUBTFUL, STATES["to do"], None
    first.queue.refresh()
    stage.seat(first, subject)
    if current:
        first.go_to(current)


def close_first(stage: ReviewStage) -> bool:
    """Save the review beneath a second reading that was closed; False where the disk doesn't take it."""
    if stage.first is None:
        return True
    try:
        stage.first.close()
    except ReviewError as error:
        stage.message.problem(str(error))
        return False
    stage.first = None
    return True


def show_strip(stage: ReviewStage) -> None:
    """Say that a reading is at work, or how far those of this review agree with it."""
    session, strip = stage.session, stage.work.reading
    if session is None:
        return
    if stage.first is not None:
        strip.run(f"Second reading by {session.review.head.who}: as it was proposed, without the first answers.")
        return
    readings, problems = second_readings(session.review)
    strip.tell("\n".join([*(found.words for found in reversed(readings)), *problems]))


DOES: dict[str, Callable[[ReviewStage], None]] = {
    "second": ask,
    "second start": start,
    "second go on": go_on,
    "second cancel": show_strip,
    "second end": end,
}
"""By name of the button."""


def do(stage: ReviewStage, name: str) -> None:
    """Do what a button of `DOES` stands for, and give the keyboard back to the picture."""
    stage.message.clear()
    DOES[name](stage)
    if name != "second":
        stage.give_focus()
