"""The nucleus size as a ring on the tissue, which can be dragged to the right size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal

from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.removal import remove_layer

if TYPE_CHECKING:
    from napari import Viewer

NAME = "Nucleus size"
_YELLOW = "#F0E442"


class SizeRing(QObject):
    """A circle in a layer of its own; dragging its handles changes the size.

    Parameters
    ----------
    viewer : Viewer

    Signals
    -------
    dragged(float)
        The new diameter, in pixels of the image.
    """

    dragged = Signal(float)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer: Shapes | None = None
        self._diameter = 0.0

    def show(self, viewer: Viewer, image: ImageLayer, diameter: float) -> None:
        """Draw the ring in the middle of what is on screen, ready to be dragged."""
        self.hide(viewer)
        middle = np.asarray(viewer.dims.point, float)
        middle[-2:] = np.asarray(viewer.scene.camera.center)[-2:]
        centre = np.asarray(image.world_to_data(middle))[-2:]
        self._diameter = diameter
        self.layer = viewer.add_shapes(
            [_corners(centre, diameter)], shape_type="ellipse", name=NAME, edge_color=_YELLOW,
            face_color="transparent", edge_width=max(0.5, diameter / 15), metadata={KEY: "size"},
            scale=image.scale[-2:], translate=image.translate[-2:], rotate=image.rotate[-2:, -2:],
            shear=image.shear[-1:], units=image.units[-2:],
        )  # fmt: skip
        self.layer.mode = "select"
        self.layer.selected_data = {0}
        self.layer.events.set_data.connect(self._moved)

    def resize(self, diameter: float) -> None:
        """Draw it larger or smaller where it is."""
        if self.layer is not None and len(self.layer.data):
            self._diameter = diameter
            self.layer.data = [(_corners(np.asarray(self.layer.data[0]).mean(0), diameter), "ellipse")]
            self.layer.selected_data = {0}

    def hide(self, viewer: Viewer) -> None:
        """Take the ring away."""
        if self.layer is not None:
            remove_layer(viewer, self.layer)
        self.layer = None

    def shown_in(self, viewer: Viewer) -> bool:
        """Whether the ring is on the tissue."""
        return self.layer is not None and self.layer in viewer.layers

    def _moved(self, event: Any = None) -> None:
        if self.layer is None or not len(self.layer.data):
            return
        corners = np.asarray(self.layer.data[0])
        diameter = float(np.mean([np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[2] - corners[1])]))
        if diameter > 1 and abs(diameter - self._diameter) > 0.05:  # moving it around is no change of size
            self._diameter = diameter
            self.dragged.emit(diameter)


def _corners(centre: np.ndarray[Any, Any], diameter: float) -> np.ndarray[Any, Any]:
    half = diameter / 2
    return centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
