"""The panel of views, on a slide, too: there one map is kept, and the others say where they can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.views import THUMBNAIL, ViewPanel

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QPushButton

    from napari_unetsharp.inference.results import Index
    from napari_unetsharp.widgets.layers import ResultLayers
    from napari_unetsharp.widgets.slide_results import SlideLayers

ON_REGION = "On a slide: work on a region of it for this."
ONLY_ONE = "On a slide the map of the chosen depth is kept; all eight are there once you work on a region of it."


class FindViews(ViewPanel):
    """Switches the result layers of a picture, or the one map of a slide.

    Attributes
    ----------
    slide : SlideLayers or None
        Results of the slide that is chosen.
    on_slide : bool
        Whether a slide is chosen.
    """

    slide: SlideLayers | None = None
    on_slide = False

    def __init__(self, viewer: Viewer) -> None:
        self._words: dict[QPushButton, str] = {}
        super().__init__(viewer)
        self._words = {button: button.toolTip() for button in (self.doubt_button, self.edit_button)}

    def follow(self, found: ResultLayers | None, index: Index) -> None:
        """Switch to the layers of a picture, or another plane of it."""
        self.slide, self.on_slide = None, False
        super().follow(found, index)

    def follow_slide(self, slide: SlideLayers | None) -> None:
        """Switch to a slide, with results or without."""
        self.found, self.slide, self.on_slide = None, slide, True
        picture = None if slide is None else slide.thumbnail(THUMBNAIL)
        self.drawing.set_thumbnails({} if slide is None or picture is None else {f"x0{slide.level}": picture})
        self.refresh()

    def show_view(self, node: str, add: bool = False) -> None:
        """Show a view, or hide it."""
        layer = None if self.slide is None else self.slide.map_layer
        if not self.on_slide:
            super().show_view(node, add)
        elif self.slide is not None and layer is not None and node == f"x0{self.slide.level}":
            layer.visible = not layer.visible
            self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Draw the nodes as they are now."""
        if not self.on_slide:
            super().refresh(event)
            for button, words in self._words.items():
                button.setToolTip(words)
            return
        why = dict.fromkeys(BRANCHES, ONLY_ONE)
        layer = None if self.slide is None else self.slide.map_layer
        shown: set[str] = set()
        depth = self.depth
        if self.slide is not None and layer is not None:
            node, depth = f"x0{self.slide.level}", self.slide.level
            del why[node]
            shown = {node} if layer.visible else set()
        else:
            why[f"x0{self.depth}"] = "Not computed yet: press Find nuclei."
        self.drawing.set_state(depth, shown, why)
        for button in (self.doubt_button, self.edit_button):
            button.setEnabled(False)
            button.setToolTip(ON_REGION)
        self.doubt_button.setChecked(False)
