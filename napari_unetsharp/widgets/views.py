"""What is shown: the drawing of the views, the doubt map, and a copy to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.network.grid import BRANCHES, NODES
from napari_unetsharp.widgets.drawing import GridDrawing
from napari_unetsharp.widgets.layers import DOUBT, ResultLayers

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.inference.results import Index
    from napari_unetsharp.network.unet_sharp import UNetSharpConfig

THUMBNAIL = 46
"""Side of the drawing's pictures in pixels."""

HINT = (
    "Top row: four depths, fast to full. Diagonal: the same nuclei seen coarsely (1/2 … 1/16); blocks are normal. "
    "Click: that view alone. Shift-click: add it. Click again: hide it."
)


class ViewPanel(QWidget):
    """Switches the result layers of one image.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    edit_pressed()
        The person wants a copy of the nuclei that are shown.
    """

    edit_pressed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = ref(viewer)
        self.found: ResultLayers | None = None
        self.depth = 4
        self.config: UNetSharpConfig | None = None
        self._index: Index = ()
        self._preview = False
        self.edit_button = QPushButton("Edit a copy")
        self.edit_button.setToolTip("Copy the nuclei that are shown into a layer of your own; no later run touches it")
        self.doubt_button = QPushButton("Show doubt")
        self.doubt_button.setCheckable(True)
        self.doubt_button.setToolTip("Orange where the views disagree")
        self.drawing = GridDrawing()
        self._adding = QTimer(self)
        self._adding.setInterval(20)
        self._adding.timeout.connect(self._add_one)
        buttons = QHBoxLayout()
        buttons.addWidget(self.edit_button)
        buttons.addWidget(self.doubt_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        for widget in (QLabel("<b>The eight views</b>"), self.drawing, wrapping(HINT)):
            layout.addWidget(widget)
        self.edit_button.clicked.connect(self._edit_clicked)
        self.doubt_button.clicked.connect(self._toggle_doubt)
        self.drawing.chosen.connect(self.show_view)
        self.refresh()

    def follow(self, found: ResultLayers | None, index: Index) -> None:
        """Switch to the layers of another image, or another plane of it."""
        self.found, self._index = found, index
        self.refresh()

    def add_layers(self, found: ResultLayers) -> None:
        """Add missing layers, one per turn of the event loop, so that the window stays alive.

        The deepest map is visible until the nuclei are there, so that tiles can be seen arriving, unless the
        person has chosen a view before.
        """
        self.found = found
        self._preview = not any(layer.visible for key, layer in found.layers.items() if key in BRANCHES)
        if self._preview and f"x0{found.level}" in found.layers:
            found.layers[f"x0{found.level}"].visible = True
        self._adding.start()

    def end_preview(self) -> None:
        """The nuclei are there: hide the map that was only shown to see tiles arrive."""
        if self.found is not None and self._preview and f"x0{self.found.level}" in self.found.layers:
            self.found.layers[f"x0{self.found.level}"].visible = False
        self._preview = False

    @property
    def adding(self) -> bool:
        """Whether layers are still being added."""
        return bool(self._adding.isActive())

    def show_view(self, node: str, add: bool = False) -> None:
        """Show a view alone, or add it; a view that is shown alone already is hidden.

        Parameters
        ----------
        node : str
        add : bool
            Keep the other views as they are and toggle this one.
        """
        if self.found is None or node not in self.found.layers:
            return
        self._preview = False
        maps = {key: layer for key, layer in self.found.layers.items() if key in BRANCHES}
        alone = maps[node].visible and not any(layer.visible for key, layer in maps.items() if key != node)
        for key, layer in maps.items():
            if key == node:
                layer.visible = not layer.visible if add or alone else True
            elif not add:
                layer.visible = False
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Draw the nodes as they are now; also called when a layer is shown or hidden in the layer list."""
        shown: set[str] = set()
        unavailable = {node: self._why_not(node) for node in BRANCHES}
        if self.found is not None:
            self.found.drop_removed()
            for node in [node for node in BRANCHES if node in self.found.layers]:
                del unavailable[node]
                if self.found.layers[node].visible:
                    shown.add(node)
        self.drawing.set_state(self.depth, shown, unavailable)
        doubt = None if self.found is None else self.found.layers.get(DOUBT)
        self.doubt_button.setEnabled(doubt is not None)
        self.doubt_button.setChecked(doubt is not None and doubt.visible)
        self.edit_button.setEnabled(self.found is not None and any(key.startswith("L") for key in self.found.layers))

    def refresh_pictures(self) -> None:
        """Take the thumbnails from the maps again."""
        if self.found is not None:
            pictures = {node: self.found.thumbnail(node, self._index, THUMBNAIL) for node in BRANCHES}
            self.drawing.set_thumbnails({node: pixels for node, pixels in pictures.items() if pixels is not None})
        self.refresh()

    def _add_one(self) -> None:
        viewer = self._viewer()
        if self.found is None or viewer is None:
            self._adding.stop()
            return
        before = set(self.found.layers)
        more = self.found.add_next()
        for key in set(self.found.layers) - before:
            self.found.layers[key].events.visible.connect(self.refresh)
            if self._preview and key == f"x0{self.found.level}":
                self.found.layers[key].visible = True
        if not more:
            self._adding.stop()
            self.refresh_pictures()

    def _why_not(self, node: str) -> str:
        if self.config is not None and node not in self.config.heads:
            return f"This model has no head on {node}: it gives {', '.join(self.config.heads)}."
        if NODES[node].level > self.depth:
            return f"Needs depth {NODES[node].level}: choose it, then press Find nuclei."
        return "Not computed yet: press Find nuclei."

    def _toggle_doubt(self, on: bool) -> None:
        if self.found is not None and DOUBT in self.found.layers:
            self.found.layers[DOUBT].visible = on

    def _edit_clicked(self) -> None:
        self.edit_pressed.emit()


def wrapping(text: str) -> QLabel:
    """A label that breaks its lines."""
    label = QLabel(text)
    label.setWordWrap(True)
    return label
