"""Slides of 100,000 px that take little room on the disk: most of their tiles are missing, or the same."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image as Picture
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

SIDE, TILE, LEVELS = 100_000, 256, 7
UM = 0.25


def write_all(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write one giant after the other; each is gone when the next is asked for."""
    for name, file, write in (
        ("tiled TIFF in colour, 7 levels", "colour.tif", colour_pyramid),
        ("OME-TIFF, 3 x 16 bit, 7 levels", "deep.ome.tif", deep_pyramid),
        ("flat TIFF in one piece, 30 GB", "flat.tif", flat),
        ("flat TIFF in one compressed strip", "strip.tif", strip),
        ("OME-Zarr 0.5, 7 levels", "slide.zarr", multiscale),
        ("DICOM, TILED_FULL, 152,881 frames", "full.dcm", dicom_full),
        ("DICOM, TILED_SPARSE, 152,881 frames", "sparse.dcm", dicom_sparse),
    ):
        inner = folder / Path(file).stem.replace(".", "_")
        inner.mkdir()
        write(inner / file)
        yield name, inner / file
        if (inner / file).is_file():
            (inner / file).unlink()


def sides() -> list[int]:
    """Of the levels."""
    return [-(-SIDE // 2**level) for level in range(LEVELS)]


def colour_pyramid(path: Path) -> None:
    """Pages of falling size in zlib tiles, one of twenty stored."""
    held = zlib.compress(np.full((TILE, TILE, 3), 220, np.uint8).tobytes())
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level, side in enumerate(sides()):
            count = (-(-side // TILE)) ** 2
            pieces = (held if number % 20 == 0 else b"" for number in range(count))
            file.write(pieces, shape=(side, side, 3), dtype=np.uint8, tile=(TILE, TILE), compression="zlib",
                       photometric="rgb", metadata=None, subfiletype=int(level > 0))  # fmt: skip


def deep_pyramid(path: Path) -> None:
    """Three channels in SubIFDs."""
    held = zlib.compress(np.full((TILE, TILE), 900, np.uint16).tobytes())
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        for level, side in enumerate(sides()):
            count = 3 * (-(-side // TILE)) ** 2
            pieces = (held if number % 20 == 0 else b"" for number in range(count))
            options = {"subifds": LEVELS - 1, "metadata": {"axes": "CYX", "PhysicalSizeX": UM, "PhysicalSizeY": UM}}
            file.write(pieces, shape=(3, side, side), dtype=np.uint16, tile=(TILE, TILE), compression="zlib",
                       photometric="minisblack", **(options if level == 0 else {"subfiletype": 1}))  # fmt: skip


def flat(path: Path) -> None:
    """Uncompressed, a hole in the disk."""
    tifffile.imwrite(path, shape=(SIDE, SIDE, 3), dtype=np.uint8, photometric="rgb", bigtiff=True, metadata=None)


def strip(path: Path) -> None:
    """Refused: nothing of it can be read without all of it."""
    tifffile.imwrite(path, np.zeros((100, 100, 3), np.uint8), photometric="rgb", compression="zlib", rowsperstrip=100,
                     metadata=None)  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(50_000)


def multiscale(path: Path) -> None:
    """Chunks that aren't stored but for the middle."""
    group = zarr.open_group(path, mode="w")
    datasets = []
    for level, side in enumerate(sides()):
        array = group.create_array(str(level), shape=(3, side, side), chunks=(1, 512, 512), dtype="u1", fill_value=240)
        array[:, side // 2 - 300 : side // 2 + 300, side // 2 - 300 : side // 2 + 300] = 100
        scale = [1.0, UM * 2**level, UM * 2**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    axes = [{"name": "c", "type": "channel"}] + [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def dicom_full(path: Path) -> None:
    """One level in JPEG, frames row by row."""
    _dicom(path, sparse=False)


def dicom_sparse(path: Path) -> None:
    """One level in JPEG that states the place of each frame."""
    _dicom(path, sparse=True)


def _dicom(path: Path, *, sparse: bool) -> None:
    """Write the header by pydicom, then what is stated frame by frame and the frames by hand: it would take minutes."""
    count = -(-SIDE // TILE)
    header = Dataset()
    header.ImageType, header.SOPClassUID = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "1.2.840.10008.5.1.4.1.1.77.1.6"
    header.SOPInstanceUID, header.SeriesInstanceUID, header.Modality = generate_uid(), generate_uid(), "SM"
    header.Rows = header.Columns = TILE
    header.TotalPixelMatrixRows = header.TotalPixelMatrixColumns = SIDE
    header.NumberOfFrames, header.SamplesPerPixel, header.PhotometricInterpretation = count**2, 3, "YBR_FULL_422"
    header.PlanarConfiguration, header.BitsAllocated, header.BitsStored, header.HighBit = 0, 8, 8, 7
    header.PixelRepresentation = 0
    header.DimensionOrganizationType = "TILED_SPARSE" if sparse else "TILED_FULL"
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [UM / 1000] * 2
    shared.PixelMeasuresSequence = Sequence([measures])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(path, enforce_file_format=True)
    held = io.BytesIO()
    Picture.fromarray(np.full((TILE, TILE, 3), 235, np.uint8)).save(held, "JPEG")
    frame = held.getvalue() + b"\0" * (len(held.getvalue()) % 2)
    with path.open("ab") as file:
        if sparse:
            file.write(b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff")
            for number in range(count**2):
                row, column = divmod(number, count)
                file.write(_placed(column * TILE + 1, row * TILE + 1))
            file.write(b"\xfe\xff\xdd\xe0\0\0\0\0")
        offsets = np.arange(count**2, dtype="<u4") * (len(frame) + 8)
        file.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + _item(offsets.tobytes()))
        for _ in range(count):
            file.write(_item(frame) * count)
        file.write(b"\xfe\xff\xdd\xe0\0\0\0\0")


def _item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def _placed(column: int, row: int) -> bytes:
    """State the place of one frame in the sequences that the standard wants."""
    place = (
        b"\x48\x00\x1e\x02SL\x04\x00"
        + struct.pack("<i", column)
        + b"\x48\x00\x1f\x02SL\x04\x00"
        + struct.pack("<i", row)
    )
    inner = _item(place)
    return _item(b"\x48\x00\x1a\x02SQ\0\0" + struct.pack("<I", len(inner)) + inner)
