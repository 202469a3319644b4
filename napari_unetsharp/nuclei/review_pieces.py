"""What is taken out of a review to be saved or exported, and its measures and outlines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.course import Action
from napari_unetsharp.nuclei.measure import Measures, join_measures, measure, measure_masks
from napari_unetsharp.nuclei.outlines import Polygon, outlines, trace
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.second_reading import Reading, second_readings
from napari_unetsharp.nuclei.states import Nucleus
from napari_unetsharp.nuclei.stretches import runs_of_masks
from napari_unetsharp.nuclei.table import HistoryRow


@dataclass(frozen=True)
class Pieces:
    """What is saved of a review: a copy, so that saving may go on while the review does.

    Attributes
    ----------
    labels : array of int32, (Y, X)
        Corrected labels.
    nuclei : dict of int to Nucleus
        All, those declared none included.
    rejected : dict of int to PixelChange
        Outlines of those declared none.
    ignored : array of bool, (Y, X)
    views : list of Box
        Completed ones.
    history : list of Action
    last_id : int
        Highest id ever given.
    identity : dict
        Of the image, as JSON can hold it.
    model, who : str
    readings : list of Reading
        Second readings of a tenth, see `second_reading`.
    problems : list of str
        Why other second readings couldn't be read.
    """

    labels: NDArray[np.int32]
    nuclei: dict[int, Nucleus]
    rejected: dict[int, PixelChange]
    ignored: NDArray[np.bool_]
    views: list[Box]
    history: list[Action]
    last_id: int
    identity: dict[str, Any]
    model: str
    who: str
    readings: list[Reading] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, review: Review) -> Pieces:
        """Copy what is to be saved; takes as long as copying the labels."""
        return cls(
            review.labels.copy(),
            dict(review.nuclei),
            dict(review.rejected),
            review.ignored.copy(),
            list(review.views),
            list(review.history),
            review.findings.last_id,
            review.identity.to_json(),
            review.findings.model,
            review.who,
            *second_readings(review),
        )


def pixel_size(image: Image) -> tuple[float, float] | None:
    """Height and width of a pixel in micrometres; None where the image doesn't say."""
    height, width = image.scale[-2:]
    known = tuple(image.units[-2:]) == ("micrometer", "micrometer") and min(height, width) > 0
    return (float(height), float(width)) if known else None


def name_space(pieces: Pieces, plane: tuple[int, ...]) -> str:
    """What makes the UUIDs of nuclei those of this plane of this image, see `write_geojson`."""
    return "/".join([str(pieces.identity.get("pixels", "")), *map(str, plane)])


def channel_names(pixels: NDArray[Any]) -> list[str]:
    """Names for the columns of a plane (Y, X, C): colours where there are three, else numbers from 1."""
    count = pixels.shape[-1]
    return ["red", "green", "blue"] if count == 3 else [str(number) for number in range(1, count + 1)]


def measure_pieces(
    pieces: Pieces, pixels: NDArray[Any] | None, micrometres: tuple[float, float] | None = None
) -> Measures:
    """Measure all nuclei of a review, those declared none by their own outlines.

    Parameters
    ----------
    pieces : Pieces
    pixels : array, (Y, X, C), or None
    micrometres : tuple of float, optional

    Returns
    -------
    dict of str to array
        See `measure`.
    """
    names = [] if pixels is None else channel_names(pixels)
    measures = measure(pieces.labels, pixels, micrometres, names)
    masks = _rejected_masks(pieces)
    if not masks:
        return measures
    shape = (pieces.labels.shape[0], pieces.labels.shape[1])
    return join_measures(measures, measure_masks(masks, shape, pixels, micrometres, names))


def all_outlines(pieces: Pieces) -> Iterator[tuple[int, list[Polygon]]]:
    """Outlines of all nuclei of a review: those that are shown, then those declared none."""
    yield from outlines(pieces.labels)
    yield from trace(runs_of_masks(_rejected_masks(pieces), (pieces.labels.shape[0], pieces.labels.shape[1])))


def _rejected_masks(pieces: Pieces) -> dict[int, tuple[int, int, NDArray[np.bool_]]]:
    kept = {number: change for number, change in pieces.rejected.items() if change}
    return {number: (change.box.top, change.box.left, change.mask()) for number, change in kept.items()}


def history_rows(actions: Sequence[Action]) -> Iterator[HistoryRow]:
    """Rows of `history.csv`: one per action and nucleus, or one for an action that changed no nucleus."""
    for action in actions:
        for number, before, after in action.nuclei or ((0, "", ""),):
            yield HistoryRow(
                action.number, action.when, action.who, action.what, action.how, number, before, after,
                action.model, action.seconds,
            )  # fmt: skip
