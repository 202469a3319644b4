"""How far the review is: a bar of states, counts, and a legend of the colours."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.state_layer import COLOURS

ORDER = (State.RIGHT, State.CHANGED, State.NOT, State.UNSURE, State.TO_DO)
LEGEND = (State.TO_DO, State.RIGHT, State.CHANGED, State.NOT, State.UNSURE)
SIGNS = {State.NOT: "×", State.UNSURE: "?"}


class _Bar(QWidget):
    """One stripe per state, as long as its share."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Mapping[State, int] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("States of the nuclei")

    def sizeHint(self) -> QSize:  # noqa: N802
        """Qt: a narrow stripe."""
        return QSize(300, 11)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Qt: looked at on the left, to do on the right."""
        painter = QPainter(self)
        total, x = max(1, sum(self.counts.values())), 0.0
        for state in ORDER:
            width = self.width() * self.counts.get(state, 0) / total
            colour = QColor(COLOURS[state]) if state is not State.TO_DO else QColor(128, 128, 128, 120)
            painter.fillRect(QRectF(x, 0, width, self.height()), colour)
            x += width
        painter.end()


class StateBar(QWidget):
    """Bar, sentence and legend."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = _Bar()
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.setStyleSheet("QLabel { font-size: 11px; }")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setText(" ".join(_entry(state) for state in LEGEND))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self.bar, self.text, self.legend):
            layout.addWidget(widget)

    def show_counts(self, counts: Mapping[State, int], to_go: str) -> None:
        """Draw the counts; `to_go` says how long the rest will take, or is empty."""
        self.bar.counts = dict(counts)
        self.bar.update()
        total = sum(counts.values())
        looked = total - counts[State.TO_DO]
        ending = f" · {to_go}" if to_go else ""
        self.text.setText(f"<b>{looked:,}</b> of {total:,} looked at{ending}")
        details = ", ".join(f"{counts[state]:,} {state.value}" for state in LEGEND)
        self.setToolTip(details)


def _entry(state: State) -> str:
    sign = SIGNS.get(state, "■")
    # white and pale grey need a dark ground in the light theme
    ground = "; background-color:#3c3c3c" if state in {State.CHANGED, State.UNSURE} else ""
    name = state.value.replace(" ", "&nbsp;")
    return f'<span style="color:{COLOURS[state]}{ground}"><b>{sign}</b></span>&nbsp;{name}'
