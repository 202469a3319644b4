"""Before and after as layers on the tissue."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Index, Results, guarded
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.nuclei.instances import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.removal import remove_layer, removing_many
from napari_unetsharp.widgets.slide_layers import slide_of
from napari_unetsharp.widgets.slide_region import SlideRegion, region_at
from napari_unetsharp.widgets.slide_region_layer import box_in_view, place_on_slide
from napari_unetsharp.widgets.source import image_from_layer, plane_on_screen, region_on_screen
from napari_unetsharp.widgets.teach_verdict import AFTER, BEFORE
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image as ImageLayer

    from napari_unetsharp.widgets.find import FindStage

COLOURS = {BEFORE: "#56B4E9", AFTER: "#F0E442"}
AT_ONCE = 1_000_000
"""Pixels; of a larger image what is on screen is looked at."""

PLACE = ("scale", "rotate", "shear", "translate", "affine", "units", "axis_labels")
"""What a layer takes over from the image below it."""

Load = Callable[[], Checkpoint]


class Tissue(QObject):
    """Runs two models on the open image, and shows what each finds.

    Parameters
    ----------
    find : FindStage

    Signals
    -------
    ready(str)
        The layers are there; what to say.
    failed(str)
        Why not, and what to do.
    """

    ready = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: Viewer, find: FindStage, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._find = ref(viewer), find
        self.layers: dict[str, Labels] = {}
        self._hidden: list[Any] = []
        self._worker: StoppableWorker | None = None
        self._source: Any = None
        self._place: SlideRegion | None = None
        self._turn = 0
        self._adding = False

    @property
    def running(self) -> bool:
        """Whether the models are at work, or layers still to come."""
        return self._worker is not None or self._adding

    def look(self, parent: Load, candidate: Path, level: int) -> None:
        """Begin; `ready` or `failed` follows."""
        self.remove()
        viewer, layer = self._viewer(), self._find.layer
        if viewer is None or layer is None or layer not in viewer.layers:
            self.failed.emit("Open an image to see before and after on the tissue.")
            return
        try:
            read, index, region, self._place = _what_is_looked_at(viewer, layer)
        except UNetSharpError as error:
            self.failed.emit(str(error))
            return
        self._turn += 1
        turn, self._source = self._turn, ref(layer)
        size = float(self._find.form.nucleus_size.value) or None
        settings, device = self._find.label_form.settings, str(self._find.form.device.value)
        work = parent, candidate, read, index, region, (level, device, size), settings
        slots: dict[str, Any] = {
            "yielded": lambda planes: self._found(turn, planes),
            "errored": lambda error: self.failed.emit(str(error)),
            "finished": self._ended,
        }
        self._worker = start_worker(tissue_steps, *work, connect=slots)

    def show(self, when: str, on: bool) -> None:
        """Show or hide one of the two."""
        layer = self.layers.get(when)
        if layer is not None:
            layer.visible = on

    def suspend(self) -> None:
        """Another stage is on screen: hide both, and show what was hidden for them."""
        viewer = self._viewer()
        for layer in self.layers.values():
            layer.visible = False
        for kept in self._hidden:
            layer = kept()
            if layer is not None and viewer is not None and layer in viewer.layers:
                layer.visible = True
        self._hidden.clear()

    def resume(self, shown: dict[str, bool]) -> None:
        """The verdict is on screen again.

        Parameters
        ----------
        shown : dict of str to bool
            Which of the two is to be seen.
        """
        if self.layers:
            self._hide_others()
        for when, on in shown.items():
            self.show(when, on)

    def remove(self) -> None:
        """Take both away; what was hidden for them comes back."""
        self._turn += 1
        if self._worker is not None:
            self._worker.quit()
        self.suspend()
        viewer = self._viewer()
        if viewer is not None and self.layers:
            with removing_many(viewer):
                for layer in self.layers.values():
                    remove_layer(viewer, layer)
        self.layers.clear()

    def _hide_others(self) -> None:
        viewer = self._viewer()
        for layer in () if viewer is None else viewer.layers:
            if isinstance(layer, Labels) and layer.visible and layer not in self.layers.values():
                self._hidden.append(ref(layer))
                layer.visible = False

    def _found(self, turn: int, planes: dict[str, NDArray[np.int32]]) -> None:
        viewer, source = self._viewer(), self._source()
        if turn != self._turn or viewer is None or source is None or source not in viewer.layers:
            return
        self._hide_others()
        self._add(turn, list(planes.items()), planes)

    def _add(self, turn: int, left: list[tuple[str, NDArray[np.int32]]], planes: dict[str, NDArray[np.int32]]) -> None:
        """One layer for each turn of the event loop: napari needs a while for each."""
        viewer, source = self._viewer(), self._source()
        self._adding = False
        if turn != self._turn or viewer is None or source is None or source not in viewer.layers:
            return
        if left:
            when, labels = left[0]
            self.layers[when] = _drawn(source, when, labels, self._place)
            viewer.layers.append(self.layers[when])
            viewer.layers.selection.active = source
            self._adding = True
            QTimer.singleShot(0, partial(self._add, turn, left[1:], planes))
            return
        counts = {when: int(np.count_nonzero(np.bincount(labels.ravel())[1:])) for when, labels in planes.items()}
        self.ready.emit(f"Here the old model finds {counts[BEFORE]:,} nuclei (blue), the new one {counts[AFTER]:,} "
                        "(yellow).")  # fmt: skip

    def _ended(self) -> None:
        self._worker = None


def _what_is_looked_at(
    viewer: Viewer, layer: ImageLayer
) -> tuple[Callable[[], Image], Index, Region | None, SlideRegion | None]:
    """How to read the picture, which plane and part of it; of a slide the middle of what is on screen."""
    index, slide = plane_on_screen(viewer, layer), slide_of(layer)
    if slide is not None:
        place = region_at(slide, _middle(box_in_view(viewer, layer)), index)
        (top, left, _, _), (height, width) = place.box, place.box.shape
        return partial(slide.crop, 0, top, left, height, width, index), (), None, place
    image = image_from_layer(layer)
    rows, columns = image.plane_shape
    region = region_on_screen(viewer, layer) if rows * columns > AT_ONCE else None
    return lambda: image, index, region, None


def _middle(box: Box) -> Box:
    """The middle of a box, with at most as many pixels as are looked at, at once."""
    most = math.isqrt(AT_ONCE)
    height, width = (min(most, side) for side in box.shape)
    top, left = (box.top + box.bottom - height) // 2, (box.left + box.right - width) // 2
    return Box(top, left, top + height, left + width)


def _drawn(source: Any, when: str, labels: NDArray[np.int32], region: SlideRegion | None) -> Labels:
    colours = DirectLabelColormap(color_dict={None: COLOURS[when], 0: "transparent"})
    place = {name: getattr(source, name) for name in PLACE} if region is None else place_on_slide(source, region)
    data = labels[(np.newaxis,) * (source.ndim - 2)] if source.ndim > 2 and region is None else labels
    layer = Labels(data, name=f"{when} · nuclei", colormap=colours, opacity=0.9, metadata={KEY: {"kind": "labels"}},
                   **place)  # fmt: skip
    layer.contour = 2
    layer.editable = False
    return layer


def tissue_steps(
    parent: Load, candidate: Path, read: Callable[[], Image], index: Index, region: Region | None,
    how: tuple[int, str, float | None], settings: LabelSettings, stop: Callable[[], bool],
) -> Iterator[dict[str, NDArray[np.int32]]]:  # fmt: skip
    """Nuclei of a plane by the old and the new model, for a worker."""
    level, device, size = how
    found: dict[str, NDArray[np.int32]] = {}
    image = read()
    for when, load in ((BEFORE, parent), (AFTER, lambda: load_checkpoint(candidate))):
        checkpoint = load()
        depth = min(level, checkpoint.config.level)
        predictor = Predictor(checkpoint, device, depth, (f"x0{depth}",))
        results = Results(image)
        results.claim(predictor, size)
        for _ in guarded(results.steps(predictor, [index], lambda: settings, region, stop)):
            if stop():
                return
        found[when] = results.labels[depth][index]
    yield found
