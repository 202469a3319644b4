"""How many errors are left, from nuclei that were drawn at random and checked, and from nothing else.

The doubtful nuclei say nothing about the others: they were chosen because they are worse. So the estimate comes from
spot checks alone, drawn without replacement from the nuclei of the image and mixed unmarked into the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.states import State

FEWEST = 20
"""Spot checks below which nothing is estimated."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ErrorsLeft:
    """What spot checks say about the nuclei that nobody has looked at.

    Attributes
    ----------
    unseen : int
        Nuclei that nobody has looked at.
    checked, wrong : int
        Spot checks that count, and how many of them were wrong.
    estimate : float or None
        Errors among the unseen nuclei; None below `FEWEST` spot checks, unless none is unseen.
    low, high : int or None
        Interval that holds their true number with at least `confidence`.
    confidence : float
    views : int
        Completed views: the only places where misses are known (to be none).
    """

    unseen: int
    checked: int
    wrong: int
    estimate: float | None
    low: int | None
    high: int | None
    confidence: float = CONFIDENCE
    views: int = 0

    @property
    def words(self) -> str:
        """Such as "Errors left: about 9 (4 to 17) among 340 nuclei not looked at. Misses are ..."."""
        return f"{self._nuclei()} {self._misses()}"

    def _nuclei(self) -> str:
        if self.unseen == 0:
            return "Every nucleus has been looked at."
        if self.estimate is None:
            return f"Errors left: known from {FEWEST} spot checks on, {self.checked} so far."
        return (
            f"Errors left: about {round(self.estimate)} ({self.low} to {self.high}) among {self.unseen} nuclei "
            f"not looked at, from {self.checked} spot checks."
        )

    def _misses(self) -> str:
        if self.views == 0:
            return "Misses are counted only inside completed views; there is none yet."
        return f"Misses are counted only inside the {self.views} completed view{'s' if self.views > 1 else ''}."


def errors_left(
    population: int, checked: int, wrong: int, found_otherwise: int = 0, confidence: float = CONFIDENCE, views: int = 0
) -> ErrorsLeft:
    """Errors among nuclei that nobody has looked at, with an exact interval for a finite population.

    Parameters
    ----------
    population : int
        Nuclei that the spot checks were drawn from, checked ones included; leave out those that were shown for
        another reason than chance (doubtful ones, completed views), right or wrong.
    checked, wrong : int
        Spot checks among the population, and wrong ones among these.
    found_otherwise : int
        Wrong ones of the population that somebody came across without being shown them.
    confidence : float
        Within 0..1.
    views : int
        Completed views, for the words.

    Returns
    -------
    ErrorsLeft

    Raises
    ------
    SettingsError
        If the numbers contradict each other.

    Notes
    -----
    The tails of the hypergeometric distribution are inverted, as Clopper and Pearson (*Biometrika* 26, 1934) did for
    the binomial: the interval holds every total number of errors under which the outcome isn't in the outer
    (1 - confidence) / 2 on either side, so its coverage is never below the confidence.
    """
    if not 0 <= wrong <= checked <= population or not 0 <= found_otherwise <= population - checked:
        raise SettingsError(
            f"{wrong} wrong of {checked} spot checks of {population} nuclei, {found_otherwise} found otherwise: "
            "each must be at most the next, and none below 0"
        )
    if not 0 < confidence < 1:
        raise SettingsError(f"the confidence lies between 0 and 1, not at {confidence}")
    unseen = population - checked - found_otherwise
    if unseen == 0:
        return ErrorsLeft(0, checked, wrong, 0.0, 0, 0, confidence, views)
    if checked < FEWEST:
        return ErrorsLeft(unseen, checked, wrong, None, None, None, confidence, views)
    known = wrong + found_otherwise
    low, high = (int(np.clip(total - known, 0, unseen)) for total in interval(population, checked, wrong, confidence))
    estimate = float(np.clip(population * wrong / checked - known, low, high))
    return ErrorsLeft(unseen, checked, wrong, estimate, low, high, confidence, views)


def interval(population: int, checked: int, wrong: int, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Totals of wrong ones in the whole population that fit what was seen in the sample.

    Returns
    -------
    tuple of int
        Smallest and largest; both include the wrong ones of the sample.
    """
    tail = (1 - confidence) / 2
    totals = np.arange(wrong, population - (checked - wrong) + 1)
    at_least = hypergeom.sf(wrong - 1, population, totals, checked)
    at_most = hypergeom.cdf(wrong, population, totals, checked)
    fitting = totals[(at_least > tail) & (at_most > tail)]
    return int(fitting[0]), int(fitting[-1])


def was_wrong(states: ArrayLike) -> NDArray[np.bool_]:
    """Whether a proposal was wrong, by the state that a person gave it: changed, or not a nucleus.

    "Can't tell" counts as not wrong: nobody would correct it.
    """
    given = np.asarray(states)
    return np.asarray((given == State.CHANGED) | (given == State.NOT))


def from_review(
    spot: NDArray[np.bool_], shown: NDArray[np.bool_], looked_at: NDArray[np.bool_], wrong: NDArray[np.bool_],
    views: int = 0, **settings: Any,
) -> ErrorsLeft:  # fmt: skip
    """Errors left from flags of all proposals.

    Parameters
    ----------
    spot : array of bool, (n,)
        Served as a spot check.
    shown : array of bool, (n,)
        Served as a doubtful one, or inside a completed view; as spot check too or not.
    looked_at : array of bool, (n,)
        Has a state that a person gave.
    wrong : array of bool, (n,)
        See `was_wrong`.
    views : int
    **settings
        For `errors_left`.

    Returns
    -------
    ErrorsLeft
        Nuclei that were looked at though neither drawn nor shown are known only because they caught the eye: the wrong
        ones count as found, the right ones as not looked at, so that they can't make the rest look better.
    """
    population = ~(shown & looked_at)
    sample = population & spot & looked_at
    caught = population & ~sample & looked_at & wrong
    return errors_left(
        int(population.sum()), int(sample.sum()), int((sample & wrong).sum()), int(caught.sum()), views=views,
        **settings,
    )  # fmt: skip
