"""What stored DICOM values mean: palettes, modality tables, slopes and intercepts, inverted greys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.dicom_header import Layout, functional_group, numbers


def valued(
    stored: NDArray[Any], header: pydicom.FileDataset, layout: Layout, name: str
) -> tuple[NDArray[Any], list[str]]:
    """Give the stored values their meaning: colours of a palette, modality values of greys."""
    if layout.kind == "PALETTE COLOR":
        first, palette = _palette(header, name)
        return _looked_up(stored, first, palette), ["The palette was applied: the colours are those shown on screen."]
    if layout.coloured:
        return stored, []
    notes = []
    table, rescales = modality_table(header), read_rescales(header)
    if layout.kind == "MONOCHROME1":
        notes.append("The file stores black as high values (MONOCHROME1); they were inverted to show like MONOCHROME2.")
        stored = _inverted(stored, layout) if table is None else stored
    if table is not None:
        first, entries, top = table
        entries = top - entries if notes else entries
        return _looked_up(stored, first, entries), [*notes, "The modality lookup table was applied."]
    if rescales != [(1.0, 0.0)]:
        each = "slope {:g}, intercept {:g}".format(*rescales[0]) if len(rescales) == 1 else "each frame its own"
        notes.append(f"The stored values were rescaled ({each}).")
    return _rescaled(stored, rescales, layout), notes


def _inverted(stored: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Mirror within the range of the bits in use, so that all frames and files of a kind stay comparable."""
    if stored.dtype.kind == "f":
        return np.asarray(stored.min() + stored.max() - stored)
    low, high = layout.limits
    return np.asarray(~stored if low else high - np.minimum(stored, stored.dtype.type(high)))


def read_rescales(header: pydicom.Dataset) -> list[tuple[float, float]]:
    """List (slope, intercept), one pair for all frames or one each; (1, 0) where none can be used."""
    pairs = []
    for frame in range(len(header.get("PerFrameFunctionalGroupsSequence") or "1")):
        group = functional_group(header, "PixelValueTransformationSequence", frame)
        slope, intercept = numbers(group, "RescaleSlope"), numbers(group, "RescaleIntercept")
        # A slope of 0 would wipe everything out: such files mean "not set".
        pairs.append((slope[0], intercept[0] if intercept else 0.0) if slope and slope[0] else (1.0, 0.0))
    return pairs if len(set(pairs)) > 1 else pairs[:1]


def fitting_type(rescales: list[tuple[float, float]], layout: Layout) -> np.dtype[Any]:
    """Choose the stored type where nothing changes, the smallest that is exact for whole results, else real numbers."""
    if rescales == [(1.0, 0.0)]:
        return np.dtype(f"{'i' if layout.signed else 'u'}{layout.allocated // 8 or 1}")
    if all(slope.is_integer() and intercept.is_integer() for slope, intercept in rescales):
        for kind in (np.uint8, np.int16, np.uint16, np.int32, np.uint32):
            if _holds(np.dtype(kind), rescales, layout.limits):
                return np.dtype(kind)
    return np.dtype(np.float32 if layout.used <= 16 else np.float64)


def _holds(dtype: np.dtype[Any], rescales: list[tuple[float, float]], limits: tuple[int, int]) -> bool:
    ends = [slope * end + intercept for slope, intercept in rescales for end in limits]
    return bool(np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max)


def _rescaled(stored: NDArray[Any], rescales: list[tuple[float, float]], layout: Layout) -> NDArray[Any]:
    if rescales == [(1.0, 0.0)]:
        return stored
    dtype = fitting_type(rescales, layout) if stored.dtype.kind in "ui" else stored.dtype
    if dtype.kind in "ui":  # measured: scanners rarely use the whole range, and decoders may give more than declared
        measured = int(stored.min()), int(stored.max())
        if _holds(stored.dtype, rescales, measured):
            dtype = stored.dtype
        elif not _holds(dtype, rescales, measured):
            dtype = np.dtype(np.float64)
    values = np.empty(stored.shape, dtype)
    frames = (stored, values) if layout.frames > 1 else (stored[np.newaxis], values[np.newaxis])
    each = rescales * layout.frames if len(rescales) == 1 else rescales
    for source, target, (slope, intercept) in zip(*frames, each, strict=True):
        target[...] = source * np.float64(slope) + np.float64(intercept)  # frame by frame: the copy stays small
    return values


def modality_limits(header: pydicom.Dataset, layout: Layout) -> tuple[float, float]:
    table = modality_table(header)
    if table is not None:
        return 0.0, float(table[2])
    slope, intercept = read_rescales(header)[0]
    low, high = layout.limits
    return slope * low + intercept, slope * high + intercept


def modality_table(header: pydicom.Dataset) -> tuple[int, NDArray[Any], int] | None:
    """First stored value, entries and largest possible entry of the modality lookup table."""
    if not header.get("ModalityLUTSequence"):
        return None
    item = header.ModalityLUTSequence[0]
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    little = bool(header.original_encoding[1])
    return first, _entries(item.LUTData, count or 2**16, little), 2**bits - 1


def _palette(header: pydicom.FileDataset, name: str) -> tuple[int, NDArray[np.uint8]]:
    """First stored value and colours (N, 3) of the palette; 16-bit colours keep their upper 8."""
    words = [f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")]
    if "RedPaletteColorLookupTableDescriptor" not in header or any(word not in header for word in words):
        raise ImageError(f"{name} needs a colour palette that it lacks or keeps in segments; save it as RGB")
    count, first, _ = (int(value) for value in header.RedPaletteColorLookupTableDescriptor)
    little = bool(header.original_encoding[1])
    colours = np.stack([_entries(header.get(word), count or 2**16, little) for word in words], axis=-1)
    return first, (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


def _entries(data: Any, count: int, little: bool) -> NDArray[Any]:
    """Entries of a lookup table, stored as bytes, as 16-bit words or (LUTData) as whole numbers."""
    if not isinstance(data, bytes):
        return np.asarray(data, dtype=np.uint16)[:count]
    entries = np.frombuffer(data, ("<u2" if little else ">u2") if len(data) >= 2 * count else "u1")[:count]
    if len(entries) < count:
        raise ValueError("the lookup table is shorter than declared")
    return entries.astype(entries.dtype.newbyteorder("="))


def _looked_up(stored: NDArray[Any], first: int, entries: NDArray[Any]) -> NDArray[Any]:
    """Values below and above the table take its first and last entry, as the standard wants."""
    return np.asarray(entries[np.clip(stored.astype(np.int32) - first, 0, len(entries) - 1)])
