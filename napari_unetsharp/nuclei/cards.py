"""Everything that can be put before a person as a question with yes, no and can't tell, in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.pixels import Box


class Kind(StrEnum):
    """What a card asks; yes agrees to what is drawn."""

    NUCLEUS = "nucleus"
    MISS = "possible miss"
    FALSE = "possible false find"
    SPLIT = "offered split"
    JOIN = "offered join"
    OUTLINE = "other outline"


@dataclass(frozen=True)
class Card:
    """One question.

    Attributes
    ----------
    kind : Kind
    ids : tuple of int
        Nuclei that it is about: none for a possible miss, two for a join, else one.
    doubt : float
        0..1; the order of all kinds together.
    words : str
        Why it is here, a sentence without a full stop.
    box : Box
        Pixels of the plane.
    parts : array of int32, (box height, box width)
        What yes leaves: 0 outside, 1 for the first nucleus, 2 and so on for the parts of a split.
    source : str
        Branch whose outline is drawn (``x03``), or what else it is from.
    """

    kind: Kind
    ids: tuple[int, ...]
    doubt: float
    words: str
    box: Box
    parts: NDArray[np.int32]
    source: str

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The outline, (box height, box width)."""
        return self.parts > 0
