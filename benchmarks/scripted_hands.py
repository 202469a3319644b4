"""Real keys and clicks for scripts that drive the window: what tests do with pytest-qt, without pytest."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "widgets"))
from review_window import Hands

__all__ = ["Fingers", "Hands"]


class Fingers:
    """Stands in for pytest-qt's ``qtbot`` in `Hands`."""

    def wait(self, milliseconds: float) -> None:
        """Let the window work for a while."""
        end = time.perf_counter() + 1e-3 * milliseconds
        while True:
            QApplication.processEvents()
            left = end - time.perf_counter()
            if left <= 0:
                return
            time.sleep(min(0.002, left))

    def waitUntil(self, condition: Callable[[], Any], timeout: float = 60_000) -> None:  # noqa: N802
        """Let the window work until something is so."""
        end = time.perf_counter() + 1e-3 * timeout
        while not condition():
            if time.perf_counter() > end:
                raise SystemExit("the window did not get there in time")
            self.wait(2)

    def keyClick(self, widget: Any, key: Any, modifier: Any) -> None:  # noqa: N802
        """Press and let go of a key."""
        QTest.keyClick(widget, key, modifier)

    def mouseClick(self, widget: Any, button: Any, modifier: Any = None, pos: Any = None) -> None:  # noqa: N802
        """Click on a widget, in its middle or at a place."""
        self._mouse(QTest.mouseClick, widget, button, modifier, pos)

    def mousePress(self, widget: Any, button: Any, modifier: Any = None, pos: Any = None) -> None:  # noqa: N802
        """Press a button of the mouse."""
        self._mouse(QTest.mousePress, widget, button, modifier, pos)

    def mouseRelease(self, widget: Any, button: Any, modifier: Any = None, pos: Any = None) -> None:  # noqa: N802
        """Let go of it."""
        self._mouse(QTest.mouseRelease, widget, button, modifier, pos)

    def mouseMove(self, widget: Any, pos: Any) -> None:  # noqa: N802
        """Move the mouse."""
        QTest.mouseMove(widget, pos)

    @staticmethod
    def _mouse(act: Callable[..., None], widget: Any, button: Any, modifier: Any, pos: Any) -> None:
        from qtpy.QtCore import Qt

        pressed = Qt.KeyboardModifier.NoModifier if modifier is None else modifier
        act(widget, button, pressed, widget.rect().center() if pos is None else pos)
