"""Pictures for the report: tissue with outlines, coloured by how nuclei match; differences; close-ups."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.difference import COLOURS, Difference, Kind
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.nuclei.pixels import Box

LONGEST = 900
"""Longest side of a pane in pixels; larger pictures are made smaller."""

CLOSE_UPS = 6
_CLOSE_SIDE = 96
"""Least side of a close-up, in pixels of the image."""
_CLOSE_SHOWN = 192
"""Its least side in the report."""

_DARK = 110
"""Mean value of a picture below which matched nuclei are outlined in yellow, not black."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One image of a report.

    Attributes
    ----------
    name : str
    picture : array of uint8, (Y, X, 3)
    candidates : sequence of Candidate
        With what they are compared with among them.
    rows : sequence of Row
        Of this image, with their stories.
    differences : dict of (str, str) to Difference
        By names of A and B.
    """

    name: str
    picture: NDArray[np.uint8]
    candidates: Sequence[Candidate]
    rows: Sequence[Row]
    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)

    def row_of(self, candidate: Candidate) -> Row | None:
        """The row of a candidate; None where it has none."""
        return next((row for row in self.rows if row.name == candidate.name), None)


def as_picture(plane: NDArray[Any]) -> NDArray[np.uint8]:
    """A plane as it is shown: 8 bits as they are unless all is dark, others from their 0.2 to 99.8 percentile.

    Parameters
    ----------
    plane : array, (Y, X) or (Y, X, C)

    Returns
    -------
    array of uint8, (Y, X, 3)
        The first three channels, or the first one in grey.
    """
    plane = plane if plane.ndim == 3 else plane[..., np.newaxis]
    plane = plane[..., :3] if plane.shape[-1] >= 3 else np.repeat(plane[..., :1], 3, -1)
    if plane.dtype == np.uint8 and np.percentile(plane, 99.8) >= 128:
        return np.ascontiguousarray(plane)
    values = plane.astype(np.float32)
    low, high = np.percentile(values, (0.2, 99.8))
    scaled = (values - low) / max(float(high - low), 1e-9) * 255
    return np.ascontiguousarray(np.clip(scaled, 0, 255).astype(np.uint8))


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return file.getvalue()


def outlined(shown: Shown, candidate: Candidate, truth: Candidate | None, box: Box | None = None) -> NDArray[np.uint8]:
    """Tissue with outlines in the colours of `Kind`: A is the truth, B the candidate.

    Parameters
    ----------
    shown : Shown
    candidate : Candidate
    truth : Candidate, optional
        Its missed nuclei are drawn as well.
    box : Box, optional
        A close-up, enlarged; the whole picture by default, made smaller if it is large.

    Returns
    -------
    array of uint8, (Y, X, 3)
    """
    box, close = box or Box(0, 0, *candidate.labels.shape), box is not None
    places, canvas = _places(box, close), plain(shown, box if close else None)
    row = shown.row_of(candidate)
    kinds = _kinds_of(row, candidate is truth)
    if truth is not None and candidate is not truth and row is not None:
        missed = _ids(row, "missed", 0)
        _draw(canvas, truth.labels, places, dict.fromkeys(missed, Kind.ONLY_A), Kind.NONE)
    _draw(canvas, candidate.labels, places, kinds, Kind.BOTH)
    return canvas


def plain(shown: Shown, box: Box | None = None) -> NDArray[np.uint8]:
    """The tissue alone, of the same size as `outlined` makes it."""
    if box is None:
        return shown.picture[np.ix_(*_places(Box(0, 0, *shown.picture.shape[:2]), False))].copy()
    rows, columns = _places(box, True)
    crop = Image.fromarray(np.ascontiguousarray(shown.picture[box.slices]))
    return np.array(crop.resize((len(columns), len(rows)), Image.Resampling.BICUBIC))


def coloured(shown: Shown, difference: Difference) -> NDArray[np.uint8]:
    """The difference over grey tissue."""
    places = _places(Box(0, 0, *difference.codes.shape), False)
    grey = shown.picture[np.ix_(*places)].mean(-1, keepdims=True)
    codes = difference.codes[np.ix_(*places)]
    table = np.array([[0, 0, 0], *(_rgb(COLOURS[kind]) for kind in Kind if kind)], np.float64)
    weight = np.where(codes > 0, 0.65, 0.0)[..., np.newaxis]
    return np.asarray(((1 - weight) * grey + weight * table[codes]).astype(np.uint8))


def close_ups(shown: Shown, count: int = CLOSE_UPS) -> list[Box]:
    """Where the candidates differ most: squares that don't overlap, of the same side.

    Parameters
    ----------
    shown : Shown
    count : int
        How many at most.

    Returns
    -------
    list of Box
        The place with the most nuclei that differ first; from the top left among equals.
    """
    items = [item for row in shown.rows for name, some in row.stories.items() if name != "found" for item in some]
    if not items:
        return []
    boxes = np.array([item.box for item in items])
    shape = shown.picture.shape[:2]
    typical = float(np.median(np.sqrt([max(1, item.area) for item in items])))
    side = min(int(max(_CLOSE_SIDE, 5 * typical)), *shape)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    chosen: list[Box] = []
    left = np.ones(len(items), bool)
    while left.any() and len(chosen) < count:
        cells = np.floor(centres[left] / side).astype(int)
        unique, counts = np.unique(cells, axis=0, return_counts=True)
        best = int(np.argmax(counts))
        middle = centres[left][(cells == unique[best]).all(1)].mean(0)
        top, first_column = (
            int(np.clip(round(at - side / 2), 0, length - side)) for at, length in zip(middle, shape, strict=True)
        )
        box = Box(top, first_column, top + side, first_column + side)
        if not any(box.meets(other) for other in chosen):
            chosen.append(box)
        left[np.flatnonzero(left)[(cells == unique[best]).all(1)]] = False
    return chosen


def _places(box: Box, enlarged: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the image that are shown, one per pixel of the pane."""
    factor = -(-_CLOSE_SHOWN // max(1, min(box.shape))) if enlarged else min(1.0, LONGEST / max(box.shape))
    found = []
    for start, side in zip((box.top, box.left), box.shape, strict=True):
        steps = (np.arange(max(1, round(side * factor))) + 0.5) / factor
        found.append(start + np.minimum(steps.astype(np.int64), side - 1))
    return found[0], found[1]


def _kinds_of(row: Row | None, is_truth: bool) -> dict[int, Kind]:
    """Colours of a candidate's own nuclei; all others are BOTH."""
    if row is None or is_truth:
        return {}
    kinds = dict.fromkeys(_ids(row, "false", 1), Kind.ONLY_B)
    kinds |= dict.fromkeys(_ids(row, "split", 1), Kind.SPLIT)
    return kinds | dict.fromkeys(_ids(row, "joined", 1), Kind.JOINED)


def _ids(row: Row, story: str, side: int) -> Iterable[int]:
    return (id_ for item in row.stories.get(story, ()) for id_ in (item.ids_a, item.ids_b)[side])


def _draw(
    canvas: NDArray[np.uint8], labels: NDArray[Any], places: tuple[NDArray[np.int64], NDArray[np.int64]],
    kinds: dict[int, Kind], other: Kind,
) -> None:  # fmt: skip
    """Outlines of two pixels, inside the nuclei; those that match are black on bright tissue and yellow on dark."""
    seen = labels[np.ix_(*places)]
    ids, numbers = np.unique(seen, return_inverse=True)
    numbers = numbers.reshape(seen.shape)
    edge = np.zeros(seen.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            edge |= np.roll(numbers, step, axis) != numbers
    for axis in (0, 1):
        edge[(slice(None),) * axis + ([0, -1],)] = False
    thick = edge.copy()
    for axis in (0, 1):
        for step in (1, -1):
            same = np.roll(numbers, step, axis) == numbers
            thick |= np.roll(edge, step, axis) & same
    dark = canvas.mean() < _DARK
    colours = COLOURS | {Kind.NONE: "#000000", Kind.BOTH: "#F0E442" if dark else "#000000"}
    table = np.array([_rgb(colours[kind]) for kind in Kind], np.uint8)
    codes = np.array([kinds.get(int(id_), other) if id_ > 0 else Kind.NONE for id_ in ids])[numbers]
    drawn = thick & (codes > 0)
    canvas[drawn] = table[codes[drawn]]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
