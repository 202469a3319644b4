"""Which form of the same arithmetic runs where: a committed table, never a timing at run time.

The same input then gives the same bits. ``benchmarks/forms.py`` measures the forms and writes the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import torch

Form = Literal["upsample", "dense", "banded"]
"""How a map from a row below enters: upsampled, then convolved; or its taps first, then by one matrix or by blocks."""

TABLE = "forms.json"


@dataclass(frozen=True)
class StripForm:
    """How the grid is evaluated in small rectangles.

    Attributes
    ----------
    rows, columns : int
        Of a rectangle; multiples of 16 and 64.
    pairs : bool
        Interpolate columns of an upsampling by 2 neighbour by neighbour, not by small matrices.
    """

    rows: int
    columns: int
    pairs: bool


def link_form(device: str, dtype: torch.dtype, scale: int, factor: int, side: int) -> Form:
    """Form of one link of the grid.

    Parameters
    ----------
    device : str
        Type of the device; one that was never measured runs what the CPU runs.
    dtype : torch.dtype
        As for the device: others run what float32 runs.
    scale : int
        Image pixels per fine pixel.
    factor : int
        2, 4, 8 or 16.
    side : int
        Longest side of the fine map.

    Returns
    -------
    Form
        That of the smallest measured side that is not shorter, or of the longest measured.
    """
    measured = _links()
    name = str(dtype).removeprefix("torch.")
    for key in ((device, name), ("cpu", "float32")):
        sides = measured.get((*key, scale, factor))
        if sides:
            return next((form for limit, form in sides if side <= limit), sides[-1][1])
    return "banded"


def strip_form(dtype: torch.dtype) -> StripForm:
    """Rectangles for a CPU."""
    name = str(dtype).removeprefix("torch.")
    rows = {row["dtype"]: row for row in _table()["strips"]}
    row = rows.get(name, rows["float32"])
    return StripForm(row["rows"], row["columns"], row["pairs"])


@cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files(__package__) / TABLE).read_text(encoding="utf-8"))
    return content


@cache
def _links() -> dict[tuple[str, str, int, int], list[tuple[int, Form]]]:
    found: dict[tuple[str, str, int, int], list[tuple[int, Form]]] = {}
    for row in _table()["links"]:
        key = (row["device"], row["dtype"], row["scale"], row["factor"])
        found.setdefault(key, []).append((row["side"], row["form"]))
    return {key: sorted(sides) for key, sides in found.items()}
