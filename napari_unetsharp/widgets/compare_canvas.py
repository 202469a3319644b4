"""What stage *Compare* puts on the canvas: panes, names, swipe, flicker, and the way to a difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.comparison.difference import Differing, Kind
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.compare_colours import PANE_COLOURS
from napari_unetsharp.widgets.compare_drawn import Compared, Drawn
from napari_unetsharp.widgets.compare_marks import CanvasMarks, Title
from napari_unetsharp.widgets.compare_panes import DIFFERENCE, FLICKER, SIDE, SWIPE, Panes
from napari_unetsharp.widgets.compare_sources import Plane
from napari_unetsharp.widgets.compare_swipe import Swipe
from napari_unetsharp.widgets.depths import FLICKER as PERIOD

if TYPE_CHECKING:
    from napari import Viewer

ON_SCREEN = 70.0
"""Screen pixels that a typical nucleus takes at least, when a difference is gone to."""


class CompareCanvas(QObject):
    """Draws what is compared.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject

    Signals
    -------
    mode_changed(str)
        It was changed by a key.
    """

    mode_changed = Signal(str)

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = ref(viewer)
        self.panes = Panes(viewer)
        self.marks = CanvasMarks(viewer, self)
        self.swipe = Swipe(viewer, self)
        self._names: dict[str, str] = {}
        self._item: Differing | None = None
        self._diameter = 20.0
        self._alone = ""
        self._back_to = ""
        viewer.canvas.events.size.connect(self._resized)
        self._timer = QTimer(self)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._flick)

    @property
    def mode(self) -> str:
        """How A and B are seen."""
        return self.panes.mode

    def begin(self, plane: Plane, letters: str) -> None:
        """Put everything on the canvas."""
        self.panes.begin(plane, letters)
        self.marks.turn(True)
        self._start_mode()

    def end(self, camera_back: bool = True) -> None:
        """Take everything away."""
        self._stop_mode()
        self._back_to, self._item = "", None
        self.marks.turn(False)
        if camera_back:
            self.panes.end()
        else:
            self.panes.forget()

    def set_letters(self, letters: str) -> None:
        """Show more or fewer panes."""
        self._stop_mode()
        self.panes.set_letters(letters)
        self._start_mode()

    def set_mode(self, mode: str) -> None:
        """Side by side, swipe, difference or flicker."""
        if mode != self.mode:
            self._stop_mode()
            self.panes.set_mode(mode)
        self._start_mode()

    def hold_flicker(self, on: bool) -> None:
        """Flicker while a key is down."""
        if on and not self._back_to and self.mode != FLICKER:
            self._back_to = self.mode
            self.set_mode(FLICKER)
        elif not on and self._back_to:
            mode, self._back_to = self._back_to, ""
            self.set_mode(mode)

    def draw(self, drawn: Mapping[str, Drawn | None], names: Mapping[str, str]) -> None:
        """Show nuclei by letter; None where there are none yet.

        Parameters
        ----------
        drawn : mapping of str to Drawn or None
        names : mapping of str to str
            On screen.
        """
        self._names = {
            letter: names[letter] + ("" if nuclei is None else f" — {nuclei.count:,} nuclei")
            for letter, nuclei in drawn.items()
        }
        for letter, nuclei in drawn.items():
            self.panes.draw(letter, None if nuclei is None else nuclei.codes, names[letter])
        first = drawn.get("A")
        if first is not None:
            self._diameter = first.diameter or self._diameter
        self._say_names()

    def draw_difference(self, made: Compared | None, shown: frozenset[Kind]) -> None:
        """Show the difference of A and B."""
        self.panes.draw_difference(None if made is None else made.codes)
        self.panes.show_kinds(shown)

    def go_to(self, item: Differing | None) -> None:
        """Bring a difference into the middle of every pane and enclose it; None leaves everything where it is."""
        self._item = item
        layer = self.panes.labels.get("A")
        if item is None or layer is None:
            self.marks.enclose(None)
            return
        box = item.box
        room = 0.6 * self._smallest_side() / max(1, *box.shape)  # a large one is to fit
        self.panes.look_at(_middle(box), min(ON_SCREEN / max(1.0, self._diameter), room))
        self.marks.enclose(self._corners(box))

    def _smallest_side(self) -> float:
        viewer = self._viewer()
        if viewer is None:
            return 1.0
        height, width = viewer.canvas.size
        rows, columns = viewer.canvas.grid.shape if self.mode == SIDE else (1, 1)
        return min(height / max(1, rows), width / max(1, columns))

    def _corners(self, box: Box) -> np.ndarray:
        """Corners of a box, (x, y) in the scene."""
        layer, viewer = self.panes.labels["A"], self._viewer()
        shown = [-2, -1] if viewer is None else list(viewer.dims.displayed)[-2:]
        rows, columns = (box.top - 0.5, box.bottom - 0.5), (box.left - 0.5, box.right - 0.5)
        lead = [0.0] * ((2 if viewer is None else viewer.dims.ndim) - 2)
        worlds = [[*lead, *layer.data_to_world((row, column))] for row in rows for column in columns]
        return np.asarray(worlds, float)[:, shown][:, ::-1]

    def _resized(self, event: Any = None) -> None:
        self.panes.fit()
        self._say_names()

    # modes

    def _start_mode(self) -> None:
        if not self.panes.shown:
            return
        if self.mode == SWIPE and {"A", "B"} <= self.panes.labels.keys():
            self.swipe.begin(self.panes.labels["A"], self.panes.labels["B"])
        elif self.mode == FLICKER:
            self._alone = "B"
            self._flick()
            self._timer.start()
        self._say_names()
        if self._item is not None and self.panes.labels:
            self.marks.enclose(self._corners(self._item.box))
        self.mode_changed.emit(self.mode)

    def _stop_mode(self) -> None:
        self.swipe.end()
        self._timer.stop()
        self._alone = ""
        self.panes.show_alone("")

    def _flick(self) -> None:
        self._alone = "A" if self._alone == "B" else "B"
        self.panes.show_alone(self._alone)
        self._say_names()

    def _say_names(self) -> None:
        titles = {letter: (letter, name, PANE_COLOURS[letter]) for letter, name in self._names.items()}
        nothing: Title | None = None
        if self.mode == SIDE:
            self.marks.set_titles([(title, None) for title in titles.values()])
        elif self.mode == SWIPE:
            self.marks.set_titles([(titles.get("A"), titles.get("B"))])
        elif self.mode == FLICKER:
            self.marks.set_titles([(titles.get(self._alone), None)])
        elif self.mode == DIFFERENCE:
            self.marks.set_titles([(nothing, nothing)])


def _middle(box: Box) -> tuple[float, float]:
    return (box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2
