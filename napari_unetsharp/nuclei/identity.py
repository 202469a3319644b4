"""What makes an image this image and no other, so that a review never meets the wrong one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from napari_unetsharp.errors import ReviewError

WHOLE = 64 * 10**6
"""Images up to so many pixels (channels don't count) are read whole."""

TILE = 256
"""Side of the tiles that stand for a larger image, in pixels."""

TILES = 5
"""Tiles along each side, evenly spread from corner to corner."""

CHUNK = 2**24
"""Values that are read at once."""


@dataclass(frozen=True)
class Identity:
    """Size, type, axes, metadata and pixels of an image.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
        As numpy names it, without byte order.
    axes : str
        A letter per axis.
    metadata : tuple of (str, str)
        What the file says besides, such as pixel sizes; not what a person sets later.
    pixels : str
        SHA-256 of the pixels, in hexadecimal.
    part : str
        "all", or "tiles" for the smallest level and fixed tiles of the largest.
    """

    shape: tuple[int, ...]
    dtype: str
    axes: str
    metadata: tuple[tuple[str, str], ...]
    pixels: str
    part: str = "all"

    def differences(self, other: Identity) -> str:
        """In which respects another image differs, in words; empty for the same image."""
        names = ("shape", "dtype", "axes", "metadata", "pixels", "part")
        return ", ".join(name for name in names if getattr(self, name) != getattr(other, name))

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "axes": self.axes,
            "metadata": [list(pair) for pair in self.metadata],
            "pixels": self.pixels,
            "part": self.part,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Identity:
        """Inverse of `to_json`.

        Raises
        ------
        ReviewError
        """
        try:
            shape = tuple(int(side) for side in record["shape"])
            metadata = tuple((str(name), str(value)) for name, value in record["metadata"])
            words = (str(record[name]) for name in ("dtype", "axes", "pixels", "part"))
            dtype, axes, pixels, part = words
        except (KeyError, TypeError, ValueError) as error:
            raise ReviewError(f"the journal doesn't say which image it belongs to ({error!r})") from error
        return cls(shape, dtype, axes, metadata, pixels, part)


def identify(pixels: Any, axes: str, metadata: Mapping[str, Any] | None = None) -> Identity:
    """Tell an image from all others.

    Parameters
    ----------
    pixels : array-like, or sequence of array-like
        One array, or the levels of a pyramid, largest first; only what is hashed is read, a part at a time.
    axes : str
        A letter per axis, such as "YXC".
    metadata : mapping, optional
        What the file says besides.

    Returns
    -------
    Identity

    Raises
    ------
    ReviewError
        If the axes don't fit the array.
    """
    levels: Sequence[Any] = pixels if isinstance(pixels, Sequence) else [pixels]
    first = levels[0]
    if len(axes) != len(first.shape) or not {"Y", "X"} <= set(axes):
        raise ReviewError(
            f"axes {axes!r} don't fit an image of shape {tuple(first.shape)}; one letter each, Y and X in"
        )
    checksum = hashlib.sha256()
    count = prod(side for axis, side in zip(axes, first.shape, strict=True) if axis != "C")
    if count <= WHOLE:
        _add(checksum, first)
    else:
        if len(levels) > 1 and prod(levels[-1].shape) <= 4 * WHOLE:
            _add(checksum, levels[-1])
        for tile in _tiles(first.shape, axes):
            _add(checksum, first[tile])
    named = tuple(sorted((str(name), str(value)) for name, value in (metadata or {}).items()))
    dtype = np.dtype(first.dtype).newbyteorder("=").name
    part = "all" if count <= WHOLE else "tiles"
    return Identity(tuple(map(int, first.shape)), dtype, axes, named, checksum.hexdigest(), part)


def _add(checksum: Any, array: Any) -> None:
    """Add shape and values, little-endian, in bands along the first axis."""
    checksum.update(repr(tuple(map(int, array.shape))).encode())
    step = max(1, CHUNK // max(1, prod(array.shape[1:])))
    for begin in range(0, array.shape[0], step):
        band = np.ascontiguousarray(array[begin : begin + step])
        checksum.update(band.astype(band.dtype.newbyteorder("<"), copy=False).tobytes())


def _tiles(shape: Sequence[int], axes: str) -> list[tuple[slice, ...]]:
    """Tiles of the first, middle and last plane of each stack."""
    row_axis, column_axis = axes.index("Y"), axes.index("X")

    def places(side: int) -> list[slice]:
        last = max(0, side - TILE)
        return [slice(begin, begin + TILE) for begin in sorted({last * place // (TILES - 1) for place in range(TILES)})]

    tiles = []
    for share in (0.0, 0.5, 1.0):
        plane = [
            slice(None) if axis in "YXC" else slice(round(share * (side - 1)), round(share * (side - 1)) + 1)
            for axis, side in zip(axes, shape, strict=True)
        ]
        for rows in places(shape[row_axis]):
            for columns in places(shape[column_axis]):
                tile = plane.copy()
                tile[row_axis], tile[column_axis] = rows, columns
                if tuple(tile) not in tiles:
                    tiles.append(tuple(tile))
    return tiles
