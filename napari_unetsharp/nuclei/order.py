"""In which order nuclei are served: the doubtful ones, nearest first; random spot checks among them; or by screens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.states import State

SHARE = 0.2
"""Part of the cards that counts as doubtful: the fifth."""

BANDS = 5
"""Bands of doubt, of the same number of cards each."""

EVERY = 5
"""One spot check comes on so many doubtful cards, on average."""


@dataclass(frozen=True)
class Queue:
    """Cards in the order of serving.

    Attributes
    ----------
    cards : array of int64, (n,)
        Places in the lists that were given; each once.
    bands : array of int64, (n,)
        0 for the most doubtful; -1 for what is not doubtful and there as a spot check only.
    spots : array of bool, (n,)
        Drawn as spot check. Nobody who decides may see this.
    passed : array of int64, (n,)
        How many doubtful cards have had their turn once this one is served.
    doubtful : array of int64, (m,)
        The doubtful cards in their order, drawn as spot check or not.
    """

    cards: NDArray[np.int64]
    bands: NDArray[np.int64]
    spots: NDArray[np.bool_]
    passed: NDArray[np.int64]
    doubtful: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cards)

    def shown(self, served: int, count: int) -> NDArray[np.bool_]:
        """Which cards have had their turn as doubtful ones; for `errors_left.from_review`.

        A doubtful card that came early, as a spot check, counts from its own turn on: whether a card is shown must
        not depend on its having been drawn.

        Parameters
        ----------
        served : int
            Cards of the queue that were served, from its beginning.
        count : int
            Length of what comes back.
        """
        flags = np.zeros(count, bool)
        if served > 0:
            flags[self.doubtful[: self.passed[min(served, len(self)) - 1]]] = True
        return flags


def one_by_one(
    doubt: ArrayLike, centres: ArrayLike, kept: ArrayLike | None = None, share: float = SHARE, bands: int = BANDS,
    start: tuple[float, float] | None = None,
) -> Queue:  # fmt: skip
    """Serve the doubtful part: the most doubtful band first, and the nearest first inside a band.

    Parameters
    ----------
    doubt : array, (n,)
        0..1.
    centres : array, (n, 2)
        Y and x, pixels.
    kept : array of bool, (n,), optional
        Only these (see `in_state`, `in_region`); the doubtful part is still taken of all, so that an answer doesn't
        bring the next one in.
    share : float
        0..1; 1 serves everything. Cards without any doubt come last, but they do come.
    bands : int
        1 or more.
    start : tuple of float, optional
        Y and x of where the person looks; the most doubtful card by default.

    Returns
    -------
    Queue

    Raises
    ------
    SettingsError
        If the share or the number of bands makes no sense.
    """
    if not 0 <= share <= 1 or bands < 1:
        raise SettingsError(f"a share is 0 to 1 and bands are 1 or more; got {share} and {bands}")
    values, places = np.asarray(doubt, np.float64), np.asarray(centres, np.float64).reshape(-1, 2)
    ranked = np.argsort(-values, kind="stable")[: int(np.ceil(share * len(values) - 1e-9))]
    wanted = np.ones(len(values), bool) if kept is None else np.asarray(kept, bool)
    position = None if start is None else np.asarray(start, np.float64)
    cards: list[NDArray[np.int64]] = []
    for band in np.array_split(ranked, bands):
        members = band[wanted[band]]
        if len(members):
            members = members[nearest_first(places[members], position)]
            position = places[members[-1]]
        cards.append(members)
    sizes = [len(members) for members in cards]
    order = np.concatenate(cards).astype(np.int64)
    passed = np.arange(1, len(order) + 1)
    return Queue(order, np.repeat(np.arange(bands), sizes), np.zeros(len(order), bool), passed, order)


def nearest_first(centres: NDArray[np.float64], start: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
    """Go from each point to the nearest one that is left.

    Parameters
    ----------
    centres : array, (n, 2)
    start : array, (2,), optional
        Where to begin; the first point by default.

    Returns
    -------
    array of int64, (n,)
        Places in `centres`. Among equally near ones the first.
    """
    order = np.empty(len(centres), np.int64)
    left, points = np.arange(len(centres)), np.array(centres, np.float64)
    if not len(order):
        return order
    here = points[0].copy() if start is None else start
    for step in range(len(order)):
        size = len(order) - step
        gaps = points[:size] - here
        nearest = int(np.argmin(np.einsum("ij,ij->i", gaps, gaps)))
        order[step], here = left[nearest], points[nearest].copy()
        # What follows moves up, so that ties stay in order.
        left[nearest : size - 1], points[nearest : size - 1] = left[nearest + 1 : size], points[nearest + 1 : size]
    return order


def random_order(ids: ArrayLike, seed: int) -> NDArray[np.int64]:
    """A random order that stays the same when other ids come or go.

    Each id draws a number of its own from a generator that mixes it with the seed (splitmix64: Steele, Lea and Flood,
    *Fast Splittable Pseudorandom Number Generators*, 2014), and the numbers are sorted.

    Parameters
    ----------
    ids : array of int, (n,)
    seed : int

    Returns
    -------
    array of int64, (n,)
        Places in `ids`.
    """
    mixed = np.asarray(ids).astype(np.uint64) + np.uint64(_mixed(seed % 2**64))
    mixed = (mixed + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xD1342543DE82EF95)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")


def _mixed(seed: int) -> int:
    value = (seed + 0x9E3779B97F4A7C15) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = ((value ^ (value >> shift)) * factor) % 2**64
    return value ^ (value >> 31)


def draw_spot_checks(ids: ArrayLike, count: int, seed: int) -> NDArray[np.int64]:
    """Nuclei drawn at random without replacement.

    Parameters
    ----------
    ids : array of int, (n,)
        All proposals that nobody had looked at when the review began, doubtful or not.
    count : int
    seed : int

    Returns
    -------
    array of int64, (min(count, n),)
        Places in `ids`, in the order in which they are to be served. A larger count goes on from a smaller one.
    """
    return random_order(ids, seed)[: max(0, count)]


def mix(queue: Queue, spots: ArrayLike, seed: int, every: int = EVERY) -> Queue:
    """Mix spot checks into a queue at random places, unmarked.

    Parameters
    ----------
    queue : Queue
    spots : array of int, (m,)
        Places in the lists that the queue was made from, in the order in which they were drawn.
    seed : int
        Decides the places.
    every : int
        Doubtful cards for one spot check, on average, 1 or more. Spot checks that are left over come at the end.

    Returns
    -------
    Queue
        A doubtful card that was drawn comes once, at the earlier of its two turns.
    """
    drawn = np.asarray(spots, np.int64)
    gaps = np.random.default_rng(seed).geometric(1 / (max(1, every) + 1), len(drawn)) - 1
    before = np.minimum(np.cumsum(gaps), len(queue))  # doubtful cards that come before each spot check
    cards = np.concatenate([queue.cards, drawn])
    passed = np.concatenate([queue.passed, before])
    late = np.concatenate([np.ones(len(queue)), np.zeros(len(drawn))])
    turn = np.concatenate([np.arange(len(queue)), before])
    order = np.lexsort((late, turn))
    served = order[np.sort(np.unique(cards[order], return_index=True)[1])]  # each card at its first turn
    bands = np.full(int(cards.max(initial=-1)) + 1, -1)
    bands[queue.cards] = queue.bands
    mixed = cards[served]
    return Queue(mixed, bands[mixed], np.isin(mixed, drawn), passed[served], queue.doubtful)


def in_state(states: Iterable[State], wanted: Iterable[State] = (State.TO_DO,)) -> NDArray[np.bool_]:
    """Which cards are in one of these states, (n,)."""
    allowed = frozenset(wanted)
    return np.fromiter((state in allowed for state in states), bool)


def in_region(centres: ArrayLike, region: Box | NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which cards have their centre in a box, or where a mask of the plane is True, (n,)."""
    places = np.asarray(centres, np.float64).reshape(-1, 2)
    if isinstance(region, Box):
        inside = (places >= region[:2]) & (places < region[2:])
        return np.asarray(inside.all(axis=1))
    rows, columns = np.clip(np.round(places).astype(int), 0, np.array(region.shape) - 1).T
    return np.asarray(region[rows, columns])


def screens(shape: tuple[int, int], view: tuple[int, int], region: Box | None = None) -> list[Box]:
    """Views of one size that cover a field, row by row and back again, so that the next is always beside the last.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) of the plane.
    view : tuple of int
        (Y, X) of what is seen at the fixed zoom, pixels, 1 or more.
    region : Box, optional
        Cover only this.

    Returns
    -------
    list of Box
        Inside the plane; as few as can cover it, overlapping evenly where they don't come out even.
    """
    if min(view) < 1:
        raise SettingsError(f"a view of {view[0]} x {view[1]} px shows nothing; zoom out")
    whole = Box(0, 0, *shape) if region is None else region
    rows = _spans(whole.top, whole.bottom, view[0], shape[0])
    columns = _spans(whole.left, whole.right, view[1], shape[1])
    boxes = []
    for number, (top, bottom) in enumerate(rows):
        boxes += [Box(top, left, bottom, right) for left, right in columns[:: -1 if number % 2 else 1]]
    return boxes


def _spans(first: int, last: int, length: int, whole: int) -> list[tuple[int, int]]:
    length = min(length, whole)
    count = max(1, -(-(last - first) // length))
    if count == 1:
        starts = np.array([first + (last - first - length) // 2])
    else:
        starts = np.round(np.linspace(first, last - length, count)).astype(int)
    return [(int(start), int(start) + length) for start in np.clip(starts, 0, whole - length)]
