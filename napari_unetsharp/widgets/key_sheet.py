"""All keys and clicks of Review on one sheet."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.widgets.keys import CLICKS, DIGITS, KEYS


def sheet_text(keys: Mapping[str, str]) -> str:
    """The table, as rich text.

    Parameters
    ----------
    keys : mapping of str to str
        Key by action.
    """
    rows = [(keys[name], words) for name, (_, words) in KEYS.items()] + [DIGITS, *CLICKS.items()]
    half = -(-len(rows) // 2)
    left, right = rows[:half], [*rows[half:], *[("", "")] * (2 * half - len(rows))]
    lines = [f"<tr>{_cells(*one)}<td width='16'></td>{_cells(*two)}</tr>" for one, two in zip(left, right, strict=True)]
    return (
        f"<table cellpadding='3'>{''.join(lines)}</table>"
        "<p>They work with an Image or a Labels layer active, and in text fields and on your own Shapes and Points "
        "layers they are off. Everything else is napari's: <b>[</b> and <b>]</b> change the brush, "
        "<b>Ctrl+S</b> saves layers.</p>"
    )


def _cells(key: str, words: str) -> str:
    return f"<td><b>{key.replace('+', '&#8202;+&#8202;')}</b></td><td>{words}</td>"


class KeySheet(QDialog):
    """The sheet; any of Esc, Enter, F1 and ? closes it.

    Parameters
    ----------
    keys : mapping of str to str
    parent : QWidget
    """

    def __init__(self, keys: Mapping[str, str], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of Review")
        text = QLabel(sheet_text(keys))
        text.setWordWrap(True)
        text.setTextFormat(Qt.TextFormat.RichText)
        text.setMinimumWidth(860)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)

    def keyPressEvent(self, event: object) -> None:  # noqa: N802
        """Qt: the key that opened it closes it."""
        key = getattr(event, "key", lambda: None)()
        if key in {Qt.Key.Key_F1, Qt.Key.Key_Question, Qt.Key.Key_Return, Qt.Key.Key_Space}:
            self.accept()
        else:
            super().keyPressEvent(event)
