"""Outlines in the colours of their states: one small-valued Labels layer with a handful of colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_unetsharp.nuclei.delta import BoxDelta
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State

COLOURS = {
    State.TO_DO: "#E69F00",
    State.RIGHT: "#56B4E9",
    State.CHANGED: "#FFFFFF",
    State.UNSURE: "#C8C8C8",
    State.NOT: "#D55E00",
}
"""Tested on H&E, IHC and dark tissue, with normal and colour-blind eyes."""

CODES = {State.TO_DO: 1, State.RIGHT: 2, State.CHANGED: 3, State.UNSURE: 4}
FILL, IGNORED = 8, 7
"""Added to a code inside a nucleus when they are filled; hatching of ignored regions."""

MANY = 200_000
"""Pixels from which the whole layer is drawn anew instead of a box."""


def _rgba(colour: str, alpha: float) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue, alpha


def state_colours() -> DirectLabelColormap:
    """The one colormap of the layer; it never changes."""
    colours: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), IGNORED: (0.25, 0.25, 0.25, 0.75)}
    for state, code in CODES.items():
        colours[code] = _rgba(COLOURS[state], 1.0)
        colours[code + FILL] = _rgba(COLOURS[state], 0.35)
    return DirectLabelColormap(color_dict=colours)


class StatePicture:
    """Codes of the pixels of a review: edges by state, and hatching where it is ignored.

    Parameters
    ----------
    review : Review
    width : int
        Of the edges, in pixels.

    Attributes
    ----------
    codes : array of uint8, (Y, X)
    filled : bool
        Whether nuclei are filled too.
    current : int
        Nucleus that is drawn otherwise and left out here; 0 for none.
    """

    def __init__(self, review: Review, width: int = 1) -> None:
        self.review, self.width, self.filled, self.current = review, width, False, 0
        self._of_id = np.zeros(review.next_id + 64, np.uint8)
        for id_, nucleus in review.nuclei.items():
            self._of_id[id_] = CODES.get(nucleus.state, 0)
        self.codes = self.window_of_all()

    def window_of_all(self) -> NDArray[np.uint8]:
        """Codes of the whole plane."""
        return self.window(Box(0, 0, *self.review.labels.shape))

    def follow(self, delta: BoxDelta) -> None:
        """Take the new states of nuclei."""
        for change in delta.nuclei:
            if change.id >= len(self._of_id):
                self._of_id = np.concatenate([self._of_id, np.zeros(max(change.id, 256), np.uint8)])
            self._of_id[change.id] = CODES.get(change.after.state, 0) if change.after else 0

    def window(self, box: Box) -> NDArray[np.uint8]:
        """Codes of a box, from the labels and states as they are now."""
        shape = (self.review.labels.shape[0], self.review.labels.shape[1])
        around = box.grown(self.width, shape)
        labels = self.review.labels[around.slices]
        edge = labels > 0
        edge &= _differs(labels, self.width)
        top, left = box.top - around.top, box.left - around.left
        inner = np.s_[top : top + box.shape[0], left : left + box.shape[1]]
        codes = self._of_id[labels[inner]]
        if self.current:
            codes[labels[inner] == self.current] = 0
        inside = codes + np.uint8(FILL) * (codes > 0) if self.filled else np.uint8(0)
        codes = np.where(edge[inner], codes, inside)
        return np.asarray(self._hatched(codes, box), np.uint8)

    def _hatched(self, codes: NDArray[Any], box: Box) -> NDArray[Any]:
        ignored = self.review.ignored[box.slices]
        if not ignored.any():
            return codes
        rows, columns = np.ogrid[box.top : box.bottom, box.left : box.right]
        return np.where(ignored & ((rows + columns) % 8 < 2) & (codes == 0), IGNORED, codes)


def _differs(labels: NDArray[np.int32], reach: int) -> NDArray[np.bool_]:
    """Where another label, or the border of the plane, is within so many pixels along rows or columns."""
    differs = np.zeros(labels.shape, bool)
    for step in range(1, reach + 1):
        differs[step:] |= labels[step:] != labels[:-step]
        differs[:-step] |= labels[:-step] != labels[step:]
        differs[:, step:] |= labels[:, step:] != labels[:, :-step]
        differs[:, :-step] |= labels[:, :-step] != labels[:, step:]
    return differs


def put_box(layer: Labels, box: Box, values: NDArray[Any]) -> None:
    """Write a box into a labels layer of one plane and draw only that box.

    Parameters
    ----------
    layer : Labels
        (Y, X), a NumPy array of its own.
    box : Box
    values : array of int, (Y, X) of the box
    """
    present = layer.data[box.slices]
    rows, columns = np.nonzero(present != values)
    if not len(rows):
        return
    if not layer.visible or len(rows) > MANY:
        present[...] = values
        if layer.visible:
            layer.refresh(extent=False)
        return
    with layer.block_history():
        layer.data_setitem((rows + box.top, columns + box.left), values[rows, columns])
