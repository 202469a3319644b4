"""What stage *Find* is made of: forms, buttons, what is chosen, and the opening of pictures and models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.errors import SettingsError, UNetSharpError
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.widgets.find_form import FindForm, LabelForm
from napari_unetsharp.widgets.layers import KEY, ResultLayers
from napari_unetsharp.widgets.mask_offer import MaskOffer, OpenedMask
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.opening import Opening
from napari_unetsharp.widgets.preferences import preferences
from napari_unetsharp.widgets.run_button import RunButton
from napari_unetsharp.widgets.size_control import SizeControl
from napari_unetsharp.widgets.slide_find_form import SlideForm
from napari_unetsharp.widgets.slide_find_views import FindViews
from napari_unetsharp.widgets.views import wrapping

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.network.checkpoint import Checkpoint


class FindFrame(QWidget):
    """Widgets of the stage, without the running.

    Parameters
    ----------
    viewer : napari.Viewer
    models : ModelList
    """

    def __init__(self, viewer: Viewer, models: ModelList) -> None:
        super().__init__()
        self._viewer = ref(viewer)
        self.models = models
        self.results: WeakKeyDictionary[ImageLayer, ResultLayers] = WeakKeyDictionary()
        self._build()
        self._apply_preferences()

    def _follow(self, event: Any = None) -> None:
        """Another image or plane is on screen; the stage says what that means."""

    def _build(self) -> None:
        self.form, self.label_form = FindForm(), LabelForm()
        self.opening = Opening(self.models, lambda: self.viewer)
        self.size_button = SizeControl(
            self.form.nucleus_size, lambda: self.viewer, lambda: self.layer, self._estimated_size
        )
        self.device_label = wrapping("")
        self.run_button = RunButton("Find nuclei")
        self.live_button = QPushButton("Live")
        self.live_button.setCheckable(True)
        self.live_button.setMinimumHeight(self.run_button.button.minimumHeight())
        self.live_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.live_button.setToolTip("Find nuclei in whatever comes into view, as you move: depth 1 at once, then yours")
        self.message = Message()
        self.mask_offer = MaskOffer(lambda: self.layer)
        self.views = FindViews(self.viewer)
        self.slide_form = SlideForm()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.opening)
        layout.addWidget(self.mask_offer)
        for widget in (self.form.native, self.slide_form, self.size_button, self.device_label):
            layout.addWidget(widget)
        runs = QHBoxLayout()
        runs.addWidget(self.run_button, 1)
        runs.addWidget(self.live_button, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(runs)
        for widget in (self.message, self.label_form.native, self.views):
            layout.addWidget(widget)
        layout.addStretch(1)

    def _apply_preferences(self) -> None:
        kept = preferences()
        self.form.device.value, self.form.depth.value = kept.device, kept.depth
        self.label_form.threshold.value, self.label_form.smallest.value = kept.threshold, kept.smallest
        self.views.depth = kept.depth

    @property
    def viewer(self) -> Viewer:
        """The window's viewer; the dock doesn't keep it alive."""
        viewer = self._viewer()
        if viewer is None:
            raise SettingsError("the window was closed")
        return viewer

    @property
    def layer(self) -> ImageLayer | None:
        """The chosen image layer."""
        chosen: ImageLayer | None = self.form.image.value
        return chosen

    @property
    def found(self) -> ResultLayers | None:
        """Result layers of the chosen image."""
        return self.results.get(self.layer) if self.layer is not None else None

    def _estimated_size(self) -> float | None:
        found = self.found
        return None if found is None else found.results.nucleus_size

    def refresh_models(self, select: str | None = None) -> None:
        """Offer shipped and recent models again."""
        choices = self.models.choices()
        names = [value for _, value in choices]
        wanted = select if select in names else self.form.model.value
        self.form.model.choices = choices
        if names:
            self.form.model.value = wanted if wanted in names else names[0]
        else:
            self.message.problem("No model is here yet: press Other model… and choose a checkpoint.")

    def reset_choices(self, event: Any = None) -> None:
        """Offer the image layers of the viewer, our own maps left out; called when layers come or go."""
        own = [layer for layer in self.viewer.layers if isinstance(layer, ImageLayer) and KEY not in layer.metadata]
        current = self.form.image.value
        if [layer for layer in self.form.image.choices if layer is not None] != own:
            self.form.image.choices = own
        if own:
            self.form.image.value = current if current in own else own[-1]
        self._follow()

    # opening

    def open_image(self, path: str) -> None:
        """Read a picture and choose it; a problem appears as one sentence."""
        self.opening.open_image(path)

    def open_model(self, path: str) -> None:
        """Load a checkpoint and choose it; a problem appears as one sentence."""
        self.opening.open_model(path)

    def _image_opened(self, layer: ImageLayer, notes: str) -> None:
        self.reset_choices()
        self.form.image.value = layer
        self.viewer.fit_to_view()
        if notes:
            self.message.note(notes)

    def _open_labels(self, mask: OpenedMask) -> None:
        labels = mask.labels
        self.viewer.add_labels(
            labels.pixels, name=labels.name, scale=labels.scale, units=labels.units, axis_labels=("y", "x")
        )
        self.message.note(f"{labels.name} is a layer of labels now; 2 Review can start from it.")

    def _model_opened(self, checkpoint: Checkpoint, path: str) -> None:
        self.refresh_models(path)
        self.use(checkpoint)
        self.message.note(f"Model {checkpoint.metadata.name} is ready.")

    def use(self, checkpoint: Checkpoint | None) -> None:
        """Offer what a checkpoint has; None while it isn't loaded."""
        self.views.config = None if checkpoint is None else checkpoint.config
        self.form.offer(checkpoint)
        self.views.refresh()

    def _show_device(self, value: Any = None) -> None:
        """The device that a run would take, its name and the reason."""
        try:
            device = choose_device(self.form.device.value)
            self.device_label.setText(f"{device.name} ({device.reason})")
        except UNetSharpError as error:
            self.device_label.setText(str(error))
