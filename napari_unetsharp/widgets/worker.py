"""The one worker class: it can be asked to stop early, and closes its generator in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker


class StoppableWorker(GeneratorWorker):
    """A generator worker whose loops can ask whether to stop.

    ``cancel`` lets the generator end by itself, with what it has so far. ``quit``, which napari calls when
    the window or the application closes, ends it at the next yield; its ``finally`` then runs at once.

    Parameters
    ----------
    func : callable
        A generator function; gets ``stop``, a callable, as a keyword argument.
    """

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.stop = threading.Event()
        super().__init__(func, *args, stop=self.stop.is_set, **kwargs)

    def cancel(self) -> None:
        """Ask the generator to end early by itself."""
        self.stop.set()

    def quit(self) -> None:
        """Ask for the end at the next yield."""
        self.stop.set()
        super().quit()

    def work(self) -> Any:
        """Drive the generator and close it, whatever happened."""
        try:
            return super().work()
        finally:
            self._gen.close()


def start_worker(func: Callable[..., Any], *args: Any, connect: dict[str, Any], **kwargs: Any) -> StoppableWorker:
    """Start a generator function in a thread of its own.

    Parameters
    ----------
    func : callable
        Generator function; see `StoppableWorker`.
    connect : dict
        Slots by signal: ``yielded``, ``returned``, ``errored``, ``finished``. They run in the main thread.

    Returns
    -------
    StoppableWorker
    """
    worker: StoppableWorker = create_worker(
        func, *args, _worker_class=StoppableWorker, _connect=connect, _ignore_errors=True, _start_thread=True, **kwargs
    )
    return worker
