"""Tiles and strips of a TIFF, one at a time."""

from __future__ import annotations

from math import ceil, prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError

MOST_AT_ONCE = 2**29
"""Bytes of the largest piece that is decoded; a larger one would hold up everything else."""

_JPEGS = (6, 7, 34892, 33007)
_MAPPED_SIDE = 512


class PagedTiles:
    """Pages of a level, one per plane and channel, in pieces as they are stored.

    Parameters
    ----------
    series : TiffPageSeries
        One level.
    stack : tuple of int
        Places of the stack axes in the series' axes, in the order wanted.
    colour : int or None
        Place of the channel axis, if there is one.
    visible : int
        Samples to give where they are interleaved: without transparency.
    name : str
        The file's.
    lock : Lock
        Shared by all that read the file.
    """

    def __init__(self, series: Any, stack: tuple[int, ...], colour: int | None, visible: int, name: str, lock: Lock):
        self._lock = lock
        self._pages, self._key, self._name = list(series.pages), series.keyframe, name
        self._lead = tuple(series.shape[: len(series.shape) - len(self._key.shape)])
        self._stack, self._colour = stack, colour
        self._planar = colour is not None and colour >= len(self._lead) and self._key.planarconfig == 2
        interleaved = colour is not None and colour >= len(self._lead) and not self._planar
        self.together = visible if interleaved else 1
        count = 1 if colour is None else visible if interleaved else int(series.shape[colour])
        height, width = int(self._key.imagelength), int(self._key.imagewidth)
        self.shape = (*(int(series.shape[place]) for place in stack), height, width, count)
        self.dtype = np.dtype(series.dtype).newbyteorder("=")
        if self._key.is_tiled:
            self.tile = (int(self._key.tilelength), int(self._key.tilewidth))
        else:
            self.tile = (min(int(self._key.rowsperstrip), height), width)
        self._grid = (ceil(height / self.tile[0]), ceil(width / self.tile[1]))
        self.fill = 255 if self.together == 3 and self.dtype == np.uint8 else 0
        _check_pieces(self._key, name)
        self.missing = self._check_page(self._key)

    @property
    def pieces(self) -> int:
        """How many tiles or strips each page has."""
        return prod(self._grid) * (int(self._key.samplesperpixel) if self._planar else 1)

    def _check_page(self, page: Any) -> int:
        """Compare the pieces with the declared sides and the file's length; give how many aren't stored."""
        offsets = np.asarray(page.dataoffsets, dtype=np.uint64)
        lengths = np.asarray(page.databytecounts, dtype=np.uint64)
        if not len(offsets) == len(lengths) == self.pieces:
            sides = f"{self.shape[-2]} x {self.shape[-3]} pixels in pieces of {self.tile[1]} x {self.tile[0]}"
            raise ImageError(
                f"{self._name} declares {sides}: {self.pieces} are needed, but it lists {len(offsets)}; its sides are "
                "wrong or pieces are missing, so export it again"
            )
        size = int(page.parent.filehandle.size)
        beyond = int(np.count_nonzero(offsets + lengths > size))
        if beyond:
            raise ImageError(
                f"{self._name} is cut off: {beyond} of the {self.pieces} pieces of a page lie beyond its end "
                f"({size} bytes); copy it again"
            )
        return int(np.count_nonzero(lengths == 0))

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        """Decode one tile or strip; see `slide_level.Tiles`."""
        visible = [
            min(tall, side - at * tall)
            for tall, side, at in zip(self.tile, self.shape[-3:-1], (row, column), strict=True)
        ]
        page = self._page(plane, block)
        sample = block if self._planar else 0
        piece = (sample * self._grid[0] + row) * self._grid[1] + column
        stored = None if page is None else self._stored(page, piece)
        if page is None or stored is None:
            return np.full((*visible, self.together), self.fill, self.dtype)
        options = {"jpegtables": page.jpegtables, "jpegheader": self._key.jpegheader}
        decoded, _, _ = self._key.decode(stored, piece, **(options if self._key.compression in _JPEGS else {}))
        if decoded is None or decoded.shape[1] < visible[0] or decoded.shape[2] < visible[1]:
            raise ImageError("the piece is smaller than declared")
        cropped = decoded[0, : visible[0], : visible[1], : self.together]
        return np.ascontiguousarray(cropped, dtype=self.dtype)

    def _page(self, plane: tuple[int, ...], block: int) -> Any:
        index = [0] * len(self._lead)
        for place, at in zip(self._stack, plane, strict=True):
            index[place] = at
        if self._colour is not None and self._colour < len(self._lead):
            index[self._colour] = block
        return self._pages[int(np.ravel_multi_index(index, self._lead)) if index else 0]

    def _stored(self, page: Any, piece: int) -> bytes | None:
        offset, length = page.dataoffsets[piece], page.databytecounts[piece]
        if not length:
            return None
        file = page.parent.filehandle
        with self._lock:  # tifffile's own lock is none unless asked for
            closed = file.closed  # the further files of an OME-TIFF in several are closed when not in use
            if closed:
                file.open()
            try:
                file.seek(offset)
                stored: bytes = file.read(length)
            finally:
                if closed:
                    file.close()
        if len(stored) != length:
            raise ImageError("the file is cut off here")
        return stored


class MappedTiles:
    """An uncompressed level that lies in one piece: any part of it can be read without the rest.

    Parameters
    ----------
    path : Path
    dtype : dtype
        As stored, with its byte order.
    shape : tuple of int
        As stored.
    offset : int
        Of the first value, in bytes.
    order : tuple of int
        Places of the stored axes in the order (*stack, Y, X, C); without C where there is none.
    visible : int
        Channels to give, without transparency; 0 where there is no channel axis.
    """

    def __init__(
        self, path: Path, dtype: Any, shape: tuple[int, ...], offset: int, order: tuple[int, ...], visible: int
    ):
        self._path, self._stored, self._offset = path, np.dtype(dtype), offset
        self._shape, self._order, self._coloured = shape, order, visible > 0
        declared, size = offset + prod(shape) * self._stored.itemsize, path.stat().st_size
        if declared > size:
            raise ImageError(
                f"{path.name} is cut off: it declares pixels of shape {shape}, {declared} bytes with its header, "
                f"but holds {size}; copy it again"
            )
        sides = tuple(int(shape[place]) for place in order)
        self.shape = (*sides[:-1], visible) if self._coloured else (*sides, 1)
        self.dtype = self._stored.newbyteorder("=")
        self.tile = (_MAPPED_SIDE, _MAPPED_SIDE)
        self.together = self.shape[-1] if order[-1] == len(shape) - 1 and self._coloured else 1
        self.missing = 0

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        """Copy one tile; see `slide_level.Tiles`."""
        # Mapped anew each time: what stays mapped counts as memory of this process.
        whole = np.memmap(self._path, self._stored, "r", self._offset, self._shape).transpose(self._order)
        pixels = whole if self._coloured else whole[..., np.newaxis]
        side, first = _MAPPED_SIDE, block * self.together
        key: tuple[Any, ...] = (
            *plane,
            slice(row * side, (row + 1) * side),
            slice(column * side, (column + 1) * side),
            slice(first, min(first + self.together, self.shape[-1])),
        )
        part: NDArray[Any] = pixels[key]
        return np.array(part, dtype=self.dtype)


def _check_pieces(page: Any, name: str) -> None:
    """Refuse a page whose pieces are too large to be decoded one by one, or that are deeper than a plane."""
    if int(page.tiledepth) > 1 or int(page.imagedepth) > 1:
        raise ImageError(f"{name} is stored in blocks of several planes, which can't be read here; save it plane-wise")
    samples = int(page.samplesperpixel) if page.planarconfig == 1 else 1
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    rows = min(int(rows), int(page.imagelength)) if not page.is_tiled else int(rows)
    declared = rows * int(columns) * samples * np.dtype(page.dtype).itemsize
    if declared > MOST_AT_ONCE:
        raise ImageError(
            f"{name} declares {page.imagewidth} x {page.imagelength} pixels in pieces of {declared / 2**30:,.1f} GiB "
            "that can only be decoded whole; save it in tiles (for instance with tiffcp -t)"
        )


def open_file(path: Path) -> tifffile.TiffFile:
    """Open a TIFF; raises `ImageError` for what is none."""
    try:
        return tifffile.TiffFile(path)
    except Exception as error:  # tifffile raises many kinds on damaged files
        from napari_unetsharp.images.files import first_line

        raise ImageError(f"{path.name} can't be read as TIFF: {first_line(error)}") from error
