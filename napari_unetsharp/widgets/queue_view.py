"""Thumbnails of what comes next. Only those in view are ever painted, however many there are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QAbstractScrollArea, QToolTip, QWidget

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.outline import CURRENT, smooth_outlines

CELL, GAP = 50, 5
KEPT = 600
"""Pictures that stay in memory."""

_CENTRED = (Qt.AlignmentFlag.AlignCenter, Qt.TextFlag.TextWordWrap)


class Thumbnails:
    """Small pictures of cards, cut from a plane.

    Parameters
    ----------
    pixels : array, (Y, X, C)
    diameter : float
        Of a typical nucleus; smaller ones are not magnified beyond it.
    """

    def __init__(self, pixels: NDArray[np.generic], diameter: float) -> None:
        self.pixels, self.diameter = pixels, diameter
        sample = np.asarray(pixels[:: max(1, pixels.shape[0] // 512), :: max(1, pixels.shape[1] // 512)], np.float32)
        finite = sample[np.isfinite(sample)]
        self._low, self._high = (0.0, 255.0)
        if not (pixels.dtype == np.uint8 and pixels.shape[-1] >= 3) and finite.size:
            self._low, self._high = (float(value) for value in np.percentile(finite, (0.5, 99.8)))

    def picture(self, box: Box, mask: NDArray[np.bool_] | None, colour: QColor, side: int) -> QPixmap:
        """A square cut around a box, with the outline on it.

        Parameters
        ----------
        box : Box
        mask : array of bool, (Y, X) of the box, or None
        colour : QColor
        side : int
            In screen pixels.
        """
        reach = max(self.diameter, 0.65 * max(box.shape))
        middle = ((box.top + box.bottom) / 2, (box.left + box.right) / 2)
        top, left = (round(centre - reach) for centre in middle)
        length = max(4, round(2 * reach))
        pixmap = QPixmap(side, side)
        pixmap.fill(QColor("#202020"))
        painter = QPainter(pixmap)
        painter.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform | QPainter.RenderHint.Antialiasing)
        scale = side / length
        cut = Box(top, left, top + length, left + length).grown(0, (self.pixels.shape[0], self.pixels.shape[1]))
        if cut.area:
            target = QRect(
                round((cut.left - left) * scale),
                round((cut.top - top) * scale),
                round(cut.shape[1] * scale),
                round(cut.shape[0] * scale),
            )
            painter.drawImage(target, self._image(cut))
        if mask is not None and mask.any():
            painter.setPen(QPen(colour, 1.4))
            for path in smooth_outlines(mask, box, most=3):
                points = [QPointF((x + 0.5 - left) * scale, (y + 0.5 - top) * scale) for y, x in path[::2].tolist()]
                painter.drawPolyline(QPolygonF(points))
        painter.end()
        return pixmap

    def _image(self, cut: Box) -> QImage:
        window = np.asarray(self.pixels[cut.slices], np.float32)
        window = window[..., :3] if window.shape[-1] >= 3 else np.repeat(window[..., :1], 3, axis=-1)
        grey = np.nan_to_num((window - self._low) * (255 / max(1e-6, self._high - self._low)))
        colours = np.ascontiguousarray(np.clip(grey, 0, 255).astype(np.uint8))
        height, width = colours.shape[:2]
        return QImage(colours.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class QueueView(QAbstractScrollArea):
    """A grid of thumbnails; a click chooses one.

    Signals
    -------
    chosen(object)
        Number of the card.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.numbers: list[int] = []
        self.current = 0
        self.picture: Callable[[int], QPixmap] = lambda _number: QPixmap()
        self.words: Callable[[int], str] = str
        self._kept: OrderedDict[int, QPixmap] = OrderedDict()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Next up")
        self.setMinimumHeight(CELL + 2 * GAP)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Qt: a row and a half at least; the panel gives all that is left."""
        return QSize(340, 3 * (CELL + GAP) // 2 + GAP)

    @property
    def columns(self) -> int:
        """Thumbnails in a row."""
        return max(1, (self.viewport().width() - GAP) // (CELL + GAP))

    def show_cards(self, numbers: list[int], current: int) -> None:
        """Show these cards; the list is not copied."""
        self.numbers = numbers
        self._fit()
        self.set_current(current)

    def set_current(self, number: int, place: int = -1) -> None:
        """Frame a card and bring it into view."""
        self.current = number
        if place < 0 and number in self.numbers:
            place = self.numbers.index(number)
        if place >= 0:
            top = place // self.columns * (CELL + GAP)
            bar = self.verticalScrollBar()
            if not bar.value() <= top <= bar.value() + self.viewport().height() - CELL - GAP:
                bar.setValue(top)
        self.viewport().update()

    def forget(self, numbers: Iterable[int]) -> None:
        """Paint these anew: their outline or state changed."""
        for number in numbers:
            self._kept.pop(number, None)
        self._fit()
        self.viewport().update()

    def forget_all(self) -> None:
        """Paint everything anew."""
        self._kept.clear()
        self.viewport().update()

    def place_at(self, x: float, y: float) -> int:
        """Place in the list of what is at a point of the viewport, -1 for nothing."""
        column, row = int(x - GAP) // (CELL + GAP), int(y - GAP + self.verticalScrollBar().value()) // (CELL + GAP)
        place = row * self.columns + column
        return place if 0 <= column < self.columns and 0 <= place < len(self.numbers) else -1

    def cell(self, place: int) -> QRect:
        """Where a thumbnail is in the viewport."""
        row, column = divmod(place, self.columns)
        top = GAP + row * (CELL + GAP) - self.verticalScrollBar().value()
        return QRect(GAP + column * (CELL + GAP), top, CELL, CELL)

    def _fit(self) -> None:
        rows = -(-len(self.numbers) // self.columns)
        height = rows * (CELL + GAP) + GAP
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, height - self.viewport().height()))
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(CELL + GAP)

    def resizeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Qt: other rows fit."""
        self._fit()

    def scrollContentsBy(self, dx: int, dy: int) -> None:  # noqa: N802
        """Qt: paint what came into view."""
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Qt: choose a card."""
        if event is None or event.button() != Qt.MouseButton.LeftButton:
            return
        at = event.position() if hasattr(event, "position") else QPointF(event.pos())
        place = self.place_at(at.x(), at.y())
        if place >= 0:
            self.chosen.emit(self.numbers[place])

    def viewportEvent(self, event: QEvent | None) -> bool:  # noqa: N802
        """Qt: why each card is here, as a tooltip."""
        if isinstance(event, QHelpEvent):
            place = self.place_at(event.pos().x(), event.pos().y())
            QToolTip.showText(event.globalPos(), self.words(self.numbers[place]) if place >= 0 else "", self)
            return True
        return bool(super().viewportEvent(event))

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Qt: what is in view."""
        painter = QPainter(self.viewport())
        first = max(0, self.verticalScrollBar().value() // (CELL + GAP)) * self.columns
        rows = self.viewport().height() // (CELL + GAP) + 2
        for place in range(first, min(len(self.numbers), first + rows * self.columns)):
            number, cell = self.numbers[place], self.cell(place)
            painter.drawPixmap(cell.topLeft(), self._painted(number))
            if number == self.current:
                painter.setPen(QPen(QColor("black"), 5))
                painter.drawRect(cell)
                painter.setPen(QPen(QColor(CURRENT), 3))
                painter.drawRect(cell)
        if not self.numbers:
            painter.setPen(self.palette().windowText().color())
            flags = sum(int(getattr(flag, "value", flag)) for flag in _CENTRED)  # two enums in Qt 6, numbers in Qt 5
            painter.drawText(self.viewport().rect(), flags, "Nothing here: choose another order or state above.")
        painter.end()

    def _painted(self, number: int) -> QPixmap:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        picture = self._kept[number] = self.picture(number)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return picture
