"""Paints blocks into the labels and the table, and what changes of their neighbours by it."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.nuclei.label_pieces import shared, within
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box, union
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_file import DamagedBlockError
from napari_unetsharp.slides.block_nuclei import BlockNuclei, find_nuclei
from napari_unetsharp.slides.block_nuclei_file import read_nuclei, write_nuclei
from napari_unetsharp.slides.grid import BlockGrid
from napari_unetsharp.slides.nuclei import NucleusRows
from napari_unetsharp.slides.painting import Painted, overlap, painted
from napari_unetsharp.slides.pyramid import Pyramid, tiles_over
from napari_unetsharp.slides.regions import Region, Regions
from napari_unetsharp.slides.reviewing import amended
from napari_unetsharp.slides.run_files import COUNTS, RunFiles
from napari_unetsharp.slides.table import read_rows, write_rows

_KEPT = 40
"""Blocks whose nuclei stay in memory: a block and its neighbours' neighbours."""

Place = tuple[int, int]

Done = TypeVar("Done")

_NONE = np.zeros(0, np.int32)


class Composer:
    """What is on the slide: a function of the blocks that are painted, their maps and the label settings.

    Parameters
    ----------
    about : RunAbout
    grid : BlockGrid
    files : RunFiles
    labels : Pyramid
    settings : LabelSettings
    regions : Regions
        What a person reviewed.
    maps_of : callable
        Row and column of a block to its maps.
    """

    def __init__(
        self, about: RunAbout, grid: BlockGrid, files: RunFiles, labels: Pyramid, settings: LabelSettings,
        regions: Regions, maps_of: Callable[[int, int], dict[str, NDArray[np.uint8]]],
    ) -> None:  # fmt: skip
        self.settings = settings
        self._about, self._grid, self._files, self._labels, self._maps_of = about, grid, files, labels, maps_of
        self._regions = regions
        self._found: OrderedDict[Place, BlockNuclei] = OrderedDict()
        self._lost: list[Place] = []
        self._read_at, self._known = (-1, -1), self._unpainted()

    @property
    def _counts(self) -> NDArray[np.int32]:
        """Nuclei of each block, -1 where it isn't painted, (rows, columns); another process may have painted."""
        now = self._files.changed(COUNTS)
        if now != self._read_at:
            self._read_at, self._known = now, self._files.read_grid(COUNTS, self._grid, self._unpainted())
        return self._known

    def _unpainted(self) -> NDArray[np.int32]:
        return np.full((self._grid.rows, self._grid.columns), -1, np.int32)

    @property
    def painted(self) -> NDArray[np.bool_]:
        """See `SlideStore.painted`."""
        return np.asarray(self._counts >= 0)

    @property
    def count(self) -> int:
        """See `SlideStore.count`."""
        return int(np.maximum(self._counts, 0).sum(dtype=np.int64)) + self._regions.count

    def relabel(self, settings: LabelSettings) -> None:
        """See `SlideStore.relabel`."""
        self._files.write_grid(COUNTS, self._unpainted())
        self._files.write_settings(settings)
        self.settings = settings
        self._found.clear()

    def paint(self, row: int, column: int, maps: dict[str, NDArray[np.uint8]]) -> int:
        """See `SlideStore.paint`."""
        return self._without_lost(partial(self._paint, row, column, maps))

    def settle(self, region: Region) -> None:
        """Show a region that was written: older ones lose what it decides on, the machine's nuclei too."""
        self._without_lost(partial(self._settle, region))

    def _without_lost(self, work: Callable[[], Done]) -> Done:
        """Do something again when files of painted blocks turn out to be damaged: those blocks are to be done again."""
        while True:
            try:
                return work()
            except DamagedBlockError:
                if not self._lost:
                    raise
                counts = self._counts.copy()
                for place in self._lost:
                    counts[place] = -1
                self._files.write_grid(COUNTS, counts)
                self._lost.clear()

    def _paint(self, row: int, column: int, maps: dict[str, NDArray[np.uint8]]) -> int:
        place, counts = (row, column), self._counts.copy()
        before = [self._nuclei(place)] if counts[place] >= 0 else []
        own = self._label(place, maps)
        changed = self._changed(place, [own, *before], counts)
        counts[place] = 0
        self._show(union([self._grid.window(row, column), *changed.values()]), [place, *changed], counts)
        return int(counts[place])

    def _settle(self, region: Region) -> None:
        gone, forgotten = [], [region.ids]
        for older in self._regions.meeting(region.touched):
            if older.number == region.number:
                continue
            forgotten.append(older.ids)
            if older.box == region.box:
                gone.append(older.number)
            elif older.extent.meets(region.extent):
                self._regions.replace(amended(older, region, self._about))
        self._regions.drop(gone)
        counts, places, box = self._counts.copy(), [], region.touched
        for place in self._grid.meeting(region.touched.grown(self._grid.margin, self._grid.shape)):
            if counts[place] >= 0:
                nuclei = self._nuclei(place)
                near = np.zeros(len(nuclei), bool)
                near[nuclei.runs.within(region.touched).index] = True
                box = box.union(nuclei.runs.only(near).box)
                places.append(place)
        self._show(box, places, counts, np.concatenate(forgotten))
        self._regions.settled(region)

    def _show(
        self, box: Box, places: Sequence[Place], counts: NDArray[np.int32], forgotten: NDArray[np.int32] = _NONE
    ) -> None:
        """Work out some blocks anew and show them: in the labels (whatever changes lies in the box) and the table.

        What has a forgotten id goes.
        """
        now = {each: self._painted(each, counts >= 0) for each in places}
        self._draw(box, now, counts >= 0, forgotten)
        for each, shown in now.items():
            write_rows(self._files.part(*each), shown.rows.by_id(), self._about)
            counts[each] = len(shown.rows)
        self._files.write_grid(COUNTS, counts)

    def _changed(self, place: Place, own: list[BlockNuclei], counts: NDArray[np.int32]) -> dict[Place, Box]:
        """Painted neighbours that lose or win pixels by a block's nuclei, and a box around those."""
        found = {}
        number, window = self._grid.number(*place), self._grid.window(*place)
        for other in self._grid.neighbours(*place):
            if counts[other] < 0:
                continue
            nuclei, both = self._nuclei(other), shared(window, self._grid.window(*other))
            touched = np.zeros(len(nuclei), bool)
            for each in own:
                touched |= overlap(nuclei, each, both)
            if self._grid.number(*other) < number:
                touched &= nuclei.cut
            if touched.any():
                found[other] = nuclei.runs.only(touched).box
        return found

    def _painted(self, place: Place, there: NDArray[np.bool_]) -> Painted:
        """A block's nuclei as they are when some blocks are there, (rows, columns)."""
        own, number = self._nuclei(place), self._grid.number(*place)
        around = [
            (self._grid.number(*other), self._nuclei(other)) for other in self._grid.neighbours(*place) if there[other]
        ]  # fmt: skip
        ids = self._ids(number, len(own))
        window = self._grid.window(*place)
        claims = self._regions.claims(window)
        return painted(own, number, window, around, claims, ids, self.settings.smallest, self._about)

    def _ids(self, number: int, count: int) -> NDArray[np.int32]:
        """Ids of a block's nuclei by their places; one that a person's nucleus has gives way to one from the end."""
        capacity, held = self._grid.capacity, self._regions.held
        first, last = number * capacity + 1, (number + 1) * capacity
        taken = set(held[(held >= first) & (held <= last)].tolist())
        if count + len(taken) > capacity:
            raise SlideRunError(
                f"a block holds {count + len(taken)} nuclei where {capacity} can be numbered; raise the smallest size "
                "or run with larger blocks"
            )
        ids = np.arange(first, first + count)
        for place in np.flatnonzero(np.isin(ids, held)).tolist():
            free = last - place
            while free in taken or free < first + count:
                free = free - 1 if free >= first + count else last
            taken.add(free)
            ids[place] = free
        return ids.astype(np.int32)

    def _draw(
        self, box: Box, shown: dict[Place, Painted], there: NDArray[np.bool_], forgotten: NDArray[np.int32]
    ) -> None:
        """Replace the pixels of some blocks' nuclei in a box of the labels.

        What other blocks have stays; what is left of blocks that aren't painted (by former settings) stays where the
        block of the pixel isn't painted either.
        """
        blocks, capacity = self._grid.blocks, self._grid.capacity
        keep, stale = np.zeros(blocks + 2, bool), np.zeros(blocks + 2, bool)
        keep[:blocks], stale[:blocks] = there.ravel(), ~there.ravel()
        keep[[self._grid.number(*place) for place in shown]] = False
        forgotten = np.unique(forgotten)
        forgotten = forgotten[(keep | stale)[(forgotten - 1) // capacity]]

        def redrawn(tile: Box, labels: NDArray[np.int32]) -> NDArray[np.int32]:
            slot = np.maximum(labels - 1, 0) // capacity
            kept, left = keep[slot], stale[slot] & (labels > 0)
            if left.any():
                kept |= left & ~self._over(tile, there)
            if len(forgotten):
                kept &= forgotten[np.minimum(np.searchsorted(forgotten, labels), len(forgotten) - 1)] != labels
            if claims := self._regions.claims(tile):
                kept &= ~claims.taken
            labels = np.where(kept, labels, 0)
            for place, each in shown.items():
                if self._grid.window(*place).meets(tile):
                    each.draw(labels, tile)
            self._regions.draw(labels, tile)
            return labels

        for tile in tiles_over(box):
            self._labels.change(tile, partial(redrawn, tile))

    def _over(self, box: Box, blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pixels of a box are some blocks' own, (Y, X)."""
        found = np.zeros(box.shape, bool)
        for place in self._grid.meeting(box):
            if blocks[place]:
                found[within(box, shared(box, self._grid.own(*place)))] = True
        return found

    def _nuclei(self, place: Place) -> BlockNuclei:
        """What a block finds in its window: from memory, from its file, or anew where that is damaged."""
        if place in self._found:
            self._found.move_to_end(place)
            return self._found[place]
        with contextlib.suppress(DamagedBlockError):
            return self._remember(place, read_nuclei(self._files.found(*place), self.settings))
        try:
            maps = self._maps_of(*place)
        except DamagedBlockError:
            self._lost.append(place)
            raise
        return self._label(place, maps)

    def _label(self, place: Place, maps: dict[str, NDArray[np.uint8]]) -> BlockNuclei:
        nuclei = find_nuclei(maps, self._about, self._grid, *place, self.settings)
        write_nuclei(self._files.found(*place), nuclei, self.settings)
        return self._remember(place, nuclei)

    def _remember(self, place: Place, nuclei: BlockNuclei) -> BlockNuclei:
        self._found[place] = nuclei
        self._found.move_to_end(place)
        while len(self._found) > _KEPT:
            self._found.popitem(last=False)
        return nuclei

    def tables(self, box: Box | None) -> Iterator[NucleusRows]:
        """Rows of the slide's nuclei by ascending id, block by block; see `SlideStore.nuclei`."""
        there, capacity, wide = self.painted, self._grid.capacity, self._about.downsample
        near = self._grid if box is None else self._grid.meeting(box.grown(self._grid.margin, self._grid.shape))
        machine = {self._grid.number(*place) for place in near if there[place]}
        held = [self._regions.held] if box is None else [region.rows.ids for region in self._regions.meeting(box)]
        person = {number for ids in held for number in ((ids - 1) // capacity).tolist()}
        for number in sorted(machine | person):
            rows = self._rows(self._grid.place(number)) if number in machine else NucleusRows.none()
            if number in person:
                added = self._regions.rows(number * capacity + 1, (number + 1) * capacity)
                rows = NucleusRows.together([rows, added]).by_id()
            yield rows if box is None else rows.taken(rows.meeting(Box(*(side * wide for side in box))))

    def _rows(self, place: Place) -> NucleusRows:
        try:
            return read_rows(self._files.part(*place))
        except DamagedBlockError:
            return self._painted(place, self.painted).rows.by_id()
