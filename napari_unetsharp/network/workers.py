"""Threads that each compute a rectangle by themselves.

Torch shares the work of every single operation among its threads, and they wait for each other after each; on a
machine that does other work too, that waiting costs tenfold (measured). Whole rectangles in threads of one
processor each wait only at the end of a layer, and don't depend in any bit on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")


class Workers:
    """As many threads as torch would use, for functions that torch computes alone in each."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._count = 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let torch use one thread per operation meanwhile."""
        count = torch.get_num_threads()
        if count != self._count:
            self.release()
            self._count = count
        if count > 1:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if count > 1:
                torch.set_num_threads(count)

    def each(self, run: Callable[[Item], None], items: Iterable[Item]) -> None:
        """Call a function once per item, in any order, and wait for all; the first error is raised."""
        if self._count == 1:
            for item in items:
                run(item)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._count, "rectangles", torch.set_num_threads, (1,))

        @torch.inference_mode()  # a mode of each thread
        def alone(item: Item) -> None:
            run(item)

        waiting = [self._pool.submit(alone, item) for item in items]
        try:
            for future in waiting:
                future.result()
        finally:  # after an error nothing may go on writing
            for future in waiting:
                future.cancel()
            for future in waiting:
                if not future.cancelled():
                    future.exception()

    def release(self) -> None:
        """End the threads; they start again when they are needed."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
