"""What a finished block tells, and how fast blocks come."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from napari_unetsharp.nuclei.pixels import Box

_RECENT = 16
"""Blocks over which the time that is left is reckoned."""


@dataclass(frozen=True)
class BlockDone:
    """A block was finished.

    Attributes
    ----------
    row, column : int
    box : Box
        Its own pixels, in level 0.
    nuclei : int
        That it owns.
    done, total : int
        Blocks that have their labels, of all that are wanted.
    seconds : float
        Since this run began.
    mpx_per_s : float
        Megapixels of level 0 that were computed per second of this run so far; 0 before the first.
    seconds_left : float or None
        None until it is known.
    failure : str
        Why it couldn't be computed; empty for one that could.
    """

    row: int
    column: int
    box: Box
    nuclei: int
    done: int
    total: int
    seconds: float
    mpx_per_s: float
    seconds_left: float | None
    failure: str = ""


class Pace:
    """How fast blocks come.

    Attributes
    ----------
    started : float
        When the run began, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._pixels, self._spent = 0, 0.0
        self._computed: deque[float] = deque(maxlen=_RECENT)
        self._labelled: deque[float] = deque(maxlen=_RECENT)

    def finished(self, pixels: int, begun: float, computed: bool) -> None:
        """Count a block of so many pixels of level 0, begun then and finished now; or one that lacked but labels."""
        seconds = time.monotonic() - begun
        if computed:
            self._pixels += pixels
            self._spent += seconds
        (self._computed if computed else self._labelled).append(seconds)

    @property
    def mpx_per_s(self) -> float:
        """Megapixels of level 0 per second that was spent on blocks which needed the network; 0 before the first."""
        return self._pixels / 1e6 / max(self._spent, 1e-6)

    def left(self, uncomputed: int, unlabelled: int) -> float | None:
        """Seconds for blocks that need the network, and for others that lack but labels; None if there was no such."""
        seconds = 0.0
        for blocks, recent in ((uncomputed, self._computed), (unlabelled, self._labelled)):
            if blocks and not recent:
                return None
            seconds += blocks * sum(recent) / max(1, len(recent))
        return seconds
