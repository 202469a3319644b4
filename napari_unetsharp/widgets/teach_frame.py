"""What all parts of stage *Teach* share: its widgets, what it knows, and which of them are on screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ref

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.training.teacher import Teacher
from napari_unetsharp.training.tune_settings import TuneSettings
from napari_unetsharp.widgets.fold import Fold
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.teach_history import History
from napari_unetsharp.widgets.teach_keep import Keeping, NextImage
from napari_unetsharp.widgets.teach_live import LivePanel
from napari_unetsharp.widgets.teach_reading import SampleReader
from napari_unetsharp.widgets.teach_setup import SetupPanel
from napari_unetsharp.widgets.teach_tissue import Load, Tissue
from napari_unetsharp.widgets.teach_verdict import LeftoverPanel, VerdictPanel

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.cases import CaseBar
    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage


class TeachFrame(QWidget):
    """Samples, the button, what is seen meanwhile, the verdict, versions.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
    review : ReviewStage
    cases : CaseBar

    Attributes
    ----------
    candidate : Path or None
        What was learned and nobody has kept or discarded yet.

    Signals
    -------
    gathered()
        Samples were read because somebody pressed *Teach*.
    discarded()
        The candidate is gone.
    """

    gathered = Signal()
    discarded = Signal()

    setup: SetupPanel
    button: QPushButton
    message: Message
    live: LivePanel
    verdict: VerdictPanel
    next_button: QPushButton
    left: LeftoverPanel
    history: History
    versions: Fold
    reader: SampleReader
    tissue: Tissue
    keeping: Keeping
    next_image: NextImage

    def __init__(self, viewer: Viewer, find: FindStage, review: ReviewStage, cases: CaseBar) -> None:
        super().__init__()
        self._viewer, self.find, self.review, self.cases = ref(viewer), find, review, cases
        self.active = False
        self.candidate: Path | None = None
        self._parent: Load | None = None
        self._settings: TuneSettings | None = None
        self._wished = self._next_wished = False
        self._changed = ""
        self._removed: set[str] = set()
        self._holder: list[Teacher] = []

    @property
    def teaching(self) -> bool:
        """Whether a model is learning."""
        return bool(self._holder) and self._holder[0].running

    def _measure(self) -> None:
        if not self.active or self._holder or self.candidate is not None or self.keeping.running:
            return
        try:
            self.setup.speeds.measure(self.setup.settings())
        except UNetSharpError as error:
            self.message.problem(str(error))

    def _end_teacher(self) -> None:
        while self._holder:
            self._holder.pop().close()

    def _refresh_button(self) -> None:
        weighed = self.reader.weighed
        self.button.setText("Stop" if self.teaching else "Teach")
        ready = weighed is not None and not weighed.missing
        self.button.setEnabled(self.teaching or (ready and not self._wished))
        self.button.setToolTip(
            "End now; the best so far is kept" if self.teaching else "Learn from the samples; the window stays alive"
        )

    def _show(self, panel: str) -> None:
        self.setup.setVisible(panel in {"setup", "kept"})
        self.button.setVisible(panel in {"setup", "live", "kept"})
        self.live.setVisible(panel == "live")
        self.verdict.setVisible(panel == "verdict")
        self.next_button.setVisible(panel == "kept" and bool(self.next_image.waiting()))
        self._refresh_button()
