"""Several files that belong together, replaced as one: either all are the old ones or all are the new ones.

New files are written beside the old ones under hidden names and brought to the disk. Then a record with the hash
of each is put beside them under its own name, by one renaming: from here on the new set counts. Only then are the
files renamed over the old ones, and the record last. Whatever stops this in the middle, a reader finds every file
of the set by its hash, under one name or the other, and the next writer finishes what was begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unetsharp.errors import ReviewError, SaveError
from napari_unetsharp.images.files import first_line

Writer = Callable[[Path], object]

LARGEST_RECORD = 1 << 28
"""Bytes; what is larger is none of ours."""

_TOKEN = re.compile("[0-9a-f]{8}")
_LEFT = re.compile(rf"\.+\w[\w.-]*\.{_TOKEN.pattern}\.new(\.\d+\.part)?")
"""Names of files that an interrupted writer leaves; the last part is that of `written_beside`."""


@dataclass(frozen=True)
class FoundSet:
    """A complete set.

    Attributes
    ----------
    record : dict
        What was written besides, with "files": name to "sha256" and "bytes".
    paths : dict of str to Path
        Where each file is now; a hidden name where a renaming is still to be done.
    changed : tuple of str
        Files that somebody changed since; empty unless that was allowed.
    """

    record: dict[str, Any]
    paths: dict[str, Path]
    changed: tuple[str, ...] = ()


def write_set(folder: Path, writers: Mapping[str, Writer], record: Mapping[str, Any], record_name: str) -> None:
    """Replace a set of files.

    Parameters
    ----------
    folder : Path
        Made if it isn't there. One writer at a time: see `lock`.
    writers : mapping of str to callable
        By file name; each writes a file to the path that it gets.
    record : mapping
        What JSON can hold; "files" and "token" are added.
    record_name : str
        Its file name.

    Raises
    ------
    SaveError
        If the disk is full, writing isn't allowed, or a file is open in another program. The old set is whole,
        or in the last case the new one.
    """
    token = uuid.uuid4().hex[:8]
    beside = {name: _beside(folder, name, token) for name in writers}
    coming = _coming(folder, record_name)
    trial = _beside(folder, record_name, token)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finish_set(folder, record_name)
        for name, writer in writers.items():
            writer(beside[name])
            _like_before(beside[name], folder / name)
        files = {name: {"sha256": _hash(path), "bytes": path.stat().st_size} for name, path in beside.items()}
        text = json.dumps({**record, "token": token, "files": files}, ensure_ascii=False, indent=1, allow_nan=False)
        _write_through(trial, text.encode())
        _sync_folder(folder)
        os.replace(trial, coming)
    except OSError as error:
        _remove(trial, *beside.values())
        raise SaveError(
            f"nothing was saved in {folder} ({_why(error)}); what was there before is whole: make room, allow writing "
            "there or choose another folder, and save again"
        ) from error
    except BaseException:
        _remove(trial, *beside.values())
        raise
    _sync_folder(folder)
    _rename_all(folder, record_name, token, writers)


@contextlib.contextmanager
def saving(path: Path) -> Iterator[None]:
    """Tell in one sentence why a single file can't be written by the block.

    Raises
    ------
    SaveError
    """
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"{path} can't be written ({_why(error)}); what was there before is whole: make room, allow writing there "
            "or choose another folder, and try again"
        ) from error


def finish_set(folder: Path, record_name: str) -> None:
    """Do the renamings that an interrupted writer left, and remove what it didn't complete.

    Raises
    ------
    SaveError
        If a file is open in another program.
    OSError
        If nothing can be written in the folder.
    """
    coming = _coming(folder, record_name)
    record = _read_record(coming)
    if record is not None and _complete(folder, record) is not None:
        _rename_all(folder, record_name, record["token"], record["files"])
    coming.unlink(missing_ok=True)
    for left in folder.glob(".*"):
        if _LEFT.fullmatch(left.name):
            left.unlink(missing_ok=True)


def read_set(folder: Path, record_name: str, changed_allowed: bool = False) -> FoundSet:
    """Find the files of the last complete set.

    Parameters
    ----------
    folder : Path
        Nothing is written there.
    record_name : str
    changed_allowed : bool
        Take files that were changed after they were saved.

    Raises
    ------
    ReviewError
        If there is no set, or files are missing or changed.
    """
    try:
        return _found(folder, record_name, changed_allowed)
    except OSError as error:
        raise ReviewError(f"{folder} can't be read ({_why(error)}); allow it and try again") from error


def _found(folder: Path, record_name: str, changed_allowed: bool) -> FoundSet:
    coming = _read_record(_coming(folder, record_name))
    paths = _complete(folder, coming) if coming is not None else None
    if coming is not None and paths is not None:
        return FoundSet(coming, paths)
    record = _read_record(folder / record_name)
    if record is None:
        raise ReviewError(f"{folder} has no {record_name} that can be read; choose a folder that was saved by us")
    paths = {name: folder / name for name in record["files"]}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        raise ReviewError(f"{', '.join(missing)} of {folder} is missing; copy the whole folder again")
    changed = tuple(name for name, path in paths.items() if _hash(path) != record["files"][name]["sha256"])
    if changed and not changed_allowed:
        raise ReviewError(
            f"{', '.join(changed)} of {folder} changed after it was saved; copy the whole folder again, "
            "or open the label image alone as a mask"
        )
    return FoundSet(record, paths, changed)


def _rename_all(folder: Path, record_name: str, token: str, names: Mapping[str, Any]) -> None:
    try:
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # done before it was interrupted
                os.replace(_beside(folder, name, token), folder / name)
        os.replace(_coming(folder, record_name), folder / record_name)
    except OSError as error:
        raise SaveError(
            f"everything is saved in {folder}, but a file there can't be replaced ({_why(error)}); close it in other "
            "programs and save again"
        ) from error
    _sync_folder(folder)


def _complete(folder: Path, record: Mapping[str, Any]) -> dict[str, Path] | None:
    """Path of each file of a record, by hash; None unless all are there."""
    paths = {}
    for name, facts in record["files"].items():
        candidates = (_beside(folder, name, record["token"]), folder / name)
        path = next((path for path in candidates if path.is_file() and _hash(path) == facts["sha256"]), None)
        if path is None:
            return None
        paths[name] = path
    return paths


def _read_record(path: Path) -> dict[str, Any] | None:
    """Read a record; None where there is none, or something else."""
    try:
        if path.stat().st_size > LARGEST_RECORD:
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if _is_record(record) else None


def _is_record(record: Any) -> bool:
    """Whether it names files of its own folder, with hashes: a record from elsewhere can't point outside."""
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, dict) or not _TOKEN.fullmatch(str(record.get("token"))):
        return False
    plain = all(isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) for name in files)
    return plain and all(isinstance(facts, dict) and isinstance(facts.get("sha256"), str) for facts in files.values())


def _beside(folder: Path, name: str, token: str) -> Path:
    return folder / f".{name}.{token}.new"


def _coming(folder: Path, record_name: str) -> Path:
    return folder / f".{record_name}.new"


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _like_before(path: Path, before: Path) -> None:
    """Let those read it who could read the one before."""
    if before.is_file():
        path.chmod(stat.S_IMODE(before.stat().st_mode))


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the names to the disk as well, where the system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # network disks may refuse; the names get there a little later
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # the error that brought us here is told
            path.unlink(missing_ok=True)


def _why(error: OSError) -> str:
    return error.strerror or first_line(error)
