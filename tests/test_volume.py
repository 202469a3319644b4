"""Scans are ordered by where they lie, keep their values and steps, and say what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import generate_uid  # noqa: E402

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.image import Image  # noqa: E402
from napari_unetsharp.images.slide_open import open_slide  # noqa: E402
from napari_unetsharp.images.volume import Planes, Volume, check_steps, upright, windowed  # noqa: E402
from napari_unetsharp.images.volume_open import kind_of, open_any, open_volume  # noqa: E402

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"
needs_files = pytest.mark.skipif(not FORMATS.is_dir(), reason="needs the files of /work/shared")

SCAN = np.random.default_rng(0).integers(0, 2000, (7, 20, 30), dtype=np.int16)
AXIAL, CORONAL, SAGITTAL = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]


def write_plane(path: Path, plane: np.ndarray, place: list[float] | None, number: int, **elements: Any) -> Path:
    """Write one picture of a series."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
    header.SeriesInstanceUID, header.Modality, header.PatientName = "1.2.3", "CT", "Secret^Person"
    header.Rows, header.Columns = plane.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = int(plane.dtype.kind == "i")
    header.PixelSpacing, header.InstanceNumber, header.SliceThickness = [0.8, 0.7], number, 9.0
    if place is not None:
        header.ImagePositionPatient, header.ImageOrientationPatient = place, AXIAL
    header.PixelData = plane.astype(plane.dtype.newbyteorder("<")).tobytes()
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    header["PixelData"].VR = "OW"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, places: list[float], **elements: Any) -> Path:
    """Write `SCAN` with names and numbers that tell nothing about the order."""
    folder.mkdir()
    order = np.random.default_rng(1).permutation(len(places))
    for name, number in enumerate(order):
        write_plane(folder / f"{name}.dcm", SCAN[number], [-10.0, -20.0, places[number]], name + 1, **elements)
    return folder


def test_planes_are_ordered_by_where_they_lie(tmp_path: Path):
    places = [2.5 * number - 40 for number in range(7)]
    folder = write_series(
        tmp_path / "ct", places, RescaleIntercept=-1024, RescaleSlope=1, WindowCenter=40, WindowWidth=400
    )
    (folder / "DICOMDIR.txt").write_text("not DICOM")
    volume = open_volume(folder)
    assert (volume.kind, volume.axes, volume.name) == ("CT series", "ZYX", "ct")
    assert volume.scale == pytest.approx((2.5, 0.8, 0.7))
    assert volume.units == ("millimeter",) * 3
    assert volume.window == (-160.0, 240.0)
    np.testing.assert_array_equal(np.asarray(volume.pixels), SCAN - 1024)
    np.testing.assert_array_equal(volume.plane((3,)), SCAN[3, ..., np.newaxis] - 1024)
    assert open_volume(folder / "4.dcm").pixels.shape == volume.pixels.shape
    assert isinstance(open_any(folder), Volume)
    assert isinstance(open_any(folder / "4.dcm"), Image)
    assert not isinstance(open_any(folder / "4.dcm"), Volume)


@pytest.mark.parametrize(("turn", "along"), [(CORONAL, 1), (SAGITTAL, 0)])
def test_other_directions(tmp_path: Path, turn: list[int], along: int):
    normal = np.cross(turn[:3], turn[3:])
    folder = tmp_path / "mr"
    folder.mkdir()
    for number in range(7):
        place = [5.0, 6.0, 7.0]
        place[along] = number * 3.0
        write_plane(folder / f"{9 - number}.dcm", SCAN[number], place, 1, ImageOrientationPatient=turn)
    volume = open_volume(folder)
    expected = SCAN if normal[along] > 0 else SCAN[::-1]
    np.testing.assert_array_equal(np.asarray(volume.pixels), expected)
    assert volume.scale[0] == pytest.approx(3.0)


def test_a_missing_plane_and_uneven_ones_are_told(tmp_path: Path):
    volume = open_volume(write_series(tmp_path / "gap", [0, 2, 4, 8, 10, 12, 14]))
    assert volume.notes == [
        "A plane is missing, the first after 4 mm (the next lies at 8): the planes are shown as if they followed "
        "each other."
    ]
    volume = open_volume(write_series(tmp_path / "gaps", [0, 2, 8, 10, 12, 16, 18]))
    assert "3 planes are missing, the first after 2 mm" in volume.notes[0]
    volume = open_volume(write_series(tmp_path / "uneven", [0, 2, 4, 6.5, 8.5, 10.5, 12.5]))
    assert "unevenly: from 2 to 2.5 mm apart; 2 mm was taken" in volume.notes[0]


def test_planes_taken_several_times_are_a_film(tmp_path: Path):
    folder = tmp_path / "film"
    folder.mkdir()
    for time in range(2):
        for number in range(3):
            place = [0.0, 0.0, 5.0 * number]
            write_plane(folder / f"{time}{number}.dcm", SCAN[3 * time + number], place, 1, AcquisitionNumber=2 - time)
    volume = open_volume(folder)
    assert (volume.axes, volume.scale[1], volume.units[0]) == ("TZYX", 5.0, "pixel")
    np.testing.assert_array_equal(np.asarray(volume.pixels), np.stack([SCAN[3:6], SCAN[:3]]))
    (folder / "12.dcm").unlink()
    with pytest.raises(ImageError, match=r"2 of 3 places .* were taken several times, the others not"):
        open_volume(folder)


def test_each_plane_is_rescaled_by_its_own_slope_into_one_type(tmp_path: Path):
    folder = tmp_path / "pet"
    folder.mkdir()
    for number in range(3):
        write_plane(
            folder / f"{number}.dcm", SCAN[number], [0, 0, number], 1, RescaleSlope=number + 0.5, RescaleIntercept=0
        )
    volume = open_volume(folder)
    expected = np.stack([SCAN[number] * (number + 0.5) for number in range(3)])
    assert volume.pixels.dtype == np.float32
    np.testing.assert_allclose(np.asarray(volume.pixels), expected)


def test_inverted_greys_are_inverted_alike(tmp_path: Path):
    stored = SCAN.astype(np.uint16)
    folder = tmp_path / "xr"
    folder.mkdir()
    for number in range(3):
        write_plane(folder / f"{number}.dcm", stored[number], [0, 0, number], 1, BitsStored=12, HighBit=11,
                    PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=500)  # fmt: skip
    volume = open_volume(folder)
    np.testing.assert_array_equal(np.asarray(volume.pixels), 4095 - stored[:3])
    assert volume.window == (4095 - 1250, 4095 - 750)
    assert any("MONOCHROME1" in note for note in volume.notes)


def test_what_is_no_part_of_the_scan_is_left_out(tmp_path: Path):
    folder = write_series(tmp_path / "ct", list(range(7)))
    write_plane(folder / "scout.dcm", SCAN[0][:5], [0, 0, 0], 1, ImageOrientationPatient=CORONAL)
    write_plane(folder / "seg.dcm", SCAN[0], [0, 0, 0], 1, Modality="RTSTRUCT")
    volume = open_volume(folder)
    assert volume.pixels.shape == SCAN.shape
    assert len(volume.notes) == 2
    write_plane(folder / "other.dcm", SCAN[0], [0, 0, 0], 1, SeriesInstanceUID="1.2.4")
    with pytest.raises(ImageError, match="holds 2 series; give a file of the one you want") as caught:
        open_volume(folder)
    assert "Secret" not in str(caught.value)
    assert open_volume(folder / "0.dcm").pixels.shape == SCAN.shape


def test_a_tilted_scanner_and_missing_places_are_told(tmp_path: Path):
    folder = tmp_path / "tilted"
    folder.mkdir()
    for number in range(3):
        write_plane(folder / f"{number}.dcm", SCAN[number], [0, number * 0.5, number * 2], number)
    assert "shift sideways, by 1 mm over 4 mm" in open_volume(folder).notes[0]
    for number in range(3):
        write_plane(folder / f"{number}.dcm", SCAN[number], None, 3 - number)
    volume = open_volume(folder)
    assert "put in order of their numbers" in volume.notes[0]
    np.testing.assert_array_equal(np.asarray(volume.pixels), SCAN[2::-1])
    assert volume.units == ("pixel", "millimeter", "millimeter")


def test_planes_are_sliced_like_an_array():
    read: list[tuple[int, ...]] = []

    def plane(place: tuple[int, ...]) -> np.ndarray:
        read.append(place)
        return SCAN[place]

    planes = Planes(SCAN.shape, SCAN.dtype, 1, plane, "scan")
    for key in (
        3,
        -1,
        slice(2, 6, 2),
        (slice(1, 3), slice(4, 9)),
        (2, 5),
        (..., 7),
        (slice(3, 3), 1),
        (4, slice(None), 3),
    ):
        np.testing.assert_array_equal(planes[key], SCAN[key])
    read.clear()
    planes[3], planes[3]
    assert read == []
    with pytest.raises(IndexError):
        planes[7]


def test_a_window_makes_greys():
    pixels = np.array([[[-1000, -160, 41, 240, 3000]], [[0, 1, 2, 3, 4]]], np.int16)
    volume = Volume(pixels, "ZYX", name="ct", window=(-160.0, 240.0))
    shown = windowed(volume)
    assert np.asarray(shown.pixels).tolist() == [[[0, 0, 128, 255, 255]], [[102, 103, 103, 104, 105]]]
    assert shown.pixels.dtype == np.uint8
    assert windowed(volume, (0, 255)).plane((1,))[..., 0].tolist() == [[0, 1, 2, 3, 4]]
    for window in ((5.0, 5.0), (5.0, 4.0)):
        with pytest.raises(ImageError, match="two rising grey values"):
            windowed(volume, window)


def test_steps():
    notes: list[str] = []
    assert check_steps(np.arange(5) * 1.25, notes) == 1.25
    assert check_steps(np.array([3.0]), notes) == 0.0
    assert notes == []


@pytest.mark.parametrize(
    ("directions", "turned"),
    [
        (np.diag([1.0, 1.0, 1.0]), (False, False, False)),
        (np.diag([-1.0, -1.0, 1.0]), (True, True, False)),
        (np.diag([1.0, 1.0, -1.0]), (False, False, True)),
        ([[1, 0, 0], [0, 0, 1], [0, 1, 0]], (False, True, False)),  # coronal, stored upwards
        ([[0, 1, 0], [0, 0, -1], [1, 0, 0]], (False, False, True)),  # sagittal, from right to left
    ],
)
def test_upright(directions: Any, turned: tuple[bool, bool, bool]):
    assert upright(np.asarray(directions, float)) == turned


def test_kinds(tmp_path: Path):
    assert [kind_of(tmp_path / name) for name in ("a.svs", "a.nii.gz", "a.nrrd", "a.png", "a.qptiff", "a.mrxs")] == [
        "slide", "volume", "volume", "picture", "slide", "slide",
    ]  # fmt: skip
    with pytest.raises(ImageError, match="doesn't exist"):
        open_volume(tmp_path / "a.nii")
    (tmp_path / "a.mha").write_text("")
    with pytest.raises(ImageError, match="isn't a volume by its ending"):
        open_volume(tmp_path / "a.mha")
    with pytest.raises(ImageError, match="holds no DICOM pictures"):
        open_volume(tmp_path)


def test_large_and_many_sized_tiffs_are_slides(tmp_path: Path):
    tifffile = pytest.importorskip("tifffile")
    plane = SCAN[0].astype(np.uint16)
    tifffile.imwrite(tmp_path / "small.tif", plane)
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as file:
        file.write(plane, subifds=1)
        file.write(plane[::2, ::2], subfiletype=1)
    tifffile.imwrite(tmp_path / "large.tif", shape=(20_000, 20_000), dtype=np.uint8)
    assert [kind_of(tmp_path / f"{name}.tif") for name in ("small", "sizes", "large")] == ["picture", "slide", "slide"]
    with open_any(tmp_path / "large.tif") as slide:
        assert slide.levels[0][-1, -1].tolist() == [0]
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ImageError, match="the copy is incomplete"):
        open_slide(tmp_path / "empty.zarr")


def test_frames_of_one_file_are_put_in_order(tmp_path: Path):
    places = [4.0, 0.0, 6.0, 2.0]
    groups = []
    for place in places:
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, place]
        group.PlanePositionSequence = [position]
        groups.append(group)
    turn, measures, shared = Dataset(), Dataset(), Dataset()
    turn.ImageOrientationPatient, measures.PixelSpacing = AXIAL, [0.8, 0.7]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [turn], [measures]
    stored = SCAN[:4]
    path = write_plane(
        tmp_path / "enhanced.dcm", stored[0], None, 1, NumberOfFrames=4, PixelData=stored.astype("<i2").tobytes(),
        PerFrameFunctionalGroupsSequence=groups, SharedFunctionalGroupsSequence=[shared],
    )  # fmt: skip
    volume = open_volume(path)
    assert volume.axes == "ZYX"
    assert volume.scale == pytest.approx((2.0, 0.8, 0.7))
    np.testing.assert_array_equal(np.asarray(volume.pixels), stored[np.argsort(places)])
    assert "The frames were put in order of their places in the patient." in volume.notes


@needs_files
@pytest.mark.parametrize("name", ["CT", "MR_T1"])
def test_a_series_and_its_nifti_are_the_same_volume(name: str):
    pytest.importorskip("nibabel")
    series = open_volume(FORMATS / "dicom_series" / "STS_002" / name / "image")
    nifti = open_volume(FORMATS / "volumes" / "STS_002" / f"{name}_image.nii.gz")
    np.testing.assert_array_equal(np.asarray(series.pixels), np.asarray(nifti.pixels))
    assert series.scale == pytest.approx(nifti.scale, abs=1e-5)
    assert series.units == nifti.units
    mask = open_volume(FORMATS / "volumes" / "STS_002" / f"{name}_mask.nii.gz")
    assert mask.pixels.shape == series.pixels.shape


@needs_files
def test_a_file_of_many_frames():
    volume = open_volume(FORMATS / "dicom" / "pdata_emri_small.dcm")
    stored = pydicom.dcmread(FORMATS / "dicom" / "pdata_emri_small.dcm").pixel_array
    assert (volume.axes, volume.pixels.shape, volume.scale[0]) == ("ZYX", stored.shape, 1.2)
    assert {plane.tobytes() for plane in np.asarray(volume.pixels)} == {plane.tobytes() for plane in stored}
