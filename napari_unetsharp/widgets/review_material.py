"""What a review looks at besides its labels: the pixels, and what the network's views say."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.deck import Deck, deal


@dataclass
class Material:
    """One plane, seen by the network.

    Attributes
    ----------
    pixels : array, (Y, X, C)
        For thumbnails.
    labels : array of int, (Y, X)
        The proposals.
    maps : dict of str to array, (Y, X)
        Probability by branch; empty where the network was not run.
    levels : dict of int to array of int, (Y, X)
        Nuclei of each depth.
    level : int
        The depth that the proposals come from; 0 for none.
    doubt : array, (Y, X), or None
    model : str
        Hash of the checkpoint.
    source : str
        Where the proposals come from, in words.
    classes : tuple of str
        Names of the model's classes; empty where it has only one.
    computed : array of bool, (Y, X), or None
        Where the network ran; None for everywhere.
    known : dict of str to object
        Nuclei, rejected, views and ignored of an earlier review, for `Review.start`.
    of_slide : bool
        From the results of a whole slide, which know already what a person said here.
    """

    pixels: NDArray[Any]
    labels: NDArray[Any]
    maps: dict[str, NDArray[Any]] = field(default_factory=dict)
    levels: dict[int, NDArray[Any]] = field(default_factory=dict)
    level: int = 0
    doubt: NDArray[Any] | None = None
    model: str = ""
    source: str = ""
    classes: tuple[str, ...] = ()
    computed: NDArray[np.bool_] | None = None
    known: dict[str, Any] = field(default_factory=dict)
    of_slide: bool = False
    _prepared: list[Deck | None] = field(default_factory=list, repr=False)

    def deck(self, proposals: NDArray[Any]) -> Deck | None:
        """What the views say of each proposal, and of places where none is.

        Parameters
        ----------
        proposals : array of int, (Y, X)
            With the ids of the review.

        Returns
        -------
        Deck or None
            None where the network was not run here, or found nothing.
        """
        if self._prepared:
            return self._prepared.pop()
        if f"x0{self.level}" not in self.maps or self.level not in self.levels or not proposals.any():
            return None
        return deal(self.maps, {**self.levels, self.level: proposals}, self.level, self.doubt)

    def prepare_deck(self, proposals: NDArray[Any]) -> None:
        """Do the work of the next `deck` now, which may be in a thread.

        Parameters
        ----------
        proposals : array of int, (Y, X)
            What `deck` will be called with.
        """
        self._prepared.clear()
        self._prepared.append(self.deck(proposals))

    @cached_property
    def diameter(self) -> float:
        """Typical diameter of the proposals in pixels; 20 where there are none."""
        areas = np.bincount(np.asarray(self.labels).ravel())[1:]
        areas = areas[areas > 0]
        return float(2 * np.sqrt(np.median(areas) / np.pi)) if len(areas) else 20.0

    @property
    def reach(self) -> int:
        """How far from the pointer a nucleus is grown, in pixels."""
        return max(16, round(1.5 * self.diameter))
