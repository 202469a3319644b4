"""Drawing what came in, a few times a second and only where it is on screen."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.slide_results import SlideLayers

PAUSE = 250
"""Milliseconds at least between two drawings."""

SHARE = 4
"""Drawing takes at most one part in so many of the window's time."""


class Drawing(QObject):
    """Collects what changed on disk and draws it when it is time.

    Parameters
    ----------
    view : callable
        What is on screen, in pixels of the slide; None where that can't be told.
    parent : QObject
    """

    def __init__(self, view: Callable[[], Box | None], parent: QObject) -> None:
        super().__init__(parent)
        self._view = view
        self._layers: SlideLayers | None = None
        self._changed: Box | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self.now)

    def soon(self, layers: SlideLayers, box: Box) -> None:
        """Something changed; the first change after a pause is drawn at once.

        Parameters
        ----------
        layers : SlideLayers
        box : Box
            In pixels of the slide.
        """
        if layers is not self._layers:
            self._layers, self._changed = layers, None
        self._changed = box if self._changed is None else self._changed.union(box)
        if not self._timer.isActive():
            self.now()

    def now(self) -> None:
        """Draw what is waiting, if any."""
        layers, changed, self._changed = self._layers, self._changed, None
        if layers is None or changed is None or layers.source is None:
            return
        began = time.monotonic()
        layers.refresh(changed, self._view())
        self._timer.start(max(PAUSE, round(1000 * SHARE * (time.monotonic() - began))))

    def all(self, layers: SlideLayers) -> None:
        """Draw everything now: nothing more comes in."""
        self.forget()
        if layers.source is not None:
            layers.refresh()

    def forget(self) -> None:
        """Nothing is left to draw."""
        self._timer.stop()
        self._layers = self._changed = None
