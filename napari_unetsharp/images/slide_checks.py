"""What a slide's own numbers must agree on before its pixels are believed."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unetsharp.errors import ImageError

SMALLEST_UM, LARGEST_UM = 0.005, 100.0
"""µm per pixel that a microscope gives. Beyond lie resolutions for printers: 72 per inch is 353 µm."""

_SLACK = 0.02


def believable(spacing: tuple[float, float] | None, notes: list[str]) -> tuple[float, float] | None:
    """Keep a pixel size that a microscope can have; else None, and a note says what the file states.

    Parameters
    ----------
    spacing : (float, float) or None
        µm per pixel along Y and X.
    notes : list of str
        Gets a sentence where something is odd.
    """
    if spacing is None or not min(spacing) > 0:
        return None
    if not (min(spacing) >= SMALLEST_UM and max(spacing) <= LARGEST_UM):
        notes.append(f"The file states {spacing[1]:g} µm per pixel, which no microscope gives: it was left out.")
        return None
    if max(spacing) > 1.1 * min(spacing):
        notes.append(f"The pixels aren't square: {spacing[1]:g} µm wide and {spacing[0]:g} µm high.")
    return spacing


def same_form(first: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two (Y, X) sides can be sizes of one picture: their ratios agree but for rounding."""
    factor = (first[0] * first[1] / (other[0] * other[1])) ** 0.5
    return all(abs(b - a / factor) <= 2 + _SLACK * b for a, b in zip(first, other, strict=True))


def usable_levels(sides: Sequence[Sequence[int]], source: str, notes: list[str]) -> list[int]:
    """Choose the levels whose sides fit the first and fall.

    Parameters
    ----------
    sides : sequence of (Y, X)
        In pixels, as the file lists its levels.
    source : str
    notes : list of str
        Gets a sentence for each level that is left out.

    Returns
    -------
    list of int
        Places of the levels that can be used; always with the first.

    Raises
    ------
    ImageError
        If most of the others contradict the first: then it's the one that isn't believed.
    """
    kept: list[int] = [0]
    odd: list[int] = []
    for place, side in enumerate(sides[1:], 1):
        smaller = max(side) < max(sides[kept[-1]])
        (kept if smaller and same_form(sides[0], side) else odd).append(place)
    if len(odd) > 1 and len(odd) >= len(kept):
        raise ImageError(
            f"{source} is a pyramid of wrong sizes: {len(odd)} of {len(sides)} levels don't fit the first "
            f"({_named(sides[0])}; {', '.join(_named(sides[place]) for place in odd[:3])}); export the slide again"
        )
    for place in odd:
        turned = same_form(sides[0], sides[place][::-1])
        notes.append(
            f"Level {place} of the file ({_named(sides[place])}) doesn't fit the first ({_named(sides[0])}): it was "
            f"left out.{' One of them has its columns for rows: look whether the picture is whole.' if turned else ''}"
        )
    return kept


def _named(side: Sequence[int]) -> str:
    return f"{side[1]} x {side[0]} pixels"
