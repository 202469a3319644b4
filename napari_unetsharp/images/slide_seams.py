"""Whether tiles lie beside the ones they were cut from: told by the pixels at their borders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.slide_level import Tiles

_TILES = 8
_CLEARLY, _HARDLY = 2.0, 1.5
_LEAST = 3.0


def check_order(levels: Sequence[Tiles], source: str) -> None:
    """Refuse a slide whose tiles only join if the columns and rows of its header change places.

    Parameters
    ----------
    levels : sequence of Tiles
        Stored row by row in tiles of ``tile``; the largest is looked at, and the smallest that can tell.
    source : str
        For the message.

    Raises
    ------
    ImageError
    """
    able = [tiles for tiles in levels if min(_grid(tiles)) > 1 and len(set(_grid(tiles))) > 1]
    for tiles in able[:1] + able[1:][-1:]:
        try:
            found = _order(tiles)
        except Exception:  # a damaged tile: told when it is asked for
            continue
        if found == "turned":
            height, width = tiles.shape[-3:-1]
            raise ImageError(
                f"{source} declares {width} x {height} pixels, but its tiles only join if columns and rows change "
                "places: its columns stand for rows, so export it again"
            )


def _grid(tiles: Tiles) -> tuple[int, int]:
    return ceil(tiles.shape[-3] / tiles.tile[0]), ceil(tiles.shape[-2] / tiles.tile[1])


def _order(tiles: Tiles) -> Literal["fit", "turned", "unknown"]:
    rows, columns = _grid(tiles)
    plane = (0,) * (len(tiles.shape) - 3)
    return seams(lambda number: tiles.read(plane, 0, *divmod(number, columns)), rows, columns)


def seams(frame: Callable[[int], NDArray[Any]], rows: int, columns: int) -> Literal["fit", "turned", "unknown"]:
    """Compare the step over the lower border of tiles under two beliefs about how many tiles a row has.

    Parameters
    ----------
    frame : callable
        Decodes a tile by its number, row by row: (Y, X, C).
    rows, columns : int
        Of tiles, as declared.

    Returns
    -------
    "fit", "turned" or "unknown"
        "turned" where the tiles join clearly better if rows and columns change places.
    """
    if rows == columns or min(rows, columns) < 2:
        return "unknown"
    last = rows * columns - 1 - max(rows, columns)
    chosen = np.unique(np.linspace(0, last, _TILES).astype(int)).tolist()
    uppers = {number: frame(number) for number in chosen}
    as_declared = _join([(upper, frame(number + columns)) for number, upper in uppers.items()])
    as_turned = _join([(upper, frame(number + rows)) for number, upper in uppers.items()])
    if as_declared == "broken" and as_turned == "joined":
        return "turned"
    return "fit" if as_declared == "joined" and as_turned == "broken" else "unknown"


def _join(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> Literal["joined", "broken", "unknown"]:
    """Tell whether the step over the border is like the steps within the tiles beside it."""
    whole = [(upper, lower) for upper, lower in pairs if len(upper) > 1 and len(lower) > 1]
    if not whole:
        return "unknown"
    over, within = np.mean([_steps(upper, lower) for upper, lower in whole], axis=0)
    if over > _CLEARLY * within and over - within > _LEAST:
        return "broken"
    return "joined" if over < _HARDLY * within + _LEAST / 2 else "unknown"


def _steps(upper: NDArray[Any], lower: NDArray[Any]) -> tuple[float, float]:
    """Mean step over a border, and beside it within the tiles, in 1/255 of the range."""
    width = min(upper.shape[1], lower.shape[1])  # those at the right border are narrower
    lines = [line[:width].astype(np.float64) for line in (upper[-2], upper[-1], lower[0], lower[1])]
    top = 255.0 if upper.dtype == np.uint8 else float(max(upper.max(), lower.max(), 1))
    steps = [float(np.abs(one - other).mean()) * 255 / top for one, other in pairwise(lines)]
    return steps[1], (steps[0] + steps[2]) / 2
