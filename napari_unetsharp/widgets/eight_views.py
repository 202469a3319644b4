"""The eight views of one place side by side (J in Review), as one picture: quick on any size of image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray
from vispy.scene.visuals import Text  # type: ignore[import-untyped]

from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.outline import ON_TOP
from napari_unetsharp.widgets.removal import remove_layer
from napari_unetsharp.widgets.review_canvas import ReviewCanvas, place_on

if TYPE_CHECKING:
    from napari import Viewer

COLUMNS, ROWS = 4, 2
ON_SCREEN = 34.0
"""Screen pixels that a typical nucleus takes in each view."""

TITLE, GAP = 26.0, 8.0
"""Height of the line with a view's name, and the space between views, in screen pixels."""

LARGEST = 700
"""Longest side of a view, in image pixels."""

LIME, CLEAR, DENSE = np.array([0.75 * 255, 255, 0], np.float32), 0.08, 0.5
"""Colour of the maps, the probability below which they are clear, and how dense they are at 1."""


def blend(tissue: NDArray[np.uint8], probability: NDArray[Any]) -> NDArray[np.uint8]:
    """Tissue with a map on it.

    Parameters
    ----------
    tissue : array of uint8, (Y, X, 3)
    probability : array, (Y, X), floating, 0..1

    Returns
    -------
    array of uint8, (Y, X, 3)
    """
    alpha = np.clip((probability.astype(np.float32) - CLEAR) / (1 - CLEAR), 0, 1)[..., np.newaxis] * DENSE
    return np.asarray(tissue * (1 - alpha) + LIME * alpha, np.uint8)


class EightViews:
    """One picture of all views at the current place.

    Parameters
    ----------
    viewer : napari.Viewer
    canvas : ReviewCanvas
    """

    def __init__(self, viewer: Viewer, canvas: ReviewCanvas) -> None:
        self._viewer, self._canvas = viewer, canvas
        self._layer: ImageLayer | None = None
        self._names: Any = None
        self._camera: tuple[float, tuple[float, ...]] | None = None

    @property
    def shown(self) -> bool:
        """Whether the picture is on screen."""
        return self._camera is not None

    @property
    def nodes(self) -> list[str]:
        """Views whose maps are here, in the order of the network's drawing."""
        return [node for node in BRANCHES if node in self._canvas.session.material.maps]

    def show(self) -> None:
        """Put it over everything, around the middle of what was on screen."""
        camera = self._viewer.scene.camera
        self._camera = (camera.zoom, tuple(camera.center))
        self._draw(self._middle())
        self._canvas.session.moved.append(self._follow)

    def hide(self) -> None:
        """Back to where the camera was."""
        if self._camera is None:
            return
        self._canvas.session.moved.remove(self._follow)
        camera, (zoom, centre) = self._viewer.scene.camera, self._camera
        self._camera = None
        if self._layer is not None:
            self._layer.visible = False
            self._names.visible = False
        camera.zoom, camera.center = zoom, centre

    def close(self) -> None:
        """Take it away."""
        self.hide()
        if self._layer is not None:
            self._names.parent = None
            remove_layer(self._viewer, self._layer)
            self._layer = None

    def _follow(self) -> None:
        """Another nucleus is current: the same views of its place."""
        box = self._canvas.session.box()
        if self.shown and box.area:
            self._draw(((box.top + box.bottom) / 2, (box.left + box.right) / 2))

    def _middle(self) -> tuple[float, float]:
        box = self._canvas.session.box()
        view = box if box.area else self._canvas.view()
        return (view.top + view.bottom) / 2, (view.left + view.right) / 2

    def _draw(self, middle: tuple[float, float]) -> None:
        zoom, box = self._cell(middle)
        title, gap = (max(1, round(length / zoom)) for length in (TITLE, GAP))
        picture = self._picture(box, title, gap)
        place = place_on(self._canvas.subject)
        states = self._canvas.states
        shift = np.subtract(states.data_to_world((box.top, box.left)), states.data_to_world((0, 0)))[-2:]
        translate = np.asarray(place["translate"], float)[-2:] + shift
        if self._layer is None:
            about = {"name": "All views", "metadata": {KEY: {"kind": "views"}}, "translate": translate}
            self._layer = ImageLayer(picture, rgb=True, **place | about)
            active = self._viewer.layers.selection.active
            self._viewer.layers.append(self._layer)
            self._viewer.layers.selection.active = active
            self._names = Text("", parent=self._canvas.overlay.scene, color="white", font_size=11, anchor_x="left")
            self._names.order = ON_TOP + 20
        else:
            self._layer.data, self._layer.translate = picture, translate
        self._layer.visible = True
        self._show_names(box, title, gap)
        self._look_at(picture.shape, box)

    def _cell(self, middle: tuple[float, float]) -> tuple[float, Box]:
        """Screen pixels per image pixel, and the box that each view shows."""
        height, width = (float(side) for side in self._viewer.canvas.size)
        zoom = ON_SCREEN / max(1.0, self._canvas.session.material.diameter)
        room = ((height - (ROWS + 1) * GAP) / ROWS - TITLE, (width - (COLUMNS + 1) * GAP) / COLUMNS)
        sides = self._canvas.session.review.labels.shape
        zoom = max([zoom, *(length / LARGEST for length in room)])
        size = [min(side, max(8, round(length / zoom))) for side, length in zip(sides, room, strict=True)]
        low = [int(np.clip(round(at - length / 2), 0, side - length))
               for at, length, side in zip(middle, size, sides, strict=True)]  # fmt: skip
        return zoom, Box(low[0], low[1], low[0] + size[0], low[1] + size[1])

    def _picture(self, box: Box, title: int, gap: int) -> NDArray[np.uint8]:
        height, width = box.shape
        picture = np.zeros((ROWS * (height + title) + gap, COLUMNS * (width + gap) - gap, 3), np.uint8)
        tissue, maps = self._tissue(box), self._canvas.session.material.maps
        for number, node in enumerate(self.nodes):
            row, column = divmod(number, COLUMNS)
            top, left = row * (height + title + gap) + title, column * (width + gap)
            picture[top : top + height, left : left + width] = blend(tissue, maps[node][box.slices])
        return picture

    def _tissue(self, box: Box) -> NDArray[np.uint8]:
        """The image as napari draws it."""
        layer, pixels = self._canvas.subject.layer, self._canvas.session.material.pixels[box.slices]
        if layer.rgb:
            colours = np.asarray(pixels[..., :3])
            return colours if colours.dtype == np.uint8 else np.asarray(np.clip(colours, 0, 1) * 255, np.uint8)
        low, high = (float(limit) for limit in layer.contrast_limits)
        values = np.clip((np.asarray(pixels[..., 0], np.float32) - low) / max(1e-9, high - low), 0, 1)
        colours = layer.colormap.map(values.ravel() ** float(layer.gamma))[:, :3]
        return np.asarray(colours.reshape(*values.shape, 3) * 255, np.uint8)

    def _show_names(self, box: Box, title: int, gap: int) -> None:
        height, width = box.shape
        places = [divmod(number, COLUMNS) for number in range(len(self.nodes))]
        down, across = height + title + gap, width + gap
        at = [(box.top + row * down + title / 2, box.left + column * across) for row, column in places]
        self._names.text = [BRANCHES[node].title for node in self.nodes]
        self._names.pos = self._canvas.overlay.to_scene(at)
        self._names.visible = True

    def _look_at(self, shape: tuple[int, ...], box: Box) -> None:
        whole = Box(box.top, box.left, box.top + shape[0], box.left + shape[1])
        self._canvas.show_box(whole, margin=1.01)
