"""Nuclei of a slide as rows of a table: where they are, how large, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.measure import measure
from napari_unetsharp.nuclei.outlines import trace, twice_area
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.stretches import find_runs
from napari_unetsharp.slides.about import RunAbout

STATES = ("unchecked", "accepted", "edited", "added", "rejected")
"""What a person said of a nucleus; the place in this tuple is what is stored."""

COLUMNS: dict[str, Any] = {
    "id": np.int32, "top": np.int32, "left": np.int32, "bottom": np.int32, "right": np.int32,
    "y": np.float64, "x": np.float64, "area": np.float64, "area_um2": np.float64, "diameter": np.float64,
    "diameter_um": np.float64, "perimeter": np.float64, "perimeter_um": np.float64, "major_axis": np.float64,
    "minor_axis": np.float64, "major_axis_um": np.float64, "minor_axis_um": np.float64, "eccentricity": np.float64,
    "solidity": np.float64, "probability": np.float32, "doubt": np.float32, "state": np.uint8, "cut": np.bool_,
}  # fmt: skip
"""Columns of the table and their types; lengths in level-0 px, those in µm NaN where the pixel size is unknown."""


@dataclass(frozen=True, eq=False)
class SlideNucleus:
    """A nucleus of a slide. Pixel (0, 0) of level 0 spans 0 to 1, as in QuPath: corners are whole numbers.

    Attributes
    ----------
    id : int
    polygon : array of float32, (n, 2)
        Rows (y, x) in level-0 px; the last corner is joined to the first. The outline of its largest piece, along
        the edges of pixels, without holes.
    box : Box
        Level-0 px.
    centroid : tuple of float
        (y, x) in level-0 px.
    area, area_um2 : float
        Level-0 px², µm²; what is in µm is None where the pixel size is unknown.
    diameter, diameter_um : float
        Of a disc of the same area.
    perimeter, major_axis, minor_axis, eccentricity, solidity
        As in `nuclei.measure`, lengths in level-0 px.
    probability, doubt : float
        Mean over its pixels, 0..1; of the nucleus as the network drew it where a person changed it.
    state : str
        One of `STATES`.
    cut : bool
        Whether it is larger than what a block sees, so that it was cut at the block's border.
    """

    id: int
    polygon: NDArray[np.float32]
    box: Box
    centroid: tuple[float, float]
    area: float
    area_um2: float | None
    diameter: float
    diameter_um: float | None
    perimeter: float
    perimeter_um: float | None
    major_axis: float
    minor_axis: float
    major_axis_um: float | None
    minor_axis_um: float | None
    eccentricity: float
    solidity: float
    probability: float
    doubt: float
    state: str
    cut: bool


@dataclass(frozen=True, eq=False)
class NucleusRows:
    """Rows of the table.

    Attributes
    ----------
    columns : dict of str to array, (n,)
        As in `COLUMNS`.
    points : array of float32, (corners, 2)
        Corners of all polygons one after the other, (y, x) in level-0 px.
    ends : array of int64, (n,)
        One past the last corner of each.
    """

    columns: dict[str, NDArray[Any]]
    points: NDArray[np.float32]
    ends: NDArray[np.int64]

    @classmethod
    def none(cls) -> NucleusRows:
        """No rows."""
        return cls(
            {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}, np.zeros((0, 2), np.float32),
            np.zeros(0, np.int64),
        )  # fmt: skip

    @classmethod
    def together(cls, several: Sequence[NucleusRows]) -> NucleusRows:
        """All rows, one table's after the other's."""
        if not several:
            return cls.none()
        shifts = np.cumsum([0, *(len(rows.points) for rows in several[:-1])])
        return cls(
            {name: np.concatenate([rows.columns[name] for rows in several]) for name in COLUMNS},
            np.concatenate([rows.points for rows in several]),
            np.concatenate([rows.ends + shift for rows, shift in zip(several, shifts.tolist(), strict=True)]),
        )

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def ids(self) -> NDArray[np.int32]:
        return self.columns["id"]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Place of the first corner of each polygon."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])[: len(self.ends)]

    def taken(self, places: NDArray[np.int64]) -> NucleusRows:
        """Some of the rows, in the order of their places."""
        starts, lengths = self.starts[places], (self.ends - self.starts)[places]
        ends = np.cumsum(lengths, dtype=np.int64)
        corners = np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)
        return NucleusRows({name: column[places] for name, column in self.columns.items()}, self.points[corners], ends)

    def with_columns(self, **changed: NDArray[Any]) -> NucleusRows:
        """The same with other values in some columns."""
        cast = {name: np.asarray(values).astype(COLUMNS[name]) for name, values in changed.items()}
        return NucleusRows(self.columns | cast, self.points, self.ends)

    def by_id(self) -> NucleusRows:
        """Ascending."""
        if (np.diff(self.ids) > 0).all():
            return self
        return self.taken(np.argsort(self.ids, kind="stable"))

    def meeting(self, box: Box) -> NDArray[np.int64]:
        """Places of the nuclei whose boxes share a pixel with a box in level-0 px."""
        told = self.columns
        return np.flatnonzero(
            (told["top"] < box.bottom) & (told["bottom"] > box.top)
            & (told["left"] < box.right) & (told["right"] > box.left)
        )  # fmt: skip

    def __iter__(self) -> Iterator[SlideNucleus]:
        told = {name: column.tolist() for name, column in self.columns.items()}
        starts, ends = self.starts.tolist(), self.ends.tolist()
        for place in range(len(ends)):
            row = {name: column[place] for name, column in told.items()}
            for name in ("area_um2", "diameter_um", "perimeter_um", "major_axis_um", "minor_axis_um"):
                row[name] = row[name] if row[name] == row[name] else None
            box = Box(*(row.pop(side) for side in Box._fields))
            row["centroid"] = (row.pop("y"), row.pop("x"))
            row["state"] = STATES[row["state"]]
            yield SlideNucleus(polygon=self.points[starts[place] : ends[place]], box=box, **row)


def rows_of(labels: NDArray[np.int32], corner: tuple[int, int], about: RunAbout) -> NucleusRows:
    """Rows of the nuclei of a label image.

    Parameters
    ----------
    labels : array of int32, (Y, X)
    corner : tuple of int
        Its top left in the result plane.
    about : RunAbout

    Returns
    -------
    NucleusRows
        By ascending id; probability, doubt, state and cut are 0.
    """
    runs = find_runs(labels)
    count, wide = len(runs.ids), about.downsample
    if not count:
        return NucleusRows.none()
    found = measure(labels, micrometres=about.um_per_result_pixel)
    unknown = np.full(count, np.nan)
    area = found["area_px"].astype(np.float64)
    area_um2 = found.get("area_um2", unknown)
    limits = np.array(about.slide_shape)
    top, left = (np.minimum.reduceat(part, runs.first) for part in (runs.row, runs.start))
    bottom, right = (np.maximum.reduceat(part, runs.first) for part in (runs.row + 1, runs.stop))
    columns = {
        "id": runs.ids,
        "top": (top + corner[0]) * wide, "left": (left + corner[1]) * wide,
        "bottom": np.minimum((bottom + corner[0]) * wide, limits[0]),
        "right": np.minimum((right + corner[1]) * wide, limits[1]),
        "y": (found["y_px"] + corner[0] + 0.5) * wide, "x": (found["x_px"] + corner[1] + 0.5) * wide,
        "area": area * wide**2, "area_um2": area_um2,
        "diameter": np.sqrt(4 / np.pi * area) * wide, "diameter_um": np.sqrt(4 / np.pi * area_um2),
        "perimeter": found["perimeter_px"] * wide, "perimeter_um": found.get("perimeter_um", unknown),
        "major_axis": found["major_axis_px"] * wide, "minor_axis": found["minor_axis_px"] * wide,
        "major_axis_um": found.get("major_axis_um", unknown), "minor_axis_um": found.get("minor_axis_um", unknown),
        "eccentricity": found["eccentricity"], "solidity": found["solidity"],
    }  # fmt: skip
    none = np.zeros(count)
    columns |= dict.fromkeys(("probability", "doubt", "state", "cut"), none)
    shells = [max((polygon[0] for polygon in polygons), key=twice_area)[:-1, ::-1] for _, polygons in trace(runs)]
    points = np.minimum((np.concatenate(shells) + corner) * wide, limits).astype(np.float32)
    typed = {name: np.asarray(columns[name]).astype(kind) for name, kind in COLUMNS.items()}
    return NucleusRows(typed, points, np.cumsum([len(shell) for shell in shells], dtype=np.int64))
