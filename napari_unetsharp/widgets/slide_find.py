"""*Find* on a slide: blocks in view first, results on disk and on screen at once, going on where it was left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet, ref

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject, QTimer

from napari_unetsharp.errors import ShapeError, UNetSharpError
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.run import BlockDone, SlideRun
from napari_unetsharp.widgets.find_form import WHOLE
from napari_unetsharp.widgets.live_job import after
from napari_unetsharp.widgets.slide_find_chosen import ChosenRuns
from napari_unetsharp.widgets.slide_find_earlier import earlier_steps
from napari_unetsharp.widgets.slide_find_errand import Errand
from napari_unetsharp.widgets.slide_find_job import (
    EVERYTHING,
    Begun,
    SlideJob,
    Wishes,
    box_of,
    job_on_slide,
    slide_steps,
)
from napari_unetsharp.widgets.slide_find_place import slide_root
from napari_unetsharp.widgets.slide_find_progress import (
    begun_sentence,
    earlier_sentence,
    ended_sentence,
    progress_sentence,
)
from napari_unetsharp.widgets.slide_find_ready import Ready
from napari_unetsharp.widgets.slide_find_relabel import SlideRelabeller
from napari_unetsharp.widgets.slide_find_stores import OpenStores
from napari_unetsharp.widgets.slide_layers import slide_of
from napari_unetsharp.widgets.slide_results import SlideLayers
from napari_unetsharp.widgets.slide_results_drawing import Drawing
from napari_unetsharp.widgets.slide_tissue_control import TissueControl
from napari_unetsharp.widgets.source import plane_on_screen, region_on_screen

if TYPE_CHECKING:
    from napari_unetsharp.images.slide import Slide
    from napari_unetsharp.slides.store import SlideStore
    from napari_unetsharp.widgets.find import FindStage


class SlideFind(QObject):
    """Runs over slides, shows what is found, and reads the maps again with other settings.

    Parameters
    ----------
    stage : FindStage
        Its forms say how to run, its button runs, its message line says what goes on.

    Attributes
    ----------
    layers : WeakKeyDictionary of Image layer to SlideLayers
    wishes : Wishes
        What a run under way reads.
    to_wait_for : list of threading.Event
        Set while nobody else writes the results of a slide; a run waits for them.
    beginning : bool
        Whether a run was started that has no store yet.
    """

    def __init__(self, stage: FindStage) -> None:
        super().__init__(stage)
        self._stage = ref(stage)
        self.layers: WeakKeyDictionary[ImageLayer, SlideLayers] = WeakKeyDictionary()
        self.stores = OpenStores()
        self.wishes = Wishes(stage.label_form.settings)
        self.tissue = TissueControl(stage, self)
        self.drawing, self.opening = Drawing(self.view, self), Errand(self)
        self.relabelling = SlideRelabeller(stage, self)
        self.ready = Ready(stage.models, self._wish, self)
        self.to_wait_for = [errand.idle for errand in (self.relabelling.errand, self.opening, self.ready.errand)]
        self.beginning = False
        self.chosen = ChosenRuns(stage)
        self._asked: ref[ImageLayer] | None = None
        self._looked: WeakSet[ImageLayer] = WeakSet()
        self._slide: ref[ImageLayer] | None = None
        self._run: SlideRun | None = None
        self._begun, self._where = "", ""
        self._connect(stage)

    def _connect(self, stage: FindStage) -> None:
        self.tissue.painted.connect(self._tissue_changed)
        stage.slide_form.tissue_changed.connect(self._tissue_changed)
        self.opening.step.connect(self._opened)
        self.opening.failed.connect(stage.show_error)
        self.opening.finished.connect(self.follow)
        stage.opening.results.connect(self.open_results)
        stage.destroyed.connect(self.stores.end)
        camera = stage.viewer.scene.camera.events
        for emitter in (camera.center, camera.zoom, stage.viewer.canvas.events.size):
            emitter.connect(self._moved)
        form = stage.form
        for widget in (form.model, form.device, form.nucleus_size, form.look, form.guided):
            widget.changed.connect(self.ready.soon)

    @property
    def running(self) -> bool:
        """Whether something is under way besides a run."""
        errands = self.relabelling.errand, self.opening, self.tissue.search, self.ready.errand
        return any(errand.running for errand in errands)

    def store_of(self, layer: ImageLayer) -> SlideStore | None:
        """What was found on a slide; None where nothing was."""
        shown = self.layers.get(layer)
        return None if shown is None else shown.store

    def view(self) -> Box | None:
        """What of the chosen slide is on screen, in its pixels; None where that can't be told."""
        stage = self._stage()
        if stage is None or slide_of(stage.layer) is None or stage.layer not in stage.viewer.layers:
            return None
        try:
            return box_of(region_on_screen(stage.viewer, stage.layer))
        except ShapeError:
            return None

    # running

    def run(self, layer: ImageLayer, slide: Slide) -> bool:
        """Start on what the forms say; False, with a sentence, where something is missing."""
        stage = self._stage()
        if stage is None:
            return False
        try:
            job = self._job(stage, layer, slide)
        except UNetSharpError as error:
            stage.message.problem(str(error))
            return False
        self.relabelling.cancel()
        self.ready.settle()
        self.tissue.rest(layer)
        self.wishes = Wishes(stage.label_form.settings, self.view())
        stage.message.note("Preparing: looking at the slide…")
        self.beginning = True
        waits = [part for idle in self.to_wait_for for part in (after, idle)]
        stage.run_button.start(
            after, stage.live.idle, *waits, slide_steps, stage.models, job, self.wishes, self.stores,
            lambda: self.ready.prepared, lambda: self.store_of(layer),
        )  # fmt: skip
        return True

    def _job(self, stage: FindStage, layer: ImageLayer, slide: Slide) -> SlideJob:
        tissue = self.tissue.of(layer) if stage.slide_form.tissue_only.isChecked() else EVERYTHING
        return job_on_slide(stage.viewer, layer, slide, stage.form, stage.label_form.settings, tissue)

    def _wish(self) -> SlideJob | None:
        """What a press would start now; None where nothing is to be made ready."""
        stage = self._stage()
        layer = None if stage is None else stage.layer
        slide = slide_of(layer)
        if stage is None or layer is None or slide is None or stage.run_button.running:
            return None
        try:
            return self._job(stage, layer, slide)
        except UNetSharpError:  # said when the person presses
            return None

    def on_step(self, layer: ImageLayer, step: Any) -> None:
        """What the run reports, in the window's thread."""
        stage = self._stage()
        if stage is None:
            return
        if isinstance(step, Predictor):
            stage.use(step.checkpoint)
        elif isinstance(step, Begun):
            self._on_begun(stage, layer, step)
        elif isinstance(step, BlockDone):
            shown = self.layers[layer]
            stage.run_button.show_blocks(step.done, step.total)
            stage.message.note("\n".join(filter(None, (progress_sentence(step, shown.store.count), self._begun))))
            self.drawing.soon(shown, step.box)

    def _on_begun(self, stage: FindStage, layer: ImageLayer, step: Begun) -> None:
        self._run, self.beginning = step.run, False
        self._begun = begun_sentence(step.there, step.total)
        self._show(stage, layer, step.run.store)
        if step.run.notes:
            stage.slide_form.say(" ".join(step.run.notes))
        if step.run.tissue is not None:
            self.tissue.show(stage.viewer, layer, step.run.tissue)
        stage.message.note(self._begun or "The first block…")

    def _show(self, stage: FindStage, layer: ImageLayer, store: SlideStore) -> None:
        shown = self.layers.get(layer)
        if shown is None:
            self.layers[layer] = SlideLayers(stage.viewer, layer, store)
        else:
            shown.replace_store(store)
        self.follow()

    def on_finished(self, layer: ImageLayer | None) -> None:
        """The run ended: done, cancelled or failed."""
        stage, run, self._run = self._stage(), self._run, None
        self.beginning = False
        if stage is None or layer is None:
            return
        shown = self.layers.get(layer)
        if shown is not None:
            shown.describe()
            self.drawing.all(shown)
        if run is not None and not stage.message.is_problem:
            stopped = any(block not in run.failures for block in run.remaining())
            stage.message.note(ended_sentence(run.store, list(run.failures.values()), stopped))
            if run.notes:
                stage.slide_form.say(" ".join(run.notes))
        if run is None and shown is not None and not shown.store.writing:  # it was closed for a run that never began
            shown.remove_all()
            del self.layers[layer]
            self._look_for_earlier(stage, layer)
        self.close_unused()
        self.follow()
        self.relabelling.soon()

    # what was there before

    def follow(self) -> None:
        """Another layer was chosen, or its results changed: say what there is."""
        stage = self._stage()
        if stage is None:
            return
        layer, slide = stage.layer, slide_of(stage.layer)
        stage.slide_form.setVisible(slide is not None)
        if layer is None or slide is None:
            self._leave(stage)
            return
        if self._slide is None or self._slide() is not layer:
            self._enter(stage, layer)
        if layer not in self._looked and not stage.run_button.running:
            self._look_for_earlier(stage, layer)
        stage.form.planes.visible = stage.label_form.shown.visible = False
        shown = self.layers.get(layer)
        if shown is not None:
            level = shown.level
            with stage.label_form.shown.changed.blocked():
                stage.label_form.shown.choices = [(f"depth {level}", level)]
        stage.views.follow_slide(shown)

    def _enter(self, stage: FindStage, layer: ImageLayer) -> None:
        """A slide was chosen: all of it is run, as what is in view comes first anyway."""
        if self._slide is None:
            self._where = str(stage.form.where.value)
        self._slide = ref(layer)
        with stage.form.where.changed.blocked():
            stage.form.where.value = WHOLE
        stage.slide_form.say("")
        self.ready.soon()

    def _leave(self, stage: FindStage) -> None:
        if self._slide is not None:
            self._slide = None
            stage.label_form.shown.visible = True
            with stage.form.where.changed.blocked():
                stage.form.where.value = self._where

    def open_results(self, folder: str) -> None:
        """Show the results in a folder, wherever it lies, on the slide that they're of."""
        stage = self._stage()
        if stage is None:
            return
        try:
            layer = self.chosen.open(Path(folder))
        except UNetSharpError as error:
            stage.message.problem(str(error))
            return
        slide, shown = slide_of(layer), None if layer is None else self.layers.get(layer)
        if layer is None or slide is None:
            return
        if shown is not None and shown.store.folder == Path(folder):
            self.chosen.take(slide)
        elif self.chosen.waits(slide):
            self._looked.discard(layer)
        stage.form.image.value = layer
        self.follow()

    def _look_for_earlier(self, stage: FindStage, layer: ImageLayer) -> None:
        slide = slide_of(layer)
        if slide is not None and not self.opening.running:
            self._looked.add(layer)
            self._asked = ref(layer)
            chosen = self.chosen.take(slide)
            self.opening.start(earlier_steps, slide, plane_on_screen(stage.viewer, layer), chosen)

    def _opened(self, store: SlideStore) -> None:
        """Results were there: show them, and what was asked for."""
        stage = self._stage()
        layer = None if self._asked is None else self._asked()
        self.stores.take(store)
        slide = slide_of(layer)
        if stage is None or layer is None or slide is None or stage.layer is not layer:
            if layer is not None:  # another one was chosen meanwhile: look again when this one is
                self._looked.discard(layer)
            self.close_unused()
            return
        form, labels = stage.form, stage.label_form
        with form.depth.changed.blocked():
            form.depth.value = store.about.level
        for widget, value in zip(
            (labels.threshold, labels.smallest, labels.split),
            (store.settings.threshold, store.settings.smallest, store.settings.split),
            strict=True,
        ):
            with widget.changed.blocked():
                widget.value = value
        self.wishes = Wishes(labels.settings)
        self._show(stage, layer, store)
        told = earlier_sentence(store, goes_on=store.folder.parent == slide_root(slide))
        stage.message.note("\n".join(filter(None, (told, stage.message.text()))))

    def forget_removed(self) -> None:
        """Slides were closed: their results leave the window, and stay on disk."""
        stage = self._stage()
        if stage is not None and any(layer not in stage.viewer.layers for layer in self.layers):
            QTimer.singleShot(0, self._remove_orphans)  # not while napari is still removing

    def _remove_orphans(self) -> None:
        stage = self._stage()
        for layer in [] if stage is None else [layer for layer in self.layers if layer not in stage.viewer.layers]:
            self.relabelling.cancel()
            self.drawing.forget()
            self.tissue.remove(layer)
            self.layers.pop(layer).remove_all()
        self.close_unused()

    def close_unused(self) -> None:
        self.stores.keep_only([shown.store for shown in self.layers.values()])

    # while it goes on

    def _moved(self, event: Any = None) -> None:
        stage = self._stage()
        if stage is not None and (stage.run_button.running or self.relabelling.errand.running):
            self.wishes.view = self.view()

    def _tissue_changed(self, change: Any = None) -> None:
        """The mask was painted, or everything is to be run: tell the run."""
        stage = self._stage()
        if stage is None or stage.layer is None:
            return
        self.wishes.only = stage.slide_form.tissue_only.isChecked()
        self.wishes.tissue = self.tissue.of(stage.layer)
        self.wishes.painted = True
