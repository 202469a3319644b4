"""After the verdict: keep the new model, run it where nobody has looked, say what changed; then the next image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.errors import TrainingError, UNetSharpError
from napari_unetsharp.inference.results import PlaneDone
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.training.teacher import Order, Teacher
from napari_unetsharp.training.tune_settings import TuneSettings
from napari_unetsharp.training.versions import choose, keep
from napari_unetsharp.training.what_changed import what_changed
from napari_unetsharp.widgets.cases import CaseState
from napari_unetsharp.widgets.find_form import WHOLE
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.review_source import path_of, starting_points
from napari_unetsharp.widgets.source import plane_on_screen
from napari_unetsharp.widgets.teach_speeds import POLL, end_all
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

if TYPE_CHECKING:
    from napari_unetsharp.widgets.cases import Case, CaseBar
    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage


class Keeping(QObject):
    """Keeps a candidate, selects it in *Find*, and runs it on the open case.

    Parameters
    ----------
    find : FindStage
    review : ReviewStage
    parent : QObject

    Signals
    -------
    kept(object)
        Path of the new version; its file and card are there.
    failed(str)
        It can't be kept; the candidate is as it was.
    said(str)
        What is going on.
    done(str)
        Everything is over; what the new version changed.
    """

    kept = Signal(object)
    failed = Signal(str)
    said = Signal(str)
    done = Signal(str)

    def __init__(self, find: FindStage, review: ReviewStage, parent: QObject) -> None:
        super().__init__(parent)
        self.find, self.review = find, review
        self._worker: StoppableWorker | None = None
        self._path = Path()
        self._before: NDArray[Any] | None = None
        self._checked: set[int] = set()
        self._where = WHOLE
        self._layer: Any = None
        self._stopped = False
        find.run_button.step.connect(self._step)
        find.finished.connect(self._found)

    @property
    def running(self) -> bool:
        """Whether it isn't over yet."""
        return self._worker is not None or self._before is not None

    def keep(self, candidate: Path, level: int) -> None:
        """Begin; `kept` or `failed` follows, then `done`."""
        slots: dict[str, Any] = {
            "yielded": partial(self._written, level), "errored": self._errored, "finished": self._ended,
        }  # fmt: skip
        self._worker = start_worker(keep_steps, candidate, self.find.models, connect=slots)

    def _errored(self, error: Exception) -> None:
        self.failed.emit(str(error))

    def _ended(self) -> None:
        self._worker = None

    def _written(self, level: int, path: Path) -> None:
        self._worker, self._path = None, path
        self.find.open_model(str(path))
        if level in self.find.form.depth.choices:
            self.find.form.depth.value = level
        self.kept.emit(path)
        self._run_again()

    def _run_again(self) -> None:
        """On the open case, if anything was found or is being reviewed on it."""
        before = self._now()
        if before is None or self.find.running:
            self.done.emit(f"Kept as {self._path.stem}, and chosen in 1 Find.")
            return
        self._before, self._checked = before
        self._stopped = False
        self._layer = self.find.layer
        self.said.emit(f"Kept as {self._path.stem}. It looks at what you have not checked here…")
        self._where, self.find.form.where.value = self.find.form.where.value, WHOLE
        self.find.run()
        if not self.find.run_button.running:  # it couldn't start, and says why there
            self._over(self.find.message.text())

    def _now(self) -> tuple[NDArray[Any], set[int]] | None:
        """Nuclei of the open case, and which of them somebody looked at."""
        layer, found = self.find.layer, self.find.found
        session, subject = self.review.reviewed, self.review.subject
        if layer is None:
            return None
        try:
            index = plane_on_screen(self.find.viewer, layer)
        except UNetSharpError:
            return None
        if session is not None and subject is not None and subject.layer is layer and subject.index == index:
            nuclei = session.review.nuclei
            return session.review.labels.copy(), {id_ for id_ in nuclei if nuclei[id_].state is not State.TO_DO}
        if found is not None and index in found.results.planes_computed() and found.results.labels:
            return found.results.labels[max(found.results.labels)][index].copy(), set()
        return None

    def _step(self, step: Any) -> None:
        if isinstance(step, PlaneDone):
            self._stopped = step.stopped

    def _found(self) -> None:
        """*Find* has ended: what it found goes into the review, if it saw the whole plane."""
        if self._before is None:
            return
        if self.find.layer is not self._layer or self.find.message.is_problem or self._stopped:
            self._over(f"Kept as {self._path.stem}; the run on this image didn't end: {self.find.message.text()}")
            return
        desk, subject = self.review.desk, self.review.subject
        if desk is not None and subject is not None and subject.layer is self._layer and self.review.first is None:
            level = int(self.find.label_form.shown.value or 4)
            points = starting_points(self.find.viewer, subject, self.find.found, level)
            network = next((material for material in points.values() if material.level), None)
            if network is not None:
                desk.take_new_run(network)
        after = self._now()
        if after is None:
            self._over("")
            return
        self._over(what_changed(self._before, after[0], self._checked).words(self._path.stem) + ".")

    def _over(self, words: str) -> None:
        self._before, self._layer = None, None
        self.find.form.where.value = self._where
        self.done.emit(words or f"Kept as {self._path.stem}, and chosen in 1 Find.")


def keep_steps(candidate: Path, models: ModelList, stop: Callable[[], bool]) -> Iterator[Path]:
    """Write the new version, remember it as the one in use, and load it; for a worker."""
    path = keep(candidate)
    choose(str(path))
    models.load(str(path))
    yield path


class NextImage(QObject):
    """Finds the image of the folder that a model is least sure of, and opens it.

    Parameters
    ----------
    cases : CaseBar
    find : FindStage
    parent : QObject

    Signals
    -------
    said(str)
    opened(str)
        The case is open, and the network runs on it.
    """

    said = Signal(str)
    opened = Signal(str)

    def __init__(self, cases: CaseBar, find: FindStage, parent: QObject) -> None:
        super().__init__(parent)
        self.cases, self.find = cases, find
        self._holder: list[Teacher] = []
        self._doubts: dict[str, float] = {}
        self._count = 0
        self._timer = QTimer(self)
        self._timer.setInterval(POLL)
        self._timer.timeout.connect(self._poll)
        self.destroyed.connect(partial(end_all, self._holder))

    @property
    def running(self) -> bool:
        """Whether images are being looked at."""
        return bool(self._holder)

    def waiting(self) -> list[Case]:
        """Further cases that aren't done: those that nobody has begun, else all."""
        layer = self.find.layer
        shown = None if layer is None else path_of(layer)
        open_ = [case for case in self.cases.cases if case.path != shown and case.state is not CaseState.DONE]
        return [case for case in open_ if case.state is CaseState.NEW] or open_

    def go(self, settings: TuneSettings) -> None:
        """Look at all of them, and open the one with the most doubt.

        Parameters
        ----------
        settings : TuneSettings
            Its checkpoint, level and device count.
        """
        images = self.waiting()
        self._doubts, self._count = {}, len(images)
        if len(images) <= 1:
            self._open(images[0] if images else None)
            return
        try:
            plain = replace(settings, samples=(), old_folders=())
            order = Order(plain, task="least sure", images=tuple(str(case.path) for case in images))
            self._holder.append(Teacher(order))
        except TrainingError as error:
            self.said.emit(str(error))
            self._open(images[0])
            return
        self.said.emit(f"Looking for the image that it is least sure of: 0 of {self._count} seen…")
        self._timer.start()

    def enough(self) -> None:
        """Don't wait for the others: open the most doubtful of those that were seen, or the next one."""
        if self._holder:
            self._end()

    def _poll(self) -> None:
        for teacher in list(self._holder):
            for report in teacher.reports():
                if report["report"] == "image" and report["doubt"] is not None:
                    self._doubts[report["path"]] = float(report["doubt"])
                    seen = f"{len(self._doubts)} of {self._count} seen"
                    self.said.emit(f"Looking for the image that it is least sure of: {seen}…")
                elif report["report"] == "error":
                    self.said.emit(str(report["words"]))
            if not teacher.running:
                self._end()

    def _end(self) -> None:
        self._timer.stop()
        end_all(self._holder)
        images = self.waiting()
        self._open(max(images, key=lambda case: self._doubts.get(str(case.path), -1.0)) if images else None)

    def _open(self, case: Case | None) -> None:
        if case is None:
            self.said.emit("There is no further image in this folder.")
            return
        new = case.state is CaseState.NEW
        self.cases.open_case(self.cases.cases.index(case))
        layer = self.find.layer
        if layer is None or path_of(layer) != case.path:
            return  # it says why there
        if new:
            self.find.run()
        doubt = self._doubts.get(str(case.path))
        why = "" if doubt is None else f", of which the model is least sure ({doubt:.0%} doubt),"
        self.opened.emit(case.path.name + why)
