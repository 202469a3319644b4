"""Versions of a model on disk: kept, never overwritten, with a card beside each and a link to its parent."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from napari_unetsharp.errors import CheckpointError, SettingsError, UNetSharpError
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.network.checkpoint import SHIPPED, Checkpoint, file_hash, load_checkpoint, read_header
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.pruning import prune
from napari_unetsharp.training.model_card import card

ENDING = ".safetensors"
CHOSEN = "chosen.json"
_NUMBERED = re.compile(r"^(?P<name>.+)-v(?P<number>\d+)$")
_NAME = re.compile(r"\w[\w. -]*")


def models_folder() -> Path:
    """Where kept versions lie, in the user's data."""
    return user_data_path("napari-unetsharp", appauthor=False) / "models"


@dataclass(frozen=True)
class Version:
    """A model of the history.

    Attributes
    ----------
    path : Path
    name : str
        Of the file, without its ending; "nuclei" for the shipped one.
    sha256, parent : str
        Of its file and of the one it was tuned from; the second is empty for a first one.
    level : int
    decision, words : str
        Of its verdict; empty where it was never tuned.
    written : str
        When its file was, UTC, ISO 8601.
    generation : int
        Tunings between it and the root of its tree.
    """

    path: Path
    name: str
    sha256: str
    parent: str
    level: int
    decision: str = ""
    words: str = ""
    written: str = ""
    generation: int = 0


def keep(candidate: Path, name: str = "", folder: Path | None = None) -> Path:
    """Make a candidate the next version, ``NAME-v2.safetensors`` with its card ``NAME-v2.md`` beside it.

    Parameters
    ----------
    candidate : Path
        As `fine_tune` left it; it stays where it is.
    name : str
        Of the family; that of the parent by default, without its number.
    folder : Path, optional
        `models_folder` by default.

    Returns
    -------
    Path

    Raises
    ------
    CheckpointError
        If it can't be written.
    """
    folder = models_folder() if folder is None else folder
    family = _family(name or str(_recipe_of(candidate).get("parent_name") or "model"))
    taken = [int(found["number"]) for path in folder.glob(f"*{ENDING}") if (found := _NUMBERED.match(path.stem))
             and found["name"] == family]  # fmt: skip
    number = max([1, *taken]) + 1
    while True:
        try:
            return keep_as(candidate, folder / f"{family}-v{number}{ENDING}")
        except FileExistsError:  # another window was quicker
            number += 1


def keep_as(candidate: Path, path: Path) -> Path:
    """Write a candidate under a name of its own, and its card beside it.

    Raises
    ------
    FileExistsError
        If there is a file of that name.
    CheckpointError
        If it can't be written.
    """
    checkpoint = load_checkpoint(candidate)
    metadata = replace(checkpoint.metadata, name=path.stem)
    beside = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{ENDING}")
    try:
        Checkpoint(checkpoint.network, metadata).save(beside)
        _place(beside, path)
        _write_card(path, metadata)
    except FileExistsError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} can't be written ({error.strerror or error}); choose another place") from error
    finally:
        beside.unlink(missing_ok=True)
    return path


def discard(folder: Path) -> None:
    """Remove everything that a fine-tuning left in its own folder."""
    shutil.rmtree(folder, ignore_errors=True)


def versions(folders: Iterable[Path] = (), files: Iterable[Path] = ()) -> list[Version]:
    """The history: every parent comes before its children, and each tree is in one piece.

    Parameters
    ----------
    folders : iterable of Path
        Looked through besides `models_folder`; models that can't be read are left out.
    files : iterable of Path
        Further models, such as those that a person opened.

    Returns
    -------
    list of Version
        The shipped models are roots.
    """
    paths = {path.resolve(): name for name, path in SHIPPED.items() if path.is_file()}
    for folder in (models_folder(), *folders):
        paths |= {path.resolve(): "" for path in sorted(folder.glob(f"*{ENDING}")) if not path.name.startswith(".")}
    paths |= {path.resolve(): "" for path in files if path.is_file()}
    found = [version for path, name in paths.items() if (version := _version(path, name)) is not None]
    hashes = {version.sha256 for version in found}
    roots = [version for version in found if version.parent not in hashes]
    return [member for root in roots for member in _descent(root, found, 0)]


def rename(path: Path, name: str) -> Path:
    """Give a version another name; its hash, and with it the links of its children, stay.

    Returns
    -------
    Path

    Raises
    ------
    CheckpointError
        If there is a file of that name, or it can't be renamed.
    SettingsError
        If it can't be the name of a file.
    """
    in_use = chosen() == str(path)
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} can't be the name of a model; use letters, digits, blanks, dots and dashes")
    target = path.with_name(name + ENDING)
    try:
        _place(path, target)
        path.unlink()
        card_path = path.with_suffix(".md")
        if card_path.is_file() and not target.with_suffix(".md").exists():
            card_path.rename(target.with_suffix(".md"))
    except FileExistsError as error:
        raise CheckpointError(f"{target.name} exists already and is never overwritten; choose another name") from error
    except OSError as error:
        raise CheckpointError(f"{path.name} can't be renamed ({error.strerror or error}); allow it") from error
    if in_use:
        choose(str(target))
    return target


def export(path: Path, target: Path, level: int | None = None) -> Path:
    """Write a version elsewhere, all of it or pruned to a depth; nothing there is overwritten.

    Raises
    ------
    CheckpointError
        If there is such a file, or it can't be written.
    """
    if target.suffix != ENDING or target.exists():
        reason = "exists already" if target.exists() else f"doesn't end in {ENDING}"
        raise CheckpointError(f"{target} {reason}; give a new file name")
    loaded = load_checkpoint(path)
    network = loaded.network if level is None else prune(loaded.network, level)
    kept = replace(loaded.metadata, name=target.stem, parent=loaded.metadata.sha256)
    if level is None:
        kept = replace(loaded.metadata, name=target.stem)
    Checkpoint(network, kept).save(target)
    _write_card(target, kept)
    return target


def choose(model: str, folder: Path | None = None) -> None:
    """Remember which model is in use, by name or path."""
    with written_beside((folder or models_folder()) / CHOSEN) as beside:
        beside.write_text(json.dumps({"model": model}), encoding="utf-8")


def chosen(folder: Path | None = None) -> str:
    """The model that was chosen last; "nuclei" where none was, or where it is gone."""
    try:
        model = str(json.loads(((folder or models_folder()) / CHOSEN).read_text(encoding="utf-8"))["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return next(iter(SHIPPED))
    return model if model in SHIPPED or Path(model).is_file() else next(iter(SHIPPED))


def _family(name: str) -> str:
    found = _NUMBERED.match(name)
    return re.sub(r"[^\w. -]", "_", found["name"] if found else name)


def _recipe_of(candidate: Path) -> dict[str, Any]:
    return read_header(candidate)[1].recipe


def _place(beside: Path, path: Path) -> None:
    """Give a file a second name that isn't taken yet; FileExistsError where it is."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # some disks have no links
        with path.open("xb") as file:
            try:
                file.write(beside.read_bytes())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.close()
                path.unlink(missing_ok=True)
                raise


def _write_card(path: Path, metadata: CheckpointMetadata) -> None:
    target = path.with_suffix(".md")
    if not target.exists():
        with written_beside(target) as beside:
            beside.write_text(card(path.stem, metadata), encoding="utf-8")


def _version(path: Path, name: str) -> Version | None:
    with contextlib.suppress(OSError, UNetSharpError):
        stamp = path.stat()
        return _read_version(path, name, stamp.st_mtime_ns, stamp.st_size)
    return None


@lru_cache(maxsize=256)
def _read_version(path: Path, name: str, changed: int, size: int) -> Version:
    """Header and hash; read again when the file changes."""
    config, metadata = read_header(path)
    verdict = metadata.metrics.get("verdict", {})
    verdict = verdict if isinstance(verdict, dict) else {}
    words = str(verdict.get("decision", "")), str(verdict.get("words", ""))
    written = datetime.fromtimestamp(changed / 10**9, UTC).isoformat(timespec="seconds")
    return Version(path, name or path.stem, file_hash(path), metadata.parent, config.level, *words, written)


def _descent(root: Version, found: list[Version], generation: int) -> list[Version]:
    children = [version for version in found if version.parent == root.sha256 and version is not root]
    here = replace(root, generation=generation)
    return [here, *(member for child in children for member in _descent(child, found, generation + 1))]
