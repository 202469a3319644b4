"""Which block comes next: what is in view first, then the nearest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.grid import BlockGrid


def next_block(
    grid: BlockGrid, pending: NDArray[np.bool_], ready: NDArray[np.bool_], view: Box | None
) -> tuple[int, int] | None:
    """Choose a block.

    Blocks in view come before all others; of both, those that are ready before those that need the network; then the
    one whose middle is nearest to the middle of the view. Without a view they come row by row.

    Parameters
    ----------
    grid : BlockGrid
    pending : array of bool, (rows, columns)
        Blocks to choose from.
    ready : array of bool, (rows, columns)
        Blocks whose maps are there, and lack but their labels.
    view : Box, optional
        On screen, in pixels of the result.

    Returns
    -------
    (int, int) or None
        Row and column; None if no block is pending.
    """
    rows, columns = np.nonzero(pending)
    if not len(rows):
        return None
    waits = ~ready[rows, columns]
    if view is None:
        best = int(np.argmin(waits))  # the first of the smallest
        return int(rows[best]), int(columns[best])
    (tops, bottoms), (lefts, rights) = _edges(rows, grid, 0), _edges(columns, grid, 1)
    hidden = (tops >= view.bottom) | (bottoms <= view.top) | (lefts >= view.right) | (rights <= view.left)
    down, right = tops + bottoms - view.top - view.bottom, lefts + rights - view.left - view.right
    best = int(np.lexsort((down**2 + right**2, waits, hidden))[0])
    return int(rows[best]), int(columns[best])


def _edges(places: NDArray[np.intp], grid: BlockGrid, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel of each block along an axis, and one past its last."""
    first = places.astype(np.int64) * grid.side
    return first, np.minimum(first + grid.side, grid.shape[axis])
