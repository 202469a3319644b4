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
from napari_unetsharp.widgets.queue_filters import QueueFilters
from napari_unetsharp.widgets.queue_view import CELL, Thumbnails
from napari_unetsharp.widgets.review_panel import WorkPanel
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
        self.filters = QueueFilters(desk, panel, self.show_queue)
        panel.tags.kept.connect(self._tag)
        panel.tags.left.connect(desk.give_focus)
        panel.description.toggled.connect(self._toggle_tag)
        panel.take_over.setVisible(self._can_take_over())

    def close(self) -> None:
        """Stop following."""
        self._soon.stop()
        self.panel.queue.chosen.disconnect(self._chosen)
        self.filters.close()
        self.panel.tags.show_tags(0, ())
        self.panel.tags.kept.disconnect(self._tag)
        self.panel.tags.left.disconnect(self.desk.give_focus)
        self.panel.description.toggled.disconnect(self._toggle_tag)
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
        self._describe()

    def _describe(self) -> None:
        """Class or tags of the current nucleus."""
        row, session, nucleus = self.panel.description, self.session, self.session.nucleus
        row.offer_classes(session.classes)
        row.show_class("" if nucleus is None else nucleus.kind, nucleus is not None)
        tags = () if nucleus is None else nucleus.tags
        row.field.show_tags(0 if nucleus is None else nucleus.id, tags)
        row.offer_tags(list(row.chips), tags)

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
        if nucleus is not None and nucleus.kind:
            words += f" · {nucleus.kind}"
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
        if delta.kind in {"class", "tags"} and self.session.current in delta.ids:
            self.refresh_card()

    def _chosen(self, number: int) -> None:
        self.desk.leave_tool()
        self.session.go_to(number, served=True)
        self.desk.give_focus()

    def show_queue(self) -> None:
        """Another order, state or region was chosen."""
        queue = self.session.queue
        self.panel.queue.show_cards(queue.numbers, self.session.current)
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
        nucleus = session.nucleus
        panel.description.offer_tags(session.tags_in_use(), () if nucleus is None else nucleus.tags)

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

    def _tag(self, number: int, words: str) -> None:
        self.session.tag(number, words)

    def _toggle_tag(self, word: str) -> None:
        self.session.toggle_tag(word)
        self.desk.give_focus()


def session_is(desk: ReviewDesk, how: str) -> bool:
    """Whether a desk works one by one, or screen by screen."""
    return desk.session.how == how


def _no_picture(number: int) -> QPixmap:
    """For a queue without a review."""
    return QPixmap()
