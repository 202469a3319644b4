"""What a DICOM export refers to: headers of the source, codes, and which program found the nuclei."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from napari_unetsharp import __version__
from napari_unetsharp.errors import ImageError, SettingsError
from napari_unetsharp.images.dicom_header import functional_group, numbers
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_dicom_level import DicomTiles

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "SliceThickness",
)  # fmt: skip
_LONG_STRING, _SHORT_STRING = 64, 16


@dataclass(frozen=True)
class Finder:
    """What found the nuclei.

    Attributes
    ----------
    model : str
        Name of the checkpoint.
    sha256 : str
        Of the checkpoint, 64 hex digits; empty where unknown.
    version : str
        Of this package, when they were found.
    settings : dict of str to str
        What else the result depends on.
    """

    model: str
    sha256: str = ""
    version: str = __version__
    settings: dict[str, str] | None = None


def import_highdicom() -> Any:
    """Give the package highdicom, or say how to install it.

    Raises
    ------
    SettingsError
    """
    try:
        import highdicom
    except ImportError:
        raise SettingsError(
            'DICOM SEG and annotations need highdicom: install it with pip install "napari-unetsharp[slides]"'
        ) from None
    return highdicom


@contextmanager
def building(name: str) -> Iterator[None]:
    """Build a DICOM object from the header of a source: odd values pass, contradictions are told in a sentence.

    The patient's name, numbers and dates are copied as they stand; pydicom and highdicom warn of each that is longer
    or formed otherwise than the standard says, and such a warning quotes it. So may their errors, which are
    therefore told by their kind alone.

    Parameters
    ----------
    name : str
        Of the source, for the message.

    Raises
    ------
    ImageError
        If the header lacks or contradicts what the object needs.
    """
    with warnings.catch_warnings():
        for begin in ("Invalid value for VR", "The value length", "The string "):
            warnings.filterwarnings("ignore", begin, UserWarning)
        try:
            yield
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            kind = type(error).__name__
            raise ImageError(
                f"the header of {name} doesn't allow a DICOM result that refers to it ({kind}); save it anew in your "
                "archive, or export geojson or tiff"
            ) from None


def slide_header(slide: Slide) -> pydicom.Dataset:
    """Header of the file that holds the largest level of a DICOM slide.

    Parameters
    ----------
    slide : Slide

    Returns
    -------
    Dataset
        Without pixels and without what is stated frame by frame; what highdicom asks for is there.

    Raises
    ------
    SettingsError
        If the slide is of another format, or one of several focal planes or optical paths.
    ImageError
        If its header lacks what a reference needs.
    """
    tiles = slide.levels[0].tiles
    if not isinstance(tiles, DicomTiles):
        raise SettingsError(
            f"{slide.path.name} is no DICOM slide ({slide.kind}), so a DICOM file can't refer to it; "
            "export geojson, parquet or ngff"
        )
    header = complete(tiles.header, tiles.path.name)
    place = header.get("TotalPixelMatrixOriginSequence") or []
    missing = [keyword for keyword in ("FrameOfReferenceUID", "ImageOrientationSlide") if keyword not in header]
    missing += [] if place else ["TotalPixelMatrixOriginSequence"]
    missing += [] if tiles.spacing else ["PixelSpacing"]
    if missing:
        raise ImageError(
            f"{tiles.path.name} doesn't say where it lies on the glass ({', '.join(missing)} missing), which a DICOM "
            "result needs; export geojson, parquet or ngff"
        )
    return header


def complete(header: pydicom.Dataset, name: str) -> pydicom.Dataset:
    """Copy a header, with empty values for what a patient or study may lack.

    Raises
    ------
    ImageError
        If it lacks the numbers that a reference is made of.
    """
    if missing := [keyword for keyword in _NEEDED if not header.get(keyword)]:
        raise ImageError(
            f"{name} lacks {', '.join(missing)}, so that nothing can refer to it; save it anew in your archive"
        )
    whole = pydicom.Dataset()
    whole.update(header)
    whole.file_meta = getattr(header, "file_meta", pydicom.dataset.FileMetaDataset())
    for keyword in _MAY_BE_EMPTY:
        if keyword not in whole:
            setattr(whole, keyword, None)
    if "SpecificCharacterSet" in whole and not whole.SpecificCharacterSet:
        del whole.SpecificCharacterSet
    return whole


def spacing(header: pydicom.Dataset) -> tuple[float, float]:
    """Millimetres per pixel along Y and X."""
    stated = numbers(functional_group(header, "PixelMeasuresSequence"), "PixelSpacing")
    return stated[0], stated[1]


def algorithm(finder: Finder) -> Any:
    """Name, version and hash of what found the nuclei, as highdicom's sequence.

    Parameters
    ----------
    finder : Finder

    Returns
    -------
    highdicom.AlgorithmIdentificationSequence
    """
    from pydicom.sr.codedict import codes

    highdicom = import_highdicom()
    told = {"sha256": finder.sha256 or "unknown", **(finder.settings or {})}
    return highdicom.AlgorithmIdentificationSequence(
        name=long_string(f"UNet# {finder.model}"),
        family=codes.DCM.ArtificialIntelligence,
        version=long_string(f"napari-unetsharp {finder.version}"),
        source="napari-unetsharp",
        parameters=told,
    )


def segment(finder: Finder, label: str) -> Any:
    """The one segment of a segmentation: nuclei of a slide; in a scan, tissue of which no more is claimed.

    Parameters
    ----------
    finder : Finder
    label : str
        "Nuclei", or anything else for what no code names.

    Returns
    -------
    highdicom.seg.SegmentDescription
    """
    from pydicom.sr.codedict import codes

    highdicom = import_highdicom()
    nuclei = label == "Nuclei"
    category, kind = (codes.SCT.AnatomicalStructure, codes.SCT.Nucleus) if nuclei else (codes.SCT.Tissue,) * 2
    return highdicom.seg.SegmentDescription(
        1, label, category, kind, "AUTOMATIC", algorithm_identification=algorithm(finder)
    )


def instance(finder: Finder, series: str, number: int, label: str = "NUCLEI") -> dict[str, Any]:
    """What every new DICOM file says about itself, as arguments of highdicom.

    Parameters
    ----------
    finder : Finder
    series : str
        UID of the new series.
    number : int
        Of the file in it, from 1.
    label : str
        Of the content: capitals and at most 16 of them.

    Returns
    -------
    dict
    """
    highdicom = import_highdicom()
    return {
        "series_instance_uid": series,
        "series_number": 1000,
        "sop_instance_uid": highdicom.UID(),
        "instance_number": number,
        "manufacturer": "napari-unetsharp",
        "manufacturer_model_name": "UNet#",
        "software_versions": long_string(finder.version),
        "device_serial_number": finder.sha256[:_SHORT_STRING] or "unknown",
        "content_label": label,
        "content_description": long_string(f"Found by UNet# {finder.model}; not for diagnosis"),
    }


def with_thickness(written: pydicom.Dataset) -> pydicom.Dataset:
    """State a thickness of 0 where the source states none: highdicom reads no segmentation without one."""
    shared = written.SharedFunctionalGroupsSequence[0]
    measures = deepcopy(shared.PixelMeasuresSequence)  # else the header of the source would change with it
    if measures[0].get("SliceThickness") is None:
        measures[0].SliceThickness = 0
    shared.PixelMeasuresSequence = measures
    return written


def long_string(text: str) -> str:
    """At most 64 characters without a backslash, as DICOM's short texts must be."""
    return " ".join(text.replace("\\", " ").split())[:_LONG_STRING]


def save(written: pydicom.Dataset, path: Path) -> None:
    """Write a DICOM segmentation or annotations beside and rename them."""
    from napari_unetsharp.images.tiff import written_beside
    from napari_unetsharp.nuclei.file_set import saving

    with saving(path), written_beside(path) as beside:
        written.save_as(beside, enforce_file_format=True)
