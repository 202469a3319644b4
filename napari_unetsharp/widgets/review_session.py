"""A review at work: the way through it, answers, and corrections. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import edits, redrawing
from napari_unetsharp.nuclei.alternatives import other_outlines
from napari_unetsharp.nuclei.cards import Card, Kind
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.review_answers import ReviewAnswers
from napari_unetsharp.widgets.review_way import BULK, ONE, PICKED, SCREEN


class ReviewSession(ReviewAnswers):
    """Corrections, on top of answers and the way through the queue; see `ReviewWay` for its attributes."""

    def add_at(self, point: tuple[float, float]) -> bool:
        """Grow a nucleus at a point from the maps; False where no view sees one."""
        maps = list(self.material.maps.values())
        if not maps:
            self.say("There are no probability maps here: paint the nucleus. R ends, Esc cancels.")
            return False
        try:
            delta = edits.grow(self.review.findings, point, maps, self.material.reach)
        except ReviewError as error:
            self.say(str(error), problem=True)
            return False
        if self._apply(delta) is None:
            return False
        self.go_to(delta.focus)
        return True

    def split(self, points: Sequence[Sequence[float]]) -> None:
        """Cut along a line: the current nucleus, or the one that most of the line crosses."""
        id_ = self._crossed(points)
        if not id_:
            self.say("The line crosses no nucleus: drag from one side of it to the other.", problem=True)
            return
        self._edit(edits.split, id_, points)

    def split_alone(self) -> None:
        """Cut the current nucleus where it is narrowest."""
        if self._needs_current():
            self._edit(edits.split_at_neck, self.current)

    def join(self, other: int) -> None:
        """Make the current nucleus and another one."""
        if self._needs_current():
            self._edit(edits.join, self.current, other)

    def tidy(self) -> None:
        """Fill holes and smooth the edge of the current nucleus."""
        if self._needs_current():
            self._edit(redrawing.tidy, self.current)

    def other_outline(self, step: int = 1) -> None:
        """Give the current nucleus the outline of the next view, or with -1 of the one before."""
        if not self._needs_current():
            return
        id_, found, place = self._other
        if id_ != self.current:
            found, place = self._other_outlines(), 0
        if len(found) < 2:
            self.say("No other view draws this nucleus differently.")
            return
        place = (place + step) % len(found)
        card = found[place]
        if self._edit(redrawing.redraw, self.current, card.box, card.mask, "other outline"):
            self._other = (self.current, found, place)
            self.say(f"Outline {card.words} ({place + 1} of {len(found)}).")

    def _other_outlines(self) -> list[Card]:
        """The outline as it is, then those of the views."""
        if not self.material.maps or self.current not in self.review.boxes:
            return []
        box, window = self.review.findings.window(self.current)
        mask = window == self.current
        own = Card(Kind.OUTLINE, (self.current,), 0.0, "as it was", box, mask.astype(np.int32), "")
        return [own, *other_outlines(self.material.maps, self.material.levels, self.current, mask, box)]

    def stroke(self, box: Box, before: NDArray[Any], after: NDArray[Any], id_: int) -> None:
        """Take a brush stroke that is locked to a nucleus."""
        try:
            self.review.record_stroke(box, before, after, id_, how=self._how())
        except ReviewError as error:
            self.say(str(error), problem=True)


__all__ = ["BULK", "ONE", "PICKED", "SCREEN", "ReviewSession"]
