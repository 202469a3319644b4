"""The small pictures in a slide's file (label, macro), each in a window of its own and only when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QDialog, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unetsharp.images.slide_open import open_slide

_SIDE = 560

WORDS = {
    "label": "Label of the slide (may show a name)…", "macro": "Photograph of the slide (may show its label)…",
    "thumbnail": "Thumbnail in the file…", "overview": "Overview in the file (may show the label)…",
}  # fmt: skip
"""Entries of the menu, by the picture's name in the file."""


def read_picture(path: str, name: str) -> NDArray[np.uint8]:
    """Read a picture that comes with a slide: uint8 (Y, X, 3); raises `ImageError`."""
    with open_slide(Path(path)) as slide:
        pixels = slide.picture(name)
    if pixels.dtype != np.uint8:
        top = float(pixels.max()) or 1.0
        pixels = (pixels * (255.0 / top)).astype(np.uint8)
    colours = pixels if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    return np.ascontiguousarray(colours[..., :3])


class SlidePicture(QDialog):
    """A picture in a window that is no layer, so that no screenshot or file of the work shows what is on it.

    Parameters
    ----------
    title : str
    pixels : array of uint8, (Y, X, 3)
    parent : QWidget
    """

    def __init__(self, title: str, pixels: NDArray[Any], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        self._whole = QPixmap.fromImage(image.copy())
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.picture)
        share = _SIDE / max(height, width)
        self.resize(QSize(max(240, round(width * share)) + 12, max(120, round(height * share)) + 12))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Qt: the picture keeps its proportions."""
        self.picture.setPixmap(
            self._whole.scaled(
                self.contentsRect().size() - QSize(12, 12), Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        )  # fmt: skip
