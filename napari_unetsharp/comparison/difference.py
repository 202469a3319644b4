"""Where two sets of nuclei differ: only in A, only in B, in both, split, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.comparison.groups import Groups, boxes_of, group_nuclei
from napari_unetsharp.nuclei.matching import Matching, match_nuclei
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.stretches import Runs, find_runs


class Kind(IntEnum):
    """How two candidates differ at a place.

    SPLIT: one nucleus of A is several in B. JOINED: several of A are one in B.
    """

    NONE = 0
    ONLY_A = 1
    ONLY_B = 2
    BOTH = 3
    SPLIT = 4
    JOINED = 5


NAMES = {
    Kind.ONLY_A: "only in A",
    Kind.ONLY_B: "only in B",
    Kind.BOTH: "in both",
    Kind.SPLIT: "split in B",
    Kind.JOINED: "joined in B",
}
"""For a legend."""

COLOURS = {
    Kind.ONLY_A: "#0072B2",
    Kind.ONLY_B: "#D55E00",
    Kind.BOTH: "#999999",
    Kind.SPLIT: "#CC79A7",
    Kind.JOINED: "#009E73",
}
"""Of Okabe and Ito (*Color Universal Design*, 2008), which are told apart with any colour vision."""

BAND = 256
"""Height in pixels of the strips along which differences are walked."""


@dataclass(frozen=True)
class Differing:
    """One difference.

    Attributes
    ----------
    kind : Kind
    ids_a, ids_b : tuple of int
        Nuclei of both sides. Of a nucleus that only one side has, the other side's are those that cover a tenth of
        it or more: both drew something there, but not the same.
    box : Box
        Around the nucleus, or all nuclei of a split or join, in pixels.
    area : int
        Pixels of the nucleus, or of all nuclei of a split or join.
    """

    kind: Kind
    ids_a: tuple[int, ...]
    ids_b: tuple[int, ...]
    box: Box
    area: int

    def words(self, name_a: str, name_b: str) -> str:
        """What is to be seen, in a few words."""
        if self.kind is Kind.SPLIT:
            return f"one nucleus in {name_a}, {len(self.ids_b)} in {name_b}"
        if self.kind is Kind.JOINED:
            return f"{len(self.ids_a)} nuclei in {name_a}, one in {name_b}"
        if self.kind is Kind.BOTH:
            return f"{name_a} and {name_b} both see this"
        if self.ids_a and self.ids_b:
            return f"{name_a} and {name_b} draw this differently"
        return f"only {name_a if self.kind is Kind.ONLY_A else name_b} sees this"


@dataclass(frozen=True, eq=False)
class Difference:
    """Two candidates on one plane.

    Attributes
    ----------
    codes : array of uint8, (Y, X)
        `Kind` of each pixel. Nuclei that match are BOTH up to the outer one of their edges; where nuclei that don't
        match lie on each other, what they share is BOTH and the rest belongs to one side.
    items : list of Differing
        What differs, in an order to walk along: strips from top to bottom, to the right and back in turn. Nothing
        that is BOTH.
    counts : dict of Kind to int
        Nuclei that only A has, and only B; nuclei of A that B has too; nuclei of A that are split; nuclei of B that
        join several.
    """

    codes: NDArray[np.uint8]
    items: list[Differing]
    counts: dict[Kind, int]


def difference(a: NDArray[Any], b: NDArray[Any]) -> Difference:
    """Compare two instance maps.

    Nuclei match from an IoU of 0.5 on (`Matching.matches`); they are split or joined as `Matching.split` says. A
    nucleus that is split is told as that, even if its largest piece would match it.

    Parameters
    ----------
    a, b : array of int, (Y, X)
        0 outside; ids needn't be consecutive.

    Returns
    -------
    Difference

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    matching = match_nuclei(a, b)
    split, joined = group_nuclei(matching)
    kinds_a, kinds_b = _kinds(matching, split, joined)
    runs_a, runs_b = find_runs(a), find_runs(b)
    codes_a = _painted(runs_a, matching.true_ids, kinds_a)
    codes_b = _painted(runs_b, matching.found_ids, kinds_b)
    codes = np.maximum(codes_a, codes_b)
    codes[(codes_a == Kind.ONLY_A) & (codes_b == Kind.ONLY_B)] = Kind.BOTH
    told = Told(matching, boxes_of(runs_a, matching.true_ids), boxes_of(runs_b, matching.found_ids))
    items = told.only_a(np.flatnonzero(kinds_a == Kind.ONLY_A)) + told.only_b(np.flatnonzero(kinds_b == Kind.ONLY_B))
    items += told.split(split) + told.joined(joined)
    counts = {kind: sum(item.kind is kind for item in items) for kind in NAMES}
    counts[Kind.BOTH] = int(np.count_nonzero(kinds_a == Kind.BOTH))
    return Difference(codes, in_walking_order(items), counts)


def walking_order(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of boxes, (n, 4): strips of `BAND` pixels from top to bottom, to the right and back in turn."""
    rows, columns = (boxes[:, :2] + boxes[:, 2:]).T // 2
    strips = rows // BAND
    return np.lexsort((rows, np.where(strips % 2, -columns, columns), strips))


def in_walking_order(items: list[Differing]) -> list[Differing]:
    """The same items in `walking_order`."""
    boxes = np.array([item.box for item in items], np.int64).reshape(-1, 4)
    return [items[place] for place in walking_order(boxes).tolist()]


@dataclass(frozen=True, eq=False)
class Pairs(Sequence[Differing]):
    """Pairs of nuclei that match; each is made when it is asked for, as there may be many thousands.

    Attributes
    ----------
    ids : array of int, (pairs, 2)
        Of A and of B.
    boxes : array of int64, (pairs, 4)
    areas : array of int64, (pairs,)
    """

    ids: NDArray[Any]
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.areas)

    @overload
    def __getitem__(self, place: int) -> Differing: ...

    @overload
    def __getitem__(self, place: slice) -> list[Differing]: ...

    def __getitem__(self, place: int | slice) -> Differing | list[Differing]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        a, b = self.ids[place].tolist()
        return Differing(Kind.BOTH, (a,), (b,), Box(*self.boxes[place].tolist()), int(self.areas[place]))


def _kinds(matching: Matching, split: Groups, joined: Groups) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`Kind` of each nucleus of A and of B."""
    kinds_a = np.full(len(matching.true_ids), Kind.ONLY_A, np.uint8)
    kinds_b = np.full(len(matching.found_ids), Kind.ONLY_B, np.uint8)
    matches = matching.matches()
    kinds_a[matching.truth[matches]] = kinds_b[matching.found[matches]] = Kind.BOTH
    kinds_a[joined.parts], kinds_b[split.parts] = Kind.JOINED, Kind.SPLIT
    kinds_a[split.wholes], kinds_b[joined.wholes] = Kind.SPLIT, Kind.JOINED
    return kinds_a, kinds_b


def _painted(runs: Runs, ids: NDArray[Any], kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`Kind` of each pixel by one map: what lies between runs and the runs, in turn."""
    begins = runs.row * runs.shape[1] + runs.start
    order = np.argsort(begins)
    ends = begins + runs.stop - runs.start
    edges = np.stack([begins[order], ends[order]], 1).ravel()
    codes = np.zeros(len(edges) + 1, np.uint8)
    codes[1::2] = kinds[np.argsort(ids)][runs.index[order]]
    size = runs.shape[0] * runs.shape[1]
    return np.repeat(codes, np.diff(edges, prepend=0, append=size)).reshape(runs.shape)


@dataclass(frozen=True, eq=False)
class Told:
    """Says what a matching means as a list of `Differing`.

    Attributes
    ----------
    matching : Matching
        Of A (its truth) and B (what it calls found).
    boxes_a, boxes_b : array of int64, (nuclei of that side, 4)
        As from `boxes_of`, by number.
    """

    matching: Matching
    boxes_a: NDArray[np.int64]
    boxes_b: NDArray[np.int64]

    def both(self) -> Pairs:
        """Pairs that match, in walking order."""
        of, pairs = self.matching, self.matching.matches()
        a, b = of.truth[pairs], of.found[pairs]
        low = np.minimum(self.boxes_a[a, :2], self.boxes_b[b, :2])
        high = np.maximum(self.boxes_a[a, 2:], self.boxes_b[b, 2:])
        boxes = np.concatenate([low, high], 1)
        order = walking_order(boxes)
        ids = np.stack([of.true_ids[a], of.found_ids[b]], 1)
        return Pairs(ids[order], boxes[order], of.union[pairs][order])

    def only_a(self, numbers: NDArray[np.int64]) -> list[Differing]:
        """Nuclei of A, each with those of B that cover a tenth of it."""
        of = self.matching
        near = _covering(of.truth, of.found_ids[of.found], of.shared, of.true_areas)
        told = zip(numbers.tolist(), *_told(numbers, of.true_ids, self.boxes_a, of.true_areas), strict=True)
        return [Differing(Kind.ONLY_A, (id_,), near.get(at, ()), Box(*box), area) for at, id_, box, area in told]

    def only_b(self, numbers: NDArray[np.int64]) -> list[Differing]:
        """Nuclei of B, each with those of A that cover a tenth of it."""
        of = self.matching
        near = _covering(of.found, of.true_ids[of.truth], of.shared, of.found_areas)
        told = zip(numbers.tolist(), *_told(numbers, of.found_ids, self.boxes_b, of.found_areas), strict=True)
        return [Differing(Kind.ONLY_B, near.get(at, ()), (id_,), Box(*box), area) for at, id_, box, area in told]

    def split(self, groups: Groups) -> list[Differing]:
        """Nuclei of A that are several in B."""
        of = self.matching
        return [
            Differing(Kind.SPLIT, (int(of.true_ids[whole]),), tuple(of.found_ids[parts].tolist()),
                      self._box([whole], parts), area)
            for whole, parts, area in groups.each()
        ]  # fmt: skip

    def joined(self, groups: Groups) -> list[Differing]:
        """Nuclei of B that are several in A."""
        of = self.matching
        return [
            Differing(Kind.JOINED, tuple(of.true_ids[parts].tolist()), (int(of.found_ids[whole]),),
                      self._box(parts, [whole]), area)
            for whole, parts, area in groups.each()
        ]  # fmt: skip

    def _box(self, a: list[int], b: list[int]) -> Box:
        boxes = [*self.boxes_a[a].tolist(), *self.boxes_b[b].tolist()]
        tops, lefts, bottoms, rights = zip(*boxes, strict=True)
        return Box(min(tops), min(lefts), max(bottoms), max(rights))


def _told(numbers: NDArray[np.int64], *columns: NDArray[Any]) -> list[list[Any]]:
    return [column[numbers].tolist() for column in columns]


def _covering(
    own: NDArray[np.int64], other_ids: NDArray[Any], shared: NDArray[np.int64], areas: NDArray[np.int64]
) -> dict[int, tuple[int, ...]]:
    """By number of one side: ids of the other side that cover a tenth of it."""
    covering = 10 * shared >= areas[own]
    near: dict[int, tuple[int, ...]] = {}
    for number, other in zip(own[covering].tolist(), other_ids[covering].tolist(), strict=True):
        near[number] = (*near.get(number, ()), other)
    return near
