"""Stage *Teach*: the verdict on what was learned, Keep or Discard, and the next image."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.network.checkpoint import load_checkpoint, read_header
from napari_unetsharp.training.teacher import leftovers
from napari_unetsharp.training.versions import discard
from napari_unetsharp.widgets.teach_gathering import GatheringSamples
from napari_unetsharp.widgets.teach_verdict import AFTER, BEFORE


class Judging(GatheringSamples):
    """From the candidate to a kept version, or to nothing."""

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
            self.discarded.emit()
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
        self._judge(found[0], verdict_of(found[0]), "its window was closed")

    def _remove_leftover(self) -> None:
        leftovers(remove=True)
        self.left.hide()

    def _unfolded(self, on: bool) -> None:
        if on:
            self.history.refresh()


def verdict_of(candidate: Path) -> dict[str, Any] | None:
    with contextlib.suppress(UNetSharpError):
        verdict = read_header(candidate)[1].metrics.get("verdict")
        return verdict if isinstance(verdict, dict) else None
    return None


def _level_of(candidate: Path, level: int) -> int:
    """Depth to choose in *Find*: the one that was tuned, if the candidate has it."""
    with contextlib.suppress(UNetSharpError):
        return min(level, read_header(candidate)[0].level)
    return level
