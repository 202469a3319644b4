"""Swipe: A left of a line and B right of it, on one picture. The line is dragged; nothing is computed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.layers import Labels
from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget
from vispy.visuals.filters import Clipper  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer

GRIP = 22
"""Width of what can be taken hold of, in screen pixels."""

FAR = 1e6


class Divider(QWidget):
    """The line, with a handle in its middle.

    Parameters
    ----------
    parent : QWidget
        The canvas.
    moved : callable
        Gets the place of the line in screen pixels from the left of the canvas.
    """

    def __init__(self, parent: QWidget, moved: Callable[[float], None]) -> None:
        super().__init__(parent)
        self._moved = moved
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag: A is left of the line, B right of it")
        self.setAccessibleName("Divider between A and B")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def put(self, x: float) -> None:
        """Stand at a place."""
        self.setGeometry(round(x) - GRIP // 2, 0, GRIP, self.parentWidget().height())

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Qt: taken hold of."""
        if event is not None:
            event.accept()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Qt: dragged."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            at = event.position() if hasattr(event, "position") else QPointF(event.pos())
            self._moved(self.x() + at.x())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Qt: a white line with black edges, so that it is seen on any tissue."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle, height = GRIP / 2, self.height()
        for colour, width in (("black", 4.0), ("white", 2.0)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawLine(QPointF(middle, 0), QPointF(middle, height))
        painter.setPen(QPen(QColor("black"), 1.5))
        painter.setBrush(QColor("white"))
        painter.drawRoundedRect(QRectF(middle - 8, height / 2 - 16, 16, 32), 6, 6)
        for shift in (-3, 3):
            painter.drawLine(QPointF(middle + shift, height / 2 - 7), QPointF(middle + shift, height / 2 + 7))
        painter.end()


class Swipe(QObject):
    """Cuts two layers off at a line, on the graphics card.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject

    Attributes
    ----------
    share : float
        Place of the line, 0 (left) to 1 (right).
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = ref(viewer)
        self.share = 0.5
        self.divider: Divider | None = None
        self._clipped: list[tuple[Any, Clipper]] = []

    @property
    def _canvas(self) -> Any:
        viewer = self._viewer()
        return None if viewer is None else viewer.window._qt_viewer.canvas

    def begin(self, left: Labels, right: Labels) -> None:
        """Cut two layers; they must be on the canvas."""
        self.end()
        canvas = self._canvas
        if canvas is None:
            return
        for layer in (left, right):
            node, clipper = canvas.layer_to_visual[layer].node, Clipper((0, 0, FAR, FAR))
            node.attach(clipper)
            self._clipped.append((node, clipper))
        self.divider = Divider(canvas.native, self.move)
        self.divider.show()
        canvas.native.installEventFilter(self)
        self._put()

    def end(self) -> None:
        """Both layers are whole again."""
        canvas = self._canvas
        for node, clipper in self._clipped:
            node.detach(clipper)
            node.update()
        self._clipped.clear()
        if self.divider is not None:
            if canvas is not None:
                canvas.native.removeEventFilter(self)
            self.divider.setParent(None)
            self.divider.deleteLater()
            self.divider = None

    def move(self, x: float) -> None:
        """Put the line at a place, in screen pixels from the left."""
        canvas = self._canvas
        if canvas is not None:
            self.share = min(0.98, max(0.02, x / max(1, canvas.native.width())))
            self._put()

    def _put(self) -> None:
        canvas = self._canvas
        if canvas is None or self.divider is None:
            return
        x = self.share * canvas.native.width()
        self.divider.put(x)
        edge = x * canvas.native.devicePixelRatioF()  # fragments are counted in pixels of the screen
        for (node, clipper), bounds in zip(self._clipped, ((0, 0, edge, FAR), (edge, 0, FAR, FAR)), strict=True):
            clipper.bounds = bounds
            node.update()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Qt: the canvas has another size."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._put()
        return False
