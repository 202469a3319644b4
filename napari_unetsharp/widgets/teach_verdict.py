"""The verdict: in words, in numbers, on the tissue; keep or discard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.widgets.quiet import button

HEADLINES = {
    "keep": ("Keep it", "#009E73"),
    "your choice": ("Your choice", "#B07000"),
    "discard": ("Discard it", "#D55E00"),
    "": ("Not measured: your choice", "#B07000"),
}
PARTS = {"aside": "kept aside", "everything": "all reviewed", "check": "check images"}
BEFORE, AFTER = "before", "after"


class VerdictPanel(QWidget):
    """What is advised, and the buttons.

    Parameters
    ----------
    do : callable
        Gets "keep next", "keep", "discard", or "before" and "after" (their buttons are checkable).
    """

    def __init__(self, do: Callable[[str], None]) -> None:
        super().__init__()
        self.headline = QLabel()
        self.headline.setWordWrap(True)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.table = QLabel()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.before = button("Before", "Show on the tissue what the old model finds", lambda: do(BEFORE), True)
        self.after = button("After", "Show on the tissue what the new model finds", lambda: do(AFTER), True)
        self.tissue = QLabel()
        self.tissue.setWordWrap(True)
        self.tissue.setStyleSheet("QLabel { font-size: 11px; }")
        self.keep_next = button("Keep · next image", "Keep it as a new version, and open the image of the folder that "
                                "it is least sure of", lambda: do("keep next"))  # fmt: skip
        self.keep = button("Keep", "Keep it as a new version; no older one is overwritten", lambda: do("keep"))
        self.discard = button("Discard", "Forget it; nothing stays behind", lambda: do("discard"))
        for made in (self.keep_next, self.keep, self.discard):
            made.setMinimumHeight(32)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        for widget in (self.headline, self.words, self.table, _row(self.before, self.after), self.tissue,
                       _row(self.keep_next, self.keep, self.discard)):  # fmt: skip
            layout.addWidget(widget)

    def show_verdict(self, verdict: dict[str, Any] | None, why: str, has_next: bool) -> None:
        """Show what the training came to.

        Parameters
        ----------
        verdict : dict or None
            As reported.
        why : str
            Why it ended early; empty where it didn't.
        has_next : bool
            Whether there is another image in the folder.
        """
        told = verdict or {}
        text, colour = HEADLINES[str(told.get("decision", ""))]
        self.headline.setText(text)
        self.headline.setStyleSheet(
            f"QLabel {{ background: {colour}; color: white; font-weight: bold; padding: 5px; border-radius: 4px; }}"
        )
        early = f"It ended early: {why}. " if why and why != "stopped" else "Stopped: this is the best so far. "
        self.words.setText((early if why else "") + (_gains(told) if told else "It can be kept, and tried in 1 Find."))
        self.words.setToolTip(str(told.get("words", "")))
        self.table.setText(_table(told))
        self.table.setVisible(bool(told))
        self.table.setMinimumHeight(self.table.sizeHint().height())  # wrapping labels above it take its room else
        self.keep_next.setVisible(has_next)

    def busy(self, on: bool) -> None:
        """While it is being kept no button acts."""
        for made in (self.keep_next, self.keep, self.discard):
            made.setEnabled(not on)


class LeftoverPanel(QWidget):
    """Offers what a window that was closed had learned."""

    def __init__(self, look: Callable[[], None], remove: Callable[[], None]) -> None:
        super().__init__()
        words = QLabel("A window that was closed while it learned left a model behind.")
        words.setWordWrap(True)
        row = QHBoxLayout()
        self.look = button("Look at it", "See its verdict; keep or discard it", look)
        self.remove = button("Remove", "Forget it", remove)
        row.addWidget(self.look)
        row.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(words)
        layout.addLayout(row)
        self.hide()


def _gains(verdict: dict[str, Any]) -> str:
    """The advice, and how sure it is."""
    advice = ". ".join(str(verdict["words"]).split(". ")[:1]).rstrip(".") + "."
    change = verdict.get("aside") or verdict.get("everything")
    if not change:
        return advice
    told = "" if verdict.get("aside") else " that it learned from"
    after, before = change["after"], change["before"]
    moved = [_moved(after[key] - before[key], words) for key, words in (("missed", "missed"), ("false", "false"))]
    sure = f"if you had reviewed other nuclei like these, it would be better in {change['sure']:.0%} of the cases"
    return f"{advice} On {after['nuclei']} nuclei{told}: {', '.join(moved)}; {sure}."


def _moved(by: int, words: str) -> str:
    return f"as many {words}" if not by else f"{abs(by)} {'more' if by > 0 else 'fewer'} {words}"


def _table(verdict: dict[str, Any]) -> str:
    """Before and after, by part."""
    rows = []
    for key, name in PARTS.items():
        change = verdict.get(key)
        if not change or not change["before"]["nuclei"]:
            continue
        before, after = change["before"], change["after"]
        cells = [f"{before[what]} → {after[what]}" for what in ("found", "missed", "false")]
        fits = [part["fit"] for part in (before, after)]
        cells.append(f"{fits[0]:.2f} → {fits[1]:.2f}" if None not in fits else "–")
        rows.append(f"<tr><td>{name}&nbsp;</td>{''.join(f'<td align=right>{cell}&nbsp;</td>' for cell in cells)}</tr>")
    head = "<tr><td></td><th>found</th><th>missed</th><th>false</th><th>fit</th></tr>"
    return f"<table style='font-size: 11px' cellspacing=3>{head}{''.join(rows)}</table>"


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget)
    return row
