"""Where the work of a review meets the window: what each key, click and button does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.nuclei.pace import Pace
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review_folder import HISTORY, LABELS, OUTLINES, READINGS, RECORD, TABLE
from napari_unetsharp.widgets.gestures import BRUSH, JOIN, SELECT, SPLIT
from napari_unetsharp.widgets.key_sheet import KeySheet
from napari_unetsharp.widgets.keys import KeyFilter
from napari_unetsharp.widgets.keys_label import KeysLabel
from napari_unetsharp.widgets.preparing import take_run
from napari_unetsharp.widgets.review_canvas import is_ours
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.review_panel import WorkPanel
from napari_unetsharp.widgets.review_session import ONE, SCREEN, ReviewSession
from napari_unetsharp.widgets.review_source import Subject
from napari_unetsharp.widgets.review_tools import ADD, ReviewTools
from napari_unetsharp.widgets.review_view import ReviewView
from napari_unetsharp.widgets.saving import Saver
from napari_unetsharp.widgets.sweep import Sweep

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.message import Message


class ReviewDesk(ReviewTools):
    """One open review in a window.

    Parameters
    ----------
    viewer : napari.Viewer
    subject : Subject
    session : ReviewSession
    panel : WorkPanel
    message : Message
    find : FindStage
    keys : dict of str to str
        Key by action.

    Attributes
    ----------
    closing : bool
        It was saved and is being taken away.
    """

    def __init__(
        self, viewer: Viewer, subject: Subject, session: ReviewSession, panel: WorkPanel, message: Message,
        find: FindStage, keys: dict[str, str],
    ) -> None:  # fmt: skip
        super().__init__(viewer, subject, session, message, find)
        self._find = find
        self.panel, self.closing = panel, False
        self.keys = KeyFilter(viewer, self.act, is_ours, panel, keys)
        self.keys.busy = lambda: self.tool != SELECT
        self.label = KeysLabel(viewer, self.keys)
        self._paces = {ONE: Pace(), SCREEN: Pace()}
        self.saver = Saver(panel)
        self.saver.saved.connect(self._saved)
        self.saver.failed.connect(self._save_failed)
        self.view = ReviewView(self, panel)
        self._sheet: KeySheet | None = None
        self._actions["sheet"] = self.show_sheet
        session.pace = self._paces[ONE]
        session.said.append(self.say)
        session.moved.append(self._moved)

    def begin(self) -> None:
        """Start with the first card."""
        self.resume()
        if self.session.review.read_only:
            self.say(f"Read only: {self.session.review.read_only}.", problem=True)
        self.set_mode(ONE)
        self.canvas.zoom_in()
        self.session.start()

    def resume(self) -> None:
        """Review is on screen again."""
        self.depths.found = self._find.results.get(self.subject.layer)
        if self.depths.found is not None:
            self.depths.found.show_only_level(self.depths.depth)
        self.canvas.overlay.set_visible(True)
        self.keys.classes = len(self.session.classes)
        self.keys.turn(True)
        self.gestures.turn(True)
        self.label.show()
        self.give_focus()
        self.view.refresh_all()

    def pause(self) -> None:
        """Another stage is on screen: the keys and the mouse are napari's."""
        self.leave_tool()
        self.depths.pause()
        self.keys.turn(False)
        self.gestures.turn(False)
        self.label.hide()
        self.canvas.overlay.set_visible(False)
        for pace in self._paces.values():
            pace.interrupted()

    def close(self, keep: bool = False) -> None:
        """Save, give the review free and take its layers away.

        Parameters
        ----------
        keep : bool, optional
            The review stays open, for another desk.

        Raises
        ------
        NotSavedError
            If the disk doesn't take what waits; everything stays open then.
        """
        self.leave_tool()
        self.session.let_go() if keep else self.session.close()
        self.closing = True
        self.pause()
        self.depths.close()
        self.label.remove()
        self.view.close()
        self.canvas.remove()
        self.keys.remove()
        self.saver.setParent(None)
        self._actions.clear()
        self.close_sheet()

    def take_new_run(self, material: Material) -> None:
        """The network was run again, or by another model: new proposals for what nobody has looked at."""
        if not material.level or material is self.session.material:
            return
        before = self.session.material
        self.session.take_material(material)
        try:
            self.say(take_run(self.session.review, material))
        except UNetSharpError as error:
            self.session.take_material(before)
            self.say(str(error), problem=True)

    def give_focus(self) -> None:
        """The keyboard belongs to the picture."""
        self.viewer.window._qt_viewer.canvas.native.setFocus()

    def act(self, name: str, begins: bool) -> None:
        """Do what a key or button stands for."""
        if not self.canvas.complete:
            return
        if name == "image_only":
            self.canvas.image_only(begins)
            return
        if name == "flicker":
            self.say(self.depths.flicker(begins))
            return
        if name.startswith("class "):
            self.message.clear()
            self.session.classify(int(name.removeprefix("class ")) - 1)
            return
        if name not in {"sheet", "undo", "redo", "shallower", "deeper", "filled", "cancel", self._own_key()}:
            self.leave_tool()
        if name not in {"sheet", "cancel"}:
            self.message.clear()
        self._actions[name]()

    def _own_key(self) -> str:
        """The key of the tool at work: it ends it, or does its second thing."""
        return {SPLIT: "split", JOIN: "join", BRUSH: "redraw", ADD: "add"}.get(self.tool, "")

    def show_sheet(self) -> None:
        """The list of keys."""
        self._sheet = KeySheet(self.keys.keys, self.viewer.window._qt_window)
        self._sheet.open()

    def do(self, name: str) -> None:
        """Do what a button without a key stands for; see `WorkPanel`."""
        if name in {"one", "screen"}:
            self.set_mode(ONE if name == "one" else SCREEN)
        elif name in {"lasso right", "lasso not", "ignore"}:
            self.leave_tool() if self.tool == name else self.take_tool(name)
        elif name == "save":
            self.save()
        elif name.startswith("view "):
            self.say(self.depths.toggle_view(name.removeprefix("view ")))
            self.view.show_tool()

    def press(self, name: str) -> None:
        """A button of the card: *Add* waits for a click, the others are their keys."""
        if name == ADD and self.tool != ADD:
            self.take_tool(ADD)
        else:
            self.act(name, True)

    def set_mode(self, how: str) -> None:
        """One by one, or screen by screen."""
        self.leave_tool()
        self.session.how, self.session.pace = how, self._paces[how]
        self.session.pace.interrupted()
        if how == SCREEN:
            size = self.viewer.canvas.size
            self.sweep = Sweep(self.session.review, (size[0], size[1]), self.session.material.diameter)
            if not self.sweep.left():
                self.say("Every screen is complete.")
            self._show_screen()
        elif self.sweep is not None:
            self.sweep = None
            self.canvas.zoom_in()
            self.session.queue.refresh()
            self.session.start()
        self.view.refresh_all()

    def _moved(self) -> None:
        """Another card: bring it into view."""
        box = self.session.box()
        if box.area and (self.session.served or not self._in_view(box)):
            if self.sweep is None:
                self.canvas.centre(box)
            elif not self._in_view(box):
                self.sweep.place = self.sweep.place_of(box)
                self.canvas.show_box(self.sweep.view)
        self.view.refresh_card()

    def _in_view(self, box: Box) -> bool:
        view = self.canvas.view()
        row, column = (box.top + box.bottom) / 2, (box.left + box.right) / 2
        return view.top <= row < view.bottom and view.left <= column < view.right

    def give_reason(self, reason: str) -> None:
        """Why not, or why nobody can tell."""
        self.session.give_reason(reason)
        self.view.refresh_card()

    def save(self) -> None:
        """Write the review folder."""
        if self.saver.save(self.subject, self.session):
            self.say("Saving…")

    def _saved(self, folder: str) -> None:
        names = [LABELS, TABLE, OUTLINES, HISTORY, *([READINGS] if (Path(folder) / READINGS).exists() else []), RECORD]
        self.say(f"Saved in {folder}: {', '.join(names)}.")

    def _save_failed(self, error: Exception) -> None:
        known = isinstance(error, UNetSharpError)
        self.say(str(error) if known else f"Saving failed ({type(error).__name__}: {error}).", problem=True)

    def status(self) -> str:
        """The foot line: where the nuclei come from, and whether everything is on the disk."""
        review = self.session.review
        source = self.session.material.source
        if review.read_only:
            return f"{source} · read only"
        if review.unsaved:
            return f"{source} · {review.unsaved} not on disk yet: {review.trouble}"
        return f"{source} · everything saved {time.strftime('%H:%M:%S')}"

    def close_sheet(self, *_: Any) -> None:
        """Close the list of keys."""
        if self._sheet is not None:
            self._sheet.close()
            self._sheet.deleteLater()
            self._sheet = None
