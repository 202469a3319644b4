"""Scanner formats through OpenSlide: SVS, NDPI, MRXS, SCN, BIF, VMS and generic tiled TIFF."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import check_size
from napari_unetsharp.images.slide import COLOURS, Slide, stacked_levels
from napari_unetsharp.images.slide_checks import believable, usable_levels
from napari_unetsharp.images.slide_identity import content_identity
from napari_unetsharp.images.slide_seams import check_order

KINDS = {
    "aperio": "Aperio SVS", "hamamatsu": "Hamamatsu NDPI or VMS", "leica": "Leica SCN", "mirax": "MIRAX",
    "philips": "Philips TIFF", "sakura": "Sakura SVSLIDE", "trestle": "Trestle TIFF", "ventana": "Ventana BIF",
    "zeiss": "Zeiss CZI", "generic-tiff": "tiled TIFF",
}  # fmt: skip
"""What a person calls the formats that OpenSlide names."""

_ROW_BY_ROW = ("aperio", "generic-tiff", "leica", "philips", "trestle")
"""Whose tiles lie in the file as they lie on the slide."""

_SMALLEST_TILE, _LARGEST_TILE, _OTHER_TILE = 128, 1024, 512


def detected(path: Path) -> str:
    """OpenSlide's name of the format; empty where it knows none, or isn't installed."""
    try:
        import openslide
    except ImportError:
        return ""
    return str(openslide.OpenSlide.detect_format(path) or "")


def open_by_openslide(path: Path) -> Slide:
    """Open a slide without decoding anything.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Slide
        Axes "YXC", red, green and blue in 8 bits. What was never scanned has the slide's background colour.

    Raises
    ------
    ImageError
        If OpenSlide refuses the file, or its levels contradict each other.
    """
    opened = ExitStack()
    try:
        return _slide(path, opened)
    except ImageError:
        opened.close()
        raise
    except Exception as error:  # a damaged file may fail at any question
        opened.close()
        raise ImageError(
            f"{path.name} can't be opened as a slide: {first_line(error)}; copy or export it again"
        ) from error


def _slide(path: Path, opened: ExitStack) -> Slide:
    handle = _Handle(path)
    opened.callback(handle.close)
    slide = handle.slide
    told = {key: value for key in slide.properties if (value := slide.properties.get(key)) is not None}
    associated = list(slide.associated_images)
    notes: list[str] = []
    sides = [(height, width) for width, height in slide.level_dimensions]
    kept = [_RegionTiles(handle, place) for place in usable_levels(sides, path.name, notes)]
    check_order([tiles for tiles in kept if tiles.as_stored], path.name)
    levels = stacked_levels(kept, path.name)
    vendor = told.get("openslide.vendor", "")
    spacing = [_number(told.get(f"openslide.mpp-{axis}")) for axis in "yx"]
    pictures: dict[str, Callable[[], NDArray[Any]]] = {
        str(name): partial(_picture, handle, name) for name in associated
    }
    return Slide(
        path, KINDS.get(vendor, vendor), levels, "YXC", COLOURS, True, partial(content_identity, parts(path)),
        believable((spacing[0], spacing[1]) if all(spacing) else None, notes),
        vendor="" if vendor == "generic-tiff" else vendor,
        objective=_number(told.get("openslide.objective-power")) or None,
        bounds=_bounds(told), pictures=pictures, notes=notes, opened=opened,
    )  # fmt: skip


def parts(path: Path) -> list[Path]:
    """All files of a slide: MIRAX keeps its pixels in a folder of the same name, VMS beside it."""
    ending = path.suffix.lower()
    if ending == ".mrxs" and path.with_suffix("").is_dir():
        return [path, *(one for one in path.with_suffix("").iterdir() if one.is_file())]
    if ending in (".vms", ".vmu"):
        return [path, *path.parent.glob(f"{path.stem}*.jpg"), *path.parent.glob(f"{path.stem}*.opt")]
    return [path]


class _Handle:
    """An open slide. One error makes OpenSlide refuse a handle for ever, so it's opened again then."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock, self._closed = path, Lock(), False
        self.slide = self._open()

    def _open(self) -> Any:
        import openslide

        try:
            return openslide.OpenSlide(self._path)
        except Exception as error:
            raise ImageError(
                f"{self._path.name} can't be opened as a slide: {first_line(error)}; copy or export it again"
            ) from error

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask the open slide something; it's opened again where that fails."""
        if self._closed:
            raise ImageError("the slide is closed")
        slide = self.slide
        try:
            return question(slide)
        except Exception:
            with self._lock:
                if slide is self.slide:
                    self.slide = self._open()
            raise

    def close(self) -> None:
        self._closed = True
        self.slide.close()


class _RegionTiles:
    """A level in pieces of the size it's stored in."""

    together = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, handle: _Handle, level: int) -> None:
        self._handle, self._level = handle, level
        told = handle.slide.properties
        width, height = handle.slide.level_dimensions[level]
        self.shape = (height, width, 3)
        stored = [int(told.get(f"openslide.level[{level}].tile-{side}", 0)) for side in ("height", "width")]
        fitting = all(_SMALLEST_TILE <= side <= _LARGEST_TILE for side in stored)
        self.tile = (stored[0], stored[1]) if fitting else (_OTHER_TILE, _OTHER_TILE)
        self.as_stored = fitting and told.get("openslide.vendor") in _ROW_BY_ROW
        self._downsample = float(handle.slide.level_downsamples[level])
        colour = told.get("openslide.background-color", "ffffff")
        self._background = np.array([int(colour[at : at + 2], 16) for at in (0, 2, 4)], np.uint8)

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        """Decode one tile; see `slide_level.Tiles`."""
        height, width = self.tile
        y, x = row * height, column * width
        tall, wide = min(height, self.shape[0] - y), min(width, self.shape[1] - x)
        at = (round(x * self._downsample), round(y * self._downsample))
        region = self._handle.ask(lambda slide: slide.read_region(at, self._level, (wide, tall)))
        return _opaque(region, self._background)


def _opaque(picture: Any, background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = np.asarray(picture)
    colours = np.ascontiguousarray(pixels[..., :3])
    clear = pixels[..., 3] == 0
    if clear.any():
        colours[clear] = background
    return colours


def _picture(handle: _Handle, name: str) -> NDArray[np.uint8]:
    def read(slide: Any) -> Any:
        told = slide.properties
        sides = [int(told.get(f"openslide.associated.{name}.{side}", 0)) for side in ("height", "width")]
        check_size((*sides, 4), np.dtype(np.uint8), name)
        return slide.associated_images[name]

    try:
        return _opaque(handle.ask(read), np.full(3, 255, np.uint8))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"the picture {name!r} of the slide can't be read: {first_line(error)}") from error


def _bounds(told: Any) -> tuple[int, int, int, int] | None:
    found = [told.get(f"openslide.bounds-{name}") for name in ("y", "x", "height", "width")]
    return (int(found[0]), int(found[1]), int(found[2]), int(found[3])) if all(found) else None


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
