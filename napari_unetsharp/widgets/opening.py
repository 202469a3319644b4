"""Opening pictures and models, without napari's reader dialog; a problem is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.label_look import as_mask
from napari_unetsharp.widgets.mask_offer import OpenedMask
from napari_unetsharp.widgets.model_dialog import PublishedModelDialog
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.source import PATH, add_image_layer

if TYPE_CHECKING:
    from napari import Viewer

PICTURES = "Pictures (*.tif *.tiff *.png *.jpg *.jpeg *.bmp *.dcm *.dicom *.ima);;All (*)"
CHECKPOINTS = "Checkpoints (*.safetensors *.pth *.pt);;All (*)"


class Opening(QWidget):
    """The buttons *Open…* and *Other model…*.

    Parameters
    ----------
    models : ModelList
    viewer : callable
        The window's viewer.

    Signals
    -------
    began()
        Something is being opened.
    image(object, str)
        The new image layer, and what to say about it.
    mask(object)
        An `OpenedMask`: the file looks like a mask of nuclei, and nothing was added yet.
    model(object, str)
        The loaded checkpoint, and its path.
    problem(str)
        Why it can't be opened, and what to do.
    """

    began = Signal()
    image = Signal(object, str)
    mask = Signal(object)
    model = Signal(object, str)
    problem = Signal(str)

    def __init__(self, models: ModelList, viewer: Callable[[], Viewer]) -> None:
        super().__init__()
        self.models, self._viewer = models, viewer
        self.open_button = QPushButton("Open…")
        self.open_button.setToolTip("Open a picture: TIFF, PNG, JPEG or DICOM")
        self.other_button = QPushButton("Other model…")
        self.other_button.setToolTip("Load a checkpoint: .safetensors, or .pth in the published layout")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.open_button)
        layout.addWidget(self.other_button)
        self.open_button.clicked.connect(self._ask_for_image)
        self.other_button.clicked.connect(self._ask_for_model)

    def _ask_for_image(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a picture", "", PICTURES)
        if path:
            self.open_image(path)

    def _ask_for_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", CHECKPOINTS)
        if path:
            self.open_model(path)

    def open_image(self, path: str) -> None:
        """Read a picture and add it as a layer; of a mask of nuclei ask what to do with it."""
        self.began.emit()
        try:
            image = read_image(path)
        except UNetSharpError as error:
            self.problem.emit(str(error))
            return
        labels = as_mask(image, path)
        if labels is None:
            self.add_image(image, path)
        else:
            self.mask.emit(OpenedMask(path, image, labels))

    def add_image(self, image: Image, path: str) -> None:
        """Add what was read from a file as an image layer."""
        layer = add_image_layer(self._viewer(), image)
        layer.metadata[PATH] = path
        self.image.emit(layer, " ".join(image.notes))

    def open_model(self, path: str) -> None:
        """Load a checkpoint, asking once for what a published file doesn't say."""
        self.began.emit()
        try:
            if self.models.needs_answer(path):
                dialog = PublishedModelDialog(Path(path).name, self)
                if not dialog.exec():
                    return
                self.models.answer(path, dialog.normalisation.value, dialog.nucleus_size.value)
            checkpoint = self.models.load(path)
            self.models.add(path)
        except UNetSharpError as error:
            self.problem.emit(str(error))
            return
        self.model.emit(checkpoint, path)
