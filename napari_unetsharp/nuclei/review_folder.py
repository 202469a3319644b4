"""A review as files that other programs open: labels, tables and outlines, saved and loaded as one."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import LabelsError, ReviewError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.tiff import read_tiff
from napari_unetsharp.nuclei.file_set import Writer, read_set, write_set
from napari_unetsharp.nuclei.filling import fill_outlines
from napari_unetsharp.nuclei.geojson import write_geojson
from napari_unetsharp.nuclei.geojson_reader import read_geojson
from napari_unetsharp.nuclei.label_files import write_labels
from napari_unetsharp.nuclei.measure import Measures, with_views
from napari_unetsharp.nuclei.outlines import Polygon, outlines
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_pieces import (
    Pieces,
    all_outlines,
    history_rows,
    measure_pieces,
    name_space,
    pixel_size,
)
from napari_unetsharp.nuclei.second_reading import summary, write_readings
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.nuclei.table import HistoryRow, read_history, read_nuclei, write_history, write_nuclei

LABELS, TABLE, OUTLINES, HISTORY, RECORD = "labels.tif", "nuclei.csv", "nuclei.geojson", "history.csv", "review.json"

READINGS = "second_reading.csv"
"""Only where there was a second reading."""

LAYOUT = "unetsharp review folder 1"

_COORDINATES = (
    "Rows and columns from the upper left. In nuclei.csv the middle of the first pixel is (0, 0); in nuclei.geojson, "
    "and in views and ignored here, its upper left corner is. Views are top, left, bottom, right."
)


@dataclass(frozen=True)
class ViewFacts:
    """What the network's views say, for the tables.

    Attributes
    ----------
    doubt : dict of int to float
        By id.
    levels : dict of int to sequence of str
        Names of the levels that see each nucleus, by id.
    """

    doubt: Mapping[int, float] = field(default_factory=dict)
    levels: Mapping[int, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class SavedReview:
    """A review folder, read.

    Attributes
    ----------
    labels : array of int32, (Y, X)
    rejected : array of int32, (Y, X)
        Nuclei declared none; where two lie on each other, the pixels of the first.
    nuclei : dict of int to Nucleus
        All, those declared none included.
    measures : dict of str to array
        Columns of `nuclei.csv`.
    history : list of HistoryRow
    views : list of Box
    ignored : array of bool, (Y, X)
    image : Image
        The labels with their spacing.
    record : dict
        Content of `review.json`.
    changed : tuple of str
        Files that were changed after they were saved.
    """

    labels: NDArray[np.int32]
    rejected: NDArray[np.int32]
    nuclei: dict[int, Nucleus]
    measures: Measures
    history: list[HistoryRow]
    views: list[Box]
    ignored: NDArray[np.bool_]
    image: Image
    record: dict[str, Any]
    changed: tuple[str, ...]


def save_review(
    folder: str | Path,
    pieces: Pieces | Review,
    image: Image,
    plane: tuple[int, ...] = (),
    settings: Mapping[str, Any] | None = None,
    facts: ViewFacts | None = None,
    seconds: bool = False,
) -> Path:
    """Write `labels.tif`, `nuclei.csv`, `nuclei.geojson`, `history.csv` and `review.json`, all or none.

    With a second reading, `second_reading.csv` as well.

    Parameters
    ----------
    folder : str or Path
        May hold other files, such as the journal. See `file_set` for how the old ones are replaced.
    pieces : Pieces or Review
        Copied first, where a Review is given.
    image : Image
        What was reviewed: for brightness and spacing.
    plane : tuple of int
        Which plane of a stack.
    settings : mapping, optional
        Model, level, thresholds and whatever else made the proposals; what JSON can hold. Under "region", which part
        of a slide the image is.
    facts : ViewFacts, optional
    seconds : bool
        Write into the history how long the person took for each nucleus.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SaveError
        If it can't be written; the old files are whole.
    ShapeError
        If the image doesn't fit the labels.
    """
    folder = Path(folder)
    pieces = Pieces.of(pieces) if isinstance(pieces, Review) else pieces
    pixels, micrometres = image.plane(plane), pixel_size(image)
    measures = measure_pieces(pieces, pixels, micrometres)
    if facts is not None:
        measures = with_views(measures, facts.doubt, facts.levels)
    told = {"image": str(pieces.identity.get("pixels", "")), "model": pieces.model, "version": _our_version()}
    writers: dict[str, Writer] = {
        LABELS: lambda path: write_labels(path, pieces.labels, image),
        TABLE: lambda path: write_nuclei(path, pieces.nuclei, measures),
        OUTLINES: lambda path: write_geojson(
            path, all_outlines(pieces), pieces.nuclei, measures, name_space(pieces, plane), facts=told
        ),
        HISTORY: lambda path: write_history(path, history_rows(pieces.history), seconds),
    }
    if pieces.readings:
        writers[READINGS] = lambda path: write_readings(path, pieces.readings)
    write_set(folder, writers, _record(pieces, image, plane, micrometres, settings), RECORD)
    return folder


def load_review(folder: str | Path, changed_allowed: bool = False) -> SavedReview:
    """Read a review folder.

    Parameters
    ----------
    folder : str or Path
    changed_allowed : bool
        Take files that somebody changed after they were saved, such as a table edited in a spreadsheet.

    Returns
    -------
    SavedReview

    Raises
    ------
    ReviewError
        If it is no review folder, or its files are not of one save.
    LabelsError, ImageError
        If a file of it can't be read.
    """
    folder = Path(folder)
    found = read_set(folder, RECORD, changed_allowed)
    record, paths = found.record, found.paths
    if record.get("layout") != LAYOUT or not {LABELS, TABLE, OUTLINES, HISTORY} <= paths.keys():
        raise ReviewError(f"{folder} has the layout {record.get('layout')!r}; {LAYOUT!r} can be read")
    image = _saved_labels(paths[LABELS])
    labels = np.asarray(image.pixels)
    nuclei, measures = read_nuclei(paths[TABLE])
    _check_ids(labels, nuclei, folder)
    rejected = np.zeros_like(labels)
    if any(nucleus.state is State.NOT for nucleus in nuclei.values()):
        rejected = read_geojson(paths[OUTLINES], (labels.shape[0], labels.shape[1])).rejected
    history = read_history(paths[HISTORY])
    ignored = fill_outlines((labels.shape[0], labels.shape[1]), [(1, _ignored(record, folder))]).labels > 0
    return SavedReview(
        labels, rejected, nuclei, measures, history, _views(record, folder), ignored, image, record, found.changed
    )


def _saved_labels(path: Path) -> Image:
    """Read our labels as they are: one nucleus of two pieces stays one."""
    image = read_tiff(path)
    if image.axes != "YX" or image.pixels.dtype.kind not in "iu":
        raise LabelsError(f"{path.name} is no label image (axes {image.axes}, {image.pixels.dtype})")
    image.pixels = np.asarray(image.pixels, np.int32)
    return image


def _check_ids(labels: NDArray[np.int32], nuclei: Mapping[int, Nucleus], folder: Path) -> None:
    """Labels and table name the same nuclei; those declared none are only in the table."""
    drawn = set(np.unique(labels).tolist()) - {0}
    listed = {number for number, nucleus in nuclei.items() if nucleus.state is not State.NOT}
    if drawn != listed:
        odd = sorted(drawn ^ listed)
        raise ReviewError(
            f"{TABLE} and {LABELS} of {folder} don't name the same nuclei ({len(odd)} differ, the first is {odd[0]}); "
            "open the label image alone as a mask"
        )


def _record(
    pieces: Pieces,
    image: Image,
    plane: tuple[int, ...],
    micrometres: tuple[float, float] | None,
    settings: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Content of `review.json`, but for the hashes of the files."""
    states = [nucleus.state for nucleus in pieces.nuclei.values()]
    made = dict(settings or {})
    region = made.pop("region", None)
    return {
        "layout": LAYOUT,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": pieces.who,
        "image": {
            "name": image.name,
            "plane": list(plane),
            "micrometres": list(micrometres) if micrometres else None,
            "identity": pieces.identity,
        },
        **({"region": region} if region else {}),
        "model": {"sha256": pieces.model, **made},
        "versions": {"napari-unetsharp": _our_version(), "python": platform.python_version(), "numpy": np.__version__},
        "counts": {
            "nuclei": len(states),
            **{state.value: states.count(state) for state in State},
            "actions": len(pieces.history),
            "completed views": len(pieces.views),
        },
        "second readings": [*map(summary, pieces.readings), *({"problem": text} for text in pieces.problems)],
        "coordinates": _COORDINATES,
        "last_id": pieces.last_id,
        "views": [list(view) for view in pieces.views],
        "ignored": [
            [ring.tolist() for ring in polygon]
            for _, polygons in outlines(pieces.ignored.astype(np.uint8))
            for polygon in polygons
        ],
    }


def _our_version() -> str:
    """As it was installed: asking the package itself would load what lies above nuclei."""
    try:
        return version("napari-unetsharp")
    except PackageNotFoundError:
        return "not installed"


def _views(record: Mapping[str, Any], folder: Path) -> list[Box]:
    try:
        views = [Box(*(int(side) for side in view)) for view in record["views"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ReviewError(f"the completed views in {folder / RECORD} can't be read; save the review again") from error
    return views


def _ignored(record: Mapping[str, Any], folder: Path) -> list[Polygon]:
    try:
        polygons = [[np.array(ring, np.float64) for ring in polygon] for polygon in record["ignored"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ReviewError(f"the ignored regions in {folder / RECORD} can't be read; save the review again") from error
    if not all(polygon and all(ring.ndim == 2 and ring.shape[1] == 2 for ring in polygon) for polygon in polygons):
        raise ReviewError(f"the ignored regions in {folder / RECORD} are no polygons; save the review again")
    return polygons
