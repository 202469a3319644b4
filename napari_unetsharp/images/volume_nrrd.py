"""NRRD volumes."""

from __future__ import annotations

import bz2
import gzip
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import check_size, check_values
from napari_unetsharp.images.volume import Planes, Volume, turned_round, upright

_TO_LPS = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
_TYPES = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "uint8_t": "u1", "short": "i2", "short int": "i2", "int16": "i2", "int16_t": "i2", "ushort": "u2",
    "unsigned short": "u2", "uint16": "u2", "uint16_t": "u2", "int": "i4", "int32": "i4", "signed int": "i4",
    "int32_t": "i4", "uint": "u4", "unsigned int": "u4", "uint32": "u4", "uint32_t": "u4", "longlong": "i8",
    "int64": "i8", "int64_t": "i8", "ulonglong": "u8", "uint64": "u8", "uint64_t": "u8", "float": "f4", "double": "f8",
}  # fmt: skip
_OPENERS: dict[str, Any] = {
    "raw": lambda file: file, "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "gz": lambda file: gzip.GzipFile(fileobj=file), "bzip2": bz2.BZ2File, "bz2": bz2.BZ2File,
}  # fmt: skip
_SPATIAL = ("domain", "space")


def open_nrrd(path: Path) -> Volume:
    """Open an NRRD file; its pixels are read when the first plane is asked for.

    Parameters
    ----------
    path : Path
        Ends in .nrrd or .nhdr.

    Returns
    -------
    Volume
        Axes "ZYX" ("TZYX" where an axis is no direction in space), turned round as `volume.upright` says.

    Raises
    ------
    ImageError
        If it is damaged or too large, or its pixels lie in another folder.
    """
    try:
        import nrrd
    except ImportError:
        raise ImageError(f'{path.name} needs pynrrd: install it with pip install "napari-unetsharp[volumes]"') from None
    try:
        header = dict(nrrd.read_header(str(path)))
        return _volume(header, path)
    except ImageError:
        raise
    except Exception as error:  # pynrrd raises many kinds on damaged headers
        raise ImageError(f"{path.name} can't be read as NRRD: {first_line(error)}") from error


def _volume(header: dict[str, Any], path: Path) -> Volume:
    sizes = tuple(int(side) for side in header["sizes"])
    kinds = [str(kind) for kind in header.get("kinds", ["domain"] * len(sizes))]
    other = [place for place, kind in enumerate(kinds) if kind not in _SPATIAL]
    spatial = [place for place in range(len(sizes)) if place not in other]
    if len(spatial) == 4 and not other:
        other, spatial = [3], [0, 1, 2]
    if len(spatial) != 3 or len(other) > 1:
        raise ImageError(f"{path.name} has sides {sizes} of kinds {kinds}; a volume or a film of volumes is needed")
    dtype = np.dtype(_TYPES.get(str(header.get("type")), "V1"))
    check_values(dtype, sizes)
    check_size(sizes, dtype, path.name)
    _check_beside(header, path)
    notes: list[str] = []
    steps, turned, known = _geometry(header, spatial, notes)
    pixels = _Pixels(path, header, (*other, *spatial[::-1]))
    planes = sizes[spatial[2]]

    def read(place: tuple[int, ...]) -> NDArray[Any]:
        depth = planes - 1 - place[-1] if turned[2] else place[-1]
        return turned_round(pixels()[(*place[:-1], depth)].astype(dtype), turned)

    shape = tuple(sizes[place] for place in (*other, *spatial[::-1]))
    film = len(other)
    unit = "millimeter" if known else "pixel"
    return Volume(
        Planes(shape, dtype, 1 + film, read, path.name), "T" * film + "ZYX",
        (*(1.0,) * film, *steps[::-1]), (*("pixel",) * film, *(unit,) * 3), path.stem, notes, "NRRD volume",
    )  # fmt: skip


def _geometry(
    header: dict[str, Any], spatial: list[int], notes: list[str]
) -> tuple[tuple[float, float, float], tuple[bool, bool, bool], bool]:
    """Steps along x, y and z in mm, which axes to turn, and whether the steps are known."""
    stated = header.get("space directions")
    signs = _TO_LPS.get(str(header.get("space", "")).lower())
    if stated is not None:
        directions = np.array([np.asarray(stated[place], float) for place in spatial])
        lengths = np.linalg.norm(directions, axis=1)
        if directions.shape == (3, 3) and np.isfinite(lengths).all() and lengths.min() > 0:
            if signs is None:
                notes.append("The file doesn't say how it lies in the patient: planes are shown as stored.")
            turned = upright(directions * signs) if signs is not None else (False, False, False)
            return (float(lengths[0]), float(lengths[1]), float(lengths[2])), turned, True
    spacings = header.get("spacings")
    notes.append("The file doesn't say how it lies in the patient: planes are shown as stored.")
    if spacings is not None:
        steps = [float(spacings[place]) for place in spatial]
        if np.isfinite(steps).all() and min(steps) > 0:
            return (steps[0], steps[1], steps[2]), (False, False, False), True
    notes.append("The file states no pixel size: lengths are in pixels.")
    return (1.0, 1.0, 1.0), (False, False, False), False


def _check_beside(header: dict[str, Any], path: Path) -> None:
    """Refuse a header that points to pixels anywhere but beside it, and a file that is too short."""
    named = str(header.get("data file", header.get("datafile", "")))
    if named and (Path(named).name != named or not (path.parent / named).is_file()):
        raise ImageError(f"{path.name} keeps its pixels in {named!r}, which isn't a file beside it; put it there")
    if not named and header.get("encoding") == "raw":
        least = prod(int(side) for side in header["sizes"]) * np.dtype(_TYPES[str(header["type"])]).itemsize
        if least > path.stat().st_size:
            raise ImageError(
                f"{path.name} declares {least} bytes of pixels but holds {path.stat().st_size}: it is cut off; "
                "copy it again"
            )


class _Pixels:
    """The pixels, read once and never more than declared: most NRRD files are compressed as a whole."""

    def __init__(self, path: Path, header: dict[str, Any], order: tuple[int, ...]) -> None:
        self._path, self._header, self._order = path, header, order
        self._read: NDArray[Any] | None = None
        self._lock = Lock()

    def __call__(self) -> NDArray[Any]:
        with self._lock:
            if self._read is None:
                try:
                    self._read = self._stored().transpose(self._order)
                except ImageError:
                    raise
                except Exception as error:
                    raise ImageError(f"{self._path.name} can't be read: {first_line(error)}; copy it again") from error
            return self._read

    def _stored(self) -> NDArray[Any]:
        import nrrd

        header = self._header
        sizes = tuple(int(side) for side in header["sizes"])
        dtype = np.dtype(_TYPES[str(header["type"])]).newbyteorder(">" if header.get("endian") == "big" else "<")
        beside = header.get("data file", header.get("datafile"))
        with self._path.open("rb") as first:
            nrrd.read_header(first)  # leaves the file where the pixels start
            file: Any = (self._path.parent / str(beside)).open("rb") if beside else first
            with file:
                for _ in range(int(header.get("line skip", header.get("lineskip", 0)))):
                    file.readline()
                encoding = _OPENERS.get(str(header["encoding"]))
                if encoding is None:
                    raise ImageError(
                        f"{self._path.name} is stored as {header['encoding']}, which isn't read here; save it as gzip"
                    )
                source = encoding(file)
                source.read(max(0, int(header.get("byte skip", header.get("byteskip", 0)))))
                stored = source.read(prod(sizes) * dtype.itemsize)
        if len(stored) != prod(sizes) * dtype.itemsize:
            raise ImageError(
                f"{self._path.name} declares sides {sizes}, {prod(sizes) * dtype.itemsize} bytes, but holds "
                f"{len(stored)}: it is cut off; copy it again"
            )
        return np.frombuffer(stored, dtype).reshape(sizes, order="F")
