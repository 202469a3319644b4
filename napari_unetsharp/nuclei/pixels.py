"""Boxes of a plane, and which of its pixels change from what to what, as runs along rows."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError

RUN_BYTES = 20
"""A run on disk: its start in 8 bytes, its length and two values in 4 each."""


class Box(NamedTuple):
    """Rows top to bottom and columns left to right of a plane, the last ones left out, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in pixels; 0 where the box is empty."""
        return max(0, self.bottom - self.top), max(0, self.right - self.left)

    @property
    def area(self) -> int:
        """Pixels within."""
        return self.shape[0] * self.shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing a plane."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def union(self, other: Box) -> Box:
        """Smallest box around both; an empty one counts for nothing."""
        if other.top >= other.bottom or other.left >= other.right:
            return self
        if self.top >= self.bottom or self.left >= self.right:
            return other
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def grown(self, margin: int, shape: tuple[int, int]) -> Box:
        """Larger by a margin on each side, within a plane of this shape."""
        return Box(
            max(0, self.top - margin),
            max(0, self.left - margin),
            min(shape[0], self.bottom + margin),
            min(shape[1], self.right + margin),
        )

    def meets(self, other: Box) -> bool:
        """Whether they share a pixel."""
        return (
            self.top < other.bottom and other.top < self.bottom and self.left < other.right and other.left < self.right
        )


NOWHERE = Box(0, 0, 0, 0)


def union(boxes: Sequence[Box]) -> Box:
    """Smallest box around all of them."""
    sides = np.array(boxes, np.int64).reshape(-1, 4)
    sides = sides[(sides[:, 0] < sides[:, 2]) & (sides[:, 1] < sides[:, 3])]
    if not len(sides):
        return NOWHERE
    return Box(*sides[:, :2].min(axis=0).tolist(), *sides[:, 2:].max(axis=0).tolist())


@dataclass(frozen=True, eq=False)
class PixelChange:
    """Runs of pixels that change from one value to another.

    Nothing else of the plane is kept, so that a step costs as much memory as it changes.

    Attributes
    ----------
    width : int
        Columns of the plane.
    starts : array of int64, (n,)
        First pixel of each run, counted along rows from the top left of the plane; no run leaves its row.
    lengths : array of int32, (n,)
    before, after : array of int32, (n,)
        Value of all pixels of a run.
    """

    width: int
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    before: NDArray[np.int32]
    after: NDArray[np.int32]

    @classmethod
    def none(cls, width: int) -> PixelChange:
        """Nothing changes."""
        empty = np.zeros(0, np.int32)
        return cls(width, np.zeros(0, np.int64), empty, empty, empty)

    @classmethod
    def between(cls, box: Box, before: NDArray[Any], after: NDArray[Any], width: int) -> PixelChange:
        """What differs between two contents of a box.

        Parameters
        ----------
        box : Box
        before, after : array, (Y, X) of the box, whole numbers or bool
        width : int
            Columns of the plane.
        """
        changed = before != after
        if not changed.any():
            return cls.none(width)
        goes_on = changed[:, 1:] & changed[:, :-1]
        goes_on &= (before[:, 1:] == before[:, :-1]) & (after[:, 1:] == after[:, :-1])
        begins, ends = changed.copy(), changed
        begins[:, 1:] &= ~goes_on
        ends[:, :-1] &= ~goes_on
        first, last = np.flatnonzero(begins), np.flatnonzero(ends)
        rows, columns = np.divmod(first, before.shape[1])
        return cls(
            width,
            (rows + box.top).astype(np.int64) * width + columns + box.left,
            (last - first + 1).astype(np.int32),
            before[rows, columns].astype(np.int32),
            after[rows, columns].astype(np.int32),
        )

    @classmethod
    def together(cls, changes: Sequence[PixelChange], width: int) -> PixelChange:
        """One change of several that share no pixel."""
        if not changes:
            return cls.none(width)
        return cls(
            width,
            np.concatenate([change.starts for change in changes]),
            np.concatenate([change.lengths for change in changes]),
            np.concatenate([change.before for change in changes]),
            np.concatenate([change.after for change in changes]),
        )

    def __bool__(self) -> bool:
        return len(self.starts) > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PixelChange):
            return NotImplemented
        if self is other:
            return True
        pairs = ((self.starts, other.starts), (self.lengths, other.lengths))
        values = ((self.before, other.before), (self.after, other.after))
        return self.width == other.width and all(np.array_equal(one, two) for one, two in (*pairs, *values))

    __hash__ = None  # type: ignore[assignment]

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.starts.nbytes + self.lengths.nbytes + self.before.nbytes + self.after.nbytes

    @cached_property
    def area(self) -> int:
        """Pixels that change."""
        return int(self.lengths.sum(dtype=np.int64))

    @cached_property
    def box(self) -> Box:
        """Smallest box around all changed pixels; `NOWHERE` if there are none."""
        if not self:
            return NOWHERE
        rows, columns = np.divmod(self.starts, self.width)
        right = (columns + self.lengths).max()
        return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(right))

    def reversed(self) -> PixelChange:
        """The way back."""
        return PixelChange(self.width, self.starts, self.lengths, self.after, self.before)

    def pixels(self) -> NDArray[np.int64]:
        """Index of each changed pixel in the plane laid out flat, run by run."""
        first = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        return np.asarray(np.repeat(self.starts - first, self.lengths) + np.arange(self.area, dtype=np.int64))

    def fits(self, plane: NDArray[Any]) -> bool:
        """Whether the plane holds the values that this change starts from."""
        return bool((plane.reshape(-1)[self.pixels()] == np.repeat(self.before, self.lengths)).all())

    def apply(self, plane: NDArray[Any]) -> None:
        """Write the values after the change into a C-contiguous plane."""
        plane.reshape(-1)[self.pixels()] = np.repeat(self.after, self.lengths)

    def mask(self, box: Box | None = None) -> NDArray[np.bool_]:
        """Which pixels of a box change; of its own box where none is given."""
        box = box or self.box
        rows, columns = np.divmod(self.pixels(), self.width)
        rows, columns = rows - box.top, columns - box.left
        inside = (rows >= 0) & (rows < box.shape[0]) & (columns >= 0) & (columns < box.shape[1])
        mask = np.zeros(box.shape, bool)
        mask[rows[inside], columns[inside]] = True
        return mask

    def only(self, kept: NDArray[Any]) -> PixelChange:
        """Some of the runs, by a mask or by their places."""
        return PixelChange(self.width, self.starts[kept], self.lengths[kept], self.before[kept], self.after[kept])

    def by_id(self) -> dict[int, PixelChange]:
        """The runs of each value above 0 that goes."""
        order = np.argsort(self.before, kind="stable")
        order = order[np.searchsorted(self.before[order], 1) :]
        ids = self.before[order]
        firsts = np.flatnonzero(np.diff(ids, prepend=-1))
        parts = np.split(order, firsts[1:]) if len(firsts) else []
        return {int(id_): self.only(part) for id_, part in zip(ids[firsts], parts, strict=True)}

    def to_bytes(self, level: int = 6) -> bytes:
        """Compressed form for the journal."""
        steps = np.diff(self.starts, prepend=np.int64(0)).astype("<i8")
        columns = [steps, *(part.astype("<i4") for part in (self.lengths, self.before, self.after))]
        # bytes of equal weight side by side: most of them are 0 and compress to nothing
        planes = [part.view(np.uint8).reshape(len(part), part.itemsize).T.tobytes() for part in columns]
        return zlib.compress(b"".join(planes), level)

    @classmethod
    def from_bytes(cls, packed: bytes, shape: tuple[int, int]) -> PixelChange:
        """Inverse of `to_bytes`, for a plane of this shape.

        Raises
        ------
        ReviewError
            If the runs don't lie within the plane.
        """
        size = shape[0] * shape[1]
        reader = zlib.decompressobj()
        try:
            raw = np.frombuffer(reader.decompress(packed, RUN_BYTES * size + 1), np.uint8)
        except zlib.error as error:
            raise ReviewError(f"a change in the journal can't be unpacked ({error})") from error
        count, rest = divmod(len(raw), RUN_BYTES)
        if rest or not reader.eof:
            raise ReviewError(f"a change in the journal has {len(raw)} bytes, which is no whole number of runs")
        steps = _column(raw[: 8 * count], "<i8")
        lengths, before, after = (_column(raw[at * count : (at + 4) * count], "<i4") for at in (8, 12, 16))
        change = cls(
            shape[1], np.cumsum(steps, dtype=np.int64), *(part.astype(np.int32) for part in (lengths, before, after))
        )
        if not change._lies_within(size):
            raise ReviewError("a change in the journal leaves the plane")
        return change

    def _lies_within(self, size: int) -> bool:
        if not self:
            return True
        ends = self.starts % self.width + self.lengths
        return bool(
            self.lengths.min() > 0
            and self.area <= size
            and self.starts.min() >= 0
            and self.starts.max() < size
            and ends.max() <= self.width
            and min(self.before.min(), self.after.min()) >= 0
        )


def _column(planes: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Put the bytes of each number back together."""
    itemsize = np.dtype(dtype).itemsize
    return np.ascontiguousarray(planes.reshape(itemsize, -1).T).view(dtype).reshape(-1)
