"""What is drawn over the panes in screen pixels: names, one cursor in all of them, brackets around a difference.

These are plain Qt widgets over the canvas: they cost no drawing of the scene, and the mouse goes through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPointF, QRect, QRectF, Qt, QTimer
from qtpy.QtGui import QColor, QFont, QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_unetsharp.widgets.outline import CURRENT

if TYPE_CHECKING:
    from napari import Viewer

CROSS = 9
"""Half the length of the cursor's lines, in screen pixels."""

MARGIN, ARM = 6, 12
"""Of the brackets: distance from what they enclose, and length."""

Title = tuple[str, str, str]
"""A letter, a text and the letter's colour."""


class PaneMarks(QWidget):
    """Names, cursor and brackets over one pane.

    Parameters
    ----------
    parent : QWidget
        The canvas.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.titles: tuple[Title | None, Title | None] = (None, None)
        self.cursor_at: QPointF | None = None
        self.frame: QRectF | None = None

    def set_titles(self, left: Title | None, right: Title | None = None) -> None:
        """Names in the upper corners."""
        if self.titles != (left, right):
            self.titles = left, right
            self.update()

    def point(self, at: QPointF | None) -> None:
        """Draw the cursor here; None for nowhere."""
        if at != self.cursor_at:
            for place in (self.cursor_at, at):
                if place is not None:
                    self.update(_around(place))
            self.cursor_at = at

    def enclose(self, frame: QRectF | None) -> None:
        """Draw brackets around this; None for nothing."""
        if frame != self.frame:
            for place in (self.frame, frame):
                if place is not None:
                    self.update(place.adjusted(*(2 * [-MARGIN - 4] + 2 * [MARGIN + 4])).toAlignedRect())
            self.frame = frame

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Qt: brackets, cursor, names."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in (("black", 4.5), (CURRENT, 2.0)):
            painter.setPen(QPen(QColor(colour), width))
            if self.frame is not None:
                _draw_brackets(painter, self.frame)
        for colour, width in (("black", 3.0), ("white", 1.2)):
            painter.setPen(QPen(QColor(colour), width))
            if self.cursor_at is not None:
                x, y = self.cursor_at.x(), self.cursor_at.y()
                for sign in (-1, 1):
                    painter.drawLine(QPointF(x + 3 * sign, y), QPointF(x + CROSS * sign, y))
                    painter.drawLine(QPointF(x, y + 3 * sign), QPointF(x, y + CROSS * sign))
        self._draw_titles(painter)
        painter.end()

    def _draw_titles(self, painter: QPainter) -> None:
        font = QFont(self.font())
        font.setPixelSize(13)
        painter.setFont(font)
        metrics, count = QFontMetrics(font), sum(title is not None for title in self.titles)
        room = self.width() / max(1, count) - 16
        for title, at_right in zip(self.titles, (False, True), strict=True):
            if title is None:
                continue
            letter, text, colour = title
            chip = 22 if letter else 0
            words = metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(room) - chip - 14)
            width = metrics.horizontalAdvance(words) + chip + 14
            box = QRectF(self.width() - width - 8 if at_right else 8, 8, width, 22)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(0, 0, 0, 180))
            painter.drawRoundedRect(box, 4, 4)
            if letter:
                painter.setBrush(QColor(colour))
                painter.drawRoundedRect(QRectF(box.left() + 3, box.top() + 3, 18, 16), 3, 3)
                painter.setPen(QColor("black"))
                painter.drawText(QRectF(box.left() + 3, box.top() + 3, 18, 16), _CENTRE, letter)
            painter.setPen(QColor("white"))
            painter.drawText(box.adjusted(chip + 7, 0, 0, 0), _LEFT, words)


_CENTRE = int(Qt.AlignmentFlag.AlignCenter)
_LEFT = int(getattr(Qt.AlignmentFlag.AlignLeft, "value", Qt.AlignmentFlag.AlignLeft)) | int(
    getattr(Qt.AlignmentFlag.AlignVCenter, "value", Qt.AlignmentFlag.AlignVCenter)
)


class CanvasMarks(QObject):
    """Keeps the marks of all panes where they belong.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = ref(viewer)
        self.panes: list[PaneMarks] = []
        self._titles: Sequence[tuple[Title | None, Title | None]] = ()
        self._corners: NDArray[np.float64] | None = None
        self._pointer: QPointF | None = None
        self.on = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.place)

    @property
    def _canvas(self) -> Any:
        viewer = self._viewer()
        return None if viewer is None else viewer.window._qt_viewer.canvas

    def turn(self, on: bool) -> None:
        """Draw, or take everything away."""
        canvas = self._canvas
        if canvas is None or on == self.on:
            return
        self.on = on
        if on:
            canvas.native.installEventFilter(self)
            canvas._scene_canvas.events.draw.connect(self._drawn)
            self._soon.start()
            return
        canvas.native.removeEventFilter(self)
        canvas._scene_canvas.events.draw.disconnect(self._drawn)
        self._soon.stop()
        self._pointer = self._corners = None
        self._make(0)

    def set_titles(self, titles: Sequence[tuple[Title | None, Title | None]]) -> None:
        """Names of the panes, in the order of the grid: upper left and upper right."""
        self._titles = titles
        self.place()

    def enclose(self, corners: NDArray[np.float64] | None) -> None:
        """Put brackets around a part of the image; None takes them away.

        Parameters
        ----------
        corners : array, (n, 2), or None
            (x, y) in the scene.
        """
        self._corners = corners
        self.place()

    def place(self) -> None:
        """Put everything where it belongs now."""
        canvas = self._canvas
        if not self.on or canvas is None:
            return
        views = views_of(canvas, self._viewer())
        self._make(len(views))
        for number, (pane, (rect, view)) in enumerate(zip(self.panes, views, strict=True)):
            if pane.geometry() != rect:
                pane.setGeometry(rect)
            pane.set_titles(*(self._titles[number] if number < len(self._titles) else (None, None)))
            pane.enclose(None if self._corners is None else _frame(view, self._corners))
        self._point()

    def _make(self, count: int) -> None:
        canvas = self._canvas
        while len(self.panes) > count:
            gone = self.panes.pop()
            gone.hide()
            gone.setParent(None)
            gone.deleteLater()
        while canvas is not None and len(self.panes) < count:
            made = PaneMarks(canvas.native)
            made.show()
            self.panes.append(made)

    def _point(self) -> None:
        """The same place of every pane."""
        at = self._pointer
        here = next((pane for pane in self.panes if at is not None and pane.geometry().contains(at.toPoint())), None)
        for pane in self.panes:
            pane.point(None if at is None or here is None or pane is here else at - QPointF(here.pos()))

    def _drawn(self, event: Any = None) -> None:
        """The canvas was drawn: the camera or the grid may have changed."""
        if not self._soon.isActive():
            self._soon.start()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Qt: follows the pointer over the canvas."""
        if event is None:
            return False
        if event.type() == QEvent.Type.MouseMove and isinstance(event, QMouseEvent):
            self._pointer = QPointF(event.position()) if hasattr(event, "position") else QPointF(event.pos())
            self._point()
        elif event.type() == QEvent.Type.Leave:
            self._pointer = None
            self._point()
        elif event.type() == QEvent.Type.Resize:
            self._soon.start()
        return False


def views_of(canvas: Any, viewer: Viewer | None) -> list[tuple[QRect, Any]]:
    """Where each pane is on the canvas, and its vispy view; cells of the grid that are empty are left out."""
    if viewer is None or not viewer.canvas.grid.enabled or not canvas.grid_views:
        return [(canvas.native.rect(), canvas.view)]
    cells = zip(viewer.canvas.grid.iter_viewboxes(viewer.layers), canvas.grid_views, strict=False)
    views = [view for (_, layers), view in cells if layers]
    sides = [(*view.transform.translate[:2], *view.size) for view in views]
    return [
        (QRect(*(round(float(side)) for side in of_view)), view) for of_view, view in zip(sides, views, strict=True)
    ]


def _frame(view: Any, corners: NDArray[np.float64]) -> QRectF:
    """From the scene to pixels of a pane."""
    points = np.asarray(
        view.scene.transform.map(np.column_stack([corners, np.zeros(len(corners)), np.ones(len(corners))]))
    )
    points = points[:, :2] / points[:, 3:]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return QRectF(float(left), float(top), float(right - left), float(bottom - top))


def _around(place: QPointF) -> QRect:
    reach = CROSS + 3
    return QRectF(place.x() - reach, place.y() - reach, 2 * reach, 2 * reach).toAlignedRect()


def _draw_brackets(painter: QPainter, frame: QRectF) -> None:
    box = frame.adjusted(-MARGIN, -MARGIN, MARGIN, MARGIN)
    arm = min(ARM, box.width() / 3, box.height() / 3)
    corners = ((box.topLeft(), 1, 1), (box.topRight(), -1, 1), (box.bottomLeft(), 1, -1), (box.bottomRight(), -1, -1))
    for corner, across, down in corners:
        painter.drawPolyline(QPolygonF([corner + QPointF(across * arm, 0), corner, corner + QPointF(0, down * arm)]))
