"""Which pixels a person has vouched for; everything else is unknown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.states import State

RIM = 3
"""Width of the rim around a looked-at nucleus that counts as looked at too, in pixels."""

KNOWN = frozenset({State.RIGHT, State.CHANGED, State.NOT})
"""States that say what a pixel is. Can't tell is looked at, but leaves it open."""


def reviewed_pixels(findings: Findings, rim: int = RIM) -> NDArray[np.bool_]:
    """Pixels whose corrected label can be trusted.

    These are nuclei that are right or changed and places where one was declared none, each with a rim, and
    completed views; without nuclei that are to do or that nobody can tell, and without ignored regions.

    Parameters
    ----------
    findings : Findings
    rim : int, optional
        In pixels, along rows, columns and diagonals.

    Returns
    -------
    array of bool, (Y, X)
    """
    known = np.fromiter((id_ for id_ in findings.boxes if _state(findings, id_) in KNOWN), np.int32)
    reviewed = np.isin(findings.labels, known)
    for outline in findings.rejected.values():
        reviewed.reshape(-1)[outline.pixels()] = True
    if rim:
        reviewed = ndimage.maximum_filter(reviewed, 2 * rim + 1, mode="constant")
    for view in findings.views:
        reviewed[view.slices] = True
    reviewed &= (findings.labels == 0) | np.isin(findings.labels, known)
    reviewed &= ~findings.ignored
    return np.asarray(reviewed)


def _state(findings: Findings, id_: int) -> State:
    return findings.nuclei[id_].state
