"""Stepping through what differs, and handing it to Review."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.comparison.difference import Differing
from napari_unetsharp.widgets.quiet import button


class Steps(QWidget):
    """Back, next, where we are, and why.

    Signals
    -------
    moved(object)
        The difference to show.
    handed(object)
        List of differences that Review is to serve.
    """

    moved = Signal(object)
    handed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Differing] = []
        self.place = -1
        self._names, self._what, self._nothing = ("A", "B"), "differences", ""
        self.back_button = button("◀ Back", "The one before (Shift+N)", lambda: self.step(-1))
        self.next_button = button("Next ▶", "The next one (N)", lambda: self.step(1))
        self.where = QLabel()
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.hand_button = button("Hand to Review", "Review exactly these nuclei, one by one", self._hand)
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in (self.back_button, self.next_button, self.where):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(self.hand_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.reason)
        self.take([], self._names)

    @property
    def current(self) -> Differing | None:
        """The difference that is looked at."""
        return self.items[self.place] if 0 <= self.place < len(self.items) else None

    def take(
        self, items: Sequence[Differing], names: tuple[str, str], what: str = "differences", nothing: str = ""
    ) -> None:
        """Step through these from now on.

        Parameters
        ----------
        items : sequence of Differing
        names : tuple of str
            Of both sides, for the reasons.
        what : str, optional
            What they are, in words.
        nothing : str, optional
            What it means that there are none.
        """
        here = self.current
        self._nothing = "" if items else nothing
        self.items, self._names, self._what = list(items), names, what
        self.place = self.items.index(here) if here is not None and here in self.items else -1
        self._show()

    def step(self, by: int) -> None:
        """Go on, or back; from the last one to the first."""
        if not self.items:
            return
        self.place = (self.place + by) % len(self.items) if self.place >= 0 or by > 0 else len(self.items) - 1
        self._show()
        self.moved.emit(self.current)

    def _show(self) -> None:
        count, item = len(self.items), self.current
        self.where.setText(f"{self.place + 1:,} of {count:,}" if item is not None else f"{count:,} {self._what}")
        words = self._nothing if item is None else item.words(*self._names)
        self.reason.setText(words[:1].upper() + words[1:] + ("." if words else ""))
        self.reason.setVisible(bool(words))
        for made in (self.back_button, self.next_button, self.hand_button):
            made.setEnabled(bool(count))

    def _hand(self) -> None:
        self.handed.emit(list(self.items))
