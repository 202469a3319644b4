"""Keeps the widgets of *Review* up to date with its session."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtGui import QColor, QPixmap

from napari_unetsharp.nuclei.cards import Kind
from napari_unetsharp.nuclei.delta import BoxDelta
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.queue_view import CELL, Thumbnails
from napari_unetsharp.widgets.quiet import GivesBack
from napari_unetsharp.widgets.review_panel import HERE, WorkPanel
from napari_unetsharp.widgets.review_queue import STATES
from napari_unetsharp.widgets.review_session import ONE, SCREEN
from napari_unetsharp.widgets.state_layer import COLOURS

if TYPE_CHECKING:
    from napari_unetsharp.widgets.review_desk import ReviewDesk

SOON = 120
"""Milliseconds after the last action until counts are taken again."""

_TITLES = {
    Kind.MISS: "Possible miss", Kind.FALSE: "Possible false find", Kind.SPLIT: "Offered split",
    Kind.JOIN: "Offered join", Kind.OUTLINE: "Other outline",
}  # fmt: skip


class ReviewView:
    """Card, queue, progress and foot line of a desk.

    Parameters
    ----------
    desk : ReviewDesk
    panel : WorkPanel
    """

    def __init__(self, desk: ReviewDesk, panel: WorkPanel) -> None:
        self.desk, self.session, self.panel = desk, desk.session, panel
        material = self.session.material
        self._thumbnails = Thumbnails(material.pixels, material.diameter)
        panel.queue.picture, panel.queue.words = self._picture, self._tip
        panel.queue.forget_all()
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON)
        self._soon.timeout.connect(self.refresh_counts)
        self.session.review.changed.append(self._changed)
        panel.queue.chosen.connect(self._chosen)
        for combo in (panel.order, panel.state, panel.region):
            combo.setCurrentIndex(0)
            combo.currentTextChanged.connect(self._filter)
        self._tags = GivesBack(panel.tags, self._tag, self._leave_tags)
        panel.take_over.setVisible(self._can_take_over())

    def close(self) -> None:
        """Stop following."""
        self._soon.stop()
        self.panel.queue.chosen.disconnect(self._chosen)
        for combo in (self.panel.order, self.panel.state, self.panel.region):
            combo.currentTextChanged.disconnect(self._filter)
        self._tags.remove()
        self.panel.queue.picture, self.panel.queue.words = _no_picture, str
        self.panel.queue.show_cards([], 0)

    def _can_take_over(self) -> bool:
        holder = self.session.review.holder
        return holder is not None and not holder.local

    def refresh_all(self) -> None:
        """Everything."""
        self.panel.queue.show_cards(self.session.queue.numbers, self.session.current)
        self.refresh_card()
        self.show_tool()
        self.refresh_counts()

    # card

    def refresh_card(self) -> None:
        """The question, and the thumbnail that it belongs to."""
        panel, session = self.panel, self.session
        if self.desk.sweep is not None:
            self._ask_screen()
        else:
            kind = Kind.NUCLEUS if session.card is None else session.card.kind
            panel.card.ask(kind, self._question(session.current))
        panel.queue.set_current(session.current, session.queue.place(session.current))
        self._offer_reason()
        nucleus = session.nucleus
        if not panel.tags.hasFocus():
            panel.tags.setText(", ".join(nucleus.tags) if nucleus is not None else "")
        panel.tags.setEnabled(nucleus is not None)

    def _offer_reason(self) -> None:
        session = self.session
        answered = session.review.nuclei.get(session.answered)
        if answered is None or answered.state not in {State.NOT, State.UNSURE}:
            self.panel.card.reasons.offer(0, "", "")
        else:
            self.panel.card.reasons.offer(answered.id, answered.state.value, answered.reason)

    def _question(self, number: int) -> str:
        if not number:
            return "No nucleus is chosen. Click one, or press <b>N</b> for the next."
        card, nucleus = self.session.card, self.session.review.nuclei.get(number)
        title = f"Nucleus {number}"
        words = "" if card is None else card.words
        if card is not None and card.kind in _TITLES:
            title = _TITLES[card.kind] + (f", nucleus {number}" if number > 0 else "")
        elif nucleus is not None and nucleus.state is not State.TO_DO:
            words = nucleus.state.value + (f", {nucleus.reason}" if nucleus.reason else "")
        elif not words:
            words = "as it was proposed"
        return f"<b>{title}</b> — {escape(words)}"

    def _ask_screen(self) -> None:
        sweep = self.desk.sweep
        if sweep is None:
            return
        labels, review = self.session.review.labels[sweep.view.slices], self.session.review
        here = [int(id_) for id_ in np.flatnonzero(np.bincount(labels.ravel())) if id_]
        left = sum(review.nuclei[id_].state is State.TO_DO for id_ in here)
        wrong = sum(outline.box.meets(sweep.view) for outline in review.rejected.values())
        done = " · complete" if sweep.is_complete(sweep.place) else ""
        self.panel.card.ask_screen(
            f"<b>Screen {sweep.place + 1} of {len(sweep.views)}</b>{done} — click what is wrong ({wrong} clicked), "
            "add what is missing (A)",
            f"The other {left} here are right → next screen" if left else "Nothing is missing here → next screen",
        )

    # queue

    def _changed(self, delta: BoxDelta) -> None:
        self.panel.queue.forget(delta.ids)
        self._soon.start()
        self._offer_reason()

    def _chosen(self, number: int) -> None:
        self.desk.leave_tool()
        self.session.go_to(number, served=True)
        self.desk.give_focus()

    def _filter(self, text: str = "") -> None:
        queue, panel = self.session.queue, self.panel
        queue.order, queue.wanted = panel.order.currentText(), STATES[panel.state.currentText()]
        queue.region = self.desk.canvas.view() if panel.region.currentText() == HERE else None
        queue.refresh()
        panel.queue.show_cards(queue.numbers, self.session.current)
        if self.desk.sweep is None and not queue.takes(self.session.current):
            self.session.start()
        self.refresh_counts()
        self.desk.give_focus()

    def _picture(self, number: int) -> QPixmap:
        queue, review = self.session.queue, self.session.review
        box, mask, state = queue.box(number), self._mask(number), State.TO_DO
        if number in review.nuclei:
            state = review.nuclei[number].state
        return self._thumbnails.picture(box, mask, QColor(COLOURS[state]), CELL)

    def _mask(self, number: int) -> NDArray[np.bool_] | None:
        queue, review = self.session.queue, self.session.review
        if number < 0:
            card = queue.card(number)
            return None if card is None else card.mask
        if number in review.rejected:
            return review.rejected[number].mask()
        box: Box | None = review.boxes.get(number)
        return None if box is None else review.labels[box.slices] == number

    def _tip(self, number: int) -> str:
        card, nucleus = self.session.queue.card(number), self.session.review.nuclei.get(number)
        title = f"Nucleus {number}: {nucleus.state.value}" if nucleus is not None else "Possible miss"
        return f"{title}\n{card.words}" if card is not None else title

    # the rest

    def refresh_counts(self) -> None:
        """Progress, time to go, errors left, foot line."""
        session, panel = self.session, self.panel
        counts = session.queue.counts()
        left = self.desk.sweep.left() if self.desk.sweep is not None else session.queue.serving()
        panel.progress.show_counts(counts, session.pace.words(left) if left else "")
        errors = session.queue.errors_left()
        panel.errors.setText(errors.words if errors is not None else "")
        panel.errors.setVisible(errors is not None)
        panel.foot.setText(self.desk.status())

    def show_tool(self) -> None:
        """Mark what is switched on."""
        panel, desk = self.panel, self.desk
        panel.one.setChecked(session_is(desk, ONE))
        panel.screen.setChecked(session_is(desk, SCREEN))
        panel.card.edits.show_tool(desk.tool if desk.tool != "brush" else "redraw")
        for name, made in panel.lassos.items():
            made.setChecked(desk.tool == name)
        shown = desk.depths.visible_views()
        for node, made in panel.views.items():
            made.setChecked(node in shown)
            made.setEnabled(desk.depths.found is not None and node in desk.depths.found.layers)

    def _tag(self) -> None:
        self.session.tag(self.panel.tags.text())

    def _leave_tags(self) -> None:
        self.desk.give_focus()
        self.panel.tags.clearFocus()
        self.refresh_card()


def session_is(desk: ReviewDesk, how: str) -> bool:
    """Whether a desk works one by one, or screen by screen."""
    return desk.session.how == how


def _no_picture(number: int) -> QPixmap:
    """For a queue without a review."""
    return QPixmap()
