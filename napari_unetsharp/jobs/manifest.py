"""A table of inputs: one row per job, in CSV."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.jobs.source import Source

COLUMNS = ("path", "name", "plane", "um_per_pixel", "nucleus_size", "channel")


def read_manifest(path: Path) -> list[Source]:
    """Read the jobs that a CSV file lists.

    Parameters
    ----------
    path : Path
        UTF-8, cells parted by commas, semicolons or tabs; columns of `COLUMNS`, of which only path is needed.

    Returns
    -------
    list of Source

    Raises
    ------
    SettingsError
        If it can't be read, has an unknown column, or a cell makes no sense; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it isn't UTF-8"
        raise SettingsError(f"the manifest {path} can't be read ({reason}); give a CSV file") from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    rows = csv.DictReader(lines, delimiter=max(",;\t", key=first.count), skipinitialspace=True)
    given = [str(name).strip() for name in rows.fieldnames or ()]
    rows.fieldnames = given
    unknown = [name for name in given if name not in COLUMNS]
    if "path" not in given or unknown:
        raise SettingsError(
            f"the manifest {path} has the columns {', '.join(given) or '(none)'}; "
            f"path is needed, and {', '.join(COLUMNS[1:])} are known"
        )
    return [_source(row, path, rows.line_num) for row in rows if any(row.values())]


def _source(row: dict[str, str | None], manifest: Path, line: int) -> Source:
    cells = {name: (value or "").strip() for name, value in row.items() if isinstance(value, str | None)}
    where = f"line {line} of {manifest}"
    if not cells["path"]:
        raise SettingsError(f"{where} has no path; write one, or take the line out")
    name = cells.get("name", "")
    if name and (name in (".", "..") or name != Path(name).name or "\\" in name or name.startswith(".")):
        raise SettingsError(f"{where}: {name!r} can't be the name of a file; leave out / and \\ and a dot in front")
    plane = _numbers(cells.get("plane", ""), "plane", where)
    if any(at < 0 or not at.is_integer() for at in plane):
        raise SettingsError(f"{where}: plane {cells['plane']!r} is none; planes are whole numbers from 0")
    um = lengths(cells.get("um_per_pixel", ""), where)
    size = _numbers(cells.get("nucleus_size", ""), "nucleus_size", where)
    if len(size) > 1 or any(not value > 0 for value in size):
        raise SettingsError(f"{where}: nucleus_size {cells['nucleus_size']!r} is no diameter in px above 0")
    path = Path(cells["path"])
    return Source(
        path if path.is_absolute() else manifest.parent / path, name, tuple(int(at) for at in plane) or None, um,
        size[0] if size else None, channel_said(cells.get("channel", ""), where),
    )  # fmt: skip


def channel_said(text: str, where: str) -> str:
    """Read a channel, a name or a number from 1; raises `SettingsError` for 0."""
    said = text.strip()
    if said.isdecimal() and not int(said):
        raise SettingsError(f"{where}: there is no channel 0; channels are counted from 1")
    return said


def lengths(text: str, where: str) -> tuple[float, float] | None:
    """Read µm per pixel: "0.25", or "0.25/0.26" along Y and X; None where empty.

    Raises
    ------
    SettingsError
    """
    found = _numbers(text, "um_per_pixel", where)
    if not found:
        return None
    if len(found) > 2 or min(found) <= 0:
        raise SettingsError(f"{where}: um_per_pixel {text!r} is no length above 0, nor two of them (0.25/0.26)")
    return found[0], found[-1]


def _numbers(text: str, column: str, where: str) -> list[float]:
    try:
        found = [float(part) for part in text.split("/")] if text else []
    except ValueError:
        raise SettingsError(f"{where}: {column} {text!r} isn't a number") from None
    if not all(map(math.isfinite, found)):
        raise SettingsError(f"{where}: {column} {text!r} isn't a number")
    return found
