"""The nuclei that a block finds in its own window: a function of its maps and the label settings, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.nuclei.label_cut import REACH
from napari_unetsharp.nuclei.label_holes import half_widths, largest_hole
from napari_unetsharp.nuclei.label_pieces import within
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.label_window import border_of, clumps_of, labelled
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.stretches import Runs, find_runs
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.grid import BlockGrid
from napari_unetsharp.slides.nuclei import NucleusRows, rows_of

TOLERANCE = 2
"""Result px by which a block's own box is grown to ask whether a nucleus is its own: neighbours may draw it a bit
differently, and rather both have it than none."""

Maps = Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class PlacedRuns:
    """Stretches of pixels of nuclei along rows, in the result plane.

    Attributes
    ----------
    index : array of int32, (runs,)
        Place of the nucleus, ascending.
    row, start, stop : array of int32, (runs,)
        Columns ``start <= x < stop``.
    """

    index: NDArray[np.int32]
    row: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]

    @classmethod
    def of(cls, labels: NDArray[Any], corner: tuple[int, int]) -> PlacedRuns:
        """Of a label image whose top left is at a place of the plane; nuclei in the order of their ids."""
        return cls.placed(find_runs(labels), corner)

    @classmethod
    def placed(cls, runs: Runs, corner: tuple[int, int]) -> PlacedRuns:
        """Runs of a label image whose top left is at a place of the plane."""
        parts = (runs.index, runs.row + corner[0], runs.start + corner[1], runs.stop + corner[1])
        return cls(*(part.astype(np.int32) for part in parts))

    def only(self, kept: NDArray[np.bool_]) -> PlacedRuns:
        """The runs of some nuclei, by a mask over nuclei; their places stay."""
        chosen = kept[self.index]
        return PlacedRuns(self.index[chosen], self.row[chosen], self.start[chosen], self.stop[chosen])

    def within(self, box: Box) -> PlacedRuns:
        """What of them lies in a box."""
        start, stop = np.maximum(self.start, box.left), np.minimum(self.stop, box.right)
        chosen = (self.row >= box.top) & (self.row < box.bottom) & (start < stop)
        return PlacedRuns(self.index[chosen], self.row[chosen], start[chosen], stop[chosen])

    def draw(self, plane: NDArray[Any], box: Box, values: NDArray[Any] | int) -> None:
        """Write values, one per nucleus or one for all, into the plane of a box."""
        inside = self.within(box)
        length = (inside.stop - inside.start).astype(np.int64)
        places = (inside.row.astype(np.int64) - box.top) * box.shape[1] + inside.start - box.left
        flat = np.repeat(places - (np.cumsum(length) - length), length) + np.arange(int(length.sum()))
        plane.reshape(-1)[flat] = values if isinstance(values, int) else np.repeat(values[inside.index], length)

    @property
    def box(self) -> Box:
        """Around all of them; empty for none."""
        if not len(self.row):
            return Box(0, 0, 0, 0)
        return Box(int(self.row.min()), int(self.start.min()), int(self.row.max()) + 1, int(self.stop.max()))


@dataclass(frozen=True, eq=False)
class BlockNuclei:
    """What a block brings: its own nuclei as it sees them, before those of its neighbours count.

    Attributes
    ----------
    runs : PlacedRuns
    rows : NucleusRows
        With the place of each, from 1, for an id.
    """

    runs: PlacedRuns
    rows: NucleusRows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Those that were cut off by the window, and then cut at the block's own box."""
        return self.rows.columns["cut"]


def find_nuclei(
    maps: Maps, about: RunAbout, grid: BlockGrid, row: int, column: int, settings: LabelSettings
) -> BlockNuclei:
    """Label the window of a block and keep the nuclei that are the block's own.

    A nucleus is its own if its middle lies in the block's own box, grown by `TOLERANCE`; or if it reaches that box and
    the block of its middle doesn't see all of it. What the window itself cuts off is cut at the own box instead.

    Parameters
    ----------
    maps : mapping of str to array of uint8, (Y, X) of the window
        Named as in ``about.maps``: the probability first; "core" and "doubt" where there are such; 255 is 1.
    about : RunAbout
    grid : BlockGrid
    row, column : int
    settings : LabelSettings

    Returns
    -------
    BlockNuclei
    """
    window, own = grid.window(row, column), grid.own(row, column)
    probability = maps[about.maps[0]]
    parts = _parts(probability, maps.get("core"), about, grid, window, settings)
    found = _owned(parts, grid, window, own, max(1, settings.smallest))
    rows = rows_of(found.labels, (window.top, window.left), about)
    count = len(rows)
    means = {name: _mean(found.labels, maps.get(name), count) for name in ("doubt",)}
    rows = rows.with_columns(probability=_mean(found.labels, probability, count), cut=found.cut, **means)
    return BlockNuclei(PlacedRuns.of(found.labels, (window.top, window.left)), rows)


def _parts(
    probability: NDArray[np.uint8], core: NDArray[np.uint8] | None, about: RunAbout, grid: BlockGrid, window: Box,
    settings: LabelSettings,
) -> NDArray[np.int32]:  # fmt: skip
    """Nuclei of the window, of any size, in the order of the places that they grew from."""
    values = probability.astype(np.float32) / 255
    if about.nucleus_size is not None:
        widths = np.array([about.nucleus_size / about.downsample / 2])
    else:
        widths = half_widths(values >= settings.threshold, border=border_of(window, grid.shape)).largest
    clumps = clumps_of(values, window, grid.shape, settings.threshold, largest_hole(widths))
    inner = None if core is None else core.astype(np.float32) / 255
    return labelled(clumps, inner, grid.shape, settings.split).parts


@dataclass(frozen=True, eq=False)
class _Owned:
    """Labels 1..n, (Y, X) of the window, and which of them were cut."""

    labels: NDArray[np.int32]
    cut: NDArray[np.bool_]


def _owned(parts: NDArray[np.int32], grid: BlockGrid, window: Box, own: Box, smallest: int) -> _Owned:
    count = int(parts.max(initial=0))
    boxes = _boxes(parts, count) + (window.top, window.left) * 2
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    centres = _centres(parts, areas, window)
    whole = _sees(window, grid, boxes)
    reaches = _meet(boxes, own)
    inside = own.grown(TOLERANCE, grid.shape)
    mine = (
        (centres[:, 0] >= inside.top - 0.5) & (centres[:, 0] < inside.bottom - 0.5)
        & (centres[:, 1] >= inside.left - 0.5) & (centres[:, 1] < inside.right - 0.5)
    )  # fmt: skip
    for place in np.flatnonzero(whole & reaches & ~mine).tolist():
        elsewhere = grid.window(*grid.at(*(centres[place] + 0.5)))
        mine[place] = not _sees(elsewhere, grid, boxes[place : place + 1])[0]
    kept = whole & mine & (areas >= smallest)
    number = np.append(0, np.where(kept, np.cumsum(kept), 0)).astype(np.int32)
    labels = number[parts]
    total = int(kept.sum())
    pieces = _cut_pieces(parts, np.flatnonzero(~whole & reaches) + 1, within(window, own), smallest)
    for rows, columns, piece in pieces:
        total += 1
        labels[rows, columns][piece] = total
    return _Owned(labels, np.arange(total) >= int(kept.sum()))


def _cut_pieces(
    parts: NDArray[np.int32], numbers: NDArray[np.int64], own: tuple[slice, slice], smallest: int
) -> list[tuple[slice, slice, NDArray[np.bool_]]]:
    """Connected pieces, in the own box, of nuclei that the window cuts off."""
    found = []
    top, left = own[0].start, own[1].start
    boxes = ndimage.find_objects(parts[own]) if len(numbers) else []
    for number in numbers.tolist():
        where = boxes[number - 1] if number <= len(boxes) else None
        if where is None:
            continue
        pieces, count = ndimage.label(parts[own][where] == number)
        rows, columns = (slice(one.start + at, one.stop + at) for one, at in zip(where, (top, left), strict=True))
        areas = np.bincount(pieces.ravel(), minlength=count + 1)
        found += [(rows, columns, pieces == piece) for piece in range(1, count + 1) if areas[piece] >= smallest]
    return found


def _boxes(parts: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Top, left, bottom and right of each part, (n, 4)."""
    found = ndimage.find_objects(parts, count)
    return np.array(
        [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in found], np.int64
    ).reshape(-1, 4)  # fmt: skip


def _centres(parts: NDArray[np.int32], areas: NDArray[np.int64], window: Box) -> NDArray[np.float64]:
    """Mean row and column of each part in the plane, (n, 2)."""
    runs = find_runs(parts)
    length = runs.stop - runs.start
    y = runs.per_nucleus(runs.row * length) / areas
    x = runs.per_nucleus(length * (runs.start + runs.stop - 1)) / (2 * areas)
    return np.stack([y + window.top, x + window.left], axis=1)


def _sees(window: Box, grid: BlockGrid, boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a window sees all of something, and a little beyond it, as it takes to cut it out; (n,)."""
    top, left, bottom, right = border_of(window, grid.shape)
    return np.asarray(
        (top | (boxes[:, 0] >= window.top + REACH)) & (left | (boxes[:, 1] >= window.left + REACH))
        & (bottom | (boxes[:, 2] <= window.bottom - REACH)) & (right | (boxes[:, 3] <= window.right - REACH))
    )  # fmt: skip


def _meet(boxes: NDArray[np.int64], box: Box) -> NDArray[np.bool_]:
    return np.asarray(
        (boxes[:, 0] < box.bottom) & (boxes[:, 2] > box.top) & (boxes[:, 1] < box.right) & (boxes[:, 3] > box.left)
    )


def _mean(labels: NDArray[np.int32], values: NDArray[np.uint8] | None, count: int) -> NDArray[np.float64]:
    """Mean of a map over each nucleus, 0..1; 0 without a map."""
    if values is None:
        return np.zeros(count)
    flat = labels.ravel()
    sums = np.bincount(flat, values.ravel(), count + 1)[1:]
    return np.asarray(sums / np.maximum(1, np.bincount(flat, minlength=count + 1)[1:]) / 255)
