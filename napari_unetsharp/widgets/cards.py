"""The card: what is asked, in words, and the buttons that answer it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.nuclei.cards import Kind
from napari_unetsharp.nuclei.states import REASONS, State
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.state_layer import COLOURS

ANSWERS: dict[Kind, tuple[str, str]] = {
    Kind.NUCLEUS: ("Right", "Not a nucleus"),
    Kind.FALSE: ("Right", "Not a nucleus"),
    Kind.MISS: ("Add it", "Nothing there"),
    Kind.SPLIT: ("Split it", "Don't split"),
    Kind.JOIN: ("Join them", "Don't join"),
    Kind.OUTLINE: ("Take this", "Keep mine"),
}
"""What Space and D mean for each kind of card."""

EDITS = (
    ("other", "Other outline", "Take the outline that the next view or depth draws"),
    ("split", "Split", "Drag a line across it; press again to split it at its narrowest place"),
    ("join", "Join", "Then click the neighbour that belongs to it"),
    ("redraw", "Redraw", "Paint with a brush that only touches this nucleus"),
    ("tidy", "Tidy", "Fill its holes and smooth its edge"),
    ("add", "Add", "Point at a missed nucleus and press A; this button waits for a click"),
)


class CardPanel(QWidget):
    """Question, answers, reasons and corrections.

    Parameters
    ----------
    act : callable
        Gets the name of an action (see `keys.KEYS`) that was pressed.
    reason : callable
        Gets the reason that was chosen.
    keys : dict of str to str
        The key of each action, for the buttons.
    """

    def __init__(self, act: Callable[[str], None], reason: Callable[[str], None], keys: dict[str, str]) -> None:
        super().__init__()
        self._keys = keys
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.answers: dict[str, QPushButton] = {}
        answers = QHBoxLayout()
        answers.setSpacing(4)
        for name, state in (("yes", State.RIGHT), ("no", State.NOT), ("unsure", State.UNSURE)):
            made = button("", "", partial(act, name))
            made.setStyleSheet(f"QPushButton {{ border-bottom: 3px solid {COLOURS[state]}; padding: 3px; }}")
            self.answers[name] = made
            answers.addWidget(made)
        self.reasons = _ReasonRow(reason)
        self.edits = _EditRows(act, keys)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addLayout(answers)
        layout.addWidget(self.reasons)
        layout.addWidget(self.edits)
        self.ask(Kind.NUCLEUS, "")

    def ask(self, kind: Kind, text: str) -> None:
        """Put a question.

        Parameters
        ----------
        kind : Kind
        text : str
            Rich text.
        """
        self.title.setText(text)
        yes, no = ANSWERS[kind]
        for name, word in (("yes", yes), ("no", no), ("unsure", "Can't tell")):
            self.answers[name].setText(f"{word}\n{self._keys[name]}")
            self.answers[name].setVisible(True)
        self.answers["yes"].setToolTip("Yes to what is drawn")

    def ask_screen(self, text: str, answer: str) -> None:
        """Put the question about a whole screen: only yes is needed."""
        self.title.setText(text)
        self.answers["yes"].setText(f"{answer}\n{self._keys['yes']}")
        self.answers["yes"].setToolTip("Declare the rest right and this screen complete")
        for name in ("no", "unsure"):
            self.answers[name].setVisible(False)


class _ReasonRow(QWidget):
    """Why not, or why nobody can tell; shown after such an answer."""

    def __init__(self, chosen: Callable[[str], None]) -> None:
        super().__init__()
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.chips = {word: button(word, f"Because: {word}", partial(chosen, word)) for word in REASONS}
        chips = QHBoxLayout()
        chips.setSpacing(3)
        for chip in self.chips.values():
            chip.setCheckable(True)
            chip.setStyleSheet("QPushButton { padding: 1px 5px; font-size: 11px; }")
            chips.addWidget(chip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.about)
        layout.addLayout(chips)
        self.hide()

    def offer(self, number: int, state: str, reason: str) -> None:
        """Ask why, about a nucleus that was just answered; 0 asks nothing."""
        self.setVisible(bool(number))
        self.about.setText(f"Nucleus {number}: {state}. Why? (if you like)" if not reason else
                           f"Nucleus {number}: {state}, {reason}.")  # fmt: skip
        for word, chip in self.chips.items():
            chip.setChecked(word == reason)


class _EditRows(QWidget):
    """Two rows of corrections."""

    def __init__(self, act: Callable[[str], None], keys: dict[str, str]) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self.buttons: dict[str, QPushButton] = {}
        for place, (name, word, tip) in enumerate(EDITS):
            made = button(f"{word} ({keys[name]})", tip, partial(act, name))
            made.setStyleSheet("QPushButton { padding: 3px 2px; }")
            made.setCheckable(name in {"split", "join", "redraw", "add"})
            self.buttons[name] = made
            grid.addWidget(made, place // 3, place % 3)

    def show_tool(self, name: str) -> None:
        """Mark the correction that is under way; empty for none."""
        for other, made in self.buttons.items():
            if made.isCheckable():
                made.setChecked(other == name)
