"""Touch-up, Standard, Thorough: what each takes, measured by the teaching process."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from functools import partial
from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unetsharp.errors import TrainingError
from napari_unetsharp.training.old_examples import SIDE
from napari_unetsharp.training.speeds import Speed, seconds_of_tests
from napari_unetsharp.training.teacher import Order, Teacher
from napari_unetsharp.training.tune_settings import TuneSettings
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.run_button import duration

SPEEDS = {
    Speed.TOUCH_UP: ("Touch-up", "Only the last layer of each view learns: quick, for small differences in colour"),
    Speed.STANDARD: ("Standard", "Everything that the chosen depth needs learns; the right choice for most"),
    Speed.THOROUGH: ("Thorough", "The whole model learns, all depths with it: slow, for tissue of another kind"),
}
POLL = 200


class SpeedRow(QWidget):
    """Three buttons of which one is down; each says weights, time and memory.

    Attributes
    ----------
    learned, tested : float
        Megapixels of the samples that are learned from, and that are kept aside; the time of the tests follows.

    Signals
    -------
    chosen()
    """

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.buttons = {speed: button("", tip, self._pressed, checkable=True) for speed, (_, tip) in SPEEDS.items()}
        self._group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(4)
        for made in self.buttons.values():
            self._group.addButton(made)
            made.setMinimumHeight(58)
            made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
            made.setStyleSheet("QPushButton { padding: 3px 1px; font-size: 11px; }")
            row.addWidget(made)
        self.buttons[Speed.STANDARD].setChecked(True)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setStyleSheet("QLabel { font-size: 11px; }")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.words)
        self.learned = self.tested = 0.0
        self._costs: dict[str, dict[str, dict[str, Any]]] = {}
        self._key, self._settings = "", TuneSettings("")
        self._trouble = ""
        self._timer = QTimer(self)
        self._timer.setInterval(POLL)
        self._timer.timeout.connect(self._poll)
        self._holder: list[Teacher] = []
        self.destroyed.connect(partial(end_all, self._holder))
        self.refresh()

    @property
    def speed(self) -> Speed:
        """The one that is chosen."""
        return next(speed for speed, made in self.buttons.items() if made.isChecked())

    @property
    def measuring(self) -> bool:
        """Whether the process is at work."""
        return bool(self._holder)

    def cost(self, speed: Speed) -> dict[str, Any] | None:
        """What a speed takes, None where it isn't known."""
        return self._costs.get(self._key, {}).get(str(speed))

    def seconds(self, speed: Speed) -> float | None:
        """Of all steps and tests together; None where it isn't known."""
        cost, settings = self.cost(speed), self._settings
        if cost is None:
            return None
        tested = (self.tested or self.learned) + settings.drawn_check * SIDE**2 / 1e6
        blends, learned = len(settings.protection.blends), self.learned if self.tested else 0.0
        tests = seconds_of_tests(cost["seconds_per_mpx"], settings.epochs, blends, learned, tested)
        return float(cost["seconds"]) + tests

    def measure(self, settings: TuneSettings) -> None:
        """Find out what each speed takes with these settings; nothing starts where that is known."""
        settings = replace(settings, samples=())
        kept = settings.as_dict()
        names = ("checkpoint", "level", "epochs", "steps", "crops", "device", "threads")
        key = json.dumps([kept[name] for name in names])
        self._settings = settings
        if key == self._key and (self.measuring or len(self._costs.get(key, {})) == len(SPEEDS)):
            return
        self.stop()
        self._key, self._trouble = key, ""
        if len(self._costs.setdefault(key, {})) < len(SPEEDS):
            try:
                self._holder.append(Teacher(Order(settings, task="cost")))
                self._timer.start()
            except TrainingError as error:
                self._trouble = str(error)
        self.refresh()

    def stop(self) -> None:
        """Nobody looks any more."""
        self._timer.stop()
        end_all(self._holder)
        self.refresh()

    def refresh(self) -> None:
        """Write what is known onto the buttons."""
        for speed, made in self.buttons.items():
            made.setText("\n".join([SPEEDS[speed][0], *self._told(speed)]))
        self.words.setText(self._sentence())

    def _told(self, speed: Speed) -> tuple[str, str]:
        cost = self.cost(speed)
        if cost is None:
            return ("measuring…" if self.measuring else "not measured"), ""
        seconds = self.seconds(speed) or cost["seconds"]
        return f"{big(cost['weights'])} weights", f"{duration(seconds)} · {_memory(cost['bytes'])}"

    def _sentence(self) -> str:
        cost = self.cost(self.speed)
        if self._trouble:
            return f"Not measured: {self._trouble}."
        if cost is None:
            return SPEEDS[self.speed][1] + "."
        share = f"{cost['weights']:,} of {cost['all_weights']:,} weights learn"
        gives = f"the new model has depth {cost['level']}" if cost["level"] < 4 else "the new model has all depths"
        own = " Testing your own old examples comes on top of the time." if self._settings.old_folders else ""
        return f"{SPEEDS[self.speed][1]}. {share}; {gives}.{own}"

    def _pressed(self) -> None:
        self.refresh()
        self.chosen.emit()

    def _poll(self) -> None:
        for teacher in list(self._holder):
            for report in teacher.reports():
                if report["report"] == "cost":
                    self._costs[self._key][report["speed"]] = report
                elif report["report"] == "error":
                    self._trouble = str(report["words"])
            if not teacher.running:
                self._timer.stop()
                end_all(self._holder)
        self.refresh()


def end_all(teachers: list[Teacher], *_: Any) -> None:
    """End processes and remove their folders; of windows that are gone too."""
    while teachers:
        with contextlib.suppress(OSError):
            teachers.pop().close()


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{max(1, round(size / 2**20))} MB"


def big(count: int) -> str:
    """A count as a person says it: "512", "31 k", "9.4 M"."""
    if count < 1000:
        return str(count)
    return f"{count / 1e3:.0f} k" if count < 1e6 else f"{count / 1e6:.1f} M"
