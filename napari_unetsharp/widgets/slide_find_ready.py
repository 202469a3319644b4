"""What a run over a slide needs before its first block, done while the person still looks around."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.slides.preparing import Prepared, prepare
from napari_unetsharp.widgets.slide_find_errand import Errand
from napari_unetsharp.widgets.slide_find_place import earlier_runs

if TYPE_CHECKING:
    from napari_unetsharp.widgets.models import ModelList
    from napari_unetsharp.widgets.slide_find_job import SlideJob

PAUSE = 700
"""Milliseconds after the last change of the forms; opening a slide has its own work to do first."""

_LOADED_LATE = "zarr", "pyarrow.parquet", "pandas"
"""Modules that the first block would load."""


class Ready(QObject):
    """Loads the model and measures the slide, one wish at a time, the newest winning.

    Parameters
    ----------
    models : ModelList
    wish : callable
        What a press of *Find nuclei* would start now; None where it would start nothing.
    parent : QObject

    Attributes
    ----------
    prepared : Prepared or None
        What was measured last; a run asks itself whether it fits.
    """

    def __init__(self, models: ModelList, wish: Callable[[], SlideJob | None], parent: QObject) -> None:
        super().__init__(parent)
        self._models, self._wish = models, wish
        self._begun: SlideJob | None = None
        self.prepared: Prepared | None = None
        self.errand = Errand(self)
        self.errand.step.connect(self._measured)
        self.errand.finished.connect(self._again)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._begin)

    def soon(self) -> None:
        """A slide was chosen, or the forms changed."""
        self._timer.start()

    def settle(self) -> None:
        """A run begins: what is measured for something else would only hold it up."""
        self._timer.stop()
        if self.errand.running and self._begun != _plain(self._wish()):
            self.errand.cancel()

    def _begin(self) -> None:
        job = _plain(self._wish())
        if job is None or job == self._begun:
            return
        if self.errand.running:
            self.errand.cancel()
            return
        self._begun = job
        self.errand.start(ready_steps, self._models, job)

    def _measured(self, prepared: Prepared) -> None:
        self.prepared = prepared

    def _again(self) -> None:
        """What was cancelled for a newer wish makes room for it; a problem is told when Find nuclei meets it."""
        self._timer.start()


def _plain(job: SlideJob | None) -> SlideJob | None:
    """Without what may change without another measurement."""
    if job is None:
        return None
    settings = replace(job.settings, labels=LabelSettings(), region=None, tissue=None, tissue_only=True)
    return replace(job, settings=settings)


def ready_steps(models: ModelList, job: SlideJob, stop: Callable[[], bool]) -> Iterator[Prepared]:
    """Load and measure, for a worker; nothing is measured that an earlier run has measured.

    Yields
    ------
    Prepared
        At most one.
    """
    checkpoint = models.load(job.model)
    for name in _LOADED_LATE:
        import_module(name)
    if stop() or earlier_runs(job.slide):
        return
    predictor = Predictor(checkpoint, job.device, min(job.depth, checkpoint.config.level), **job.options)
    yield prepare(job.slide, predictor, job.settings, [], stop)
