"""Nuclei from GeoJSON: QuPath's, ours, and any other with polygons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import LabelsError
from napari_unetsharp.nuclei.filling import Filled, fill_outlines
from napari_unetsharp.nuclei.geojson_features import LARGEST_ID, Outlined, Seen, collect
from napari_unetsharp.nuclei.json_stream import read_elements
from napari_unetsharp.nuclei.outlines import Polygon
from napari_unetsharp.nuclei.states import Nucleus, State

_FEATURE = frozenset({"type", "geometry", "nucleusGeometry", "properties", "coordinates", "geometries"})


@dataclass
class OutlinedNuclei:
    """Nuclei of a GeoJSON file.

    Attributes
    ----------
    labels : array of int32, (Y, X)
        All but those declared none.
    rejected : array of int32, (Y, X)
        Those declared none (`State.NOT`); the same ids aren't in `labels`.
    nuclei : dict of int to Nucleus
        One for each id in both.
    notes : list of str
        What was left out or changed, a sentence each.
    """

    labels: NDArray[np.int32]
    rejected: NDArray[np.int32]
    nuclei: dict[int, Nucleus]
    notes: list[str]


def read_geojson(
    path: str | Path, shape: tuple[int, int], origin: tuple[float, float] = (0.0, 0.0), downsample: float = 1.0
) -> OutlinedNuclei:
    """Read outlines into a label image.

    Nuclei are the detections and cells (of a cell, its nucleus) or, in a file without any, the annotations.
    Children of objects count too. An id is kept where the file tells it as the measurement "id"; others get the
    next free ones. The state is the classification if it is one of ours, else what the metadata tell.

    Parameters
    ----------
    path : str or Path
        A feature collection, a list of features, a feature or a geometry.
    shape : tuple of int
        (Y, X) of the image.
    origin : tuple of float
        Y and x, in coordinates of the file, of the upper left corner of the image: not 0 where the image is a
        region of what was outlined, or where QuPath left out the border of a slide.
    downsample : float
        Coordinates of the file per pixel of the image.

    Returns
    -------
    OutlinedNuclei

    Raises
    ------
    LabelsError
        If the file is no GeoJSON, holds no nucleus, none within the image, or coordinates that no image has.
    """
    path = Path(path)
    if not downsample > 0:
        raise LabelsError(f"a downsampling of {downsample} makes no sense; give a number above 0")
    seen = Seen()
    try:
        for element in read_elements(path, "features", _FEATURE):
            collect(element, seen, path.name)
    except RecursionError:
        raise LabelsError(f"{path.name} is nested more deeply than any outline; GeoJSON is needed") from None
    objects = seen.nuclei or seen.annotations
    notes = _notes_of(seen)
    if not objects:
        raise LabelsError(f"{path.name} has no polygon that could be a nucleus{_because(notes)}")
    place = np.array(origin[::-1], np.float64)
    kept = [thing for thing in objects if thing.nucleus.state is not State.NOT]
    dropped = [thing for thing in objects if thing.nucleus.state is State.NOT]
    ids = _ids(objects, notes)
    labels, rejected = (fill_outlines(shape, _placed(things, ids, place, downsample)) for things in (kept, dropped))
    present = np.setdiff1d(list(ids.values()), np.concatenate([labels.missing, rejected.missing]))
    if not len(present):
        raise LabelsError(
            f"none of the {len(objects)} outlines of {path.name} lies in the image of {shape[1]} x {shape[0]} px; "
            "is it of another image, of a region of it, or at another resolution?"
        )
    notes += _notes_of_filling(labels, len(objects) - len(present))
    known = {ids[thing.number]: thing.nucleus for thing in objects}
    nuclei = {int(number): _with_id(known[int(number)], int(number)) for number in present}
    return OutlinedNuclei(labels.labels, rejected.labels, nuclei, notes)


def _with_id(nucleus: Nucleus, number: int) -> Nucleus:
    return Nucleus(number, nucleus.state, nucleus.reason, nucleus.kind, nucleus.tags)


def _placed(
    things: list[Outlined], ids: Mapping[int, int], origin: NDArray[np.float64], downsample: float
) -> Iterator[tuple[int, list[Polygon]]]:
    for thing in things:
        moved = [[(ring - origin) / downsample for ring in polygon] for polygon in thing.polygons]
        yield ids[thing.number], moved


def _ids(objects: list[Outlined], notes: list[str]) -> dict[int, int]:
    """Id by number in the file: what the file tells where it can be, else the next free one."""
    ids: dict[int, int] = {}
    taken: set[int] = set()
    for thing in objects:
        if thing.id and thing.id not in taken:
            ids[thing.number] = thing.id
            taken.add(thing.id)
    twice = sum(1 for thing in objects if thing.id and thing.number not in ids)
    if twice:
        notes.append(f"{twice} nuclei have an id that another one has; they got new ones.")
    following = max(taken, default=0) + 1
    if following + len(objects) > LARGEST_ID:
        following = 1
    for thing in objects:
        if thing.number not in ids:
            while following in taken:
                following += 1
            ids[thing.number] = following
            taken.add(following)
    return ids


def _notes_of(seen: Seen) -> list[str]:
    notes = [f"{count} {what} were left out." for what, count in seen.skipped.items()]
    if seen.nuclei and seen.annotations:
        notes.append(f"{len(seen.annotations)} annotations were left out: the nuclei are its detections and cells.")
    return notes


def _because(notes: list[str]) -> str:
    return f" ({' '.join(notes).rstrip('.')})" if notes else ""


def _notes_of_filling(filled: Filled, lost: int) -> list[str]:
    notes = []
    if lost:
        notes.append(f"{lost} outlines have no pixel: they lie outside the image, under others, or are too thin.")
    if len(filled.crossing):
        notes.append(
            f"{len(filled.crossing)} outlines cross themselves; what they go round twice was left out "
            f"(the first is nucleus {filled.crossing[0]})."
        )
    if filled.shared:
        notes.append(f"{filled.shared} pixels lie in several nuclei; the first in the file keeps them.")
    return notes
