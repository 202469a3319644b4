"""Controls that never take the keyboard: the keys belong to the picture."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractSpinBox, QLineEdit, QPushButton, QWidget


def quiet(widget: QWidget) -> None:
    """Take the keyboard focus from a widget and everything in it; text fields keep theirs until Enter or Esc."""
    for child in (widget, *widget.findChildren(QWidget)):
        if not isinstance(child, QLineEdit | QAbstractSpinBox):
            child.setFocusPolicy(Qt.FocusPolicy.NoFocus)


def button(text: str, tip: str, pressed: Callable[[], None], checkable: bool = False) -> QPushButton:
    """A push button that leaves the focus where it is.

    Parameters
    ----------
    text, tip : str
    pressed : callable
    checkable : bool, optional

    Returns
    -------
    QPushButton
    """
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setCheckable(checkable)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.clicked.connect(lambda _checked=False: pressed())
    return made


class GivesBack(QObject):
    """Returns the keyboard from a text field on Enter and Esc.

    Parameters
    ----------
    field : QLineEdit
    entered : callable
        Called on Enter.
    back : callable
        Puts the focus where it belongs.
    """

    def __init__(self, field: QLineEdit, entered: Callable[[], None], back: Callable[[], None]) -> None:
        super().__init__(field)
        self._field, self._entered, self._back = field, entered, back
        field.installEventFilter(self)

    def remove(self) -> None:
        """Leave the field alone."""
        self._field.removeEventFilter(self)
        self.setParent(None)
        self._entered = self._back = _nothing

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Qt: hears the field's keys."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter}:
                self._entered()
                self._back()
                return True
            if event.key() == Qt.Key.Key_Escape:
                self._back()
                return True
        return False


def _nothing() -> None:
    """In place of what is gone."""
