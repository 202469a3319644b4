"""Nuclei as they are compared and drawn: labels, pixels at the threshold, edges. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.comparison.candidate import AVERAGE, average_of_views
from napari_unetsharp.comparison.difference import Difference, difference
from napari_unetsharp.inference.results import Index, Results
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.instances import LabelSettings, count_nuclei, label_nuclei, median_diameter
from napari_unetsharp.nuclei.reviewed import reviewed_pixels

EDGE, INSIDE = 1, 2
"""Codes of the pixels of a nucleus."""

RIM = 8
"""Added to the code of a kind of difference at the edge of what it covers."""

SMALL = 40.0
"""Diameter in pixels below which edges are one pixel wide, else two."""

LARGE_ID = 2**22
"""Ids up to this are kept as they are."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Nuclei of one choice.

    Attributes
    ----------
    labels : array of int32, (Y, X)
    codes : array of uint8, (Y, X)
        `EDGE`, `INSIDE`, or 0.
    count : int
        Nuclei.
    diameter : float
        Typical one in pixels; 0 without nuclei.
    mask : array of bool, (Y, X), or None
        Pixels at the threshold, where a map is behind it.
    seen : array of bool, (Y, X), or None
        Where a person looked.
    """

    labels: NDArray[np.int32]
    codes: NDArray[np.uint8]
    count: int
    diameter: float
    mask: NDArray[np.bool_] | None = None
    seen: NDArray[np.bool_] | None = None

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        planes = (self.labels, self.codes, self.mask, self.seen)
        return sum(plane.nbytes for plane in planes if plane is not None)


def beside_another(values: NDArray[Any], reach: int) -> NDArray[np.bool_]:
    """Where another value lies within so many pixels along rows or columns.

    Parameters
    ----------
    values : array of int, (Y, X)
    reach : int

    Returns
    -------
    array of bool, (Y, X)
    """
    beside = np.zeros(values.shape, bool)
    for step in range(1, reach + 1):
        for one, other in ((np.s_[step:], np.s_[:-step]), (np.s_[:, step:], np.s_[:, :-step])):
            differs = values[one] != values[other]
            beside[one] |= differs
            beside[other] |= differs
    return beside


def drawn_of(
    labels: NDArray[np.int32], mask: NDArray[np.bool_] | None = None, seen: NDArray[np.bool_] | None = None
) -> Drawn:
    """Labels with everything that is drawn and said of them; see `Drawn`."""
    diameter = median_diameter(labels) or 0.0
    codes = edges(labels, 1 if diameter < SMALL else 2)
    return Drawn(labels, codes, count_nuclei(labels), diameter, mask, seen)


def edges(labels: NDArray[np.int32], width: int) -> NDArray[np.uint8]:
    """Codes of what is drawn of a label image.

    Parameters
    ----------
    labels : array of int32, (Y, X)
    width : int
        Of the edges, in pixels.

    Returns
    -------
    array of uint8, (Y, X)
    """
    inside = labels > 0
    codes = inside.astype(np.uint8) * np.uint8(INSIDE)
    codes[beside_another(labels, width) & inside] = EDGE
    return codes


@dataclass(frozen=True, eq=False)
class Compared:
    """The difference of two sets of nuclei, and how it is drawn.

    Attributes
    ----------
    found : Difference
    codes : array of uint8, (Y, X)
        `Kind` of each pixel, with `RIM` added at edges.
    """

    found: Difference
    codes: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        return self.codes.nbytes + self.found.codes.nbytes


def compared(a: NDArray[np.int32], b: NDArray[np.int32]) -> Compared:
    """Compare two sets of nuclei.

    Parameters
    ----------
    a, b : array of int32, (Y, X)
    """
    found = difference(a, b)
    codes = found.codes.copy()
    codes[beside_another(found.codes, 1) & (codes > 0)] += np.uint8(RIM)
    return Compared(found, codes)


def of_maps(results: Results, index: Index, node: str, settings: LabelSettings) -> Callable[[], Drawn]:
    """The nuclei of a view, or of the average of all views.

    Parameters
    ----------
    results : Results
    index : tuple of int
        Of the plane.
    node : str
        A branch, or "mean".
    settings : LabelSettings
    """
    cores = {name: core[index] for name, core in results.cores.items()}
    maps = {name: values[index] for name, values in results.maps.items()}
    branch = BRANCHES.get(node)
    known = None
    if branch is not None and branch.scale == 1 and results.is_labelled(index, branch.level, settings):
        known = results.labels[branch.level][index]

    def make() -> Drawn:
        if node == AVERAGE:
            values: NDArray[Any] = average_of_views(maps)
            core: NDArray[Any] | None = average_of_views(cores) if cores else None
        else:
            values, core = maps[node], cores.get(node)
        labels = label_nuclei(values, settings, core) if known is None else known
        return drawn_of(labels, np.asarray(values >= settings.threshold))

    return make


def of_labels(labels: NDArray[Any], area: NDArray[np.bool_] | None) -> Callable[[], Drawn]:
    """The nuclei of a layer, within the area where the network ran."""

    def make() -> Drawn:
        return drawn_of(within(_small_ids(labels), area))

    return make


def of_review(findings: Findings, area: NDArray[np.bool_] | None) -> Callable[[], Drawn]:
    """The corrected nuclei, and where a person looked."""
    labels = findings.labels.copy()

    def make() -> Drawn:
        return drawn_of(within(labels, area), seen=reviewed_pixels(findings))

    return make


def _small_ids(labels: NDArray[Any]) -> NDArray[np.int32]:
    """The same nuclei as int32; very large ids, for which nothing could be counted, are numbered anew."""
    kept = np.where(labels > 0, labels, 0)
    if kept.max(initial=0) > max(kept.size, LARGE_ID):
        kept = np.unique(kept, return_inverse=True)[1].reshape(kept.shape)
    return kept.astype(np.int32)


def within(labels: NDArray[np.int32], area: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """Leave out nuclei of which less than half lies in an area.

    Parameters
    ----------
    labels : array of int32, (Y, X)
    area : array of bool, (Y, X), or None
        None for everywhere.
    """
    if area is None:
        return labels
    sizes = np.bincount(labels.ravel())
    inside = np.bincount(labels[area].ravel(), minlength=len(sizes))
    kept = 2 * inside >= np.maximum(sizes, 1)
    kept[0] = False
    return np.where(kept[labels], labels, 0).astype(np.int32)
