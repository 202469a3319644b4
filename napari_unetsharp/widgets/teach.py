"""Stage *Teach*: one button from corrected nuclei to a better model, with the window alive."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.network.checkpoint import load_checkpoint, read_header
from napari_unetsharp.training.teacher import CANDIDATE, Order, Teacher, leftovers
from napari_unetsharp.training.tune_settings import TuneSettings
from napari_unetsharp.training.versions import discard
from napari_unetsharp.widgets.fold import Fold
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.teach_history import History
from napari_unetsharp.widgets.teach_keep import Keeping, NextImage
from napari_unetsharp.widgets.teach_layers import folder_entries, pair_entry, pairs_of, review_entries, snapshot
from napari_unetsharp.widgets.teach_live import LivePanel
from napari_unetsharp.widgets.teach_reading import SampleReader
from napari_unetsharp.widgets.teach_samples import Entry
from napari_unetsharp.widgets.teach_setup import SetupPanel
from napari_unetsharp.widgets.teach_tissue import Load, Tissue
from napari_unetsharp.widgets.teach_verdict import AFTER, BEFORE, VerdictPanel

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.cases import CaseBar
    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage

POLL = 100


class TeachStage(QWidget):
    """Samples, the button, what is seen meanwhile, the verdict, versions.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
    review : ReviewStage
    cases : CaseBar

    Attributes
    ----------
    candidate : Path or None
        What was learned and nobody has kept or discarded yet.
    """

    def __init__(self, viewer: Viewer, find: FindStage, review: ReviewStage, cases: CaseBar) -> None:
        super().__init__()
        self._viewer, self.find, self.review, self.cases = ref(viewer), find, review, cases
        self.active = False
        self.candidate: Path | None = None
        self._parent: Load | None = None
        self._settings: TuneSettings | None = None
        self._wished = self._next_wished = False
        self._changed = ""
        self._removed: set[str] = set()
        self._holder: list[Teacher] = []
        self.reader = SampleReader(self, partial(snapshot, review))
        self.tissue = Tissue(viewer, find, self)
        self.keeping = Keeping(find, review, self)
        self.next_image = NextImage(cases, find, self)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL)
        self._timer.timeout.connect(self._poll)
        self._build()
        self._connect()
        self.destroyed.connect(partial(_close_all, self._holder))
        self._show("setup")

    def _build(self) -> None:
        self.setup = SetupPanel(self.find, self._pairs, self.add_pair, self.add_folder)
        self.button = button("Teach", "Learn from the samples; the window stays alive", self._pressed)
        self.button.setMinimumHeight(34)
        self.message = Message()
        self.live = LivePanel()
        self.verdict = VerdictPanel(self._do)
        self.next_button = button(
            "Next image", "Open the image of the folder that the model is least sure of, and find its nuclei",
            self._next,
        )  # fmt: skip
        self.next_button.setMinimumHeight(32)
        self.left = _Leftover(self._look_at_leftover, self._remove_leftover)
        self.history = History(self.find)
        self.versions = Fold("Versions", "Which model was tuned from which: use, rename, export", self.history)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(6)
        for widget in (self.left, self.setup, self.button, self.message, self.next_button, self.live, self.verdict,
                       self.versions):  # fmt: skip
            layout.addWidget(widget)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.setup.samples.changed.connect(self._choice_changed)
        self.setup.samples.removed.connect(self.remove)
        self.setup.speeds.chosen.connect(self._measure)
        self.setup.form.changed.connect(self._settings_changed)
        self.find.form.model.changed.connect(self._model_changed)
        self.reader.changed.connect(self.setup.samples.refresh)
        self.reader.done.connect(self._weighed)
        self.reader.failed.connect(self._reading_failed)
        self.tissue.ready.connect(self._tissue_ready)
        self.tissue.failed.connect(self.verdict.tissue.setText)
        self.keeping.said.connect(self.message.note)
        self.keeping.kept.connect(self._kept)
        self.keeping.failed.connect(self._not_kept)
        self.keeping.done.connect(self._kept_and_run)
        self.next_image.said.connect(self._say_of_next)
        self.next_image.opened.connect(self._opened)
        self.versions.unfolded.connect(self._unfolded)

    @property
    def teaching(self) -> bool:
        """Whether a model is learning."""
        return bool(self._holder) and self._holder[0].running

    # coming and going

    def enter(self) -> None:
        """The stage is on screen: see what there is to learn from."""
        self.active = True
        if self.candidate is not None:
            self.tissue.resume({BEFORE: self.verdict.before.isChecked(), AFTER: self.verdict.after.isChecked()})
        if self._holder or self.candidate is not None or self.keeping.running:
            return
        self.message.clear()
        self._collect()
        self.setup.follow_model()
        self._offer_leftover()
        self._show("setup")
        self._read()
        self._measure()

    def leave(self) -> None:
        """Another stage is on screen; what learns goes on learning."""
        self.active = False
        self.tissue.suspend()
        self.setup.speeds.stop()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Qt: the dock was closed, or another stage chosen."""
        if event is not None and not event.spontaneous():
            self.leave()
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Qt: the dock was opened again."""
        super().showEvent(event)
        QTimer.singleShot(0, self._shown)

    def _shown(self) -> None:
        if self.isVisible() and not self.active and self._viewer() is not None:
            self.enter()

    # samples

    def _pairs(self) -> dict[str, list[str]]:
        viewer = self._viewer()
        return {} if viewer is None else pairs_of(viewer)

    def _collect(self) -> None:
        """Reviews of the open case and of the folder; what was added by hand stays."""
        images = [case.path for case in self.cases.cases]
        found = {entry.key: entry for entry in review_entries(self.review, self.find.layer, images)}
        known = {entry.key: entry for entry in self.reader.entries}
        for key, entry in found.items():
            if key in known:
                known[key].origin, known[key].open_here = entry.origin, entry.open_here
            elif key not in self._removed:
                known[key] = entry
        self.reader.entries[:] = sorted(known.values(), key=lambda entry: not entry.open_here)
        self.setup.open_pairs(not self.reader.entries and bool(self._pairs()))

    def _read(self, layers_too: bool = True) -> None:
        self.reader.seed = int(self.setup.form.seed.value)
        self.reader.read(layers_too)
        self.setup.samples.show_entries(self.reader.entries)
        self.setup.show_weighed(None)
        self._refresh_button()

    def add_pair(self, image: str, labels: str, rectangle: bool = False) -> None:
        """Learn from an Image and a Labels layer.

        Parameters
        ----------
        image, labels : str
            Names of the layers.
        rectangle : bool, optional
            Only what lies in the drawn rectangle counts.
        """
        viewer = self._viewer()
        if viewer is None:
            return
        self.message.clear()
        try:
            self._add([pair_entry(viewer, image, labels, rectangle)])
        except UNetSharpError as error:
            self.message.problem(str(error))
            return
        self.setup.open_pairs(False)

    def add_folder(self, folder: str) -> None:
        """Learn from all samples of a folder."""
        self.message.clear()
        try:
            self._add(folder_entries(folder))
        except (UNetSharpError, OSError) as error:
            self.message.problem(str(error))

    def _add(self, entries: list[Entry]) -> None:
        known = {entry.key for entry in self.reader.entries}
        for entry in entries:
            self._removed.discard(entry.key)
            if entry.key not in known:
                self.reader.entries.append(entry)
        self._read()

    def remove(self, entry: Entry) -> None:
        """Take a sample off the list."""
        self._removed.add(entry.key)
        self.reader.entries[:] = [other for other in self.reader.entries if other is not entry]
        self._read(layers_too=False)

    def _choice_changed(self) -> None:
        self._read(layers_too=False)

    def _settings_changed(self, _value: Any = None) -> None:
        if self.reader.seed != int(self.setup.form.seed.value):
            self._read(layers_too=False)
        self._measure()

    def _weighed(self) -> None:
        reader = self.reader
        kept = [entry for entry in reader.entries if entry.open_here or entry.trouble or entry.sample is None
                or entry.sample.share or entry.part != "auto"]  # fmt: skip
        reader.entries[:] = kept  # cases of which nothing is reviewed yet would only fill the list
        self.setup.samples.show_entries(reader.entries)
        self.setup.show_weighed(reader.weighed)
        self._refresh_button()
        if self._wished:
            self._wished = False
            self._start()

    def _reading_failed(self, error: Exception) -> None:
        self._wished = False
        self.message.problem(f"The samples can't be read ({type(error).__name__}: {error}).")
        self._refresh_button()

    # model and speed

    def _model_changed(self, _value: Any = None) -> None:
        if self.active and not self._holder and self.candidate is None:
            self.setup.follow_model()
            self._measure()

    def _measure(self) -> None:
        if not self.active or self._holder or self.candidate is not None or self.keeping.running:
            return
        try:
            self.setup.speeds.measure(self.setup.settings())
        except UNetSharpError as error:
            self.message.problem(str(error))

    # learning

    def _pressed(self) -> None:
        self.message.clear()
        if self.teaching:
            self._holder[0].stop()
            self.live.stopping()
            self.button.setEnabled(False)
            return
        self._wished = True
        self.button.setEnabled(False)
        self.message.note("Reading the samples…")
        self._read()

    def _start(self) -> None:
        weighed = self.reader.weighed
        if weighed is None or weighed.missing:
            self.message.problem(weighed.missing if weighed is not None else "the samples can't be read")
            return
        sources = [
            replace(entry.source, part=entry.part) for entry in self.reader.entries
            if entry.usable and entry.source is not None
        ]  # fmt: skip
        self.setup.speeds.stop()
        try:
            self._settings = replace(self.setup.settings(), samples=tuple(sources))
            self._holder[:] = [Teacher(Order(self._settings))]
        except UNetSharpError as error:
            self.message.problem(str(error))
            return
        model = str(self.find.form.model.value)
        self._parent = partial(self.find.models.load, model)
        self.message.clear()
        self.live.begin()
        self._show("live")
        self._timer.start()

    def _poll(self) -> None:
        if not self._holder:
            self._timer.stop()
            return
        for report in self._holder[0].reports():
            kind = report["report"]
            if kind == "samples":
                self.message.note(str(report["words"])[:1].upper() + str(report["words"])[1:] + ".")
            elif kind == "finished":
                self._finished(report)
            elif kind == "error":
                self._failed(report)
            else:
                self.live.take(report)

    def _finished(self, report: dict[str, Any]) -> None:
        self._timer.stop()
        if not report["candidate"]:
            self._end_teacher()
            why = report["stopped"]
            early = "Stopped before the first epoch was over" if why in {"", "stopped"} else f"It ended early: {why}"
            self._show("setup")
            self.message.note(f"{early}, so there is nothing to keep.")
            return
        self._judge(Path(report["candidate"]), report["verdict"], str(report["stopped"]))

    def _failed(self, report: dict[str, Any]) -> None:
        self._timer.stop()
        if report.get("candidate"):
            self._judge(Path(report["candidate"]), _verdict_of(Path(report["candidate"])), "")
        else:
            self._end_teacher()
            self._show("setup")
        self.message.problem(str(report["words"]) + ".")

    def _judge(self, candidate: Path, verdict: dict[str, Any] | None, why: str) -> None:
        self.candidate = candidate
        self.message.clear()
        self.verdict.busy(False)
        self.verdict.show_verdict(verdict, why, bool(self.next_image.waiting()))
        for made in (self.verdict.before, self.verdict.after):
            made.setChecked(False)
            made.setEnabled(False)
        self._show("verdict")
        if self._parent is not None:
            self.verdict.tissue.setText("Looking at the open image with both models…")
            self.tissue.look(self._parent, candidate, self.setup.level)

    # verdict

    def _tissue_ready(self, words: str) -> None:
        self.verdict.tissue.setText(words)
        for made in (self.verdict.before, self.verdict.after):
            made.setEnabled(True)
            made.setChecked(True)
        if not self.active:  # another stage is on screen
            self.tissue.suspend()

    def _do(self, name: str) -> None:
        if name in {BEFORE, AFTER}:
            made = self.verdict.before if name == BEFORE else self.verdict.after
            self.tissue.show(name, made.isChecked())
        elif name == "discard":
            self._forget_candidate()
            self._show("setup")
            self.enter()
            self.message.note("Discarded; nothing of it stayed behind.")
        elif self.candidate is not None:
            self._next_wished = name == "keep next"
            self.verdict.busy(True)
            self.tissue.remove()
            self.message.note("Keeping it…")
            self.keeping.keep(self.candidate, _level_of(self.candidate, self.setup.level))

    def _not_kept(self, words: str) -> None:
        self.verdict.busy(False)
        self.message.problem(words)

    def _kept(self, path: Path) -> None:
        self._forget_candidate()
        self._show("kept")
        if self.versions.title.isChecked():
            self.history.refresh()
        if self._settings is not None:
            self._settings = replace(self._settings, checkpoint=str(path), normalisation="", nucleus_size=0.0)

    def _kept_and_run(self, words: str) -> None:
        self._changed = words
        self.message.note(words)
        if self._next_wished:
            self._next_wished = False
            self._next()
        elif self.active:
            self.setup.follow_model()
            self._show("kept")
            self._measure()

    def _next(self) -> None:
        if self.next_image.running:
            self.next_image.enough()
            return
        try:
            settings = self.setup.settings()
        except UNetSharpError as error:
            self.message.problem(str(error))
            return
        self.setup.speeds.stop()
        self.next_image.go(replace(settings, level=None))
        self.next_button.setText("Don't wait: open one now" if self.next_image.running else "Next image")

    def _say_of_next(self, words: str) -> None:
        self.message.note(f"{self._changed} {words}".strip())

    def _opened(self, words: str) -> None:
        self.next_button.setText("Next image")
        self._say_of_next(f"{words} is open.")
        self._changed = ""
        if not self.find.message.is_problem:
            self.find.message.note(f"{words} is open: finding its nuclei…")

    def _forget_candidate(self) -> None:
        self.tissue.remove()
        candidate, self.candidate = self.candidate, None
        self._end_teacher()
        if candidate is not None:
            discard(candidate.parent)

    def _end_teacher(self) -> None:
        while self._holder:
            self._holder.pop().close()

    # what a window that is gone left behind

    def _offer_leftover(self) -> None:
        found = leftovers()
        self.left.setVisible(bool(found))
        if not found:
            leftovers(remove=True)  # folders without a candidate

    def _look_at_leftover(self) -> None:
        found = leftovers()
        self.left.hide()
        if not found or self._holder:
            return
        try:
            recipe = read_header(found[0])[1].recipe
            checkpoint = str(recipe.get("settings", {}).get("checkpoint", "nuclei"))
        except UNetSharpError as error:
            self.message.problem(str(error))
            return
        self.setup.speeds.stop()
        self._parent = partial(load_checkpoint, checkpoint)
        self._judge(found[0], _verdict_of(found[0]), "its window was closed")

    def _remove_leftover(self) -> None:
        leftovers(remove=True)
        self.left.hide()

    # showing

    def _unfolded(self, on: bool) -> None:
        if on:
            self.history.refresh()

    def _refresh_button(self) -> None:
        weighed = self.reader.weighed
        self.button.setText("Stop" if self.teaching else "Teach")
        ready = weighed is not None and not weighed.missing
        self.button.setEnabled(self.teaching or (ready and not self._wished))
        self.button.setToolTip(
            "End now; the best so far is kept" if self.teaching else "Learn from the samples; the window stays alive"
        )

    def _show(self, panel: str) -> None:
        self.setup.setVisible(panel in {"setup", "kept"})
        self.button.setVisible(panel in {"setup", "live", "kept"})
        self.live.setVisible(panel == "live")
        self.verdict.setVisible(panel == "verdict")
        self.next_button.setVisible(panel == "kept" and bool(self.next_image.waiting()))
        self._refresh_button()


class _Leftover(QWidget):
    """Offers what a window that was closed had learned."""

    def __init__(self, look: Any, remove: Any) -> None:
        super().__init__()
        words = QLabel("A window that was closed while it learned left a model behind.")
        words.setWordWrap(True)
        row = QHBoxLayout()
        self.look = button("Look at it", "See its verdict; keep or discard it", look)
        self.remove = button("Remove", "Forget it", remove)
        row.addWidget(self.look)
        row.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(words)
        layout.addLayout(row)
        self.hide()


def _verdict_of(candidate: Path) -> dict[str, Any] | None:
    with contextlib.suppress(UNetSharpError):
        verdict = read_header(candidate)[1].metrics.get("verdict")
        return verdict if isinstance(verdict, dict) else None
    return None


def _level_of(candidate: Path, level: int) -> int:
    """Depth to choose in *Find*: the one that was tuned, if the candidate has it."""
    with contextlib.suppress(UNetSharpError):
        return min(level, read_header(candidate)[0].level)
    return level


def _close_all(teachers: list[Teacher], *_: Any) -> None:
    """The window is gone: the process ends; a candidate that nobody judged is offered by the next one."""
    while teachers:
        teacher = teachers.pop()
        with contextlib.suppress(OSError):
            teacher.close(discard=not (teacher.folder / CANDIDATE).is_file())
