"""Another model, or a depth that wasn't computed: one click, in a worker, with the time that it will take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unetsharp.comparison.cost import counted_cost
from napari_unetsharp.errors import SettingsError, UNetSharpError
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import PlaneDone, Results, TileDone
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.widgets.compare_sources import Choice, Sources, level_for
from napari_unetsharp.widgets.job import FindJob, find_steps
from napari_unetsharp.widgets.quiet import quiet
from napari_unetsharp.widgets.run_button import RunButton, duration
from napari_unetsharp.widgets.source import region_on_screen

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.network.checkpoint import Checkpoint
    from napari_unetsharp.widgets.find import FindStage

AT_ONCE = 4_000_000
"""Pixels of a plane that is computed whole where the network hasn't been run; of a larger one, what is on screen."""

EVERYTHING = 1_000_000
"""Pixels up to which a CPU computes all views, as a GPU always does; beyond, only the depth that was asked for."""


@dataclass
class Rates:
    """Seconds per pixel of passes that were seen, by model and depth."""

    seen: dict[tuple[str, int], float] = field(default_factory=dict)
    _area: int = 0
    _work: dict[tuple[str, int], float] = field(default_factory=dict)

    def begin(self) -> None:
        """A pass begins."""
        self._area = 0

    def take(self, model: str, level: int, done: TileDone) -> None:
        """Learn from a tile."""
        self._area += done.tile.core.height * done.tile.core.width
        self.seen[(model, level)] = done.tile.seconds / max(1, self._area)

    def seconds(self, model: str, level: int, pixels: int, checkpoint: Checkpoint | None) -> float | None:
        """How long a pass will take; None where nothing is known.

        Where another depth was measured, its time is scaled by the work of each depth (see `counted_cost`).
        """
        if (model, level) in self.seen:
            return self.seen[(model, level)] * pixels
        if not self.seen or checkpoint is None:
            return None
        (_, known), rate = next(reversed(self.seen.items()))
        try:
            return rate * pixels * self._work_of(checkpoint, level) / self._work_of(checkpoint, known)
        except SettingsError:  # no head at that depth
            return None

    def _work_of(self, checkpoint: Checkpoint, level: int) -> float:
        key = checkpoint.metadata.name, min(level, checkpoint.config.level)
        if key not in self._work:
            self._work[key] = counted_cost(checkpoint, key[1]).gflop_per_mpx
        return self._work[key]


class ComparePass(QWidget):
    """Says what is missing, and computes it.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
    sources : Sources

    Signals
    -------
    done()
        Something more can be compared.
    said(str), failed(object)
    """

    done = Signal()
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, viewer: Viewer, find: FindStage, sources: Sources, parent: QObject | None = None) -> None:
        super().__init__()
        self._viewer, self._find, self._sources = ref(viewer), find, sources
        self.rates = Rates()
        self._wanted: Choice | None = None
        self._level, self._on = 4, ("", 4)
        self._complete = False
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.run_button = RunButton("Compute")
        quiet(self.run_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.text)
        layout.addWidget(self.run_button)
        self.run_button.pressed.connect(self.start)
        self.run_button.step.connect(self._step)
        self.run_button.failed.connect(self.failed.emit)
        self.run_button.finished.connect(self._ended)
        find.run_button.step.connect(self._watch)
        self.hide()

    @property
    def running(self) -> bool:
        """Whether the network is at work for a comparison."""
        return self.run_button.running

    def offer(self, letter: str, choice: Choice | None) -> None:
        """Offer to compute a choice; None where nothing is missing."""
        if self.running:
            return
        self._wanted = choice
        self.setVisible(choice is not None)
        if choice is None:
            return
        self._level = self._level_of(choice)
        seconds = self._seconds(choice)
        about = "" if seconds is None else f", about {duration(max(1.0, seconds))}"
        title = self._sources.name(choice, several_models=True)
        self.text.setText(f"{letter}: {title} needs a pass{about}.")
        everything = "all its views" if self._level == 4 else f"depths up to {self._level}"
        self.run_button.button.setToolTip(f"Run the network once; {everything} can be compared then")

    def start(self) -> None:
        """Run the network for what is missing."""
        choice, plane, viewer = self._wanted, self._sources.plane, self._viewer()
        if choice is None or plane is None or viewer is None:
            return
        try:
            job = self._job(choice, viewer)
        except UNetSharpError as error:
            self.failed.emit(error)
            return
        results = self._sources.passes.get(choice.source)
        if results is None:
            results = self._sources.passes[choice.source] = Results(plane.image)
        self._on, self._complete = (job.model, self._level), False
        self.text.setText("Preparing…")
        settings = self._find.label_form.settings
        self.run_button.start(find_steps, self._find.models, job, results, lambda: settings)

    def quit(self) -> None:
        """The window or the image is gone."""
        self.run_button.quit()

    def _job(self, choice: Choice, viewer: Viewer) -> FindJob:
        plane, form = self._sources.plane, self._find.form
        model = self._sources.model_of(choice)
        if plane is None or not model:
            raise SettingsError("the model isn't there any more; choose another one")
        found = self._find.results.get(plane.layer)
        size = float(form.nucleus_size.value) or (found.results.nucleus_size if found is not None else None)
        return FindJob(
            plane.layer, plane.image, [plane.index], self._region(viewer), model, str(form.device.value), self._level,
            size, form.options,
        )  # fmt: skip

    def _region(self, viewer: Viewer) -> Region | None:
        """The part that the last run covered, else all of it, else what is on screen."""
        plane, area = self._sources.plane, self._sources.area
        if area is not None:
            rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
            top, left = int(rows[0]), int(columns[0])
            return Region(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)
        if plane is None or self._find.results.get(plane.layer) is not None:
            return None
        return region_on_screen(viewer, plane.layer) if plane.shape[0] * plane.shape[1] > AT_ONCE else None

    def _pixels(self) -> int:
        plane, area = self._sources.plane, self._sources.area
        if area is not None:
            return int(area.sum())
        return 0 if plane is None else plane.shape[0] * plane.shape[1]

    def _level_of(self, choice: Choice) -> int:
        checkpoint = self._sources.checkpoints.get(choice.source)
        heads = () if checkpoint is None else checkpoint.config.heads
        try:
            quick = choose_device(str(self._find.form.device.value)).kind != "cpu"
        except UNetSharpError:
            quick = False
        everything = quick or self._pixels() <= EVERYTHING
        return level_for("mean" if everything else choice.node, tuple(heads))

    def _seconds(self, choice: Choice) -> float | None:
        checkpoint = next(iter(self._sources.checkpoints.values()), None)
        return self.rates.seconds(self._sources.model_of(choice), self._level, self._pixels(), checkpoint)

    def _step(self, step: Any) -> None:
        if isinstance(step, Predictor):
            self.rates.begin()
            if self._wanted is not None:
                self._sources.checkpoints[self._wanted.source] = step.checkpoint
        elif isinstance(step, TileDone):
            self.rates.take(*self._on, step)
            self.text.setText(self.run_button.show_tile(step))
        elif isinstance(step, PlaneDone):
            self._complete = not step.stopped

    def _watch(self, step: Any) -> None:
        """Learn from the runs of *Find*, too."""
        if isinstance(step, Predictor):
            self.rates.begin()
            self._on = str(self._find.form.model.value), step.level
        elif isinstance(step, TileDone):
            self.rates.take(*self._on, step)

    def _ended(self) -> None:
        if not self._complete and self._wanted is not None:
            self._sources.passes.pop(self._wanted.source, None)
            self.said.emit("Stopped; nothing of it is compared.")
        self.done.emit()
