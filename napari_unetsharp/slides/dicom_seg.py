"""Nuclei of a DICOM slide as a DICOM segmentation: tiles of one bit per pixel, written tile by tile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_unetsharp.errors import SaveError
from napari_unetsharp.images.dicom_header import numbers
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.nuclei.file_set import saving
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.dicom_source import (
    Finder,
    building,
    import_highdicom,
    instance,
    save,
    segment,
    slide_header,
    spacing,
    with_thickness,
)

Reader = Callable[[Box], NDArray[Any]]
"""Gives the labels within a box, (Y, X), 0 outside of nuclei."""

LARGEST_TILE = 1024
"""Sides of a tile in pixels. What is stated for each tile takes 6 kB of memory, its pixels none."""

_MOST_BYTES = 2**32 - 2


def write_slide_seg(path: str | Path, slide: Slide, read: Reader, downsample: int, finder: Finder) -> int:
    """Write a segmentation with the one segment "Nuclei", on the glass where the slide lies.

    BINARY and TILED_SPARSE: tiles without a nucleus are left out. Touching nuclei are one area here; the outline of
    each is in the annotations of `dicom_ann`.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed; its pixels are collected in a file that has no name and goes when it is done.
    slide : Slide
        A DICOM slide.
    read : callable
        Gives labels of the result grid.
    downsample : int
        Pixels of level 0 per pixel of the result grid.
    finder : Finder

    Returns
    -------
    int
        How many tiles were written: at least 1, which is empty where nothing was found.

    Raises
    ------
    SettingsError, ImageError
        If the slide isn't DICOM, or doesn't say where it lies.
    SaveError
        If it can't be written, or would have more than 4 GiB (34 Gpx of tissue).
    """
    path, header = Path(path), slide_header(slide)
    height, width = (-(-side // downsample) for side in slide.shape[-3:-1])
    side = min(LARGEST_TILE, -(-max(height, width) // 16) * 16)
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as bits:
        places = _pack_tiles(read, (height, width), side, bits, path)
        bits.seek(0)
        with building(slide.path.name):
            written = _skeleton(header, side, downsample, finder)
            written.TotalPixelMatrixRows, written.TotalPixelMatrixColumns = height, width
            written.PerFrameFunctionalGroupsSequence = _tile_groups(places, side, *_grid(header, downsample))
            written.NumberOfFrames = len(places)
            written.PixelData = getattr(bits, "file", bits)  # Windows wraps it
            written["PixelData"].VR = "OB"
            save(with_thickness(written), path)
    return len(places)


def _pack_tiles(read: Reader, shape: tuple[int, int], side: int, bits: IO[bytes], path: Path) -> list[tuple[int, int]]:
    """Write the tiles that hold a nucleus, a bit per pixel; give their rows and columns on the grid of tiles."""
    places, size = [], 0
    rows, columns = (range(-(-whole // side)) for whole in shape)
    for row, column in product(rows, columns):
        top, left = row * side, column * side
        box = Box(top, left, min(shape[0], top + side), min(shape[1], left + side))
        inside = np.asarray(read(box)) > 0
        if not inside.any():
            continue
        size += side * side // 8
        if size > _MOST_BYTES:
            raise SaveError(
                f"{path} would have more than 4 GiB, which no DICOM file may; export dicom-ann, ngff or geojson"
            )
        _write_bits(bits, inside, side, path)
        places.append((row, column))
    if not places:
        _write_bits(bits, np.zeros((side, side), bool), side, path)
        places.append((0, 0))
    return places


def _write_bits(bits: IO[bytes], inside: NDArray[np.bool_], side: int, path: Path) -> None:
    tile = np.zeros((side, side), bool)
    tile[: inside.shape[0], : inside.shape[1]] = inside
    with saving(path):
        bits.write(np.packbits(tile, bitorder="little").tobytes())


def _skeleton(header: pydicom.Dataset, side: int, downsample: int, finder: Finder) -> Any:
    """A segmentation of one empty tile at the corner of the slide, with all that isn't stated tile by tile."""
    highdicom = import_highdicom()
    corner = pydicom.Dataset()
    corner.update(header)
    for sides in ("TotalPixelMatrixRows", "TotalPixelMatrixColumns"):
        corner.add_new(sides, "UL", side)  # setting the attribute would change the header's own element
    placed: dict[str, Any] = {}
    if downsample > 1:
        origin, (down, across) = _grid(header, downsample)
        placed["plane_positions"] = [highdicom.PlanePositionSequence("SLIDE", origin, (1, 1))]
        thickness = numbers(header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "SliceThickness")
        placed["pixel_measures"] = highdicom.PixelMeasuresSequence(
            [float(np.linalg.norm(step)) for step in (down, across)], *(thickness or (0.0,))
        )
    return highdicom.seg.Segmentation(
        [corner], np.zeros((side, side), np.uint8), "BINARY", [segment(finder, "Nuclei")], tile_pixel_array=True,
        tile_size=(side, side), omit_empty_frames=False, dimension_organization_type="TILED_SPARSE",
        **instance(finder, highdicom.UID(), 1), **placed,
    )  # fmt: skip


_Grid = tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]


def _grid(header: pydicom.Dataset, downsample: int) -> _Grid:
    """Where the centre of pixel (0, 0) of the result grid lies on the glass, and its steps down and across, in mm."""
    stated = header.TotalPixelMatrixOriginSequence[0]
    corner = np.array([float(stated.get(f"{axis}OffsetInSlideCoordinateSystem") or 0) for axis in "XYZ"])
    turn = np.array(numbers(header, "ImageOrientationSlide"))
    fine = spacing(header)
    down, across = turn[3:] * fine[0], turn[:3] * fine[1]
    return corner + (down + across) * (downsample - 1) / 2, (down * downsample, across * downsample)


def _tile_groups(
    places: list[tuple[int, int]],
    side: int,
    origin: NDArray[np.float64],
    steps: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> list[pydicom.Dataset]:
    """What is stated for each tile: its number along each axis of the index, and where it lies."""
    highdicom = import_highdicom()
    ranks = [{at: rank for rank, at in enumerate(sorted(set(one)), 1)} for one in zip(*places, strict=True)]
    groups = []
    for row, column in places:
        index, group = pydicom.Dataset(), pydicom.Dataset()
        index.DimensionIndexValues = [1, ranks[0][row], ranks[1][column]]
        group.FrameContentSequence = [index]
        group.DerivationImageSequence = []
        on_glass = origin + row * side * steps[0] + column * side * steps[1]
        group.PlanePositionSlideSequence = highdicom.PlanePositionSequence(
            "SLIDE", on_glass.tolist(), (column * side + 1, row * side + 1)
        )
        groups.append(group)
    return groups
