"""Regions of a slide that a person reviewed: what they say goes before anything that a run finds."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.nuclei.pixels import Box, union
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_file import DamagedBlockError, read_arrays, write_arrays
from napari_unetsharp.slides.block_nuclei import PlacedRuns
from napari_unetsharp.slides.nuclei import COLUMNS, NucleusRows, rows_of
from napari_unetsharp.slides.painting import Claims

_SETTLED, _PENDING = "npz", "pending.npz"
_Written = tuple[str, int, int, int]
_KEPT = 8
"""Regions that stay in memory."""

_RUNS = ("index", "row", "start", "stop")


@dataclass(frozen=True, eq=False)
class Region:
    """A reviewed region. Those of a slide share no reviewed pixel and no id.

    Attributes
    ----------
    number : int
        Ascending in the order of writing.
    box : Box
        What the person worked on, in result px.
    reviewed : PlacedRuns
        Pixels that are as the person left them.
    rows : NucleusRows
        The person's nuclei.
    runs : PlacedRuns
        Their pixels, also beyond the box.
    rejected : array of int32, (m,)
        Ids of nuclei that the person took away.
    taken : PlacedRuns
        Pixels that the machine's version had, of `rows` and then of `rejected`.
    given : dict of int to int
        The id that a nucleus has here by the id that the person's tool gave it.
    touched : Box
        What must be painted again when the region is written.
    """

    number: int
    box: Box
    reviewed: PlacedRuns
    rows: NucleusRows
    runs: PlacedRuns
    rejected: NDArray[np.int32]
    taken: PlacedRuns
    given: dict[int, int]
    touched: Box

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """Of all nuclei that it decides on, in the order of `taken`."""
        return np.concatenate([self.rows.ids, self.rejected])

    @cached_property
    def extent(self) -> Box:
        """Around all pixels that it decides on."""
        return union([self.reviewed.box, self.runs.box, self.taken.box])

    @property
    def empty(self) -> bool:
        return not (len(self.reviewed.row) or len(self.ids))


@dataclass(frozen=True, eq=False)
class _Known:
    """What is remembered of every region."""

    box: Box
    extent: Box
    ids: NDArray[np.int32]
    shown: int


class Regions:
    """The regions of a run's folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._guard = folder, RLock()
        self._known = dict[int, tuple[_Written, _Known]]()
        self._read: OrderedDict[int, tuple[_Written, Region]] = OrderedDict()

    def _all(self) -> dict[int, _Known]:
        """What is known of each, by number; another process may have written some."""
        with self._guard:
            there = self._files()
            for number in self._known.keys() - there.keys():
                del self._known[number]
            for number, written in there.items():
                if number not in self._known or self._known[number][0] != written:
                    self._known[number] = (written, _of(self.get(number)))
            return {number: self._known[number][1] for number in sorted(there)}

    def _files(self) -> dict[int, _Written]:
        """Which file is there by number, and which state of it."""
        if not self.folder.is_dir():
            return {}
        with os.scandir(self.folder) as entries:
            found = {}
            for entry in entries:
                stem, _, ending = entry.name.partition(".")
                if stem.isdecimal() and ending in {_SETTLED, _PENDING}:
                    told = entry.stat()
                    found[int(stem)] = (entry.name, told.st_mtime_ns, told.st_ino, told.st_size)
        return found

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.{_SETTLED}"

    def _pending_path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.{_PENDING}"

    def get(self, number: int) -> Region:
        """One region by its number."""
        with self._guard:
            written = self._files()[number]
            if number not in self._read or self._read[number][0] != written:
                self._read[number] = (written, self._load(number))
                while len(self._read) > _KEPT:
                    self._read.popitem(last=False)
            self._read.move_to_end(number)
            return self._read[number][1]

    def _load(self, number: int) -> Region:
        pending = self._pending_path(number)
        path = pending if pending.is_file() else self.path(number)
        try:
            return _from_arrays(number, read_arrays(path))
        except (DamagedBlockError, KeyError, ValueError) as error:
            raise SlideRunError(
                f"a reviewed region can't be read ({error}); put {path} back from a copy, or delete it to go on "
                "without what was reviewed there"
            ) from error

    def meeting(self, box: Box) -> list[Region]:
        """Regions that decide on a pixel of a box."""
        return [self.get(number) for number, known in self._all().items() if known.extent.meets(box)]

    def of_box(self, box: Box) -> Region | None:
        """The region of just this box."""
        numbers = [number for number, known in self._all().items() if known.box == box]
        return self.get(numbers[-1]) if numbers else None

    @property
    def pending(self) -> list[Region]:
        """Those that were written but not yet painted, as the process was killed."""
        return [self.get(number) for number in self._all() if self._pending_path(number).is_file()]

    @property
    def next_number(self) -> int:
        return max(self._all(), default=0) + 1

    @property
    def held(self) -> NDArray[np.int32]:
        """Ids of all nuclei that regions decide on, ascending."""
        every = [known.ids for known in self._all().values()]
        return np.sort(np.concatenate([np.zeros(0, np.int32), *every]))

    @property
    def count(self) -> int:
        """A person's nuclei."""
        return sum(known.shown for known in self._all().values())

    def rows(self, first: int, last: int) -> NucleusRows:
        """Rows of a person's nuclei whose ids lie in ``first <= id <= last``, ascending."""
        found = []
        for number, known in self._all().items():
            if ((known.ids >= first) & (known.ids <= last)).any():
                rows = self.get(number).rows
                found.append(rows.taken(np.flatnonzero((rows.ids >= first) & (rows.ids <= last))))
        return NucleusRows.together(found).by_id()

    def claims(self, box: Box) -> Claims | None:
        """What is reviewed in a box; None where nothing is."""
        near = self.meeting(box)
        if not near:
            return None
        taken, reviewed = np.zeros(box.shape, bool), np.zeros(box.shape, bool)
        for region in near:
            region.reviewed.draw(reviewed, box, 1)
            region.runs.draw(taken, box, 1)
            region.taken.draw(taken, box, 1)
        return Claims(taken | reviewed, reviewed)

    def draw(self, labels: NDArray[np.int32], box: Box) -> None:
        """Write the ids of a person's nuclei into the labels of a box."""
        for region in self.meeting(box):
            region.runs.draw(labels, box, region.rows.ids)

    def write(self, region: Region) -> None:
        """Write a region that is still to be painted."""
        write_arrays(self._pending_path(region.number), _as_arrays(region))

    def replace(self, region: Region) -> None:
        """Write what is left of a region that is there; nothing left: none."""
        pending = self._pending_path(region.number)
        path = pending if pending.is_file() else self.path(region.number)
        if region.empty:
            path.unlink()
        else:
            write_arrays(path, _as_arrays(region))

    def measure_anew(self, about: RunAbout) -> None:
        """Measure a person's nuclei by another pixel size."""
        for number in self._all():
            region = self.get(number)
            if len(region.rows):
                self.replace(replace(region, rows=_measured(region, about)))

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget regions."""
        for number in numbers:
            self._pending_path(number).unlink(missing_ok=True)
            self.path(number).unlink(missing_ok=True)

    def settled(self, region: Region) -> None:
        """Note that a region is painted."""
        os.replace(self._pending_path(region.number), self.path(region.number))


def _measured(region: Region, about: RunAbout) -> NucleusRows:
    box = region.runs.box
    numbers = np.zeros(box.shape, np.int32)
    region.runs.draw(numbers, box, np.arange(1, len(region.rows) + 1, dtype=np.int32))
    found = rows_of(numbers, (box.top, box.left), about).columns
    return region.rows.with_columns(**{name: found[name] for name in COLUMNS if "_um" in name})


def _of(region: Region) -> _Known:
    return _Known(region.box, region.extent, region.ids, len(region.rows))


def _as_arrays(region: Region) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"box": np.array(region.box), "touched": np.array(region.touched)}
    for name in ("reviewed", "runs", "taken"):
        arrays |= {f"{name}_{part}": getattr(getattr(region, name), part) for part in _RUNS}
    arrays["given"] = np.array(list(region.given.items()), np.int64).reshape(-1, 2)
    arrays |= {"rejected": region.rejected, "points": region.rows.points, "ends": region.rows.ends}
    return arrays | {f"row_{name}": column for name, column in region.rows.columns.items()}


def _from_arrays(number: int, told: dict[str, NDArray[Any]]) -> Region:
    reviewed, runs, taken = (
        PlacedRuns(*(told[f"{name}_{part}"] for part in _RUNS)) for name in ("reviewed", "runs", "taken")
    )
    rows = NucleusRows({name: told[f"row_{name}"] for name in COLUMNS}, told["points"], told["ends"])
    box, touched = (Box(*told[name].tolist()) for name in ("box", "touched"))
    given = {int(one): int(kept) for one, kept in told["given"].tolist()}
    return Region(number, box, reviewed, rows, runs, told["rejected"], taken, given, touched)
