"""Order, state and region of the queue, as the person chooses them above the thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari.layers import Shapes
from qtpy.QtCore import QTimer

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.widgets.queue_region import (
    DRAWN,
    EVERYWHERE,
    HERE,
    IN_LAYER,
    DrawnRegion,
    Region,
    polygons_of,
)
from napari_unetsharp.widgets.review_canvas import is_ours
from napari_unetsharp.widgets.review_panel import WorkPanel
from napari_unetsharp.widgets.review_queue import STATES

if TYPE_CHECKING:
    from napari_unetsharp.widgets.review_desk import ReviewDesk


class QueueFilters:
    """Follows three combo boxes.

    Parameters
    ----------
    desk : ReviewDesk
    panel : WorkPanel
    changed : callable
        Called when the queue was built anew.
    """

    def __init__(self, desk: ReviewDesk, panel: WorkPanel, changed: Callable[[], None]) -> None:
        self._desk, self._panel, self._changed = desk, panel, changed
        self._fresh = self._drawn = False
        self._named: dict[str, Region] = {}
        panel.region.layers = self._shapes
        for combo in (panel.order, panel.state, panel.region):
            combo.setCurrentIndex(0)
        panel.order.currentTextChanged.connect(self._choose)
        panel.state.currentTextChanged.connect(self._choose)
        panel.region.currentTextChanged.connect(self._region_changed)
        panel.region.activated.connect(self._region_asked)

    def close(self) -> None:
        """Stop following."""
        panel = self._panel
        panel.order.currentTextChanged.disconnect(self._choose)
        panel.state.currentTextChanged.disconnect(self._choose)
        panel.region.currentTextChanged.disconnect(self._region_changed)
        panel.region.activated.disconnect(self._region_asked)
        panel.region.layers = list

    def _shapes(self) -> list[str]:
        layers = self._desk.viewer.layers
        return [layer.name for layer in layers if isinstance(layer, Shapes) and not is_ours(layer)]

    def _region_changed(self, text: str) -> None:
        """Another region; where the mouse chose it, Qt tells at once that something was chosen, too."""
        self._fresh = True
        QTimer.singleShot(0, self._grow_old)
        self._take_region(text)

    def _grow_old(self) -> None:
        self._fresh = False

    def _region_asked(self, _place: int) -> None:
        """Chosen with the mouse; the same one again is looked up anew."""
        if not self._fresh:
            self._take_region(self._panel.region.currentText())

    def _take_region(self, text: str) -> None:
        from napari_unetsharp.widgets.review_tools import REGION

        self._desk.leave_tool()
        self._show_text(text)
        if text == DRAWN:
            self._desk.take_tool(REGION)
            self._desk.give_focus()
            return
        try:
            region = self._region(text)
        except ReviewError as error:
            self._desk.say(str(error), problem=True)
            self._back_to_everywhere()
            return
        self._serve_from(region, [])

    def _region(self, text: str) -> Region:
        """What is meant by a text of the combo box."""
        if text in self._named:
            return self._named[text]
        if text == HERE:
            return self._desk.canvas.view()
        if not text.startswith(IN_LAYER):
            return None
        layers = self._desk.viewer.layers
        name = text.removeprefix(IN_LAYER)
        if name not in layers or not isinstance(layers[name], Shapes):
            raise ReviewError(f"the layer {name} is gone; choose another region")
        region = DrawnRegion.of(polygons_of(layers[name], self._desk.canvas.states), self._shape)
        layers.selection.active = self._desk.subject.layer  # with their own layer active, our keys would be off
        return region

    @property
    def _shape(self) -> tuple[int, int]:
        rows, columns = self._desk.session.review.labels.shape
        return int(rows), int(columns)

    def take_drawn(self, points: Sequence[Sequence[float]]) -> None:
        """Serve what lies within a line that was drawn."""
        try:
            region = DrawnRegion.of([points], self._shape)
        except ReviewError as error:
            self._desk.say(str(error), problem=True)
            self._back_to_everywhere()
            return
        self._show_text(DRAWN)
        self._serve_from(region, points)

    def serve(self, region: Region, name: str, order: str) -> None:
        """Serve what another stage found, under a name that stays in the combo box until another one is chosen.

        Parameters
        ----------
        region : Region
        name : str
            On screen, such as "differences".
        order : str
            One of `ORDERS`; the doubtful ones alone would leave out most of it.
        """
        self._desk.leave_tool()
        self._named = {name: region}
        for combo, text in ((self._panel.order, order), (self._panel.region, name)):
            combo.blockSignals(True)
            if combo.findText(text) < 0:
                combo.addItem(text)
            combo.setCurrentText(text)
            combo.blockSignals(False)
        self._serve_from(region, [])

    def drop_drawn(self) -> None:
        """Nothing was drawn after all."""
        if self._panel.region.currentText() == DRAWN and not self._drawn:
            self._back_to_everywhere()

    def _back_to_everywhere(self) -> None:
        self._show_text(EVERYWHERE)
        self._serve_from(None, [])

    def _show_text(self, text: str) -> None:
        self._panel.region.blockSignals(True)
        self._panel.region.setCurrentText(text)
        self._panel.region.blockSignals(False)

    def _serve_from(self, region: Region, points: Sequence[Sequence[float]]) -> None:
        self._desk.session.queue.region, self._drawn = region, bool(len(points))
        self._desk.canvas.overlay.show_region(points)
        self._choose()

    def _choose(self, _text: str = "") -> None:
        queue, panel = self._desk.session.queue, self._panel
        queue.order, queue.wanted = panel.order.currentText(), STATES[panel.state.currentText()]
        queue.refresh()
        self._changed()
