"""Which cards are served, in which order: doubtful ones with spot checks among them, filtered by state and region.

A card is known by a number here: the id of its nucleus, or a number below 0 for a possible miss.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import NotSavedError
from napari_unetsharp.nuclei.cards import Card, Kind
from napari_unetsharp.nuclei.delta import BoxDelta
from napari_unetsharp.nuclei.errors_left import ErrorsLeft, from_review, was_wrong
from napari_unetsharp.nuclei.order import draw_spot_checks, mix, one_by_one
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.queue_region import Region, in_region
from napari_unetsharp.widgets.review_material import Material

DOUBTFUL, ALL, BY_PLACE = "doubtful", "all", "by place"
ORDERS = (DOUBTFUL, ALL, BY_PLACE)

STATES: dict[str, frozenset[State]] = {
    "to do": frozenset({State.TO_DO}),
    "any state": frozenset(State),
    **{state.value: frozenset({state}) for state in State if state is not State.TO_DO},
}

SPOT_SHARE, SPOTS = 0.1, 60
"""Part of the nuclei that is drawn as spot check, and the most that are."""

SPOT_NOTE, DECLINED_NOTE = "spot checks", "declined"
"""Topics of notes in the journal: the seed of the spot checks, and offers that were answered with no."""


class ReviewQueue:
    """Cards in the order of serving.

    Parameters
    ----------
    review : Review
    material : Material

    Attributes
    ----------
    deck : Deck or None
        What the views say; None where the network was not run.
    numbers : list of int
        Cards by the chosen order, state and region, answered ones included until the next `refresh`.
    order : str
        One of `ORDERS`.
    wanted : frozenset of State
    region : Box, DrawnRegion or None
        Only what lies here.
    """

    def __init__(self, review: Review, material: Material) -> None:
        self.review, self.material = review, material
        self.order, self.wanted = DOUBTFUL, STATES["to do"]
        self.region: Region = None
        self.numbers: list[int] = []
        self._places: dict[int, int] = {}
        self.deal_again()

    def deal_again(self) -> None:
        """Take the proposals as they are now; the network may have been run again."""
        self.deck = self.material.deck(self.review.proposals)
        self._declined = {tuple(body) for body in self.review.notes.get(DECLINED_NOTE, [])}
        if self.deck is None:
            ids = np.flatnonzero(np.bincount(self.review.proposals.ravel()))
            self._cards = np.asarray(ids[ids > 0], np.int64)
            self._centres = np.array([self._middle(int(id_)) for id_ in self._cards]).reshape(-1, 2)
            self._doubts = np.zeros(len(self._cards))
        else:
            misses = -1 - np.arange(len(self.deck))
            self._cards = np.where(self.deck.ids > 0, self.deck.ids, misses)
            self._centres, self._doubts = self.deck.centres, self.deck.doubt
        proposed = self._cards[self._cards > 0]
        count = min(SPOTS, int(np.ceil(SPOT_SHARE * len(proposed)))) if self.deck is not None else 0
        self._spots = draw_spot_checks(proposed, count, self._seed()) if count else np.zeros(0, np.int64)
        doubtful = one_by_one(self._doubts, self._centres, share=0.2 if self.deck is not None else 1.0)
        self._queue = mix(doubtful, self._spots, self._seed()) if count else doubtful
        self.refresh()

    def _seed(self) -> int:
        """Drawn once per review and remembered, so that the same nuclei stay spot checks."""
        kept = self.review.notes.get(SPOT_NOTE)
        if kept:
            return int(kept[0]["seed"])
        if self.review.read_only:
            return 0
        seed = secrets.randbelow(2**31)
        with contextlib.suppress(NotSavedError):  # it is kept in memory and goes to the disk with the next action
            self.review.note(SPOT_NOTE, {"seed": seed})
        return seed

    def refresh(self) -> None:
        """Build the list again, after another order, state or region was chosen, or after many edits."""
        numbers = self._cards[self._queue.cards].tolist()
        if self.order != DOUBTFUL or self.wanted != STATES["to do"]:
            ranked = self._cards[np.argsort(-self._doubts, kind="stable")].tolist()
            numbers = list(dict.fromkeys((*numbers, *ranked, *sorted(self.review.nuclei))))
        if self.order == BY_PLACE:
            numbers.sort(key=self._row_by_row)
        self.numbers = [number for number in numbers if self.takes(number)]
        self._places = {number: place for place, number in enumerate(self.numbers)}

    def takes(self, number: int) -> bool:
        """Whether a card is of the chosen state and region."""
        if number < 0:
            if (self.wanted != STATES["to do"] and len(self.wanted) == 1) or not self._is_open(number):
                return False
        else:
            nucleus = self.review.nuclei.get(number)
            if nucleus is None or nucleus.state not in self.wanted:
                return False
        return self.region is None or in_region(self.region, self.box(number))

    def _is_open(self, miss: int) -> bool:
        """Whether a possible miss was neither taken nor declined, nor put in by hand, nor lies in a completed view."""
        box = self.box(miss)
        if ("miss", *box) in self._declined:
            return False
        row, column = (box.top + box.bottom) / 2, (box.left + box.right) / 2
        if any(v.top <= row < v.bottom and v.left <= column < v.right for v in self.review.views):
            return False
        mask = self.card(miss).mask  # type: ignore[union-attr]
        return not (self.review.labels[box.slices][mask] > 0).mean() > 0.3

    def _row_by_row(self, number: int) -> tuple[int, int]:
        row, column = self._middle(number)
        band = int(row // max(1.0, 4 * self.material.diameter))
        return band, int(column if band % 2 == 0 else -column)

    def _middle(self, number: int) -> tuple[float, float]:
        box = self.box(number)
        return (box.top + box.bottom) / 2, (box.left + box.right) / 2

    def box(self, number: int) -> Box:
        """Where a card lies."""
        if number < 0 and self.deck is not None:
            return Box(*(int(side) for side in self.deck.boxes[-1 - number]))
        return self.review.findings.box_of(number)

    def card(self, number: int) -> Card | None:
        """What is asked; None where there is nothing but the nucleus itself.

        An offer about a nucleus holds while nobody has answered it or declined the offer.
        """
        if self.deck is None:
            return None
        if number < 0:
            return self.deck.card(-1 - number)
        place = self.deck.place_of(number)
        nucleus = self.review.nuclei.get(number)
        if place < 0 or nucleus is None or nucleus.state is not State.TO_DO:
            return None
        card = self.deck.card(place)
        gone = any(id_ not in self.review.boxes for id_ in card.ids)
        return None if gone or (card.kind.value, *card.ids) in self._declined else card

    def decline(self, card: Card) -> None:
        """Remember that an offer was answered with no, so that it doesn't come back."""
        key = ("miss", *card.box) if card.kind is Kind.MISS else (card.kind.value, *card.ids)
        self._declined.add(key)
        self.review.note(DECLINED_NOTE, list(key))

    def follow(self, delta: BoxDelta) -> None:
        """After a change: nuclei that are new come at the end of the list where they are wanted.

        Where the proposals themselves changed, also by an undo, the cards are dealt again.
        """
        if delta.proposals is not None:
            self.deal_again()
            return
        for change in delta.nuclei:
            if change.before is None and change.id not in self._places and self.takes(change.id):
                self._places[change.id] = len(self.numbers)
                self.numbers.append(change.id)

    def first(self) -> int:
        """Number of the first card to serve, 0 for none."""
        return next((number for number in self.numbers if self.takes(number)), 0)

    def after(self, number: int) -> int:
        """The card to serve after another, from the beginning again where the end is reached; 0 for none."""
        begin = self._places.get(number, -1) + 1
        for place in (*range(begin, len(self.numbers)), *range(min(begin, len(self.numbers)))):
            following = self.numbers[place]
            if following != number and self.takes(following):
                return following
        return 0

    def place(self, number: int) -> int:
        """Place of a card in the list, -1 where it isn't in it."""
        return self._places.get(number, -1)

    # counts

    def counts(self) -> dict[State, int]:
        """Nuclei by state."""
        counts = dict.fromkeys(State, 0)
        for nucleus in self.review.nuclei.values():
            counts[nucleus.state] += 1
        return counts

    def serving(self) -> int:
        """Cards of the list that are still to come."""
        return sum(self.takes(number) for number in self.numbers)

    def errors_left(self) -> ErrorsLeft | None:
        """What the spot checks say; None where nothing is known of doubt, so that nothing was drawn."""
        if self.deck is None:
            return None
        proposed = self._cards[self._cards > 0]
        states = [self._state(int(id_)) for id_ in proposed]
        shown = self._queue.shown(self._served(), len(self._cards))[: len(proposed)]
        shown |= self._in_views()[: len(proposed)]
        spot = np.zeros(len(proposed), bool)
        spot[self._spots] = True
        looked_at = np.array([state is not State.TO_DO for state in states], bool)
        return from_review(spot, shown, looked_at, was_wrong(states), len(self.review.views))

    def _state(self, id_: int) -> State:
        """A nucleus that was joined to another is gone: it was wrong."""
        nucleus = self.review.nuclei.get(id_)
        return State.CHANGED if nucleus is None else nucleus.state

    def _served(self) -> int:
        """How far the queue was served, as the history tells."""
        place = {number: turn for turn, number in enumerate(self._cards[self._queue.cards].tolist())}
        return 1 + max(
            (
                place[id_]
                for action in self.review.history
                if action.how == "one by one"
                for id_ in _ids(action.nuclei)
                if id_ in place
            ),
            default=-1,
        )

    def _in_views(self) -> NDArray[np.bool_]:
        inside = np.zeros(len(self._cards), bool)
        for view in self.review.views:
            inside |= ((self._centres >= view[:2]) & (self._centres < view[2:])).all(axis=1)
        return inside


def _ids(nuclei: Iterable[tuple[int, str, str]]) -> list[int]:
    return [id_ for id_, _, _ in nuclei]
