"""One sentence of advice from the rows of a comparison, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_unetsharp.comparison.bootstrap import CONFIDENCE, interval
from napari_unetsharp.comparison.candidate import short_name
from napari_unetsharp.comparison.rows import Row

FEWEST = 20
"""Nuclei of the truth below which nothing is advised."""

TOLERATED = 0.05
"""Share of the nuclei that a faster candidate may lose, at the far end of the interval, to be the one to take."""

AS_GOOD = 0.01
"""Difference of F1 up to which the fuller one of two is what others are measured by."""


@dataclass(frozen=True)
class Loss:
    """How many nuclei fewer one candidate finds than another.

    Attributes
    ----------
    share : float
        Of those that the other finds; below 0 where it finds more.
    low, high : float
        95 %, by paired bootstrap; exact (binomial) where no nucleus tells the two apart.
    """

    share: float
    low: float
    high: float

    @classmethod
    def of(cls, row: Row, other: Row) -> Loss | None:
        """Compare two rows; None where that can't be told. `other` may be what all are compared with."""
        if row.found is None or not (other.true_nuclei if other.found is None else other.found):
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            if other.found is None:
                share, drawn = 1 - row.found / row.true_nuclei, 1 - row.draws["found"]
            else:
                share, drawn = 1 - row.found / other.found, 1 - row.draws["found"] / other.draws["found"]
        ends = interval(drawn)
        if ends is None:
            return None
        if ends == (0.0, 0.0):
            # each nucleus was found by both or by none; how many others could have told them apart is binomial
            most = 1 - float(((1 - CONFIDENCE) / 2) ** (1 / row.true_nuclei))
            return cls(share, 0.0 if other.found is None else -most, most)
        return cls(share, *ends)

    @property
    def words(self) -> str:
        """Such as "1.1 % fewer" or "as many"."""
        return "as many" if round(self.share, 3) == 0 else _side(self.share)

    @property
    def interval_words(self) -> str:
        """Such as "0.2 to 2.4 %", or "0.3 % more to 1.2 % fewer"."""
        if self.low < 0 < self.high or (self.low < 0 and round(self.share, 3) == 0):
            return f"{_side(self.low)} to {_side(self.high)}"
        low, high = sorted((abs(self.low), abs(self.high)))
        return f"{100 * low:.1f} to {100 * high:.1f} %"


def _side(share: float) -> str:
    return f"{100 * abs(share):.1f} % {'fewer' if share > 0 else 'more'}"


def against_words(row: Row) -> str:
    """What a row was compared with, such as "against Corrected, 88 nuclei"."""
    words = f"against {row.against}, {row.true_nuclei:,} {'nucleus' if row.true_nuclei == 1 else 'nuclei'}"
    if row.given:
        return f"{words}, taken for the truth"
    return words if row.corrected else f"{words}: nobody has corrected this"


def advice(rows: Sequence[Row], truth_name: str = "") -> str:
    """Say which candidate to take, in one sentence.

    The fullest of the best by F1 (or what all are compared with, where nobody corrected anything) is set against the
    cheapest candidate that surely loses little, else against the one that loses least. Costs are times where both
    were measured, else counted operations.

    Parameters
    ----------
    rows : sequence of Row
    truth_name : str
        What they were compared with; as in the rows by default.

    Returns
    -------
    str
        Empty where there are no two rows to compare.
    """
    compared = [row for row in rows if row.found is not None]
    if not compared:
        return ""
    count, corrected = compared[0].true_nuclei, compared[0].corrected or compared[0].given
    against = short_name(truth_name or compared[0].against)
    if count < FEWEST:
        kind = "reviewed nuclei" if compared[0].corrected else f"nuclei of {against}"
        return f"Only {count} {kind}: too few to advise, {FEWEST} or more are needed."
    best = _best(rows, compared)
    others = [(row, loss) for row in compared if row is not best and (loss := Loss.of(row, best)) is not None]
    if not others:
        return ""
    row, loss = _named(best, others)
    name, than = short_name(row.name), short_name(best.name)
    if corrected:
        kind = f"nuclei of {against}" if compared[0].given else "reviewed nuclei"
        told = f"On {count:,} {kind} {name} finds {loss.words} than {than}".replace("many than", "many as")
    else:
        told = f"Of the {count:,} nuclei of {against}, {name} misses {100 * loss.share:.1f} %"
    more = " and ".join(words for words in (_false(row, best), _faster(row, best)) if words)
    sentence = f"{told}, 95 % interval {loss.interval_words}" + (f", and {more}" if more else "")
    if not corrected:
        return f"{sentence}; nobody has corrected this, so it is agreement, not quality."
    return f"{sentence}: {name} will do." if _is_fine(row, loss, best) else f"{sentence}: stay with {than}."


def _best(rows: Sequence[Row], compared: list[Row]) -> Row:
    reference = [row for row in rows if row.found is None and not (row.corrected or row.given)]
    if reference:
        return reference[0]
    scores = np.nan_to_num([row.scores["f1_50"] for row in compared])
    as_good = [row for row, score in zip(compared, scores, strict=True) if score >= scores.max() - AS_GOOD]
    return max(as_good, key=lambda row: (row.gflop_per_mpx or 0.0, row.scores["f1_50"]))


def _named(best: Row, others: list[tuple[Row, Loss]]) -> tuple[Row, Loss]:
    cheaper = [(row, loss) for row, loss in others if _times(row, best) > 1]
    fine = [(row, loss) for row, loss in cheaper if _is_fine(row, loss, best)]
    if fine:
        return max(fine, key=lambda pair: _times(pair[0], best))
    return min(cheaper or others, key=lambda pair: pair[1].share)


def _is_fine(row: Row, loss: Loss, best: Row) -> bool:
    """Cheaper, surely loses few nuclei, and isn't sure to invent more than a few."""
    false = _more_false(row, best)
    surely = false[0] if false is not None else 0.0
    return _times(row, best) > 1 and loss.high <= TOLERATED and surely <= TOLERATED * row.true_nuclei


def _times(row: Row, best: Row) -> float:
    """How many times cheaper a row is than the best; 0 where that isn't known."""
    if row.ms_per_mpx and best.ms_per_mpx:
        return best.ms_per_mpx / row.ms_per_mpx
    if row.gflop_per_mpx and best.gflop_per_mpx:
        return best.gflop_per_mpx / row.gflop_per_mpx
    return 0.0


def _faster(row: Row, best: Row) -> str:
    times = _times(row, best)
    if not times:
        return ""
    if row.ms_per_mpx and best.ms_per_mpx:
        return f"runs {times:.1f} times faster" if times >= 1 else f"takes {1 / times:.1f} times as long"
    return (
        f"needs {100 / times:.0f} % of the operations" if times >= 1 else f"needs {1 / times:.1f} times the operations"
    )


def _more_false(row: Row, best: Row) -> tuple[float, float] | None:
    """How many false nuclei more, 95 % interval; None where that can't be told."""
    if row.found is None or best.found is None:
        return None
    return interval(row.draws["false"] - best.draws["false"])


def _false(row: Row, best: Row) -> str:
    """Only said where it is sure."""
    ends = _more_false(row, best)
    if ends is None or ends[0] <= 0 <= ends[1]:
        return ""
    more = (row.false or 0) - (best.false or 0)
    return f"has {abs(more)} {'more' if more > 0 else 'fewer'} false ones"
