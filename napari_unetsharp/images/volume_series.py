"""DICOM series: pictures of one scan, ordered by where they lie in the patient."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.dicom import SLIDE, display_window, guarded, read_dicom
from napari_unetsharp.images.dicom_header import (
    functional_group,
    numbers,
    read_header,
    read_layout,
    read_steps,
)
from napari_unetsharp.images.dicom_values import fitting_type, modality_table, read_rescales
from napari_unetsharp.images.volume import Planes, Volume, check_steps

_NO_PICTURES = ("RTSTRUCT", "SEG", "RTPLAN", "SR", "PR", "KO", "REG", "RTDOSE")
_MOST_NAMED = 3
_SAME_PLACE = 1e-3


@dataclass
class _Picture:
    """A file of a series; `place` in mm along the normal, None where not stated."""

    path: Path
    series: str
    modality: str
    sides: tuple[int, int, int]
    turn: tuple[float, ...]
    origin: tuple[float, ...]
    place: float | None
    number: float
    time: tuple[float, ...]
    dtype: np.dtype[Any]
    steps: dict[str, float]
    notes: list[str]


def open_series(path: Path) -> Volume:
    """Open the scan that a folder holds or that a file belongs to.

    Parameters
    ----------
    path : Path
        A folder with one series, or any file of one.

    Returns
    -------
    Volume
        Axes "ZYX" ("TZYX" where each place was taken several times), with C where coloured; modality values, as
        `dicom.read_dicom` gives them for each file; spacing in millimeter.

    Raises
    ------
    ImageError
        If there is no series or more than one, or its files don't belong together.
    """
    with guarded(path):
        notes: list[str] = []
        pictures = _alike(_one_series(path, notes), path, notes)
        if len(pictures) == 1 and _frames(pictures[0].path) > 1:
            return _frames_volume(pictures[0], notes)
        return _volume(path, pictures, notes)


def _one_series(path: Path, notes: list[str]) -> list[_Picture]:
    folder = path if path.is_dir() else path.parent
    asked = None if path.is_dir() else _picture(path, strict=True)
    wanted = asked.series or "none stated" if asked else ""
    found: dict[str, list[_Picture]] = defaultdict(list)
    others = 0
    for one in sorted(folder.iterdir()):
        picture = _picture(one) if one.is_file() else None
        if picture is None:
            others += one.suffix.lower() == ".dcm"
        elif path == one or picture.series == wanted or (path.is_dir() and not wanted):
            found[picture.series].append(picture)
    if not found:
        raise ImageError(f"{path} holds no DICOM pictures; give a folder with one series, or one file of it")
    if len(found) > 1:
        named = ", ".join(f"{one[0].path.name} ({len(one)} pictures)" for one in list(found.values())[:_MOST_NAMED])
        raise ImageError(f"{path} holds {len(found)} series; give a file of the one you want, for instance {named}")
    if others and path.is_dir():
        notes.append(f"Files that hold no picture of the scan were left out: {others}.")
    return next(iter(found.values()))


def _picture(path: Path, *, strict: bool = False) -> _Picture | None:
    """What the header of a file says; None for what is no picture, or the reason where `strict`."""
    try:
        header = read_header(path)
        if str(header.get("Modality", "")) in _NO_PICTURES or header.get("SOPClassUID") == SLIDE:
            raise ImageError(f"{path.name} is no picture of a scan; give a file of a CT, MR or PET series")
        layout = read_layout(header, path.name)
    except ImageError:
        if strict:
            raise
        return None
    except Exception:
        if strict:
            raise
        return None
    turn = numbers(functional_group(header, "PlaneOrientationSequence"), "ImageOrientationPatient")
    origin = numbers(functional_group(header, "PlanePositionSequence"), "ImagePositionPatient")
    place = None
    if len(turn) == 6 and len(origin) == 3:
        place = float(np.dot(np.cross(turn[:3], turn[3:]), origin))
    if layout.coloured or modality_table(header) is not None:
        dtype = np.dtype(np.uint8 if layout.coloured else np.uint16)
    else:
        dtype = fitting_type(read_rescales(header), layout)
    steps, said = read_steps(header, layout.frames)
    return _Picture(
        path, str(header.get("SeriesInstanceUID", "")), str(header.get("Modality", "")),
        (layout.rows, layout.columns, 3 if layout.coloured else 1), turn, origin, place,
        (numbers(header, "InstanceNumber") or (0.0,))[0], _time(header),
        dtype,
        steps, said,
    )  # fmt: skip


def _time(header: pydicom.Dataset) -> tuple[float, ...]:
    words = ("TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "AcquisitionTime", "InstanceNumber")
    return tuple((numbers(header, word) or (0.0,))[0] for word in words)


def _frames(path: Path) -> int:
    return read_layout(read_header(path), path.name).frames


def _alike(pictures: list[_Picture], path: Path, notes: list[str]) -> list[_Picture]:
    """Pictures of the same sides and direction as the file given, or as most; a scout is left out, and said so."""
    groups: dict[Any, list[_Picture]] = defaultdict(list)
    for picture in pictures:
        groups[picture.sides, tuple(np.round(picture.turn, 3))].append(picture)
    asked = [group for group in groups.values() if any(picture.path == path for picture in group)]
    chosen = asked[0] if asked else max(groups.values(), key=len)
    left = len(pictures) - len(chosen)
    if left and len(chosen) < 2 and not asked:
        raise ImageError(
            f"the pictures of the series of {pictures[0].path.name} differ in size or direction, so they make no "
            "volume; open them one by one"
        )
    if left:
        notes.append(f"Pictures of another size or direction (a scout view, for instance) were left out: {left}.")
    return chosen


def _volume(path: Path, pictures: list[_Picture], notes: list[str]) -> Volume:
    grid, apart = _ordered(pictures, notes)
    first = grid[0][0]
    notes += first.notes
    dtype = np.result_type(*(picture.dtype for picture in pictures))
    times, planes = len(grid), len(grid[0])
    coloured = first.sides[2] == 3
    stack = (planes,) if times == 1 else (times, planes)
    shape = (*stack, *first.sides[:2], *((3,) if coloured else ()))
    name = path.name if path.is_dir() else path.parent.name

    def read(place: tuple[int, ...]) -> NDArray[Any]:
        picture = grid[place[0] if times > 1 else 0][place[-1]]
        return _as_type(read_dicom(picture.path).pixels, dtype, picture.path.name)

    steps = {**first.steps, **({"Z": apart} if apart else {})}
    axes = ("T" if times > 1 else "") + "ZYX"
    notes += [note for note in read_dicom(first.path).notes if note not in notes]
    return Volume(
        Planes(shape, dtype, len(stack), read, name), axes + ("C" if coloured else ""),
        tuple(steps.get(letter, 1.0) for letter in axes),
        tuple("millimeter" if letter in steps else "pixel" for letter in axes),
        name, notes, f"{first.modality or 'DICOM'} series", display_window(grid[0][planes // 2].path),
    )  # fmt: skip


def _as_type(pixels: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if dtype.kind in "ui" and pixels.size:
        limits = np.iinfo(dtype)
        if pixels.min() < limits.min or pixels.max() > limits.max:
            raise ImageError(f"{name} holds values beyond what its header declares; export it again")
    return np.ascontiguousarray(pixels, dtype=dtype)


def _ordered(pictures: list[_Picture], notes: list[str]) -> tuple[list[list[_Picture]], float]:
    """Pictures by time and place, and millimetres between places (0 where unknown)."""
    if any(picture.place is None for picture in pictures):
        if len(pictures) > 1:
            notes.append("The files don't say where they lie in the patient: they were put in order of their numbers.")
        return [sorted(pictures, key=lambda one: (one.number, one.path.name))], 0.0
    by_place: dict[int, list[_Picture]] = defaultdict(list)
    for picture in pictures:
        assert picture.place is not None
        by_place[round(picture.place / _SAME_PLACE)].append(picture)
    counts = {len(group) for group in by_place.values()}
    columns = [sorted(by_place[place], key=lambda one: one.time) for place in sorted(by_place)]
    if counts != {1}:
        if len(counts) > 1:
            twice = sum(len(group) > 1 for group in columns)
            raise ImageError(
                f"{twice} of {len(columns)} places of the series of {pictures[0].path.name} were taken several times, "
                "the others not: planes are missing or two scans are mixed; export the series again"
            )
        notes.append(f"Each place was taken {counts.pop()} times: the takes follow each other on the time axis.")
    places = np.array([group[0].place for group in columns], np.float64)
    apart = check_steps(places, notes)
    _check_tilt([group[0] for group in columns], notes)
    return [list(take) for take in zip(*columns, strict=True)], apart


def _check_tilt(pictures: list[_Picture], notes: list[str]) -> None:
    """Say when the planes shift sideways from one to the next (a tilted gantry)."""
    if len(pictures) < 2:
        return
    moved = np.subtract(pictures[-1].origin, pictures[0].origin)
    normal = np.cross(pictures[0].turn[:3], pictures[0].turn[3:])
    along = abs(float(np.dot(moved, normal)))
    aside = float(np.linalg.norm(moved - np.dot(moved, normal) * normal))
    if aside > 0.02 * along:
        notes.append(
            f"The planes shift sideways, by {aside:.3g} mm over {along:.3g} mm (a tilted scanner): "
            "they are shown straight above each other."
        )


def _frames_volume(picture: _Picture, notes: list[str]) -> Volume:
    """One file of many frames, put in order of their places where it states them."""
    image = read_dicom(picture.path)
    header = read_header(picture.path)
    places = _frame_places(header, image.pixels.shape[0])
    pixels, scale, units, axes = image.pixels, list(image.scale), list(image.units), image.axes
    notes += image.notes
    if places is not None and len(np.unique(np.round(places, 3))) == len(places):
        order = np.argsort(places)
        apart = check_steps(places[order], notes)
        if not np.array_equal(order, np.arange(len(order))):
            notes.append("The frames were put in order of their places in the patient.")
        pixels = pixels[order]
        axes, scale[0], units[0] = "Z" + axes[1:], apart, "millimeter"
    return Volume(
        Planes(pixels.shape, pixels.dtype, 1, lambda place: np.asarray(pixels[place[0]]), image.name), axes,
        tuple(scale), tuple(units), image.name, notes, f"{picture.modality or 'DICOM'} volume",
        display_window(picture.path),
    )  # fmt: skip


def _frame_places(header: pydicom.Dataset, frames: int) -> NDArray[np.float64] | None:
    places = []
    for frame in range(frames):
        turn = numbers(functional_group(header, "PlaneOrientationSequence", frame), "ImageOrientationPatient")
        origin = numbers(functional_group(header, "PlanePositionSequence", frame), "ImagePositionPatient")
        if len(turn) != 6 or len(origin) != 3:
            return None
        places.append(float(np.dot(np.cross(turn[:3], turn[3:]), origin)))
    return np.array(places)
