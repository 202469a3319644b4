"""Labels by the settings in force: while a slide is labelled anew, what is left of former settings is no result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.slides.store import SlideStore


def labels_in_force(store: SlideStore) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Give what leaves out of labels the nuclei that the table of a slide doesn't have.

    Blocks that wait to be painted by new settings still show what was there before; the table has only blocks that
    are painted. Ids tell the block. What a person drew, accepted or edited stays.

    Parameters
    ----------
    store : SlideStore

    Returns
    -------
    callable
        Takes and gives labels of any size of the pyramid.
    """
    painted = store.painted
    if painted.all():
        return lambda labels: labels
    kept = np.ones(store.grid.blocks + 2, bool)
    kept[: store.grid.blocks] = painted.ravel()
    reviewed = store.reviewed_ids

    def without_former(labels: NDArray[Any]) -> NDArray[Any]:
        block = np.maximum(labels - 1, 0) // store.grid.capacity
        return np.where(kept[block] | np.isin(labels, reviewed), labels, 0)

    return without_former
