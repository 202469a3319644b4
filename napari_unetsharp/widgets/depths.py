"""Other depths and views in Review: beneath the outlines, flickering, or side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.eight_views import EightViews
from napari_unetsharp.widgets.layers import ResultLayers
from napari_unetsharp.widgets.review_canvas import ReviewCanvas

if TYPE_CHECKING:
    from napari import Viewer

FLICKER = 350
"""Milliseconds between the two pictures of a flicker."""

NOT_RUN = "The network was not run on this image here: press 1 Find first."


class DepthsShown(QObject):
    """Switches the result layers of *Find* while a review is open.

    Parameters
    ----------
    viewer : napari.Viewer
    canvas : ReviewCanvas
    found : ResultLayers or None
    """

    def __init__(self, viewer: Viewer, canvas: ReviewCanvas, found: ResultLayers | None) -> None:
        super().__init__()
        self._viewer, self._canvas, self.found = viewer, canvas, found
        self.depth = 0
        self._timer = QTimer(self)
        self._timer.setInterval(FLICKER)
        self._timer.timeout.connect(self._flick)
        self._views = EightViews(viewer, canvas)

    def _levels(self) -> list[int]:
        if self.found is None:
            return []
        self.found.drop_removed()
        return sorted(int(key[1:]) for key in self.found.layers if key.startswith("L"))

    def step(self, by: int) -> str:
        """Show the nuclei of the next depth beneath the outlines; beyond the last one, of none.

        Parameters
        ----------
        by : int
            -1 for shallower, 1 for deeper.

        Returns
        -------
        str
            What is shown, a sentence.
        """
        levels = self._levels()
        if not levels or self.found is None:
            return NOT_RUN
        stops = [0, *reversed(levels)]  # none, fullest, ... fastest
        place = stops.index(self.depth) if self.depth in stops else 0
        self.depth = stops[(place - by) % len(stops)]
        self.found.show_only_level(self.depth)
        if not self.depth:
            return "Only the corrected nuclei are shown."
        return f"Depth {self.depth} is drawn beneath, in many colours; , and . go down and up."

    def toggle_view(self, node: str) -> str:
        """Show the map of one view alone, or hide it."""
        if self.found is None or node not in self.found.layers:
            return NOT_RUN
        shown = self.found.layers[node].visible
        for key, layer in self.found.layers.items():
            if key in BRANCHES:
                layer.visible = key == node and not shown
        return "" if shown else f"What view {_short(node)} ({node}) sees is shown in green."

    def visible_views(self) -> set[str]:
        """Nodes whose maps are visible."""
        if self.found is None:
            return set()
        return {key for key, layer in self.found.layers.items() if key in BRANCHES and layer.visible}

    def flicker(self, on: bool) -> str:
        """Swap the corrected nuclei and those of a depth until the key is let go."""
        levels = self._levels()
        if not levels or self.found is None:
            return NOT_RUN if on else ""
        if on:
            self._timer.start()
            self._flick()
            return f"Corrected nuclei and depth {self.depth or max(levels)}, in turn."
        self._timer.stop()
        self._canvas.states.visible = True
        self.found.show_only_level(self.depth)
        return ""

    def _flick(self) -> None:
        if self.found is None:
            return
        corrected = not self._canvas.states.visible
        self._canvas.states.visible = corrected
        self.found.show_only_level(0 if corrected else self.depth or max(self._levels()))

    def grid(self) -> str:
        """All views of this place side by side; the second time, back to one picture."""
        if self._views.shown:
            self.end_grid()
            return ""
        if not self._views.nodes:
            return NOT_RUN
        self._canvas.overlay.set_visible(False)
        self._views.show()
        return "All views of this place: four depths, then coarse to coarser. J: back."

    def end_grid(self) -> None:
        """One picture again."""
        if self._views.shown:
            self._views.hide()
            self._canvas.overlay.set_visible(True)

    def pause(self) -> None:
        """Stop everything."""
        self._timer.stop()
        self.end_grid()

    def close(self) -> None:
        """Stop, and take away what was added."""
        self.pause()
        self._views.close()


def _short(node: str) -> str:
    return BRANCHES[node].title.split(" · ")[0]
