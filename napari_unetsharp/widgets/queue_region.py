"""Where the queue serves from: everywhere, what is in view, or what was drawn. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.shapes import inside_polygon, polygon_box

if TYPE_CHECKING:
    from napari.layers import Layer, Shapes

EVERYWHERE, HERE, DRAWN = "anywhere", "in view", "drawn"
IN_LAYER = "in "
"""Before the name of a Shapes layer of the person."""

ROUND = 72
"""Corners that an ellipse is drawn with."""


@dataclass(frozen=True)
class DrawnRegion:
    """Polygons on a plane.

    Attributes
    ----------
    parts : tuple of (Box, array of bool)
        Box of each polygon, and which of its pixels lie inside.
    """

    parts: tuple[tuple[Box, NDArray[np.bool_]], ...]

    @classmethod
    def of(cls, polygons: Sequence[Any], shape: tuple[int, int]) -> DrawnRegion:
        """From polygons, each a sequence of (row, column) corners.

        Raises
        ------
        ReviewError
            If nothing of them lies on the plane.
        """
        boxes = [polygon_box(polygon, shape) for polygon in polygons if len(polygon) > 2]
        large = [polygon for polygon in polygons if len(polygon) > 2]
        parts = tuple((box, inside_polygon(points, box)) for points, box in zip(large, boxes, strict=True) if box.area)
        if not any(inside.any() for _, inside in parts):
            raise ReviewError("no region lies on the image; draw around some nuclei")
        return cls(parts)

    def holds(self, box: Box) -> bool:
        """Whether the middle of a box lies inside."""
        row, column = (box.top + box.bottom - 1) // 2, (box.left + box.right - 1) // 2
        return any(
            part.top <= row < part.bottom and part.left <= column < part.right and bool(
                inside[row - part.top, column - part.left]
            )
            for part, inside in self.parts
        )  # fmt: skip


Region = Box | DrawnRegion | None
"""A box: what meets it."""


def in_region(region: Region, box: Box) -> bool:
    """Whether what lies in a box is served."""
    if region is None:
        return True
    return box.meets(region) if isinstance(region, Box) else region.holds(box)


def polygons_of(shapes: Shapes, plane: Layer) -> list[NDArray[np.float64]]:
    """Shapes of a layer as polygons of (row, column) on the pixels of another one; lines and paths enclose nothing.

    Parameters
    ----------
    shapes : Shapes
    plane : Layer
        Whose pixels are meant.

    Raises
    ------
    ReviewError
        If nothing is drawn that encloses something.
    """
    found = []
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in {"rectangle", "ellipse", "polygon"}:
            outline = _ellipse(np.asarray(corners, float)) if kind == "ellipse" else np.asarray(corners, float)
            found.append(np.array([_pixel(shapes, plane, corner) for corner in outline]))
    if not found:
        raise ReviewError(f"layer {shapes.name} has no rectangle, ellipse or polygon; draw one and choose it again")
    return found


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the four corners that napari keeps."""
    middle = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    angles = np.linspace(0, 2 * np.pi, ROUND, endpoint=False)[:, None]
    return np.asarray(middle + np.cos(angles) * one + np.sin(angles) * other)


def _pixel(shapes: Shapes, plane: Layer, corner: Any) -> tuple[float, float]:
    row, column = np.asarray(plane.world_to_data(shapes.data_to_world(corner)))[-2:]
    return float(row), float(column)
