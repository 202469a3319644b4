"""napari's layer list and controls, out of the way in Review and back afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from qtpy.QtWidgets import QDockWidget

if TYPE_CHECKING:
    from napari import Viewer

LARGE = (1600, 1000)
"""Windows of this size and more keep the column."""


class LeftColumn:
    """Hides the two docks on the left and brings them back as they were.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = ref(viewer)
        self._hidden: list[QDockWidget] = []

    @property
    def _docks(self) -> list[QDockWidget]:
        viewer = self._viewer()
        if viewer is None:
            return []
        qt_viewer = viewer.window._qt_viewer
        return [qt_viewer.dockLayerControls, qt_viewer.dockLayerList]

    @property
    def shown(self) -> bool:
        """Whether it is there."""
        return any(not dock.isHidden() for dock in self._docks)

    def hide(self) -> None:
        """Hide what is shown, unless the window is large."""
        viewer = self._viewer()
        if viewer is None:
            return
        size = viewer.window._qt_window.size()
        if size.width() >= LARGE[0] and size.height() >= LARGE[1]:
            return
        self.hide_anyway()

    def hide_anyway(self) -> None:
        """Hide what is shown."""
        for dock in self._docks:
            if not dock.isHidden():
                dock.hide()
                if dock not in self._hidden:
                    self._hidden.append(dock)

    def restore(self) -> None:
        """Bring back what we hid."""
        for dock in self._hidden:
            dock.show()
        self._hidden.clear()

    def toggle(self) -> None:
        """Bring it back, or hide it again."""
        if self._hidden:
            self.restore()
        else:
            self.hide_anyway()
