"""Colours of what is compared: of each set of nuclei, and of each kind of difference."""

from __future__ import annotations

from typing import Any

from napari.utils.colormaps import DirectLabelColormap

from napari_unetsharp.comparison.difference import COLOURS, Kind
from napari_unetsharp.widgets.compare_drawn import EDGE, INSIDE, RIM

LETTERS = "ABCD"
PANE_COLOURS = {"A": "#56B4E9", "B": "#E69F00", "C": "#F0E442", "D": "#FFFFFF"}
"""Of the outlines; tested on H&E, IHC and dark tissue, with normal and colour-blind eyes."""

FILLED = 0.3
"""How opaque nuclei are inside, where they are filled."""

VEILS = {Kind.BOTH: (0.15, 0.6)}
"""How opaque a kind of difference is inside and at its edge, where it isn't `VEIL`."""

VEIL = (0.45, 1.0)


def pane_colours(letter: str, filled: bool) -> DirectLabelColormap:
    """Edges in the colour of a pane, and the inside clear or tinted."""
    colour = _rgb(PANE_COLOURS[letter])
    inside = (*colour, FILLED if filled else 0.0)
    return DirectLabelColormap(
        color_dict={None: (0, 0, 0, 0), 0: (0, 0, 0, 0), EDGE: (*colour, 1.0), INSIDE: inside}
    )  # fmt: skip


def difference_colours(shown: frozenset[Kind]) -> DirectLabelColormap:
    """Colours of the kinds of difference that are shown."""
    colours: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
    for kind, colour in COLOURS.items():
        veils = VEILS.get(kind, VEIL) if kind in shown else (0.0, 0.0)
        colours[int(kind)], colours[int(kind) + RIM] = ((*_rgb(colour), veil) for veil in veils)
    return DirectLabelColormap(color_dict=colours)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue
