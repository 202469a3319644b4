"""Cases: a folder of images as a worklist, one open at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ref

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.label_files import masks_beside
from napari_unetsharp.nuclei.places import SUFFIX
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.find import FindStage
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.reader import opens_as_one
from napari_unetsharp.widgets.removal import remove_layer, removing_many
from napari_unetsharp.widgets.review import ReviewStage
from napari_unetsharp.widgets.review_source import path_of
from napari_unetsharp.widgets.slide_find_place import is_run
from napari_unetsharp.widgets.slide_region_bar import RegionBar
from napari_unetsharp.widgets.slide_region_layer import region_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image as ImageLayer

ENDINGS = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".dcm", ".dicom", ".ima"})

NOTE = "case.json"
"""Beside the journal: how far a case is, so that a folder needn't read every journal."""


class CaseState(StrEnum):
    """Where a case stands."""

    NEW = "new"
    FOUND = "found"
    IN_REVIEW = "in review"
    DONE = "done"


@dataclass(frozen=True)
class Case:
    """An image of a folder."""

    path: Path

    @property
    def folder(self) -> Path:
        """Where its review lies, if it could be written beside the image."""
        return self.path.with_name(self.path.name + SUFFIX)

    @property
    def state(self) -> CaseState:
        """By what is on disk."""
        try:
            noted = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
            return CaseState(noted["state"])
        except (OSError, ValueError, KeyError, TypeError):
            return CaseState.IN_REVIEW if (self.folder / JOURNAL).exists() else CaseState.NEW


def list_cases(folder: Path) -> list[Case]:
    """Images of a folder, by name; what lies in folders below is left out, and so are masks beside their images.

    Raises
    ------
    SettingsError
        If there is no image.
    """
    paths = [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file()]
    paths = [path for path in paths if not path.name.startswith(".")]
    masks = {mask for path in paths for mask in masks_beside(path)}
    cases = [Case(path) for path in sorted(paths, key=lambda path: path.name.lower()) if path not in masks]
    if not cases:
        raise SettingsError(f"there is no picture in {folder}; choose a folder with TIFF, PNG, JPEG or DICOM files")
    return cases


def state_of(counts: dict[State, int]) -> CaseState:
    """From the states of the nuclei."""
    total, left = sum(counts.values()), counts[State.TO_DO]
    if left == total:
        return CaseState.FOUND
    return CaseState.IN_REVIEW if left else CaseState.DONE


class CaseBar(QWidget):
    """Which case is open, and the way to the previous and the next.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
    review : ReviewStage

    Signals
    -------
    review_wished(), find_wished()
        The case that was opened has a review, or has none.
    """

    review_wished = Signal()
    find_wished = Signal()

    def __init__(self, viewer: Viewer, find: FindStage, review: ReviewStage) -> None:
        super().__init__()
        self._viewer, self.find, self.review = ref(viewer), find, review
        self.cases: list[Case] = []
        self.place = 0
        self.previous_button = button("◀", "Save and open the previous image", lambda: self.step(-1))
        self.next_button = button("▶", "Save and open the next image", lambda: self.step(1))
        self.folder_button = button("Folder…", "Work through a folder of images", self._ask_for_folder)
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        for made in (self.previous_button, self.next_button):
            made.setFixedWidth(28)
        self.region_bar = RegionBar(review)
        layout = QHBoxLayout()
        layout.setContentsMargins(4, 2, 4, 0)
        layout.setSpacing(4)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(layout)
        whole.addWidget(self.region_bar)
        for widget in (self.previous_button, self.title, self.folder_button, self.next_button):
            layout.addWidget(widget, stretch=int(widget is self.title))
        self.folder_button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        find.form.image.changed.connect(self.refresh)
        self.refresh()

    def _ask_for_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Work through a folder of images")
        if path:
            self.open_folder(path)

    def open_folder(self, folder: str) -> None:
        """Take a folder as worklist and open its first case that isn't done.

        Parameters
        ----------
        folder : str
        """
        if is_run(Path(folder)) or opens_as_one(folder):  # results of a slide, an OME-Zarr, a DICOM slide or series
            self.find.open_image(folder)
            return
        try:
            cases = list_cases(Path(folder))
        except (SettingsError, OSError) as error:
            self.find.message.problem(str(error))
            return
        self.cases = cases
        self.open_case(next((place for place, case in enumerate(cases) if case.state is not CaseState.DONE), 0))

    def step(self, by: int) -> None:
        """Save what is open and open a neighbour."""
        if self.cases and 0 <= self.place + by < len(self.cases):
            self.open_case(self.place + by)

    def open_case(self, place: int) -> None:
        """Save and close what is open, its layers with it, and open a case.

        Parameters
        ----------
        place : int
            In `cases`.
        """
        viewer = self._viewer()
        if viewer is None:
            return
        with removing_many(viewer):
            if not self._close_open():
                return
        self.place = place
        case = self.cases[place]
        self.find.open_image(str(case.path))
        self.refresh()
        if case.state is CaseState.NEW:
            self.find_wished.emit()
            return
        self.review_wished.emit()
        if self.review.desk is None:
            self.review.go_on()

    def _close_open(self) -> bool:
        """Whether what was open could be saved and closed."""
        self.note_state()
        if not self.review.regions.close(self.review) or not self.review.close_review():
            return False
        viewer, layer = self._viewer(), self.find.layer
        if viewer is None or layer is None or not any(case.path == path_of(layer) for case in self.cases):
            return True
        found = self.find.results.get(layer)
        if found is not None:
            found.remove_all()
        remove_layer(viewer, layer)
        return True

    def note_state(self) -> None:
        """Write down how far the open case is."""
        session = self.review.reviewed
        if session is None or session.review.read_only:
            return
        layer = self.find.layer
        path = None if layer is None else path_of(layer)
        if path is None:
            return
        counts = session.queue.counts()
        folder = Case(path).folder
        body = {"state": state_of(counts).value, "nuclei": {state.value: count for state, count in counts.items()}}
        if folder.is_dir():
            (folder / NOTE).write_text(json.dumps(body, indent=1), encoding="utf-8")

    def refresh(self, event: object = None) -> None:
        """Show which case is open."""
        layer: ImageLayer | None = self.find.layer
        region = region_of(layer)
        path = Path(region.path) if region is not None else None if layer is None else path_of(layer)
        known = [place for place, case in enumerate(self.cases) if path is not None and case.path == path]
        if known:
            self.place = known[0]
        many = bool(known)
        for made in (self.previous_button, self.next_button):
            made.setVisible(bool(self.cases))
        self.previous_button.setEnabled(many and self.place > 0)
        self.next_button.setEnabled(many and self.place + 1 < len(self.cases))
        if layer is None:
            self.title.setText("no image")
        elif many:
            state = self.cases[self.place].state
            self.title.setText(f"{layer.name} <b>{self.place + 1} of {len(self.cases)}</b> · {state}")
        else:
            self.title.setText(layer.name)
        self.title.setToolTip(str(path or ""))
