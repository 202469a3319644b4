"""A DICOM segmentation of a slide holds exactly the nuclei, where they lie on the glass, and says whose they are."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

highdicom = pytest.importorskip("highdicom")
for needed in ("zarr", "pyarrow"):
    pytest.importorskip(needed)

import pydicom  # noqa: E402
import tifffile  # noqa: E402
from painted_slides import LETTERS, SIDES, labels_of, painted, painted_run, write_slide  # noqa: E402
from pydicom.pixels import unpack_bits  # noqa: E402

from napari_unetsharp.errors import ImageError, SaveError, SettingsError  # noqa: E402
from napari_unetsharp.images.slide_open import open_slide  # noqa: E402
from napari_unetsharp.slides import dicom_seg  # noqa: E402
from napari_unetsharp.slides.about import RunAbout  # noqa: E402
from napari_unetsharp.slides.dicom_seg import write_slide_seg  # noqa: E402
from napari_unetsharp.slides.dicom_source import Finder  # noqa: E402
from napari_unetsharp.slides.export import SlideFormat, export_slide  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "data" / "formats"
needs_files = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the files of /work/shared")
FINDER = Finder("nuclei v1", LETTERS, "0.1.0", {"depth": "2"})


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_seg, "LARGEST_TILE", 64)


def by_pydicom(path: Path) -> np.ndarray:
    """The whole segmented plane, put together from what pydicom reads and nothing else."""
    read = pydicom.dcmread(path)
    side = (read.Rows, read.Columns)
    assert (read.BitsAllocated, read.SegmentationType) == (1, "BINARY")
    frames = unpack_bits(read.PixelData)[: read.NumberOfFrames * side[0] * side[1]].reshape(-1, *side)
    height, width = read.TotalPixelMatrixRows, read.TotalPixelMatrixColumns
    whole = np.zeros((height + side[0], width + side[1]), np.uint8)
    for frame, group in zip(frames, read.PerFrameFunctionalGroupsSequence, strict=True):
        place = group.PlanePositionSlideSequence[0]
        top, left = place.RowPositionInTotalImagePixelMatrix - 1, place.ColumnPositionInTotalImagePixelMatrix - 1
        whole[top : top + side[0], left : left + side[1]] = frame
    assert not whole[height:].any()
    assert not whole[:, width:].any()
    return whole[:height, :width]


def write_empty_around(path: Path, slide: Any) -> np.ndarray:
    """Write labels that leave most tiles empty."""
    labels = np.zeros(SIDES, np.int32)
    labels[70:90, 75:81], labels[-3:, -5:] = 7, 9
    assert write_slide_seg(path, slide, lambda box: labels[box.slices], 1, FINDER) == 2
    return labels


@pytest.mark.parametrize("downsample", [1, 2])
def test_two_readers_see_the_labels(tmp_path: Path, downsample: int):
    with (
        open_slide(write_slide(tmp_path / "a.dcm")) as slide,
        painted_run(tmp_path / "run", slide, downsample) as store,
    ):
        inside = labels_of(store) > 0
    (path,) = export_slide(tmp_path / "run", tmp_path, [SlideFormat.DICOM_SEG]).files
    np.testing.assert_array_equal(by_pydicom(path), inside)
    read = highdicom.seg.segread(path)
    np.testing.assert_array_equal(read.get_total_pixel_matrix()[..., 0], inside)


def test_empty_tiles_are_left_out(tmp_path: Path):
    with open_slide(write_slide(tmp_path / "a.dcm")) as slide:
        labels = write_empty_around(tmp_path / "seg.dcm", slide)
    read = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (read.NumberOfFrames, len(read.PixelData)) == (2, 2 * 64 * 64 // 8)
    assert read.DimensionOrganizationType == "TILED_SPARSE"
    np.testing.assert_array_equal(by_pydicom(tmp_path / "seg.dcm"), labels > 0)
    indices = [
        group.FrameContentSequence[0].DimensionIndexValues for group in read.PerFrameFunctionalGroupsSequence
    ]  # rows 1 and 4, columns 1 and 5 of the tiles, counted among those that are there
    assert indices == [[1, 1, 1], [1, 2, 2]]


def test_the_open_slide_is_left_as_it_is(tmp_path: Path):
    with open_slide(write_slide(tmp_path / "a.dcm", PatientID=None)) as slide:
        before = str(slide.levels[0].tiles.header)
        for downsample in (1, 2):
            write_slide_seg(tmp_path / "s.dcm", slide, lambda box: np.ones(box.shape), downsample, FINDER)
        assert str(slide.levels[0].tiles.header) == before


def test_a_slide_without_nuclei_is_one_empty_tile(tmp_path: Path):
    with open_slide(write_slide(tmp_path / "a.dcm")) as slide:
        assert write_slide_seg(tmp_path / "s.dcm", slide, lambda box: np.zeros(box.shape), 1, FINDER) == 1
    assert not by_pydicom(tmp_path / "s.dcm").any()
    assert not highdicom.seg.segread(tmp_path / "s.dcm").get_total_pixel_matrix().any()


@pytest.mark.parametrize("downsample", [1, 2, 4])
def test_a_pixel_lies_on_the_glass_where_the_slide_has_it(tmp_path: Path, downsample: int):
    """Pixel (r, c) of the segmentation has its centre between the pixels of the slide that it stands for."""
    source = write_slide(tmp_path / "a.dcm", um=0.4)
    with open_slide(source) as slide:
        shape = tuple(-(-side // downsample) for side in SIDES)
        everywhere = np.ones(shape, np.int32)
        write_slide_seg(tmp_path / "s.dcm", slide, lambda box: everywhere[box.slices], downsample, FINDER)
    fine = highdicom.spatial.PixelToReferenceTransformer.for_image(pydicom.dcmread(source), for_total_pixel_matrix=True)
    coarse = highdicom.spatial.PixelToReferenceTransformer.for_image(
        pydicom.dcmread(tmp_path / "s.dcm"), for_total_pixel_matrix=True
    )
    points = np.array([[0, 0], [10, 3], [shape[1] - 1, shape[0] - 1]])
    corners = [points * downsample + move for move in np.ndindex(downsample, downsample)]
    meant = np.mean([fine(corner) for corner in corners], axis=0)
    np.testing.assert_allclose(coarse(points), meant, atol=1e-9)
    read = pydicom.dcmread(tmp_path / "s.dcm")
    whole = highdicom.spatial.PixelToReferenceTransformer.for_image(read, for_total_pixel_matrix=True)
    for group in read.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSlideSequence[0]
        told = [float(place[f"{axis}OffsetInSlideCoordinateSystem"].value) for axis in "XYZ"]
        column, row = place.ColumnPositionInTotalImagePixelMatrix - 1, place.RowPositionInTotalImagePixelMatrix - 1
        np.testing.assert_allclose(whole(np.array([[column, row]]))[0], told, atol=1e-9)


def test_it_says_what_it_belongs_to_and_what_found_it(tmp_path: Path):
    with open_slide(write_slide(tmp_path / "a.dcm")) as slide:
        write_empty_around(tmp_path / "seg.dcm", slide)
    source, read = pydicom.dcmread(tmp_path / "a.dcm"), pydicom.dcmread(tmp_path / "seg.dcm")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "ImageOrientationSlide"):
        assert read[keyword].value == source[keyword].value, keyword
    assert read.SeriesInstanceUID != source.SeriesInstanceUID
    (series,) = read.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence] == [source.SOPInstanceUID]
    assert [one.ReferencedSOPInstanceUID for one in read.SourceImageSequence] == [source.SOPInstanceUID]
    (segment,) = read.SegmentSequence
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("84640000", "SCT")
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Nuclei", "AUTOMATIC")
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmName == "UNet# nuclei v1"
    assert algorithm.AlgorithmVersion == "napari-unetsharp 0.1.0"
    assert algorithm.AlgorithmParameters == f"sha256={LETTERS},depth=2"


def test_pixels_are_never_in_memory_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dicom_seg, "LARGEST_TILE", 1024)
    labels = np.ones((1024, 1024), np.int32)
    with open_slide(write_slide(tmp_path / "a.dcm", TotalPixelMatrixRows=260)) as slide:
        slide.levels[0].shape = (8192, 8192, 3)  # 64 tiles of 131 kB
        tracemalloc.start()
        write_slide_seg(tmp_path / "s.dcm", slide, lambda box: labels, 1, FINDER)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "s.dcm").stat().st_size > 64 * 131_000
    assert peak < 5_500_000  # a tile as numbers of 1, 1 and 1/8 bytes, and 6 kB told of each


def test_no_more_than_dicom_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dicom_seg, "_MOST_BYTES", 1000)
    with open_slide(write_slide(tmp_path / "a.dcm")) as slide, pytest.raises(SaveError, match="more than 4 GiB"):
        write_empty_around(tmp_path / "s.dcm", slide)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


@pytest.mark.parametrize("missing", ["FrameOfReferenceUID", "StudyInstanceUID", "TotalPixelMatrixOriginSequence"])
def test_a_slide_that_can_not_be_referred_to_is_refused(tmp_path: Path, missing: str):
    with open_slide(write_slide(tmp_path / "a.dcm", **{missing: None})) as slide:
        with pytest.raises(ImageError, match=f"a.dcm .*{missing}") as caught:
            write_empty_around(tmp_path / "s.dcm", slide)
        assert "Secret" not in str(caught.value)


def test_a_slide_that_is_not_dicom_is_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), tile=(32, 32), photometric="rgb")
    with open_slide(tmp_path / "a.tif") as slide, pytest.raises(SettingsError, match=r"a\.tif is no DICOM .* parquet"):
        write_slide_seg(tmp_path / "s.dcm", slide, lambda box: np.zeros(box.shape), 1, FINDER)


def test_without_highdicom_nothing_is_written_and_it_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with open_slide(write_slide(tmp_path / "a.dcm")) as slide:
        painted_run(tmp_path / "run", slide).close()
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(SettingsError, match=r'pip install "napari-unetsharp\[slides\]"'):
        export_slide(tmp_path / "run", tmp_path / "out", [SlideFormat.CSV, SlideFormat.DICOM_SEG])
    assert not (tmp_path / "out").exists()


def test_a_run_over_one_plane_of_a_stack_is_refused(tmp_path: Path):
    with open_slide(write_slide(tmp_path / "a.dcm")) as slide:
        told = RunAbout("a", str(slide.path), slide.identity, SIDES, plane=(3,), side=1024, margin=32)
        painted(tmp_path / "run", told).close()
    with pytest.raises(SettingsError, match="plane 3 of a stack"):
        export_slide(tmp_path / "run", tmp_path / "out", [SlideFormat.DICOM_ANN])


@needs_files
def test_real_slides(tmp_path: Path):
    for name in ("highdicom_sm_image", "openslide_python_boxes_0"):
        with open_slide(SHARED / "dicom_wsi" / f"{name}.dcm") as slide:
            labels = (np.random.default_rng(0).random(slide.shape[:2]) > 0.9).astype(np.int32)
            write_slide_seg(tmp_path / "s.dcm", slide, lambda box, labels=labels: labels[box.slices], 1, FINDER)
        np.testing.assert_array_equal(by_pydicom(tmp_path / "s.dcm"), labels)
        read = highdicom.seg.segread(tmp_path / "s.dcm")
        np.testing.assert_array_equal(read.get_total_pixel_matrix()[..., 0], labels)
