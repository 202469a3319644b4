"""One sentence that stays until the next action."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget


class Message(QLabel):
    """A wrapping line: plain for what happened, framed for a problem."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.is_problem = False
        self.clear()

    def note(self, text: str) -> None:
        """Say what is going on; a problem that is on screen gives way."""
        self._set(text, problem=False)

    def problem(self, text: str) -> None:
        """Say what went wrong and what to do."""
        first = text.split(" ", maxsplit=1)[0]
        is_word = first.isalpha()  # a file name keeps its own spelling
        self._set(text[:1].upper() + text[1:] if is_word else text, problem=True)

    def clear(self) -> None:
        """Nothing to say; called when the next action starts."""
        self._set("", problem=False)

    def _set(self, text: str, problem: bool) -> None:
        self.is_problem = problem
        self.setText(text)
        self.setVisible(bool(text))
        self.setStyleSheet(
            "QLabel { background: #D55E00; color: white; padding: 6px; border-radius: 4px; }" if problem else ""
        )
