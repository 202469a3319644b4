"""The stores that a window has open: written by its threads, and closed with the window."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unetsharp.slides.store import SlideStore


class OpenStores:
    """Closes stores when nobody works on them any more, so that another window or program may go on.

    A window is taken apart while a run still ends its block: the stores are then closed by the run's own thread.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stores: list[SlideStore] = []
        self._at_work = 0
        self._ended = False

    def take(self, store: SlideStore) -> None:
        """Keep a store until nobody wants it any more, or the window closes."""
        with self._lock:
            self._stores.append(store)

    def close(self, store: SlideStore) -> None:
        """Close a store at once; a second time does nothing."""
        with self._lock:
            if store in self._stores:
                self._stores.remove(store)
                store.close()

    def keep_only(self, wanted: Collection[SlideStore]) -> None:
        """Close the others; while a thread is at work nothing is closed, so it is to be asked again afterwards."""
        with self._lock:
            for store in [] if self._at_work else [store for store in self._stores if store not in wanted]:
                self.close(store)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While a thread writes; nothing is closed under its hands."""
        with self._lock:
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                if self._ended:
                    self.end()

    def end(self, gone: Any = None) -> None:
        """Close all; where a thread is at work, it does so when it ends."""
        with self._lock:
            self._ended = True
            if not self._at_work:
                self.keep_only(())
