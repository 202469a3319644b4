"""What is put into numbers, and the worker that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.rows import Row, rows
from napari_unetsharp.widgets.compare_cost import Pass, counted_costs


@dataclass(frozen=True, eq=False)
class Wish:
    """What is to be put into numbers.

    Attributes
    ----------
    candidates : list of Candidate
    truth : Candidate
        What they are measured against.
    spacing_um : tuple of float or None
        Height and width of a pixel in micrometres.
    picture : callable
        Gives the tissue, array of uint8, (Y, X, 3).
    passes : dict of str to Pass
        What each needs, by name.
    settings : dict
        For the report.
    """

    candidates: list[Candidate]
    truth: Candidate
    spacing_um: tuple[float, float] | None
    picture: Callable[[], NDArray[np.uint8]]
    passes: dict[str, Pass] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def row_steps(wish: Wish, stop: Callable[[], bool]) -> Iterator[list[Row]]:
    """All rows with what was counted of their costs, for a worker."""
    yield rows(wish.candidates, wish.truth, wish.spacing_um, counted_costs(wish.passes))
