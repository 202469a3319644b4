"""Handing differences to *Review*: it serves exactly the nuclei that lie on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_unetsharp.comparison.difference import Differing
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.compare_sources import Plane
from napari_unetsharp.widgets.queue_region import DrawnRegion
from napari_unetsharp.widgets.review_queue import BY_PLACE
from napari_unetsharp.widgets.review_session import ONE

if TYPE_CHECKING:
    from napari_unetsharp.widgets.review import ReviewStage

DIFFERENCES = "differ"
"""Name of the region in the queue of *Review*."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    """What a review is to serve once it is open."""

    plane: Plane
    region: DrawnRegion
    names: tuple[str, str]
    count: int


def pixels_of(
    items: Sequence[Differing], a: NDArray[np.int32], b: NDArray[np.int32], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Pixels of the nuclei that differ.

    Parameters
    ----------
    items : sequence of Differing
    a, b : array of int32, (Y, X)
        Nuclei of both sides.
    shape : tuple of int
        (Y, X).

    Returns
    -------
    array of bool, (Y, X)
    """
    pixels = np.zeros(shape, bool)
    sides = (a, [id_ for item in items for id_ in item.ids_a]), (b, [id_ for item in items for id_ in item.ids_b])
    for labels, ids in sides:
        wanted = np.zeros(int(labels.max(initial=0)) + 1, bool)
        wanted[np.asarray(ids, np.int64)] = True
        pixels |= wanted[labels]
    return pixels


class HandOver(QObject):
    """Waits until a review is open, and tells it what to serve.

    Parameters
    ----------
    review : ReviewStage
    """

    def __init__(self, review: ReviewStage, parent: QObject) -> None:
        super().__init__(parent)
        self._review = review
        self._waiting: _Waiting | None = None
        review.preparation.ready.connect(self.serve)

    def take(self, plane: Plane, pixels: NDArray[np.bool_], names: tuple[str, str], count: int) -> None:
        """Remember what the next review of this plane is to serve.

        Parameters
        ----------
        plane : Plane
        pixels : array of bool, (Y, X)
        names : tuple of str
            Of both sides.
        count : int
            Differences.
        """
        region = DrawnRegion(((Box(0, 0, *plane.shape), pixels),))
        self._waiting = _Waiting(plane, region, names, count)

    def forget(self) -> None:
        """Nothing is to be served any more."""
        self._waiting = None

    def serve(self, _ready: Any = None) -> None:
        """Give the open review what waits for it."""
        waiting, desk, subject = self._waiting, self._review.desk, self._review.subject
        if waiting is None or desk is None or subject is None or not self._review.active:
            return
        if subject.layer is not waiting.plane.layer or subject.index != waiting.plane.index:
            return
        self._waiting = None
        if desk.sweep is not None:
            desk.set_mode(ONE)
        desk.view.filters.serve(waiting.region, DIFFERENCES, BY_PLACE)
        desk.session.start()
        served = len(desk.session.queue.numbers)
        one, other = waiting.names
        if not served:
            desk.say(
                f"Nothing to decide where {one} and {other} differ: those nuclei were looked at, or no view of this "
                "review sees them. Choose another state above, or 'anywhere'."
            )
            return
        desk.say(
            f"{served:,} to decide where {one} and {other} differ ({waiting.count:,} differences). "
            "Choose 'anywhere' above to serve everything again."
        )
