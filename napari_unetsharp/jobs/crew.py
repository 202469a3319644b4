"""Workers that do tasks, in any order, and go on when one of them dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from napari_unetsharp.images.files import first_line
from napari_unetsharp.jobs.tasks import Answer, Task

MOST_DEATHS = 3
"""How many workers a task may cost before it is given up."""


class Crew(Protocol):
    """Workers, on this machine or elsewhere.

    Attributes
    ----------
    size : int
        How many workers; may change.
    """

    @property
    def size(self) -> int: ...

    def submit(self, ticket: int, task: Task) -> None:
        """Give a task out."""

    def next(self) -> tuple[int, Answer | str]:
        """Wait for a task, whichever ends first: its ticket and answer, or why there is none, a sentence."""

    def close(self) -> None:
        """End the workers, wherever they are at."""


@dataclass
class _Worker:
    number: int
    pid: int
    process: BaseProcess
    line: Connection
    ticket: int | None = None


class LocalCrew:
    """Processes of this machine.

    Parameters
    ----------
    size : int
        Each takes another GPU, where there are several.
    """

    def __init__(self, size: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._threads = max(1, (os.cpu_count() or 1) // size)
        self._waiting: deque[int] = deque()
        self._tasks: dict[int, Task] = {}
        self._deaths: dict[int, int] = {}
        self._workers = [self._hired(number) for number in range(size)]

    @property
    def size(self) -> int:
        """How many workers."""
        return len(self._workers)

    def submit(self, ticket: int, task: Task) -> None:
        """Give a task out."""
        self._tasks[ticket] = task
        self._waiting.append(ticket)
        self._hand_out()

    def next(self) -> tuple[int, Answer | str]:
        """Wait for a task; see `Crew.next`."""
        while True:
            lines = {worker.line: worker for worker in self._workers if worker.ticket is not None}
            for line in wait(list(lines)):
                worker = next(worker for known, worker in lines.items() if known is line)
                ended = self._ended(worker)
                self._hand_out()
                if ended is not None:
                    return ended

    def close(self) -> None:
        """End the workers, wherever they are at."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.process.close()
            worker.line.close()
        self._workers = []

    def _hired(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, number, self._threads), daemon=True)
        process.start()
        theirs.close()
        return _Worker(number, process.pid or 0, process, ours)

    def _hand_out(self) -> None:
        idle = (place for place, worker in enumerate(self._workers) if worker.ticket is None)
        for place in idle:
            if self._waiting:
                worker = self._workers[place]
                if not worker.process.is_alive():
                    worker = self._workers[place] = self._replaced(worker)
                worker.ticket = self._waiting.popleft()
                with contextlib.suppress(BrokenPipeError):  # it died just now; `_ended` finds out
                    worker.line.send(self._tasks[worker.ticket])

    def _ended(self, worker: _Worker) -> tuple[int, Answer | str] | None:
        """Take a worker's answer; None where it died and its task goes to another."""
        ticket = worker.ticket
        assert ticket is not None
        try:
            answer: Answer | str = worker.line.recv()
        except (EOFError, ConnectionResetError):
            self._workers[self._workers.index(worker)] = self._replaced(worker)
            self._deaths[ticket] = self._deaths.get(ticket, 0) + 1
            if self._deaths[ticket] < MOST_DEATHS:
                self._waiting.appendleft(ticket)
                return None
            answer = f"{MOST_DEATHS} worker processes died over it, one after the other"
        worker.ticket = None
        del self._tasks[ticket]
        return ticket, answer

    def _replaced(self, worker: _Worker) -> _Worker:
        worker.process.join()
        worker.process.close()
        worker.line.close()
        return self._hired(worker.number)


def _serve(line: Connection, number: int, threads: int) -> None:
    """Do tasks until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command decides when to stop, and ends us
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task: Task = line.recv()
            try:
                answer: Answer | str = task.run(number, threads)
            except Exception as error:  # the model can't be read here, or the GPU has no room for it
                answer = first_line(error)
            line.send(answer)
