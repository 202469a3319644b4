"""Outlines of nuclei as GeoJSON that QuPath opens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid5

from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.measure import Measures
from napari_unetsharp.nuclei.outlines import Polygon
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.nuclei.texts import join_tags, number_texts

ObjectType = Literal["detection", "annotation"]

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

STATE_COLOURS: dict[State, Colour] = {
    State.TO_DO: (0xE6, 0x9F, 0x00),
    State.RIGHT: (0x56, 0xB4, 0xE9),
    State.CHANGED: (0xFF, 0xFF, 0xFF),
    State.NOT: (0xD5, 0x5E, 0x00),
    State.UNSURE: (0xCC, 0x79, 0xA7),
}
"""Those of the window, where it has one: colours of Okabe and Ito, which colour-blind people tell apart."""

CLASS_COLOURS: tuple[Colour, ...] = (
    (0x00, 0x9E, 0x73), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0xF0, 0xE4, 0x42),
    (0xCC, 0x79, 0xA7), (0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00), (0x99, 0x99, 0x99),
)  # fmt: skip
"""Given to classes in alphabetical order."""

ID = "id"
"""The measurement that tells the nucleus: QuPath keeps measurements, whatever else it changes."""

_PLACE = ("y_px", "x_px", "y_um", "x_um")
"""Not written: QuPath computes it from the outline, from another corner than we do."""

_SPACE = UUID("6f1f3c0e-6d0b-4f2a-9a53-0b6f2f6a7c11")
_Outlines = Iterable[tuple[int, Sequence[Polygon]]]


def write_geojson(
    path: str | Path,
    outlines: _Outlines,
    nuclei: Mapping[int, Nucleus] | None = None,
    measures: Measures | None = None,
    image: str = "",
    object_type: ObjectType = "detection",
    facts: Mapping[str, str] | None = None,
) -> int:
    """Write a feature collection, one feature after the other.

    A feature is classified by its class and state, coloured by its class or, without classes, by its state. It
    carries "id" and the finite numbers of `measures` as measurements; state, reason, class, tags and texts among
    the measures as metadata. Needs QuPath 0.4 or later.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed.
    outlines : iterable of tuple of int and sequence of Polygon
        From `outlines`: ids, and corners where pixel (0, 0) of the full resolution spans 0 to 1.
    nuclei : mapping of int to Nucleus, optional
        Without it, features have no class.
    measures : dict of str to array, optional
        From `measure`; nuclei that it lacks have no measurements.
    image : str
        Identity of the image: the same nucleus of the same image has the same UUID in every export.
    object_type : str
        Annotations can be edited in QuPath, detections are quick by the thousand.
    facts : mapping of str to str, optional
        Written once, as the member "unetsharp" of the collection.

    Returns
    -------
    int
        How many features were written.
    """
    rows = _measurements(measures or {})
    colours = class_colours(nuclei or {})
    space = uuid5(_SPACE, image)
    head = json.dumps({"type": "FeatureCollection", "unetsharp": dict(facts or {})}, ensure_ascii=False)
    count = 0
    with written_beside(Path(path)) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{head[:-1]}, "features": [')
        for number, polygons in outlines:
            numbers, texts = rows.get(number, (f'"{ID}":{number}', {}))
            properties = f'"objectType":"{object_type}"'
            if nuclei is not None:
                properties += _described(nuclei.get(number) or Nucleus(number), texts, colours)
            file.write(
                f'{"," if count else ""}\n{{"type":"Feature","id":"{uuid5(space, str(number))}",'
                f'"geometry":{_geometry(polygons)},"properties":{{{properties},"measurements":{{{numbers}}}}}}}'
            )
            count += 1
        file.write("\n]}\n")
    return count


def class_colours(nuclei: Mapping[int, Nucleus]) -> dict[str, Colour]:
    """Give each class that occurs a colour."""
    kinds = sorted({nucleus.kind for nucleus in nuclei.values() if nucleus.kind})
    return {kind: CLASS_COLOURS[place % len(CLASS_COLOURS)] for place, kind in enumerate(kinds)}


def _geometry(polygons: Sequence[Polygon]) -> str:
    parts = [[ring.tolist() for ring in polygon] for polygon in polygons]
    kind, coordinates = ("Polygon", parts[0]) if len(parts) == 1 else ("MultiPolygon", parts)
    return json.dumps({"type": kind, "coordinates": coordinates}, separators=(",", ":"), allow_nan=False)


def _described(nucleus: Nucleus, texts: Mapping[str, str], colours: Mapping[str, Colour]) -> str:
    """Classification and metadata, as further members of the properties."""
    state = nucleus.state.value
    metadata = {"state": state, "reason": nucleus.reason, "class": nucleus.kind, "tags": join_tags(nucleus.tags)}
    metadata = {name: text for name, text in (metadata | dict(texts)).items() if text}
    if nucleus.kind:  # QuPath builds "class: state" from two names; a colon would make three of them
        named: dict[str, object] = {"names": [" ".join(nucleus.kind.replace(":", " ").split()), state]}
    else:
        named = {"name": state}
    named["color"] = list(colours.get(nucleus.kind, STATE_COLOURS[nucleus.state]))
    described = {"classification": named, "metadata": metadata}
    return "," + json.dumps(described, ensure_ascii=False, separators=(",", ":"))[1:-1]


def _measurements(measures: Measures) -> dict[int, tuple[str, dict[str, str]]]:
    """Per id, the members of its measurements as JSON, and its texts.

    NaN is left out: JSON has none, and QuPath refused it (its issue 1293).
    """
    if not measures:
        return {}
    names, columns = [], []
    texts: dict[str, list[str]] = {}
    for name, column in measures.items():
        if name in _PLACE:
            continue
        if column.dtype.kind in "iufb":
            names.append(json.dumps(name, ensure_ascii=False))
            columns.append(number_texts(column))
        else:
            texts[name] = [str(text) for text in column]
    rows = zip(*columns, strict=True)
    found = {}
    for place, (number, row) in enumerate(zip(measures[ID].tolist(), rows, strict=True)):
        members = ",".join(f"{name}:{text}" for name, text in zip(names, row, strict=True) if text)
        found[number] = members, {name: column[place] for name, column in texts.items()}
    return found
