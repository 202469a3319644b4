"""What was found in a DICOM picture or series (CT, MR, PET) as a DICOM segmentation on its planes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError, LabelsError, SettingsError
from napari_unetsharp.images.dicom import SLIDE, guarded
from napari_unetsharp.images.dicom_header import functional_group, numbers, read_header
from napari_unetsharp.images.files import DICOM_ENDINGS, read_image
from napari_unetsharp.images.volume_series import _alike, _frame_places, _one_series, _ordered
from napari_unetsharp.slides.dicom_source import (
    Finder,
    building,
    complete,
    import_highdicom,
    instance,
    save,
    segment,
    with_thickness,
)

_MOST_BYTES = 2**31


def write_series_seg(path: str | Path, source: str | Path, labels: NDArray[Any], finder: Finder) -> int:
    """Write a segmentation with one segment, plane upon plane of the source; empty planes are left out.

    All planes are in memory at once, a byte per pixel (500 planes of 512 x 512 take 131 MB); above 2 GiB nothing is
    written.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed.
    source : str or Path
        A DICOM picture, or the folder or a file of a series.
    labels : array of int, (Z, Y, X) or (Y, X)
        0 outside; planes in the order of `images.volume_open.open_volume`.
    finder : Finder

    Returns
    -------
    int
        How many planes hold something.

    Raises
    ------
    SettingsError, ImageError
        If the source isn't DICOM, is a slide, or lacks what a reference needs.
    LabelsError
        If the labels don't fit its planes.
    SaveError
        If it can't be written.
    """
    planes = labels if labels.ndim == 3 else labels[np.newaxis]
    if planes.size > _MOST_BYTES:
        raise SettingsError(
            f"{planes.shape[0]} planes of {planes.shape[2]} x {planes.shape[1]} pixels take more than 2 GiB as a DICOM "
            "segmentation; cut the series into parts, or export tiff"
        )
    headers, order = _sources(Path(source), len(planes))
    sides = int(headers[0].Rows), int(headers[0].Columns)
    if planes.shape[1:] != sides:
        raise LabelsError(
            f"the labels have {planes.shape[2]} x {planes.shape[1]} pixels and the planes of {Path(source).name} "
            f"{sides[1]} x {sides[0]}; give the series that they were found in"
        )
    inside = np.empty(planes.shape, np.uint8)
    inside[order] = planes > 0
    highdicom = import_highdicom()
    with building(Path(source).name):
        written = highdicom.seg.Segmentation(
            headers, inside, "BINARY", [segment(finder, "Found objects")],
            **instance(finder, highdicom.UID(), 1, "OBJECTS"),
        )  # fmt: skip
        save(with_thickness(written), Path(path))
    return int(np.count_nonzero(inside.any(axis=(1, 2))))


def _sources(path: Path, count: int) -> tuple[list[pydicom.Dataset], NDArray[np.intp]]:
    """Headers of the files, and for each plane the number of its frame or file."""
    if not path.is_dir() and path.suffix.lower() not in (*DICOM_ENDINGS, ""):
        raise SettingsError(
            f"{path.name} is no DICOM file, so a DICOM segmentation can't refer to it; export tiff, csv or geojson"
        )
    with guarded(path):
        files = _files(path, count)
        headers = [complete(read_header(file), file.name) for file in files]
        for header, file in zip(headers, files, strict=True):
            _check_placed(header, file.name)
        frames = int(headers[0].get("NumberOfFrames") or 1)
        places = _frame_places(headers[0], frames) if len(files) == 1 and frames > 1 else None
    total = len(files) if len(files) > 1 else frames
    if total != count:
        raise LabelsError(f"{path.name} has {total} planes and the labels have {count}; give the series they belong to")
    order = np.arange(total)
    if places is not None and len(np.unique(np.round(places, 3))) == total:
        order = np.argsort(places)
    return headers, order


def _check_placed(header: pydicom.Dataset, name: str) -> None:
    """Refuse a file that doesn't say where its planes lie in the patient."""
    if header.SOPClassUID == SLIDE:
        raise ImageError(f"{name} is a whole slide; give the folder of its run to unetsharp export")
    stated = {
        "FrameOfReferenceUID": header.get("FrameOfReferenceUID"),
        "PixelSpacing": numbers(functional_group(header, "PixelMeasuresSequence"), "PixelSpacing"),
        "ImagePositionPatient": numbers(functional_group(header, "PlanePositionSequence"), "ImagePositionPatient"),
        "ImageOrientationPatient": numbers(
            functional_group(header, "PlaneOrientationSequence"), "ImageOrientationPatient"
        ),
    }
    if missing := [keyword for keyword, value in stated.items() if not value]:
        raise ImageError(
            f"{name} doesn't say where it lies in the patient ({', '.join(missing)} missing), which a DICOM "
            "segmentation needs; export tiff, csv or geojson"
        )


def _files(path: Path, count: int) -> list[Path]:
    """Files of a series in the order in which their planes are shown; a single file of a series for a single plane."""
    if count == 1 and path.is_file():
        return [path]
    notes: list[str] = []
    pictures = _alike(_one_series(path, notes), path, notes)
    takes, _ = _ordered(pictures, notes)
    if len(takes) > 1:
        raise ImageError(
            f"{path.name} has {len(takes)} takes of each plane, which one segmentation can't hold; "
            "export each take as a series of its own"
        )
    return [picture.path for picture in takes[0]]


def read_planes(path: str | Path) -> NDArray[Any]:
    """Read a label image or a stack of them.

    Parameters
    ----------
    path : str or Path
        TIFF, as `unetsharp segment` writes it.

    Returns
    -------
    array of int, (Y, X) or (Z, Y, X)

    Raises
    ------
    LabelsError, ImageError
        If it holds no labels of one plane or one stack.
    """
    image = read_image(path)
    pixels = np.asarray(image.pixels)
    if image.axes.endswith("C") or pixels.ndim not in (2, 3) or pixels.dtype.kind not in "iub":
        raise LabelsError(
            f"{Path(path).name} has axes {image.axes} ({pixels.dtype}); whole numbers, a label per pixel of a plane or "
            "of a stack of planes, are needed"
        )
    return pixels


def found_by(path: str | Path) -> Finder:
    """Say what found the labels of a file, from the report.json that `unetsharp segment` wrote beside it.

    Returns
    -------
    Finder
        With the model "unknown" where no report names the file.
    """
    path = Path(path)
    try:
        report = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))
        named = {Path(file).name for row in report["images"] for file in row["files"]}
        model, version = report["checkpoint"], str(report["version"])
        if path.name in named:
            settings = {name: str(report[name]) for name in ("level", "threshold", "split")}
            return Finder(str(model["name"]), str(model["sha256"]), version, settings)
    except (OSError, ValueError, LookupError, TypeError):  # no report, or one of something else
        pass
    return Finder("unknown")
