"""What the header of a DICOM file says: layout of the pixels, spacing, and what a person should know."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from pathlib import Path

import numpy as np
import pydicom
from pydicom.filereader import read_file_meta_info

from napari_unetsharp.errors import ImageError

GREYS = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1")
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_TIME_TAGS = (0x00181063, 0x00181065)


@dataclass(frozen=True)
class Layout:
    """What the header says about the stored pixels; sides in pixels, depths in bits."""

    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    used: int
    signed: bool
    kind: str

    @property
    def coloured(self) -> bool:
        return self.kind not in GREYS

    @property
    def shape(self) -> tuple[int, ...]:
        """As decoded: (Y, X), with F before and C behind where there is more than one."""
        shape = (self.frames, self.rows, self.columns, self.samples)
        return shape[self.frames == 1 : 4 - (self.samples == 1)]

    @property
    def bytes(self) -> int:
        """Length of the pixels when not compressed; YBR_FULL_422 keeps every second colour."""
        bits = self.frames * self.rows * self.columns * self.samples * self.allocated
        return ceil(bits * (2 / 3 if self.kind == "YBR_FULL_422" else 1) / 8)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value that can be stored."""
        half = 2 ** (self.used - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)

    def stack_letter(self, spatial: bool) -> str:
        return "" if self.frames == 1 else "Z" if spatial else "T"


def read_header(path: Path) -> pydicom.FileDataset:
    """Everything before the pixels; deflated files are refused before anything is inflated."""
    marked = check_start(path)
    return pydicom.dcmread(path, stop_before_pixels=True, force=not marked, defer_size=2**20)


def check_start(path: Path) -> bool:
    """Refuse what is no DICOM file or a deflated one by its first bytes; give whether it bears the DICM mark."""
    if not path.is_file():
        raise ImageError(f"{path} is not a file; give the path of a DICOM file")
    with path.open("rb") as file:
        start = file.read(132)
    marked = start[128:] == b"DICM"
    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", "")) if marked else ""
    if any(deflated in syntax for deflated in _DEFLATED):
        raise ImageError(
            f"{path.name} is a deflated DICOM file, which may grow a thousandfold in memory; "
            "save it in another transfer syntax (for instance with dcmconv +te) and open that"
        )
    # Without the mark only files that start at group 8 are tried: a meta group there could hide a deflated body.
    old = start[:2] in (b"\x08\x00", b"\x00\x08")
    if not marked and not old:
        raise ImageError(f"{path.name} is not a DICOM file (no DICM mark at byte 128); give a DICOM file")
    return marked


def spoken(uid: object) -> str:
    """Name a registered UID; any other text stays inside: in damaged files it may run on into the patient's data."""
    name = pydicom.uid.UID(str(uid)).name
    return "unknown" if name == str(uid) else name


def _whole(header: pydicom.Dataset, keyword: str, name: str, default: int | None = None) -> int:
    try:
        value = header.get(keyword)  # decoded here: a damaged value raises
        return int(default if value is None or value == "" else value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ImageError(
            f"the header of {name} has no readable {keyword}; a whole number is needed, so export it again"
        ) from None


def numbers(header: pydicom.Dataset, keyword: str) -> tuple[float, ...]:
    """All values of an element; empty where it is missing or not made of finite numbers."""
    try:
        value = header.get(keyword)
        values = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
        numbers = tuple(float(number) for number in values)
    except (TypeError, ValueError):
        return ()
    return numbers if all(isfinite(number) for number in numbers) else ()


def read_layout(header: pydicom.Dataset, name: str) -> Layout:
    if "Rows" not in header or "Columns" not in header:
        what = spoken(header.get("SOPClassUID"))
        raise ImageError(f"{name} holds no picture (kind: {what}); give a DICOM file with pixels")
    rows, columns, allocated = (_whole(header, word, name) for word in ("Rows", "Columns", "BitsAllocated"))
    frames, samples = _whole(header, "NumberOfFrames", name, 1), _whole(header, "SamplesPerPixel", name, 1)
    used, signed = _whole(header, "BitsStored", name, allocated), _whole(header, "PixelRepresentation", name, 0)
    kind = str(header.get("PhotometricInterpretation", "not stated"))
    if min(rows, columns, frames) < 1 or not 1 <= used <= allocated or allocated not in (1, 8, 16, 32, 64):
        raise ImageError(
            f"{name} declares {frames} frames of {rows} x {columns} pixels with {used} of {allocated} bits, "
            "which can't be; export it again"
        )
    if kind not in (_COLOURS if samples == 3 else (*GREYS, "PALETTE COLOR")) or samples not in (1, 3):
        raise ImageError(
            f"{name} has {samples} samples per pixel with photometric interpretation {kind[:16]!r}; "
            "grey, palette, RGB or YBR is needed, so convert it first"
        )
    return Layout(frames, rows, columns, samples, allocated, used, signed == 1, kind)


def is_compressed(header: pydicom.FileDataset) -> bool:
    syntax = header.file_meta.get("TransferSyntaxUID")
    return bool(syntax is not None and syntax.is_transfer_syntax and syntax.is_compressed)


def functional_group(header: pydicom.Dataset, keyword: str, frame: int = 0) -> pydicom.Dataset:
    """Find the functional group of a frame, shared or its own; the plain header where there is none."""
    for outer, index in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        items = header.get(outer) or []
        if len(items) > index and items[index].get(keyword):
            return items[index].get(keyword)[0]
    return header


def read_steps(header: pydicom.Dataset, frames: int) -> tuple[dict[str, float], list[str]]:
    """Millimetres by axis letter, and what to say about them."""
    places = [(functional_group(header, "PixelMeasuresSequence"), "PixelSpacing"), (header, "PixelSpacing")]
    places += [(header, "ImagerPixelSpacing"), (header, "NominalScannedPixelSpacing")]
    steps, notes = {}, ["The file states no pixel size: lengths are in pixels."]
    for group, keyword in places:
        sides = numbers(group, keyword)
        if len(sides) == 2 and min(sides) > 0:
            steps, notes = {"Y": sides[0], "X": sides[1]}, []
            if keyword == "ImagerPixelSpacing":
                notes.append("The pixel size is measured at the detector: things may be smaller than they seem.")
            break
    apart = _slice_step(header, frames) if frames > 1 else 0.0
    return steps | ({"Z": apart} if apart else {}), notes


def _slice_step(header: pydicom.Dataset, frames: int) -> float:
    """Millimetres between frames; 0 for films and for frames that don't lie evenly behind each other."""
    pointers = header.get("FrameIncrementPointer")
    pointers = pointers if isinstance(pointers, (list, pydicom.multival.MultiValue)) else [pointers]
    if any(pointer in _TIME_TAGS for pointer in pointers):
        return 0.0
    places = (functional_group(header, "PlanePositionSequence", frame) for frame in range(frames))
    positions = [numbers(place, "ImagePositionPatient") for place in places]
    if all(len(position) == 3 for position in positions) and len(set(positions)) > 1:
        moves = np.diff(np.array(positions), axis=0)
        length = float(np.linalg.norm(moves[0]))
        return length if np.allclose(moves, moves[0], atol=0.01 * length) else 0.0
    stated = numbers(functional_group(header, "PixelMeasuresSequence"), "SpacingBetweenSlices")
    stated = stated or numbers(header, "SpacingBetweenSlices")
    offsets = np.diff(numbers(header, "GridFrameOffsetVector"))
    if not stated and len(offsets) == frames - 1 and np.allclose(offsets, offsets[0], rtol=0.01):
        stated = (float(offsets[0]),)
    return abs(stated[0]) if stated else 0.0


def remarks(header: pydicom.Dataset) -> list[str]:
    """Tell what a person would want to know before segmenting."""
    notes = []
    if header.get("SOPClassUID") == _SEGMENTATION:
        notes.append("This file is a segmentation of another picture, not a picture.")
    if any(tag.group & 0xFF01 == 0x6000 for tag in header.keys()):  # noqa: SIM118 - iterating decodes every element
        notes.append("The overlay that is drawn on this picture was left out.")
    return notes
