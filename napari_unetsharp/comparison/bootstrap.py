"""How sure a number is: the same comparison, had other nuclei like these been looked at.

Every nucleus is drawn a Poisson(1) number of times (Hanley and MacGibbon, *Creating non-parametric bootstrap samples
using Poisson frequencies*, Computer Methods and Programs in Biomedicine 83, 2006), which is the usual bootstrap but
lets the number of false nuclei vary too. True nuclei are drawn alike for all candidates, so that differences between
two candidates are paired; false nuclei are drawn for each candidate by itself, which makes the interval of a
difference rather too wide than too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
CONFIDENCE = 0.95
_AT_ONCE = 1 << 21
"""Draws of single nuclei in one go."""


def drawn_sums(
    true: Sequence[NDArray[np.float64]], false: Sequence[NDArray[np.float64]], seed: int = 0, draws: int = DRAWS
) -> list[NDArray[np.float64]]:
    """Sums over resampled nuclei.

    Parameters
    ----------
    true : sequence of array, (true nuclei, columns)
        What each true nucleus counts, for each candidate; the same nuclei in the same order.
    false : sequence of array, (false nuclei of that candidate, columns)
    seed : int
    draws : int

    Returns
    -------
    list of array, (draws, columns)
        For each candidate.
    """
    sums = _sums(np.concatenate(true, 1), np.random.default_rng([seed, 0]), draws)
    parts = np.split(sums, len(true), axis=1)
    return [
        part + _sums(own, np.random.default_rng([seed, number]), draws)
        for number, (part, own) in enumerate(zip(parts, false, strict=True), start=1)
    ]


def _sums(columns: NDArray[np.float64], rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
    sums = np.zeros((draws, columns.shape[1]))
    if not len(columns):
        return sums
    step = max(1, _AT_ONCE // len(columns))
    for first in range(0, draws, step):
        some = sums[first : first + step]
        some[:] = rng.poisson(1.0, (len(some), len(columns))) @ columns
    return sums


def interval(draws: NDArray[np.float64]) -> tuple[float, float] | None:
    """Low and high end that hold `CONFIDENCE` of the draws; None where hardly any draw has a value."""
    known = draws[np.isfinite(draws)]
    if 2 * len(known) < len(draws) or not len(known):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, (tail, 1 - tail)).tolist()
    return low, high
