"""TIFF slides through tifffile: OME pyramids, QPTIFF, ImageJ, pages of falling size, and single large pictures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import check_size, check_values
from napari_unetsharp.images.pyramid_described import Description, described
from napari_unetsharp.images.pyramid_pages import MappedTiles, PagedTiles, open_file
from napari_unetsharp.images.slide import Slide, plain_channels, stacked_levels
from napari_unetsharp.images.slide_checks import believable, usable_levels
from napari_unetsharp.images.slide_identity import content_identity
from napari_unetsharp.images.slide_seams import check_order
from napari_unetsharp.images.tiff import is_transparent, read_spacing
from napari_unetsharp.images.tiff_pages import check_pages

_SMALL_PICTURES = ("label", "macro", "thumbnail")


def open_tiff(path: Path) -> Slide:
    """Open a TIFF without decoding anything.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Slide
        Stack axes first, then Y, X and C. Transparency is left out (noted).

    Raises
    ------
    ImageError
        If it is no TIFF or damaged, its sides contradict its pieces, or it can't be decoded in parts.
    """
    check_pages(path)
    opened = ExitStack()
    try:
        file = opened.enter_context(open_file(path))
        return _slide(file, path, opened)
    except ImageError:
        opened.close()
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        opened.close()
        raise ImageError(f"{path.name} can't be read as TIFF: {first_line(error)}") from error


def _slide(file: tifffile.TiffFile, path: Path, opened: ExitStack) -> Slide:
    series = file.series[0]
    check_values(np.dtype(series.dtype), tuple(series.shape))
    notes: list[str] = []
    transparent = is_transparent(file) and series.axes.endswith("S")
    order, letters, colour = _arranged(series.axes, path.name)
    if transparent:
        notes.append("The last channel (transparency) was left out.")
    kept = _kept_levels(series, order, colour, path.name, notes)
    lock = Lock()
    each = [_tiles(file, level, path, order, colour, transparent, lock) for level in kept]
    for place, tiles in enumerate(each):
        if tiles.missing:
            notes.append(f"Tiles of level {place} that aren't stored and show as empty: {tiles.missing}.")
    absent = sum(page is None for page in series.pages)
    if absent:
        notes.append(f"{absent} of {len(series.pages)} planes are missing from the file: they show as 0.")
    check_order([tiles for tiles in each if isinstance(tiles, PagedTiles)], path.name)
    levels = stacked_levels(each, path.name)
    about = described(file, [page for page in series.pages if isinstance(page, tifffile.TiffPage)])
    steps = read_spacing(file, series.axes)
    known = [steps.get(place, (1.0, "pixel")) for place in order[: len(letters)]]
    channels, rgb = plain_channels(levels[0].shape[-1], levels[0].dtype)
    named = tuple(about.channels) if len(about.channels) == len(channels) else channels
    pictures, others = _pictures(file, path)
    if others:
        notes.append(f"The file holds {others + 1} pictures; the first one was opened.")
    return Slide(
        path, about.kind, levels, letters + "YXC", named, rgb and not about.channels,
        lambda: content_identity([path]), believable(_size(about, steps, order, letters), notes),
        tuple(step for step, _ in known), tuple(unit for _, unit in known),
        about.vendor, about.objective, None, pictures, notes, opened,
    )  # fmt: skip


def _size(
    about: Description, steps: dict[int, tuple[float, str]], order: tuple[int, ...], letters: str
) -> tuple[float, float] | None:
    if about.um_per_pixel:
        return about.um_per_pixel
    sides = [steps.get(place) for place in order[len(letters) : len(letters) + 2]]
    micrometres = {"micrometer": 1.0, "millimeter": 1e3, "nanometer": 1e-3}
    found = [side[0] * micrometres[side[1]] for side in sides if side is not None and side[1] in micrometres]
    return (found[0], found[1]) if len(found) == 2 else None


def _arranged(axes: str, name: str) -> tuple[tuple[int, ...], str, int | None]:
    """Places of the axes in our order, the letters of the stack axes, and the place of the channels."""
    if axes.count("Y") != 1 or axes.count("X") != 1:
        raise ImageError(f"{name} has axes {axes}; a picture with Y and X is needed")
    colour = next((axes.index(letter) for letter in "SC" if letter in axes), None)
    last = [axes.index("Y"), axes.index("X"), *([] if colour is None else [colour])]
    stack = [place for place in range(len(axes)) if place not in last]
    letters = "".join({"Q": "I", "C": "I"}.get(axes[place], axes[place]) for place in stack)
    return (*stack, *last), letters, colour


def _kept_levels(series: Any, order: tuple[int, ...], colour: int | None, name: str, notes: list[str]) -> list[Any]:
    levels = list(series.levels)
    stack = len(order) - 2 - (colour is not None)
    rows, columns = order[stack], order[stack + 1]
    alike = [
        place for place, level in enumerate(levels)
        if level.axes == series.axes and level.dtype == series.dtype
        and all(level.shape[at] == series.shape[at] for at in range(len(order)) if at not in (rows, columns))
    ]  # fmt: skip
    if len(alike) < len(levels):
        notes.append(f"Levels of another kind of pixels were left out: {len(levels) - len(alike)}.")
    sides = [(levels[place].shape[rows], levels[place].shape[columns]) for place in alike]
    return [levels[alike[place]] for place in usable_levels(sides, name, notes)]


def _tiles(
    file: tifffile.TiffFile,
    level: Any,
    path: Path,
    order: tuple[int, ...],
    colour: int | None,
    transparent: bool,
    lock: Lock,
) -> PagedTiles | MappedTiles:
    visible = 0 if colour is None else int(level.shape[colour]) - transparent
    if level.dataoffset is not None:
        dtype = np.dtype(file.byteorder + np.dtype(level.dtype).char)
        shape = tuple(int(side) for side in level.shape)
        return MappedTiles(path, dtype, shape, int(level.dataoffset), order, visible)
    stack = order[: len(order) - 2 - (colour is not None)]
    return PagedTiles(level, stack, colour, visible, path.name, lock)


def _pictures(file: tifffile.TiffFile, path: Path) -> tuple[dict[str, Any], int]:
    """Label, macro and thumbnail by name, and how many other pictures there are."""
    pictures: dict[str, Any] = {}
    others = 0
    for place, series in enumerate(file.series[1:], 1):
        name = next((word for word in _SMALL_PICTURES if word in str(series.name).lower()), "")
        if name and name not in pictures:
            pictures[name] = _SmallPicture(path, place)
        else:
            others += 1
    return pictures, others


class _SmallPicture:
    """Reads a series of a TIFF when called."""

    def __init__(self, path: Path, place: int) -> None:
        self._path, self._place = path, place

    def __call__(self) -> NDArray[Any]:
        try:
            with tifffile.TiffFile(self._path) as file:
                series = file.series[self._place]
                check_size(tuple(series.shape), np.dtype(series.dtype), self._path.name)
                pixels: NDArray[Any] = series.asarray()
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"a picture in {self._path.name} can't be read: {first_line(error)}") from error
        return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
