"""Drawing the rectangle of a slide that is to be worked on: one drag, and it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from napari.layers.base import ActionType
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.removal import remove_layer
from napari_unetsharp.widgets.slide_region_layer import drawn_box

if TYPE_CHECKING:
    from napari import Viewer

NAME = "UNet# region"
EDGE = 3.0
"""Of the rectangle, in screen pixels."""


class RegionDrawing(QObject):
    """A layer to draw one rectangle on; it goes as soon as the rectangle is there.

    Signals
    -------
    drawn(object)
        A `Box` in pixels of level 0.
    failed(str)
        The rectangle can't be used.
    """

    drawn = Signal(object)
    failed = Signal(str)

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = ref(viewer)
        self._shapes: Shapes | None = None
        self._slide: ref[ImageLayer] | None = None

    @property
    def running(self) -> bool:
        """Whether a rectangle is awaited."""
        viewer = self._viewer()
        return viewer is not None and self._shapes is not None and self._shapes in viewer.layers

    def begin(self, layer: ImageLayer) -> None:
        """Wait for a rectangle on a slide."""
        viewer = self._viewer()
        if viewer is None:
            return
        self.cancel()
        self._slide = ref(layer)
        wide = EDGE / max(1e-9, viewer.scene.camera.zoom * abs(float(layer.scale[-1])))
        place: dict[str, Any] = {
            name: getattr(layer, name)[-2:] for name in ("scale", "translate", "units", "axis_labels")
        }
        self._shapes = Shapes(
            None, ndim=2, name=NAME, edge_color="#F0E442", face_color="transparent", edge_width=wide,
            metadata={KEY: {"kind": "region"}}, **place,
        )  # fmt: skip
        viewer.layers.append(self._shapes)
        viewer.layers.selection.active = self._shapes
        self._shapes.mode = "add_rectangle"
        self._shapes.events.data.connect(self._changed)

    def cancel(self) -> None:
        """Wait no longer."""
        viewer, shapes, self._shapes = self._viewer(), self._shapes, None
        if viewer is not None and shapes is not None:
            remove_layer(viewer, shapes)

    def _changed(self, event: Any) -> None:
        if event.action == ActionType.ADDED:
            QTimer.singleShot(0, self._take)  # napari is still in the drag that ended

    def _take(self) -> None:
        viewer, slide = self._viewer(), None if self._slide is None else self._slide()
        if viewer is None or slide is None or not self.running:
            return
        try:
            box = drawn_box(viewer, slide, self._shapes)
        except ShapeError as error:
            self.failed.emit(f"{error}.")
            return
        finally:
            self.cancel()
            viewer.layers.selection.active = slide if slide in viewer.layers else None
        self.drawn.emit(box)
