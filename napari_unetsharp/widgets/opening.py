"""Opening pictures, slides, scans and models, without napari's reader dialog; a problem is one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.nuclei.label_look import as_mask
from napari_unetsharp.widgets.mask_offer import OpenedMask
from napari_unetsharp.widgets.model_dialog import PublishedModelDialog
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.pixel_size import is_answered
from napari_unetsharp.widgets.pixel_size_form import PixelSizeForm, resize
from napari_unetsharp.widgets.reader import layers_from, layers_from_image, opens_as_one, what_is
from napari_unetsharp.widgets.slide_find_place import is_run
from napari_unetsharp.widgets.slide_layers import NO_SIZE, PICTURES, LayerData, said_of, slide_of
from napari_unetsharp.widgets.slide_levels import overviews_of
from napari_unetsharp.widgets.slide_pictures import WORDS, SlidePicture, read_picture
from napari_unetsharp.widgets.source import NOTES, PATH

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["Opening", "opens_as_one"]

KINDS = (
    "Pictures, slides and scans (*.tif *.tiff *.png *.jpg *.jpeg *.bmp *.dcm *.dicom *.ima *.svs *.ndpi *.mrxs *.scn "
    "*.bif *.vms *.vmu *.svslide *.qptiff *.btf *.tf8 *.tf2 *.nii *.nii.gz *.nrrd *.nhdr);;All (*)"
)
CHECKPOINTS = "Checkpoints (*.safetensors *.pth *.pt);;All (*)"
_LOOK_AGAIN = 700


class Opening(QWidget):
    """The buttons *Open…*, *More* and *Other model…*, and the question for a slide's pixel size.

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
        The new image layer, and what to say about it; also where napari opened it with our reader.
    mask(object)
        An `OpenedMask`: the file looks like a mask of nuclei, and nothing was added yet.
    model(object, str)
        The loaded checkpoint, and its path.
    results(str)
        The folder is a run over a slide.
    problem(str)
        Why it can't be opened, and what to do.
    """

    began = Signal()
    image = Signal(object, str)
    mask = Signal(object)
    model = Signal(object, str)
    results = Signal(str)
    problem = Signal(str)

    def __init__(self, models: ModelList, viewer: Callable[[], Viewer]) -> None:
        super().__init__()
        self.models, self._viewer = models, viewer
        self._adding = False
        self._new: list[ImageLayer] = []
        self._build()
        self._announcing, self._filling = QTimer(self), QTimer(self)
        self._announcing.setSingleShot(True)
        self._announcing.timeout.connect(self._announce)
        self._filling.setInterval(_LOOK_AGAIN)
        self._filling.timeout.connect(self._show_filled)
        viewer().layers.events.inserted.connect(self._inserted)
        viewer().layers.events.removed.connect(self._removed)
        for layer in viewer().layers:
            self._look_after(layer)

    def _build(self) -> None:
        self.open_button, self.more_button = QPushButton("Open…"), QPushButton("More")
        self.open_button.setToolTip("Open a picture, a slide or a scan: TIFF, PNG, JPEG, DICOM, SVS, NDPI, NIfTI …")
        self.more_button.setToolTip("Open an OME-Zarr or DICOM folder; the slide's label and pixel size")
        self.menu = QMenu(self.more_button)
        self.menu.aboutToShow.connect(self.offer)
        self.more_button.setMenu(self.menu)
        self.other_button = QPushButton("Other model…")
        self.other_button.setToolTip("Load a checkpoint: .safetensors, or .pth in the published layout")
        self.pixel_size = PixelSizeForm()
        self.pixel_size.answered.connect(self._resize)
        self.pixel_size.failed.connect(self.problem)
        row = QHBoxLayout()
        for made in (self.open_button, self.more_button, self.other_button):
            row.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.pixel_size)
        self.open_button.clicked.connect(self._ask_for_image)
        self.other_button.clicked.connect(self._ask_for_model)
        self.offer()

    def _ask_for_image(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a picture, a slide or a scan", "", KINDS)
        if path:
            self.open_image(path)

    def _ask_for_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open an OME-Zarr or DICOM folder, or results of a slide")
        if path:
            self.open_image(path)

    def _ask_for_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", CHECKPOINTS)
        if path:
            self.open_model(path)

    # what More offers

    def offer(self) -> None:
        """Fill the menu with what the open layers have."""
        self.menu.clear()
        self.menu.addAction("Open a folder (OME-Zarr, DICOM, results)…").triggered.connect(self._ask_for_folder)
        layer, slide = self._described_layer(), self._shown_slide()
        names = layer.metadata.get(PICTURES, ()) if layer is not None else ()
        if names or slide is not None:
            self.menu.addSeparator()
        for name in names:
            text = WORDS.get(name, f"Picture {name} in the file…")
            self.menu.addAction(text).triggered.connect(lambda _=False, name=name: self.show_picture(name))
        if slide is not None:
            size = self.menu.addAction("Pixel size of the slide…")
            size.setEnabled(slide.um_per_pixel is None)
            size.triggered.connect(self._ask_size)

    def _described_layer(self) -> Any:
        """The active layer where it comes from our readers, else the topmost that does."""
        layers = self._viewer().layers
        own = [layer for layer in layers if PATH in layer.metadata]
        return layers.selection.active if layers.selection.active in own else next(reversed(own), None)

    def _shown_slide(self) -> Slide | None:
        return slide_of(self._described_layer())

    def show_picture(self, name: str) -> SlidePicture | None:
        """Show a picture that comes with the slide ("label", "macro") in a window of its own."""
        layer = self._described_layer()
        try:
            pixels = read_picture(layer.metadata[PATH], name)
        except UNetSharpError as error:
            self.problem.emit(str(error))
            return None
        window = SlidePicture(f"{name} of {Path(layer.metadata[PATH]).name}", pixels, self)
        window.show()
        return window

    # pictures, slides and scans

    def open_image(self, path: str) -> None:
        """Open what a path holds and add it as layers; of a mask of nuclei ask what to do with it."""
        self.began.emit()
        if is_run(Path(path)):
            self.results.emit(path)
            return
        try:
            if what_is(Path(path)) != "picture":
                self._add(layers_from(Path(path)))
                return
            image = read_image(path)
            labels = as_mask(image, path)
            if labels is None:
                self.add_image(image, path)
            else:
                self.mask.emit(OpenedMask(path, image, labels))
        except UNetSharpError as error:
            self.problem.emit(str(error))

    def add_image(self, image: Image, path: str) -> None:
        """Add what was read from a file as image layers."""
        self._add(layers_from_image(image, Path(path)))

    def _add(self, made: Sequence[LayerData]) -> None:
        viewer = self._viewer()
        self._adding = True
        try:
            layers = [viewer.add_image(pixels, **keywords) for pixels, keywords, _ in made]
        finally:
            self._adding = False
        viewer.layers.selection.active = layers[0]
        self._say(layers[0])

    def _say(self, layer: ImageLayer) -> None:
        notes = list(layer.metadata[NOTES])
        if slide_of(layer) is not None:
            notes.insert(0, said_of(layer))
        if self._look_after(layer):
            notes = [note for note in notes if note != NO_SIZE]  # the question says it
        if overviews_of(layer) is not None:
            notes.append("The file holds no small sizes: the whole is filled in bit by bit.")
        self.image.emit(layer, " ".join(notes))

    def _look_after(self, layer: Any) -> bool:
        """Ask for what a slide's file doesn't say, and draw what is filled in; whether a question was put."""
        slide = slide_of(layer)
        if slide is not None and overviews_of(layer) is not None:
            self._filling.start()
        if slide is None or is_answered(slide):
            return False
        self.pixel_size.ask(slide)
        return True

    def _inserted(self, event: Any) -> None:
        """Layers that napari added: what our reader gave is said once all of them are there."""
        layer = event.value
        ours = isinstance(layer, ImageLayer) and layer.source.reader_plugin == "napari-unetsharp"
        if ours and not self._adding and NOTES in layer.metadata:
            self._new.append(layer)
            self._announcing.start(0)

    def _announce(self) -> None:
        there = [layer for layer in self._new if layer in self._viewer().layers]
        self._new = []
        if there:
            self._say(there[0])
        for layer in there[1:]:
            self._look_after(layer)

    def _removed(self, event: Any) -> None:
        left = [slide for layer in self._viewer().layers if (slide := slide_of(layer)) is not None]
        self.pixel_size.keep_only([slide.path for slide in left])

    def _show_filled(self) -> None:
        """Draw again what was decoded meanwhile."""
        found = [(layer, own) for layer in self._viewer().layers if (own := overviews_of(layer)) is not None]
        if not found:
            self._filling.stop()
        for layer, overviews in found:
            if overviews.drawn != overviews.filled:
                overviews.drawn = overviews.filled
                layer.refresh(extent=False)

    # pixel size

    def _ask_size(self) -> None:
        if (slide := self._shown_slide()) is not None:
            self.pixel_size.ask(slide, now=True)

    def _resize(self, slide: Slide, size: tuple[float, float] | None) -> None:
        resize(self._viewer(), slide, size)

    # models

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
