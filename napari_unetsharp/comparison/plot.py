"""Quality against what it costs: a point per depth and model (Qian et al., *UNet#*, Fig. 7, for one's own image)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from napari_unetsharp.comparison.candidate import short_name
from napari_unetsharp.comparison.rows import Row

WIDTH, HEIGHT = 680, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 20, 56
_SIZE = 13
_SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""One colour per model; Okabe and Ito."""

INK, FAINT = "ink", "faint"
"""Colours that follow the theme."""


@dataclass(frozen=True)
class Mark:
    """Something to be drawn, in pixels from the top left.

    Attributes
    ----------
    kind : "line", "dot" or "text"
    x, y : float
        Begin of a line, middle of a dot, begin of the text's baseline.
    colour : str
        `INK`, `FAINT` or #RRGGBB.
    to : tuple of float
        End of a line.
    text : str
        Of a text; said when the pointer rests on a dot.
    anchor : "start", "middle" or "end"
        Which part of a text lies at (x, y).
    upright : bool
        A text that runs upwards.
    """

    kind: str
    x: float
    y: float
    colour: str = INK
    to: tuple[float, float] = (0.0, 0.0)
    text: str = ""
    anchor: str = "start"
    upright: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis: values from low to high, on pixels from first to last; logarithmic or not."""

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Pixel of a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.first + (value - low) / (high - low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round values within: 1, 2, 5 times powers of ten, or equal steps of such."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [step * 10.0**power for power in powers for step in (1, 2, 5)
                    if self.low <= step * 10.0**power <= self.high]  # fmt: skip
        rough = (self.high - self.low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        count = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [number * step for number in count]


def plot_marks(rows: Sequence[Row], score: str = "f1_50", title: str = "F1@0.5") -> list[Mark]:
    """What to draw.

    Parameters
    ----------
    rows : sequence of Row
    score : str
        One of `SCORES`.
    title : str
        Of the upright axis.

    Returns
    -------
    list of Mark
        On `WIDTH` x `HEIGHT` pixels; empty without a row that has both a score and a cost. Costs are times where all
        of them were measured, else counted operations.
    """
    shown = [row for row in rows if row.gflop_per_mpx and not math.isnan(row.scores.get(score, math.nan))]
    if not shown:
        return []
    timed = all(row.ms_per_mpx for row in shown)
    costs = [float((row.ms_per_mpx if timed else row.gflop_per_mpx) or 1.0) for row in shown]
    ends = [row.intervals.get(score, (row.scores[score],) * 2) for row in shown]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    room = max(0.02, 0.08 * (high - low))
    across = Axis(min(costs) / 1.25, max(costs) * 1.6, _LEFT, WIDTH - _RIGHT, True)
    up = Axis(max(0.0, low - room), min(1.0, high + room), HEIGHT - _BOTTOM, _TOP)
    words = "ms per Mpx, measured" if timed else "GFLOP per Mpx, counted (speed wasn't measured)"
    return [*_frame(across, up, f"{words}, logarithmic", title), *_points(shown, costs, ends, across, up, score)]


def _frame(across: Axis, up: Axis, below: str, beside: str) -> list[Mark]:
    marks = []
    for value in up.ticks():
        y = up.at(value)
        marks.append(Mark("line", _LEFT, y, FAINT, (WIDTH - _RIGHT, y)))
        marks.append(Mark("text", _LEFT - 8, y + _SIZE / 3, text=f"{value:.3g}", anchor="end"))
    for value in across.ticks():
        x = across.at(value)
        marks.append(Mark("line", x, up.first, INK, (x, up.first + 5)))
        marks.append(Mark("text", x, up.first + 20, text=f"{value:,.4g}", anchor="middle"))
    marks.append(Mark("line", _LEFT, up.first, INK, (WIDTH - _RIGHT, up.first)))
    marks.append(Mark("text", (_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 12, text=below, anchor="middle"))
    marks.append(Mark("text", 16, (up.first + up.last) / 2, text=beside, anchor="middle", upright=True))
    return marks


def _points(
    rows: Sequence[Row], costs: Sequence[float], ends: Sequence[tuple[float, float]], across: Axis, up: Axis, score: str
) -> list[Mark]:  # fmt: skip
    models = list(dict.fromkeys(row.model for row in rows))
    lines, dots, texts = [], [], []
    taken: list[tuple[float, float, float, float]] = []
    places = [(across.at(cost), up.at(row.scores[score])) for row, cost in zip(rows, costs, strict=True)]
    for model in models:
        way = sorted(place for row, place in zip(rows, places, strict=True) if row.model == model)
        colour = _SERIES[models.index(model) % len(_SERIES)]
        for one, other in pairwise(way):
            lines.append(Mark("line", *one, colour, other))
            taken += [(x - 2, y - 2, x + 2, y + 2) for x, y in _along(one, other)]
    taken += [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    taken += [(x - 4, up.at(high), x + 4, up.at(low)) for (x, _), (low, high) in zip(places, ends, strict=True)]
    for row, (x, y), (low, high) in zip(rows, places, ends, strict=True):
        colour = _SERIES[models.index(row.model) % len(_SERIES)]
        for end in (low, high):
            lines.append(Mark("line", x - 4, up.at(end), colour, (x + 4, up.at(end))))
        lines.append(Mark("line", x, up.at(low), colour, (x, up.at(high))))
        words = f"{row.name}: {row.scores[score]:.3f} ({low:.3f} to {high:.3f})"
        dots.append(Mark("dot", x, y, colour, text=words))
        texts.append(_label(short_name(row.name), x, y, taken))
    return [*lines, *dots, *texts]


def _along(one: tuple[float, float], other: tuple[float, float]) -> list[tuple[float, float]]:
    """Points on a line, so close that no text fits between two."""
    count = int(math.hypot(other[0] - one[0], other[1] - one[1]) / 8) + 1
    return [
        (one[0] + (other[0] - one[0]) * part / count, one[1] + (other[1] - one[1]) * part / count)
        for part in range(1, count)
    ]


def _label(words: str, x: float, y: float, taken: list[tuple[float, float, float, float]]) -> Mark:
    """Beside a point, where nothing else is; below it to the right if everything is taken."""
    width = 0.56 * _SIZE * len(words)
    for dx, dy, anchor in ((9, -6, "start"), (9, 16, "start"), (-9, -6, "end"), (-9, 16, "end"), (9, 32, "start")):
        left = x + dx if anchor == "start" else x + dx - width
        box = (left, y + dy - _SIZE, left + width, y + dy + 3)
        free = all(box[0] >= other[2] or other[0] >= box[2] or box[1] >= other[3] or other[1] >= box[3]
                   for other in taken)  # fmt: skip
        if free and left >= _LEFT and left + width <= WIDTH:
            break
    taken.append(box)
    return Mark("text", x + dx, y + dy, text=words, anchor=anchor)
