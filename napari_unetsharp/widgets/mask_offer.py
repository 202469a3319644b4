"""A picture that looks like a mask: start a review from it, or open it as a picture all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.images.image import Image
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.source import image_from_layer


@dataclass(frozen=True)
class OpenedMask:
    """What was opened.

    Attributes
    ----------
    path : str
    picture : Image
        As it would be shown if it were a picture.
    labels : Image
    """

    path: str
    picture: Image
    labels: Image


class MaskOffer(QWidget):
    """Says what a file seems to be, with a button for each thing to do with it.

    Parameters
    ----------
    layer : callable
        The image layer that is chosen, or None.

    Signals
    -------
    review(str)
        Start a review of the chosen image from this file.
    labels(object), picture(object)
        Open it as a layer of labels, or as a picture: an `OpenedMask`.
    """

    review = Signal(str)
    labels = Signal(object)
    picture = Signal(object)

    def __init__(self, layer: Callable[[], ImageLayer | None]) -> None:
        super().__init__()
        self._layer = layer
        self._mask: OpenedMask | None = None
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.review_button = button("Start review", "Start a review of the open image from these nuclei", self._review)
        self.labels_button = button("As labels", "Open it as a layer of labels", self._labels)
        self.picture_button = button("As a picture", "Open it as an image all the same", self._picture)
        row = QHBoxLayout()
        row.setSpacing(4)
        for made in (self.review_button, self.labels_button, self.picture_button):
            row.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.hide()

    def ask(self, mask: OpenedMask) -> None:
        """Ask what to do with a mask."""
        self._mask = mask
        layer, name = self._layer(), Path(mask.path).name
        nuclei = len(np.unique(mask.labels.pixels)) - 1
        sides = None if layer is None else image_from_layer(layer).plane_shape
        fits = sides == mask.labels.plane_shape
        text = f"{name} looks like a mask of {nuclei:,} nuclei."
        if layer is None or sides is None:
            text += " Open its image first to start a review from it."
        elif not fits:
            (height, width), (rows, columns) = mask.labels.plane_shape, sides
            text += f" It has {width} x {height} px and {layer.name} {columns} x {rows} px, so it isn't a mask of that."
        else:
            text += f" It fits {layer.name}."
        self.text.setText(text)
        self.review_button.setVisible(fits)
        self.show()

    def forget(self) -> None:
        """Something else was done."""
        self._mask = None
        self.hide()

    def _take(self) -> OpenedMask | None:
        mask = self._mask
        self.forget()
        return mask

    def _review(self) -> None:
        if (mask := self._take()) is not None:
            self.review.emit(mask.path)

    def _labels(self) -> None:
        if (mask := self._take()) is not None:
            self.labels.emit(mask)

    def _picture(self) -> None:
        if (mask := self._take()) is not None:
            self.picture.emit(mask)
