"""A title that unfolds what is below it."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget


class Fold(QWidget):
    """Shows a widget only while it is unfolded.

    Parameters
    ----------
    title, tip : str
    inside : QWidget

    Signals
    -------
    unfolded(bool)
    """

    unfolded = Signal(bool)

    def __init__(self, title: str, tip: str, inside: QWidget) -> None:
        super().__init__()
        self.title, self.inside = QToolButton(), inside
        self.title.setText(title)
        self.title.setToolTip(tip)
        self.title.setCheckable(True)
        self.title.setAutoRaise(True)
        self.title.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.title.setArrowType(Qt.ArrowType.RightArrow)
        self.title.toggled.connect(self._toggle)
        inside.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.title)
        layout.addWidget(inside)

    def _toggle(self, on: bool) -> None:
        self.title.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self.inside.setVisible(on)
        self.unfolded.emit(on)
