"""Single frames of a DICOM slide, found without reading the others."""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.filereader import read_partial
from pydicom.pixels.decoders.base import get_decoder

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.dicom import frame_sides
from napari_unetsharp.images.dicom_codecs import check_end
from napari_unetsharp.images.dicom_header import Layout, check_start

_PER_FRAME, _SERIES = 0x52009230, 0x0020000E
_JPEG = "1.2.840.10008.1.2.4.50"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_ITEM = b"\xfe\xff\x00\xe0"
_UNDEFINED = 0xFFFFFFFF


@dataclass
class Positions:
    """Where each frame lies, as the file says: first column and row (from 1), and its optical path."""

    columns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    paths: list[str] = field(default_factory=list)
    depths: list[str] = field(default_factory=list)


def read_head(path: Path, *, short: bool = False) -> tuple[pydicom.FileDataset, int]:
    """Read the header up to what is stated frame by frame: a slide may have a million frames.

    Parameters
    ----------
    path : Path
    short : bool
        Only as far as the series' number.

    Returns
    -------
    header : FileDataset
    end : int
        Where the next element starts, in bytes.
    """
    if not check_start(path):
        raise ImageError(f"{path.name} lacks the DICM mark at byte 128; a slide needs it, so export it again")
    last = _SERIES if short else _PER_FRAME - 1
    with path.open("rb") as file:
        header = read_partial(file, lambda tag, vr, length: int(tag) > last, defer_size=2**20)
        return header, file.tell()


class Frames:
    """The frames of one file, by number.

    Parameters
    ----------
    path : Path
    header : FileDataset
    end : int
        From `read_head`.
    layout : Layout
    """

    def __init__(self, path: Path, header: pydicom.FileDataset, end: int, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self.syntax = header.file_meta.TransferSyntaxUID
        if self.syntax == _BIG_ENDIAN:
            raise ImageError(f"{path.name} is big-endian, which no slide should be; export it again")
        self._planar = int(header.get("PlanarConfiguration") or 0)
        self._file = path.open("rb")
        self._lock = Lock()
        try:
            with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                start, length = _pixel_data(whole, end, self.syntax, layout, path.name)
                self.positions = _positions(whole, end, start, implicit=self.syntax.is_implicit_VR)
                if self.syntax.is_compressed:
                    self._offsets, self._lengths = _compressed(whole, start, end, layout.frames, path.name)
                else:
                    self._offsets, self._lengths = _plain(start, length, layout, path)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def decode(self, number: int) -> NDArray[Any]:
        """Decode one frame.

        Parameters
        ----------
        number : int
            From 0.

        Returns
        -------
        array, (Y, X, C)
            Colours as RGB.
        """
        stored = self._stored(int(self._offsets[number]), int(self._lengths[number]))
        layout = self.layout
        if self.syntax.is_compressed:
            sides = frame_sides(stored)
            if sides and sides != (layout.rows, layout.columns):
                raise ImageError(
                    f"the frame holds {sides[1]} x {sides[0]} pixels, not {layout.columns} x {layout.rows}"
                )
            if self.syntax == _JPEG and layout.samples == 3:
                return _jpeg(stored, layout.kind)
            stored = encapsulate([stored + b"\0" * (len(stored) % 2)], has_bot=False)
        pixels, _ = get_decoder(self.syntax).as_array(
            stored, index=0, rows=layout.rows, columns=layout.columns, number_of_frames=1,
            samples_per_pixel=layout.samples, photometric_interpretation=layout.kind,
            bits_allocated=layout.allocated, bits_stored=layout.used, pixel_representation=int(layout.signed),
            planar_configuration=self._planar, pixel_keyword="PixelData",
        )  # fmt: skip
        shaped = pixels.reshape(layout.rows, layout.columns, layout.samples)
        return np.asarray(shaped, dtype=shaped.dtype.newbyteorder("="))

    def _stored(self, offset: int, length: int) -> bytes:
        with self._lock:
            if self._file.closed:
                raise ImageError("the slide is closed")
            self._file.seek(offset)
            stored = self._file.read(length)
        if len(stored) != length:
            raise ImageError("the file is cut off here")
        if not self.syntax.is_compressed:
            return stored
        pieces, place = [], 0
        while place + 8 <= len(stored) and stored[place : place + 4] == _ITEM:
            size = struct.unpack_from("<I", stored, place + 4)[0]
            pieces.append(stored[place + 8 : place + 8 + size])
            place += 8 + size
        if not pieces or place > len(stored):
            raise ImageError("the table of frames points to something else")
        return b"".join(pieces)


def _jpeg(stored: bytes, kind: str) -> NDArray[np.uint8]:
    """Decode JPEG colours: its own marks say which they are; without a mark the header is believed."""
    import imagecodecs

    check_end(stored)
    head = stored[: stored.find(b"\xff\xc0") + 1 or 2048]
    marked = b"JFIF\0" in head or b"Adobe" in head
    colours: NDArray[np.uint8] = imagecodecs.jpeg8_decode(
        stored, colorspace=None if marked else "RGB" if kind == "RGB" else "YCBCR", outcolorspace="RGB"
    )
    return colours


def _pixel_data(whole: mmap.mmap, end: int, syntax: pydicom.uid.UID, layout: Layout, name: str) -> tuple[int, int]:
    """Where the pixels start, and their length (`_UNDEFINED` where compressed)."""
    if syntax.is_implicit_VR:
        lengths = (layout.bytes, layout.bytes + 1)
        found = [whole.find(b"\xe0\x7f\x10\x00" + struct.pack("<I", length & 0xFFFFFFFF), end) for length in lengths]
        place = max(found)
        if place >= 0:
            return place + 8, layout.bytes
    else:
        match = re.compile(rb"\xe0\x7f\x10\x00O[BW]\x00\x00").search(whole, end)
        if match:
            return match.end() + 4, struct.unpack_from("<I", whole, match.end())[0]
    raise ImageError(f"{name} holds no pixels, or not as many as it declares; copy or export it again")


def _plain(start: int, length: int, layout: Layout, path: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    each = layout.bytes // layout.frames
    needed, held = each * layout.frames, min(length, path.stat().st_size - start)
    if held < needed or length - needed >= max(each, 2):
        raise ImageError(
            f"{path.name} declares {layout.frames} frames of {layout.columns} x {layout.rows} pixels, {needed} bytes, "
            f"but holds {held}: frames are missing or its sides are wrong; copy or export it again"
        )
    numbers = np.arange(layout.frames, dtype=np.uint64)
    return start + numbers * np.uint64(each), np.full(layout.frames, each, np.uint64)


def _compressed(
    whole: mmap.mmap, start: int, end: int, frames: int, name: str
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Offset and length of each frame with the marks of its fragments, by the file's table or by walking."""
    if whole[start : start + 4] != _ITEM:
        raise ImageError(f"the compressed pixels of {name} don't start as they should; copy or export it again")
    table = struct.unpack_from("<I", whole, start + 4)[0]
    first = start + 8 + table
    found, lengths = _extended(whole, end, start)
    if found is not None and lengths is not None:
        starts, sizes = found + np.uint64(first), lengths + np.uint64(8)
    else:
        basic = np.frombuffer(whole[start + 8 : first], "<u4").astype(np.uint64)
        rising = len(basic) and basic[0] == 0 and bool(np.all(np.diff(basic.astype(np.int64)) > 0))
        if rising:
            starts = basic + np.uint64(first)
            last = _walked(whole, int(starts[-1]))
            sizes = np.append(starts[1:], np.uint64(last[-1] if last else len(whole))) - starts
        else:  # no table, or one that ran over at 4 GiB
            marks = _walked(whole, first)
            ends = np.array(marks, np.uint64)
            starts, sizes = ends[:-1], ends[1:] - ends[:-1]
            if frames == 1 and marks:
                starts, sizes = starts[:1], np.array([marks[-1] - marks[0]], np.uint64)
    if len(starts) != frames:
        kind = "missing" if len(starts) < frames else "too many, or in pieces without a table"
        raise ImageError(f"{name} declares {frames} frames but holds {len(starts)}: frames are {kind}; export it again")
    beyond = int(np.count_nonzero(starts + sizes > len(whole)))
    if beyond:
        raise ImageError(f"{name} is cut off: {beyond} of its {frames} frames lie beyond its end; copy it again")
    return starts, sizes


def _extended(whole: mmap.mmap, end: int, start: int) -> tuple[NDArray[np.uint64] | None, NDArray[np.uint64] | None]:
    """Offsets and lengths of the extended table, for slides above 4 GiB."""
    tables = []
    for element in (b"\x01", b"\x02"):
        place = whole.find(b"\xe0\x7f" + element + b"\x00OV\x00\x00", end, start)
        if place < 0:
            return None, None
        length = struct.unpack_from("<I", whole, place + 8)[0]
        tables.append(np.frombuffer(whole[place + 12 : place + 12 + length], "<u8"))
    lengths = tables[1] + tables[1] % np.uint64(2)  # fragments are padded to even lengths
    return (tables[0], lengths) if len(tables[0]) == len(tables[1]) else (None, None)


def _walked(whole: mmap.mmap, place: int) -> list[int]:
    """Where each fragment starts, and where the last one ends."""
    marks = []
    while whole[place : place + 4] == _ITEM:
        marks.append(place)
        place += 8 + struct.unpack_from("<I", whole, place + 4)[0]
    return [*marks, place] if marks else []


def _positions(whole: mmap.mmap, start: int, end: int, *, implicit: bool) -> Positions:
    """Find what is stated frame by frame; by its marks, since parsing a million items takes minutes."""

    def numbers(element: bytes) -> NDArray[np.int64]:
        mark = b"\x48\x00" + element + (b"\x04\x00\x00\x00" if implicit else b"SL\x04\x00")
        places = re.compile(re.escape(mark) + b"(.{4})", re.DOTALL).finditer(whole, start, end)
        return np.frombuffer(b"".join(match.group(1) for match in places), "<i4").astype(np.int64)

    def texts(mark: bytes) -> list[str]:
        size = b"(.)\x00\x00\x00" if implicit else b"[A-Z]{2}(.)\x00"
        places = re.compile(re.escape(mark) + size, re.DOTALL).finditer(whole, start, end)
        found = (whole[match.end() : match.end() + match.group(1)[0]] for match in places)
        return [text.decode("ascii", "replace").strip(" \0") for text in found]

    return Positions(numbers(b"\x1e\x02"), numbers(b"\x1f\x02"), texts(b"\x48\x00\x06\x01"), texts(b"\x40\x00\x4a\x07"))
