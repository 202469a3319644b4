"""One stack of steps for everything, bounded in megabytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from napari_unetsharp.nuclei.delta import BoxDelta

MEGABYTES = 256
"""Memory that steps may take where nothing else is said."""


class Step(NamedTuple):
    """A step and the number of its action."""

    number: int
    delta: BoxDelta


class UndoStack:
    """Steps that can be taken back and taken again.

    Beyond its limit the oldest steps can't be taken back any more; what they did stays done. The newest step
    can always be taken back, however large it is.

    Attributes
    ----------
    limit : int
        In bytes.
    """

    def __init__(self, limit: int = MEGABYTES * 10**6, done: Iterable[Step] = (), undone: Iterable[Step] = ()) -> None:
        self.limit = limit
        self._done = deque(done)
        self._undone = deque(undone)  # the next one to take again is the last
        self._bytes = sum(step.delta.nbytes for step in (*self._done, *self._undone))
        self.trim()

    @property
    def done(self) -> tuple[Step, ...]:
        """Steps that can be taken back, oldest first."""
        return tuple(self._done)

    @property
    def undone(self) -> tuple[Step, ...]:
        """Steps that can be taken again, in the order in which they were taken back."""
        return tuple(self._undone)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes, roughly."""
        return self._bytes

    def push(self, step: Step) -> None:
        """Take a new step: those that were taken back are forgotten."""
        self._bytes -= sum(gone.delta.nbytes for gone in self._undone)
        self._undone.clear()
        self._done.append(step)
        self._bytes += step.delta.nbytes
        self.trim()

    def trim(self) -> None:
        """Forget the oldest steps until the rest is within the limit."""
        while self._bytes > self.limit and len(self._done) > 1:
            self._bytes -= self._done.popleft().delta.nbytes

    def last_done(self) -> Step | None:
        """The step that would be taken back."""
        return self._done[-1] if self._done else None

    def last_undone(self) -> Step | None:
        """The step that would be taken again."""
        return self._undone[-1] if self._undone else None

    def step_back(self) -> None:
        """Count the last step as taken back."""
        self._undone.append(self._done.pop())

    def step_forth(self) -> None:
        """Count the last step that was taken back as taken again."""
        self._done.append(self._undone.pop())
