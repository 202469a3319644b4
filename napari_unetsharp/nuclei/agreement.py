"""A blinded second reading of a random tenth, and how far two readings agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from napari_unetsharp.nuclei.matching import match_nuclei
from napari_unetsharp.nuclei.order import random_order
from napari_unetsharp.nuclei.states import State

TENTH = 0.1

CONFIDENCE = 0.95

ACCEPTED = (State.RIGHT, State.CHANGED)
"""States that say "this is a nucleus"."""


@dataclass(frozen=True)
class Agreement:
    """Two readings of the same nuclei.

    Attributes
    ----------
    read : int
        Nuclei that both readings judged.
    same : int
        With the same verdict: a nucleus, not one, can't tell.
    kappa : float
        Cohen's kappa of the verdicts, -1..1; NaN where both gave one and the same verdict throughout, which leaves
        no chance to correct for.
    f1 : float
        Of the nuclei that the readings accepted, matched from an IoU of 0.5 on; NaN where neither accepted any.
    """

    read: int
    same: int
    kappa: float
    f1: float

    @property
    def interval(self) -> tuple[float, float]:
        """Share of same verdicts among all nuclei that could have been drawn, low and high; 0 and 1 where none was.

        Exact (Clopper and Pearson, *Biometrika* 26, 1934), so it holds the true share with at least `CONFIDENCE`.
        """
        tail, other = (1 - CONFIDENCE) / 2, self.read - self.same
        low = float(beta.ppf(tail, self.same, other + 1)) if self.same else 0.0
        high = float(beta.ppf(1 - tail, self.same + 1, other)) if other else 1.0
        return low, high

    @property
    def words(self) -> str:
        """Such as "40 read twice, 38 with the same verdict (95 %, 83 % to 99 %; kappa 0.81); outlines F1 0.97"."""
        if self.read == 0:
            return "Nothing was read twice yet."
        low, high = self.interval
        share = f"{self.same / self.read:.0%}, {low:.0%} to {high:.0%}".replace("%", " %")
        kappa = "kappa undefined: one verdict only" if np.isnan(self.kappa) else f"kappa {self.kappa:.2f}"
        outlines = "" if np.isnan(self.f1) else f"; outlines F1 {self.f1:.2f}"
        return f"{self.read} read twice, {self.same} with the same verdict ({share}; {kappa}){outlines}"


def second_reading(ids: ArrayLike, seed: int, share: float = TENTH) -> NDArray[np.int64]:
    """Nuclei to be read again, in random order, so that neither doubt nor place tells anything.

    Parameters
    ----------
    ids : array of int, (n,)
        Nuclei that have a verdict.
    seed : int
    share : float
        0..1; rounded up.

    Returns
    -------
    array of int64, (ceil(share * n),)
        Show them without the first reading's state and outline.
    """
    every = np.asarray(ids, np.int64)
    wanted = int(np.ceil(share * len(every) - 1e-9))
    return every[random_order(every, seed)][:wanted]


def verdict(state: State) -> str:
    """What a state says: "nucleus", "not", "unsure", or empty for to do."""
    if state in ACCEPTED:
        return "nucleus"
    return {State.NOT: "not", State.UNSURE: "unsure"}.get(state, "")


def cohens_kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Agreement of two raters beyond chance (Cohen, *Educ. Psychol. Meas.* 20, 1960).

    Parameters
    ----------
    first, second : array of str or int, (n,)
        Verdicts on the same things.

    Returns
    -------
    float
        (observed - expected) / (1 - expected); NaN where that is 0 / 0, or n is 0.
    """
    one, other = np.asarray(first), np.asarray(second)
    if len(one) == 0:
        return float("nan")
    kinds, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    table = np.zeros((len(kinds), len(kinds)))
    np.add.at(table, (codes[: len(one)], codes[len(one) :]), 1 / len(one))
    observed, expected = np.trace(table), float(table.sum(0) @ table.sum(1))
    return float("nan") if len(kinds) == 1 else float((observed - expected) / (1 - expected))


def agreement(
    first: Mapping[int, State], second: Mapping[int, State],
    first_labels: NDArray[Any], second_labels: NDArray[Any],
) -> Agreement:  # fmt: skip
    """Compare two readings.

    Parameters
    ----------
    first, second : mapping of int to State
        By nucleus; those that only one reading judged are left out.
    first_labels, second_labels : array of int, (Y, X)
        Outlines of each reading, with the same ids.

    Returns
    -------
    Agreement
    """
    both = first.keys() & second.keys()
    read = sorted(number for number in both if verdict(first[number]) and verdict(second[number]))
    one = [verdict(first[number]) for number in read]
    other = [verdict(second[number]) for number in read]
    matching = match_nuclei(_accepted(first_labels, read, one), _accepted(second_labels, read, other))
    accepted = len(matching.true_ids) + len(matching.found_ids)
    f1 = 2 * len(matching.matches()) / accepted if accepted else float("nan")
    same = sum(mine == theirs for mine, theirs in zip(one, other, strict=True))
    return Agreement(len(read), same, cohens_kappa(one, other), f1)


def _accepted(labels: NDArray[Any], read: list[int], verdicts: list[str]) -> NDArray[Any]:
    """Labels of the nuclei that were read and accepted; 0 elsewhere."""
    kept = [number for number, given in zip(read, verdicts, strict=True) if given == "nucleus"]
    return np.asarray(np.where(np.isin(labels, kept), labels, 0))
