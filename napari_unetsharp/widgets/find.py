"""Stage *Find*: run the network on the open image and look at what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.inference.live_results import LiveResults
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Index, PlaneDone, Results, TileDone
from napari_unetsharp.network.grid import LEVELS
from napari_unetsharp.widgets.find_form import DRAWN
from napari_unetsharp.widgets.find_frame import FindFrame
from napari_unetsharp.widgets.job import FindJob, chosen_shapes, find_steps, job_from_form
from napari_unetsharp.widgets.layers import ResultLayers
from napari_unetsharp.widgets.live import Live
from napari_unetsharp.widgets.live_job import after
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.relabel import Relabeller
from napari_unetsharp.widgets.slide_find import SlideFind
from napari_unetsharp.widgets.slide_layers import slide_of
from napari_unetsharp.widgets.source import plane_on_screen

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.nuclei.instances import LabelSettings
    from napari_unetsharp.slides.store import SlideStore

AREA = "UNet# area"


class FindStage(FindFrame):
    """Forms, the button, what is found, and the views.

    Parameters
    ----------
    viewer : napari.Viewer
    models : ModelList

    Attributes
    ----------
    results : WeakKeyDictionary of Image layer to ResultLayers
        One set of thirteen layers per image.
    finished : Signal
        A run or a live look ended: done, cancelled or failed.
    """

    finished = Signal()

    def __init__(self, viewer: Viewer, models: ModelList) -> None:
        super().__init__(viewer, models)
        self._running_on: ImageLayer | None = None
        self.relabeller = Relabeller(self._to_relabel, self)
        self.slides = SlideFind(self)
        self.live = Live(self)
        self._connect()
        self.refresh_models()
        self.reset_choices()
        self._show_device()

    def _connect(self) -> None:
        self.opening.began.connect(self.message.clear)
        self.opening.began.connect(self.mask_offer.forget)
        self.opening.mask.connect(self.mask_offer.ask)
        self.mask_offer.labels.connect(self._open_labels)
        self.mask_offer.picture.connect(lambda mask: self.opening.add_image(mask.picture, mask.path))
        self.opening.problem.connect(self.message.problem)
        self.opening.image.connect(self._image_opened)
        self.opening.model.connect(self._model_opened)
        self.size_button.dragged.connect(self.message.note)
        self.run_button.pressed.connect(self.run)
        self.run_button.step.connect(self._on_step)
        self.run_button.failed.connect(self.show_error)
        self.run_button.finished.connect(self._on_finished)
        self.views.edit_pressed.connect(self._edit_copy)
        self.relabeller.done.connect(self._on_relabelled)
        self.relabeller.failed.connect(self.show_error)
        self.form.image.changed.connect(self._follow)
        self.form.model.changed.connect(self._forget_model)
        self.form.device.changed.connect(self._show_device)
        self.form.depth.changed.connect(self._depth_changed)
        self.form.where.changed.connect(self._where_changed)
        for widget in (self.label_form.threshold, self.label_form.smallest, self.label_form.split):
            widget.changed.connect(self.relabeller.soon)
        self.label_form.shown.changed.connect(self._show_level)
        self.viewer.layers.events.inserted.connect(self.reset_choices)
        self.viewer.layers.events.removed.connect(self._layer_removed)
        self.viewer.dims.events.current_step.connect(self._follow)

    @property
    def running(self) -> bool:
        """Whether the network is at work, or its layers are still being added."""
        return self.run_button.running or self.views.adding or self.live.running or self.slides.running

    # running

    def run(self) -> None:
        """Start on what the form says; problems appear as one sentence."""
        self.message.clear()
        self.live.end()
        layer, slide = self.layer, slide_of(self.layer)
        if layer is not None and slide is not None:
            self._running_on = layer if self.slides.run(layer, slide) else None
            return
        try:
            job = job_from_form(self.viewer, self.form)
        except UNetSharpError as error:
            self.message.problem(str(error))
            return
        found = self.room_for(job)
        self._running_on = job.layer
        self.message.note("Preparing…")
        self.run_button.start(after, self.live.idle, find_steps, self.models, job, found.results, self._settings)

    def _settings(self) -> LabelSettings:
        """Asked by the run when it labels a plane: the sliders may have moved meanwhile."""
        return self.label_form.settings

    def store_of(self, layer: ImageLayer) -> SlideStore | None:
        """What was found on a slide, open for writing where nobody else has it; None where nothing was."""
        return self.slides.store_of(layer)

    def _estimated_size(self) -> float | None:
        store = self.slides.store_of(self.layer) if self.layer is not None else None
        return super()._estimated_size() if store is None else store.about.nucleus_size

    def refresh_slide(self, layer: ImageLayer) -> None:
        """Draw a slide's results as they are on disk now."""
        if layer in self.slides.layers:
            self.slides.layers[layer].refresh()

    def room_for(self, job: FindJob) -> ResultLayers:
        """The result layers of an image, or new ones if there are none that fit its shape."""
        found = self.results.get(job.layer)
        if found is None or found.results.shape != (*job.image.stack_shape, *job.image.plane_shape):
            if found is not None:
                found.remove_all()
            found = self.results[job.layer] = ResultLayers(self.viewer, job.layer, LiveResults(job.image))
        found.results.replace_image(job.image)
        return found

    def _on_step(self, step: Any) -> None:
        if self._running_on is None or self._running_on not in self.viewer.layers:
            return
        if slide_of(self._running_on) is not None:
            self.slides.on_step(self._running_on, step)
            return
        found = self.results[self._running_on]
        if isinstance(step, Predictor):
            self.begin(found, step)
        elif isinstance(step, TileDone):
            self.message.note(self.run_button.show_tile(step))
            found.refresh(set(step.tile.full))
        elif isinstance(step, PlaneDone):
            self.views.end_preview()
            found.refresh()
            self.views.refresh_pictures()
            self._say_counts(found, step.nuclei, step.stopped)

    def begin(self, found: ResultLayers, predictor: Predictor) -> None:
        """The model is on its device: make the layers."""
        self.use(predictor.checkpoint)
        levels = [level for level in LEVELS if level in found.results.labels]
        shown = predictor.level if predictor.level in levels else max(levels, default=predictor.level)
        with self.label_form.shown.changed.blocked():
            self.label_form.shown.choices = [(f"depth {level}", level) for level in levels]
            self.label_form.shown.value = shown
        found.show(predictor.checkpoint, shown, self.label_form.settings.threshold)
        self.views.add_layers(found)

    def _say_counts(self, found: ResultLayers, nuclei: dict[int, int], stopped: bool = False) -> None:
        level = self.label_form.shown.value
        count = nuclei.get(level, 0)
        text = f"{count:,} nuclei at depth {level}."
        if not count:
            text = "No nuclei found: move More / fewer to the left, or make Smallest smaller."
        size = found.results.nucleus_size
        if count and size is not None:
            text += f" {self.size_button.sentence(size)}"
        if stopped:
            text = f"Stopped; what was finished is kept. {text}"
        self.message.note(" ".join([text, *found.results.notes]))

    def show_error(self, error: Exception) -> None:
        """Say why a run or a live look ended."""
        if isinstance(error, UNetSharpError):
            self.message.problem(str(error))
        else:
            kind = type(error).__name__
            self.message.problem(f"Unexpected {kind}: {error}. Finished tiles are kept; please report this.")

    def _on_finished(self) -> None:
        layer, self._running_on = self._running_on, None
        if slide_of(layer) is not None:
            self.slides.on_finished(layer)
        self.views.end_preview()
        self.views.refresh()
        self.finished.emit()

    # reading the maps again

    def _to_relabel(self) -> tuple[Results, Index, LabelSettings, int] | None:
        """The plane on screen with the settings of the form, if there is anything to label."""
        found, layer = self.found, self.layer
        if found is None or layer is None or self.run_button.running or self.live.at_work:
            return None
        index = plane_on_screen(self.viewer, layer)
        if index not in found.results.planes_computed():
            return None
        return found.results, index, self.label_form.settings, self.label_form.shown.value

    def _on_relabelled(self, results: Results, nuclei: dict[int, int]) -> None:
        found = self.found
        if found is not None and found.results is results:
            found.set_threshold(self.label_form.settings.threshold)
            found.refresh()
            self._say_counts(found, nuclei)

    def _show_level(self, level: int | None) -> None:
        if self.found is not None and level is not None:
            self.found.show_only_level(level)
            self.relabeller.now()

    # following

    def _follow(self, event: Any = None) -> None:
        """Another image or plane is on screen."""
        layer = self.layer
        self.form.planes.visible = layer is not None and layer.ndim > 2
        index = plane_on_screen(self.viewer, layer) if layer is not None and layer in self.viewer.layers else ()
        if slide_of(layer) is None:
            self.views.follow(self.found, index)
        self.slides.follow()
        if self.found is not None and index in self.found.results.planes_computed():
            self.views.refresh_pictures()
            self.relabeller.soon()

    def _depth_changed(self, depth: int | None) -> None:
        self.views.depth = depth or max(LEVELS)
        self.views.refresh()

    def _forget_model(self, value: Any = None) -> None:
        """Another model was chosen; what it offers is known once it is loaded."""
        self.use(None)

    def _layer_removed(self, event: Any = None) -> None:
        if self._running_on is not None and self._running_on not in self.viewer.layers:
            self.run_button.quit()
            self.message.problem("The image was closed, so the run was stopped; open it again to go on.")
        self.size_button.follow()
        self.reset_choices()
        self.slides.forget_removed()

    def _where_changed(self, value: str | None) -> None:
        if value == DRAWN and chosen_shapes(self.viewer) is None:
            layer, place = self.layer, {}
            if layer is not None:  # napari asks for the same units everywhere
                place = {name: getattr(layer, name)[-2:] for name in ("scale", "translate", "units")}
            shapes = self.viewer.add_shapes(
                name=AREA, edge_color="#F0E442", face_color="transparent", edge_width=3, **place
            )
            shapes.mode = "add_rectangle"
            self.message.note("Drag a rectangle on the image, then press Find nuclei.")

    def _edit_copy(self) -> None:
        if self.found is not None:
            self.message.clear()
            copy = self.found.edit_copy(self.label_form.shown.value)
            self.message.note(f"{copy.name} is yours to paint on; no run will touch it.")
