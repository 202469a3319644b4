"""What a new version changed on an image: "v2 changed 37 of the 212 you have not checked, 0 of your 88"."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.matching import match_nuclei

SAME = 0.8
"""IoU from which a nucleus counts as unchanged."""


@dataclass(frozen=True)
class WhatChanged:
    """Counts of nuclei.

    Attributes
    ----------
    changed, unchecked : int
        Of those that nobody looked at, how many have another outline or are gone; and all of them.
    changed_checked, checked : int
        The same of those that somebody looked at: a re-run leaves them, so the first should be 0.
    new : int
        Nuclei that weren't there before.
    """

    changed: int
    unchecked: int
    changed_checked: int
    checked: int
    new: int

    def words(self, name: str) -> str:
        """One sentence, with the name of the version."""
        new = f", and found {self.new} new" if self.new else ""
        return (
            f"{name} changed {self.changed} of the {self.unchecked} you have not checked, "
            f"{self.changed_checked} of your {self.checked}{new}"
        )


def what_changed(before: NDArray[Any], after: NDArray[Any], checked: Collection[int]) -> WhatChanged:
    """Compare the corrected labels of a review before and after a re-run.

    Parameters
    ----------
    before, after : array of int, (Y, X)
    checked : collection of int
        Ids of nuclei that somebody looked at.
    """
    matching = match_nuclei(before, after)
    fit, known = np.zeros(len(matching.true_ids)), np.zeros(len(matching.found_ids), bool)
    np.maximum.at(fit, matching.truth, matching.iou)
    known[matching.found[2 * matching.shared > matching.found_areas[matching.found]]] = True
    known[matching.found[matching.iou >= 0.5]] = True
    looked_at = np.isin(matching.true_ids, list(checked))
    changed = fit < SAME
    return WhatChanged(
        int((changed & ~looked_at).sum()), int((~looked_at).sum()), int((changed & looked_at).sum()),
        int(looked_at.sum()), int((~known).sum()),
    )  # fmt: skip
