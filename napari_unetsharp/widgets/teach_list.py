"""The list of samples, and adding to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_unetsharp.widgets.quiet import button, quiet
from napari_unetsharp.widgets.teach_samples import SIDE, Entry

PARTS = {"auto": "auto", "learn": "train", "test": "aside"}
PART_TIPS = {
    "auto": "A part is kept aside for testing by itself",
    "learn": "All of it teaches",
    "test": "All of it is kept aside for testing, and teaches nothing",
}
SHOWN = 4
"""Rows in view; further ones are scrolled to."""


class SampleRow(QWidget):
    """One sample: tick, thumbnail, name and counts, what it is for, remove.

    Signals
    -------
    changed()
        Ticked, or put to another use.
    removed(object)
        Its entry.
    """

    changed = Signal()
    removed = Signal(object)

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry
        self.tick = QCheckBox()
        self.tick.setToolTip("Learn from it")
        self.tick.setChecked(entry.ticked)
        self.picture = QLabel()
        self.picture.setFixedSize(SIDE, SIDE)
        self.name = QLabel()
        self.name.setTextFormat(Qt.TextFormat.PlainText)
        self.counts = QLabel()
        self.counts.setWordWrap(True)
        self.counts.setTextFormat(Qt.TextFormat.PlainText)
        self.counts.setStyleSheet("QLabel { font-size: 11px; }")
        self.part = QComboBox()
        for place, (words, tip) in enumerate(PART_TIPS.items()):
            self.part.addItem(words, PARTS[words])
            self.part.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        self.part.setToolTip("auto: a part is kept aside for testing; learn: all of it teaches; test: none of it does")
        self.part.setCurrentIndex(list(PARTS.values()).index(entry.part))
        self.part.setMinimumContentsLength(4)
        self.remove = button("✕", "Take it off the list; no file changes", lambda: self.removed.emit(self.entry))
        self.remove.setFixedWidth(24)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(5)
        layout.setVerticalSpacing(0)
        layout.addWidget(self.tick, 0, 0, 2, 1)
        layout.addWidget(self.picture, 0, 1, 2, 1)
        layout.addWidget(self.name, 0, 2)
        layout.addWidget(self.counts, 1, 2)
        layout.addWidget(self.part, 0, 3, 2, 1)
        layout.addWidget(self.remove, 0, 4, 2, 1)
        layout.setColumnStretch(2, 1)
        quiet(self)
        self.tick.toggled.connect(self._ticked)
        self.part.currentIndexChanged.connect(self._used)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known of the sample now."""
        entry = self.entry
        name = entry.name if len(entry.name) <= 26 else f"{entry.name[:9]}…{entry.name[-16:]}"
        self.name.setText(name)
        self.name.setToolTip(entry.key)
        self.counts.setText(entry.words())
        self.counts.setToolTip(entry.trouble)
        self.part.setEnabled(entry.ticked and not entry.trouble)
        if entry.picture is not None:
            pixels = np.ascontiguousarray(entry.picture)
            image = QImage(pixels.data, SIDE, SIDE, 3 * SIDE, QImage.Format.Format_RGB888).copy()
            self.picture.setPixmap(QPixmap.fromImage(image))

    def _ticked(self, on: bool) -> None:
        self.entry.ticked = bool(on)
        self.refresh()
        self.changed.emit()

    def _used(self, place: int) -> None:
        self.entry.part = list(PARTS.values())[place]
        self.changed.emit()


class SampleList(QWidget):
    """All samples, a row each.

    Signals
    -------
    changed()
        Another choice; what is kept aside must be weighed again.
    removed(object)
        An `Entry`.
    """

    changed = Signal()
    removed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, SampleRow] = {}
        self._inside = QWidget()
        self._rows = QVBoxLayout(self._inside)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(3)
        self._rows.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(self._inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.area)
        self._fit()

    def show_entries(self, entries: list[Entry]) -> None:
        """Show these; rows that are there stay."""
        wanted = {entry.key: entry for entry in entries}
        for key in [key for key, row in self.rows.items() if wanted.get(key) is not row.entry]:
            row = self.rows.pop(key)
            self._rows.removeWidget(row)
            row.hide()
            row.deleteLater()
        for key, entry in wanted.items():
            if key not in self.rows:
                row = self.rows[key] = SampleRow(entry)
                row.changed.connect(self.changed)
                row.removed.connect(self.removed)
                self._rows.insertWidget(self._rows.count() - 1, row)
            self.rows[key].refresh()
        self._fit()

    def refresh(self, entry: Entry) -> None:
        """Show one anew."""
        if entry.key in self.rows:
            self.rows[entry.key].refresh()

    def _fit(self) -> None:
        count = len(self.rows)
        self.area.setFixedHeight(min(count, SHOWN) * (SIDE + 3) + (12 if count > SHOWN else 2))
        self.setVisible(bool(count))


class PairPanel(QWidget):
    """Chooses an Image and a Labels layer of the viewer.

    Parameters
    ----------
    pairs : callable
        Labels layers by image layer, by name.
    add : callable
        Gets image, labels, and whether only the drawn rectangle counts.
    """

    def __init__(self, pairs: Callable[[], dict[str, list[str]]], add: Callable[[str, str, bool], None]) -> None:
        super().__init__()
        self._pairs: dict[str, list[str]] = {}
        self._look, self._add = pairs, add
        self.image, self.labels, self.counts = QComboBox(), QComboBox(), QComboBox()
        self.counts.addItems(["all of it counts", "the drawn rectangle counts"])
        self.counts.setToolTip("Which part was looked at: everything else teaches nothing. Draw on a Shapes layer")
        self.image.setToolTip("The picture")
        self.labels.setToolTip("The corrected mask: one number for each nucleus, 0 for background")
        self.none = QLabel("No Labels layer of the size of an image is open: open a mask first (Open… in 1 Find).")
        self.none.setWordWrap(True)
        self.add = button("Add", "Learn from this pair", self._pressed)
        for combo in (self.image, self.labels, self.counts):
            combo.setMinimumContentsLength(8)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._choices = QWidget()
        grid = QGridLayout(self._choices)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.image, 0, 0)
        grid.addWidget(self.labels, 0, 1)
        grid.addWidget(self.counts, 1, 0)
        grid.addWidget(self.add, 1, 1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._choices)
        layout.addWidget(self.none)
        quiet(self)
        self.image.currentTextChanged.connect(self._image_chosen)
        self.hide()

    def open(self) -> None:
        """Look what is open, and show."""
        self._pairs = self._look()
        chosen = self.image.currentText()
        self.image.clear()
        self.image.addItems(list(self._pairs))
        if chosen in self._pairs:
            self.image.setCurrentText(chosen)
        self._choices.setVisible(bool(self._pairs))
        self.none.setVisible(not self._pairs)
        self.show()

    def _image_chosen(self, name: str) -> None:
        self.labels.clear()
        self.labels.addItems(self._pairs.get(name, []))

    def _pressed(self) -> None:
        self._add(self.image.currentText(), self.labels.currentText(), self.counts.currentIndex() == 1)
