"""All nuclei of a plane and their rims as stretches of pixels, for sums by nucleus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

RIM = 2
"""Pixels around a nucleus that are looked at too."""


@dataclass(frozen=True)
class Territory:
    """Nuclei are numbered from 0 by ascending id.

    A stretch is a part of a row that is all of one nucleus, all of its rim, or all outside; together they cover the
    plane. There are ten times fewer of them than pixels.

    Attributes
    ----------
    ids : array of int64, (n,)
    numbers : array of int64, (largest id + 1,)
        By id; -1 for none.
    boxes : array of int64, (n, 4)
        Top, left, bottom, right; the last two are left out.
    starts, lengths : array of int64, (stretches,)
        Flat place of the first pixel of each, and its number of pixels.
    inner, whole : array of int64
        Places of the stretches of nuclei; of nuclei and rims.
    owner : array of int64, (stretches,)
        Number of the nucleus, -1 outside.
    shape : tuple of int
        (Y, X) of the plane.
    """

    ids: NDArray[np.int64]
    numbers: NDArray[np.int64]
    boxes: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    inner: NDArray[np.int64]
    whole: NDArray[np.int64]
    owner: NDArray[np.int64]
    shape: tuple[int, int]

    @property
    def count(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, labels: NDArray[Any]) -> Territory:
        """The territory of labels, (Y, X), int, 0 outside; ids needn't be consecutive."""
        grown = with_rim(labels, RIM)
        starts = _starts(labels, grown)
        lengths = np.diff(starts, append=labels.size)
        known, found = labels.ravel()[starts], grown.ravel()[starts]
        ids = np.flatnonzero(np.bincount(known))[int(not known.all()) :]
        numbers = np.full(int(known.max(initial=0)) + 1, -1, np.int64)
        numbers[ids] = np.arange(len(ids))
        owner, inner = numbers[found], np.flatnonzero(known)
        boxes = _boxes(len(ids), owner[inner], *np.divmod(starts[inner], labels.shape[1]), lengths[inner])
        shape = labels.shape[0], labels.shape[1]
        return cls(ids, numbers, boxes, starts, lengths, inner, np.flatnonzero(found), owner, shape)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each nucleus, (n,)."""
        return self.gathered(self.lengths).astype(np.int64)

    @cached_property
    def pixels(self) -> NDArray[np.float64]:
        """Pixels of each nucleus and its rim, (n,)."""
        return self.gathered(self.lengths, rim=True)

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Y and x of the mean pixel of each nucleus, (n, 2)."""
        rows, columns = self._middles()
        return np.stack([self.gathered(self.lengths * axis) for axis in (rows, columns)], axis=1) / self.areas[:, None]

    @cached_property
    def spreads(self) -> NDArray[np.float64]:
        """Variance of y, variance of x, and covariance of the pixels of each nucleus, (n, 3)."""
        lengths, owner = self.lengths[self.inner], self.owner[self.inner]
        rows, columns = self._middles()
        down = rows[self.inner] - self.centres[owner, 0]
        right = columns[self.inner] - self.centres[owner, 1]
        moments = (down * down, right * right + (lengths**2 - 1) / 12, down * right)
        sums = [np.bincount(owner, lengths * values, self.count) for values in moments]
        return np.stack(sums, axis=1) / self.areas[:, None]

    def sums(self, plane: NDArray[Any], rim: bool = False) -> NDArray[np.float64]:
        """Sum of a map, (Y, X), over each nucleus, with or without its rim; (n,)."""
        return self.gathered(self.by_stretch(plane), rim)

    def by_stretch(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Sum of a map, (Y, X), over each stretch, (stretches,)."""
        values = plane if plane.dtype == np.float64 else np.asarray(plane, np.float32)
        return np.asarray(np.add.reduceat(values.ravel(), self.starts))

    def gathered(self, values: NDArray[Any], rim: bool = False) -> NDArray[np.float64]:
        """Sum over each nucleus of values by stretch, (n,)."""
        kept = self.whole if rim else self.inner
        return np.bincount(self.owner[kept], values[kept], self.count).astype(np.float64)

    def largest(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Largest value of a map in each nucleus, (n,)."""
        highest = np.zeros(self.count, np.float32)
        tops = np.maximum.reduceat(plane.ravel(), self.starts)[self.inner]
        np.maximum.at(highest, self.owner[self.inner], tops)
        return highest

    def spread_out(self, values: NDArray[np.float32], outside: float) -> NDArray[np.float32]:
        """A value of each nucleus on all of its pixels, (Y, X)."""
        by_stretch = np.full(len(self.starts), outside, np.float32)
        by_stretch[self.inner] = values[self.owner[self.inner]]
        return np.repeat(by_stretch, self.lengths).reshape(self.shape)

    def _middles(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Row, and mean column, of each stretch."""
        rows, columns = np.divmod(self.starts, self.shape[1])
        return rows, columns + (self.lengths - 1) / 2


def _boxes(
    count: int, owner: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """Top, left, bottom, right of nuclei from their stretches, (count, 4)."""
    boxes = np.tile(np.array([np.iinfo(np.int64).max] * 2 + [0] * 2), (count, 1))
    for side, first in enumerate((rows, columns)):
        np.minimum.at(boxes[:, side], owner, first)
    for side, last in enumerate((rows + 1, columns + lengths), start=2):
        np.maximum.at(boxes[:, side], owner, last)
    return boxes


def _starts(labels: NDArray[Any], grown: NDArray[Any]) -> NDArray[np.int64]:
    """Where a row begins, or either map changes."""
    changes = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=changes[:, 1:])
    changes[:, 1:] |= grown[:, 1:] != grown[:, :-1]
    return np.flatnonzero(changes)


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
