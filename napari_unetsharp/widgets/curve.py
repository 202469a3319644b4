"""Small line charts that need no plotting library."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

AXIS = "#8c8c8c"
"""Readable on the dark and on the light theme."""
FURTHER = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#999933", "#8c8c8c")
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 22, 18


class Curve(QWidget):
    """Lines over the steps of something, with a title, a scale and a legend.

    Parameters
    ----------
    title, across : str
        What goes up, and what goes along.
    colours : mapping of str to str, optional
        By name of the line; further ones are chosen.

    Attributes
    ----------
    lines : dict of str to list of (x, y)
    marks : dict of str to float
        Height of a dashed line that goes all along, in the colour of the line of that name.
    """

    def __init__(self, title: str, across: str, colours: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.title, self.across = title, across
        self.colours = dict(colours or {})
        self.lines: dict[str, list[tuple[float, float]]] = {}
        self.marks: dict[str, float] = {}
        self.setMinimumHeight(112)
        self.setAccessibleName(title)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Qt: as wide as the dock."""
        return QSize(340, 118)

    def clear(self) -> None:
        """No lines."""
        self.lines.clear()
        self.marks.clear()
        self.update()

    def add(self, name: str, x: float, y: float | None) -> None:
        """Lengthen a line; None is a gap that is bridged."""
        if y is not None:
            self.lines.setdefault(name, []).append((x, y))
            self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Qt: frame, scale, lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        frame = QRectF(LEFT, TOP, max(1, self.width() - LEFT - RIGHT), max(1, self.height() - TOP - BOTTOM))
        painter.setPen(QPen(QColor(AXIS), 1))
        painter.drawText(QPointF(2, 12), self.title)
        painter.drawLine(frame.topLeft(), frame.bottomLeft())
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        points = [point for line in self.lines.values() for point in line]
        if points:
            self._scale(painter, frame, points)
            self._draw(painter, frame, points)
        else:
            painter.drawText(frame, int(Qt.AlignmentFlag.AlignCenter), "nothing yet")
        painter.end()

    def _bounds(self, points: list[tuple[float, float]]) -> tuple[float, float, float, float]:
        along, up = [x for x, _ in points], [y for _, y in points]
        low, high = min(up), max(up)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return min(along), max(*along, min(along) + 1), low - margin, high + margin

    def _scale(self, painter: QPainter, frame: QRectF, points: list[tuple[float, float]]) -> None:
        first, _, low, high = self._bounds(points)
        painter.drawText(QPointF(2, frame.top() + 9), f"{high:.2f}")
        painter.drawText(QPointF(2, frame.bottom()), f"{low:.2f}")
        painter.drawText(QPointF(frame.left(), self.height() - 4), f"{first:g}")
        words = f"{self.across} {max(x for x, _ in points):g}"
        painter.drawText(QPointF(self.width() - RIGHT - painter.fontMetrics().boundingRect(words).width() - 2,
                                 self.height() - 4), words)  # fmt: skip

    def _draw(self, painter: QPainter, frame: QRectF, points: list[tuple[float, float]]) -> None:
        first, last, low, high = self._bounds(points)
        place = painter.fontMetrics().boundingRect(self.title).width() + 14
        for number, (name, line) in enumerate(self.lines.items()):
            colour = QColor(self.colours.get(name, FURTHER[number % len(FURTHER)]))
            if name in self.marks:
                height = frame.bottom() - (self.marks[name] - low) / (high - low) * frame.height()
                painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine))
                painter.drawLine(QPointF(frame.left(), height), QPointF(frame.right(), height))
            painter.setPen(QPen(colour, 2))
            drawn = [
                QPointF(
                    frame.left() + (x - first) / (last - first) * frame.width(),
                    frame.bottom() - (y - low) / (high - low) * frame.height(),
                )
                for x, y in line
            ]
            if len(drawn) == 1:
                painter.drawEllipse(drawn[0], 2, 2)
            painter.drawPolyline(QPolygonF(drawn))
            painter.drawText(QPointF(place, 12), name)
            place += painter.fontMetrics().boundingRect(name).width() + 10
