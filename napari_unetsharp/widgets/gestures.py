"""Clicks and drags on the canvas: select, split along a line, lasso, brush; what they mean depends on the tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

SELECT, SPLIT, JOIN, BRUSH, LASSO = "select", "split", "join", "brush", "lasso"

STILL = 4.0
"""Screen pixels that the pointer may move in a click."""

Place = tuple[float, float]


class Gestures:
    """Hears the mouse on the canvas while Review is on.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : Layer
        Whose pixels points are given in.
    clicked : callable
        Gets (row, column) and the modifiers.
    dragged : callable
        Gets the points of a line or lasso when the button is let go.
    drawing : callable
        Gets the points so far.
    own : callable
        Tells whether a layer is one of ours.

    Attributes
    ----------
    tool : str
    """

    def __init__(
        self,
        viewer: Viewer,
        layer: Layer,
        clicked: Callable[[Place, frozenset[str]], None],
        dragged: Callable[[list[Place]], None],
        drawing: Callable[[list[Place]], None],
        own: Callable[[Any], bool],
    ) -> None:
        self._viewer, self._layer = viewer, layer
        self._clicked, self._dragged, self._drawing, self._own = clicked, dragged, drawing, own
        self.tool = SELECT
        self._on = False
        self._zooms: list[Callable[..., Any]] = []

    def turn(self, on: bool) -> None:
        """Listen, or stop listening."""
        callbacks, doubles = self._viewer.mouse_drag_callbacks, self._viewer.mouse_double_click_callbacks
        if on and not self._on:
            callbacks.append(self._on_press)
            # two quick clicks on what is wrong must not zoom
            self._zooms = [callback for callback in doubles if callback.__name__ == "double_click_to_zoom"]
            for callback in self._zooms:
                doubles.remove(callback)
        elif not on and self._on:
            callbacks.remove(self._on_press)
            doubles.extend(self._zooms)
        self._on = on
        if not on:
            self.take(SELECT)

    def take(self, tool: str) -> None:
        """Take another tool; with those that drag, the picture stands still."""
        self.tool = tool
        active = self._viewer.layers.selection.active
        moves = tool not in {SPLIT, LASSO} and (active is None or active.mouse_pan)
        self._viewer.scene.camera.mouse_pan = moves

    def place(self, world: Any) -> Place:
        """From a point of the world to (row, column) of the layer."""
        row, column = np.asarray(self._layer.world_to_data(world))[-2:]
        return float(row), float(column)

    def pointer(self) -> Place:
        """Where the pointer is."""
        return self.place(self._viewer.cursor.position)

    def _ours(self) -> bool:
        """Whether the active layer leaves the mouse to us."""
        active = self._viewer.layers.selection.active
        if isinstance(active, Shapes | Points) and not self._own(active):
            return False
        if isinstance(active, Labels):
            return str(active.mode) in {"pan_zoom", "Mode.PAN_ZOOM"}
        return True

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or self.tool == BRUSH or not self._ours():
            return
        modifiers = frozenset(name for name in ("Control", "Shift") if name in event.modifiers)
        points, first = [self.place(event.position)], np.asarray(event.pos, float)
        farthest, drags = 0.0, self.tool in {SPLIT, LASSO}
        yield
        while event.type == "mouse_move":
            farthest = max(farthest, float(np.abs(np.asarray(event.pos, float) - first).max()))
            if drags:
                points.append(self.place(event.position))
                self._drawing(points)
            yield
        if drags and farthest > STILL:
            self._drawing([])
            self._dragged(points)
        elif farthest <= STILL:
            self._clicked(points[0], modifiers)
