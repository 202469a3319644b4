"""Pixels of all nuclei of a plane and of their rims, as flat lists, for sums by nucleus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RIM = 2
"""Pixels around a nucleus that are looked at too."""


@dataclass(frozen=True)
class Territory:
    """Nuclei are numbered from 0 by ascending id.

    Attributes
    ----------
    ids, areas : array of int64, (n,)
        Areas in pixels.
    numbers : array of int64, (largest id + 1,)
        By id; -1 for none.
    boxes : array of int64, (n, 4)
        Top, left, bottom, right; the last two are left out.
    centres : array of float64, (n, 2)
        Y and x of the mean pixel.
    where : array of int64, (pixels,)
        Flat places: first those of the nuclei themselves, row by row, then those of their rims.
    owner : array of int64, (pixels,)
        Number of the nucleus.
    own : int
        How many of the pixels are of the nuclei themselves.
    rows, columns : array of int32, (pixels,)
    shape : tuple of int
        (Y, X) of the plane.
    """

    ids: NDArray[np.int64]
    areas: NDArray[np.int64]
    numbers: NDArray[np.int64]
    boxes: NDArray[np.int64]
    centres: NDArray[np.float64]
    where: NDArray[np.int64]
    owner: NDArray[np.int64]
    own: int
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    shape: tuple[int, int]

    @property
    def count(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, labels: NDArray[Any]) -> Territory:
        """The territory of labels, (Y, X), int, 0 outside; ids needn't be consecutive."""
        grown = with_rim(labels, RIM)
        rim = grown != labels
        where = np.concatenate([np.flatnonzero(labels), np.flatnonzero(rim)])
        lines = np.tile(np.arange(len(labels), dtype=np.int32), 2)
        rows = np.repeat(lines, np.concatenate([np.count_nonzero(part, axis=1) for part in (labels, rim)]))
        own = int(np.count_nonzero(labels))
        found = grown.ravel()[where]
        areas = np.bincount(found[:own], minlength=1)
        ids = np.flatnonzero(areas)
        numbers = np.full(len(areas), -1, np.int64)
        numbers[ids] = np.arange(len(ids))
        owner, columns = numbers[found], (where - rows * np.int64(labels.shape[1])).astype(np.int32)
        centres = np.stack(
            [np.bincount(owner[:own], axis[:own], len(ids)) / areas[ids] for axis in (rows, columns)], axis=1
        )
        parts = [part for part in ndimage.find_objects(labels) if part is not None]
        boxes = [(y.start, x.start, y.stop, x.stop) for y, x in parts]
        return cls(
            ids, areas[ids], numbers, np.array(boxes, np.int64).reshape(-1, 4), centres, where, owner, own,
            rows, columns, (labels.shape[0], labels.shape[1]),
        )  # fmt: skip

    def values(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """A map at the listed pixels, (pixels,)."""
        return np.asarray(plane.ravel()[self.where], np.float32)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum by nucleus, (n,), of values at the listed pixels; of nuclei alone where the rims' are left out."""
        return np.asarray(np.bincount(self.owner[: len(values)], values, self.count), np.float64)


def with_rim(labels: NDArray[Any], steps: int) -> NDArray[Any]:
    """Grow labels into the background, one pixel up, down, left and right a step; the larger id wins a tie."""
    grown = labels
    for _ in range(steps):
        wider = grown.copy()
        np.maximum(wider[1:], grown[:-1], out=wider[1:])
        np.maximum(wider[:-1], grown[1:], out=wider[:-1])
        np.maximum(wider[:, 1:], grown[:, :-1], out=wider[:, 1:])
        np.maximum(wider[:, :-1], grown[:, 1:], out=wider[:, :-1])
        np.copyto(wider, grown, where=grown > 0)
        grown = wider
    return grown
