"""The full table and a large plot, in a window of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.comparison.table_text import COLUMNS
from napari_unetsharp.widgets.compare_plot import QualityPlot
from napari_unetsharp.widgets.compare_table import ResultTable, row_in_words
from napari_unetsharp.widgets.quiet import button, quiet

QUALITIES = {"f1_50": "F1@0.5", "pq": "PQ", "aji": "AJI", "dice": "Dice", "iou": "IoU"}
"""What can go up on the plot."""


class Chart(QWidget):
    """The plot, with the choice of what goes up.

    Signals
    -------
    chosen(str)
        Name of the row whose point was clicked.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.plot, self.quality = QualityPlot(), QComboBox()
        for key, words in QUALITIES.items():
            self.quality.addItem(words, key)
            tip = next(column.words for column in COLUMNS if column.name == key)
            self.quality.setItemData(self.quality.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.quality.setToolTip("What goes up on the plot")
        row = QHBoxLayout()
        row.addWidget(QLabel("Quality against time"))
        row.addStretch(1)
        row.addWidget(self.quality)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.plot, 1)
        quiet(self)
        self._rows: list[Row] = []
        self._against = ""
        self.quality.currentIndexChanged.connect(lambda _place: self._draw())
        self.plot.chosen.connect(self.chosen)

    def show_rows(self, rows: Sequence[Row], against: str) -> None:
        """Draw these, measured against that."""
        self._rows, self._against = list(rows), against
        self._draw()

    def _draw(self) -> None:
        key = str(self.quality.currentData())
        tips = {row.name: row_in_words(row) for row in self._rows}
        self.plot.show_rows(self._rows, key, f"{QUALITIES[key]} against {self._against}, 95 % interval", tips)


class ResultsWindow(QWidget):
    """Everything about a comparison, as large as one likes.

    Parameters
    ----------
    parent : QWidget
        The window that it belongs to.
    copy : callable
        Gets "Markdown" or "CSV".
    """

    def __init__(self, parent: QWidget, copy: Callable[[str], None]) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle("UNet# comparison")
        self.against, self.advice, self.said = QLabel(), QLabel(), QLabel()
        for label in (self.against, self.advice, self.said):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.table, self.chart = ResultTable(), Chart()
        row = QHBoxLayout()
        for form in ("Markdown", "CSV"):
            row.addWidget(button(f"Copy as {form}", f"Copy the whole table as {form} to the clipboard",
                                 partial(copy, form)))  # fmt: skip
        row.addWidget(self.said, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(self.against)
        layout.addWidget(self.table, 3)
        layout.addWidget(self.advice)
        layout.addLayout(row)
        layout.addWidget(self.chart, 1)
        quiet(self)
        self.resize(1240, 660)

    def show_rows(self, rows: Sequence[Row], words: Mapping[str, str], against: str) -> None:
        """Fill it.

        Parameters
        ----------
        rows : sequence of Row
        words : mapping of str to str
            "against": the sentence about what the rows are measured against; "advice".
        against : str
            Its name.
        """
        self.against.setText(words["against"])
        self.advice.setText(words["advice"])
        self.advice.setVisible(bool(words["advice"]))
        self.said.clear()
        self.table.show_rows(rows, against)
        self.table.setMaximumHeight(self.table.sizeHint().height())
        self.chart.show_rows(rows, against)
