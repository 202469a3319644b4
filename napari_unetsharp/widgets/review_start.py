"""What a review starts from: nuclei that were found, labels, a file, or the review that is on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unetsharp.errors import ReviewError, UNetSharpError
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.store import set_aside
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.preparing import Preparation
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.review_panel import StartPanel
from napari_unetsharp.widgets.review_source import Subject, check_fits, labels_from_file, without_labels

MASKS = "Masks and outlines (*.tif *.tiff *.png *.npy *.geojson *.json);;All (*)"


class ReviewStart(QWidget):
    """The half of the stage that asks and prepares.

    Attributes
    ----------
    start_panel : StartPanel
    message : Message
    preparation : Preparation
    wished_mask : str
        File that the next review is to start from; empty for none.
    """

    start_panel: StartPanel
    message: Message
    preparation: Preparation
    wished_mask: str
    _subject: Subject | None
    _points: dict[str, Material]

    def _show(self, panel: str | None) -> None:
        raise NotImplementedError

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
        if self.wished_mask:
            path, self.wished_mask = self.wished_mask, ""
            self.start_from_file(path)
        elif any(material.level for material in self._points.values()):
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
        self.wished_mask = ""  # what is on disk was chosen instead
        folder, identity = self._subject.folder, self._subject.identity
        network = next((material for material in self._points.values() if material.level), None)
        opening = partial(Review.open, folder, identity, take_over=take_over, salvage=salvage)
        self._prepare(opening, network or without_labels(self._subject), "Opening the review…")

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
        folder, identity = self._subject.folder, self._subject.identity
        starting = partial(Review.start, folder, identity, material.labels, model=material.model, **material.known)
        self._prepare(starting, material, "Ordering the nuclei by doubt…" if material.level else "Opening the review…")

    def _prepare(self, make: Callable[[], Review], material: Material, text: str) -> None:
        """Large planes take seconds: a thread does it, and the window stays alive."""
        self._show(None)
        self.message.note(text)
        self.preparation.start(make, material)

    def _not_prepared(self, error: Exception) -> None:
        self._show("start")
        known = isinstance(error, UNetSharpError)
        text = str(error) if known else f"The review can't be opened ({type(error).__name__}: {error})."
        self.message.problem(text)
        if "salvaged" in text:
            self._ask_about(text, go_on=False)
            self.start_panel.salvage_button.show()
