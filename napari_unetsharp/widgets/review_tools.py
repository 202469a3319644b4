"""What keys, clicks and drags do to a review, tool by tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.brush import Brush
from napari_unetsharp.widgets.depths import DepthsShown
from napari_unetsharp.widgets.gestures import BRUSH, JOIN, LASSO, SELECT, SPLIT, Gestures, Place
from napari_unetsharp.widgets.review_canvas import ReviewCanvas, is_ours
from napari_unetsharp.widgets.review_session import ReviewSession
from napari_unetsharp.widgets.review_source import Subject
from napari_unetsharp.widgets.sweep import Sweep

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.message import Message
    from napari_unetsharp.widgets.review_view import ReviewView

ADD = "add"
"""Tool: the next click adds a nucleus."""

REGION = "region"
"""Tool: what is drawn around is what the queue serves."""

HINTS = {
    SPLIT: "Split: drag a line across the nucleus. S again: split it at its narrowest. Esc: leave.",
    JOIN: "Join: click the nucleus that belongs to the current one. Esc: leave.",
    ADD: "Add: click on the missed nucleus. Esc: leave.",
    BRUSH: "Redraw: paint; E erases, P paints, [ and ] change the brush. R ends, Esc takes it back.",
    "lasso right": "Draw around nuclei that are right. Esc: leave.",
    "lasso not": "Draw around what is no nucleus. Esc: leave.",
    REGION: "Draw around the nuclei that are to be served. Esc: leave.",
    "ignore": "Draw around tissue to leave out of training; inside such a region, to take it in again. Esc: leave.",
}


class ReviewTools:
    """Answers by key, and the tools: split, join, add, brush, lasso.

    Parameters
    ----------
    viewer : napari.Viewer
    subject : Subject
    session : ReviewSession
    message : Message
    find : FindStage

    Attributes
    ----------
    canvas : ReviewCanvas
    tool : str
        What the next click or drag does; "select" as a rule.
    sweep : Sweep or None
        The views of *Screen by screen*, while it is on.
    """

    view: ReviewView

    def __init__(
        self, viewer: Viewer, subject: Subject, session: ReviewSession, message: Message, find: FindStage
    ) -> None:
        self.viewer, self.subject, self.session, self.message = viewer, subject, session, message
        self.canvas = ReviewCanvas(viewer, subject, session)
        self.brush = Brush(self.canvas)
        self.depths = DepthsShown(viewer, self.canvas, find.found)
        self.gestures = Gestures(
            viewer, self.canvas.states, self._clicked, self._dragged, self.canvas.overlay.show_gesture, is_ours
        )
        self.tool = SELECT
        self.sweep: Sweep | None = None
        self._actions: dict[str, Callable[[], None]] = {
            "yes": self._yes, "no": self._no, "unsure": self._unsure, "next": lambda: self._step(1),
            "back": lambda: self._step(-1), "to_do": session.to_do, "other": session.other_outline,
            "previous_other": lambda: session.other_outline(-1), "split": self._split, "join": self._join,
            "add": self._add, "redraw": self._redraw, "tidy": session.tidy, "filled": self.canvas.fill,
            "shallower": lambda: self._depth(-1), "deeper": lambda: self._depth(1), "grid": self._grid,
            "undo": session.undo, "redo": session.redo, "cancel": self.cancel,
        }  # fmt: skip

    def say(self, text: str, problem: bool = False) -> None:
        """One sentence in the dock."""
        if problem:
            self.message.problem(text)
        else:
            self.message.note(text)

    def _show_screen(self) -> None:
        if self.sweep is not None:
            self.session.go_to(0)
            self.canvas.show_box(self.sweep.view)
            self.view.refresh_card()

    def _yes(self) -> None:
        if self.sweep is None:
            self.session.yes()
        elif self.session.complete(self.sweep.view):
            if self.sweep.next_open():
                self._show_screen()
            else:
                self.say("Every screen is complete. Save, and go on with the next image.")
                self.view.refresh_card()

    def _no(self) -> None:
        self.session.no() if self.sweep is None else self.session.answer_here(State.NOT)

    def _unsure(self) -> None:
        self.session.unsure() if self.sweep is None else self.session.answer_here(State.UNSURE)

    def _step(self, by: int) -> None:
        if self.sweep is not None:
            self.sweep.step(by)
            self._show_screen()
        elif by > 0:
            self.session.next()
        else:
            self.session.back()

    def _split(self) -> None:
        if self.tool == SPLIT:
            self.leave_tool()
            self.session.split_alone()
        else:
            self.take_tool(SPLIT)

    def _join(self) -> None:
        if self.tool == JOIN:
            self.leave_tool()
        elif self.session.nucleus is None:
            self.say("Choose a nucleus first, then G, then click its neighbour.")
        else:
            self.take_tool(JOIN)

    def _add(self) -> None:
        if self.tool == ADD:
            self.leave_tool()
        else:
            self.add_at(self.gestures.pointer())

    def add_at(self, place: Place) -> None:
        """Grow a nucleus at a point; where no view sees one, offer the brush."""
        if not self.session.add_at(place) and not self.session.nucleus_at(place) and self._inside(place):
            self.take_tool(BRUSH, new=True)
            self.say("No view sees a nucleus there: paint it. R ends, Esc takes it back.")

    def _inside(self, place: Place) -> bool:
        rows, columns = self.session.review.labels.shape
        return 0 <= round(place[0]) < rows and 0 <= round(place[1]) < columns

    def _redraw(self) -> None:
        if self.tool == BRUSH:
            self.leave_tool()
        elif self.session.nucleus is None:
            self.say("No nucleus is chosen: click one first, or press A on a missed one.")
        else:
            self.take_tool(BRUSH)

    def _depth(self, by: int) -> None:
        self.say(self.depths.step(by))

    def _grid(self) -> None:
        self.say(self.depths.grid())

    def take_tool(self, tool: str, new: bool = False) -> None:
        """Get something ready for the mouse.

        Parameters
        ----------
        tool : str
        new : bool, optional
            Of the brush: paint a nucleus that isn't there yet.
        """
        self.leave_tool()
        self.tool = tool
        if tool == BRUSH:
            self.brush.begin(new)
        drags = tool in {"lasso right", "lasso not", "ignore", REGION}
        self.gestures.take(LASSO if drags else SELECT if tool == ADD else tool)
        self.say(HINTS[tool])
        self.view.show_tool()

    def leave_tool(self) -> None:
        """Back to selecting; what was painted stays."""
        if self.tool == SELECT:
            return
        if self.tool == BRUSH:
            self.brush.end()
        left, self.tool = self.tool, SELECT
        self.gestures.take(SELECT)
        self.canvas.overlay.show_gesture([])
        self.message.clear()
        self.view.show_tool()
        if left == REGION:
            self.view.filters.drop_drawn()

    def cancel(self) -> None:
        """Leave the tool; what was painted with it is taken back."""
        if self.tool == BRUSH:
            self.brush.cancel()
        self.leave_tool()

    def _clicked(self, place: Place, modifiers: frozenset[str]) -> None:
        self.message.clear()
        if self.tool == ADD:
            self.leave_tool()
            self.add_at(place)
            return
        id_ = self.session.nucleus_at(place)
        if self.tool == JOIN or "Shift" in modifiers:
            self.leave_tool()
            if id_:
                self.session.join(id_)
        elif "Control" in modifiers:
            self.session.toggle_wrong(place)
        elif self.tool == SELECT and self.sweep is not None:
            self.session.toggle_wrong(place)
            self.session.go_to(id_ or self.session.nucleus_at(place))
        elif self.tool == SELECT:
            self.session.go_to(id_ or self.session.rejected_at(place))

    def _dragged(self, points: list[Place]) -> None:
        tool = self.tool
        self.leave_tool()
        if tool == SPLIT:
            self.session.split(points)
        elif len(points) < 3:
            self.say("Draw around a region: hold the button and go round it.")
        elif tool == "lasso right":
            self.session.lasso(points, State.RIGHT)
        elif tool == "lasso not":
            self.session.lasso(points, State.NOT)
        elif tool == "ignore":
            self.session.ignore(points)
        elif tool == REGION:
            self.view.filters.take_drawn(points)
