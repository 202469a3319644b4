"""Arrays of a block in a file that is either whole or not there."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.tiff import written_beside

_DEFLATED = zipfile.ZIP_DEFLATED


class DamagedBlockError(SlideRunError):
    """A file of a block can't be read; it is made again."""


def block_name(row: int, column: int, ending: str = "npz") -> str:
    """Name of a block's file."""
    return f"{row:04d}-{column:04d}.{ending}"


def place_of(name: str) -> tuple[int, int] | None:
    """Row and column by the name of a block's file; None where it is another file."""
    stem, _, ending = name.partition(".")
    row, _, column = stem.partition("-")
    return (int(row), int(column)) if ending == "npz" and row.isdecimal() and column.isdecimal() else None


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as npz, beside and renamed; compressed quickly rather than well.

    Raises
    ------
    SlideRunError
        If the disk doesn't take it.
    """
    try:
        with (
            written_beside(path) as beside,
            zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        ):
            for name, array in arrays.items():
                held = io.BytesIO()
                np.lib.format.write_array(held, np.ascontiguousarray(array), allow_pickle=False)
                file.writestr(f"{name}.npy", held.getbuffer())
    except OSError as error:
        raise SlideRunError(
            f"{path} can't be written ({first_line(error)}); make room or choose another folder, then run again"
        ) from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote.

    Raises
    ------
    DamagedBlockError
        If the file is missing, cut short or was changed.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedBlockError(f"{path.name} in {path.parent} can't be read: {first_line(error)}") from error
