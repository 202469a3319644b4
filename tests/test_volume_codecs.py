"""Lossless and 12-bit JPEG, as archives keep CT and MR, give the values that were put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

import imagecodecs  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import generate_uid  # noqa: E402

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.dicom import read_dicom  # noqa: E402
from napari_unetsharp.images.volume_open import open_volume  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "data" / "formats" / "dicom"
EXTENDED, LOSSLESS, LOSSLESS_FIRST = (f"1.2.840.10008.1.2.4.{end}" for end in (51, 57, 70))
RNG = np.random.default_rng(0)


def write(path: Path, frame: bytes, shape: tuple[int, ...], syntax: str, **elements: object) -> Path:
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = "1.2.840.10008.5.1.4.1.1.2", generate_uid(), "CT"
    header.SeriesInstanceUID = "1.2.3"
    header.Rows, header.Columns = shape[:2]
    coloured = len(shape) == 3
    header.SamplesPerPixel, header.PhotometricInterpretation = (3, "RGB") if coloured else (1, "MONOCHROME2")
    if coloured:
        header.PlanarConfiguration = 0
    header.BitsAllocated, header.BitsStored, header.PixelRepresentation = 16, 16, 0
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    header.HighBit = header.BitsStored - 1
    header.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
    header["PixelData"].VR, header["PixelData"].is_undefined_length = "OB", True
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [LOSSLESS, LOSSLESS_FIRST])
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (12, True), (16, True)])
def test_lossless_greys(tmp_path: Path, syntax: str, bits: int, signed: bool):
    low = -(2 ** (bits - 1)) if signed else 0
    values = RNG.integers(low, low + 2**bits, (33, 47)).astype(np.int64)
    stored = (values & (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    frame = imagecodecs.ljpeg_encode(stored, bitspersample=bits)
    depth = {"BitsAllocated": 8 if bits == 8 else 16, "BitsStored": bits, "PixelRepresentation": int(signed)}
    image = read_dicom(write(tmp_path / "a.dcm", frame, stored.shape, syntax, **depth))
    np.testing.assert_array_equal(image.pixels, values)


def test_lossless_colours_stay_as_they_are(tmp_path: Path):
    colours = RNG.integers(0, 256, (32, 40, 3), dtype=np.uint8)
    frame = imagecodecs.jpeg8_encode(colours, lossless=True, colorspace="RGB", outcolorspace="RGB")
    path = write(tmp_path / "a.dcm", bytes(frame), colours.shape, LOSSLESS_FIRST, BitsAllocated=8, BitsStored=8)
    np.testing.assert_array_equal(read_dicom(path).pixels, colours)


def test_twelve_bits_with_loss(tmp_path: Path):
    y, x = np.mgrid[:64, :80]
    smooth = (2000 + 1500 * np.sin(x / 11 + y / 17)).astype(np.uint16)
    frame = imagecodecs.jpeg8_encode(smooth, level=95, bitspersample=12)
    image = read_dicom(write(tmp_path / "a.dcm", bytes(frame), smooth.shape, EXTENDED, BitsStored=12))
    assert np.abs(image.pixels.astype(int) - smooth).max() < 40


def test_a_lossless_series_is_a_volume_with_its_values(tmp_path: Path):
    planes = RNG.integers(0, 4096, (3, 20, 30), dtype=np.uint16)
    for number, plane in enumerate(planes):
        frame = imagecodecs.ljpeg_encode(plane, bitspersample=12)
        write(tmp_path / f"{9 - number}.dcm", frame, plane.shape, LOSSLESS_FIRST, BitsStored=12,
              ImagePositionPatient=[0, 0, 2 * number], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
              RescaleSlope=1, RescaleIntercept=-1024)  # fmt: skip
    volume = open_volume(tmp_path)
    np.testing.assert_array_equal(np.asarray(volume.pixels), planes.astype(int) - 1024)


def test_half_a_frame_is_refused(tmp_path: Path):
    frame = imagecodecs.ljpeg_encode(RNG.integers(0, 4096, (64, 64), dtype=np.uint16), bitspersample=12)
    path = write(tmp_path / "a.dcm", frame[: len(frame) // 2], (64, 64), LOSSLESS, BitsStored=12)
    with pytest.raises(ImageError, match="can't be decoded"):
        read_dicom(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the files of /work/shared")
def test_the_two_names_of_a_real_file_hold_the_same_values():
    first, second = (read_dicom(SHARED / f"pydicom_{name}.dcm").pixels for name in ("JPEG-lossy", "JPGExtended"))
    np.testing.assert_array_equal(first, second)
    assert (first[420, 140], first[230, 120]) == (244, 95)  # as pydicom's own tests find by another decoder
