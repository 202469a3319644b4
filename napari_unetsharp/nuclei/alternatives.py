"""Other outlines that the depths and views have for a nucleus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.nuclei.cards import Card, Kind
from napari_unetsharp.nuclei.pixels import Box

SAME = 0.9
"""IoU from which two outlines are one for the eye."""


def other_outlines(
    maps: Mapping[str, NDArray[Any]], labels: Mapping[int, NDArray[Any]], id_: int, mask: NDArray[np.bool_], box: Box,
    threshold: float = 0.5,
) -> list[Card]:  # fmt: skip
    """Every other outline that a depth or view has for a nucleus, one of each, the most different last.

    Parameters
    ----------
    maps, labels
        As in `deal`.
    id_ : int
        For the cards.
    mask : array of bool, (box height, box width)
        The nucleus as it is now.
    box : Box
    threshold : float
        Of the maps.

    Returns
    -------
    list of Card
        Of kind `Kind.OUTLINE`; outlines that the eye can't tell apart come once.
    """
    plane = next(iter(maps.values())).shape
    around = box.grown(max(box.shape) // 2, (plane[0], plane[1]))
    inside = np.zeros(around.shape, bool)
    inside[box.top - around.top :, box.left - around.left :][: box.shape[0], : box.shape[1]] = mask
    known, cards = [inside], []
    for source, objects in _outlines_in(maps, labels, around, threshold):
        shared = np.bincount(objects[inside])
        if len(shared) < 2 or not shared[1:].any():
            continue
        drawn = objects == int(np.argmax(shared[1:])) + 1
        if all(_iou(drawn, other) < SAME for other in known):
            known.append(drawn)
            alike = _iou(drawn, inside)
            words = f"as {_name(source)} sees it"
            cards.append(Card(Kind.OUTLINE, (id_,), 1 - alike, words, around, drawn.astype(np.int32), source))
    return sorted(cards, key=lambda card: card.doubt)


def _outlines_in(
    maps: Mapping[str, NDArray[Any]], labels: Mapping[int, NDArray[Any]], box: Box, threshold: float
) -> list[tuple[str, NDArray[Any]]]:
    cut = [(f"x0{level}", labels[level][box.slices]) for level in sorted(labels, reverse=True)]
    views = [name for name in maps if not (name.startswith("x0") and int(name[-1]) in labels)]
    return cut + [(name, ndimage.label(maps[name][box.slices] >= threshold)[0]) for name in views]


def _name(source: str) -> str:
    return f"depth {source[-1]}" if source.startswith("x0") else f"the 1/{2 ** int(source[1])} view"


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return int(np.sum(one & other)) / max(1, int(np.sum(one | other)))


def counterpart(labels: NDArray[Any], box: Box, inside: NDArray[np.bool_]) -> tuple[Box, NDArray[np.bool_]]:
    """The nucleus of another map that shares most with this one, and its box."""
    around = box.grown(max(box.shape), (labels.shape[0], labels.shape[1]))
    mask = np.zeros(around.shape, bool)
    mask[box.top - around.top :, box.left - around.left :][: box.shape[0], : box.shape[1]] = inside
    window = labels[around.slices]
    shared = np.bincount(window[mask], minlength=2)
    drawn = window == int(np.argmax(shared[1:])) + 1
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    found = Box(
        around.top + int(rows[0]), around.left + int(columns[0]), around.top + int(rows[-1]) + 1,
        around.left + int(columns[-1]) + 1,
    )  # fmt: skip
    return found, drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
