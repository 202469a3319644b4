"""From what a person did in a region to what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ShapeError, SlideRunError
from napari_unetsharp.nuclei.label_pieces import within
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.stretches import Runs, find_runs
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_nuclei import BlockNuclei, PlacedRuns
from napari_unetsharp.slides.grid import LARGEST_ID, BlockGrid
from napari_unetsharp.slides.nuclei import STATES, NucleusRows, rows_of
from napari_unetsharp.slides.painting import Claims, painted
from napari_unetsharp.slides.regions import Region, Regions

_ANSWERS = ("accepted", "edited", "added")


@dataclass(frozen=True, eq=False)
class Reviewed:
    """What a person gives back of a region.

    Attributes
    ----------
    box : Box
        In result px.
    labels : array of int32, (Y, X) of the box
        The person's nuclei.
    reviewed : array of bool, (Y, X) of the box
        Pixels that are as they shall be.
    states : mapping of int to str
        By id; one of `nuclei.STATES`.
    """

    box: Box
    labels: NDArray[np.int32]
    reviewed: NDArray[np.bool_]
    states: Mapping[int, str]

    def check(self, shape: tuple[int, int]) -> None:
        """Raise `ShapeError` or `SlideRunError` where it doesn't fit a plane."""
        inside = Box(0, 0, *shape)
        if not self.box.area or self.box.grown(0, shape) != self.box:
            raise ShapeError(f"a region of {tuple(self.box)} doesn't lie in the result plane {tuple(inside)}")
        if not self.labels.shape == self.reviewed.shape == self.box.shape:
            raise ShapeError(
                f"a region of {self.box.shape} needs labels and reviewed pixels of that shape; got "
                f"{self.labels.shape} and {self.reviewed.shape}"
            )
        if wrong := sorted({state for state in self.states.values() if state not in STATES}):
            raise SlideRunError(f"nuclei of a slide are {', '.join(STATES)}; got {', '.join(map(repr, wrong))}")


class Reviewer:
    """Makes regions of what a person gives back.

    Parameters
    ----------
    about : RunAbout
    grid : BlockGrid
    regions : Regions
    read_labels, read_probability : callable
        Box to what the slide shows now, (Y, X).
    rows_in : callable
        Box to the rows of the nuclei in it.
    """

    def __init__(
        self, about: RunAbout, grid: BlockGrid, regions: Regions, read_labels: Callable[[Box], NDArray[Any]],
        read_probability: Callable[[Box], NDArray[Any]], rows_in: Callable[[Box], NucleusRows],
    ) -> None:  # fmt: skip
        self._about, self._grid, self._regions = about, grid, regions
        self._read_labels, self._read_probability, self._rows_in = read_labels, read_probability, rows_in

    def region(self, told: Reviewed) -> Region:
        """A region as it is to be written."""
        told.check(self._grid.shape)
        runs = find_runs(told.labels)
        same = self._regions.of_box(told.box)
        kept = self._kept_ids(runs, told, same)
        seen = _sums(runs, told.reviewed) > 0
        mine = {
            kept[one]: told.states.get(one, "added" if kept[one] > self._last_slot else "unchecked")
            for one, looked in zip(runs.ids.tolist(), seen.tolist(), strict=True)
            if looked or told.states.get(one) in _ANSWERS
        }
        gone = sorted(kept[one] for one, state in told.states.items() if state == "rejected" and one in kept)
        rejected = np.array([one for one in gone if one not in mine], np.int32)
        ids = np.array(sorted(mine), np.int32)
        area, before, names = self._area(told.box, np.concatenate([ids, rejected]))
        numbers = self._drawn(told, runs, kept, ids, area, regrouped(before, names, ids))
        rows = self._rows(numbers, ids, mine, area)
        every = np.concatenate([rows.ids, rejected])
        region = Region(
            self._regions.next_number, told.box, PlacedRuns.of(told.reviewed.astype(np.uint8), told.box[:2]), rows,
            PlacedRuns.of(numbers, (area.top, area.left)), rejected, self._taken(every, area, before, names),
            {one: kept[one] for one in sorted(kept)}, told.box,
        )  # fmt: skip
        touched = region.extent.union(told.box)
        for other in self._regions.meeting(touched):
            touched = touched.union(other.extent)
        return replace(region, touched=touched if same is None else touched.union(same.extent))

    @property
    def _last_slot(self) -> int:
        """Ids above this are those of nuclei that a person added."""
        return self._grid.blocks * self._grid.capacity

    def _kept_ids(self, runs: Runs, told: Reviewed, same: Region | None) -> dict[int, int]:
        """Ids on the slide: those that it knows stay, those given in this region before stay, others are new."""
        held = self._regions.held
        there = find_runs(np.asarray(self._read_labels(told.box))).ids
        known, before = {*held.tolist(), *there.tolist()}, {} if same is None else same.given
        new = max([self._last_slot, *held[held > self._last_slot].tolist()]) + 1
        kept = {one: before[one] for one in {*runs.ids.tolist(), *told.states} if one in before}
        used = set(kept.values())
        for one in sorted({*runs.ids.tolist(), *told.states} - set(kept)):
            if one in known and one not in used:
                kept[one] = one
            elif one in runs.ids:
                kept[one], new = new, new + 1
            used.add(kept.get(one, 0))
        if new > LARGEST_ID:
            raise SlideRunError("no ids are left for nuclei added by hand; run with larger blocks")
        return kept

    def _area(self, box: Box, ids: NDArray[np.int32]) -> tuple[Box, PlacedRuns, NDArray[np.int32]]:
        """A box around the region and all that the slide shows of some nuclei; their pixels, and their ids by place."""
        margin = max(1, self._grid.margin)
        while True:
            runs = find_runs(np.asarray(self._read_labels(box), np.int32))
            wanted = np.isin(runs.ids, ids)[runs.index]
            row, start, stop = (part[wanted] for part in (runs.row, runs.start, runs.stop))
            height, width = box.shape
            reached = [bool(one.any()) for one in (row == 0, start == 0, row == height - 1, stop == width)]
            grown = Box(
                max(0, box.top - margin * reached[0]), max(0, box.left - margin * reached[1]),
                min(self._grid.shape[0], box.bottom + margin * reached[2]),
                min(self._grid.shape[1], box.right + margin * reached[3]),
            )  # fmt: skip
            if grown == box:
                shown = PlacedRuns.placed(runs, box[:2]).only(np.isin(runs.ids, ids))
                return box, shown, runs.ids.astype(np.int32)
            box = grown

    def _drawn(
        self, told: Reviewed, runs: Runs, kept: dict[int, int], ids: NDArray[np.int32], area: Box, before: PlacedRuns
    ) -> NDArray[np.int32]:
        """The person's nuclei, (Y, X) of the area, as places in `ids` from 1: theirs in the box, as before beyond."""
        places = np.arange(1, len(ids) + 1, dtype=np.int32)
        numbers = np.zeros(area.shape, np.int32)
        before.draw(numbers, area, places)
        inside = np.zeros(told.box.shape, np.int32)
        new = np.array([kept[one] for one in runs.ids.tolist()], np.int32)
        regrouped(PlacedRuns.placed(runs, told.box[:2]), new, ids).draw(inside, told.box, places)
        numbers[within(area, told.box)] = inside
        return numbers

    def _rows(
        self, numbers: NDArray[np.int32], ids: NDArray[np.int32], states: dict[int, str], area: Box
    ) -> NucleusRows:
        """Their rows; doubt is that of the machine's version."""
        rows = rows_of(numbers, (area.top, area.left), self._about)
        if not len(rows):
            return rows
        known = self._rows_in(area)
        doubts = dict(zip(known.ids.tolist(), known.columns["doubt"].tolist(), strict=True))
        runs = find_runs(numbers)
        sums = _sums(runs, np.asarray(self._read_probability(area)))
        areas = runs.per_nucleus(runs.stop - runs.start)
        return rows.with_columns(
            id=ids, probability=sums / areas / 255, doubt=np.array([doubts.get(one, 0.0) for one in ids.tolist()]),
            state=np.array([STATES.index(states[one]) for one in ids.tolist()]),
        )  # fmt: skip

    def _taken(self, ids: NDArray[np.int32], area: Box, before: PlacedRuns, names: NDArray[np.int32]) -> PlacedRuns:
        """Pixels of the machine's version: what an older region remembers, otherwise what the slide shows."""
        held = [region for region in self._regions.meeting(area) if np.isin(ids, region.ids).any()]
        older = np.concatenate([np.zeros(0, np.int32), *(region.ids for region in held)])
        shown = before.only(~np.isin(names, older))
        parts = [regrouped(shown, names, ids), *(regrouped(region.taken, region.ids, ids) for region in held)]
        return _joined(parts)


def amended(older: Region, newer: Region, about: RunAbout) -> Region:
    """What is left of a region when a newer one has what it decides on."""
    box = older.extent
    taken, reviewed = np.zeros(box.shape, bool), np.zeros(box.shape, bool)
    newer.reviewed.draw(reviewed, box, 1)
    newer.runs.draw(taken, box, 1)
    own = BlockNuclei(older.runs, older.rows.with_columns(cut=np.zeros(len(older.rows))))
    left = painted(own, 0, box, (), Claims(taken | reviewed, reviewed), older.rows.ids, 1, about)
    rows = left.rows.taken(np.flatnonzero(~np.isin(left.rows.ids, newer.ids)))
    rejected = older.rejected[~np.isin(older.rejected, newer.ids)]
    plane = np.zeros(box.shape, np.uint8)
    older.reviewed.draw(plane, box, 1)
    plane[reviewed] = 0
    return replace(
        older, reviewed=PlacedRuns.of(plane, (box.top, box.left)), rows=rows, rejected=rejected,
        runs=regrouped(left.runs, left.rows.ids, rows.ids),
        taken=regrouped(older.taken, older.ids, np.concatenate([rows.ids, rejected])),
    )  # fmt: skip


def regrouped(runs: PlacedRuns, names: NDArray[np.int32], ids: NDArray[np.int32]) -> PlacedRuns:
    """The runs of some nuclei by other places.

    Parameters
    ----------
    runs : PlacedRuns
    names : array of int32, (n,)
        Ids by the places that the runs have.
    ids : array of int32, (m,)
        Ids by the places that they shall have; runs of others are left out.
    """
    place = {one: at for at, one in enumerate(ids.tolist())}
    index = np.array([place.get(one, -1) for one in names.tolist()], np.int32)[runs.index]
    order = np.argsort(index, kind="stable")
    order = order[index[order] >= 0]
    return PlacedRuns(index[order], runs.row[order], runs.start[order], runs.stop[order])


def _joined(parts: list[PlacedRuns]) -> PlacedRuns:
    joined = [np.concatenate([getattr(part, name) for part in parts]) for name in ("index", "row", "start", "stop")]
    order = np.argsort(joined[0], kind="stable")
    return PlacedRuns(*(part[order] for part in joined))


def _sums(runs: Runs, plane: NDArray[Any]) -> NDArray[np.int64]:
    """Sum of a map, (Y, X), over each nucleus; (n,)."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(plane.ravel(), dtype=np.int64)])
    first = runs.row * runs.shape[1] + runs.start
    return runs.per_nucleus(total[first + runs.stop - runs.start] - total[first]).astype(np.int64)
