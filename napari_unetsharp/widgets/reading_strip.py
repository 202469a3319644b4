"""The lines of a second reading in the dock: how far two readings agree, who reads, and the way back."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_unetsharp.widgets.quiet import GivesBack, button


class ReadingStrip(QWidget):
    """A sentence, and beneath it what can be done; empty and hidden without a second reading.

    Parameters
    ----------
    do : callable
        Gets "second start", "second go on", "second cancel" or "second end".
    """

    def __init__(self, do: Callable[[str], None]) -> None:
        super().__init__()
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setStyleSheet("QLabel { font-size: 11px; }")
        self.reader = QLineEdit()
        self.reader.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.reader.setPlaceholderText("name of the second reader")
        self.reader.setToolTip("Who reads now; may be the same person. Enter starts, Esc leaves the field")
        self.start_button = button("Start", "Draw a tenth at random and ask it again", lambda: do("second start"))
        self.go_on_button = button("Go on", "Go on with the reading that isn't finished", lambda: do("second go on"))
        self.cancel_button = button("Cancel", "No second reading now", lambda: do("second cancel"))
        self.end_button = button(
            "Back to the review", "End the second reading, or leave it for later", lambda: do("second end")
        )
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in (self.reader, self.start_button, self.go_on_button, self.cancel_button, self.end_button):
            row.addWidget(widget, stretch=int(widget is self.reader))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self._back: Callable[[], None] = _nothing
        self._gives_back = GivesBack(self.reader, lambda: do("second start"), self._give_back)
        self.tell("")

    def give_focus_to(self, back: Callable[[], None]) -> None:
        """Where the keyboard goes when the name is entered."""
        self._back = back

    def _give_back(self) -> None:
        self._back()

    def tell(self, text: str) -> None:
        """Only a sentence; nothing where it is empty."""
        self._show(text)

    def ask(self, text: str, reader: str, unfinished: bool) -> None:
        """Ask who reads.

        Parameters
        ----------
        text : str
        reader : str
            Name to begin with.
        unfinished : bool
            A reading can be gone on with.
        """
        self.reader.setText(reader)
        self._show(text, self.reader, self.start_button, self.cancel_button, *([self.go_on_button] * unfinished))
        self.start_button.setText("Start new" if unfinished else "Start")

    def run(self, text: str) -> None:
        """A reading is at work."""
        self._show(text, self.end_button)

    def _show(self, text: str, *shown: QWidget) -> None:
        self.text.setText(text)
        for widget in (self.reader, self.start_button, self.go_on_button, self.cancel_button, self.end_button):
            widget.setVisible(widget in shown)
        self.setVisible(bool(text))


def _nothing() -> None:
    """Until a review is open."""
