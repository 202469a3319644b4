"""The tissue mask on the slide: a small Labels layer that can be painted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.images.tissue import Tissue
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.removal import remove_layer
from napari_unetsharp.widgets.slide_results import place_on

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image as ImageLayer

NAME = "Tissue"
PAUSE = 400
"""Milliseconds without another stroke before the mask is taken."""

_GREEN = (0.0, 0.62, 0.45, 1.0)


class TissueLayer(QObject):
    """Shows a `Tissue`, and gives it back as the person painted it.

    Parameters
    ----------
    viewer : napari.Viewer
    source : Image layer
        The slide.

    Signals
    -------
    painted(object)
        The new `Tissue`, once the person has stopped painting.
    """

    painted = Signal(object)

    def __init__(self, viewer: Viewer, source: ImageLayer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._source = ref(viewer), ref(source)
        self.layer: Labels | None = None
        self._downsample = (1.0, 1.0)
        self._known: bytes = b""
        self.edited = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._compare)

    @property
    def tissue(self) -> Tissue | None:
        """As it is now; None where there is no mask or its layer was deleted."""
        viewer = self._viewer()
        if self.layer is None or viewer is None or self.layer not in viewer.layers:
            return None
        return Tissue(np.asarray(self.layer.data) > 0, self._downsample)

    def show(self, tissue: Tissue) -> None:
        """Put a mask that was found onto the slide; one that was painted stays."""
        viewer, source = self._viewer(), self._source()
        if viewer is None or source is None or source not in viewer.layers:
            return
        if self.tissue is not None:
            return
        self._downsample, self._known, self.edited = tissue.downsample, tissue.mask.tobytes(), False
        layer = Labels(
            tissue.mask.astype(np.uint8), name=NAME, opacity=0.35, colormap=_colours(), metadata={KEY: "tissue"},
            **place_on(source, tissue.downsample, ndim=2),
        )  # fmt: skip
        active = viewer.layers.selection.active
        viewer.layers.insert(viewer.layers.index(source) + 1, layer)
        viewer.layers.selection.active = active
        layer.contour = 2
        layer.brush_size = max(3, round(max(tissue.mask.shape) / 40))
        for emitter in (layer.events.paint, layer.events.set_data):
            emitter.connect(self._soon)
        self.layer = layer

    def edit(self) -> None:
        """Choose the layer, with the brush in hand."""
        viewer = self._viewer()
        if viewer is not None and self.layer is not None and self.layer in viewer.layers:
            self.layer.visible = True
            self.layer.mode = "paint"
            self.layer.selected_label = 1
            self.layer.contour = 0
            viewer.layers.selection.active = self.layer

    def rest(self) -> None:
        """Lay the brush down: an outline again, so that the slide can be seen."""
        viewer, source = self._viewer(), self._source()
        if viewer is None or self.layer is None or self.layer not in viewer.layers or not self.layer.editable:
            return
        self.layer.contour = 2
        self.layer.mode = "pan_zoom"
        if viewer.layers.selection.active is self.layer and source in viewer.layers:
            viewer.layers.selection.active = source

    def remove(self) -> None:
        """Take it off the slide."""
        self._timer.stop()
        viewer = self._viewer()
        if viewer is not None and self.layer is not None:
            remove_layer(viewer, self.layer)
        self.layer = None

    def _soon(self, event: Any = None) -> None:
        self._timer.start()

    def _compare(self) -> None:
        """Redrawing is told like painting; only another mask counts."""
        tissue = self.tissue
        if tissue is not None and tissue.mask.tobytes() != self._known:
            self._known, self.edited = tissue.mask.tobytes(), True
            self.painted.emit(tissue)


def _colours() -> DirectLabelColormap:
    return DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: _GREEN})
