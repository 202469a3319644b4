"""The numbers of a comparison: table, plot, advice, speed, report, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QGuiApplication, QHideEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.comparison.advice import advice, against_words
from napari_unetsharp.comparison.candidate import Candidate, choose_truth
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.comparison.table_text import as_csv, as_markdown
from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.widgets.compare_cost import SpeedPanel, passes_of
from napari_unetsharp.widgets.compare_counting import Wish, row_steps
from napari_unetsharp.widgets.compare_export import ExportPanel
from napari_unetsharp.widgets.compare_report import ReportMaterial, ReportPanel
from napari_unetsharp.widgets.compare_table import FEW, ResultTable
from napari_unetsharp.widgets.compare_window import Chart, ResultsWindow
from napari_unetsharp.widgets.fold import Fold
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.quiet import button, quiet
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

NOTHING = "Nothing to compare yet: choose A and B above."
EXPORT = "Export this depth"
TEXTS = {"Markdown": as_markdown, "CSV": as_csv}
STORIES_OF = {
    "found": "found by", "missed": "missed by", "false": "false ones of", "split": "split by", "joined": "joined by",
}  # fmt: skip
"""Before the name of a candidate."""


class ResultsPanel(QWidget):
    """Puts candidates into numbers, in a thread; a newer wish replaces an older one.

    Signals
    -------
    stepped(object)
        A list of `Differing`: the nuclei behind a number that was clicked. `chosen` comes first.
    chosen(str)
        Name of the candidate whose row, number or point was clicked.
    problem(str)
        Why there are no numbers. What goes wrong in a part of the panel is shown there.
    """

    stepped = Signal(object)
    chosen = Signal(str)
    problem = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._wish: Wish | None = None
        self._next: Wish | None = None
        self._worker: StoppableWorker | None = None
        self._window: ResultsWindow | None = None
        self._build()
        self._connect()
        self.clear()

    def _build(self) -> None:
        self.against, self.advice = QLabel(), QLabel()
        for label in (self.against, self.advice):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.advice.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.table, self.chart = ResultTable(FEW), Chart()
        self.full_button = button("Full table…", "All columns and a large plot, in a window", self.open_window)
        self.copy_buttons = {
            form: button(f"Copy {form}", f"Copy the whole table as {form} to the clipboard",
                         partial(self.copy, form))
            for form in TEXTS
        }  # fmt: skip
        self.speed, self.report = SpeedPanel(), ReportPanel()
        self.said, self.message = Message(), Message()
        self.export = ExportPanel()
        self.export_fold = Fold(EXPORT, "A smaller model, or a file for another program", self.export)
        row = QHBoxLayout()
        for made in (self.full_button, *self.copy_buttons.values()):
            row.addWidget(made)
        self._numbers = QWidget()
        inside = QVBoxLayout(self._numbers)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(5)
        inside.addWidget(self.table)
        inside.addLayout(row)
        for widget in (self.said, self.advice, self.chart, self.speed, self.report, self.export_fold):
            inside.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        for widget in (self.against, self._numbers, self.message):
            layout.addWidget(widget)
        quiet(self)

    def _connect(self) -> None:
        self.speed.measured.connect(self._refresh)
        for part in (self.speed, self.report):
            part.failed.connect(self.message.problem)
        self._follow(self.table, self.chart)

    def _follow(self, table: ResultTable, chart: Chart) -> None:
        table.stepped.connect(self._number_clicked)
        table.chosen.connect(self._choose)
        chart.chosen.connect(self._choose)

    @property
    def running(self) -> bool:
        """Whether anything is at work."""
        return self._worker is not None or any(part.running for part in (self.speed, self.report, self.export))

    def show_candidates(
        self,
        candidates: Sequence[Candidate],
        truth: Candidate | None,
        spacing_um: tuple[float, float] | None,
        picture: Callable[[], NDArray[np.uint8]],
        checkpoint: Checkpoint | None = None,
        settings: Mapping[str, Any] | None = None,
        checkpoints: Mapping[str, Checkpoint] | None = None,
    ) -> None:
        """Put these into numbers.

        Parameters
        ----------
        candidates : sequence of Candidate
            No two have the same name. Fewer than two clear the panel.
        truth : Candidate or None
            What they are measured against; the deepest of them if None.
        spacing_um : tuple of float or None
            Height and width of a pixel in micrometres.
        picture : callable
            Gives the tissue for the report, array of uint8, (Y, X, 3). Called in a thread: it can't touch the window.
        checkpoint : Checkpoint, optional
            What computed them.
        settings : mapping, optional
            Plain values for the report; its "device" (default "auto") is what speed is measured on.
        checkpoints : mapping of str to Checkpoint, optional
            By `Candidate.model`, where models are compared; `checkpoint` isn't looked at then.
        """
        chosen = list(candidates)
        reference = truth or choose_truth(chosen) or next(iter(chosen), None)
        if reference is None or all(one.name == reference.name for one in chosen):
            self.clear()
            return
        settings = dict(settings or {})
        passes = passes_of(chosen, checkpoint, checkpoints, str(settings.get("device", "auto")))
        wish = Wish(chosen, reference, spacing_um, picture, passes, settings)
        self._hush()
        self.report.offer(None)
        self.against.setText(f"Comparing {len(chosen)} with {reference.name}…")
        self._next = wish
        if self._worker is None:
            self._start()

    def clear(self) -> None:
        """Nothing is compared."""
        self._wish = self._next = None
        self.rows = []
        self._hush()
        self.report.offer(None)
        self.speed.offer({})
        self.against.setText(NOTHING)
        self._numbers.hide()
        if self._window is not None:
            self._window.hide()

    def quit(self) -> None:
        """Nobody waits any more."""
        self._wish = self._next = None
        for part in (self._worker, self.speed, self.report, self.export):
            if part is not None:
                part.quit()

    def select(self, name: str, story: str = "") -> None:
        """Show a candidate, and one of its numbers, as chosen; no signal.

        Parameters
        ----------
        name : str
            Empty for none.
        story : str
            "found", "missed", "false", "split" or "joined": the number whose nuclei are being stepped through.
        """
        for table, chart in self._views():
            table.select(name, story)
            chart.plot.select(name)
        self._offer_export()

    def copy(self, form: str) -> None:
        """Put the whole table on the clipboard.

        Parameters
        ----------
        form : "Markdown" or "CSV"
        """
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None and self.rows:
            clipboard.setText(TEXTS[form](self.rows))
            self._say(f"Copied as {form}: {len(self.rows)} rows, {against_words(self.rows[0])}.")

    def open_window(self) -> None:
        """Show all columns and a large plot."""
        if self._window is None:
            self._window = ResultsWindow(self.window(), self.copy)
            self._follow(self._window.table, self._window.chart)
            self._refresh()
            self.select(self.table.selected, self.table.story)
        self._window.show()
        self._window.raise_()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Qt: another stage is on screen."""
        if self._window is not None and event is not None and not event.spontaneous():
            self._window.hide()
        super().hideEvent(event)

    # computing

    def _start(self) -> None:
        self._wish, self._next = self._next, None
        slots: dict[str, Any] = {"yielded": self._counted, "errored": self._failed, "finished": self._ended}
        self._worker = start_worker(row_steps, self._wish, connect=slots)

    def _counted(self, found: list[Row]) -> None:
        if self._wish is None or self._next is not None:
            return
        self.rows = found
        self.speed.offer(self._wish.passes)
        self._offer_export()
        self._numbers.show()
        self._refresh()

    def _offer_export(self) -> None:
        """The depth of the row that is chosen, else the first model that there is."""
        passes = self._wish.passes if self._wish is not None else {}
        chosen = passes.get(self.table.selected)
        one = chosen or next(iter(passes.values()), None)
        self.export_fold.setVisible(one is not None)
        if one is None or self.export.running:
            return
        several = len({other.key[0] for other in passes.values()}) > 1
        self.export_fold.title.setText(EXPORT + (f" of {shortened(one.checkpoint.metadata.name)}" if several else ""))
        self.export.offer(one.checkpoint, chosen.level if chosen is not None else None)

    def _failed(self, error: Exception) -> None:
        if self._wish is not None and self._next is None:
            self.clear()
            known = isinstance(error, UNetSharpError)
            self.problem.emit(str(error) if known else f"Unexpected {type(error).__name__}: {error}")

    def _ended(self) -> None:
        self._worker = None
        if self._next is not None:
            self._start()

    # showing

    def _views(self) -> list[tuple[ResultTable, Chart]]:
        here = [(self.table, self.chart)]
        return here if self._window is None else [*here, (self._window.table, self._window.chart)]

    def _refresh(self) -> None:
        """Show the rows with what was measured."""
        if self._wish is None or not self.rows:
            return
        costs, wish = self.speed.costs, self._wish
        self.rows = [row.with_cost(costs.get(row.name)) for row in self.rows]
        words = against_words(self.rows[0])
        told = advice(self.rows, wish.truth.name)
        self.against.setText(words[0].upper() + words[1:])
        self.advice.setText(told)
        self.advice.setVisible(bool(told))
        self.table.show_rows(self.rows, wish.truth.name)
        self.table.setFixedHeight(self.table.sizeHint().height())
        self.chart.show_rows(self.rows, wish.truth.name)
        if self._window is not None:
            self._window.show_rows(self.rows, {"against": self.against.text(), "advice": told}, wish.truth.name)
        there = any(one.name == wish.truth.name for one in wish.candidates)
        candidates = wish.candidates if there else [wish.truth, *wish.candidates]
        self.report.offer(ReportMaterial(candidates, self.rows, told, wish.picture, wish.settings))

    def _choose(self, name: str) -> None:
        self.select(name)
        self.chosen.emit(name)

    def _number_clicked(self, name: str, story: str) -> None:
        items = next((row.stories[story] for row in self.rows if row.name == name), [])
        self.select(name, story)
        self.chosen.emit(name)
        self._say(f"Next and Back step through the {len(items):,} {STORIES_OF[story]} {name}.")
        self.stepped.emit(items)

    def _say(self, words: str) -> None:
        self.message.clear()
        self.said.note(words)
        if self._window is not None:
            self._window.said.setText(words)

    def _hush(self) -> None:
        self.said.clear()
        self.message.clear()


def shortened(name: str, most: int = 26) -> str:
    """A name that fits the dock; its end is kept, where versions differ."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
