"""From what a person typed to jobs: files, folders, patterns and manifests."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from napari_unetsharp.images.files import DICOM_ENDINGS
from napari_unetsharp.images.slide_dicom_level import series_of
from napari_unetsharp.images.slide_open import OTHER_TIFF_ENDINGS, SCANNER_ENDINGS, is_zarr
from napari_unetsharp.images.volume_open import kind_of
from napari_unetsharp.jobs.made_here import is_result, is_run
from napari_unetsharp.jobs.manifest import read_manifest
from napari_unetsharp.jobs.source import Source

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr")
_ENDINGS = (*SCANNER_ENDINGS, *OTHER_TIFF_ENDINGS, *_PICTURES, *_VOLUMES)
_NO_PICTURES = ("RTSTRUCT", "RTPLAN", "RTDOSE", "SEG", "SR", "PR", "KO", "REG")
_LONGEST = 120
_WITH_COMPANIONS = (".mrxs", ".vms", ".vmu")


def find_sources(given: list[Path], out: Path) -> list[Source]:
    """List the jobs that files, folders, patterns and manifests stand for.

    Parameters
    ----------
    given : list of Path
        A folder gives what lies in it and below, but for hidden names, results and the companion files of MRXS and
        VMS, and DICOM objects without pixels of a scan (structures, segmentations, reports); the folder of an OME-Zarr,
        a DICOM slide or a DICOM series is one job. What lies below is named by the folders on the way. A name with
        ``*``, ``?`` or ``[`` that doesn't exist is a pattern (``**`` for folders below); what it meets is named by the
        folders from the first such mark on. A ``.csv`` is a manifest.
    out : Path
        Folder of the results, which are no inputs; nor are those of earlier runs, nor what the window keeps.

    Returns
    -------
    list of Source
        Each once, in the order given, every one with a name of its own, whatever the file system's case. What isn't
        there is in the list too, with its problem.

    Raises
    ------
    SettingsError
        If a manifest can't be read.
    """
    found = dict.fromkeys(source for path in given for source in _sources(path, os.path.realpath(out)))
    return _named(list(found))


def _sources(path: Path, out: str) -> Iterator[Source]:
    if path.suffix.lower() == ".csv":
        yield from read_manifest(path)
    elif path.is_dir():
        inside = list(_inside(path, out))
        yield from inside or [Source(path, problem=f"{path} holds no picture, volume or slide; give another folder")]
    elif not path.exists() and glob.has_magic(str(path)):
        inside = list(_matching(path, out))
        yield from inside or [Source(path, problem=f"no picture, volume or slide matches {path}; give another pattern")]
    else:
        yield Source(path, name_of(path))


def _matching(pattern: Path, out: str) -> Iterator[Source]:
    """What a pattern meets; named by the folders from its first mark on, so that more inputs rename none of these."""
    plain = next(at for at, part in enumerate(pattern.parts) if glob.has_magic(part))
    real, results = cache(os.path.realpath), cache(is_run)
    for place in map(Path, sorted(glob.glob(str(pattern), recursive=True))):
        way = [Path(*place.parts[:end]) for end in range(plain, len(place.parts) + 1)]
        above = tuple(name_of(one) for one in way[1:])
        reals = [real(one) for one in way]
        if out in reals[1:] or len(set(reals)) < len(reals):  # or by a link to a folder that holds it
            continue
        try:
            offered = not any(map(results, way[1:])) and not is_result(place) and _offered(place)
        except OSError as error:
            yield _unreadable(place, _joined(above), error)
            continue
        if offered and place.is_dir():
            yield from _inside(place, out, above, frozenset(reals[:-1]))
        elif offered:
            yield from read_manifest(place) if place.suffix.lower() == ".csv" else [Source(place, _joined(above))]


def _unreadable(path: Path, name: str, error: OSError) -> Source:
    return Source(
        path, name, problem=f"{path} can't be read ({error.strerror or error}); ask for access or leave it out"
    )


def _offered(path: Path) -> bool:
    """Whether a pattern means a file: what isn't a picture, volume, slide or manifest by its name it only brushes."""
    return path.is_dir() or path.name.lower().endswith((*_ENDINGS, *DICOM_ENDINGS, ".csv")) or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    return path.suffix.lower() in (*DICOM_ENDINGS, "") and bool(series_of(path)[0])


def _inside(folder: Path, out: str, above: tuple[str, ...] = (), way: frozenset[str] = frozenset()) -> Iterator[Source]:
    """What lies in a folder and below; named by the folders on the way, so that more inputs rename none of these."""
    real = os.path.realpath(folder)
    if real in way:  # a link to a folder that holds it
        return
    try:
        if is_zarr(folder):
            yield Source(folder, _joined(above))
            return
        files, folders = ([], []) if is_run(folder) else _children(folder, out)
    except OSError as error:
        yield _unreadable(folder, _joined(above), error)
        return
    yield from _of_files(folder, files, above)
    for one in folders:
        yield from _inside(one, out, (*above, name_of(one)), way | {real})


def _children(folder: Path, out: str) -> tuple[list[Path], list[Path]]:
    """Files and folders that may be inputs; raises `OSError`."""
    children = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    files = [one for one in children if one.is_file() and not is_result(one)]
    owners = {one.stem.casefold() for one in files if one.suffix.lower() in _WITH_COMPANIONS}
    below = [one for one in children if one.is_dir() and one.name.casefold() not in owners]
    return files, [one for one in below if os.path.realpath(one) != out]


def _of_files(folder: Path, files: list[Path], above: tuple[str, ...]) -> Iterator[Source]:
    vms = [one.stem.casefold() for one in files if one.suffix.lower() in (".vms", ".vmu")]
    dicom = {one: series_of(one) for one in files if _is_dicom(one)}
    shown = [one for one, told in dicom.items() if str(told[2].get("Modality", "")) not in _NO_PICTURES]
    yield from _series(folder, shown, above)
    for one in files:
        companion = one.suffix.lower() in _PICTURES and any(one.stem.casefold().startswith(stem) for stem in vms)
        if one not in dicom and one.name.lower().endswith((*_ENDINGS, *DICOM_ENDINGS)) and not companion:
            yield Source(one, _joined((*above, name_of(one))))


def _series(folder: Path, files: list[Path], above: tuple[str, ...]) -> Iterator[Source]:
    """A job per DICOM series: the folder itself where it holds only one."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        groups[series_of(file)[0]].append(file)
    for group in groups.values():
        own = _joined((*above, name_of(group[0])))
        if len(group) == 1 and kind_of(group[0]) == "picture":
            yield Source(group[0], own)
        elif len(groups) == 1:
            yield Source(folder, _joined(above))
        else:
            yield Source(group[0], own, series=kind_of(group[0]) != "slide")


def _joined(names: tuple[str, ...]) -> str:
    return "-".join(names)[-_LONGEST:]


def _named(sources: list[Source]) -> list[Source]:
    """Number the names where two inputs would otherwise write the same files."""
    names = [source.name or name_of(source.path) for source in sources]
    own = {name.casefold() for name in names}
    used: set[str] = set()
    named = []
    for source, first in zip(sources, names, strict=True):
        name, number = first, 1
        while name.casefold() in used or (number > 1 and name.casefold() in own):
            number += 1
            name = f"{first}-{number}"
        used.add(name.casefold())
        named.append(replace(source, name=name))
    return named


def name_of(path: Path) -> str:
    """Name the results of a file or folder: its own, without the ending."""
    name = path.resolve().name if path.name in ("", "..") else path.name
    ending = next((end for end in (".nii.gz", ".ome.zarr", ".zarr") if name.lower().endswith(end)), "")
    if ending:
        return name[: -len(ending)]
    return name if path.is_dir() else Path(name).stem
