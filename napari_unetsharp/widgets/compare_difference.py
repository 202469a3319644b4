"""Legend of the difference of A and B: what each colour means, how many there are, and which are shown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_unetsharp.comparison.difference import COLOURS, NAMES, Kind
from napari_unetsharp.widgets.quiet import button

STEPPED = frozenset({Kind.ONLY_A, Kind.ONLY_B, Kind.SPLIT, Kind.JOINED})
"""Kinds that can be stepped through: what is in both doesn't differ."""

_TIPS = {
    Kind.ONLY_A: "Nuclei of A that nothing in B matches (they share less than half of their area)",
    Kind.ONLY_B: "Nuclei of B that nothing in A matches (they share less than half of their area)",
    Kind.BOTH: "Nuclei that both have",
    Kind.SPLIT: "One nucleus of A that is several in B",
    Kind.JOINED: "Several nuclei of A that are one in B",
}

_PLAIN = (
    "QPushButton, QPushButton:checked { background: transparent; border: none; padding: 2px; text-align: left; "
    "font-size: 12px; }"
)


class Legend(QWidget):
    """A button per kind of difference; an unchecked one is hidden, and left out of the steps.

    Signals
    -------
    changed()
        Other kinds are shown.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.buttons: dict[Kind, QPushButton] = {}
        grid = QGridLayout()
        grid.setSpacing(3)
        for place, kind in enumerate(NAMES):
            made = button(NAMES[kind], f"{_TIPS[kind]}; press to hide it", partial(self._pressed, kind), checkable=True)
            made.setIcon(_chip(COLOURS[kind]))
            made.setChecked(True)
            made.setStyleSheet(_PLAIN)
            self.buttons[kind] = made
            grid.addWidget(made, place // 2, place % 2)
        grid.setContentsMargins(0, 0, 0, 0)
        self.setLayout(grid)

    @property
    def shown(self) -> frozenset[Kind]:
        """Kinds that are shown."""
        return frozenset(kind for kind, made in self.buttons.items() if made.isChecked())

    def show_counts(self, counts: Mapping[Kind, int] | None) -> None:
        """Say how many there are; None while they are counted."""
        for kind, made in self.buttons.items():
            made.setText(NAMES[kind] if counts is None else f"{NAMES[kind]}: {counts[kind]:,}")
            made.setIcon(_chip(COLOURS[kind] if made.isChecked() else ""))

    def _pressed(self, kind: Kind) -> None:
        self.buttons[kind].setIcon(_chip(COLOURS[kind] if self.buttons[kind].isChecked() else ""))
        self.changed.emit()


def _chip(colour: str) -> QIcon:
    """A small square in a colour, or an empty one."""
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor("black"))
    painter = QPainter(pixmap)
    painter.fillRect(1, 1, 12, 12, QColor(colour) if colour else QColor("#c8c8c8"))
    painter.end()
    return QIcon(pixmap)
