"""How long the rest will take, from the person's own pace."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median

FEWEST = 5
"""Decisions before anything is said."""

REMEMBERED = 40
"""Latest decisions that count: people get faster, and tired."""

PAUSE = 60.0
"""Seconds without a decision that are a pause, not work, until the person's own pace is known."""

PAUSE_TIMES = 8.0
"""A gap so many times the person's usual one is a pause."""


@dataclass
class Pace:
    """Seconds per decision of one person at one kind of card (nuclei, or screens).

    Attributes
    ----------
    gaps : deque of float
        Seconds that the latest decisions took, pauses left out.
    """

    gaps: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _last: float | None = None

    def decided(self, at: float) -> None:
        """Note a decision.

        Parameters
        ----------
        at : float
            Seconds of a clock that never goes back (`time.monotonic`).
        """
        if self._last is not None:
            gap = max(0.0, at - self._last)
            if gap <= self._longest():
                self.gaps.append(gap)
        self._last = at

    def interrupted(self) -> None:
        """The next decision's time says nothing: another image was opened, or the review was left."""
        self._last = None

    def seconds_left(self, left: int) -> float | None:
        """Seconds for so many more decisions, or None while too few were made to know.

        The mean of the gaps, each held below three times their median, so that one long look doesn't double it.
        """
        if left <= 0:
            return 0.0
        if len(self.gaps) < FEWEST:
            return None
        most = 3 * median(self.gaps)
        return left * sum(min(gap, most) for gap in self.gaps) / len(self.gaps)

    def words(self, left: int) -> str:
        """Such as "about 11 min to go"; empty while too few decisions were made."""
        seconds = self.seconds_left(left)
        return "" if seconds is None else to_go(seconds)

    def _longest(self) -> float:
        return max(5.0, PAUSE_TIMES * median(self.gaps)) if len(self.gaps) >= FEWEST else PAUSE


def to_go(seconds: float) -> str:
    """A time in words, rounded as far as such a guess is good for.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    str
        "nothing left", "less than a minute to go", "about 11 min to go", "about 1 h 20 min to go".
    """
    if seconds <= 0:
        return "nothing left"
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute to go"
    if minutes < 20:
        return f"about {round(minutes)} min to go"
    rounded = 5 * math.floor(minutes / 5 + 0.5)
    if rounded < 60:
        return f"about {rounded} min to go"
    hours, rest = divmod(rounded, 60)
    return f"about {hours} h to go" if rest == 0 else f"about {hours} h {rest} min to go"
