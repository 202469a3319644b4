"""The table of a slide's nuclei as Parquet: a part per block, and all of it in one file in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_file import DamagedBlockError
from napari_unetsharp.slides.nuclei import COLUMNS, STATES, NucleusRows

_UNITS = {
    "polygon": "level-0 px, (y, x) of corners; pixel (0, 0) spans 0 to 1; the last corner is joined to the first",
    "top": "level-0 px", "left": "level-0 px", "bottom": "level-0 px", "right": "level-0 px", "y": "level-0 px",
    "x": "level-0 px", "area": "level-0 px squared", "area_um2": "µm squared", "diameter": "level-0 px",
    "diameter_um": "µm", "perimeter": "level-0 px", "perimeter_um": "µm", "major_axis": "level-0 px",
    "minor_axis": "level-0 px", "major_axis_um": "µm", "minor_axis_um": "µm", "probability": "0..1", "doubt": "0..1",
}  # fmt: skip

_GROUP = 4096
"""Rows that are decoded at once when the table is read."""


def write_rows(path: Path, rows: NucleusRows, about: RunAbout) -> None:
    """Write one part, beside and renamed.

    Raises
    ------
    SlideRunError
        If pyarrow isn't installed or the disk doesn't take it.
    """
    _, parquet = _pyarrow()
    try:
        with written_beside(path) as beside:
            parquet.write_table(_table(rows, _schema(about)), beside, compression="zstd")
    except OSError as error:
        raise _unwritten(path, error) from error


def write_parts(path: Path, parts: Iterator[NucleusRows], about: RunAbout) -> int:
    """Write a table of parts that are read one after the other, beside and renamed; returns its rows."""
    _, parquet = _pyarrow()
    schema, written, waiting = _schema(about), 0, list[NucleusRows]()
    try:
        with written_beside(path) as beside, parquet.ParquetWriter(beside, schema, compression="zstd") as file:
            for rows in parts:
                waiting.append(rows)
                if sum(map(len, waiting)) >= _GROUP:
                    written += _flushed(file, waiting, schema)
            written += _flushed(file, waiting, schema)
    except OSError as error:
        raise _unwritten(path, error) from error
    return written


def _flushed(file: Any, waiting: list[NucleusRows], schema: Any) -> int:
    rows = NucleusRows.together(waiting)
    waiting.clear()
    if len(rows):
        file.write_table(_table(rows, schema))
    return len(rows)


def read_rows(path: Path) -> NucleusRows:
    """Read one part.

    Raises
    ------
    DamagedBlockError
        If it is missing, cut short or has other columns.
    """
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path, memory_map=False)
        columns = {name: table[name].to_numpy() for name in COLUMNS if name not in {"state"}}
        states = table["state"].combine_chunks().to_pylist()
        columns["state"] = np.array([STATES.index(state) for state in states], np.uint8)
        polygons = table["polygon"].combine_chunks()
        ends, pairs = polygons.offsets.to_numpy()[1:], polygons.values
        points = pairs.values.to_numpy(zero_copy_only=False).reshape(-1, 2)
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise DamagedBlockError(f"{path} can't be read ({first_line(error)}); run again, it is made anew") from error
    typed = {name: columns[name].astype(kind) for name, kind in COLUMNS.items()}
    return NucleusRows(typed, points.astype(np.float32), ends.astype(np.int64))


def _schema(about: RunAbout) -> Any:
    """Columns with their units, and the run, in the metadata."""
    pyarrow, _ = _pyarrow()
    kinds: dict[str, Any] = {name: pyarrow.from_numpy_dtype(kind) for name, kind in COLUMNS.items()}
    kinds["state"] = pyarrow.dictionary(pyarrow.int8(), pyarrow.string())
    kinds["polygon"] = pyarrow.list_(pyarrow.list_(pyarrow.float32(), 2))
    fields = [
        pyarrow.field(name, kind, metadata={"unit": _UNITS[name]} if name in _UNITS else None)
        for name, kind in kinds.items()
    ]
    return pyarrow.schema(fields, metadata={"napari_unetsharp": json.dumps(about.as_dict())})


def _table(rows: NucleusRows, schema: Any) -> Any:
    pyarrow, _ = _pyarrow()
    arrays: dict[str, Any] = {}
    for name, column in rows.columns.items():
        arrays[name] = pyarrow.array(column, from_pandas=True)  # NaN, unknown, is an empty cell
    codes = pyarrow.array(rows.columns["state"].astype(np.int8))
    arrays["state"] = pyarrow.DictionaryArray.from_arrays(codes, pyarrow.array(list(STATES)))
    pairs = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.points.reshape(-1)), 2)
    ends = np.concatenate([np.zeros(1, np.int64), rows.ends]).astype(np.int32)
    arrays["polygon"] = pyarrow.ListArray.from_arrays(pyarrow.array(ends), pairs)
    return pyarrow.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise SlideRunError(
            'the table of a slide needs pyarrow: install it with pip install "napari-unetsharp[slides]"'
        ) from None
    return pyarrow, parquet


def _unwritten(path: Path, error: OSError) -> SlideRunError:
    return SlideRunError(f"{path} can't be written ({first_line(error)}); make room and run again")
