"""Masks, outlines and reviews of any origin, written as tables, GeoJSON and label TIFF."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.errors import LabelsError, ReviewError
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.file_set import saving
from napari_unetsharp.nuclei.geojson import ObjectType, write_geojson
from napari_unetsharp.nuclei.geojson_reader import read_geojson
from napari_unetsharp.nuclei.head import find_review
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.label_files import read_labels, write_labels
from napari_unetsharp.nuclei.measure import Measures
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.places import SUFFIX
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import RECORD, load_review
from napari_unetsharp.nuclei.review_pieces import (
    Pieces,
    all_outlines,
    history_rows,
    measure_pieces,
    name_space,
    pixel_size,
)
from napari_unetsharp.nuclei.table import HistoryRow, write_history, write_nuclei


class Format(StrEnum):
    """What can be written."""

    CSV = "csv"
    GEOJSON = "geojson"
    TIFF = "tiff"


@dataclass
class Source:
    """Nuclei to export, wherever they came from.

    Attributes
    ----------
    name : str
        Begins the names of the files.
    pieces : Pieces
    image : Image
        The labels, with the spacing of what they were found in.
    described : bool
        Whether nuclei have states, reasons, classes and tags.
    plane : tuple of int
        Of a stack.
    picture : Image, optional
        What they were found in.
    measures : dict of str to array
        What was saved with them.
    history : list of HistoryRow
    notes : list of str
        What was changed on reading, a sentence each.
    """

    name: str
    pieces: Pieces
    image: Image
    described: bool
    plane: tuple[int, ...] = ()
    picture: Image | None = None
    measures: Measures = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_source(path: str | Path, picture: Image | None = None) -> Source:
    """Read nuclei from a file or folder.

    Parameters
    ----------
    path : str or Path
        A label image, GeoJSON, the folder of a review (its journal, which is never behind, or else what was saved),
        or its `review.json`.
    picture : Image, optional
        What the nuclei were found in: for their brightness and, where `path` doesn't tell, sides and spacing.

    Returns
    -------
    Source

    Raises
    ------
    LabelsError, ReviewError, ImageError
        If it can't be read, or the picture isn't the one that it belongs to.
    """
    path = Path(path)
    folder = path.parent if path.name == RECORD else path
    if folder.is_dir():
        source = _of_journal(folder) if find_review(folder) is not None else _of_saved(folder)
    elif path.suffix.lower() in {".geojson", ".json"}:
        source = _of_outlines(path, picture)
    else:
        labels = read_labels(path, picture)
        source = Source(path.stem, _new_pieces(np.asarray(labels.pixels)), labels, False, notes=labels.notes)
    if picture is not None:
        _check_picture(source, picture)
        source.picture = picture
        if pixel_size(source.image) is None:
            source.image.scale, source.image.units = picture.scale[-2:], picture.units[-2:]
        source.pieces.identity.update(identify(picture.pixels, picture.axes).to_json())
    return source


def _of_outlines(path: Path, picture: Image | None) -> Source:
    if picture is None:
        raise LabelsError(f"{path.name} doesn't say how large the image is; give the picture as well")
    found = read_geojson(path, picture.plane_shape)
    pieces = _new_pieces(found.labels)
    pieces.nuclei.update(found.nuclei)
    pieces.rejected.update(_changes(found.rejected))
    return Source(path.stem, pieces, Image(found.labels, "YX", name=path.stem), True, notes=found.notes)


def _of_saved(folder: Path) -> Source:
    saved = load_review(folder)
    about = saved.record.get("image")
    about = about if isinstance(about, dict) else {}
    pieces = _new_pieces(saved.labels)
    pieces.nuclei.update(saved.nuclei)
    pieces.rejected.update(_changes(saved.rejected))
    if isinstance(about.get("identity"), dict):
        pieces.identity.clear()
        pieces.identity.update(about["identity"])
    indices = about.get("plane")
    plane = tuple(index for index in indices if isinstance(index, int)) if isinstance(indices, list) else ()
    name = _plain(str(about.get("name", folder.name)), plane)
    notes = [f"{changed} was changed after it was saved." for changed in saved.changed]
    return Source(name, pieces, saved.image, True, plane, None, saved.measures, saved.history, notes)


def _of_journal(folder: Path) -> Source:
    head = find_review(folder)
    if head is None:
        raise ReviewError(f"there is no review in {folder}; choose another folder")
    with Review.open(folder, head.identity) as review:
        pieces = Pieces.of(review)
    own, plane = folder.resolve(), tuple[int, ...]()
    while found := re.fullmatch(r"plane (\d{1,9})", own.name):  # as `places` names the folders of a stack
        own, plane = own.parent, (int(found[1]), *plane)
    name = _plain(own.name.removesuffix(SUFFIX), plane)
    return Source(
        name, pieces, Image(pieces.labels, "YX", name=name), True, plane, history=list(history_rows(pieces.history))
    )


def _plain(name: str, plane: tuple[int, ...]) -> str:
    """Make a file name of a name that somebody else wrote."""
    kept = re.sub(r"[^\w .()+-]", "_", name).strip(" .")[:120] or "review"
    return "_".join([kept, *map(str, plane)])


def _new_pieces(labels: NDArray[np.int32]) -> Pieces:
    identity = identify(labels, "YX").to_json()
    ignored = np.zeros(labels.shape, bool)
    return Pieces(labels, {}, {}, ignored, [], [], int(labels.max(initial=0)), identity, "", "")


def _changes(rejected: NDArray[np.int32]) -> dict[int, PixelChange]:
    """Nuclei declared none, as a review keeps them."""
    if not rejected.any():
        return {}
    ids, ranks = np.unique(rejected, return_inverse=True)
    found = {}
    for number, place in zip(ids[ids > 0].tolist(), ndimage.find_objects(ranks.reshape(rejected.shape)), strict=True):
        rows, columns = place
        here = np.where(rejected[place] == number, number, 0)
        box = Box(rows.start, columns.start, rows.stop, columns.stop)
        found[number] = PixelChange.between(box, here, np.zeros_like(here), rejected.shape[1])
    return found


def _check_picture(source: Source, picture: Image) -> None:
    """See that a picture is the one that the nuclei belong to, as far as that is known."""
    if len(source.plane) != len(picture.stack_shape):
        raise LabelsError(f"{picture.name} is a stack ({picture.axes}); give the one plane that the nuclei belong to")
    if picture.plane_shape != source.pieces.labels.shape:
        (height, width), (rows, columns) = source.pieces.labels.shape, picture.plane_shape
        raise LabelsError(
            f"the nuclei are of an image of {width} x {height} px and {picture.name} has {columns} x {rows} px; give "
            "the picture that they were found in"
        )
    if not source.history and not source.measures:
        return
    known, given = source.pieces.identity, identify(picture.pixels, picture.axes)
    if known.get("part") == given.part == "all" and known.get("pixels") != given.pixels:
        raise LabelsError(f"{picture.name} isn't the picture that was reviewed: its pixels differ; give that one")


def measure_source(source: Source) -> Measures:
    """Measure the nuclei of a source.

    What was saved is taken as it is, unless pixels or a pixel size are known that weren't then; doubt and levels
    stay as they were saved.

    Parameters
    ----------
    source : Source

    Returns
    -------
    dict of str to array
        See `measure`.
    """
    micrometres = pixel_size(source.image)
    saved = source.measures
    if saved and source.picture is None and ("area_um2" in saved or micrometres is None):
        return saved
    pixels = None if source.picture is None else source.picture.plane(source.plane)
    measures = measure_pieces(source.pieces, pixels, micrometres)
    return _from_views(saved, measures) | {name: column for name, column in measures.items() if name != "id"}


def _from_views(saved: Measures, measures: Measures) -> Measures:
    """What can't be measured again, by the ids of what was measured."""
    kept: Measures = {"id": measures["id"]}
    order = {number: row for row, number in enumerate(saved["id"].tolist())} if saved else {}
    rows = [order[number] for number in measures["id"].tolist() if number in order]
    if len(rows) == len(measures["id"]):
        kept |= {name: saved[name][rows] for name in ("doubt", "levels", "levels_seen") if name in saved}
    return kept


def write_export(
    source: Source,
    measures: Measures,
    folder: str | Path,
    formats: Collection[Format] = tuple(Format),
    object_type: ObjectType = "detection",
    seconds: bool = False,
) -> list[Path]:
    """Write ``NAME_nuclei.csv``, ``NAME_nuclei.geojson``, ``NAME_labels.tif``, and of a review ``NAME_history.csv``.

    Parameters
    ----------
    source : Source
    measures : dict of str to array
        From `measure_source`.
    folder : str or Path
        Made if it isn't there.
    formats : collection of Format
        The history belongs to CSV.
    object_type : str
        See `write_geojson`.
    seconds : bool
        See `write_history`.

    Returns
    -------
    list of Path
        The files, each written beside and renamed.

    Raises
    ------
    SaveError
        If one can't be written.
    """
    begin, nuclei = Path(folder) / source.name, source.pieces.nuclei if source.described else None
    space = name_space(source.pieces, source.plane)
    writers: dict[str, tuple[Format, Callable[[Path], object]]] = {
        "nuclei.csv": (Format.CSV, lambda path: write_nuclei(path, nuclei, measures)),
        "history.csv": (Format.CSV, lambda path: write_history(path, source.history, seconds)),
        "nuclei.geojson": (
            Format.GEOJSON,
            lambda path: write_geojson(path, all_outlines(source.pieces), nuclei, measures, space, object_type),
        ),
        "labels.tif": (Format.TIFF, lambda path: write_labels(path, source.pieces.labels, source.image)),
    }
    written = []
    for name, (kind, writer) in writers.items():
        if kind in formats and (source.history or name != "history.csv"):
            path = begin.with_name(f"{source.name}_{name}")
            with saving(path):
                writer(path)
            written.append(path)
    return written
