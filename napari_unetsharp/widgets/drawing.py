"""The drawing of the fifteen nodes: it shows what was computed and switches the views."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QHelpEvent, QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_unetsharp.network.grid import BRANCHES, NODES

_SIDE = 46.0
_CURRENT = QColor("#F0E442")
_CAPTIONS = {1: "fastest", 2: "depth 2", 3: "depth 3", 4: "fullest"}


class GridDrawing(QWidget):
    """Fifteen nodes; the eight with a head are thumbnails that can be clicked.

    Signals
    -------
    chosen(str, bool)
        A node was clicked; True with Shift: add to what is shown instead of replacing it.
    """

    chosen = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.depth = 4
        self._thumbnails: dict[str, QImage] = {}
        self._shown: set[str] = set()
        self._unavailable: dict[str, str] = dict.fromkeys(BRANCHES, "Not computed yet: press Find nuclei.")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("The eight views of the network")

    def sizeHint(self) -> QSize:  # noqa: N802
        """Qt: about the width of the dock."""
        return QSize(330, 300)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Qt: narrower makes thumbnails overlap."""
        return QSize(280, 300)

    def set_state(self, depth: int, shown: set[str], unavailable: Mapping[str, str]) -> None:
        """Say what to draw.

        Parameters
        ----------
        depth : int
            Nodes that this level prunes are greyed.
        shown : set of str
            Views that are visible on the canvas, by node.
        unavailable : mapping of str to str
            Views that can't be shown, and why, one sentence each.
        """
        self.depth, self._shown, self._unavailable = depth, set(shown), dict(unavailable)
        self.update()

    def set_thumbnails(self, thumbnails: Mapping[str, np.ndarray]) -> None:
        """Small pictures by node, (h, w) uint8."""
        self._thumbnails = {}
        for node, pixels in thumbnails.items():
            grey = np.ascontiguousarray(pixels, np.uint8)
            height, width = grey.shape
            image = QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8)
            self._thumbnails[node] = image.copy()  # QImage doesn't keep the array alive
        self.update()

    def centre(self, node: str) -> QPointF:
        """Where a node is drawn, in pixels of this widget."""
        across = (self.width() - _SIDE - 12) / 4
        return QPointF(6 + _SIDE / 2 + NODES[node].column * across, 46 + NODES[node].row * 56.0)

    def node_at(self, position: QPointF) -> str | None:
        """The view at a point, or None."""
        for node in BRANCHES:
            if self._square(node).contains(position):
                return node
        return None

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Qt: choose the view under the pointer."""
        if event is None or event.button() != Qt.MouseButton.LeftButton:
            return
        node = self.node_at(_position(event))
        if node is None:
            return
        if node in self._unavailable:
            QToolTip.showText(
                self.mapToGlobal(self._square(node).bottomLeft().toPoint()), self._unavailable[node], self
            )
            return
        self.chosen.emit(node, bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))

    def event(self, event: QEvent | None) -> bool:
        """Qt: a tooltip for each node."""
        if isinstance(event, QHelpEvent):
            node = self.node_at(QPointF(event.pos()))
            text = "" if node is None else self._unavailable.get(node) or _describe(node)
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Qt: links first, then nodes."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().windowText().color()
        for node in NODES.values():
            for link in node.inputs:
                self._draw_link(painter, link.source, node.name, ink)
        for name in NODES:
            if name in BRANCHES:
                self._draw_view(painter, name, ink)
            else:
                self._draw_node(painter, name, ink)
        painter.end()

    def _draw_link(self, painter: QPainter, source: str, target: str, ink: QColor) -> None:
        kept = max(NODES[source].level, NODES[target].level) <= self.depth
        painter.setPen(QPen(_faded(ink, 0.30 if kept else 0.08), 1))
        painter.drawLine(self.centre(source), self.centre(target))

    def _draw_node(self, painter: QPainter, name: str, ink: QColor) -> None:
        kept = NODES[name].level <= self.depth
        painter.setPen(QPen(_faded(ink, 0.8 if kept else 0.25), 1))
        painter.setBrush(_mixed(self.palette().window().color(), ink, 0.55 if kept else 0.12))
        painter.drawEllipse(self.centre(name), 7, 7)

    def _draw_view(self, painter: QPainter, name: str, ink: QColor) -> None:
        square, paper = self._square(name), self.palette().window().color()
        kept, ready = NODES[name].level <= self.depth, name not in self._unavailable
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_mixed(paper, ink, 0.2 if kept else 0.08))
        painter.drawRoundedRect(square, 5, 5)
        if ready and name in self._thumbnails:
            painter.setOpacity(1.0 if kept else 0.35)
            painter.drawImage(square.adjusted(2, 2, -2, -2), self._thumbnails[name])
            painter.setOpacity(1.0)
        if name in self._shown:
            painter.setPen(QPen(QColor("black"), 5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(square, 5, 5)
            painter.setPen(QPen(_CURRENT, 3))
            painter.drawRoundedRect(square, 5, 5)
        self._write(painter, name, square, ink, ready and kept)

    def _write(self, painter: QPainter, name: str, square: QRectF, ink: QColor, strong: bool) -> None:
        font = QFont(self.font())
        font.setPixelSize(11)
        painter.setFont(font)
        label = BRANCHES[name].title.split(" · ")[0]
        band = QRectF(square.left() + 2, square.bottom() - 17, square.width() - 4, 15)
        painter.fillRect(band, QColor(0, 0, 0, 170 if strong else 90))
        painter.setPen(QColor(255, 255, 255, 255 if strong else 150))
        painter.drawText(band, Qt.AlignmentFlag.AlignCenter, label)
        if BRANCHES[name].scale == 1:
            painter.setPen(_faded(ink, 0.95 if strong else 0.5))
            above = QRectF(square.left() - 14, square.top() - 19, square.width() + 28, 16)
            painter.drawText(above, Qt.AlignmentFlag.AlignCenter, _CAPTIONS[BRANCHES[name].level])

    def _square(self, node: str) -> QRectF:
        centre = self.centre(node)
        return QRectF(centre.x() - _SIDE / 2, centre.y() - _SIDE / 2, _SIDE, _SIDE)


def _describe(node: str) -> str:
    branch = BRANCHES[node]
    if branch.scale == 1:
        return f"Depth {branch.level} of 4 ({node}). Click: show it alone. Shift-click: add it."
    return f"The same nuclei seen at 1/{branch.scale} ({node}); blocks are normal. Click: alone. Shift-click: add."


def _position(event: QMouseEvent) -> QPointF:
    """Pointer position under Qt 5 and Qt 6."""
    return QPointF(event.position()) if hasattr(event, "position") else QPointF(event.pos())


def _faded(colour: QColor, alpha: float) -> QColor:
    faded = QColor(colour)
    faded.setAlphaF(alpha)
    return faded


def _mixed(paper: QColor, ink: QColor, share: float) -> QColor:
    return QColor(*(round(a + (b - a) * share) for a, b in zip(paper.getRgb()[:3], ink.getRgb()[:3], strict=True)))
