"""Nuclei around a part of a plane that was just computed, put among those that are there already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.instances import align_ids


def renewed(
    before: NDArray[np.int32],
    found: NDArray[np.int32],
    changed: tuple[slice, slice],
    first_free: int,
    lending: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """Replace the nuclei that a change touches, and leave all others as they are.

    A nucleus is replaced if it reaches into the changed part, or covers a pixel of one that is replaced.

    Parameters
    ----------
    before : array of int32, (Y, X)
        Labels of a window, as they were.
    found : array of int32, (Y, X)
        Labels of the same window, read from its maps as they are now.
    changed : tuple of slice
        Where in the window the maps changed.
    first_free : int
        New ids start above this.
    lending : array of int32, (Y, X), optional
        Labels that lend their ids to the nuclei which lie on them: those of a deeper level. `before` by default.

    Returns
    -------
    array of int32, (Y, X)
    """
    taken, gone = _marked(found, found[changed]), _marked(before, before[changed])
    while True:
        reached = _marked(before, before[taken[found]]) | gone
        covered = _marked(found, found[reached[before]]) | taken
        if (reached == gone).all() and (covered == taken).all():
            break
        taken, gone = covered, reached
    kept = np.where(gone[before], 0, before)
    lent = before if lending is None else lending
    in_use = np.zeros(max(int(lent.max(initial=0)), int(kept.max(initial=0))) + 1, bool)
    in_use[kept] = True  # no two nuclei share an id
    named = align_ids(np.where(in_use[lent], 0, lent), np.where(taken[found], found, 0), first_free)
    return np.where(named > 0, named, kept)


def _marked(labels: NDArray[np.int32], ids: NDArray[np.int32]) -> NDArray[np.bool_]:
    """By id, up to the largest of the labels, whether it is among those given; never the background."""
    table = np.zeros(int(labels.max(initial=0)) + 1, bool)
    table[ids] = True
    table[0] = False
    return table
