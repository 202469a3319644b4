"""Quality against time: a point per depth, view and model, drawn without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QToolTip, QWidget

from napari_unetsharp.comparison.plot import Axis
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.widgets.compare_points import Point, free_place, points_of
from napari_unetsharp.widgets.curve import AXIS, FURTHER

COUNTED, MEASURED = "GFLOP per Mpx (speed not measured yet)", "ms per Mpx, measured here"
LEFT, RIGHT, TOP, BOTTOM = 36, 12, 34, 34
NEAR = 12
"""Pixels around a point that count as pointing at it."""


class QualityPlot(QWidget):
    """Points with whiskers; hovering shows the row, a click chooses it.

    Signals
    -------
    chosen(str)
        Name of the row whose point was clicked.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.points: list[Point] = []
        self.measured = False
        self.hovered = self.selected = ""
        self._title = ""
        self._tips: dict[str, str] = {}
        self.setMinimumHeight(190)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Quality against time")

    def sizeHint(self) -> QSize:  # noqa: N802
        """Qt: as wide as the dock."""
        return QSize(340, 210)

    def show_rows(self, rows: Sequence[Row], score: str, title: str, tips: dict[str, str]) -> None:
        """Draw these.

        Parameters
        ----------
        rows : sequence of Row
        score : str
            What goes up: one of `Row.scores`.
        title : str
            What it is, and against what.
        tips : dict of str to str
            What hovering says, by name of the row.
        """
        self.points, self.measured = points_of(rows, score)
        self._title, self._tips = title, tips
        self.hovered = ""
        told = [f"{point.row.name}: {point.y:.3f} at {point.x:.0f}" for point in self.points]
        self.setAccessibleDescription("; ".join([title, self.across, *told]))
        self.update()

    def select(self, name: str) -> None:
        """Put a ring around a point; an empty name takes it away."""
        self.selected = name
        self.update()

    @property
    def across(self) -> str:
        """What goes along."""
        return MEASURED if self.measured else COUNTED

    def place(self, point: Point) -> QPointF:
        """Where a point is, in pixels of the widget."""
        across, up = self._axes()
        return QPointF(across.at(point.x), up.at(point.y))

    def near(self, position: QPointF) -> Point | None:
        """The point that is pointed at."""
        distances = [(_apart(self.place(point), position), place) for place, point in enumerate(self.points)]
        distance, place = min(distances, default=(math.inf, 0))
        return self.points[place] if distance <= NEAR else None

    # Qt

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Qt: say what is pointed at."""
        if event is None:
            return
        point = self.near(_position(event))
        name = "" if point is None else point.row.name
        if name != self.hovered:
            self.hovered = name
            self.setCursor(Qt.CursorShape.PointingHandCursor if name else Qt.CursorShape.ArrowCursor)
            self.update()
        if point is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(self.mapToGlobal(self.place(point).toPoint() + QPoint(8, 8)), self._tips[name], self)

    def leaveEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Qt: nothing is pointed at."""
        self.hovered = ""
        self.update()
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Qt: choose."""
        if event is None or event.button() != Qt.MouseButton.LeftButton:
            return
        point = self.near(_position(event))
        if point is not None:
            self.select(point.row.name)
            self.chosen.emit(point.row.name)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Qt: title, axes, whiskers, lines, points, labels."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        painter.setPen(ink)
        title = painter.fontMetrics().elidedText(self._title, Qt.TextElideMode.ElideRight, self.width() - 8)
        painter.drawText(QPointF(4, 12), title)
        if self.points:
            self._draw_axes(painter, ink)
            self._draw_models(painter)
            self._draw_points(painter, ink)
        else:
            words = "Only depths and views of a model have a speed."
            painter.drawText(QRectF(self.rect()), int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), words)
        painter.end()

    # drawing

    def _frame(self) -> QRectF:
        return QRectF(LEFT, TOP, max(1, self.width() - LEFT - RIGHT), max(1, self.height() - TOP - BOTTOM))

    def _axes(self) -> tuple[Axis, Axis]:
        """Time, which begins at 0, and the score."""
        frame = self._frame()
        low, high = min(point.low for point in self.points), max(point.high for point in self.points)
        margin = max(0.08 * (high - low), 0.01)
        right = 1.12 * max(point.x for point in self.points) or 1.0
        return (
            Axis(0.0, right, frame.left(), frame.right()),
            Axis(max(0.0, low - margin), min(1.0, high) + margin, frame.bottom(), frame.top()),
        )

    def _models(self) -> dict[str, QColor]:
        names = dict.fromkeys(point.row.model for point in self.points)
        return {name: QColor(FURTHER[place % len(FURTHER)]) for place, name in enumerate(names)}

    def _draw_axes(self, painter: QPainter, ink: QColor) -> None:
        frame, (across, up) = self._frame(), self._axes()
        faint = QColor(AXIS)
        faint.setAlpha(70)
        for value in up.ticks():
            if value > 1:
                continue
            y = up.at(value)
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(ink)
            painter.drawText(QRectF(0, y - 8, LEFT - 4, 16), int(_RIGHT), f"{value:.3g}")
        for value in across.ticks():
            x = across.at(value)
            painter.setPen(QPen(QColor(AXIS), 1))
            painter.drawLine(QPointF(x, frame.bottom()), QPointF(x, frame.bottom() + 3))
            painter.setPen(ink)
            painter.drawText(QRectF(x - 30, frame.bottom() + 3, 60, 14), int(_MIDDLE), f"{value:,.6g}")
        painter.setPen(QPen(QColor(AXIS), 1))
        painter.drawLine(frame.topLeft(), frame.bottomLeft())
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        painter.setPen(ink)
        painter.drawText(QRectF(frame.left(), self.height() - 16, frame.width(), 14), int(_MIDDLE), self.across)

    def _draw_models(self, painter: QPainter) -> None:
        """A line through the depths of each model; its name where there are several."""
        models, place = self._models(), 4.0
        for name, colour in models.items():
            painter.setPen(QPen(colour, 1.2))
            depths = {point.row.node: point for point in self.points if point.row.model == name and point.is_depth}
            painter.drawPolyline(QPolygonF([self.place(depths[node]) for node in sorted(depths)]))
            if len(models) > 1:
                metrics = painter.fontMetrics()
                words = metrics.elidedText(f"● {name}", Qt.TextElideMode.ElideMiddle, self.width() // len(models) - 10)
                painter.drawText(QPointF(place, 26), words)
                place += metrics.boundingRect(words).width() + 12

    def _draw_points(self, painter: QPainter, ink: QColor) -> None:
        models = self._models()
        for point in self.points:
            colour, middle = models[point.row.model], self.place(point)
            painter.setPen(QPen(colour, 1.4))
            self._draw_whisker(painter, point)
            hollow = point.row.found is None  # it is measured against itself
            painter.setBrush(self.palette().color(QPalette.ColorRole.Window) if hollow else colour)
            painter.setPen(QPen(colour, 2))
            mark = _around(middle, 6 if point.row.name == self.hovered else 4.5)
            painter.drawEllipse(mark) if point.is_depth else painter.drawRect(mark)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            if point.row.name == self.selected:
                painter.setPen(QPen(ink, 1.5))
                painter.drawEllipse(middle, 9, 9)
        self._draw_labels(painter, ink)

    def _draw_labels(self, painter: QPainter, ink: QColor) -> None:
        room = self._frame().adjusted(0, -6, RIGHT, 0)
        points = {point.row.name: _around(self.place(point), 7) for point in self.points}
        whole = {point.row.name: points[point.row.name].united(QRectF(*self._ends(point))) for point in self.points}
        ground = self.palette().color(QPalette.ColorRole.Window)
        ground.setAlpha(190)
        taken: list[QRectF] = []
        for point in self.points:
            name = point.row.name
            size = painter.fontMetrics().boundingRect(point.label).adjusted(0, 0, 4, 0)
            sides = (size.width(), size.height())
            others = [box for key, box in whole.items() if key != name]
            box = free_place(points[name], sides, [*taken, *whole.values()], room)
            box = box or free_place(whole[name], sides, [*taken, *others], room)
            box = box or free_place(points[name], sides, [*taken, *points.values()], room)
            if box is not None:
                taken.append(box)
                painter.fillRect(box.adjusted(0, 2, 0, -2), ground)
                painter.setPen(ink)
                painter.drawText(box, int(_MIDDLE), point.label)

    def _ends(self, point: Point) -> tuple[QPointF, QPointF]:
        """Corners of a whisker."""
        _, up = self._axes()
        x = self.place(point).x()
        return QPointF(x - 4, up.at(point.high)), QPointF(x + 4, up.at(point.low))

    def _draw_whisker(self, painter: QPainter, point: Point) -> None:
        above, below = self._ends(point)
        if below.y() - above.y() < 1:
            return
        middle = (above.x() + below.x()) / 2
        painter.drawLine(QPointF(middle, above.y()), QPointF(middle, below.y()))
        for y in (above.y(), below.y()):
            painter.drawLine(QPointF(above.x(), y), QPointF(below.x(), y))


_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_MIDDLE = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter


def _around(middle: QPointF, radius: float) -> QRectF:
    return QRectF(middle.x() - radius, middle.y() - radius, 2 * radius, 2 * radius)


def _apart(one: QPointF, other: QPointF) -> float:
    return math.hypot(one.x() - other.x(), one.y() - other.y())


def _position(event: QMouseEvent) -> QPointF:
    return QPointF(event.position()) if hasattr(event, "position") else QPointF(event.pos())
