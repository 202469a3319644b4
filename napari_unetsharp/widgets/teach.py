"""Stage *Teach*: one button from corrected nuclei to a better model, with the window alive."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.training.teacher import CANDIDATE, Order, Teacher
from napari_unetsharp.widgets.fold import Fold
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.stage import Stage
from napari_unetsharp.widgets.teach_history import History
from napari_unetsharp.widgets.teach_judging import Judging, verdict_of
from napari_unetsharp.widgets.teach_keep import Keeping, NextImage
from napari_unetsharp.widgets.teach_layers import snapshot
from napari_unetsharp.widgets.teach_live import LivePanel
from napari_unetsharp.widgets.teach_reading import SampleReader
from napari_unetsharp.widgets.teach_setup import SetupPanel
from napari_unetsharp.widgets.teach_tissue import Tissue
from napari_unetsharp.widgets.teach_verdict import AFTER, BEFORE, LeftoverPanel, VerdictPanel

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.cases import CaseBar
    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage

POLL = 100


class TeachStage(Judging, Stage):
    """Comes and goes, and follows the process that learns; see `TeachFrame` for its attributes."""

    def __init__(self, viewer: Viewer, find: FindStage, review: ReviewStage, cases: CaseBar) -> None:
        super().__init__(viewer, find, review, cases)
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
        self.left = LeftoverPanel(self._look_at_leftover, self._remove_leftover)
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
        self.setup.quarter_choice.activated.connect(self._choice_changed)
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
        self.gathered.connect(self._start)
        self.discarded.connect(self.enter)

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

    def _model_changed(self, _value: Any = None) -> None:
        if self.active and not self._holder and self.candidate is None:
            self.setup.follow_model()
            self._measure()

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
            self._judge(Path(report["candidate"]), verdict_of(Path(report["candidate"])), "")
        else:
            self._end_teacher()
            self._show("setup")
        self.message.problem(str(report["words"]) + ".")


def _close_all(teachers: list[Teacher], *_: Any) -> None:
    """The window is gone: the process ends; a candidate that nobody judged is offered by the next one."""
    while teachers:
        teacher = teachers.pop()
        with contextlib.suppress(OSError):
            teacher.close(discard=not (teacher.folder / CANDIDATE).is_file())
