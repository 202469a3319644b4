"""A row per candidate: how many nuclei it finds, how well they fit, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QPalette
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_unetsharp.comparison.rows import STORIES, Row
from napari_unetsharp.comparison.table_text import COLUMNS, Column, cell

LINKS = {"dark": QColor("#5AB4F0"), "light": QColor("#0B5FA5")}
"""Of numbers that can be clicked, by theme."""
PICKED, SHADE = QColor("#F0A030"), QColor(61, 155, 224, 60)


CLICKED = "Click a number to step through these nuclei."
RESAMPLED = ("The small numbers are its 95 % interval: where it would lie had other nuclei like these been compared "
             "(bootstrap over nuclei).")  # fmt: skip
FEW = ("nuclei", "found", "missed", "false")
"""Columns that the dock has room for, beside the name."""


def text_of(row: Row, column: Column) -> str:
    """What a cell says; an interval comes in a second line."""
    low, high = row.intervals.get(column.name, (math.nan, math.nan))
    if column.name == "found" or not (math.isfinite(low) and math.isfinite(high)):
        return cell(row, column)
    return f"{cell(row, column)}\n{low:.2f}–{high:.2f}"


def explanation(column: Column, against: str, intervals: bool) -> str:
    """What hovering over a head says.

    Parameters
    ----------
    column : Column
    against : str
        Name of what the rows are measured against.
    intervals : bool
        Whether there are any in this column.

    Returns
    -------
    str
    """
    told = [f"{column.words}.".replace("the truth", against), CLICKED if column.name in STORIES else ""]
    return " ".join(filter(None, [*told, RESAMPLED if intervals else ""]))


class ResultTable(QTableWidget):
    """Rows of a comparison; numbers with nuclei behind them can be clicked.

    Parameters
    ----------
    names : sequence of str
        Columns to show; all of them by default.

    Attributes
    ----------
    selected, story : str
        Name of the row that is chosen and of the story that is being stepped through, or empty.

    Signals
    -------
    chosen(str)
        Name of the row that was clicked.
    stepped(str, str)
        Instead, where nuclei are behind the number that was clicked: name of the row, and of their story.
    """

    chosen = Signal(str)
    stepped = Signal(str, str)

    def __init__(self, names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.selected = self.story = ""
        self.columns = [column for column in COLUMNS if names is None or column.name in names]
        self.setColumnCount(len(self.columns) + 1)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)  # a theme's selection would cover the mark
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)  # names of models differ at their end
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setMouseTracking(True)
        self.verticalHeader().hide()
        head = self.horizontalHeader()
        head.setSectionsClickable(False)
        head.setMinimumSectionSize(30)
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.cellClicked.connect(self._clicked)
        self.cellEntered.connect(self._pointed)

    def show_rows(self, rows: Sequence[Row], against: str) -> None:
        """Show these.

        Parameters
        ----------
        rows : sequence of Row
        against : str
            Name of what they are measured against.
        """
        self.rows = list(rows)
        self.setRowCount(len(rows))
        self.setHorizontalHeaderLabels([""] + [column.title.replace(" ", "\n").replace("/", "\n/")
                                               for column in self.columns])  # fmt: skip
        for across, column in enumerate(self.columns, start=1):
            intervals = column.name != "found" and any(column.name in row.intervals for row in rows)
            self.horizontalHeaderItem(across).setToolTip(explanation(column, against, intervals))
        for place, row in enumerate(self.rows):
            self.setItem(place, 0, _name(row))
            for across, column in enumerate(self.columns, start=1):
                self.setItem(place, across, _number(row, column))
            lines = max(text_of(row, column).count("\n") + 1 for column in self.columns)
            self.setRowHeight(place, lines * self.fontMetrics().lineSpacing() + 8)
        self.select(self.selected, self.story)
        self.updateGeometry()

    def select(self, name: str, story: str = "") -> None:
        """Shade a row, and mark the number whose nuclei are being stepped through; no signal.

        Parameters
        ----------
        name, story : str
            Empty for none.
        """
        self.selected, self.story = name, story
        for place, row in enumerate(self.rows):
            for across, column in enumerate([None, *self.columns]):
                item = self.item(place, across)
                if item is None:
                    continue
                mine = row.name == name
                picked = mine and column is not None and column.name == story
                item.setBackground(QBrush(PICKED if picked else SHADE) if mine else QBrush())
                if column is not None and row.stories.get(column.name):
                    item.setForeground(QColor("black") if picked else self._link())

    def sizeHint(self) -> QSize:  # noqa: N802
        """Qt: as high as its rows."""
        rows = sum(self.rowHeight(place) for place in range(self.rowCount()))
        bar = self.horizontalScrollBar()
        below = bar.sizeHint().height() if bar.isVisible() else 0
        return QSize(340, rows + self.horizontalHeader().sizeHint().height() + below + 4)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Qt: another theme has another colour for what can be clicked."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self.select(self.selected, self.story)

    def _link(self) -> QColor:
        light_ink = self.palette().color(QPalette.ColorRole.WindowText).lightness() > 128
        return LINKS["dark" if light_ink else "light"]

    def _story(self, place: int, across: int) -> str:
        """Name of the story behind a number, empty where there is none."""
        name = self.columns[across - 1].name if across else ""
        return name if self.rows[place].stories.get(name) else ""

    def _pointed(self, place: int, across: int) -> None:
        link = bool(self._story(place, across))
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if link else Qt.CursorShape.ArrowCursor)

    def _clicked(self, place: int, across: int) -> None:
        name, story = self.rows[place].name, self._story(place, across)
        self.stepped.emit(name, story) if story else self.chosen.emit(name)


def row_in_words(row: Row) -> str:
    """A row with a line per number, for hovering over its point.

    Parameters
    ----------
    row : Row

    Returns
    -------
    str
    """
    texts = [(column.title, text_of(row, column).split("\n")) for column in COLUMNS]
    lines = [f"{title}: {text[0]}" + (f" ({text[1]})" if text[1:] else "") for title, text in texts if text != ["–"]]
    return "\n".join([row.name, f"against {row.against}", *lines])


def _name(row: Row) -> QTableWidgetItem:
    item = QTableWidgetItem(row.name)
    item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    told = [row.name, f"model {row.model}" if row.model else ""]
    if row.found is None:
        told.append("what the others are measured against")
        font = item.font()
        font.setItalic(True)
        item.setFont(font)
    item.setToolTip("\n".join(filter(None, told)))
    return item


def _number(row: Row, column: Column) -> QTableWidgetItem:
    item = QTableWidgetItem(text_of(row, column))
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    told = ""
    if column.name == "found" and "found" in row.intervals:
        low, high = row.intervals["found"]
        told = f"{row.found} of {row.true_nuclei}; 95 % interval {low:.1%} to {high:.1%}. "
    if row.stories.get(column.name):
        font = item.font()
        font.setUnderline(True)
        item.setFont(font)
        told += "Click to step through them."
    item.setToolTip(told)
    return item
