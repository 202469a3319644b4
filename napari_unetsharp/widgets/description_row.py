"""What a nucleus is called: its class by digit where the model has classes, else free tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFocusEvent, QKeyEvent
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.widgets.quiet import button

CHIPS = 4
"""Tags that are a click away."""

LONGEST = 14
"""Letters of a tag on its chip; the rest is in the tooltip."""


class TagField(QLineEdit):
    """Tags of one nucleus. Enter keeps them, Esc puts back what was there, and so does nothing else.

    What was typed belongs to the nucleus that it was typed for, also where the person clicks elsewhere meanwhile.

    Signals
    -------
    kept(int, str)
        Id of the nucleus, and its tags with commas.
    left()
        The keyboard is to go back to the picture.
    """

    kept = Signal(int, str)
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.number, self._known = 0, ""
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setPlaceholderText("tags of this nucleus, with commas")
        self.setToolTip("Free words; Enter keeps them and gives the keys back to the picture, Esc leaves")

    def show_tags(self, number: int, tags: Sequence[str]) -> None:
        """Show the tags of a nucleus; 0 for none."""
        if number == self.number and self.isModified() and self.hasFocus():
            return  # still typing
        self._keep()
        self.number, self._known = number, ", ".join(tags)
        self.setText(self._known)
        self.setEnabled(bool(number))

    def _keep(self) -> None:
        if self.isModified() and self.number:
            self.setModified(False)
            self._known = self.text()
            self.kept.emit(self.number, self._known)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Qt: Enter and Esc give the keyboard back."""
        key = None if event is None else event.key()
        if key not in {Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape}:
            super().keyPressEvent(event)
            return
        if key == Qt.Key.Key_Escape:
            self.setText(self._known)
        self._keep()
        self.clearFocus()
        self.left.emit()

    def focusOutEvent(self, event: QFocusEvent | None) -> None:  # noqa: N802
        """Qt: the person clicked elsewhere; nothing that was typed is lost."""
        if event is not None and event.reason() != Qt.FocusReason.PopupFocusReason:
            self._keep()
        super().focusOutEvent(event)


class DescriptionRow(QWidget):
    """Classes of the model, or a field for tags with those in use as chips.

    Parameters
    ----------
    act : callable
        Gets "class 1" and so on.

    Signals
    -------
    toggled(str)
        A tag on a chip was clicked.
    """

    toggled = Signal(str)

    def __init__(self, act: Callable[[str], None]) -> None:
        super().__init__()
        self._act = act
        self.field = TagField()
        self.classes: list[QPushButton] = []
        self.chips: dict[str, QPushButton] = {}
        self._names: tuple[str, ...] = ()
        self._grid, self._chips = QWidget(), QWidget()
        self._places, self._row, column = QGridLayout(self._grid), QHBoxLayout(self._chips), QVBoxLayout(self)
        for layout in (self._places, self._row, column):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(3)
        for widget in (self._grid, self.field, self._chips):
            column.addWidget(widget)
        self._grid.hide()
        self._chips.hide()

    def offer_classes(self, names: Sequence[str]) -> None:
        """Put a button for each class in the place of the tags; none brings the tags back."""
        if tuple(names) == self._names:
            return
        self._names = tuple(names)
        _empty(self.classes)
        for place, name in enumerate(names):
            digit = f"{place + 1} " if place < 9 else ""
            made = button(f"{digit}{_short(name)}", f"Class of this nucleus: {name}; again: none",
                          partial(self._act, f"class {place + 1}"), checkable=True)  # fmt: skip
            made.setStyleSheet(_SMALL)
            self.classes.append(made)
            self._places.addWidget(made, place // 3, place % 3)
        self._grid.setVisible(bool(names))
        self.field.setVisible(not names)
        self._chips.setVisible(bool(self.chips) and not names)

    def show_class(self, name: str, exists: bool) -> None:
        """Mark the class of the current nucleus; without one nothing can be clicked."""
        for known, made in zip(self._names, self.classes, strict=True):
            made.setChecked(known == name)
            made.setEnabled(exists)

    def offer_tags(self, words: Sequence[str], own: Sequence[str]) -> None:
        """Chips for tags in use, those of the current nucleus marked."""
        wanted = list(words[:CHIPS])
        if list(self.chips) != wanted:
            made = list(self.chips.values())
            _empty(made)
            self.chips = {word: self._chip(word) for word in wanted}
        for word, chip in self.chips.items():
            chip.setChecked(word in own)
            chip.setEnabled(bool(self.field.number))
        self._chips.setVisible(bool(wanted) and not self._names)

    def _chip(self, word: str) -> QPushButton:
        made = button(_short(word), f"Tag: {word}; again: take it off", partial(self.toggled.emit, word), True)
        made.setStyleSheet(_SMALL)
        self._row.addWidget(made)
        return made


_SMALL = "QPushButton { padding: 2px 4px; font-size: 11px; }"


def _short(word: str) -> str:
    return word if len(word) <= LONGEST else word[: LONGEST - 1] + "…"


def _empty(made: list[QPushButton]) -> None:
    for widget in made:
        widget.setParent(None)
        widget.deleteLater()
    made.clear()
