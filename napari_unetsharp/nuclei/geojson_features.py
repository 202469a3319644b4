"""One feature of a GeoJSON file: its outline, id, state, class and tags, and what of it is no nucleus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import LabelsError
from napari_unetsharp.nuclei.filling import FARTHEST
from napari_unetsharp.nuclei.geojson import ID
from napari_unetsharp.nuclei.outlines import Polygon
from napari_unetsharp.nuclei.states import REASONS, Nucleus, State
from napari_unetsharp.nuclei.texts import split_tags

LARGEST_ID = 2**31 - 1

_SKIPPED = {"tile": "tiles", "tmaCore": "TMA cores", "tma_core": "TMA cores", "root": "root objects"}
_STATES = {state.value: state for state in State}


@dataclass
class Outlined:
    """A feature with an area; `number` is its place in the file, from 1."""

    number: int
    kind: str
    id: int
    nucleus: Nucleus
    polygons: list[Polygon]


@dataclass
class Seen:
    """What was met in the file, besides the objects handed on."""

    count: int = 0
    nuclei: list[Outlined] = field(default_factory=list)
    annotations: list[Outlined] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1


def collect(element: Any, seen: Seen, name: str) -> None:
    """Sort a feature and its children into nuclei, annotations and what has no area."""
    seen.count += 1
    number = seen.count
    if not isinstance(element, dict):
        raise LabelsError(f"element {number} of {name} is no feature; GeoJSON is needed")
    properties = element.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    kind = str(properties.get("objectType") or properties.get("object_type") or properties.get("type") or "")
    if "coordinates" in element or "geometries" in element:
        geometry: Any = element
    else:
        geometry = element.get("nucleusGeometry") or element.get("geometry")
    if kind in _SKIPPED:
        seen.skip(_SKIPPED[kind])
    elif not isinstance(geometry, dict):
        seen.skip("objects without an outline")
    else:
        _sort_in(Outlined(number, kind, _id(properties), _nucleus(properties), _polygons(geometry, seen, name)), seen)
    for key in ("childObjects", "children"):
        children = properties.get(key)
        for child in children if isinstance(children, list) else ():
            collect(child, seen, name)


def _sort_in(thing: Outlined, seen: Seen) -> None:
    if not thing.polygons:
        return
    if thing.kind in {"detection", "cell"}:
        seen.nuclei.append(thing)
    else:
        seen.annotations.append(thing)


def _polygons(geometry: Mapping[str, Any], seen: Seen, name: str) -> list[Polygon]:
    """Polygons of a geometry; whatever has no area is counted and skipped."""
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
        parts = [part for part in geometry["geometries"] if isinstance(part, dict)]
        return [polygon for part in parts for polygon in _polygons(part, seen, name)]
    if kind in {"Point", "MultiPoint", "LineString", "MultiLineString"}:
        seen.skip("points or lines")
        return []
    if kind not in {"Polygon", "MultiPolygon"} or not isinstance(coordinates, list):
        raise LabelsError(f"object {seen.count} of {name} has no coordinates of a polygon; GeoJSON is needed")
    several = coordinates if kind == "MultiPolygon" else [coordinates]
    found = []
    for rings in several:
        polygon = [_ring(ring, seen, name) for ring in rings] if isinstance(rings, list) else []
        if polygon and len(polygon[0]) > 3:
            found.append(polygon)
    if not found:
        seen.skip("outlines without an area")
    return found


def _ring(coordinates: Any, seen: Seen, name: str) -> NDArray[np.float64]:
    """(n, 2), closed."""
    try:
        ring = np.array(coordinates, np.float64)
    except (TypeError, ValueError, OverflowError):
        ring = np.zeros(0)
    if not len(ring):
        ring = np.zeros((0, 2)) if coordinates == [] else ring
    if ring.ndim != 2 or ring.shape[1] < 2:
        raise LabelsError(f"object {seen.count} of {name} has coordinates that aren't pairs of numbers")
    ring = ring[:, :2]
    if not np.isfinite(ring).all() or np.abs(ring).max(initial=0) > FARTHEST:
        raise LabelsError(
            f"object {seen.count} of {name} has coordinates that no image has (NaN, or beyond {FARTHEST:,.0f}); "
            "export it once more, in pixels"
        )
    if len(ring) and (ring[0] != ring[-1]).any():
        ring = np.concatenate([ring, ring[:1]])
    return ring


def _id(properties: Mapping[str, Any]) -> int:
    """Id that one of our exports gave it; 0 without one."""
    measurements = properties.get("measurements")
    if isinstance(measurements, list):  # QuPath before 0.4
        pairs = [(entry.get("name"), entry.get("value")) for entry in measurements if isinstance(entry, dict)]
        value = next((value for name, value in pairs if name == ID), None)
    else:
        value = measurements.get(ID) if isinstance(measurements, dict) else None
    whole = isinstance(value, float) and value.is_integer() and 0 < value <= LARGEST_ID
    return int(value) if whole and value is not None else 0


def _nucleus(properties: Mapping[str, Any]) -> Nucleus:
    """State, reason, class and tags, without an id yet."""
    metadata = properties.get("metadata")
    told = {key: text for key, text in metadata.items() if isinstance(text, str)} if isinstance(metadata, dict) else {}
    names = _class_names(properties.get("classification"))
    state = _STATES.get(names[-1]) if names else None
    classes = names[:-1] if state else names
    reason = told.get("reason", "")
    return Nucleus(
        0,
        state or _STATES.get(told.get("state", ""), State.TO_DO),
        reason if reason in REASONS else "",
        told.get("class", "") or ": ".join(classes),
        split_tags(told.get("tags", "")),
    )


def _class_names(classification: Any) -> list[str]:
    """Names of a QuPath class: several for a derived one, such as a class and a state."""
    if isinstance(classification, str):
        return [part for part in classification.split(": ") if part]
    if not isinstance(classification, dict):
        return []
    names = classification.get("names")
    if isinstance(names, list):
        return [name for name in names if isinstance(name, str)]
    name = classification.get("name")
    return [part for part in name.split(": ") if part] if isinstance(name, str) else []
