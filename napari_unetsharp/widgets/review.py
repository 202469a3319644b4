"""Stage *Review*: doubtful nuclei one by one, then screen by screen; every key and click of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unetsharp.errors import ReviewError, SettingsError, UNetSharpError
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.store import set_aside
from napari_unetsharp.widgets.find import FindStage
from napari_unetsharp.widgets.keys import KEYS
from napari_unetsharp.widgets.left_column import LeftColumn
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.preferences import review_keys
from napari_unetsharp.widgets.review_desk import ReviewDesk
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.review_panel import StartPanel, WorkPanel
from napari_unetsharp.widgets.review_session import ReviewSession
from napari_unetsharp.widgets.review_source import (
    Subject,
    check_fits,
    labels_from_file,
    starting_points,
    subject_of,
    without_labels,
)

if TYPE_CHECKING:
    from napari import Viewer

MASKS = "Masks (*.tif *.tiff *.png *.npy);;All (*)"


class ReviewStage(QWidget):
    """Starts, goes on with and leaves reviews; the desk does the work.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
        Gives the image and what was found on it.

    Attributes
    ----------
    desk : ReviewDesk or None
        The review that is open.
    """

    def __init__(self, viewer: Viewer, find: FindStage) -> None:
        super().__init__()
        self._viewer, self.find = ref(viewer), find
        self.desk: ReviewDesk | None = None
        self._subject: Subject | None = None
        self._points: dict[str, Material] = {}
        self._open: list[ReviewSession] = []
        self.active = False
        self.left_column = LeftColumn(viewer)
        self.keys = {**{name: key for name, (key, _) in KEYS.items()}, **review_keys()}
        self.message = Message()
        self.start_panel = StartPanel(self._start_pressed, self._ask_for_mask, self._answer_question)
        self.work = WorkPanel(self._act, self._do, self._reason, self.keys)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(5)
        layout.addWidget(self.start_panel)
        layout.addWidget(self.work, stretch=1)
        layout.addWidget(self.message)  # below, so that no button moves when a sentence comes
        layout.addStretch(0)
        self._moved_on = QTimer(self)
        self._moved_on.setSingleShot(True)
        self._moved_on.setInterval(150)
        self._moved_on.timeout.connect(self._follow_plane)
        viewer.dims.events.current_step.connect(self._plane_changed)
        viewer.layers.events.removed.connect(self._layer_removed)
        self.destroyed.connect(partial(_close_all, self._open))

    @property
    def viewer(self) -> Viewer:
        """The window's viewer; the dock doesn't keep it alive."""
        viewer = self._viewer()
        if viewer is None:
            raise SettingsError("the window was closed")
        return viewer

    @property
    def session(self) -> ReviewSession | None:
        """The review at work, if one is open."""
        return None if self.desk is None else self.desk.session

    # coming and going

    def enter(self) -> None:
        """The stage is on screen: go on with what is open, or offer what there is."""
        self.active = True
        self.message.clear()
        try:
            subject = subject_of(self.viewer, self.find.layer)
        except UNetSharpError as error:
            self._show(None)
            self.message.problem(str(error))
            return
        if self.desk is not None and self._same(subject):
            self._resume(subject)
            return
        self.close_review()
        self._subject = subject
        self._points = starting_points(self.viewer, subject, self.find.found, self._depth())
        self._offer()

    def leave(self) -> None:
        """Another stage is on screen, or the dock was closed: everything is as napari had it."""
        if not self.active:
            return
        self.active = False
        if self.desk is not None:
            self.desk.pause()
        self.left_column.restore()
        self.work.layers.setChecked(False)

    def close_review(self) -> bool:
        """Save the review and take its layers away; False where the disk doesn't take it."""
        if self.desk is None:
            return True
        try:
            self.desk.close()
        except ReviewError as error:
            self.message.problem(str(error))
            return False
        self._open.clear()
        self.desk = None
        return True

    def _same(self, subject: Subject) -> bool:
        return (
            self.desk is not None
            and self.desk.canvas.complete
            and self._subject is not None
            and subject.layer is self._subject.layer
            and subject.index == self._subject.index
            and subject.identity == self._subject.identity
        )

    def _depth(self) -> int:
        return int(self.find.label_form.shown.value or 4)

    def _resume(self, subject: Subject) -> None:
        if self.desk is None:
            return
        points = starting_points(self.viewer, subject, self.find.found, self._depth())
        network = next((material for material in points.values() if material.level), None)
        self._show("work")
        self.left_column.hide()
        if network is not None:
            self.desk.take_new_run(network)
        self.desk.resume()

    # starting

    def _offer(self) -> None:
        """Ask whether to go on, or what to start from; start at once where nuclei were just found."""
        if self._subject is None:
            return
        self._show("start")
        panel = self.start_panel
        panel.choice.clear()
        panel.choice.addItems(list(self._points))
        panel.start_button.setEnabled(bool(self._points))
        panel.salvage_button.hide()
        try:
            head = self._subject.on_disk
            if head is not None:
                check_fits(head, self._subject)
        except ReviewError as error:
            self._ask_about(str(error), go_on=False)
            return
        if head is not None:
            who = f" by {head.who}" if head.who else ""
            when = head.written.replace("T", " ")[:16]
            self._ask_about(f"A review of this image{who} is here, last written {when} UTC. Go on where you stopped?")
            return
        panel.question.hide()
        if any(material.level for material in self._points.values()):
            self.start(next(iter(self._points.values())))
        elif not self._points:
            self.message.note("Nothing to review yet: find nuclei first (1 Find), or open a mask file.")

    def _ask_about(self, text: str, go_on: bool = True) -> None:
        panel = self.start_panel
        panel.found.setText(text)
        panel.go_on_button.setVisible(go_on)
        panel.question.show()
        panel.offer.hide()

    def _answer_question(self, answer: str) -> None:
        """Go on with the review on disk, or set it aside."""
        if self._subject is None:
            return
        self.message.clear()
        self.start_panel.offer.show()
        if answer == "afresh":
            try:
                set_aside(self._subject.folder)
            except ReviewError as error:
                self.message.problem(str(error))
                return
            self._offer()
            return
        self.go_on(salvage=answer == "salvage")

    def go_on(self, salvage: bool = False, take_over: bool = False) -> None:
        """Open the review that is on disk.

        Parameters
        ----------
        salvage : bool, optional
            Take what comes before a damage.
        take_over : bool, optional
            Take the right to write from another machine.
        """
        if self._subject is None:
            return
        try:
            review = Review.open(self._subject.folder, self._subject.identity, take_over=take_over, salvage=salvage)
        except ReviewError as error:
            self.message.problem(str(error))
            if "salvaged" in str(error):
                self._ask_about(str(error), go_on=False)
                self.start_panel.salvage_button.show()
            return
        network = next((material for material in self._points.values() if material.level), None)
        self._begin(review, network or without_labels(self._subject))

    def _start_pressed(self) -> None:
        material = self._points.get(self.start_panel.choice.currentText())
        if material is not None:
            self.start(material)

    def _ask_for_mask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Start from a mask", "", MASKS)
        if path:
            self.start_from_file(path)

    def start_from_file(self, path: str) -> None:
        """Start from a mask of another program."""
        if self._subject is None:
            return
        network = next((material for material in self._points.values() if material.level), None)
        try:
            self.start(labels_from_file(self._subject, path, network))
        except UNetSharpError as error:
            self.message.problem(str(error))

    def start(self, material: Material) -> None:
        """Begin a review of these nuclei.

        Parameters
        ----------
        material : Material
        """
        if self._subject is None:
            return
        try:
            review = Review.start(self._subject.folder, self._subject.identity, material.labels, model=material.model)
        except ReviewError as error:
            self.message.problem(str(error))
            return
        self._begin(review, material)

    def _begin(self, review: Review, material: Material) -> None:
        if self._subject is None:
            return
        session = ReviewSession(review, material)
        self._open[:] = [session]
        self._show("work")
        self.left_column.hide()
        self.message.clear()
        self.desk = ReviewDesk(self.viewer, self._subject, session, self.work, self.message, self.find, self.keys)
        self.desk.take_new_run(material)
        self.desk.begin()

    def _show(self, panel: str | None) -> None:
        self.start_panel.setVisible(panel == "start")
        self.start_panel.offer.setVisible(True)
        self.work.setVisible(panel == "work")

    # passing on

    def _act(self, name: str) -> None:
        if self.desk is not None:
            self.desk.press(name)

    def _reason(self, reason: str) -> None:
        if self.desk is not None:
            self.desk.give_reason(reason)

    def _do(self, name: str) -> None:
        if name == "layers":
            self.left_column.toggle()
            self.work.layers.setChecked(self.left_column.shown)
        elif name == "take over":
            self.close_review()
            self.go_on(take_over=True)
        elif self.desk is not None:
            self.desk.do(name)

    # following the window

    def _plane_changed(self, event: Any = None) -> None:
        if self.active and self._subject is not None and self._subject.index:
            self._moved_on.start()

    def _follow_plane(self) -> None:
        if self.active:
            self.enter()

    def _layer_removed(self, event: Any = None) -> None:
        """One of the layers that a review needs was deleted: save and close it."""
        if self.desk is None or self.desk.closing or self.desk.canvas.complete:
            return
        if self.close_review():
            self._show(None)
            self.left_column.restore()
            self.message.note("A layer of the review was deleted, so it was saved and closed; press 2 Review to go on.")

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Qt: the dock was closed, or another stage chosen; a minimised window changes nothing."""
        if event is not None and not event.spontaneous():
            self.leave()
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Qt: the dock was opened again."""
        super().showEvent(event)
        QTimer.singleShot(0, self._shown)

    def _shown(self) -> None:
        if self.isVisible() and not self.active and self._viewer() is not None:
            self.enter()


def _close_all(open_: list[ReviewSession], *_: Any) -> None:
    """The window is gone: what was open is given free; the journal has everything already."""
    for session in open_:
        session.review.close(discard=True)
    open_.clear()
