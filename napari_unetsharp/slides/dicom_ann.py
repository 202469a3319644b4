"""Nuclei of a DICOM slide as Microscopy Bulk Simple Annotations: an outline each."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.slides.dicom_source import (
    Finder,
    algorithm,
    building,
    import_highdicom,
    instance,
    save,
    slide_header,
)
from napari_unetsharp.slides.nuclei import SlideNucleus

MOST_NUCLEI = 500_000
"""In one file; more go to further files of the same series. A nucleus of 32 corners takes 1.7 kB of memory."""

_GROUPS = (
    ("Nuclei found by the network", "AUTOMATIC", ("unchecked",)),
    ("Nuclei checked by a person", "SEMIAUTOMATIC", ("accepted", "edited")),
    ("Nuclei drawn by a person", "MANUAL", ("added",)),
)


class _Outline(NamedTuple):
    """What is kept of a nucleus: column and row of each corner (the first isn't repeated), and its area in µm²."""

    state: str
    corners: NDArray[np.float32]
    area: float


def write_slide_annotations(
    path: str | Path, slide: Slide, nuclei: Iterable[SlideNucleus], finder: Finder, most: int = MOST_NUCLEI
) -> list[Path]:
    """Write polygons in pixels of the total pixel matrix of the largest level, with the area of each.

    A group for what the network found, one for what a person checked, one for what a person drew; what a person
    rejected is left out.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed. Further files get "_2", "_3" before the ending.
    slide : Slide
        A DICOM slide.
    nuclei : iterable of SlideNucleus
    finder : Finder
    most : int
        Nuclei in one file.

    Returns
    -------
    list of Path

    Raises
    ------
    SettingsError, ImageError
        If the slide isn't DICOM, or doesn't say where it lies.
    SlideRunError
        If there is no nucleus.
    SaveError
        If a file can't be written; those before it are whole.
    """
    path, header = Path(path), slide_header(slide)
    series = import_highdicom().UID()
    kept = (_outline(nucleus) for nucleus in nuclei if nucleus.state != "rejected")
    written: list[Path] = []
    while several := list(islice(kept, most)):
        number = len(written) + 1
        part = path if number == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")
        with building(slide.path.name):
            save(_annotations(header, several, finder, series, number), part)
        written.append(part)
    if not written:
        raise SlideRunError("there is no nucleus, and DICOM allows no annotations of nothing; export dicom-seg")
    return written


def _annotations(
    header: pydicom.Dataset, outlines: list[_Outline], finder: Finder, series: str, number: int
) -> pydicom.Dataset:
    highdicom = import_highdicom()
    groups: list[Any] = []
    for label, kind, states in _GROUPS:
        chosen = [outline for outline in outlines if outline.state in states]
        if chosen:
            groups.append(_group(len(groups) + 1, label, kind, chosen, finder))
    return highdicom.ann.MicroscopyBulkSimpleAnnotations(
        [header], "2D", groups, pixel_origin_interpretation="VOLUME", **instance(finder, series, number)
    )


def _group(number: int, label: str, kind: str, outlines: list[_Outline], finder: Finder) -> Any:
    from pydicom.sr.codedict import codes

    highdicom = import_highdicom()
    areas = np.array([outline.area for outline in outlines], np.float32)
    measured = [highdicom.ann.Measurements(codes.SCT.Area, areas, codes.UCUM.SquareMicrometer)]
    return highdicom.ann.AnnotationGroup(
        number, highdicom.UID(), label, codes.SCT.AnatomicalStructure, codes.SCT.Nucleus, "POLYGON",
        [outline.corners for outline in outlines], kind, None if kind == "MANUAL" else algorithm(finder),
        [] if np.isnan(areas).all() else measured,
    )  # fmt: skip


def _outline(nucleus: SlideNucleus) -> _Outline:
    corners = np.ascontiguousarray(nucleus.polygon[:, ::-1], np.float32)
    return _Outline(nucleus.state, corners, np.nan if nucleus.area_um2 is None else nucleus.area_um2)
