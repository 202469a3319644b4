"""Entries and snapshots of a review as JSON, one line each."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import astuple
from typing import Any

import numpy as np

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.course import Action, Course, Entry
from napari_unetsharp.nuclei.delta import BoxDelta, NucleusChange, OutlineChange, ViewChange
from napari_unetsharp.nuclei.findings import Findings, whole
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.nuclei.undo import Step, UndoStack

LONG = 2000
"""Lines of more characters are compressed once more."""

LARGEST = 2**30
"""No line unpacks to more bytes: a forged one can't fill the memory."""

Shape = tuple[int, int]


def to_line(record: dict[str, Any]) -> bytes:
    """JSON without a line break; compressed where it is long."""
    text = json.dumps(record, separators=(",", ":")).encode()
    if len(text) <= LONG:
        return text
    return b'{"z":"' + base64.b64encode(zlib.compress(text, 3)) + b'"}'


def from_line(line: bytes) -> dict[str, Any]:
    """Inverse of `to_line`.

    Raises
    ------
    ReviewError
    """
    try:
        record = json.loads(line)
        if isinstance(record, dict) and set(record) == {"z"}:
            reader = zlib.decompressobj()
            text = reader.decompress(base64.b64decode(record["z"], validate=True), LARGEST)
            if not reader.eof:
                raise ReviewError("a line of the journal is cut, or unpacks to more than a gigabyte")
            record = json.loads(text)
    except (ValueError, TypeError, zlib.error, RecursionError) as error:
        raise ReviewError(f"a line of the journal is no JSON ({error})") from error
    if not isinstance(record, dict):
        raise ReviewError("a line of the journal is JSON, but no record")
    return record


def pack_entry(entry: Entry) -> dict[str, Any]:
    """An entry as JSON can hold it; empty parts are left out."""
    record: dict[str, Any] = {"n": entry.number, "at": entry.when, "who": entry.who, "what": entry.what}
    optional = {"how": entry.how, "step": entry.step, "topic": entry.topic}
    record |= {name: value for name, value in optional.items() if value}
    if entry.seconds is not None:
        record["seconds"] = entry.seconds
    if entry.what == "note":
        record["body"] = entry.body
    if entry.delta is not None:
        record["delta"] = pack_delta(entry.delta)
    return record


def unpack_entry(record: dict[str, Any], shape: Shape) -> Entry:
    """Inverse of `pack_entry`, for a plane of this shape.

    Raises
    ------
    ReviewError
    """
    try:
        if record["what"] not in {"do", "undo", "redo", "note"}:
            raise ReviewError(f"the journal has an entry of an unknown sort, {record['what']!r}; update the plugin")
        return Entry(
            int(record["n"]),
            str(record["at"]),
            str(record["who"]),
            record["what"],
            str(record.get("how", "")),
            unpack_delta(record["delta"], shape) if "delta" in record else None,
            int(record.get("step", 0)),
            str(record.get("topic", "")),
            record.get("body"),
            record.get("seconds"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ReviewError(f"an entry of the journal lacks something ({error!r})") from error


def pack_delta(delta: BoxDelta) -> dict[str, Any]:
    """A delta as JSON can hold it; empty parts are left out."""
    record: dict[str, Any] = {"kind": delta.kind, "box": list(delta.box)}
    parts = {
        "focus": delta.focus,
        "labels": _pack_pixels(delta.labels) if delta.labels else None,
        "nuclei": [[change.id, _pack_nucleus(change.before), _pack_nucleus(change.after)] for change in delta.nuclei],
        "rejected": _pack_outlines(delta),
        "proposals": _pack_pixels(delta.proposals),
        "ignored": _pack_pixels(delta.ignored),
        "views": [[change.place, list(change.view), change.added] for change in delta.views],
        "model": delta.model and list(delta.model),
    }
    return record | {name: part for name, part in parts.items() if part}


def unpack_delta(record: dict[str, Any], shape: Shape) -> BoxDelta:
    """Inverse of `pack_delta`."""
    proposals, ignored, model = (record.get(name) for name in ("proposals", "ignored", "model"))
    labels = _pixels(record.get("labels"), shape) or PixelChange.none(shape[1])
    return BoxDelta(
        str(record["kind"]),
        labels,
        _box(record["box"]),
        tuple(
            NucleusChange(_id(id_), _nucleus(id_, before), _nucleus(id_, after))
            for id_, before, after in record.get("nuclei", ())
        ),
        _outlines(record.get("rejected", ()), labels, shape),
        _pixels(proposals, shape),
        _pixels(ignored, shape),
        tuple(ViewChange(int(place), _box(view), bool(added)) for place, view, added in record.get("views", ())),
        model and (str(model[0]), str(model[1])),
        int(record.get("focus", 0)),
    )


def pack_course(course: Course) -> dict[str, Any]:
    """Everything at one moment, undo steps and history included."""
    findings = course.findings
    width = findings.shape[1]
    plane = Box(0, 0, *findings.shape)
    return {
        "snapshot": course.number,
        "labels": _pack_pixels(whole(findings.labels), 3),
        "proposals": _pack_pixels(PixelChange.between(plane, findings.labels, findings.proposals, width), 3),
        "ignored": _pack_pixels(PixelChange.between(plane, findings.ignored & False, findings.ignored, width)),
        "nuclei": [[id_, _pack_nucleus(nucleus)] for id_, nucleus in findings.nuclei.items()],
        "rejected": [[id_, _pack_pixels(outline)] for id_, outline in findings.rejected.items()],
        "views": [list(view) for view in findings.views],
        "last_id": findings.last_id,
        "model": findings.model,
        "done": [[step.number, pack_delta(step.delta)] for step in course.undo.done],
        "undone": [[step.number, pack_delta(step.delta)] for step in course.undo.undone],
        "history": [list(astuple(action)) for action in course.history],
        "notes": course.notes,
    }


def unpack_course(record: dict[str, Any], shape: Shape, limit: int) -> Course:
    """Inverse of `pack_course`.

    Parameters
    ----------
    record : dict
    shape : tuple of int
        (Y, X) of the plane.
    limit : int
        Of the undo stack, in bytes.

    Raises
    ------
    ReviewError
    """
    try:
        findings = _findings(record, shape)
        done, undone = (
            [Step(int(number), unpack_delta(delta, shape)) for number, delta in record[name]]
            for name in ("done", "undone")
        )
        history = [_action(fields) for fields in record["history"]]
        undo = UndoStack(limit, done, undone)
        return Course(findings, undo, history, dict(record["notes"]), int(record["snapshot"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ReviewError(f"the snapshot of the journal lacks something ({error!r})") from error


def _action(fields: list[Any]) -> Action:
    number, when, who, what, how, model, nuclei, seconds = fields
    states = tuple((int(id_), str(before), str(after)) for id_, before, after in nuclei)
    return Action(int(number), str(when), str(who), str(what), str(how), str(model), states, seconds)


def _findings(record: dict[str, Any], shape: Shape) -> Findings:
    labels = np.zeros(shape, np.int32)
    (_pixels(record["labels"], shape) or PixelChange.none(shape[1])).apply(labels)
    proposals = labels.copy()
    (_pixels(record["proposals"], shape) or PixelChange.none(shape[1])).apply(proposals)
    ignored = np.zeros(shape, bool)
    (_pixels(record["ignored"], shape) or PixelChange.none(shape[1])).apply(ignored)
    nuclei = {_id(id_): nucleus for id_, fields in record["nuclei"] if (nucleus := _nucleus(id_, fields))}
    rejected = {_id(id_): outline for id_, packed in record["rejected"] if (outline := _pixels(packed, shape))}
    views = [_box(view) for view in record["views"]]
    return Findings(labels, proposals, ignored, nuclei, rejected, views, int(record["last_id"]), str(record["model"]))


def _pack_pixels(change: PixelChange | None, level: int = 6) -> str | None:
    return None if change is None else base64.b64encode(change.to_bytes(level)).decode("ascii")


def _pixels(packed: str | None, shape: Shape) -> PixelChange | None:
    return None if packed is None else PixelChange.from_bytes(base64.b64decode(packed, validate=True), shape)


def _pack_outlines(delta: BoxDelta) -> list[list[Any]]:
    """Outlines that are kept; True where it is just what the labels lose."""
    lost = delta.labels.by_id() if delta.rejected else {}
    return [
        [change.id, _pack_pixels(change.before), change.after == lost.get(change.id, 0) or _pack_pixels(change.after)]
        for change in delta.rejected
    ]


def _outlines(packed: Iterable[list[Any]], labels: PixelChange, shape: Shape) -> tuple[OutlineChange, ...]:
    lost = labels.by_id() if packed else {}
    return tuple(
        OutlineChange(_id(id_), _pixels(before, shape), lost[id_] if after is True else _pixels(after, shape))
        for id_, before, after in packed
    )


def _pack_nucleus(nucleus: Nucleus | None) -> list[Any] | None:
    if nucleus is None:
        return None
    fields: list[Any] = [nucleus.state.value, nucleus.reason, nucleus.kind, list(nucleus.tags)]
    while not fields[-1]:
        fields.pop()
    return fields


def _nucleus(id_: int, fields: list[Any] | None) -> Nucleus | None:
    if fields is None:
        return None
    missing: tuple[Any, ...] = ("", "", ())
    state, reason, kind, tags = (*fields, *missing[len(fields) - 1 :])
    return Nucleus(int(id_), State(state), str(reason), str(kind), tuple(map(str, tags)))


def _id(value: Any) -> int:
    if not 0 < int(value) < 2**31:
        raise ValueError(f"id {value}")
    return int(value)


def _box(sides: Any) -> Box:
    top, left, bottom, right = map(int, sides)
    return Box(top, left, bottom, right)
