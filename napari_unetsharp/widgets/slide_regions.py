"""Work on a region of a slide: it is cut out, worked on as any picture, and what was done goes back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.errors import ShapeError, UNetSharpError
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.live_job import after
from napari_unetsharp.widgets.removal import remove_layer, removing_many
from napari_unetsharp.widgets.slide_given import Given
from napari_unetsharp.widgets.slide_giving import GivingBack
from napari_unetsharp.widgets.slide_layers import is_slide, slide_of
from napari_unetsharp.widgets.slide_materials import Cut, RegionMaterials, cut_steps
from napari_unetsharp.widgets.slide_region import (
    LONGEST,
    SlideRegion,
    covering,
    overlapping,
    region_at,
    regions_of,
    size_words,
    trouble_with,
)
from napari_unetsharp.widgets.slide_region_drawing import RegionDrawing
from napari_unetsharp.widgets.slide_region_layer import (
    add_region,
    box_in_view,
    drawn_box,
    look_at,
    region_layers,
    region_of,
    slide_layer_of,
)
from napari_unetsharp.widgets.source import plane_on_screen
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage

FILLS, AROUND = 0.96, 0.7
"""Share of the canvas that a region takes when it is gone to, and when it is left."""


SETTLED = 200
"""Milliseconds after the view moved until its size is told."""


class SlideRegions(QObject):
    """Cuts regions out of the slide on screen, and gives back what was done in them.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
        Knows the image that is chosen, and the results of slides.
    parent : QObject

    Signals
    -------
    opened(object)
        The layer of a region, which is chosen now.
    said(str)
        What was done, or is being done.
    failed(str)
        Why not, and what to do.
    looked()
        Another part of the slide is on screen.
    """

    looked = Signal()
    opened = Signal(object)
    said = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: Viewer, find: FindStage, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self.find = ref(viewer), find
        self.materials = RegionMaterials(viewer, find)
        self._cutting: StoppableWorker | None = None
        self.drawing = RegionDrawing(viewer, self)
        self.drawing.drawn.connect(self.work_on)
        self.drawing.failed.connect(self.failed)
        self.back = GivingBack(find, lambda: self.slide_layer, self)
        self.back.given.connect(self._given)
        self.back.failed.connect(self._errored)
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLED)
        self._settled.timeout.connect(self.looked)
        viewer.scene.camera.events.connect(self._camera_moved)
        viewer.canvas.events.size.connect(self._camera_moved)

    @property
    def running(self) -> bool:
        """Whether a region is being cut, or something is being given back or is about to be."""
        return self._cutting is not None or self.back.running

    @property
    def slide_layer(self) -> ImageLayer | None:
        """The slide that is chosen, or that the chosen region is of."""
        viewer = self._viewer()
        return None if viewer is None else slide_layer_of(viewer, self.find.layer)

    @property
    def region(self) -> SlideRegion | None:
        """The chosen region."""
        return region_of(self.find.layer)

    @property
    def on_slide(self) -> bool:
        """Whether a whole slide is chosen."""
        return is_slide(self.find.layer)

    def earlier(self) -> list[SlideRegion]:
        """Regions of the slide that were cut before, the last one first."""
        layer = self.slide_layer
        slide = slide_of(layer)
        return [] if slide is None else regions_of(slide)

    def view_words(self) -> tuple[str, str]:
        """How much of the slide is on screen, and why that can't be worked on; empty where it can."""
        viewer, layer = self._viewer(), self.slide_layer
        if viewer is None or layer is None:
            return "", ""
        try:
            box = box_in_view(viewer, layer)
        except UNetSharpError as error:
            return "", str(error)
        return size_words(box), trouble_with(box)

    def _camera_moved(self, event: Any = None) -> None:
        if self.on_slide:
            self._settled.start()

    # opening

    def work_on_view(self) -> None:
        """Cut out what is on screen, or go on with the earlier region that covers most of it."""
        viewer, layer = self._viewer(), self.slide_layer
        if viewer is None or layer is None:
            return
        self.drawing.cancel()
        try:
            box, plane = box_in_view(viewer, layer), plane_on_screen(viewer, layer)
        except UNetSharpError as error:
            self.failed.emit(f"{error}.")
            return
        there = covering(self.earlier(), box, plane)
        if there is None:
            self.work_on(box)
        else:
            self.open(there)

    def work_on_drawn(self) -> None:
        """Cut out the shape that is selected on a layer of the person's own, else the rectangle that they draw next."""
        viewer, layer = self._viewer(), self.slide_layer
        if viewer is None or layer is None:
            return
        active = viewer.layers.selection.active
        if isinstance(active, Shapes) and KEY not in active.metadata and len(active.data):
            try:
                self.work_on(drawn_box(viewer, layer, active))
            except UNetSharpError as error:
                self.failed.emit(f"{error}.")
        elif self.drawing.running:
            self.drawing.cancel()
            self.said.emit("")
        else:
            self.drawing.begin(layer)
            self.said.emit(f"Drag a rectangle on the slide, at most {LONGEST:,} px a side.")

    def work_on(self, box: Box) -> None:
        """Cut out a rectangle.

        Parameters
        ----------
        box : Box
            In pixels of the slide's largest level.
        """
        viewer, layer = self._viewer(), self.slide_layer
        slide = slide_of(layer)
        if viewer is None or layer is None or slide is None:
            return
        try:
            self.open(region_at(slide, box, plane_on_screen(viewer, layer), layer.name))
        except UNetSharpError as error:
            self.failed.emit(f"{error}.")

    def open(self, region: SlideRegion) -> None:
        """Show a region in its place and choose it; `opened` follows."""
        viewer, layer = self._viewer(), self.slide_layer
        slide = slide_of(layer)
        if viewer is None or layer is None or slide is None or self._cutting is not None:
            return
        for other in region_layers(viewer):
            shown = region_of(other)
            if shown is not None and shown.file == region.file:
                self._choose(other)
                return
        slots = {"yielded": lambda cut: self._cut(layer, region, cut), "errored": self._errored,
                 "finished": self._cut_ended}  # fmt: skip
        self.said.emit(f"Reading {region.size} at full resolution…")
        self.back.hold()  # what was answered in another region a moment ago holds in this one too
        store = self.find.store_of(layer)
        self._cutting = start_worker(after, self.back.idle, cut_steps, slide, region, store, connect=slots)

    def _cut(self, slide_layer: ImageLayer, region: SlideRegion, cut: Cut) -> None:
        viewer = self._viewer()
        if viewer is None or slide_layer not in viewer.layers:
            return
        made = add_region(viewer, slide_layer, region, cut.pixels)
        self.materials.keep(made, self.find.store_of(slide_layer), cut.material)
        met = overlapping(self.earlier(), region)
        self._choose(made)
        if met:
            self.said.emit(
                f"It overlaps the region at {met[0].place}: where both are reviewed, the one answered last counts."
            )

    def _choose(self, layer: ImageLayer) -> None:
        self._bring_into_view(layer)
        self.find.reset_choices()
        self.find.form.image.value = layer
        self.said.emit("")
        self.opened.emit(layer)

    def _bring_into_view(self, layer: ImageLayer) -> None:
        """Move the camera only where less than all of the region would be on screen."""
        viewer, region, slide_layer = self._viewer(), region_of(layer), self.slide_layer
        if viewer is None or region is None or slide_layer is None:
            return
        with suppress(ShapeError):
            if box_in_view(viewer, slide_layer).union(region.box) == box_in_view(viewer, slide_layer):
                return
        look_at(viewer, layer.extent.world, FILLS)

    def close(self, review: ReviewStage) -> bool:
        """Save the review of the chosen region, take its layers away and choose the slide again.

        Parameters
        ----------
        review : ReviewStage

        Returns
        -------
        bool
            False where the disk doesn't take the review: everything stays then. True also where none is chosen.
        """
        viewer, layer = self._viewer(), self.find.layer
        if viewer is None or layer is None or region_of(layer) is None:
            return True
        slide_layer, extent = self.slide_layer, layer.extent.world
        with removing_many(viewer):
            if not review.close_review():
                return False
            found = self.find.results.get(layer)
            if found is not None:
                found.remove_all()
            remove_layer(viewer, layer)
        self.find.reset_choices()
        if slide_layer is not None:
            self.find.form.image.value = slide_layer
            viewer.layers.selection.active = slide_layer
            look_at(viewer, extent, AROUND)
        self.said.emit("")
        return True

    def _cut_ended(self) -> None:
        self._cutting = None
        self.back.release()

    def _given(self, given: Given) -> None:
        self.said.emit(f"{given.nuclei:,} of your answers are in the slide's results")

    def _errored(self, error: Exception) -> None:
        known = isinstance(error, UNetSharpError)
        self.failed.emit(f"{error}." if known else f"Unexpected {type(error).__name__}: {error}. Please report this.")
