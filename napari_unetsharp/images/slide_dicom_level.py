"""One level of a DICOM slide: which frame lies where, and whether the file agrees with itself about it."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.dicom import check_decoder
from napari_unetsharp.images.dicom_header import functional_group, numbers, read_layout
from napari_unetsharp.images.slide_dicom_frames import Frames, Positions, read_head

_ABSENT = -1
_TOLD = 0.05
_MOST_TILES = 2**25


class DicomTiles:
    """The frames of one DICOM file as the tiles of a level.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    header : Dataset
        What is stated for the whole file.
    notes : list of str
        What is odd about it.

    Raises
    ------
    ImageError
        If the number or the places of its frames contradict its sides.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header, end = read_head(path)
        layout = read_layout(self.header, path.name)
        check_decoder(self.header, path.name)
        self.notes: list[str] = []
        height, width = (self._whole(f"TotalPixelMatrix{word}") for word in ("Rows", "Columns"))
        self.paths = max(1, self._count("NumberOfOpticalPaths", len(self.header.get("OpticalPathSequence") or [])))
        self.depths = max(1, self._count("TotalPixelMatrixFocalPlanes", 1))
        if layout.samples == 3 and self.paths > 1:
            raise ImageError(f"{path.name} holds colours on {self.paths} optical paths; save one path by itself")
        self.tile = (layout.rows, layout.columns)
        self.together = layout.samples
        self.dtype = np.dtype(f"{'i' if layout.signed else 'u'}{layout.allocated // 8 or 1}")
        stack = (self.depths,) if self.depths > 1 else ()
        self.shape = (*stack, height, width, layout.samples * self.paths)
        self.grid = (ceil(height / layout.rows), ceil(width / layout.columns))
        if self.paths * self.depths * self.grid[0] * self.grid[1] > _MOST_TILES:
            raise ImageError(
                f"{path.name} declares {width} x {height} pixels in tiles of {layout.columns} x {layout.rows}, on "
                f"{self.paths} optical paths and {self.depths} planes: more than {_MOST_TILES} tiles; export it again"
            )
        declared = self.header.get("DimensionOrganizationType")
        if declared == "TILED_FULL":
            self._check_count(layout.frames)
        self._frames = Frames(path, self.header, end, layout)
        try:
            self._places = self._placed(layout.frames, str(declared))
        except BaseException:
            self.close()
            raise
        self.missing = int(np.count_nonzero(self._places == _ABSENT))
        self.fill = 255 if layout.samples == 3 else 0

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        """Decode one frame; see `slide_level.Tiles`."""
        visible = [
            min(tall, side - at * tall)
            for tall, side, at in zip(self.tile, self.shape[-3:-1], (row, column), strict=True)
        ]
        number = self._places[block, plane[0] if plane else 0, row, column]
        if number == _ABSENT:
            return np.full((*visible, self.together), self.fill, self.dtype)
        return np.ascontiguousarray(self._frames.decode(int(number))[: visible[0], : visible[1]], dtype=self.dtype)

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Millimetres per pixel along Y and X; None where not stated."""
        stated = numbers(functional_group(self.header, "PixelMeasuresSequence"), "PixelSpacing")
        return (stated[0], stated[1]) if len(stated) == 2 and min(stated) > 0 else None

    @property
    def raster(self) -> bool:
        """Whether frames follow each other row by row, without their places being stated."""
        return not len(self._frames.positions.columns)

    def _whole(self, keyword: str) -> int:
        stated = numbers(self.header, keyword)
        if len(stated) != 1 or stated[0] < 1 or not stated[0].is_integer():
            raise ImageError(f"{self.path.name} states no usable {keyword}; a slide needs it, so export it again")
        return int(stated[0])

    def _count(self, keyword: str, otherwise: int) -> int:
        stated = numbers(self.header, keyword)
        return int(stated[0]) if stated else otherwise

    def _placed(self, frames: int, declared: str) -> NDArray[np.int32]:
        """Number of the frame at (path, depth, row, column)."""
        shape = (self.paths, self.depths, *self.grid)
        if self.raster:
            if declared == "TILED_SPARSE":
                raise ImageError(
                    f"{self.path.name} has tiles in any order (TILED_SPARSE) but states no places for them"
                )
            self._check_count(frames)
            return np.arange(frames, dtype=np.int32).reshape(shape)
        places = self._stated(self._frames.positions, frames, shape)
        if declared == "TILED_FULL" and not np.array_equal(places.ravel(), np.arange(frames)):
            raise ImageError(
                f"{self.path.name} says that its tiles follow each other row by row, but states other places for "
                f"them: its sides ({self.shape[-2]} x {self.shape[-3]}) are wrong; export it again"
            )
        return places

    def _check_count(self, frames: int) -> None:
        needed = self.paths * self.depths * self.grid[0] * self.grid[1]
        if frames == needed:
            return
        height, width = self.shape[-3:-1]
        turned = ceil(width / self.tile[0]) * ceil(height / self.tile[1]) * self.paths * self.depths
        why = "its columns stand for rows" if frames == turned else "frames are missing or its sides are wrong"
        raise ImageError(
            f"{self.path.name} declares {width} x {height} pixels in tiles of {self.tile[1]} x {self.tile[0]}: "
            f"{needed} frames are needed, but it has {frames}; {why}, so export it again"
        )

    def _stated(self, positions: Positions, frames: int, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Places from what is stated for each frame."""
        if not len(positions.columns) == len(positions.rows) == frames:
            raise ImageError(
                f"{self.path.name} has {frames} frames but states places for {len(positions.columns)}; export it again"
            )
        rows, columns = positions.rows - 1, positions.columns - 1
        inside = (rows >= 0) & (columns >= 0) & (rows < self.shape[-3]) & (columns < self.shape[-2])
        aligned = (rows % self.tile[0] == 0) & (columns % self.tile[1] == 0)
        if not inside.all() or not aligned.all():
            wrong, where = (~inside, "outside its sides") if not inside.all() else (~aligned, "off the grid of tiles")
            raise ImageError(
                f"{self.path.name} states {self.shape[-2]} x {self.shape[-3]} pixels, but {np.count_nonzero(wrong)} of "
                f"its {frames} tiles lie {where}; its sides or places are wrong, so export it again"
            )
        places = np.full(shape, _ABSENT, np.int32)
        paths = self._coded(positions.paths, frames, self.paths, "optical paths")
        depths = self._coded(positions.depths, frames, self.depths, "focal planes")
        places[paths, depths, rows // self.tile[0], columns // self.tile[1]] = np.arange(frames)
        if np.count_nonzero(places != _ABSENT) != frames:
            raise ImageError(f"{self.path.name} puts several tiles in one place; export it again")
        return places

    def _coded(self, names: list[str], frames: int, count: int, what: str) -> NDArray[np.int64]:
        """Number each frame's path or depth."""
        if count == 1:
            return np.zeros(frames, np.int64)
        order = self.path_names if what == "optical paths" else sorted(set(names), key=_as_number)
        if len(names) != frames or len(order) != count or not set(names) <= set(order):
            raise ImageError(f"{self.path.name} declares {count} {what} but its {frames} frames don't name them")
        return np.array([order.index(name) for name in names])

    @property
    def path_names(self) -> list[str]:
        """Identifiers of the optical paths, in order."""
        return [str(item.get("OpticalPathIdentifier", "")) for item in self.header.get("OpticalPathSequence") or []]

    def check_lengths(self) -> None:
        """Compare the stated width and height in millimetres with the pixels; adds a note, or refuses."""
        told = numbers(self.header, "ImagedVolumeWidth") + numbers(self.header, "ImagedVolumeHeight")
        if self.spacing is None or len(told) != 2 or min(told) <= 0:
            return
        long = (self.shape[-2] * self.spacing[1], self.shape[-3] * self.spacing[0])
        if _near(long, told):
            return
        if _near(long, told[::-1]):
            self.notes.append(
                f"{self.path.name} states its width and height in mm the other way round than its columns and rows: "
                "look whether the picture is whole."
            )
        else:
            self.notes.append(
                f"{self.path.name} states {told[0]:.3g} x {told[1]:.3g} mm, but its pixels cover "
                f"{long[0]:.3g} x {long[1]:.3g} mm: its pixel size may be wrong."
            )


def _near(given: tuple[float, ...], told: tuple[float, ...]) -> bool:
    return all(abs(one - other) <= _TOLD * other for one, other in zip(given, told, strict=True))


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def series_of(path: Path) -> tuple[str, str, pydicom.Dataset]:
    """Series and kind of object (UIDs) of a DICOM file, with its short header; empty for another kind of file."""
    try:
        header, _ = read_head(path, short=True)
    except ImageError:
        return "", "", pydicom.Dataset()
    return str(header.get("SeriesInstanceUID", "")), str(header.get("SOPClassUID", "")), header
