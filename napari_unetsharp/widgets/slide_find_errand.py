"""Something small that is done for a slide in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unetsharp.widgets.worker import StoppableWorker, start_worker


class Errand(QObject):
    """Runs one generator function at a time.

    Signals
    -------
    step(object), failed(object)
        What it yields; the exception that ended it.
    finished()
        It ended, however.
    """

    step = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._worker: StoppableWorker | None = None
        self.idle = threading.Event()
        self.idle.set()

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self._worker is not None

    def start(self, func: Callable[..., Iterator[Any]], *args: Any) -> None:
        """Run a generator function; it gets ``stop``, a callable, as a keyword argument."""
        self.idle.clear()
        self._worker = start_worker(
            func, *args, connect={"yielded": self._yielded, "errored": self._errored, "finished": self._ended}
        )

    def cancel(self) -> None:
        """Ask for an early end."""
        if self._worker is not None:
            self._worker.cancel()

    def _yielded(self, value: Any) -> None:
        self.step.emit(value)

    def _errored(self, error: Exception) -> None:
        self.failed.emit(error)

    def _ended(self) -> None:
        self._worker = None
        self.idle.set()
        self.finished.emit()
