"""What an OME-Zarr says about itself: axes, levels, scales, channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.slide import Channel

_LETTERS = {"t": "T", "z": "Z", "y": "Y", "x": "X", "c": "C"}
_KINDS = {"time": "T", "channel": "C"}
_OLD_AXES = ("t", "c", "z", "y", "x")


@dataclass
class Multiscale:
    """A multiscale image: axes as letters in stored order, a unit per axis, arrays and steps, largest first."""

    kind: str
    axes: str
    units: tuple[str, ...]
    arrays: list[Any]
    steps: list[tuple[float, ...]]
    channels: tuple[Channel, ...]


def read_multiscale(group: Any, name: str, notes: list[str]) -> Multiscale:
    """Read the description of the first multiscale image.

    Parameters
    ----------
    group : zarr.Group or zarr.Array
    name : str
        For messages.
    notes : list of str
        Gets a sentence for what is odd.

    Raises
    ------
    ImageError
    """
    if hasattr(group, "shape"):
        raise ImageError(f"{name} is a bare zarr array without a description of its axes; give an OME-Zarr image")
    told = _told(group)
    if "plate" in told:
        raise ImageError(f"{name} is a plate of many images; give the folder of one of them (such as A/1/0)")
    if "bioformats2raw.layout" in told and not told.get("multiscales"):
        if "1" in group:
            notes.append("The file holds several pictures; the first one was opened.")
        group = group["0"]
        told = _told(group)
    multiscales = told.get("multiscales")
    if not multiscales:
        raise ImageError(f"{name} holds no multiscale image; give the folder that holds an OME-Zarr image")
    if len(multiscales) > 1:
        notes.append(f"The file describes {len(multiscales)} pyramids; the first one was opened.")
    first = multiscales[0]
    arrays = [_array(group, entry["path"], name) for entry in first["datasets"]]
    axes, units = _axes(first.get("axes"), arrays[0].ndim, name)
    steps = _steps(first, len(axes), notes)
    version = told.get("version") or first.get("version") or ""
    return Multiscale(f"OME-Zarr {version}".strip(), axes, units, arrays, steps, _channels(told.get("omero") or {}))


def _told(group: Any) -> dict[str, Any]:
    """Give the description; since 0.5 it lies under "ome"."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return {**attributes, **inner} if isinstance(inner, dict) else attributes


def _array(group: Any, path: str, name: str) -> Any:
    try:
        array = group[path]
    except KeyError:
        raise ImageError(f"{name} describes a level {path!r} that isn't there; copy or export it again") from None
    if not hasattr(array, "chunks"):
        raise ImageError(f"level {path!r} of {name} is a folder, not an array; export it again")
    return array


def _axes(stated: Any, count: int, name: str) -> tuple[str, tuple[str, ...]]:
    entries = [one if isinstance(one, dict) else {"name": one} for one in stated or _OLD_AXES[-count:]]
    letters, units = "", []
    for entry in entries:
        letter = _LETTERS.get(str(entry.get("name", "")).lower()) or _KINDS.get(str(entry.get("type", "")), "I")
        letters += letter
        units.append(str(entry.get("unit") or "pixel"))
    if letters.count("Y") != 1 or letters.count("X") != 1 or letters.count("C") > 1:
        raise ImageError(f"{name} has axes {[entry.get('name') for entry in entries]}; one y and one x are needed")
    return letters, tuple(units)


def _steps(first: dict[str, Any], count: int, notes: list[str]) -> list[tuple[float, ...]]:
    """Step along each axis, by level; empty where a level states none."""
    steps = []
    for entry in first["datasets"]:
        step = [1.0] * count
        stated = False
        for change in (
            *(entry.get("coordinateTransformations") or ()),
            *(first.get("coordinateTransformations") or ()),
        ):
            factors = change.get("scale") if change.get("type") == "scale" else None
            if factors and len(factors) == count and min(factors) > 0:
                step = [one * float(factor) for one, factor in zip(step, factors, strict=True)]
                stated = True
        if not stated:
            notes.append("The file states no scale for its levels.")
            return []
        steps.append(tuple(step))
    return steps


def _channels(omero: dict[str, Any]) -> tuple[Channel, ...]:
    channels = []
    for number, entry in enumerate(omero.get("channels") or (), 1):
        window = entry.get("window") or {}
        shown = _window(window.get("start"), window.get("end"))
        channels.append(Channel(str(entry.get("label") or f"channel {number}"), _colour(entry.get("color")), shown))
    return tuple(channels)


def _window(start: Any, end: Any) -> tuple[float, float] | None:
    numbers = isinstance(start, (int, float)) and isinstance(end, (int, float))
    return (float(start), float(end)) if numbers and start < end else None


def _colour(text: Any) -> tuple[int, int, int] | None:
    """Six hexadecimal digits."""
    try:
        value = int(str(text).lstrip("#")[:6], 16)
    except ValueError:
        return None
    return value >> 16, value >> 8 & 255, value & 255
