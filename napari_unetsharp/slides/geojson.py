"""Nuclei of a slide as GeoJSON that QuPath opens: one after the other, however many there are."""

from __future__ import annotations

import gzip
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TextIO, cast
from uuid import UUID, uuid5

import numpy as np

from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.file_set import saving
from napari_unetsharp.nuclei.geojson import STATE_COLOURS, ObjectType
from napari_unetsharp.nuclei.outlines import twice_area
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.slides.nuclei import SlideNucleus

STATES: dict[str, State] = {
    "unchecked": State.TO_DO,
    "accepted": State.RIGHT,
    "edited": State.CHANGED,
    "added": State.CHANGED,
    "rejected": State.NOT,
}
"""The words of a slide's table, as reviews and their files say them."""

_SPACE = UUID("8f0f2a52-1c62-4d3a-8d0c-4a4f1d4b6f0e")
_DECIMALS = 3
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def write_slide_geojson(
    path: str | Path,
    nuclei: Iterable[SlideNucleus],
    slide: str = "",
    object_type: ObjectType = "detection",
    facts: Mapping[str, str] | None = None,
) -> int:
    """Write a feature collection, one feature after the other: the memory is that of one nucleus.

    A feature is classified by its state, and carries id, area, doubt and so on as measurements. Needs QuPath 0.4 or
    later, which opens .geojson and .zip; what ends in .gz has to be unpacked for it.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed. Packed by gzip where it ends in .gz, as the only file of a zip where in .zip.
    nuclei : iterable of SlideNucleus
        Polygons in pixels of level 0, where pixel (0, 0) spans 0 to 1.
    slide : str
        Identity of the slide: the same nucleus of the same slide has the same UUID in every export.
    object_type : str
        Annotations can be edited in QuPath, detections are quick by the thousand.
    facts : mapping of str to str, optional
        Written once, as the member "unetsharp" of the collection.

    Returns
    -------
    int
        How many features were written.

    Raises
    ------
    SaveError
        If it can't be written; what was there before is whole.
    """
    path, space, count = Path(path), uuid5(_SPACE, slide), 0
    head = json.dumps({"type": "FeatureCollection", "unetsharp": dict(facts or {})}, ensure_ascii=False)
    with saving(path), written_beside(path) as beside, _opened(beside, path.name) as file:
        file.write(f'{head[:-1]}, "features": [')
        for nucleus in nuclei:
            file.write(f"{',' if count else ''}\n{_feature(nucleus, space, object_type)}")
            count += 1
        file.write("\n]}\n")
    return count


@contextmanager
def _opened(beside: Path, name: str) -> Iterator[TextIO]:
    """Open a file for text, packed as its final name says."""
    with ExitStack() as stack:
        inner: IO[bytes] = stack.enter_context(beside.open("wb"))
        if name.endswith(".gz"):
            inner = cast(IO[bytes], stack.enter_context(gzip.GzipFile(name.removesuffix(".gz"), "wb", 6, inner)))
        elif name.endswith(".zip"):
            packed = stack.enter_context(zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED))
            # A size that isn't known beforehand may turn out to be above 4 GiB.
            inner = stack.enter_context(packed.open(_inner(name), "w", force_zip64=True))
        yield stack.enter_context(io.TextIOWrapper(inner, "utf-8", newline="\n"))


def _inner(name: str) -> str:
    stem = name.removesuffix(".zip")
    return stem if stem.endswith(".geojson") else f"{stem}.geojson"


def _feature(nucleus: SlideNucleus, space: UUID, object_type: ObjectType) -> str:
    state = STATES[nucleus.state]
    described = {
        "objectType": object_type,
        "classification": {"name": state.value, "color": list(STATE_COLOURS[state])},
        "metadata": {"state": state.value} | ({"cut": "at the border of a block"} if nucleus.cut else {}),
        "measurements": _measurements(nucleus),
    }
    return (
        f'{{"type":"Feature","id":"{uuid5(space, str(nucleus.id))}","geometry":{_geometry(nucleus)},'
        f'"properties":{_ENCODER.encode(described)}}}'
    )


def _measurements(nucleus: SlideNucleus) -> dict[str, float]:
    """Finite numbers alone: JSON has no NaN, and QuPath refuses it."""
    numbers: dict[str, float | None] = {
        "id": nucleus.id,
        "area_px": nucleus.area,
        "area_um2": nucleus.area_um2,
        "perimeter_px": nucleus.perimeter,
        "perimeter_um": nucleus.perimeter_um,
        "eccentricity": nucleus.eccentricity,
        "solidity": nucleus.solidity,
        "probability": nucleus.probability,
        "doubt": nucleus.doubt,
    }
    kept = {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    return {name: value if isinstance(value, int) else round(float(value), 4) for name, value in kept.items()}


def _geometry(nucleus: SlideNucleus) -> str:
    """The outline as x and y, closed, anticlockwise with Y taken upwards as RFC 7946 asks."""
    ring = np.asarray(nucleus.polygon, np.float64)[:, ::-1]
    ring = np.concatenate([ring, ring[:1]])
    if twice_area(ring) < 0:
        ring = ring[::-1]
    whole = ring.astype(np.int64)
    corners = whole.tolist() if np.array_equal(whole, ring) else ring.round(_DECIMALS).tolist()
    return f'{{"type":"Polygon","coordinates":[{_ENCODER.encode(corners)}]}}'
