"""Redraw: napari's brush on *Corrected*, locked to one nucleus, every stroke a step of the review."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QTimer

from napari_unetsharp.widgets.review_canvas import ReviewCanvas


class Brush:
    """Brush strokes of a review.

    Parameters
    ----------
    canvas : ReviewCanvas

    Attributes
    ----------
    id : int
        The nucleus that the brush is locked to; 0 while it is away.
    """

    def __init__(self, canvas: ReviewCanvas) -> None:
        self.canvas, self.session = canvas, canvas.session
        self.id = 0
        self._since = 0
        canvas.when_painted(lambda: QTimer.singleShot(0, self.take_stroke))

    def begin(self, new: bool = False) -> None:
        """Lock the brush to the current nucleus, or to a new one.

        Parameters
        ----------
        new : bool
            Paint a nucleus that isn't there yet.
        """
        review, corrected = self.session.review, self.canvas.corrected
        self.id = review.next_id if new or self.session.current not in review.boxes else self.session.current
        self._since = review.course.number
        viewer = self.canvas.viewer
        viewer.canvas.overlays._brush_circle.box = False  # napari 0.9 leaves it on the canvas as a small dark square
        self._before = viewer.layers.selection.active
        viewer.layers.selection.active = corrected
        corrected.visible = True
        corrected.selected_label = self.id
        corrected.brush_size = max(3, round(self.session.material.diameter / 4))
        corrected.mode = "paint"

    def end(self) -> None:
        """Put the brush away; what was painted stays."""
        if not self.id:
            return
        self.take_stroke()
        self.id = 0
        layers, corrected = self.canvas.viewer.layers, self.canvas.corrected
        corrected.mode = "pan_zoom"
        layers.selection.active = self._before if self._before in layers else self.canvas.subject.layer

    def cancel(self) -> None:
        """Put the brush away and take back what was painted."""
        review = self.session.review
        while (step := review.course.undo.last_done()) is not None and step.number > self._since:
            self.session.undo()
        self.end()

    def take_stroke(self) -> None:
        """Hand what napari painted to the review, and draw what it took."""
        canvas, review = self.canvas, self.session.review
        if not canvas.complete:
            return
        box = canvas.painted_box()
        if not box.area:
            return
        before, after = review.labels[box.slices].copy(), canvas.corrected.data[box.slices].copy()
        id_ = self.id or self._painted_id(before, after)
        self.session.stroke(box, before, after, id_)
        canvas.writing = True
        try:
            canvas.corrected.data[box.slices] = review.labels[box.slices]  # pixels of others are put back
            canvas.corrected.refresh(extent=False)
        finally:
            canvas.writing = False
        if id_ in review.nuclei and id_ != self.session.current:
            self.session.go_to(id_)

    def _painted_id(self, before: object, after: object) -> int:
        """Which nucleus a stroke of napari's own tools is about."""
        old, new = np.asarray(before), np.asarray(after)
        changed = old != new
        for values in (new[changed], old[changed]):
            ids = values[values > 0]
            if ids.size:
                return int(np.bincount(ids).argmax())
        return self.session.current
