"""Label images as runs along the rows: what outlines, measures and filling are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unetsharp.errors import ShapeError

_ROWS_AT_ONCE = 1 << 24
"""Pixels looked at in one go, so that what is needed besides the label image stays small."""


@dataclass(frozen=True)
class Runs:
    """Stretches of equal label along rows, sorted by nucleus, then row, then column.

    Attributes
    ----------
    ids : array of int64, (nuclei,)
        Labels above 0 that occur, ascending.
    index : array of int64, (runs,)
        Place in `ids` of each run.
    row, start, stop : array of int64, (runs,)
        The run covers columns ``start <= x < stop`` of its row.
    shape : tuple of int
        (Y, X) of the label image.
    """

    ids: NDArray[np.int64]
    index: NDArray[np.int64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    shape: tuple[int, int]

    @property
    def first(self) -> NDArray[np.int64]:
        """Place of each nucleus' first run, (nuclei,): what ``np.add.reduceat`` takes."""
        return np.searchsorted(self.index, np.arange(len(self.ids)))

    def per_nucleus(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum of a value per run over the runs of each nucleus.

        Parameters
        ----------
        values : array, (runs,)

        Returns
        -------
        array, (nuclei,), same dtype
        """
        return np.add.reduceat(values, self.first) if len(self.ids) else values[:0]


def find_runs(labels: NDArray[Any]) -> Runs:
    """Find the runs of a label image.

    Parameters
    ----------
    labels : array of int, (Y, X)
        0 outside; ids needn't be consecutive.

    Returns
    -------
    Runs

    Raises
    ------
    ShapeError
        If it isn't a plane of whole numbers.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise ShapeError(f"a label image is a plane of whole numbers (Y, X); got {labels.dtype} of {labels.shape}")
    height, width = labels.shape
    band = max(1, _ROWS_AT_ONCE // max(1, width))
    found = [_runs_of_rows(labels[top : top + band], top) for top in range(0, height, band)] if width else []
    label, row, start, stop = (np.concatenate(part) for part in zip(*found, strict=True)) if found else _nothing()
    ids, index = np.unique(label, return_inverse=True)
    order = np.argsort(index, kind="stable")  # rows and columns are in order already
    return Runs(ids, index[order], row[order], start[order], stop[order], (height, width))


def runs_of_masks(masks: Mapping[int, tuple[int, int, NDArray[np.bool_]]], shape: tuple[int, int]) -> Runs:
    """Find the runs of nuclei that may lie on each other.

    Parameters
    ----------
    masks : mapping of int to tuple of int, int and array of bool
        By id: row and column of the upper left corner, and the pixels from there.
    shape : tuple of int
        (Y, X) of the plane that they lie in.

    Returns
    -------
    Runs
        Nuclei without a pixel are left out.
    """
    found = []
    for number in sorted(masks):
        top, left, mask = masks[number]
        runs = find_runs(mask)
        found.append((np.full(len(runs.row), number), runs.row + top, runs.start + left, runs.stop + left))
    label, row, start, stop = (np.concatenate(part) for part in zip(*found, strict=True)) if found else _nothing()
    ids, index = np.unique(label, return_inverse=True)
    return Runs(ids, index, row, start, stop, shape)


def _nothing() -> tuple[NDArray[np.int64], ...]:
    return tuple(np.zeros(0, np.int64) for _ in range(4))


def _runs_of_rows(labels: NDArray[Any], top: int) -> tuple[NDArray[np.int64], ...]:
    """Label, row, start and stop of the runs of some rows, of which the first is row `top` of the image."""
    width = labels.shape[1]
    flat = np.ascontiguousarray(labels).ravel()
    begins = np.empty(len(flat), bool)
    begins[0] = True
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[::width] = True
    places = np.flatnonzero(begins)
    lengths = np.diff(places, append=len(flat))
    kept = flat[places] > 0
    places, lengths = places[kept], lengths[kept]
    start = places % width
    return flat[places].astype(np.int64), places // width + top, start, start + lengths


def pieces(runs: Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the pieces: pixels of one nucleus that hang together by their sides.

    Parameters
    ----------
    runs : Runs

    Returns
    -------
    tuple of array of int64
        Piece of each run (runs,), numbered so that pieces of a nucleus follow each other in the order of their
        first rows; place in ``runs.ids`` of each piece (pieces,).
    """
    count = len(runs.index)
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    upper, lower = _touching(runs)
    graph = coo_array((np.ones(len(upper), bool), (upper, lower)), shape=(count, count))
    number, piece = connected_components(graph, directed=False)
    # By their first run, which is sorted by nucleus and row already.
    leader = np.full(number, count, np.int64)
    np.minimum.at(leader, piece, np.arange(count))
    rank = np.empty(number, np.int64)
    order = np.argsort(leader)
    rank[order] = np.arange(number)
    return rank[piece], runs.index[leader[order]]


def _touching(runs: Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs of one nucleus that lie on each other in neighbouring rows."""
    width = runs.shape[1] + 1
    line = runs.index * (runs.shape[0] + 1) + runs.row
    starts, stops = line * width + runs.start, line * width + runs.stop
    first = np.searchsorted(stops, starts + width, side="right")  # the same columns, one row below
    last = np.searchsorted(starts, stops + width, side="left")
    number = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(line)), number)
    within = np.arange(len(upper)) - np.repeat(np.cumsum(number) - number, number)
    return upper, first[upper] + within


def fill_runs(
    shape: tuple[int, int], row: NDArray[Any], start: NDArray[Any], stop: NDArray[Any], label: NDArray[Any]
) -> NDArray[np.int32]:
    """Draw runs into a label image; where they lie on each other the last one stays.

    Parameters
    ----------
    shape : tuple of int
        (Y, X).
    row, start, stop, label : array of int, (runs,)
        Within the shape; `stop` is excluded.

    Returns
    -------
    array of int32, (Y, X)
    """
    labels = np.zeros(shape, np.int32)
    flat, most = labels.ravel(), 1 << 20
    for part in range(0, len(row), most):
        some = slice(part, part + most)
        length = (stop[some] - start[some]).astype(np.int64)
        places = np.repeat(row[some].astype(np.int64) * shape[1] + start[some], length)
        places += np.arange(len(places)) - np.repeat(np.cumsum(length) - length, length)
        flat[places] = np.repeat(label[some], length)
    return labels
