"""The widgets of stage *Compare*, how they are laid out, and what each of them calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.widgets.compare_canvas import CompareCanvas
from napari_unetsharp.widgets.compare_choice import ChoicePanel
from napari_unetsharp.widgets.compare_difference import Legend
from napari_unetsharp.widgets.compare_hand import HandOver
from napari_unetsharp.widgets.compare_keys import CompareKeys
from napari_unetsharp.widgets.compare_panes import MODES
from napari_unetsharp.widgets.compare_pass import ComparePass
from napari_unetsharp.widgets.compare_prepared import Prepared
from napari_unetsharp.widgets.compare_results import ResultsPanel
from napari_unetsharp.widgets.compare_sources import Sources
from napari_unetsharp.widgets.compare_steps import Steps
from napari_unetsharp.widgets.compare_views import ViewChooser
from napari_unetsharp.widgets.fold import Fold
from napari_unetsharp.widgets.left_column import LeftColumn
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.preferences import review_keys
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.review_canvas import is_ours

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage

_TIPS = {
    "side by side": "A pane for each, with the tissue under it and one camera for all",
    "swipe": "A left of a line, B right of it; drag the line",
    "difference": "Where A and B differ, in colours",
    "flicker": "A and B in turn (hold K for as long as you like)",
}

HINT = "Hold K: flicker · Q: image only · H: filled · , and .: depth of B"


class CompareFrame(QWidget):
    """Everything that is on screen, without what it does.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
    review : ReviewStage

    Attributes
    ----------
    active : bool
        The stage is on screen.
    sources : Sources
        What can be compared.
    prepared : Prepared
        Nuclei and differences that were made.
    canvas : CompareCanvas
        What is drawn.

    Signals
    -------
    find_wished(), review_wished()
        The person wants to go there.
    """

    find_wished = Signal()
    review_wished = Signal()

    def __init__(self, viewer: Viewer, find: FindStage, review: ReviewStage) -> None:
        super().__init__()
        self._viewer, self.find, self.review = ref(viewer), find, review
        self.active = False
        self.sources = Sources(viewer, find, review)
        self.prepared = Prepared(self)
        self.canvas = CompareCanvas(viewer, self)
        self.hand_over = HandOver(review, self)
        self.left_column = LeftColumn(viewer)
        self._keys: CompareKeys | None = None
        self._build(viewer)
        self._lay_out()

    @property
    def viewer(self) -> Viewer:
        """The window's viewer; the dock doesn't keep it alive."""
        viewer = self._viewer()
        if viewer is None:
            raise SettingsError("the window was closed")
        return viewer

    def give_focus(self) -> None:
        """The keyboard belongs to the picture."""
        self.viewer.window._qt_viewer.canvas.native.setFocus()

    def _listen(self, on: bool) -> None:
        """Hear our keys, or leave all of them to napari."""
        if on and self._keys is None:
            self._keys = CompareKeys(self.viewer, self._act, is_ours, self, review_keys())
            self._keys.turn(True)
        elif not on and self._keys is not None:
            self._keys.remove()  # it holds the window
            self._keys = None

    def _act(self, name: str, begins: bool) -> None:
        """Do what a key stands for."""
        raise NotImplementedError

    def _set_mode(self, mode: str) -> None:
        raise NotImplementedError

    def _build(self, viewer: Viewer) -> None:
        self.empty = QLabel()
        self.empty.setWordWrap(True)
        self.find_button = button("Go to Find", "Find the nuclei of this image first", self.find_wished.emit)
        self.choice = ChoicePanel()
        self.computing = ComparePass(viewer, self.find, self.sources)
        self.modes = {
            mode: button(mode[0].upper() + mode[1:], _TIPS[mode], partial(self._set_mode, mode), checkable=True)
            for mode in MODES
        }
        self.legend, self.steps = Legend(), Steps()
        self.views = ViewChooser()
        self.network = Fold("The eight views", "The network, and which of its views A and B show", self.views)
        self.layers: QPushButton = button(
            "Layers", "Show napari's layer list, or hide it again", self._toggle_layers, checkable=True
        )
        self.filled = button(
            "Filled", "Nuclei tinted inside, or edges alone (H)", lambda: self._act("filled", True), True
        )
        self.hint = QLabel(HINT)
        self.hint.setWordWrap(True)
        self.hint.setStyleSheet("QLabel { font-size: 11px; }")
        self.results = ResultsPanel()
        self.message = Message()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(6)
        self.work = QWidget()
        inside = QVBoxLayout(self.work)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(6)
        for widget in (
            self.choice, self.computing, _row(*self.modes.values(), spacing=3), self.legend, self.steps,
            _row(self.filled, self.layers, spacing=3), self.hint, self.network, self.results,
        ):  # fmt: skip
            inside.addWidget(widget)
        for widget in (self.empty, self.find_button, self.work, self.message):
            layout.addWidget(widget)
        layout.addStretch(1)

    def _toggle_layers(self) -> None:
        self.left_column.toggle()
        self.layers.setChecked(self.left_column.shown)

    def _offer_nothing(self, text: str, find: bool) -> None:
        """Say what is needed before anything can be compared."""
        self.empty.setText(text)
        self.empty.setVisible(bool(text))
        self.find_button.setVisible(bool(text) and find)
        self.work.setVisible(not text)


def _row(*widgets: QWidget, spacing: int = 4) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        layout.addWidget(widget)
    return row
