"""A stage of the dock: it is entered when it comes on screen, and left when it goes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QWidget


class Stage(QWidget):
    """Comes and goes with the dock, too.

    Attributes
    ----------
    active : bool
        It was entered and not left yet.
    """

    active: bool
    _viewer: Any

    def enter(self) -> None:
        """The stage is on screen."""
        raise NotImplementedError

    def leave(self) -> None:
        """Another stage is on screen, or the dock was closed."""
        raise NotImplementedError

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
