"""What takes longer than a click is made once, in a thread, and kept: nuclei, differences."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unetsharp.errors import DeviceError
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

MOST_BYTES = 3 * 2**29
"""Memory of what is kept at most; what was asked for longest ago goes first."""


class Prepared(QObject):
    """Makes one thing at a time, what was asked for last first.

    Signals
    -------
    ready(object)
        Key of what is there now.
    failed(object, object)
        Key, and the exception.
    """

    ready = Signal(object)
    failed = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._waiting: OrderedDict[Hashable, Callable[[], Any]] = OrderedDict()
        self._now: Hashable = None
        self._worker: StoppableWorker | None = None

    @property
    def running(self) -> bool:
        """Whether something is being made."""
        return self._worker is not None

    def get(self, key: Hashable) -> Any:
        """What is there, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def ask(self, key: Hashable, make: Callable[[], Any], urgent: bool = True) -> Any:
        """What is there, or None; it is then made, and `ready` follows.

        Parameters
        ----------
        key : hashable
        make : callable
            Called in a thread; what it gives says its size as ``nbytes``.
        urgent : bool, optional
            Before what waits already; otherwise after it.
        """
        if key in self._kept:
            return self.get(key)
        if key != self._now:
            self._waiting.setdefault(key, make)
            self._waiting.move_to_end(key, last=urgent)
            self._start()
        return None

    def forget_waiting(self) -> None:
        """Nobody wants any more what wasn't begun."""
        self._waiting.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._kept.clear()
        self._now = None

    def _start(self) -> None:
        if self._worker is not None or not self._waiting:
            return
        self._now, make = self._waiting.popitem()
        slots = {"yielded": self._made, "errored": self._errored, "finished": self._ended}
        self._worker = start_worker(_steps, self._now, make, connect=slots)

    def _made(self, outcome: tuple[Hashable, Any]) -> None:
        key, value = outcome
        if key != self._now:
            return  # cleared meanwhile
        self._now = None
        self._kept[key] = value
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)
        self.ready.emit(key)

    def _errored(self, error: Exception) -> None:
        key, self._now = self._now, None
        self.failed.emit(key, error)

    def _ended(self) -> None:
        self._worker = None
        self._start()


def _steps(key: Hashable, make: Callable[[], Any], stop: Callable[[], bool]) -> Iterator[tuple[Hashable, Any]]:
    """One thing, for a worker; napari's workers swallow RuntimeError, so that it becomes one of ours."""
    try:
        yield key, make()
    except RuntimeError as error:
        raise DeviceError(f"the nuclei can't be compared ({error}); choose a smaller part of the image") from error
