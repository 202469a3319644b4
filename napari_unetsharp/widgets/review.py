"""Stage *Review*: doubtful nuclei one by one, then screen by screen; every key and click of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout

from napari_unetsharp.errors import ReviewError, SettingsError, UNetSharpError
from napari_unetsharp.widgets import second_reading
from napari_unetsharp.widgets.find import FindStage
from napari_unetsharp.widgets.keys import KEYS
from napari_unetsharp.widgets.left_column import LeftColumn
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.preferences import review_keys
from napari_unetsharp.widgets.preparing import Preparation, Ready
from napari_unetsharp.widgets.review_desk import ReviewDesk
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.review_panel import StartPanel, WorkPanel
from napari_unetsharp.widgets.review_session import ReviewSession
from napari_unetsharp.widgets.review_source import Subject, starting_points, subject_of
from napari_unetsharp.widgets.review_start import ReviewStart
from napari_unetsharp.widgets.slide_region_bar import RegionOffer
from napari_unetsharp.widgets.slide_regions import SlideRegions
from napari_unetsharp.widgets.stage import Stage

if TYPE_CHECKING:
    from napari import Viewer


class ReviewStage(ReviewStart, Stage):
    """Starts, goes on with and leaves reviews; the desk does the work.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
        Gives the image and what was found on it.

    Attributes
    ----------
    desk : ReviewDesk or None
        The review that is open, or the second reading of it.
    first : ReviewSession or None
        The review itself, while a second reading of it is at work.
    regions : SlideRegions
        Cuts regions out of slides, and gives back what was done in them.
    """

    def __init__(self, viewer: Viewer, find: FindStage) -> None:
        super().__init__()
        self._viewer, self.find = ref(viewer), find
        self.desk: ReviewDesk | None = None
        self.first: ReviewSession | None = None
        self._subject = None
        self._points = {}
        self._open: list[ReviewSession] = []
        self.active = False
        self.wished_mask = ""
        self.preparation = Preparation(self)
        self.preparation.ready.connect(self._begin)
        self.preparation.failed.connect(self._not_prepared)
        self.regions = SlideRegions(viewer, find, self)
        self.regions.opened.connect(self._region_opened)
        self.region_offer = RegionOffer(self.regions)
        self.left_column = LeftColumn(viewer)
        self.keys = {**{name: key for name, (key, _) in KEYS.items()}, **review_keys()}
        self.message = Message()
        self.start_panel = StartPanel(self._start_pressed, self._ask_for_mask, self._answer_question)
        self.work = WorkPanel(self._act, self._do, self._reason, self.keys)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(5)
        layout.addWidget(self.region_offer)
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
        """What is at work, if anything is open."""
        return None if self.desk is None else self.desk.session

    @property
    def reviewed(self) -> ReviewSession | None:
        """The review that is open; never the second reading of it."""
        return self.first or self.session

    @property
    def subject(self) -> Subject | None:
        """The plane that the review is about."""
        return self._subject

    def give_focus(self) -> None:
        """The keyboard belongs to the picture."""
        if self.desk is not None:
            self.desk.give_focus()

    # coming and going

    def enter(self) -> None:
        """The stage is on screen: go on with what is open, or offer what there is."""
        self.active = True
        self.message.clear()
        self.region_offer.setVisible(self.regions.on_slide)
        if self.regions.on_slide:
            self._enter_slide()
            return
        try:
            subject = subject_of(self.viewer, self.find.layer)
        except UNetSharpError as error:
            self._show(None)
            self.message.problem(str(error))
            return
        if self.desk is not None and self._same(subject) and not self.wished_mask:
            self._resume(subject)
            return
        self.close_review()
        self._subject = subject
        self._points = self._starting_points(subject)
        self._offer()

    def _enter_slide(self) -> None:
        """A whole slide is chosen: a region of it is offered."""
        self._show(None)
        if self.close_review():
            self._subject = None
        self.left_column.restore()
        self.region_offer.refresh()

    def _region_opened(self, layer: Any) -> None:
        if self.active:
            self.enter()

    def _starting_points(self, subject: Subject) -> dict[str, Material]:
        points = starting_points(self.viewer, subject, self.find.found, self._depth())
        of_slide = self.regions.materials.of(subject.layer)
        if of_slide is None:
            return points
        found_here = any(material.level for material in points.values())
        return points | {of_slide.source: of_slide} if found_here else {of_slide.source: of_slide} | points

    def leave(self) -> None:
        """Another stage is on screen, or the dock was closed: everything is as napari had it."""
        if not self.active:
            return
        self.active = False
        self.wished_mask = ""
        self.preparation.drop()
        if self.desk is not None:
            self.desk.pause()
        self.left_column.restore()
        self.work.layers.setChecked(False)

    def close_review(self) -> bool:
        """Save the review and take its layers away; False where the disk doesn't take it."""
        self.preparation.drop()
        if self.desk is None:
            return True
        try:
            self.desk.close()
        except ReviewError as error:
            self.message.problem(str(error))
            return False
        self.desk = None
        if self.first is not None and not second_reading.close_first(self):
            return False
        self._open.clear()
        self.regions.back.give()
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

    def _begin(self, ready: Ready) -> None:
        review, material, said = ready
        if self._subject is None or not self.active:
            review.close(discard=True)
            return
        self.seat(ReviewSession(review, material), self._subject)
        if said:
            self.message.note(said)

    def seat(self, session: ReviewSession, subject: Subject, desk: type[ReviewDesk] = ReviewDesk) -> None:
        """Open a desk for a review, or for a second reading of one.

        Parameters
        ----------
        session : ReviewSession
        subject : Subject
            Its folder is where the journal of this session lies.
        desk : type, optional
        """
        self._open[:] = [session] if self.first is None else [session, self.first]
        self._show("work")
        self.left_column.hide()
        self.message.clear()
        self.regions.back.follow(session)
        self.desk = desk(self.viewer, subject, session, self.work, self.message, self.find, self.keys)
        self.desk.begin()
        second_reading.show_strip(self)

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
        elif name in second_reading.DOES:
            second_reading.do(self, name)
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
            self.region_offer.setVisible(self.regions.on_slide)
            self.message.note("A layer of the review was deleted, so it was saved and closed; press 2 Review to go on.")


def _close_all(open_: list[ReviewSession], *_: Any) -> None:
    """The window is gone: what was open is given free; the journal has everything already."""
    for session in open_:
        session.review.close(discard=True)
    open_.clear()
