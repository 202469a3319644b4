"""The blocks of a slide: each stands for itself, so any order and any process gives the same result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.pixels import Box

SIDE = 1024
"""Pixels along the side of a block."""

LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class BlockGrid:
    """Blocks of a result plane, numbered row by row from 0.

    Attributes
    ----------
    shape : tuple of int
        (Y, X) of the plane in result px.
    side : int
        Of a block, in result px; those at the far borders may be smaller.
    margin : int
        Result px around a block that are looked at too; at most its side.
    """

    shape: tuple[int, int]
    side: int = SIDE
    margin: int = 64

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.side < 1 or not 0 <= self.margin <= self.side:
            raise SettingsError(
                f"a grid needs a plane with pixels, a side of 1 or more and a margin of 0 up to the side; "
                f"got {self.shape}, {self.side} and {self.margin}"
            )
        if self.rows * self.columns >= LARGEST_ID:
            raise SettingsError(f"{self.rows} x {self.columns} blocks are too many to number; take larger ones")

    @property
    def rows(self) -> int:
        return ceil(self.shape[0] / self.side)

    @property
    def columns(self) -> int:
        return ceil(self.shape[1] / self.side)

    @property
    def blocks(self) -> int:
        """Their number."""
        return self.rows * self.columns

    @property
    def capacity(self) -> int:
        """Ids that each block has for its nuclei; as many come after the last block's, for a person's."""
        return LARGEST_ID // (self.blocks + 1)

    @property
    def plane(self) -> Box:
        """All of the result plane."""
        return Box(0, 0, *self.shape)

    def own(self, row: int, column: int) -> Box:
        """The block's own pixels; blocks don't overlap."""
        top, left = row * self.side, column * self.side
        return Box(top, left, min(self.shape[0], top + self.side), min(self.shape[1], left + self.side))

    def window(self, row: int, column: int) -> Box:
        """The block's own pixels and the margin, inside the plane."""
        return self.own(row, column).grown(self.margin, self.shape)

    def number(self, row: int, column: int) -> int:
        """Place of a block, row by row, from 0."""
        return row * self.columns + column

    def place(self, number: int) -> tuple[int, int]:
        """Row and column of a block by its number."""
        return divmod(number, self.columns)

    def at(self, y: float, x: float) -> tuple[int, int]:
        """Row and column of the block that owns a pixel; the nearest one for a place beyond the plane."""
        row, column = int(y // self.side), int(x // self.side)
        return min(max(row, 0), self.rows - 1), min(max(column, 0), self.columns - 1)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((row, column) for row in range(self.rows) for column in range(self.columns))

    def __len__(self) -> int:
        return self.blocks

    def neighbours(self, row: int, column: int) -> list[tuple[int, int]]:
        """The up to eight blocks around one."""
        return [
            (row + down, column + right)
            for down in (-1, 0, 1) for right in (-1, 0, 1)
            if (down or right) and 0 <= row + down < self.rows and 0 <= column + right < self.columns
        ]  # fmt: skip

    def meeting(self, box: Box) -> list[tuple[int, int]]:
        """Blocks of which own pixels lie in a box, row by row."""
        box = Box(max(0, box.top), max(0, box.left), min(self.shape[0], box.bottom), min(self.shape[1], box.right))
        if not box.area:
            return []
        top, left = box.top // self.side, box.left // self.side
        bottom, right = ceil(box.bottom / self.side), ceil(box.right / self.side)
        return [(row, column) for row in range(top, bottom) for column in range(left, right)]
