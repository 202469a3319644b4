"""A DICOM segmentation of a series lies plane by plane on the pictures that it was found in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

highdicom = pytest.importorskip("highdicom")

import pydicom  # noqa: E402
import tifffile  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402
from test_volume import SCAN, write_plane, write_series  # noqa: E402

from napari_unetsharp.errors import ImageError, LabelsError, SettingsError  # noqa: E402
from napari_unetsharp.images.volume_open import open_volume  # noqa: E402
from napari_unetsharp.slides.dicom_series_seg import found_by, read_planes, write_series_seg  # noqa: E402
from napari_unetsharp.slides.dicom_source import Finder  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "data" / "formats" / "dicom_series"
needs_files = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the files of /work/shared")
LETTERS = "ab" * 32
FINDER = Finder("nuclei v1", LETTERS, "0.1.0", {"depth": "2"})
WHERE = {"StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5", "PatientID": "P1"}


def by_source(path: Path, folder: Path, limit: float = 1500) -> int:
    """Compare each plane with what is above a limit in the picture that it says it was made from; counts them."""
    files = {str(pydicom.dcmread(file).SOPInstanceUID): file for file in folder.glob("*.dcm")}
    read = pydicom.dcmread(path)
    frames = read.pixel_array.reshape(-1, read.Rows, read.Columns)
    for frame, group in zip(frames, read.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        picture = pydicom.dcmread(files[source.ReferencedSOPInstanceUID])
        values = picture.pixel_array * float(picture.get("RescaleSlope", 1)) + float(picture.get("RescaleIntercept", 0))
        np.testing.assert_array_equal(frame, values > limit)
        assert group.PlanePositionSequence[0].ImagePositionPatient == picture.ImagePositionPatient
    return len(frames)


def test_planes_of_a_series_lie_on_the_pictures_that_they_were_found_in(tmp_path: Path):
    folder = write_series(tmp_path / "ct", [2.5 * number - 40 for number in range(7)], **WHERE)
    labels = (np.asarray(open_volume(folder).pixels) > 1500).astype(np.uint16) * 300
    for source in (folder, folder / "3.dcm"):
        assert write_series_seg(tmp_path / "seg.dcm", source, labels, FINDER) == 7
        assert by_source(tmp_path / "seg.dcm", folder) == 7
    volume = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    assert volume.spacing == pytest.approx((2.5, 0.8, 0.7))
    assert volume.array.sum() == np.count_nonzero(labels)
    read = pydicom.dcmread(tmp_path / "seg.dcm")
    assert {keyword: read[keyword].value for keyword in WHERE} == WHERE
    (segment,) = read.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"


def test_empty_planes_of_a_series_are_left_out(tmp_path: Path):
    folder = write_series(tmp_path / "ct", [2.5 * number for number in range(7)], **WHERE)
    labels = (np.asarray(open_volume(folder).pixels) > 1500).astype(np.int32)
    labels[[0, 4]] = 0
    assert write_series_seg(tmp_path / "seg.dcm", folder, labels, FINDER) == 5
    assert by_source(tmp_path / "seg.dcm", folder) == 5


def test_a_single_picture(tmp_path: Path):
    folder = tmp_path / "mr"
    folder.mkdir()
    source = write_plane(folder / "1.dcm", SCAN[0], [1.0, 2.0, 3.0], 1, **WHERE)
    assert write_series_seg(tmp_path / "seg.dcm", source, SCAN[0] > 1500, FINDER) == 1
    assert by_source(tmp_path / "seg.dcm", folder) == 1


def test_frames_of_one_file_that_are_stored_in_any_order(tmp_path: Path):
    places, groups = [4.0, 0.0, 6.0, 2.0], []
    for place in places:
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, place]
        group.PlanePositionSequence = [position]
        groups.append(group)
    turn, measures, shared = Dataset(), Dataset(), Dataset()
    turn.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.7]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [turn], [measures]
    source = write_plane(
        tmp_path / "enhanced.dcm", SCAN[0], None, 1, NumberOfFrames=4, PixelData=SCAN[:4].astype("<i2").tobytes(),
        PerFrameFunctionalGroupsSequence=groups, SharedFunctionalGroupsSequence=[shared],
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", **WHERE,
    )  # fmt: skip
    labels = np.asarray(open_volume(source).pixels) > 1500
    assert write_series_seg(tmp_path / "seg.dcm", source, labels, FINDER) == 4
    read = pydicom.dcmread(tmp_path / "seg.dcm")
    for frame, group in zip(read.pixel_array, read.PerFrameFunctionalGroupsSequence, strict=True):
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        number = reference.ReferencedFrameNumber - 1
        np.testing.assert_array_equal(frame, SCAN[number] > 1500)
        assert group.PlanePositionSequence[0].ImagePositionPatient[2] == places[number]


def test_pictures_without_a_thickness(tmp_path: Path):
    folder = write_series(tmp_path / "ct", [2.5 * number for number in range(7)], **WHERE | {"SliceThickness": None})
    labels = np.asarray(open_volume(folder).pixels) > 1500
    write_series_seg(tmp_path / "seg.dcm", folder, labels, FINDER)
    assert by_source(tmp_path / "seg.dcm", folder) == 7
    assert highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True).array.sum() == labels.sum()


def test_names_that_break_the_rules_are_passed_on_as_they_are(tmp_path: Path):
    folder = tmp_path / "ct"
    folder.mkdir()
    with pytest.warns(UserWarning, match="The value length"):
        source = write_plane(folder / "1.dcm", SCAN[0], [1.0, 2.0, 3.0], 1, **WHERE | {
            "PatientName": "ONEWORD", "AccessionNumber": "longer than sixteen", "SpecificCharacterSet": "",
        })  # fmt: skip
    write_series_seg(tmp_path / "seg.dcm", source, SCAN[0] > 1500, FINDER)
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientName == "ONEWORD"


def test_labels_that_do_not_fit_are_refused(tmp_path: Path):
    folder = write_series(tmp_path / "ct", [2.5 * number for number in range(7)], **WHERE)
    with pytest.raises(LabelsError, match="7 planes and the labels have 6"):
        write_series_seg(tmp_path / "seg.dcm", folder, np.ones((6, 20, 30), np.int32), FINDER)
    with pytest.raises(LabelsError, match=r"30 x 21 pixels .* 30 x 20"):
        write_series_seg(tmp_path / "seg.dcm", folder, np.ones((7, 21, 30), np.int32), FINDER)
    with pytest.raises(SettingsError, match="no DICOM file"):
        write_series_seg(tmp_path / "seg.dcm", tmp_path / "a.tif", np.ones((7, 20, 30), np.int32), FINDER)
    nowhere = write_series(tmp_path / "nowhere", [2.5 * number for number in range(7)], StudyInstanceUID="1.2")
    with pytest.raises(ImageError, match=r"FrameOfReferenceUID missing") as caught:
        write_series_seg(tmp_path / "seg.dcm", nowhere, np.ones((7, 20, 30), np.int32), FINDER)
    assert "Secret" not in str(caught.value)
    assert not (tmp_path / "seg.dcm").exists()


def test_what_found_a_mask_is_read_from_the_report_beside_it(tmp_path: Path):
    report = {
        "version": "0.1.0", "checkpoint": {"name": "nuclei v1", "sha256": LETTERS}, "level": 2, "threshold": 0.5,
        "split": True, "images": [{"files": [str(tmp_path / "ct_L2.tif")]}],
    }  # fmt: skip
    (tmp_path / "report.json").write_text(json.dumps(report))
    found = found_by(tmp_path / "ct_L2.tif")
    assert (found.model, found.sha256, found.version) == ("nuclei v1", LETTERS, "0.1.0")
    assert found.settings == {"level": "2", "threshold": "0.5", "split": "True"}
    assert found_by(tmp_path / "other.tif").model == "unknown"
    (tmp_path / "report.json").write_text("[")
    assert found_by(tmp_path / "ct_L2.tif").model == "unknown"


def test_only_labels_are_read_as_labels(tmp_path: Path):
    stack = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(read_planes(tmp_path / "a.tif"), stack)
    tifffile.imwrite(tmp_path / "b.tif", stack.astype(np.float32), photometric="minisblack")
    with pytest.raises(LabelsError, match="whole numbers"):
        read_planes(tmp_path / "b.tif")


@needs_files
@pytest.mark.parametrize("name", ["dcmqi_ct3slice", "STS_002/MR_T1/image"])
def test_real_series(tmp_path: Path, name: str):
    pixels = np.asarray(open_volume(SHARED / name).pixels)
    limit = float(np.percentile(pixels, 90))
    assert write_series_seg(tmp_path / "seg.dcm", SHARED / name, pixels > limit, FINDER) == len(pixels)
    assert by_source(tmp_path / "seg.dcm", SHARED / name, limit) == len(pixels)
