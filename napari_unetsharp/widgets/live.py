"""*Live*: whatever comes into view is segmented as the person moves over an image."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_unetsharp.errors import SettingsError, ShapeError, UNetSharpError
from napari_unetsharp.inference.live import TooWide
from napari_unetsharp.inference.live_network import LiveNetwork
from napari_unetsharp.inference.live_results import LiveResults
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import PlaneDone, TileDone
from napari_unetsharp.widgets.job import FindJob
from napari_unetsharp.widgets.layers import ResultLayers
from napari_unetsharp.widgets.live_job import live_steps, replaced
from napari_unetsharp.widgets.live_layers import LiveLayers
from napari_unetsharp.widgets.slide_layers import is_slide
from napari_unetsharp.widgets.source import image_from_layer, plane_on_screen, region_on_screen
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

if TYPE_CHECKING:
    from napari_unetsharp.widgets.find import FindStage

PAUSE = 150
"""Milliseconds of standing still before anything is computed."""

ROOM = "Zoom in: {:.1f} Mpx are in view, and Live does up to {:.1f} at once on this device."
ON_SLIDE = "On a slide Find nuclei follows the view itself: press it and move, and what comes into view is found first."
OFF = "Live is off; what was found stays."


class Live(QObject):
    """Looks at a view once it stands still, and drops the look when it moves.

    Parameters
    ----------
    stage : FindStage
        Its forms say how to look, its layers take what is found, its message line says what goes on.

    Signals
    -------
    began()
        A look is under way.
    """

    began = Signal()

    def __init__(self, stage: FindStage) -> None:
        super().__init__(stage)
        self._stage = ref(stage)
        self._network = LiveNetwork()
        self._worker: StoppableWorker | None = None
        self._found: ResultLayers | None = None
        self._first: LiveLayers | None = None
        self._shown: tuple[Any, ...] = ()
        self._due = False
        self.idle = threading.Event()
        self.idle.set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._look)
        self._connect(stage)

    def _connect(self, stage: FindStage) -> None:
        stage.live_button.toggled.connect(self._toggled)
        stage.installEventFilter(self)
        viewer, form, labels = stage.viewer, stage.form, stage.label_form
        camera = viewer.scene.camera.events
        for emitter in (
            camera.center, camera.zoom, camera.angles, viewer.canvas.events.size,
            viewer.dims.events.current_step, viewer.dims.events.ndisplay, viewer.dims.events.order,
        ):  # fmt: skip
            emitter.connect(self.moved)
        for widget in (
            form.image, form.model, form.device, form.depth, form.nucleus_size, form.look, form.guided,
            labels.threshold, labels.smallest, labels.split,
        ):  # fmt: skip
            widget.changed.connect(self.moved)

    @property
    def on(self) -> bool:
        """Whether the person switched it on."""
        stage = self._stage()
        return stage is not None and stage.live_button.isChecked()

    @property
    def running(self) -> bool:
        """Whether a look is under way."""
        return self._worker is not None

    @property
    def waiting(self) -> bool:
        """Whether a look is due: the view, or a wish, changed after the last one began."""
        return self._due or bool(self._timer.isActive())

    @property
    def at_work(self) -> bool:
        """Whether labels are its business: it reads the maps again itself."""
        return self.on or self.running

    def _watching(self, stage: FindStage) -> bool:
        """Whether it is on, and no other stage is in front."""
        return self.on and bool(stage.isVisibleTo(stage.window()))

    def moved(self, event: Any = None) -> None:
        """What is in view, or what is wished, is changing: drop the look, and look again once all stands still."""
        if self.on:
            self._drop()
            self._timer.start()

    def end(self) -> None:
        """Switch it off; a look that is under way ends after its tile."""
        stage = self._stage()
        if stage is not None:
            stage.live_button.setChecked(False)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Qt: another stage came to the front, or this one again."""
        stage = self._stage()
        if event is not None and event.type() == QEvent.Type.Hide and stage is not None:
            self._timer.stop()
            self._drop()
            if stage.window().isVisible():  # a window that closes takes its layers along
                self._take_off()
        elif event is not None and event.type() == QEvent.Type.Show:
            self.moved()
        return False

    def _toggled(self, on: bool) -> None:
        stage = self._stage()
        if stage is None:
            return
        if on and is_slide(stage.layer):
            self._refuse_slide(stage)
            return
        stage.message.clear()
        if on:
            self._shown = ()
            self.moved()
            return
        self._timer.stop()
        self._drop()
        self._take_off()
        self._network = LiveNetwork()
        stage.message.note(OFF)

    def _refuse_slide(self, stage: FindStage) -> None:
        """On a slide *Find nuclei* does what this does on a picture."""
        with QSignalBlocker(stage.live_button):
            stage.live_button.setChecked(False)
        self._timer.stop()
        stage.message.note(ON_SLIDE)

    def _take_off(self) -> None:
        """Take off the image what only depth 1 has seen."""
        if self._first is not None:
            self._first.remove_all()

    def _drop(self) -> None:
        self._due = False
        if self._worker is not None:
            self._worker.cancel()

    # looking

    def _look(self) -> None:
        """All stands still: start a look, or wait for what is still at work."""
        stage = self._stage()
        if stage is None or not self._watching(stage):
            return
        if self.running:
            self._due = True
            return
        if is_slide(stage.layer):
            self._refuse_slide(stage)
            return
        dragging = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if dragging or stage.run_button.running or stage.relabeller.running:
            self._timer.start()
            return
        try:
            job = self._job(stage)
            if job is not None:
                self._start(stage, job)
        except ShapeError as error:  # nothing of the image is in view
            stage.message.note(f"Live waits: {error}")
        except UNetSharpError as error:
            self._errored(error)

    def _job(self, stage: FindStage) -> FindJob | None:
        layer, form = stage.layer, stage.form
        if layer is None:
            stage.message.note("Live waits for an image: press Open…, or drop a picture on the window.")
            return None
        if not form.model.value:
            raise SettingsError("No model is chosen: press Other model… and choose a checkpoint.")
        for name in ("data", "scale", "translate", "affine"):
            getattr(layer.events, name).connect(self.moved)
        index, region = plane_on_screen(stage.viewer, layer), region_on_screen(stage.viewer, layer)
        return FindJob(
            layer, image_from_layer(layer), [index], region, form.model.value, form.device.value, form.depth.value,
            float(form.nucleus_size.value) or None, form.options,
        )  # fmt: skip

    def _start(self, stage: FindStage, job: FindJob) -> None:
        results = self._take_places(stage, job)
        first = cast("LiveLayers", self._first).results
        self.idle.clear()
        stage.message.note("Live: looking…")
        slots = {"yielded": self._yielded, "errored": self._errored, "finished": self._ended}
        self._worker = start_worker(
            live_steps, self._network, stage.models, job, results, first, stage.label_form.settings, connect=slots
        )
        self.began.emit()

    def _take_places(self, stage: FindStage, job: FindJob) -> LiveResults:
        """Where the look will put what it finds; of another picture nothing is kept."""
        found = stage.results.get(job.layer)
        if found is not None and not isinstance(found.results, LiveResults):
            found.remove_all()
            del stage.results[job.layer]
        elif found is not None and replaced(found.results.image.pixels, job.image.pixels):
            found.results.clear()
            self._forget_first()
        self._found = stage.room_for(job)
        results = cast("LiveResults", self._found.results)
        first = self._first
        if first is None or first.source is not job.layer or first.results.shape != results.shape:
            self._forget_first()
            self._first = LiveLayers(stage.viewer, job.layer, LiveResults(job.image))
        return results

    def _forget_first(self) -> None:
        self._take_off()
        self._first = None

    # what a look gives

    def _yielded(self, step: Any) -> None:
        stage, found, first = self._stage(), self._found, self._first
        if stage is None or found is None or first is None or found.source is None or not self._watching(stage):
            return
        if isinstance(step, Predictor):
            self._begin(stage, found, first, step)
        elif isinstance(step, TooWide):
            stage.message.note(ROOM.format(step.pixels / 1e6, step.room / 1e6))
        elif isinstance(step, TileDone):
            self._show_tile(stage, found, first, step)
        elif isinstance(step, PlaneDone) and not step.stopped:
            stage.views.refresh_pictures()
            stage.message.note(_sentence(step, int(stage.label_form.shown.value), found.results.notes))

    def _begin(self, stage: FindStage, found: ResultLayers, first: LiveLayers, predictor: Predictor) -> None:
        """There is room for what the chosen depth gives: make the layers, where it isn't the room of before."""
        arrays = (*found.results.maps.values(), *found.results.labels.values())
        shown = (predictor.checkpoint.metadata.sha256, predictor.level, *map(id, arrays))
        if shown != self._shown:
            self._shown = shown
            stage.begin(found, predictor)
            stage.views.end_preview()
        if first.results.labels:
            first.show(predictor.checkpoint, 1, stage.label_form.settings.threshold)
            while first.add_next():
                pass
        found.set_threshold(stage.label_form.settings.threshold)
        found.refresh()

    def _show_tile(self, stage: FindStage, found: ResultLayers, first: LiveLayers, step: TileDone) -> None:
        level = found.level if f"x0{found.level}" in step.tile.full else 1
        first.refresh()
        if level > 1 or found.level == 1:
            found.refresh()
        then = "" if level == found.level else f", depth {found.level} follows"
        stage.message.note(f"Live: depth {level}{then}…")

    def _errored(self, error: Exception) -> None:
        """The first problem ends it: there is never a stream of them."""
        self.end()
        stage = self._stage()
        if stage is not None:
            stage.show_error(error)

    def _ended(self) -> None:
        self._worker = None
        self.idle.set()
        stage = self._stage()
        if stage is None:
            return
        if self._found is not None and self._found.source is not None:
            self._found.refresh()
        if not stage.run_button.running:
            stage.finished.emit()
        if self._due:
            self._due = False
            self._look()


def _sentence(step: PlaneDone, level: int, notes: list[str]) -> str:
    count = step.nuclei.get(level, 0)
    text = (
        f"Live: {count:,} nuclei in view at depth {level}." if count else f"Live: no nuclei in view at depth {level}."
    )
    return " ".join([text, *notes])
