"""Up to four sets of nuclei on the canvas: side by side with the tissue under each, or on one picture.

Side by side is napari's grid mode: its cells share one camera, a copy of an image in each cell costs a texture and no
pixels, and everything is an ordinary layer. A second viewer beside the first one would need a canvas, a camera and
sliders of its own kept in step, and the same copies (measured: no quicker either).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unetsharp.comparison.difference import COLOURS, Kind
from napari_unetsharp.widgets.compare_colours import difference_colours, pane_colours
from napari_unetsharp.widgets.compare_copies import copy_of, placed_on, tissue_of
from napari_unetsharp.widgets.compare_sources import Plane
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.removal import remove_layer

if TYPE_CHECKING:
    from napari import Viewer

SIDE, SWIPE, DIFFERENCE, FLICKER = "side by side", "swipe", "difference", "flicker"
MODES = (SIDE, SWIPE, DIFFERENCE, FLICKER)

SHAPES = {2: ((1, 2), (2, 1)), 3: ((2, 2), (1, 3), (3, 1)), 4: ((2, 2), (1, 4), (4, 1))}
"""Rows and columns that so many panes can have."""

GAP = 4
"""Between the panes, in screen pixels."""


@dataclass
class _Before:
    """How the window was."""

    camera: tuple[float, tuple[float, ...]]
    grid: dict[str, Any]
    hidden: list[Layer]
    active: Layer | None


class Panes:
    """Our layers while stage *Compare* is on screen.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    plane : Plane or None
        None while nothing is shown.
    mode : str
        One of `MODES`.
    labels : dict of str to Labels
        By letter.
    changing : bool
        Layers come or go because of us.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = ref(viewer)
        self.plane: Plane | None = None
        self.mode = SIDE
        self.labels: dict[str, Labels] = {}
        self.changing = False
        self.filled = False
        self.difference: Labels | None = None
        self._kinds: frozenset[Kind] = frozenset()
        self._tissue: list[ImageLayer] = []
        self._copies: dict[str, list[ImageLayer]] = {}
        self._before: _Before | None = None

    @property
    def viewer(self) -> Viewer | None:
        """The window's viewer, if it is still there."""
        return self._viewer()

    @property
    def shown(self) -> bool:
        """Whether the panes are on the canvas."""
        return self._before is not None

    @property
    def complete(self) -> bool:
        """Whether nobody took a layer of ours, or the image, away."""
        viewer = self.viewer
        if viewer is None or self.plane is None:
            return False
        return all(layer in viewer.layers for layer in (self.plane.layer, *self.own))

    @property
    def own(self) -> list[Layer]:
        """All layers that are ours."""
        copies = [layer for layers in self._copies.values() for layer in layers]
        return [*copies, *self.labels.values(), *([self.difference] if self.difference is not None else [])]

    # coming and going

    def begin(self, plane: Plane, letters: str) -> None:
        """Put the panes on the canvas.

        Parameters
        ----------
        plane : Plane
        letters : str
            "AB", "ABC" or "ABCD".
        """
        viewer = self.viewer
        if viewer is None:
            return
        self.end()
        layers, camera, grid = viewer.layers, viewer.scene.camera, viewer.canvas.grid
        settings = {name: getattr(grid, name) for name in ("stride", "shape", "spacing", "enabled")}
        hidden = [layer for layer in layers if layer.visible]
        self._before = _Before((camera.zoom, tuple(camera.center)), settings, hidden, layers.selection.active)
        self.plane, self._tissue = plane, tissue_of(viewer.layers, plane, hidden)
        grid.enabled = False
        with self._ours():
            for layer in hidden:
                layer.visible = False
            self.difference = self._add(np.zeros(plane.shape, np.uint8), "Difference")
            self._kinds = frozenset(COLOURS)
            self.difference.colormap = difference_colours(self._kinds)
            self._add_panes(letters)
        self.set_mode(self.mode, first=True)

    def set_letters(self, letters: str) -> None:
        """Show more or fewer panes."""
        if not self.shown or self.plane is None or "".join(self.labels) == letters:
            return
        old = self._share()
        viewer = self.viewer
        if viewer is None:
            return
        viewer.canvas.grid.enabled = False
        with self._ours():
            for letter in [letter for letter in self.labels if letter not in letters]:
                for layer in (self.labels.pop(letter), *self._copies.pop(letter)):
                    remove_layer(viewer, layer)
            self._add_panes(letters)
        self._arrange()
        self._zoom_by(self._share() / old)

    def end(self) -> None:
        """Take everything away; the window is as it was."""
        viewer, before = self.viewer, self._before
        if viewer is None or before is None:
            return
        self._before = None
        viewer.canvas.grid.enabled = False
        with self._ours(), viewer.layers.batched_update():
            for layer in self.own:
                remove_layer(viewer, layer)
            self.labels.clear()
            self._copies.clear()
            self.difference = None
        for layer in self._tissue:
            layer.visible = False
        for layer in before.hidden:
            if layer in viewer.layers:
                layer.visible = True
        for name, value in before.grid.items():
            setattr(viewer.canvas.grid, name, value)
        if before.active in viewer.layers:
            viewer.layers.selection.active = before.active
        viewer.scene.camera.zoom, viewer.scene.camera.center = before.camera
        self._tissue, self.plane = [], None

    def forget(self) -> None:
        """The image is gone, and its place on the canvas with it: the camera isn't taken back."""
        if self._before is not None and (viewer := self.viewer) is not None:
            camera = viewer.scene.camera
            self._before.camera = (camera.zoom, tuple(camera.center))
        self.end()

    def to_top(self) -> None:
        """Something was put above our layers: the grid counts cells from the top."""
        viewer = self.viewer
        if viewer is None or not self.complete:
            return
        ours = [*([self.difference] if self.difference is not None else []), *self._stack()]
        if list(viewer.layers[-len(ours) :]) == ours:
            return
        with self._ours():
            for layer in ours:
                viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))

    # what is drawn

    def draw(self, letter: str, codes: NDArray[np.uint8] | None, name: str) -> None:
        """Show nuclei in a pane; None while there are none."""
        layer = self.labels.get(letter)
        if layer is None or self.plane is None or not self.complete:
            return
        wanted = np.broadcast_to(np.uint8(0), self.plane.shape) if codes is None else codes
        if layer.data is not wanted:
            layer.data = wanted
            layer.editable = False
        layer.name = f"{letter} · {name}"

    def draw_difference(self, codes: NDArray[np.uint8] | None) -> None:
        """Show the difference of A and B."""
        layer = self.difference
        if layer is not None and self.plane is not None and self.complete:
            layer.data = np.broadcast_to(np.uint8(0), self.plane.shape) if codes is None else codes
            layer.editable = False

    def show_kinds(self, shown: frozenset[Kind]) -> None:
        """Show only these kinds of difference."""
        if self.difference is not None and shown != self._kinds:
            self._kinds = shown
            self.difference.colormap = difference_colours(shown)

    def fill(self, on: bool) -> None:
        """Tint nuclei inside, or draw their edges alone."""
        self.filled = on
        for letter, layer in self.labels.items():
            layer.colormap = pane_colours(letter, on)

    def image_only(self, on: bool) -> None:
        """Hide nuclei while a key is down."""
        for layer in (*self.labels.values(), self.difference):
            if layer is not None:
                layer.opacity = 0.0 if on else 1.0

    def show_alone(self, letter: str) -> None:
        """Of A and B, one; both with an empty letter."""
        for other in "AB":
            if other in self.labels:
                self.labels[other].opacity = 1.0 if letter in {"", other} else 0.0

    def set_mode(self, mode: str, first: bool = False) -> None:
        """Arrange the panes; what was in the middle stays there.

        Parameters
        ----------
        mode : str
            One of `MODES`.
        first : bool, optional
            The panes have just come.
        """
        old = 1.0 if first else self._share()
        self.mode = mode
        if self.shown:
            self._arrange()
            self._zoom_by(self._share() / old)

    def fit(self) -> None:
        """The canvas has another size: other rows and columns may suit it better."""
        viewer = self.viewer
        if viewer is None or not self.shown or self.mode != SIDE or viewer.canvas.grid.shape == self._shape():
            return
        viewer.canvas.grid.shape = self._shape()

    def look_at(self, centre: tuple[float, float], least_zoom: float) -> None:
        """Bring a point (row, column) into the middle of every pane, so large at least."""
        viewer, layer = self.viewer, self.labels.get("A")
        if viewer is None or layer is None:
            return
        world, camera = layer.data_to_world(centre)[-2:], viewer.scene.camera
        camera.center = (camera.center[0], float(world[0]), float(world[1]))
        step = float(np.abs(layer.scale[-1]))
        camera.zoom = max(camera.zoom, least_zoom / max(step, 1e-9))

    # how it is done

    def _arrange(self) -> None:
        viewer = self.viewer
        if viewer is None or self.plane is None:
            return
        side, grid = self.mode == SIDE, viewer.canvas.grid
        wanted = {
            **dict.fromkeys(self._tissue, not side),
            **{layer: side for layers in self._copies.values() for layer in layers},
            **{layer: side or (self.mode != DIFFERENCE and letter in "AB") for letter, layer in self.labels.items()},
        }
        if self.difference is not None:
            wanted[self.difference] = self.mode == DIFFERENCE
        self.show_alone("")
        if not side:
            grid.enabled = False
        for layer, visible in wanted.items():
            if layer.visible != visible and layer in viewer.layers:
                layer.visible = visible
        if side:
            grid.stride, grid.shape, grid.spacing = -1 - len(self._tissue), self._shape(), GAP
            grid.enabled = True

    def _shape(self) -> tuple[int, int]:
        """Rows and columns: those that give each pane the longest shorter side."""
        viewer = self.viewer
        height, width = (1.0, 1.0) if viewer is None else viewer.canvas.size
        shapes = SHAPES.get(len(self.labels), ((1, 1),))
        return max(shapes, key=lambda shape: min(height / shape[0], width / shape[1]))

    def _share(self) -> float:
        """Part of the canvas's height or width that a pane has, whichever is less."""
        return 1 / max(self._shape()) if self.mode == SIDE and self.labels else 1.0

    def _zoom_by(self, factor: float) -> None:
        if factor != 1 and (viewer := self.viewer) is not None:
            viewer.scene.camera.zoom *= factor

    def _stack(self) -> list[Layer]:
        """Panes from below: the last letter first, since the grid counts cells from the top."""
        return [layer for letter in reversed(self.labels) for layer in (*self._copies[letter], self.labels[letter])]

    def _add_panes(self, letters: str) -> None:
        """Add the panes that are missing, below those that are there."""
        viewer, plane = self.viewer, self.plane
        if viewer is None or plane is None:
            return
        for letter in letters:
            if letter in self.labels:
                continue
            below = viewer.layers.index(self.difference) + 1 if self.difference in viewer.layers else None
            copies = [copy_of(layer, plane, f"{letter} · {layer.name}") for layer in self._tissue]
            for place, layer in enumerate(copies):
                self._insert(layer, None if below is None else below + place)
            self._copies[letter] = copies
            labels = self._add(
                np.broadcast_to(np.uint8(0), plane.shape), letter, None if below is None else below + len(copies)
            )
            labels.colormap = pane_colours(letter, self.filled)
            self.labels[letter] = labels

    def _add(self, codes: NDArray[np.uint8], name: str, place: int | None = None) -> Labels:
        if self.plane is None:
            raise AttributeError("no plane is shown")
        layer = Labels(codes, name=name, opacity=1.0, metadata={KEY: {"kind": "labels"}}, **placed_on(self.plane.layer))
        layer.editable = False
        self._insert(layer, place)
        return layer

    def _insert(self, layer: Layer, place: int | None) -> None:
        viewer = self.viewer
        if viewer is None:
            return
        layer.visible = False
        active = viewer.layers.selection.active
        viewer.layers.insert(len(viewer.layers) if place is None else place, layer)
        layer.locked = True
        viewer.layers.selection.active = active

    @contextmanager
    def _ours(self) -> Iterator[None]:
        self.changing = True
        try:
            yield
        finally:
            self.changing = False
