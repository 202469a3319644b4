"""Answers of a review: yes, no, can't tell, for one card, for many, for a screen. No Qt, no napari."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, edits, redrawing
from napari_unetsharp.nuclei.cards import Card, Kind
from napari_unetsharp.nuclei.delta import BoxDelta, NucleusChange
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.review_way import BULK, SCREEN, ReviewWay

CLASSES_NOTE = "classes"
"""Topic of a note in the journal: names of the model's classes."""


class ReviewAnswers(ReviewWay):
    """What the keys of a card mean."""

    def yes(self) -> None:
        """What is drawn is right; next."""
        card = self.card
        if card is None or card.kind in {Kind.NUCLEUS, Kind.FALSE}:
            self._decide(answers.accept, self.current)
        elif card.kind is Kind.MISS:
            self._decide(edits.add, card.box, card.mask)
        elif card.kind is Kind.JOIN:
            self._decide(edits.join, *card.ids)
        elif card.kind is Kind.SPLIT:
            self._decide(split_into, card.ids[0], card)
        else:
            self._decide(redrawing.redraw, card.ids[0], card.box, card.mask, "other outline")

    def no(self, reason: str = "") -> None:
        """Not a nucleus; next. Of an offered split, join or outline: not this; the nucleus itself is asked then."""
        card = self.card
        if card is not None and card.kind not in {Kind.NUCLEUS, Kind.FALSE}:
            self._decline(card)
        else:
            self._decide(answers.reject, self.current, reason, asks=True)

    def unsure(self, reason: str = "") -> None:
        """Can't tell; next."""
        if self.current < 0 and self.card is not None:
            self._decline(self.card)
        else:
            self._decide(answers.unsure, self.current, reason, asks=True)

    def _decline(self, card: Card) -> None:
        """No to an offer."""
        try:
            self.queue.decline(card)
        except ReviewError as error:
            self.say(str(error), problem=True)
            return
        if card.kind is not Kind.MISS:
            self.say("Not this. And the nucleus as it is drawn now?")
            self._tell()
            return
        self.pace.decided(time.monotonic())
        self.next()

    def _decide(self, answer: Callable[..., BoxDelta], *arguments: Any, asks: bool = False) -> None:
        """Answer and serve the next card; `asks` for a reason afterwards."""
        decided = self.current
        if not decided or (decided > 0 and self.nucleus is None):
            self.say("No nucleus is chosen: click one, or press N for the next.")
            return
        following = self.queue.after(decided)
        self.pace.decided(time.monotonic())
        if self._apply(answer, *arguments) is None:
            return
        self.answered = decided if asks else 0
        if following < 0 or following in self.review.nuclei:
            self.go_to(following, served=True)
        else:
            self.next()

    def to_do(self) -> None:
        """Take the answer about the current nucleus back."""
        if self._needs_current():
            self._edit(answers.to_do, self.current)

    def answer_here(self, state: State) -> None:
        """Answer about the current nucleus and stay."""
        if self._needs_current() and self._apply(answers.answered, [self.current], state) is not None:
            self.answered = self.current

    def give_reason(self, reason: str) -> None:
        """Say why, of the last *no* or *can't tell*."""
        nucleus = self.review.nuclei.get(self.answered)
        if nucleus is None or nucleus.state not in {State.NOT, State.UNSURE}:
            self.say("A reason belongs to 'not a nucleus' or 'can't tell': answer first.")
            return
        self._apply(answers.answered, [nucleus.id], nucleus.state, reason, "reason", 0)
        self.say(f"Nucleus {nucleus.id}: {nucleus.state}, {reason}.")

    def tag(self, id_: int, words: str) -> None:
        """Give a nucleus free words, separated by commas."""
        if id_ in self.review.nuclei:
            self._apply(answers.tag, id_, words.split(","))

    def toggle_tag(self, word: str) -> None:
        """Give the current nucleus a tag, or take it off."""
        nucleus = self.nucleus
        if nucleus is None:
            self._needs_current()
            return
        tags = [tag for tag in nucleus.tags if tag != word]
        self._apply(answers.tag, nucleus.id, tags if word in nucleus.tags else [*nucleus.tags, word])

    def tags_in_use(self) -> list[str]:
        """Tags of this review, the most frequent first."""
        counts = Counter(word for nucleus in self.review.nuclei.values() for word in nucleus.tags)
        return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the model that is at work or, without one, of the one that classes were given with."""
        noted = self.review.notes.get(CLASSES_NOTE)
        return self.material.classes or (tuple(map(str, noted[-1])) if noted else ())

    def classify(self, place: int) -> None:
        """Give the current nucleus a class, or take it off again where it has that one.

        Parameters
        ----------
        place : int
            In `classes`; what isn't there does nothing.
        """
        nucleus = self.nucleus
        if not 0 <= place < len(self.classes):
            return
        if nucleus is None:
            self._needs_current()
            return
        name = self.classes[place]
        if self._apply(answers.classify, nucleus.id, "" if nucleus.kind == name else name) is not None:
            self._note_classes()

    def _note_classes(self) -> None:
        """Remember the names, for when the review is opened without the network."""
        noted = self.review.notes.get(CLASSES_NOTE)
        if not noted or tuple(noted[-1]) != self.classes:
            try:
                self.review.note(CLASSES_NOTE, list(self.classes))
            except ReviewError as error:
                self.say(str(error), problem=True)

    def toggle_wrong(self, point: tuple[float, float]) -> None:
        """Declare the nucleus at a point none, or bring it back: one click."""
        id_ = self.nucleus_at(point)
        if id_:
            if self._apply(answers.reject, id_) is not None:
                self.answered = id_
            return
        gone = self.rejected_at(point)
        if gone:
            self._apply(answers.to_do, gone)
            self.answered = 0

    def lasso(self, polygon: Sequence[Sequence[float]], state: State) -> None:
        """Answer for everything inside a line."""
        self._apply(answers.lasso, polygon, state, how=BULK)

    def ignore(self, polygon: Sequence[Sequence[float]]) -> None:
        """Leave what is inside a line out of training; a line inside such a region takes it in again."""
        rows, columns = np.mean(polygon, axis=0).astype(int)
        shape = self.review.labels.shape
        inside = 0 <= rows < shape[0] and 0 <= columns < shape[1] and bool(self.review.ignored[rows, columns])
        self._apply(answers.ignore, polygon, not inside, how=BULK)

    def complete(self, view: Box) -> bool:
        """Declare everything in a view right, and nothing missing; True if that worked."""
        self.pace.decided(time.monotonic())
        return self._apply(answers.complete_view, view, how=SCREEN) is not None


def split_into(findings: Findings, id_: int, card: Card) -> BoxDelta:
    """Cut a nucleus into the parts of a card; the largest keeps the id.

    Parameters
    ----------
    findings : Findings
    id_ : int
    card : Card
        Of kind `Kind.SPLIT`.

    Raises
    ------
    ReviewError
        If the nucleus has changed since the split was offered.
    """
    box, window = findings.window(id_)
    if box != card.box or not np.array_equal(window == id_, card.mask) or card.parts.max() < 2:
        raise ReviewError(f"nucleus {id_} has changed since this split was offered; drag a line across it (S)")
    order = np.argsort(-np.bincount(card.parts.ravel())[1:], kind="stable")
    ids = np.zeros(len(order) + 1, np.int32)
    ids[order + 1] = [id_, *range(findings.next_id, findings.next_id + len(order) - 1)]
    pixels = PixelChange.between(box, window, np.where(card.mask, ids[card.parts], window), findings.shape[1])
    nucleus = findings.nucleus(id_)
    changes = [NucleusChange(id_, nucleus, replace(nucleus, state=State.CHANGED, reason=""))]
    changes += [
        NucleusChange(int(new), None, replace(nucleus, id=int(new), state=State.CHANGED, reason=""))
        for new in ids[1:]
        if new != id_
    ]
    return BoxDelta("split", pixels, box, tuple(changes), focus=id_)
