"""The question how large a pixel is, in the dock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.errors import SaveError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.widgets.pixel_size import PixelSize, pixel_size_of, remember
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.slide_layers import slide_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

USUAL = 0.25
"""µm per pixel at 40x, where most scanners work."""


class PixelSizeForm(QWidget):
    """Asks for the µm per pixel of a slide whose file doesn't say; the answer is remembered for the slide's content.

    Of several such slides one is asked about at a time.

    Signals
    -------
    answered(object, object)
        The slide, and its pixel size or None.
    failed(str)
        The answer counts now, and can't be remembered.
    """

    answered = Signal(object, object)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._slides: list[Slide] = []
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.field = QDoubleSpinBox()
        self.field.setDecimals(4)
        self.field.setRange(0.01, 50)
        self.field.setSingleStep(0.05)
        self.field.setSuffix(" µm per pixel")
        self.field.setToolTip("Most scanners: 0.25 µm at 40x, 0.5 µm at 20x")
        self.use_button = button("Use", "Take this as the size of a pixel of the slide, now and next time", self._use)
        self.unknown_button = button("I don't know", "Lengths stay in pixels; you won't be asked again", self._unknown)
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in (self.field, self.use_button, self.unknown_button):
            row.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.hide()

    @property
    def slide(self) -> Slide | None:
        """What is asked about now."""
        return self._slides[0] if self._slides else None

    def ask(self, slide: Slide, now: bool = False) -> None:
        """Put the question, at once or when those that were put before are answered."""
        others = [other for other in self._slides if other.path != slide.path]
        if not now and len(others) < len(self._slides):
            return
        self._slides = [slide, *others] if now else [*others, slide]
        self._show()

    def _show(self) -> None:
        slide = self.slide
        if slide is None:
            self.hide()
            return
        self.text.setText(f"{slide.path.name} doesn't say how large a pixel is. Most scanners: 0.25 µm at 40x.")
        known = pixel_size_of(slide)
        self.field.setValue(known[0] if known else USUAL)
        self.show()

    def keep_only(self, paths: Sequence[Path]) -> None:
        """The other slides are gone."""
        asked = self.slide
        self._slides = [slide for slide in self._slides if slide.path in paths]
        if self.slide is not asked:
            self._show()

    def _use(self) -> None:
        self._say((self.field.value(), self.field.value()))

    def _unknown(self) -> None:
        self._say(None)

    def _say(self, size: PixelSize | None) -> None:
        if not self._slides:
            return
        slide, trouble = self._slides.pop(0), ""
        self._show()
        try:
            remember(slide, size)
        except SaveError as error:
            trouble = str(error)
        self.answered.emit(slide, size)
        if trouble:
            self.failed.emit(trouble)


def resize(viewer: ViewerModel, slide: Slide, size: PixelSize | None) -> None:
    """Give all layers of a slide its pixel size, and move the camera along so that the same place stays in view."""
    layers = [layer for layer in viewer.layers if (own := slide_of(layer)) is not None and own.path == slide.path]
    wanted = size or (1.0, 1.0)
    for layer in layers:
        before = float(layer.scale[-1])
        layer.scale = (*layer.scale[:-2], *wanted)
        layer.units = (*layer.units[:-2], *(("micrometer",) * 2 if size else ("pixel",) * 2))
    if layers:
        ratio = wanted[1] / before
        camera = viewer.scene.camera
        *ahead, y, x = camera.center
        camera.center = (*ahead, y * ratio, x * ratio)
        camera.zoom /= ratio
