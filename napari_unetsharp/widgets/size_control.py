"""The button that puts the nucleus size onto the image, and what it says about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_unetsharp.widgets.size_ring import SizeRing

if TYPE_CHECKING:
    from magicgui.widgets import FloatSpinBox
    from napari import Viewer

_UNKNOWN = 20.0
"""Diameter of the ring in pixels while nothing was set or estimated."""


class SizeControl(QPushButton):
    """Shows a ring as large as a typical nucleus; dragging it sets the form's size.

    Parameters
    ----------
    field : FloatSpinBox
        Diameter in pixels, 0 for "estimated".
    viewer : callable
        The window's viewer.
    layer : callable
        The chosen image, or None.
    estimate : callable
        The diameter that the last run on it took, or None.

    Signals
    -------
    dragged(str)
        What to tell the person.
    """

    dragged = Signal(str)

    def __init__(
        self,
        field: FloatSpinBox,
        viewer: Callable[[], Viewer],
        layer: Callable[[], ImageLayer | None],
        estimate: Callable[[], float | None],
    ) -> None:
        super().__init__("Show the size on the image")
        self.setCheckable(True)
        self.setToolTip("A ring as large as a typical nucleus; drag its corners until it fits one")
        self._field, self._viewer, self._layer, self._estimate = field, viewer, layer, estimate
        self.ring = SizeRing(self)
        self.ring.dragged.connect(self._dragged)
        self.toggled.connect(self._toggled)
        field.changed.connect(self._set)

    def follow(self) -> None:
        """The image or the layers changed: a ring that is gone unchecks the button."""
        if self.isChecked() and not self.ring.shown_in(self._viewer()):
            self.setChecked(False)

    def describe(self, diameter: float) -> str:
        """A diameter in px, and in µm where the image knows its scale."""
        layer = self._layer()
        text = f"{diameter:.0f} px"
        if layer is not None and str(layer.units[-1]) in ("micrometer", "micron", "µm", "um"):
            text += f" ({diameter * layer.scale[-1]:.1f} µm)"
        return text

    def sentence(self, diameter: float) -> str:
        """What a run took."""
        origin = "as you set it" if float(self._field.value) else "estimated"
        return f"A nucleus is about {self.describe(diameter)} across, {origin}."

    def _toggled(self, wanted: bool) -> None:
        layer = self._layer()
        if not wanted:
            self.ring.hide(self._viewer())
        elif layer is None:
            self.setChecked(False)
        else:
            self.ring.show(self._viewer(), layer, float(self._field.value) or self._estimate() or _UNKNOWN)

    def _dragged(self, diameter: float) -> None:
        with self._field.changed.blocked():
            self._field.value = round(diameter, 1)
        self.dragged.emit(f"A nucleus is about {self.describe(diameter)} across. Press Find nuclei to use it.")

    def _set(self, value: Any) -> None:
        if value and self.ring.shown_in(self._viewer()):
            self.ring.resize(float(value))
