"""Bulk annotations of a DICOM slide hold the outline of every nucleus, as two independent readers see it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

highdicom = pytest.importorskip("highdicom")
for needed in ("zarr", "pyarrow"):
    pytest.importorskip(needed)

import pydicom  # noqa: E402
import tifffile  # noqa: E402
from painted_slides import LETTERS, SIDES, filled, labels_of, painted_run, write_slide  # noqa: E402

from napari_unetsharp.errors import SettingsError, SlideRunError  # noqa: E402
from napari_unetsharp.images.slide import Slide  # noqa: E402
from napari_unetsharp.images.slide_open import open_slide  # noqa: E402
from napari_unetsharp.slides.dicom_ann import write_slide_annotations  # noqa: E402
from napari_unetsharp.slides.dicom_source import Finder  # noqa: E402
from napari_unetsharp.slides.export import SlideFormat, export_slide  # noqa: E402
from napari_unetsharp.slides.nuclei import SlideNucleus  # noqa: E402

FINDER = Finder("nuclei v1", LETTERS, "0.1.0")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    with open_slide(write_slide(folder / "a.dcm")) as slide:
        for downsample in (1, 2):
            painted_run(folder / f"run {downsample}", slide, downsample).close()
    return folder


@pytest.fixture
def slide(place: Path):
    with open_slide(place / "a.dcm") as opened:
        yield opened


@pytest.fixture
def nuclei(place: Path) -> list[SlideNucleus]:
    from napari_unetsharp.slides.store import SlideStore

    return list(SlideStore.open(place / "run 1").nuclei())


def by_pydicom(group: pydicom.Dataset) -> list[np.ndarray]:
    """Polygons of a group, rows (y, x), from the elements alone, as the standard defines them."""
    points = np.frombuffer(group.PointCoordinatesData, "<f4")
    starts = np.frombuffer(group.LongPrimitivePointIndexList, "<u4").astype(int) - 1
    return [points[start:end].reshape(-1, 2)[:, ::-1] for start, end in pairwise([*starts, len(points)])]


@pytest.mark.parametrize("downsample", [1, 2])
def test_two_readers_see_the_outlines_of_the_labels(place: Path, tmp_path: Path, downsample: int):
    from napari_unetsharp.slides.store import SlideStore

    run = place / f"run {downsample}"
    done = export_slide(run, tmp_path, [SlideFormat.DICOM_ANN])
    (group,) = pydicom.dcmread(done.files[0]).AnnotationGroupSequence
    polygons = by_pydicom(group)
    store = SlideStore.open(run)
    assert len(polygons) == group.NumberOfAnnotations == done.nuclei == store.count
    whole = np.kron(labels_of(store), np.ones((downsample, downsample), np.int32))[: SIDES[0], : SIDES[1]]
    ids = [nucleus.id for nucleus in store.nuclei()]
    np.testing.assert_array_equal(filled(dict(zip(ids, polygons, strict=True)), SIDES), whole)
    read = highdicom.ann.annread(done.files[0])
    (group,) = read.get_annotation_groups(graphic_type="POLYGON")
    for one, other in zip(group.get_graphic_data(coordinate_type="2D"), polygons, strict=True):
        np.testing.assert_array_equal(one, other[:, ::-1])
    names, areas, units = group.get_measurements()
    assert [(name.meaning, unit.value) for name, unit in zip(names, units, strict=True)] == [("Area", "um2")]
    assert areas[:, 0].tolist() == [np.count_nonzero(whole == number) / 4 for number in ids]


def test_corners_are_on_the_plane_of_the_whole_slide(slide: Slide, nuclei: list[SlideNucleus], tmp_path: Path):
    write_slide_annotations(tmp_path / "ann.dcm", slide, nuclei, FINDER)
    read = pydicom.dcmread(tmp_path / "ann.dcm")
    assert (read.AnnotationCoordinateType, read.PixelOriginInterpretation) == ("2D", "VOLUME")
    corners = np.concatenate(by_pydicom(read.AnnotationGroupSequence[0]))
    assert corners.min() >= 0
    assert (corners <= SIDES).all()
    assert "DoublePointCoordinatesData" not in read.AnnotationGroupSequence[0]


def test_what_a_person_did_makes_groups(slide: Slide, nuclei: list[SlideNucleus], tmp_path: Path):
    states = ["unchecked", "accepted", "edited", "added", "rejected"]
    said = [replace(one, state=states[number % 5]) for number, one in enumerate(nuclei)]
    write_slide_annotations(tmp_path / "ann.dcm", slide, said, FINDER)
    read = pydicom.dcmread(tmp_path / "ann.dcm")
    meant = [("AUTOMATIC", ["unchecked"]), ("SEMIAUTOMATIC", ["accepted", "edited"]), ("MANUAL", ["added"])]
    for number, (group, (kind, words)) in enumerate(zip(read.AnnotationGroupSequence, meant, strict=True), 1):
        assert (group.AnnotationGroupNumber, group.AnnotationGroupGenerationType) == (number, kind)
        wanted = [one.polygon for one in said if one.state in words]
        for found, polygon in zip(by_pydicom(group), wanted, strict=True):
            np.testing.assert_array_equal(found, polygon)
        assert ("AnnotationGroupAlgorithmIdentificationSequence" in group) is (kind != "MANUAL")
    assert len({group.AnnotationGroupUID for group in read.AnnotationGroupSequence}) == 3


def test_it_says_what_it_belongs_to_and_what_found_it(
    place: Path, slide: Slide, nuclei: list[SlideNucleus], tmp_path: Path
):
    write_slide_annotations(tmp_path / "ann.dcm", slide, nuclei, FINDER)
    source, read = pydicom.dcmread(place / "a.dcm"), pydicom.dcmread(tmp_path / "ann.dcm")
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
        assert read[keyword].value == source[keyword].value
    (series,) = read.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert [one.ReferencedSOPInstanceUID for one in read.ReferencedImageSequence] == [source.SOPInstanceUID]
    (group,) = read.AnnotationGroupSequence
    kind = group.AnnotationPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("84640000", "SCT")
    (algorithm,) = group.AnnotationGroupAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmParameters) == ("UNet# nuclei v1", f"sha256={LETTERS}")


def test_many_nuclei_fill_several_files_of_one_series(slide: Slide, nuclei: list[SlideNucleus], tmp_path: Path):
    most = len(nuclei) // 3 + 1
    files = write_slide_annotations(tmp_path / "ann.dcm", slide, iter(nuclei), FINDER, most)
    assert [file.name for file in files] == ["ann.dcm", "ann_2.dcm", "ann_3.dcm"]
    read = [pydicom.dcmread(file) for file in files]
    assert len({one.SeriesInstanceUID for one in read}) == 1
    assert len({one.SOPInstanceUID for one in read}) == 3
    assert [int(one.InstanceNumber) for one in read] == [1, 2, 3]
    found = [polygon for one in read for polygon in by_pydicom(one.AnnotationGroupSequence[0])]
    for polygon, nucleus in zip(found, nuclei, strict=True):
        np.testing.assert_array_equal(polygon, nucleus.polygon)


def test_what_can_not_be_written_is_told(slide: Slide, nuclei: list[SlideNucleus], tmp_path: Path):
    with pytest.raises(SlideRunError, match="there is no nucleus"):
        write_slide_annotations(tmp_path / "ann.dcm", slide, [], FINDER)
    with pytest.raises(SlideRunError, match="there is no nucleus"):
        write_slide_annotations(tmp_path / "ann.dcm", slide, [replace(nuclei[0], state="rejected")], FINDER)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), tile=(32, 32), photometric="rgb")
    with open_slide(tmp_path / "a.tif") as other, pytest.raises(SettingsError, match=r"a\.tif is no DICOM"):
        write_slide_annotations(tmp_path / "ann.dcm", other, nuclei, FINDER)
    assert not (tmp_path / "ann.dcm").exists()


def test_without_a_pixel_size_there_is_no_area(slide: Slide, nuclei: list[SlideNucleus], tmp_path: Path):
    unknown = [replace(nucleus, area_um2=None) for nucleus in nuclei]
    write_slide_annotations(tmp_path / "ann.dcm", slide, unknown, FINDER)
    (group,) = pydicom.dcmread(tmp_path / "ann.dcm").AnnotationGroupSequence
    assert not group.get("MeasurementsSequence")
