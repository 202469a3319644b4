"""Keys of Review: what each does, and the filter that hears them before napari does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Points, Shapes
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QLineEdit, QPlainTextEdit, QTextEdit, QWidget

if TYPE_CHECKING:
    from napari import Viewer

KEYS: dict[str, tuple[str, str]] = {
    "yes": ("Space", "yes to what is drawn, next (hold Space still moves the picture)"),
    "no": ("D", "no, not a nucleus, next"),
    "unsure": ("Shift+Space", "can't tell, next"),
    "next": ("N", "next without deciding"),
    "back": ("Shift+N", "back without deciding"),
    "to_do": ("U", "back to to do"),
    "other": ("W", "other outline"),
    "previous_other": ("Shift+W", "previous outline"),
    "split": ("S", "split: drag a line; S again: automatic"),
    "join": ("G", "join: then click the neighbour"),
    "add": ("A", "add a nucleus at the pointer, grown from the maps"),
    "redraw": ("R", "redraw with a brush locked to this nucleus; R ends, Esc cancels"),
    "tidy": ("T", "tidy: fill holes, smooth the edge"),
    "filled": ("H", "outlines or filled"),
    "image_only": ("Q", "hold: the image alone"),
    "flicker": ("K", "hold: flicker between the corrected nuclei and those of the depth shown"),
    "shallower": (",", "one depth down"),
    "deeper": (".", "one depth up"),
    "grid": ("J", "all eight views side by side; J again: back"),
    "undo": ("Ctrl+Z", "undo and go there"),
    "redo": ("Ctrl+Shift+Z", "redo and go there"),
    "cancel": ("Esc", "leave split, join, redraw or lasso"),
    "sheet": ("F1", "this list (? too)"),
}
"""By name of the action: the key, and what it does in words."""

CLICKS = {
    "click": "select; in Screen by screen: not a nucleus, and back",
    "Ctrl+click": "not a nucleus, and back",
    "Shift+click": "join with the current nucleus",
}

DIGITS = ("1–9", "its class, where the model has classes; again: none")
"""The keys of classes, and what they do in words."""

HELD = frozenset({"image_only", "flicker"})
"""Actions that last while their key is down."""

TAP = 0.3
"""Seconds that Space may be down to count as a tap."""

_MODIFIERS = {
    "Ctrl": Qt.KeyboardModifier.ControlModifier,
    "Shift": Qt.KeyboardModifier.ShiftModifier,
    "Alt": Qt.KeyboardModifier.AltModifier,
}
_NAMED = {"Space": Qt.Key.Key_Space, "Esc": Qt.Key.Key_Escape, "F1": Qt.Key.Key_F1,
          ",": Qt.Key.Key_Comma, ".": Qt.Key.Key_Period}  # fmt: skip

_TEXT = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)

Chord = tuple[int, int]
"""A Qt key and its modifiers, as numbers."""


def _number(value: Any) -> int:
    return int(getattr(value, "value", value))


def chord(text: str) -> Chord:
    """From "Ctrl+Z" to numbers that events can be compared with.

    Raises
    ------
    KeyError
        If there is no such key.
    """
    *modifiers, name = text.split("+") if text != "+" else ["+"]
    key = _NAMED[name] if name in _NAMED else getattr(Qt.Key, f"Key_{name.upper()}", None)
    if key is None or not set(modifiers) <= _MODIFIERS.keys():
        raise KeyError(text)
    return _number(key), sum(_number(_MODIFIERS[modifier]) for modifier in modifiers)


def _valid(wished: str, default: str) -> str:
    """A key from the settings, or ours where there is no such key."""
    try:
        chord(wished)
    except KeyError:
        return default
    return wished


class KeyFilter(QObject):
    """Hears every key of the window while Review is on.

    Text fields, menus and dialogs keep theirs, and so do the person's own Shapes and Points layers.

    Parameters
    ----------
    viewer : napari.Viewer
    act : callable
        Gets the name of an action and whether it begins (True) or, for held ones, ends (False).
    own : callable
        Tells whether a layer is one of ours.
    keys : mapping of str to str, optional
        Other keys by action, from the settings.
    """

    def __init__(
        self,
        viewer: Viewer,
        act: Callable[[str, bool], None],
        own: Callable[[Any], bool],
        parent: QObject | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer: Any = viewer
        self._window: Any = viewer.window._qt_window
        self._act, self._own = act, own
        self.on = False
        self.classes = 0  # digits that stand for one
        self.busy: Callable[[], bool] = bool
        self._space_down = 0.0
        self._held: dict[int, str] = {}
        self.keys = {name: _valid((keys or {}).get(name, ""), key) for name, (key, _) in KEYS.items()}
        self._actions = {chord(key): name for name, key in self.keys.items()}
        self._actions[(_number(Qt.Key.Key_Question), 0)] = "sheet"

    def turn(self, on: bool) -> None:
        """Listen, or stop listening."""
        application = QApplication.instance()
        if application is None or on == self.on:
            return
        self.on = on
        self._held.clear()
        self._space_down = 0.0
        if on:
            application.installEventFilter(self)
        else:
            application.removeEventFilter(self)

    def remove(self) -> None:
        """Stop for good, and let go of the window."""
        self.turn(False)
        self.setParent(None)
        self._act, self._own, self.busy = _do_nothing, bool, bool
        self._viewer = self._window = None

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Qt: called with every event of the application."""
        if event is None or not self.on:
            return False
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress:
            self._space_down = 0.0  # Space with the mouse is a move of the picture, no answer
            return False
        if kind not in {QEvent.Type.KeyPress, QEvent.Type.KeyRelease, QEvent.Type.ShortcutOverride}:
            return False
        if not isinstance(event, QKeyEvent) or not isinstance(watched, QWidget) or not self._concerns(watched):
            return False
        if kind == QEvent.Type.KeyRelease:
            return self._released(event)
        return self._pressed(event, kind == QEvent.Type.ShortcutOverride)

    def _concerns(self, watched: QWidget) -> bool:
        """Whether the key was meant for the window as such."""
        if watched.window() is not self._window or QApplication.activePopupWidget() is not None:
            return False
        if QApplication.activeModalWidget() is not None:
            return False
        focus = QApplication.focusWidget() or watched
        if isinstance(focus, _TEXT) or (isinstance(focus, QComboBox) and focus.isEditable()):
            return False
        return self.listening()

    def listening(self) -> bool:
        """Whether our keys work with the layer that is active."""
        active = self._viewer.layers.selection.active
        return not isinstance(active, Shapes | Points) or self._own(active)

    def action_of(self, event: QKeyEvent) -> str:
        """Name of the action of a key, "class 1" and so on for a digit; empty for none."""
        key = _number(event.key())
        pressed = _number(event.modifiers()) & sum(_number(part) for part in _MODIFIERS.values())
        if key == _number(Qt.Key.Key_Question):
            pressed = 0  # Shift makes it
        name = self._actions.get((key, pressed), "")
        digit = key - _number(Qt.Key.Key_0)
        if not name and not pressed and 0 < digit <= min(self.classes, 9):
            name = f"class {digit}"
        if name in {"undo", "redo"}:
            active = self._viewer.layers.selection.active
            if isinstance(active, Labels) and not self._own(active):
                return ""  # the person's own Labels layer has its own undo
        if name == "cancel" and not self.busy():
            return ""
        return name

    def _pressed(self, event: QKeyEvent, override: bool) -> bool:
        name = self.action_of(event)
        if not name:
            return False
        if override:
            event.accept()  # a menu's shortcut doesn't take it
            return True
        if event.isAutoRepeat():
            return name != "yes"
        if name == "yes":
            self._space_down = time.monotonic()
            return False  # napari moves the picture while it is down
        if name in HELD:
            self._held[_number(event.key())] = name
        self._act(name, True)
        return True

    def _released(self, event: QKeyEvent) -> bool:
        if event.isAutoRepeat():
            return False
        key = _number(event.key())
        if key in self._held:
            self._act(self._held.pop(key), False)
            return True
        if self._space_down and key == self._actions_key("yes"):
            tapped = time.monotonic() - self._space_down < TAP
            self._space_down = 0.0
            if tapped:
                QTimer.singleShot(0, self._tapped)  # after napari has ended its move
        return False

    def _actions_key(self, name: str) -> int:
        return chord(self.keys[name])[0]

    def _tapped(self) -> None:
        if self.on:
            self._act("yes", True)


def _do_nothing(name: str, begins: bool) -> None:
    """In place of what is gone."""
