"""How doubtful each nucleus is, and why, in words.

The doubt is a fixed combination of the evidence: a logistic regression whose weights are all 0 or above, fitted once
on training images (benchmarks/fit_doubt.py) and shifted so that no evidence gives exactly no doubt. Each kind of
evidence has one weight up to its knot and another beyond.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetsharp.nuclei.doubt_weights import BIAS, KNOTS, TYPICAL, WEIGHTS, WEIGHTS_BEYOND
from napari_unetsharp.nuclei.evidence import TERMS, Evidence

ONE_SIDED = 0.25
"""How far from its centre, in radii, the views' disagreement about a nucleus must lie to be on one side."""

LITTLE = 0.05
"""What a kind of evidence must add to the logit of the doubt, beyond the usual, to be named."""


def weighed(terms: ArrayLike) -> NDArray[np.float64]:
    """What each kind of evidence adds to the logit of the doubt, (n, len(TERMS)), 0 or above."""
    low, high, knots = (
        np.array([values[name] for name in TERMS]) for values in (WEIGHTS, WEIGHTS_BEYOND, KNOTS)
    )  # fmt: skip
    values = np.asarray(terms, np.float64).reshape(-1, len(TERMS))
    return np.asarray(np.minimum(values, knots) * low + np.maximum(values - knots, 0) * high)


def combined(terms: ArrayLike) -> NDArray[np.float64]:
    """Doubt from evidence.

    Parameters
    ----------
    terms : array, (n, len(TERMS))
        0 or above; see `Evidence.terms`.

    Returns
    -------
    array of float64, (n,)
        0 where every term is 0, towards 1. On images like those of the fit, about the chance that the nucleus
        matches no true one with an IoU of a half.
    """
    sigmoid = 1 / (1 + np.exp(-(BIAS + weighed(terms).sum(axis=1))))
    least = 1 / (1 + np.exp(-BIAS))
    return np.asarray(np.clip((sigmoid - least) / (1 - least), 0, 1))


def doubts(evidence: Evidence) -> NDArray[np.float64]:
    """Doubt of each nucleus, (n,), 0..1."""
    return combined(evidence.terms)


def strongest(terms: ArrayLike) -> NDArray[np.int64]:
    """The kind of evidence that adds most beyond the usual.

    Parameters
    ----------
    terms : array, (n, len(TERMS))

    Returns
    -------
    array of int64, (n,)
        Place in `TERMS`, or -1 where nothing adds as much as `LITTLE`.
    """
    added = weighed(terms) - weighed([TYPICAL[name] for name in TERMS])
    return np.asarray(np.where(added.max(axis=1) >= LITTLE, np.argmax(added, axis=1), -1))


def reasons(evidence: Evidence) -> list[str]:
    """Why each nucleus is doubtful, or that little speaks against it; in words, without a full stop."""
    return [_words(evidence, index, term) for index, term in enumerate(strongest(evidence.terms).tolist())]


def reason(evidence: Evidence, index: int) -> str:
    """Why one nucleus is doubtful; `index` is its place in the evidence."""
    return _words(evidence, index, int(strongest(evidence.terms[index])[0]))


def _words(evidence: Evidence, index: int, term: int) -> str:
    if term < 0:
        return "little speaks against it"
    written: dict[str, Callable[[], str]] = {
        "faint": lambda: f"faint: {round(100 * (1 - evidence.terms[index, TERMS.index('faint')]))} % sure",
        "unstable": lambda: "its edge is unsure",
        "depths": lambda: _depths(evidence, index),
        "shallow": lambda: _depths(evidence, index),
        "views": lambda: f"the views disagree {_side(evidence.sides[index])}",
        "small": lambda: "much smaller than the others",
        "large": lambda: "much larger than the others: maybe more than one",
        "shape": lambda: "an unusual shape",
        "centres": lambda: "two centres: maybe two nuclei",
        "parts": lambda: "other depths see more than one nucleus here",
        "joined": lambda: "maybe one with its neighbour",
    }
    return written[TERMS[term]]()


def _depths(evidence: Evidence, index: int) -> str:
    blind = [level for level, seen in evidence.seen.items() if not seen[index]]
    if not blind:
        return "its outline moves from depth to depth"
    if len(blind) == len(evidence.seen):
        return "no other depth sees it"
    return f"depth {listed([str(level) for level in blind])} {'does' if len(blind) == 1 else 'do'} not see it"


def listed(words: list[str]) -> str:
    """Words in a row: "1", "1 and 2", "1, 2 and 3"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _side(side: NDArray[np.float64]) -> str:
    """Where the disagreement lies; `side` is down and right, in radii."""
    down, right = float(side[0]), float(side[1])
    if max(abs(down), abs(right)) < ONE_SIDED:
        return "about it"
    if abs(right) >= abs(down):
        return "on its right edge" if right > 0 else "on its left edge"
    return "on its lower edge" if down > 0 else "on its upper edge"
