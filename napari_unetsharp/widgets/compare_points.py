"""Which rows of a comparison are points of the plot, and where their labels fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QRectF

from napari_unetsharp.comparison.candidate import AVERAGE
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.network.grid import BRANCHES


@dataclass(frozen=True)
class Point:
    """One row on the plot.

    Attributes
    ----------
    row : Row
    x : float
        GFLOP or milliseconds per Mpx.
    y : float
        The score, 0 to 1.
    low, high : float
        Its 95 % interval; both are `y` where there is none.
    """

    row: Row
    x: float
    y: float
    low: float
    high: float

    @property
    def is_depth(self) -> bool:
        """Whether this is a depth at the image's own resolution, not a coarse view or the average."""
        return self.row.node in BRANCHES and BRANCHES[self.row.node].scale == 1

    @property
    def label(self) -> str:
        """A few letters beside the point."""
        if self.row.node not in BRANCHES:
            return "average" if self.row.node == AVERAGE else self.row.name[:12]
        branch = BRANCHES[self.row.node]
        return f"depth {branch.level}" if branch.scale == 1 else f"1/{branch.scale}"


def points_of(rows: Sequence[Row], score: str) -> tuple[list[Point], bool]:
    """What can be drawn, and whether its times were measured.

    Parameters
    ----------
    rows : sequence of Row
    score : str
        One of `Row.scores`.

    Returns
    -------
    points : list of Point
        Rows that have this score and a speed; what the others are measured against has 1. Milliseconds only where
        all of them were measured: two units don't share an axis.
    measured : bool
    """
    values = {row.name: 1.0 if row.found is None else row.scores.get(score, math.nan) for row in rows}
    known = [row for row in rows if row.gflop_per_mpx is not None and math.isfinite(values[row.name])]
    measured = bool(known) and all(row.ms_per_mpx is not None for row in known)
    points = []
    for row in known:
        across = row.ms_per_mpx if measured else row.gflop_per_mpx
        value = values[row.name]
        low, high = row.intervals.get(score, (value, value))
        points.append(Point(row, float(across or 0), value, low, high))
    return points, measured


def free_place(mark: QRectF, size: tuple[float, float], taken: Sequence[QRectF], frame: QRectF) -> QRectF | None:
    """Where a label fits beside its point.

    Parameters
    ----------
    mark : QRectF
        Around the point and its whisker; the point is in the middle of a whisker, or nearly.
    size : (float, float)
        Width and height of the label.
    taken : sequence of QRectF
        What it can't cover.
    frame : QRectF
        What it can't leave.

    Returns
    -------
    QRectF or None
        To the right of the middle, to the left, above or below; None where it would cover something everywhere.
    """
    (width, height), middle = size, mark.center()
    corners = (
        (mark.right() + 4, middle.y() - height / 2), (mark.left() - 4 - width, middle.y() - height / 2),
        (middle.x() - width / 2, mark.top() - 3 - height), (middle.x() - width / 2, mark.bottom() + 3),
    )  # fmt: skip
    boxes = [QRectF(left, top, width, height) for left, top in corners]
    free = [box for box in boxes if frame.contains(box) and not any(box.intersects(other) for other in taken)]
    return free[0] if free else None
