"""The cards of a plane: one for each nucleus, and one for each possible miss, ranked together by doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unetsharp.nuclei import doubtful, misses
from napari_unetsharp.nuclei.alternatives import counterpart
from napari_unetsharp.nuclei.cards import Card, Kind
from napari_unetsharp.nuclei.evidence import PART, TOP, Evidence, gather
from napari_unetsharp.nuclei.misses import Misses, possible_misses
from napari_unetsharp.nuclei.pixels import Box

OTHER = 0.6
"""IoU below which the nearest depth's outline is offered."""

HINT = 0.05
"""Share of a nucleus in its second top that backs up a farther depth which sees two."""


@dataclass(frozen=True)
class Deck:
    """A card for each nucleus of a level, then one for each possible miss.

    The lists are cheap; a card with its words and outline is made when it is asked for.

    Attributes
    ----------
    level : int
    evidence : Evidence
    misses : Misses
    kinds : tuple of Kind, (n,)
    ids : array of int64, (n,)
        0 for possible misses.
    partners : array of int64, (n,)
        The other nucleus of an offered join, else 0.
    sources : tuple of str, (n,)
    doubt : array of float64, (n,)
        0..1.
    centres : array of float64, (n, 2)
        Y and x.
    boxes : array of int64, (n, 4)
        Top, left, bottom, right; the last two are left out.
    """

    level: int
    evidence: Evidence
    misses: Misses
    kinds: tuple[Kind, ...]
    ids: NDArray[np.int64]
    partners: NDArray[np.int64]
    sources: tuple[str, ...]
    doubt: NDArray[np.float64]
    centres: NDArray[np.float64]
    boxes: NDArray[np.int64]
    _maps: Mapping[str, NDArray[Any]]
    _labels: Mapping[int, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def place_of(self, id_: int) -> int:
        """Place of a nucleus's card, or -1."""
        known = len(self.evidence)
        place = int(np.searchsorted(self.ids[:known], id_))
        return place if place < known and self.ids[place] == id_ else -1

    def card(self, index: int) -> Card:
        """The card at a place of the lists; nothing is drawn of a nucleus that was taken from the labels since."""
        kind, source = self.kinds[index], self.sources[index]
        ids: tuple[int, ...] = ()
        if kind is Kind.MISS:
            number = index - len(self.evidence)
            parts = self.misses.masks[number].astype(np.int32)
            box, why = misses.box_of(self.misses, number), misses.words(self.misses, number)
        else:
            box, ids, parts = self._drawn(index)
            why = self._why(index)
        return Card(kind, ids, float(self.doubt[index]), why, box, parts, source)

    def _drawn(self, index: int) -> tuple[Box, tuple[int, ...], NDArray[np.int32]]:
        id_, partner = int(self.ids[index]), int(self.partners[index])
        box, own = Box(*(int(side) for side in self.boxes[index])), self._labels[self.level]
        if self.kinds[index] is Kind.JOIN:
            box = box.union(Box(*(int(side) for side in self.boxes[self.place_of(partner)])))
            return box, (id_, partner), np.isin(own[box.slices], (id_, partner)).astype(np.int32)
        inside = own[box.slices] == id_
        if not inside.any():  # taken away since
            return box, (id_,), inside.astype(np.int32)
        if self.kinds[index] is Kind.SPLIT:
            return box, (id_,), self._cut(self.sources[index], box, inside)
        if self.kinds[index] is Kind.OUTLINE:
            box, mask = counterpart(self._labels[int(self.sources[index][-1])], box, inside)
            return box, (id_,), mask.astype(np.int32)
        return box, (id_,), inside.astype(np.int32)

    def _cut(self, source: str, box: Box, inside: NDArray[np.bool_]) -> NDArray[np.int32]:
        """The nucleus in parts, grown from those that another depth sees in it, or from its tops."""
        probability = self._maps[f"x0{self.level}"][box.slices].astype(np.float32)
        if source == f"x0{self.level}":
            mean, highest = probability[inside].mean(), probability[inside].max()
            seeds = ndimage.label((probability >= mean + TOP * (highest - mean)) & inside)[0]
        else:
            seeds = np.where(inside, self._labels[int(source[-1])][box.slices], 0)
        areas = np.bincount(seeds.ravel())
        areas[0] = 0
        kept = np.cumsum(areas >= PART * inside.sum()) * (areas >= PART * inside.sum())
        return np.asarray(watershed(-probability, kept[seeds].astype(np.int32), mask=inside), np.int32)

    def _why(self, index: int) -> str:
        kind, source, id_ = self.kinds[index], self.sources[index], int(self.partners[index])
        if kind is Kind.SPLIT and source != f"x0{self.level}":
            return f"depth {source[-1]} sees {self.evidence.parts[int(source[-1])][index]} nuclei here"
        if kind is Kind.SPLIT:
            return "two centres: maybe two nuclei"
        if kind is Kind.JOIN:
            return f"depth {source[-1]} sees it and nucleus {id_} as one"
        if kind is Kind.OUTLINE:
            return f"depth {source[-1]} draws another outline"
        if kind is Kind.FALSE:
            return "no other depth sees it: maybe not a nucleus"
        return doubtful.reason(self.evidence, index)


def deal(
    maps: Mapping[str, NDArray[Any]], labels: Mapping[int, NDArray[Any]], level: int,
    doubt: NDArray[Any] | None = None, smallest: int = 20,
) -> Deck:  # fmt: skip
    """Make the cards of a plane.

    Parameters
    ----------
    maps : mapping of str to array, (Y, X), floating, 0..1
        Probability by branch, at full resolution; x0`level` is needed.
    labels : mapping of int to array of int, (Y, X)
        By level, only those that were labelled (one of zeros would be a depth that sees nothing). Put corrected labels
        in the place of the chosen level's to judge these.
    level : int
        The one that is reviewed.
    doubt : array, (Y, X), floating, optional
        Where the views disagree (`Results.doubt`).
    smallest : int
        Possible misses with fewer pixels are left out.

    Returns
    -------
    Deck
        Keeps the arrays that it was given, not copies.
    """
    evidence = gather(maps, labels, level, doubt)
    missed = possible_misses(maps, labels, level, smallest, matchings=evidence.matchings)
    kinds, partners, sources = _offers(evidence, level)
    return Deck(
        level, evidence, missed,
        (*kinds, *([Kind.MISS] * len(missed))),
        np.concatenate([evidence.ids, np.zeros(len(missed), np.int64)]),
        np.concatenate([partners, np.zeros(len(missed), np.int64)]),
        (*sources, *missed.sources),
        np.concatenate([doubtful.doubts(evidence), missed.doubt]),
        np.concatenate([evidence.centres, missed.centres]),
        np.concatenate([evidence.boxes, missed.boxes]),
        maps, labels,
    )  # fmt: skip


def _offers(evidence: Evidence, level: int) -> tuple[list[Kind], NDArray[np.int64], list[str]]:
    """What to ask of each nucleus: the first of split, join, false find and other outline that has a reason.

    What only a farther depth sees, and nothing else hints at, is mostly wrong (measured) and not offered.
    """
    kinds = [Kind.NUCLEUS] * len(evidence)
    sources = [f"x0{level}"] * len(evidence)
    partners = np.zeros(len(evidence), np.int64)
    nearest_first = sorted(evidence.seen, key=lambda other: (abs(other - level), -other))
    near = nearest_first[0] if nearest_first else level

    def offer(kind: Kind, where: NDArray[np.bool_], source: str) -> None:
        for index in np.flatnonzero(where).tolist():
            if kinds[index] is Kind.NUCLEUS:
                kinds[index], sources[index] = kind, source

    tops, joins = evidence.term("centres"), np.sum([ids > 0 for ids in evidence.partners.values()], axis=0)
    for other in nearest_first:
        offer(Kind.SPLIT, (evidence.parts[other] > 1) & ((other == near) | (tops >= HINT)), f"x0{other}")
    offer(Kind.SPLIT, tops >= PART, f"x0{level}")
    for other in nearest_first:
        free = np.array([kind is Kind.NUCLEUS for kind in kinds], bool) & (evidence.partners[other] > 0)
        free &= (other == near) | (joins > 1)
        partners[free] = evidence.partners[other][free]
        offer(Kind.JOIN, free, f"x0{other}")
    if nearest_first:
        offer(Kind.FALSE, ~np.any([evidence.seen[other] for other in evidence.seen], axis=0), f"x0{level}")
        offer(Kind.OUTLINE, evidence.seen[near] & (evidence.term("depths") > 1 - OTHER), f"x0{near}")
    return kinds, partners, sources
