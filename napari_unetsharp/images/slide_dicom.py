"""DICOM whole slides: a folder, or one file of a series."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.dicom import SLIDE, guarded
from napari_unetsharp.images.dicom_header import numbers, spoken
from napari_unetsharp.images.slide import Channel, Slide, plain_channels, stacked_levels
from napari_unetsharp.images.slide_cache import TileCache
from napari_unetsharp.images.slide_checks import believable, same_form
from napari_unetsharp.images.slide_dicom_frames import read_head
from napari_unetsharp.images.slide_dicom_level import DicomTiles, series_of
from napari_unetsharp.images.slide_identity import content_identity
from napari_unetsharp.images.slide_level import Level
from napari_unetsharp.images.slide_seams import check_order

_SMALL_PICTURES = {"LABEL": "label", "OVERVIEW": "macro", "THUMBNAIL": "thumbnail"}
_MOST_NAMED = 3


def open_dicom_slide(path: Path) -> Slide:
    """Open a DICOM slide without decoding more than a few tiles.

    Parameters
    ----------
    path : Path
        A folder with one slide, or any file of it.

    Returns
    -------
    Slide
        Optical paths as channels, focal planes as a Z axis.

    Raises
    ------
    ImageError
        If there is no slide or more than one, or a file of it contradicts itself or the others.
    """
    with guarded(path):
        files = find_slide(path)
        opened = ExitStack()
        try:
            return _slide(path, files, opened)
        except BaseException:
            opened.close()
            raise


def find_slide(path: Path) -> list[Path]:
    """All files of the slide that a folder holds or that a file belongs to; raises `ImageError`."""
    folder = path if path.is_dir() else path.parent
    wanted = "" if path.is_dir() else series_of(path)[0]
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    if not path.is_dir():
        series, kind, header = series_of(path)
        if kind != SLIDE:
            raise ImageError(f"{path.name} is no whole slide (kind: {spoken(kind)}); open it as a picture or a volume")
        found[series][str(header.get("SOPInstanceUID", ""))] = path
    for one in sorted(folder.iterdir()):
        if one.is_file():
            series, kind, header = series_of(one)
            if kind == SLIDE and (path.is_dir() or series == wanted):
                found[series].setdefault(str(header.get("SOPInstanceUID", one.name)), one)
    if not found:
        raise ImageError(f"{path} holds no DICOM slide; give a folder with the files of one, or one of the files")
    if len(found) > 1:
        names = [sorted(files.values())[0].name for files in found.values()][:_MOST_NAMED]
        raise ImageError(
            f"{path} holds {len(found)} slides; give one file of the one you want, for instance {', '.join(names)}"
        )
    return list(next(iter(found.values())).values())


def _slide(path: Path, files: list[Path], opened: ExitStack) -> Slide:
    notes: list[str] = []
    each = _opened(files, opened, notes)
    volume = sorted((tiles for tiles in each if _flavour(tiles) not in _SMALL_PICTURES), key=lambda one: -_area(one))
    if not volume:
        raise ImageError(f"{path} holds only a label or an overview of a slide; give the files with its levels too")
    _check_levels(volume, notes)
    levels = stacked_levels(volume, path.name)
    first = volume[0]
    lens = next(iter(first.header.get("OpticalPathSequence") or []), None)
    power = numbers(lens, "ObjectiveLensPower") if lens is not None else ()
    spacing = first.spacing
    channels, rgb = _channels(first)
    return Slide(
        path, "DICOM slide", levels, "ZYXC" if first.depths > 1 else "YXC", channels, rgb,
        partial(content_identity, files),
        believable((spacing[0] * 1e3, spacing[1] * 1e3) if spacing else None, notes),
        vendor=str(first.header.get("Manufacturer", "")), objective=power[0] if power else None,
        pictures={
            _SMALL_PICTURES[_flavour(tiles)]: partial(_picture, tiles)
            for tiles in each if _flavour(tiles) in _SMALL_PICTURES
        },
        notes=notes, opened=opened,
    )  # fmt: skip


def _opened(files: list[Path], opened: ExitStack, notes: list[str]) -> list[DicomTiles]:
    """Open all files; a label or an overview that can't be read is only told."""
    each = []
    for file in files:
        try:
            tiles = DicomTiles(file)
        except ImageError as error:
            name = _SMALL_PICTURES.get(_named(read_head(file)[0]))
            if name is None:
                raise
            notes.append(f"The {name} of the slide can't be read: {error}.")
            continue
        opened.callback(tiles.close)
        each.append(tiles)
    return each


def _flavour(tiles: DicomTiles) -> str:
    return _named(tiles.header)


def _named(header: pydicom.Dataset) -> str:
    kind = header.get("ImageType") or []
    return str(kind[2]) if len(kind) > 2 else ""


def _area(tiles: DicomTiles) -> int:
    height, width = tiles.shape[-3:-1]
    return int(height) * int(width)


def _channels(first: DicomTiles) -> tuple[tuple[Channel, ...], bool]:
    if first.together == 3:
        return plain_channels(3, first.dtype)
    items = first.header.get("OpticalPathSequence") or []
    names = [str(item.get("OpticalPathDescription") or item.get("OpticalPathIdentifier") or "") for item in items]
    names = names if len(names) == first.shape[-1] and all(names) else _plain_names(first.shape[-1])
    return tuple(Channel(name) for name in names), False


def _plain_names(count: int) -> list[str]:
    """Numbered names."""
    return [f"channel {number + 1}" for number in range(count)]


def _check_levels(volume: list[DicomTiles], notes: list[str]) -> None:
    """Compare the levels with each other, each with its own numbers, and the order of tiles with their pixels."""
    first = volume[0]
    for place, tiles in enumerate(volume):
        name, sides = tiles.path.name, tiles.shape[-3:-1]
        if int(numbers(tiles.header, "InConcatenationTotalNumber")[0] if "ConcatenationUID" in tiles.header else 1) > 1:
            raise ImageError(f"{name} is one piece of a level in several files, which can't be read here; join them")
        if place and sides == volume[place - 1].shape[-3:-1]:
            raise ImageError(
                f"{name} and {volume[place - 1].path.name} are the same level twice ({sides[1]} x {sides[0]} pixels); "
                "give a folder with one of them"
            )
        if tiles.shape[:-3] != first.shape[:-3] or tiles.shape[-1] != first.shape[-1] or tiles.dtype != first.dtype:
            raise ImageError(f"{name} has other channels, planes or values than {first.path.name}; export them again")
        if not same_form(first.shape[-3:-1], sides):
            turned = "; its columns stand for rows" if same_form(first.shape[-3:-1], sides[::-1]) else ""
            raise ImageError(
                f"{name} ({sides[1]} x {sides[0]} pixels) can't be a smaller size of {first.path.name} "
                f"({first.shape[-2]} x {first.shape[-3]}){turned}: export the slide again"
            )
        tiles.check_lengths()
        notes += tiles.notes
        if tiles.missing:
            notes.append(f"Tiles of level {place} that aren't stored and show as empty: {tiles.missing}.")
        _check_spacing(first, tiles, notes)
    check_order([tiles for tiles in volume if tiles.raster], first.path.name)


def _check_spacing(first: DicomTiles, tiles: DicomTiles, notes: list[str]) -> None:
    if first.spacing and tiles.spacing:
        ratio = (tiles.spacing[1] * tiles.shape[-2]) / (first.spacing[1] * first.shape[-2])
        if abs(ratio - 1) > 0.05:
            notes.append(
                f"The pixel size of {tiles.path.name} doesn't fit that of {first.path.name} (they differ by "
                f"{abs(ratio - 1):.0%}): the second was believed."
            )


def _picture(tiles: DicomTiles) -> NDArray[Any]:
    return np.asarray(Level(tiles, TileCache(), 0, (1.0, 1.0), tiles.path.name))
