"""Whether a tuned model is better than its parent: in words, with how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from napari_unetsharp.training.quality import Quality, Tally

SURE = 0.9
"""Share of resampled reviews in which it must be better, to be called so."""
ALLOWED_LOSS = 0.01
"""Loss of score on the check images that still counts as nothing lost."""
_DRAWS = 2000


class Decision(StrEnum):
    """What is advised."""

    KEEP = "keep"
    CHOICE = "your choice"
    DISCARD = "discard"


@dataclass(frozen=True)
class Change:
    """Two models on the same nuclei.

    Attributes
    ----------
    before, after : Quality
    gain : float
        Of `Quality.score`.
    low, high : float
        Interval of 90 % of the gain, if other nuclei like these had been reviewed (bootstrap over nuclei).
    sure : float
        Share of the resampled reviews with a gain above 0.
    """

    before: Quality
    after: Quality
    gain: float
    low: float
    high: float
    sure: float

    @classmethod
    def of(cls, before: list[Tally], after: list[Tally], seed: int = 0) -> Change:
        """Compare; both have the same samples in the same order."""
        old, new = Tally.pooled(before), Tally.pooled(after)
        count = len(old.fit)
        columns = np.zeros((count + old.false + new.false, 4))  # credit and number of found ones, before and after
        columns[:count] = np.stack([old.credit, old.found, new.credit, new.found], 1)
        columns[count : count + old.false, 1] = 1
        columns[count + old.false :, 3] = 1
        true = np.arange(len(columns)) < count
        gains = np.zeros(_DRAWS)
        if len(columns):
            rng = np.random.default_rng(seed)
            for draw in range(_DRAWS):
                rows = rng.integers(0, len(columns), len(columns))
                sums, nuclei = columns[rows].sum(0), int(true[rows].sum())
                gains[draw] = _score(sums[2], nuclei + sums[3]) - _score(sums[0], nuclei + sums[1])
        low, high = np.quantile(gains, (0.05, 0.95)).tolist()
        gain = new.quality().score - old.quality().score
        return cls(old.quality(), new.quality(), gain, low, high, float((gains > 0).mean()))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rounded = {name: round(getattr(self, name), 4) for name in ("gain", "low", "high", "sure")}
        return {"before": self.before.as_dict(), "after": self.after.as_dict(), **rounded}


@dataclass(frozen=True)
class Verdict:
    """What is advised, and why.

    Attributes
    ----------
    decision : Decision
    words : str
        A few sentences for a person.
    aside, everything, check : Change or None
        On nuclei kept aside for testing; on all reviewed nuclei (None where that wasn't measured yet); on check images.
    """

    decision: Decision
    words: str
    aside: Change | None
    everything: Change | None
    check: Change | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        changes = {name: getattr(self, name) for name in ("aside", "everything", "check")}
        return {
            "decision": str(self.decision), "words": self.words,
            **{name: None if change is None else change.as_dict() for name, change in changes.items()},
        }  # fmt: skip


def judge(aside: Change | None, everything: Change | None, check: Change | None) -> Verdict:
    """Better and nothing lost: keep. Better here and worse there, or not surely better: a person's choice.

    Parameters
    ----------
    aside, everything, check : Change or None
        See `Verdict`.

    Returns
    -------
    Verdict
    """
    here = aside or everything
    if here is None:
        return Verdict(Decision.CHOICE, "Nothing could be measured, so this is your choice.", aside, everything, check)
    lost = [
        words
        for change, words, allowed in (
            (check, "on the check images", ALLOWED_LOSS), (everything, "among all that you reviewed", 0.0)
        )
        if change is not None and change.gain < -allowed
    ]  # fmt: skip
    if here.gain <= 0 or here.sure < 0.5:
        decision, advice = Decision.DISCARD, "It isn't better: discard it."
    elif lost:
        decision, advice = Decision.CHOICE, f"Better here, worse {' and '.join(lost)}: your choice."
    elif here.sure < SURE:
        decision, advice = Decision.CHOICE, "Probably better, but too few nuclei tell: your choice."
    elif aside is None:
        decision, advice = Decision.CHOICE, "Better on what it learned from; nothing was kept aside: your choice."
    else:
        decision, advice = Decision.KEEP, "Better, and nothing lost: keep it."
    told = [
        _told(aside, "kept-aside nuclei"),
        _told(everything, "reviewed nuclei"),
        _told(check, "nuclei of the check images"),
    ]
    return Verdict(decision, " ".join([advice, *filter(None, told)]), aside, everything, check)


def _told(change: Change | None, nuclei: str) -> str:
    """One sentence on a comparison."""
    if change is None or not change.before.nuclei:
        return ""
    old, new = change.before, change.after
    parts = [f"{new.found} found (before {old.found})", f"{new.missed} missed ({old.missed})"]
    parts.append(f"{new.false} false ({old.false})")
    if new.fit is not None and old.fit is not None:
        parts.append(f"outlines fit {new.fit:.2f} ({old.fit:.2f}) on the {new.outlines} that were drawn by hand")
    sure = f"better in {change.sure:.0%} of resampled reviews" if change.gain else "no difference"
    return f"Of {new.nuclei} {nuclei}: {', '.join(parts)}; {sure}."


def _score(credit: float, twice: float) -> float:
    return float(2 * credit / twice) if twice else 1.0
