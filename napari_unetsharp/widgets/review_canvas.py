"""A review on the canvas: its layers, the current outline, and the way there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from napari_unetsharp.nuclei.cards import Kind
from napari_unetsharp.nuclei.delta import BoxDelta
from napari_unetsharp.nuclei.pixels import NOWHERE, Box
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.layers import CORRECTED, KEY
from napari_unetsharp.widgets.outline import CURRENT, Overlay, smooth_outlines
from napari_unetsharp.widgets.removal import remove_layer, removing_many
from napari_unetsharp.widgets.review_session import ReviewSession
from napari_unetsharp.widgets.review_source import Subject
from napari_unetsharp.widgets.state_layer import StatePicture, put_box, state_colours

if TYPE_CHECKING:
    from napari import Viewer

STATES_NAME = "Review"

ON_SCREEN = 130.0
"""Screen pixels that a typical nucleus takes one by one."""

ASKS = 300
"""Question marks that are drawn at most."""


def is_ours(layer: Any) -> bool:
    """Whether a layer was made by this plugin."""
    return KEY in getattr(layer, "metadata", {})


def place_on(subject: Subject) -> dict[str, Any]:
    """Where the layers of a plane go: exactly on the image."""
    layer = subject.layer
    if layer.ndim == 2:
        names = ("scale", "rotate", "shear", "translate", "affine", "units", "axis_labels")
        return {name: getattr(layer, name) for name in names}
    return {
        "scale": layer.scale[-2:],
        "translate": layer.translate[-2:],
        "units": layer.units[-2:],
        "axis_labels": layer.axis_labels[-2:],
    }


class ReviewCanvas:
    """Draws a session.

    Parameters
    ----------
    viewer : napari.Viewer
    subject : Subject
    session : ReviewSession

    Attributes
    ----------
    states : Labels
        Outlines in the colours of their states.
    corrected : Labels
        The corrected labels themselves, for the brush and for everybody else.
    overlay : Overlay
    """

    def __init__(self, viewer: Viewer, subject: Subject, session: ReviewSession) -> None:
        self.viewer, self.subject, self.session = viewer, subject, session
        review = session.review
        self.picture = StatePicture(review, 1 if session.material.diameter < 40 else 2)
        place = place_on(subject)
        self.states = Labels(
            self.picture.codes, name=STATES_NAME, colormap=state_colours(), opacity=1.0,
            metadata={KEY: {"kind": "state"}}, **place,
        )  # fmt: skip
        self.states.editable = False
        yellow = CyclicLabelColormap(colors=np.array([[0, 0, 0, 0], [0.94, 0.89, 0.26, 1]]), seed=0.5)
        self.corrected = Labels(
            review.labels.copy(), name=CORRECTED, colormap=yellow, opacity=0.45, visible=False,
            metadata={KEY: {"kind": "review", "folder": str(subject.folder)}}, **place,
        )  # fmt: skip
        self.corrected.preserve_labels = True
        self.corrected.show_selected_label = True
        self._hidden: list[Layer] = []
        self.writing = False
        self._add()
        self.overlay = Overlay(viewer, self.states)
        review.changed.append(self.follow)
        session.moved.append(self.show_current)
        viewer.layers.selection.events.active.connect(self._active_changed)
        self._show_marks()

    def _add(self) -> None:
        layers, active = self.viewer.layers, self.viewer.layers.selection.active
        for layer in layers:
            if layer.visible and layer is not self.subject.layer and (is_ours(layer) or isinstance(layer, Labels)):
                layer.visible = False
                self._hidden.append(layer)
        layers.append(self.corrected)
        layers.append(self.states)
        self.corrected.locked = self.states.locked = True
        layers.selection.active = active if active in layers else self.subject.layer

    def remove(self) -> None:
        """Take everything away and show again what was hidden."""
        self.viewer.layers.selection.events.active.disconnect(self._active_changed)
        self.overlay.remove()
        with removing_many(self.viewer):
            for layer in (self.states, self.corrected):
                remove_layer(self.viewer, layer)
        for layer in self._hidden:
            if layer in self.viewer.layers:
                layer.visible = True

    @property
    def complete(self) -> bool:
        """Whether nobody took a layer of it away."""
        layers = self.viewer.layers
        return all(layer in layers for layer in (self.states, self.corrected, self.subject.layer))

    # drawing

    def follow(self, delta: BoxDelta) -> None:
        """Draw what changed, and nothing else."""
        self.picture.follow(delta)
        box = self._draw(delta.box)
        if box.area and self.complete:
            self.writing = True
            try:
                put_box(self.corrected, box, self.session.review.labels[box.slices])
            finally:
                self.writing = False
        if delta.rejected or any(_is_unsure(change.before) or _is_unsure(change.after) for change in delta.nuclei):
            self._show_marks()
        if self.session.current in delta.ids or box.meets(self.session.box()):
            self.show_current()

    def _draw(self, box: Box) -> Box:
        """Outlines of a box and what touches it; gives back what was drawn."""
        shape = self.session.review.labels.shape
        around = box.grown(self.picture.width + 1, (shape[0], shape[1])) if box.area else NOWHERE
        if around.area and self.complete:
            put_box(self.states, around, self.picture.window(around))
        return around

    def _show_marks(self) -> None:
        review = self.session.review
        crosses = [_middle(outline.box) for outline in review.rejected.values()]
        unsure = [id_ for id_, nucleus in review.nuclei.items() if nucleus.state is State.UNSURE]
        self.overlay.show_marks(crosses, [_middle(review.findings.box_of(id_)) for id_ in unsure[:ASKS]])

    def show_current(self) -> None:
        """Draw the current nucleus, or what its card offers."""
        outlines, box = self._current_outlines()
        self.overlay.show_current(outlines, box if outlines else None, CURRENT)
        id_, card = self.session.current, self.session.card
        left_out = 0 if card is not None and card.kind is Kind.OUTLINE else max(0, id_)  # theirs beside one's own
        if left_out != self.picture.current:
            before, self.picture.current = self.picture.current, left_out
            for number in (before, id_):
                self._draw(self.session.review.findings.box_of(number))
        if self.corrected.visible and id_ > 0 and self.corrected.selected_label != id_:
            self.corrected.selected_label = id_

    def _current_outlines(self) -> tuple[list[NDArray[np.float64]], Box]:
        card, review, id_ = self.session.card, self.session.review, self.session.current
        if card is not None and card.kind is not Kind.NUCLEUS:
            parts = [card.parts == part for part in range(1, int(card.parts.max(initial=0)) + 1)]
            if card.kind is Kind.JOIN:
                parts = [card.mask]
            return [path for part in parts for path in smooth_outlines(part, card.box)], card.box
        if id_ in review.rejected:
            outline = review.rejected[id_]
            return smooth_outlines(outline.mask(), outline.box), outline.box
        if id_ in review.boxes:
            box = review.boxes[id_]
            return smooth_outlines(review.labels[box.slices] == id_, box), box
        return [], NOWHERE

    def fill(self) -> None:
        """Switch between outlines and filled nuclei."""
        self.picture.filled = not self.picture.filled
        self.states.data[...] = self.picture.window_of_all()
        self.states.refresh(extent=False)

    # moving

    def centre(self, box: Box) -> None:
        """Bring a box into the middle of the canvas."""
        if not box.area:
            return
        world = self.states.data_to_world(_middle(box))[-2:]
        camera = self.viewer.scene.camera
        camera.center = (camera.center[0], float(world[0]), float(world[1]))

    def zoom_to(self, length: float, on_screen: float) -> None:
        """Show so many image pixels on so many screen pixels."""
        step = float(np.abs(self.states.scale[-1]))
        self.viewer.scene.camera.zoom = on_screen / max(1e-9, length * step)

    def zoom_in(self) -> None:
        """The zoom for one nucleus after the other."""
        self.zoom_to(self.session.material.diameter, ON_SCREEN)

    def view(self) -> Box:
        """What the canvas shows, in pixels of the plane."""
        height, width = (float(side) for side in self.viewer.canvas.size)
        zoom, centre = self.viewer.scene.camera.zoom, np.asarray(self.viewer.scene.camera.center)[-2:]
        half = np.array([height, width]) / max(zoom, 1e-9) / 2
        corners = np.array([self.states.world_to_data(centre + sign * half)[-2:] for sign in (-1, 1)])
        low, high = np.floor(corners.min(axis=0) + 0.5), np.ceil(corners.max(axis=0) + 0.5)
        shape = self.states.data.shape
        return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).grown(0, (shape[0], shape[1]))

    def show_box(self, box: Box, margin: float = 1.04) -> None:
        """Zoom so that a box fills the canvas."""
        height, width = (float(side) for side in self.viewer.canvas.size)
        fits = min(height / max(1, box.shape[0]), width / max(1, box.shape[1]))
        self.zoom_to(1.0, fits / margin)
        self.centre(box)

    # what is visible

    def image_only(self, on: bool) -> None:
        """Hide everything but images while a key is down."""
        self.overlay.set_visible(not on)
        if on:
            self._away = [
                layer
                for layer in self.viewer.layers
                if layer.visible and (is_ours(layer) or not isinstance(layer, ImageLayer))
            ]
        for layer in getattr(self, "_away", []):
            layer.visible = not on

    def _active_changed(self, event: Any = None) -> None:
        """Corrected is drawn while it is active, and costs nothing else."""
        active = self.viewer.layers.selection.active is self.corrected
        if self.complete and self.corrected.visible != active:  # setting it again would draw everything again
            self.corrected.visible = active
            self.show_current()

    def when_painted(self, callback: Callable[[], None]) -> None:
        """Call back after napari's own tools changed *Corrected*."""

        def painted(event: Any = None) -> None:
            if not self.writing:
                callback()

        self.corrected.events.paint.connect(painted)

    def painted_box(self) -> Box:
        """Where *Corrected* differs from the review; `NOWHERE` if it doesn't."""
        differs = self.corrected.data != self.session.review.labels
        rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
        if not len(rows):
            return NOWHERE
        return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def _middle(box: Box) -> tuple[float, float]:
    return (box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2


def _is_unsure(nucleus: Any) -> bool:
    return nucleus is not None and nucleus.state is State.UNSURE
