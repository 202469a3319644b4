"""DICOM in: one file, one frame or many, and never a word about the patient."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images import dicom_codecs
from napari_unetsharp.images.dicom_header import (
    GREYS,
    Layout,
    functional_group,
    is_compressed,
    numbers,
    read_header,
    read_layout,
    read_steps,
    remarks,
    spoken,
)
from napari_unetsharp.images.dicom_values import (
    fitting_type,
    modality_limits,
    modality_table,
    read_rescales,
    valued,
)
from napari_unetsharp.images.image import Image, check_size

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_HEARD = {
    "excess padding": "The file holds a few bytes after the pixels; they were left out.",
    "Photometric Interpretation": "Header and compressed data disagree about the colours; the data was believed.",
}


dicom_codecs.register()


def read_dicom(path: str | Path) -> Image:
    """Read one DICOM file: grey or colour, one frame or many.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Image
        Axes "YX" or "YXC", with Z before them where the file says how far its frames lie apart, else T.
        Modality values (rescaled, whole numbers where exact); MONOCHROME1 inverted; YBR and palettes as RGB.
        Spacing in millimeter where stated. `name` is the file's stem, `notes` say what was done.

    Raises
    ------
    ImageError
        If the file is no DICOM, holds no picture, is cut off, damaged, deflated, too large or compressed
        in a way that no installed decoder reads.
    """
    path = Path(path)
    with guarded(path) as heard:
        header = read_header(path)
        layout = read_layout(header, path.name)
        _check_declared(header, layout, path)
        stored = _decoded(header, layout, path)
        pixels, notes = valued(stored, header, layout, path.name)
        steps, origin = read_steps(header, layout.frames)
        axes = layout.stack_letter("Z" in steps) + ("YXC" if layout.coloured else "YX")
        notes += origin + remarks(header) + [note for sign, note in _HEARD.items() if _mentioned(heard, sign)]
        letters = axes.removesuffix("C")
        scale = tuple(steps.get(letter, 1.0) for letter in letters)
        units = tuple("millimeter" if letter in steps else "pixel" for letter in letters)
        return Image(pixels, axes, scale, units, path.stem, notes)


def display_window(path: str | Path) -> tuple[float, float] | None:
    """Grey values to show as black and white, as the file suggests; read from the header alone.

    Returns
    -------
    tuple of float or None
        In units of the pixels that `read_dicom` gives; None for colours or where nothing is suggested.

    Raises
    ------
    ImageError
        As `read_dicom`, for what the header shows.
    """
    path = Path(path)
    with guarded(path):
        header = read_header(path)
        layout = read_layout(header, path.name)
        group = functional_group(header, "FrameVOILUTSequence")
        centre, width = (numbers(group, keyword) for keyword in ("WindowCenter", "WindowWidth"))
        if layout.kind not in GREYS or not centre or not width or width[0] <= 0:
            return None
        middle = centre[0]
        if layout.kind == "MONOCHROME1":
            middle = sum(modality_limits(header, layout)) - middle
        return middle - width[0] / 2, middle + width[0] / 2


@contextmanager
def guarded(path: Path) -> Iterator[list[warnings.WarningMessage]]:
    """Keep what pydicom says inside: its warnings, log lines and errors may quote a patient's name."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield heard
        except ImageError:
            raise
        except Exception as error:  # damaged headers raise nearly anything
            kind = type(error).__name__
            raise ImageError(
                f"{path.name} can't be read as DICOM ({kind}): it is damaged or cut off; copy or export it again"
            ) from None
        finally:
            logger.setLevel(level)


def _mentioned(heard: list[warnings.WarningMessage], sign: str) -> bool:
    return any(sign in str(warning.message) for warning in heard)


def _check_declared(header: pydicom.FileDataset, layout: Layout, path: Path) -> None:
    """Refuse by the header alone: too large, cut off, or a slide in tiles that makes no stack."""
    shape = layout.shape if layout.samples == 3 or not layout.coloured else (*layout.shape, 3)
    check_size(shape, np.dtype(f"u{layout.allocated // 8 or 1}"), path.name)
    size = path.stat().st_size
    least = layout.frames * 8 if is_compressed(header) else layout.bytes  # 8: the mark of a compressed frame
    if least > size:
        raise ImageError(_cut_off(path.name, layout, size))
    if not layout.coloured and modality_table(header) is None:
        check_size(shape, fitting_type(read_rescales(header), layout), path.name)
    whole = (numbers(header, "TotalPixelMatrixRows") or (0,))[0]
    if header.get("SOPClassUID") == SLIDE and (layout.frames > 1 or whole > layout.rows):
        raise ImageError(
            f"{path.name} is one level of a whole slide, cut into {layout.frames} tiles, not a picture or a stack; "
            "open the slide as a slide or export a region of it"
        )


def _cut_off(name: str, layout: Layout, length: int) -> str:
    return (
        f"{name} declares pixels of shape {layout.shape}, {layout.bytes} bytes, but holds {length}: it is cut off "
        "or its header is wrong; copy or export it again"
    )


def _decoded(header: pydicom.FileDataset, layout: Layout, path: Path) -> NDArray[Any]:
    """Decode the stored values: shape `layout.shape`, colours as RGB, in the byte order of this machine."""
    wanted: list[Any] = [*_PIXELS, "ExtendedOffsetTable", "ExtendedOffsetTableLengths"]
    header.update(pydicom.dcmread(path, force=True, specific_tags=wanted))
    keyword = next((word for word in _PIXELS if word in header), "")
    if not keyword:
        raise ImageError(_cut_off(path.name, layout, 0))
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        plain = "1.2.840.10008.1.2" + ("" if implicit else ".1" if little else ".2")
        header.file_meta.TransferSyntaxUID = pydicom.uid.UID(plain)
    check_decoder(header, path.name)
    if is_compressed(header):
        _check_frames(header, layout, path.name)
    else:
        _check_length(len(header[keyword].value or b""), layout, path.name)
    try:
        stored = pixel_array(header)
    except Exception as error:  # every decoder has its own kinds
        raise ImageError(_undecoded(header, path.name, error)) from error
    if stored.shape != layout.shape:
        raise ImageError(f"{path.name} declares shape {layout.shape} but holds {stored.shape}; export it again")
    return np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))


def _check_length(length: int, layout: Layout, name: str) -> None:
    """Refuse too few bytes (cut off), and a row or column too many (wrong sides: the picture would be skewed)."""
    line = layout.bytes // layout.frames // max(layout.rows, layout.columns)
    if length < layout.bytes or length - layout.bytes >= max(line, 2):
        raise ImageError(_cut_off(name, layout, length))


def check_decoder(header: pydicom.FileDataset, name: str) -> None:
    syntax = header.file_meta.TransferSyntaxUID
    try:
        ready = get_decoder(syntax).is_available
    except NotImplementedError:
        raise ImageError(
            f"{name} is stored as {spoken(syntax)}, which can't be read here; save it without compression"
        ) from None
    if not ready:
        raise ImageError(
            f"{name} is stored as {spoken(syntax)}: install its decoder with pip install "
            '"napari-unetsharp[dicom]", or save it without compression'
        )


def _undecoded(header: pydicom.FileDataset, name: str, error: Exception) -> str:
    syntax = header.file_meta.TransferSyntaxUID
    reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip().rstrip(".")
    return f"the pixels of {name} can't be decoded ({spoken(syntax)}): {reason[:160]}; copy or export it again"


def _check_frames(header: pydicom.FileDataset, layout: Layout, name: str) -> None:
    """Compare the sides inside each compressed frame with the header, before a decoder trusts them."""
    count = 0
    lengths = header.get("ExtendedOffsetTableLengths")
    offsets = (header.ExtendedOffsetTable, lengths) if lengths else None
    for frame in generate_frames(header.PixelData, number_of_frames=layout.frames, extended_offsets=offsets):
        count += 1
        sides = frame_sides(frame)
        if sides and sides != (layout.rows, layout.columns):
            raise ImageError(
                f"{name} declares {layout.rows} x {layout.columns} pixels but a compressed frame holds "
                f"{sides[0]} x {sides[1]}; export it again"
            )
    if count != layout.frames:
        raise ImageError(f"{name} declares {layout.frames} frames but holds {count}; copy or export it again")


def frame_sides(frame: bytes) -> tuple[int, int] | None:
    """(Y, X) from the start of a JPEG, JPEG-LS or JPEG 2000 frame; None where there is no such start."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 512 if frame[4:6] == b"jP" else 4)
    if start >= 0:
        right, bottom, left, top = np.frombuffer(frame[start + 8 : start + 24], ">u4").tolist()
        return bottom - top, right - left
    place = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        mark = frame[place + 1]
        if mark == 0xF7 or (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)):
            rows, columns = np.frombuffer(frame[place + 5 : place + 9], ">u2").tolist()
            return rows, columns
        place += 1 if mark == 0xFF else 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None
