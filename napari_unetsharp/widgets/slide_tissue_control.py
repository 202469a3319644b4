"""The tissue of the slides in a window: looked for when it is asked for, painted, and told to the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject, Signal

from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tissue import Tissue
from napari_unetsharp.slides.preparing import find_tissue
from napari_unetsharp.widgets.slide_find_errand import Errand
from napari_unetsharp.widgets.slide_layers import pixel_size_of, slide_of
from napari_unetsharp.widgets.slide_tissue import TissueLayer
from napari_unetsharp.widgets.source import plane_on_screen

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.find import FindStage

HOW = "Paint what is to be run; erase (key 1) what is not. It counts from the next block on, and for the next run."
NONE = "This slide has no small copy of itself, so no mask can be shown: tissue is looked for block by block."


class TissueControl(QObject):
    """Keeps a `TissueLayer` for each slide.

    Parameters
    ----------
    stage : FindStage
    parent : QObject

    Signals
    -------
    painted(object)
        The `Tissue` of the slide that is chosen, as it is now.
    """

    painted = Signal(object)

    def __init__(self, stage: FindStage, parent: QObject) -> None:
        super().__init__(parent)
        self._stage = ref(stage)
        self._layers: WeakKeyDictionary[ImageLayer, TissueLayer] = WeakKeyDictionary()
        self._asked: ref[ImageLayer] | None = None
        self.search = Errand(self)
        self.search.step.connect(self._found)
        self.search.failed.connect(stage.show_error)
        stage.slide_form.edit_pressed.connect(self.edit)

    def of(self, layer: ImageLayer) -> Tissue | None:
        """The mask on a slide, as it is now; None where there is none."""
        shown = self._layers.get(layer)
        return None if shown is None else shown.tissue

    def show(self, viewer: Viewer, layer: ImageLayer, tissue: Tissue) -> TissueLayer:
        """Put a mask that was found on a slide, unless one is there."""
        shown = self._layers.get(layer)
        if shown is None:
            shown = self._layers[layer] = TissueLayer(viewer, layer, self)
            shown.painted.connect(self.painted)
        shown.show(tissue)
        return shown

    def edit(self) -> None:
        """Put the brush into the person's hand; where there is no mask yet, look for tissue first."""
        stage = self._stage()
        layer = None if stage is None else stage.layer
        slide = slide_of(layer)
        if stage is None or layer is None or slide is None or self.search.running:
            return
        stage.message.clear()
        shown = self._layers.get(layer)
        if shown is not None and shown.tissue is not None:
            shown.edit()
            stage.message.note(HOW)
            return
        self._asked = ref(layer)
        stage.message.note("Looking for tissue…")
        self.search.start(tissue_steps, slide, pixel_size_of(slide), plane_on_screen(stage.viewer, layer))

    def rest(self, layer: ImageLayer) -> None:
        """A run begins: what is painted is the mask."""
        if layer in self._layers:
            self._layers[layer].rest()

    def remove(self, layer: ImageLayer) -> None:
        """The slide was closed."""
        shown = self._layers.pop(layer, None)
        if shown is not None:
            shown.remove()
            shown.deleteLater()

    def _found(self, tissue: Tissue | None) -> None:
        stage, layer = self._stage(), self._asked() if self._asked is not None else None
        if stage is None or layer is None or layer not in stage.viewer.layers:
            return
        if tissue is None:
            stage.message.note(NONE)
            return
        self.show(stage.viewer, layer, tissue).edit()
        stage.message.note(HOW)


def tissue_steps(
    slide: Slide, um_per_pixel: tuple[float, float] | None, plane: tuple[int, ...], stop: Callable[[], bool]
) -> Iterator[Tissue | None]:
    """Look for tissue, for a worker; None where the slide has no small version of itself."""
    yield find_tissue(slide, um_per_pixel, plane)
