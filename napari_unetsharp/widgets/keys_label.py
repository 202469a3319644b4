"""Says in the status line whether the keys are Review's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QLabel

from napari_unetsharp.widgets.keys import KeyFilter

if TYPE_CHECKING:
    from napari import Viewer


class KeysLabel:
    """A label at the right of napari's status line.

    Parameters
    ----------
    viewer : napari.Viewer
    keys : KeyFilter
    """

    def __init__(self, viewer: Viewer, keys: KeyFilter) -> None:
        self._viewer, self._keys = viewer, keys
        self.label = QLabel()
        self.label.hide()
        viewer.window._qt_window.statusBar().addPermanentWidget(self.label)
        viewer.layers.selection.events.active.connect(self.refresh)

    def show(self) -> None:
        """Review is on."""
        self.label.show()
        self.refresh()

    def hide(self) -> None:
        """Review is off."""
        self.label.hide()

    def refresh(self, event: Any = None) -> None:
        """Another layer is active."""
        listening = self._keys.listening()
        self.label.setText("keys: review ON" if listening else "keys: review off on your own shapes and points")

    def remove(self) -> None:
        """Take it out of the window."""
        self._viewer.layers.selection.events.active.disconnect(self.refresh)
        self._viewer.window._qt_window.statusBar().removeWidget(self.label)
        self.label.deleteLater()
