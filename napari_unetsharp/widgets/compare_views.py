"""The drawing of the network in stage *Compare*: a click shows a view in B, with Shift in A."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetsharp.inference.results import Index, Results
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.compare_sources import Source
from napari_unetsharp.widgets.drawing import GridDrawing
from napari_unetsharp.widgets.views import THUMBNAIL, wrapping

HINT = "Click: that view in B. Shift-click: in A. Grey: needs a pass."


class ViewChooser(QWidget):
    """Fifteen nodes; the eight with a head can be chosen.

    Signals
    -------
    chosen(str, str)
        Letter and node.
    """

    chosen = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.drawing = GridDrawing()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.drawing)
        layout.addWidget(wrapping(HINT))
        self.drawing.chosen.connect(lambda node, shift: self.chosen.emit("A" if shift else "B", node))

    def show_source(self, source: Source | None, shown: set[str]) -> None:
        """Say which views there are.

        Parameters
        ----------
        source : Source or None
            Of B; None where it has no views.
        shown : set of str
            Views of it that are on screen.
        """
        nodes = () if source is None else source.nodes
        why = "B shows labels: choose a model for it." if not nodes else "This model has no head here."
        ready = frozenset[str]() if source is None else source.ready
        depth = max((BRANCHES[node].level for node in ready if node in BRANCHES), default=4)
        self.drawing.set_state(depth, shown, {node: why for node in BRANCHES if node not in nodes})

    def show_pictures(self, results: Results | None, index: Index) -> None:
        """Thumbnails of the maps that are there."""
        maps = {} if results is None else {name: values[index] for name, values in results.maps.items()}
        self.drawing.set_thumbnails({name: _thumbnail(values) for name, values in maps.items()})


def _thumbnail(plane: NDArray[np.float16]) -> NDArray[np.uint8]:
    step = max(1, -(-max(plane.shape) // THUMBNAIL))
    return np.asarray(np.clip(plane[::step, ::step].astype(np.float32) * 255, 0, 255), np.uint8)
