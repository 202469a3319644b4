"""What is drawn over the tissue in screen pixels: the current outline, its brackets, crosses and question marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours
from vispy.scene.visuals import Line, Markers, Text  # type: ignore[import-untyped]

from napari_unetsharp.nuclei.pixels import Box

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

CURRENT, CASING, PREVIEW = "#F0E442", "#000000", "#FFFFFF"
NO = "#D55E00"
ON_TOP = 10_000
WIDTH = 2.5
"""Of lines, in screen pixels, without their black casing."""

Points = NDArray[np.float64]


def smooth_outlines(mask: NDArray[np.bool_], box: Box, most: int = 6) -> list[Points]:
    """Closed smooth paths around the pieces of a mask and their holes, longest first.

    The mask is blurred by less than a pixel before the contour at one half is taken: stairs go, and the
    path stays within a pixel of the edge.

    Parameters
    ----------
    mask : array of bool, (Y, X) of the box
    box : Box
    most : int

    Returns
    -------
    list of array, (n, 2)
        (row, column) in pixels.
    """
    framed = np.pad(mask.astype(np.float32), 3)
    blurred = ndimage.gaussian_filter(framed, 0.8)
    contours = find_contours(blurred, 0.5) or find_contours(framed, 0.5)
    shift = np.array([box.top - 3, box.left - 3])
    return [contour + shift for contour in sorted(contours, key=len, reverse=True)[:most]]


def brackets(box: Box, margin: float) -> list[Points]:
    """Four corners around a box, each a path of three points."""
    top, left, bottom, right = box.top - margin, box.left - margin, box.bottom - 1 + margin, box.right - 1 + margin
    arm = max(3.0, 0.25 * min(bottom - top, right - left))
    corners = ((top, left, 1, 1), (top, right, 1, -1), (bottom, left, -1, 1), (bottom, right, -1, -1))
    return [np.array([[y + down * arm, x], [y, x], [y, x + across * arm]]) for y, x, down, across in corners]


class _Path:
    """A line with a black casing."""

    def __init__(self, scene: Any, width: float, order: int) -> None:
        self._lines = [
            Line(np.zeros((2, 2), np.float32), color=colour, width=thick, method="agg", parent=scene)
            for colour, thick in ((CASING, width + 3.0), (CURRENT, width))
        ]
        for step, line in enumerate(self._lines):
            line.order = order + step
            line.visible = False

    def draw(self, points: Points, colour: str) -> None:
        """Show a path; points are (x, y) in the scene."""
        for line, tint in zip(self._lines, (CASING, colour), strict=True):
            line.set_data(points.astype(np.float32), color=tint)
            line.visible = True

    def hide(self) -> None:
        for line in self._lines:
            line.visible = False

    def remove(self) -> None:
        for line in self._lines:
            line.parent = None


class Overlay:
    """Paths and marks over one layer, drawn in screen pixels whatever the zoom.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : Layer
        Gives the place of its pixels on the canvas.

    Attributes
    ----------
    scene : vispy node
        What is drawn hangs on it.
    """

    def __init__(self, viewer: Viewer, layer: Layer) -> None:
        self._viewer, self._layer = viewer, layer
        self.scene = viewer.window._qt_viewer.canvas.view.scene
        self._outlines = [_Path(self.scene, WIDTH, ON_TOP) for _ in range(6)]
        self._brackets = [_Path(self.scene, WIDTH, ON_TOP) for _ in range(4)]
        self._gesture = _Path(self.scene, WIDTH, ON_TOP + 10)
        self._region = _Path(self.scene, 1.0, ON_TOP - 6)
        self._region_drawn: Sequence[Sequence[float]] = []
        self._crosses = Markers(parent=self.scene)
        self._crosses.order = ON_TOP - 2
        self._asks = Text("", parent=self.scene, color="white", bold=True, font_size=14)
        self._asks.order = ON_TOP - 1
        self._crosses.visible = self._asks.visible = False
        self._shown = True
        self._drawn: tuple[list[Points], Box | None, str] = ([], None, CURRENT)

    def to_scene(self, points: Sequence[Sequence[float]] | Points) -> Points:
        """From (row, column) of the layer to (x, y) of the scene."""
        origin, down, across = self._frame()
        at = np.asarray(points, float).reshape(-1, 2)
        world = origin + at[:, :1] * (down - origin) + at[:, 1:] * (across - origin)
        shown = list(self._viewer.dims.displayed)[-2:]
        return np.asarray(world[:, shown][:, ::-1], np.float64)

    def _frame(self) -> tuple[Points, Points, Points]:
        zeros = [0.0] * (self._layer.ndim - 2)
        corners = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
        extra = self._viewer.dims.ndim - self._layer.ndim
        worlds = [[0.0] * extra + list(self._layer.data_to_world([*zeros, *corner])) for corner in corners]
        return tuple(np.asarray(world, float) for world in worlds)  # type: ignore[return-value]

    def show_current(self, outlines: list[Points], box: Box | None, colour: str = CURRENT) -> None:
        """Draw the current nucleus.

        Parameters
        ----------
        outlines : list of array, (n, 2)
            (row, column) paths; none to hide them.
        box : Box or None
            Where the brackets go; None hides them.
        colour : str, optional
        """
        self._drawn = (outlines, box, colour)
        if not self._shown:
            return
        for number, path in enumerate(self._outlines):
            if number < len(outlines):
                path.draw(self.to_scene(outlines[number]), colour)
            else:
                path.hide()
        corners = brackets(box, max(3.0, 0.35 * max(box.shape))) if box is not None and box.area else []
        for number, path in enumerate(self._brackets):
            if number < len(corners):
                path.draw(self.to_scene(corners[number]), colour)
            else:
                path.hide()

    def show_marks(self, crosses: Sequence[Sequence[float]], asks: Sequence[Sequence[float]]) -> None:
        """Put an x on nuclei that are none and a question mark where nobody can tell; (row, column) each."""
        self._crosses.visible = bool(len(crosses)) and self._shown
        if len(crosses):
            points = self.to_scene(crosses)
            self._crosses.set_data(points, symbol="x", size=17, face_color=NO, edge_color="black", edge_width=1.2)
        self._asks.visible = bool(len(asks)) and self._shown
        if len(asks):
            self._asks.text = ["?"] * len(asks)
            self._asks.pos = self.to_scene(asks)
        self._has_marks = (bool(len(crosses)), bool(len(asks)))

    def show_gesture(self, points: Sequence[Sequence[float]]) -> None:
        """Draw the line that the person drags; fewer than two points hide it."""
        if len(points) < 2:
            self._gesture.hide()
        else:
            self._gesture.draw(self.to_scene(points), PREVIEW)

    def show_region(self, points: Sequence[Sequence[float]]) -> None:
        """Draw around the region that the queue serves from; fewer than three points hide it."""
        self._region_drawn = points
        if len(points) < 3 or not self._shown:
            self._region.hide()
            return
        ring = self.to_scene([*points, points[0]])
        apart = np.abs(np.diff(ring, axis=0)).max(axis=1) > 0  # a step of no length ends the line
        self._region.draw(ring[np.append(True, apart)], PREVIEW)

    def set_visible(self, visible: bool) -> None:
        """Hide everything for a while, or show it again."""
        self._shown = visible
        crosses, asks = getattr(self, "_has_marks", (False, False))
        self._crosses.visible, self._asks.visible = visible and crosses, visible and asks
        if visible:
            self.show_current(*self._drawn)
            self.show_region(self._region_drawn)
        else:
            for path in (*self._outlines, *self._brackets, self._gesture, self._region):
                path.hide()

    def remove(self) -> None:
        """Take everything off the canvas."""
        for path in (*self._outlines, *self._brackets, self._gesture, self._region):
            path.remove()
        self._crosses.parent = self._asks.parent = None
