"""The results of a run over a slide, on disk, as they grow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import RLock
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.lock import Lock
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_file import DamagedBlockError
from napari_unetsharp.slides.nuclei import NucleusRows
from napari_unetsharp.slides.pyramid import Pyramid
from napari_unetsharp.slides.regions import Regions
from napari_unetsharp.slides.results import RunResults
from napari_unetsharp.slides.reviewing import Reviewed, Reviewer
from napari_unetsharp.slides.run_files import COUNTS, DONE, RUN, RUNNING, RunFiles, locked
from napari_unetsharp.slides.table import write_parts

TABLE = "nuclei.parquet"


class SlideStore(RunResults):
    """The folder of a run: maps by block, label and probability pyramids, the table of nuclei, reviewed regions.

    Any process may put maps; one at a time, which holds the lock, paints. What is painted depends on the maps, the
    label settings and the reviewed regions, never on the order of work. Safe to use from several threads. Attributes
    are those of `RunResults`.
    """

    def __init__(self, folder: Path, about: RunAbout, lock: Lock | None) -> None:
        super().__init__(folder, about, lock)
        self._ending = RLock()
        if lock is not None:
            for region in self._regions.pending:
                self._composer.settle(region)

    @classmethod
    def create(cls, folder: Path, about: RunAbout, settings: LabelSettings) -> SlideStore:
        """Start a run in a folder that holds none.

        Raises
        ------
        SlideRunError
            If it holds one, somebody else writes there, or the disk doesn't take it.
        """
        folder = Path(folder)
        lock = locked(folder)
        try:
            files = RunFiles(folder)
            if (folder / RUN).is_file():
                raise SlideRunError(f"{folder} holds a run already; open it, or give another folder")
            files.write_settings(settings)
            files.write_about(about)
            return cls(folder, about, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: Path, writing: bool = False) -> SlideStore:
        """Open a run that is there.

        Parameters
        ----------
        folder : Path
        writing : bool
            Take the lock, to paint; without it a store reads, and puts maps.

        Raises
        ------
        SlideRunError
            If there is none, it is damaged, or somebody else writes there.
        """
        folder = Path(folder)
        about, _ = RunFiles(folder).read_about()
        lock = locked(folder) if writing else None
        try:
            return cls(folder, about, lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @classmethod
    def open_or_create(cls, folder: Path, about: RunAbout, settings: LabelSettings) -> SlideStore:
        """Go on with the same run, or start it; other label settings are put in force.

        So is another pixel size: nuclei are measured anew from the maps that are there, by painting all blocks again.

        Raises
        ------
        SlideRunError
            If the folder holds another run: the sentence names what differs.
        """
        folder = Path(folder)
        if not (folder / RUN).is_file():
            return cls.create(folder, about, settings)
        known, _ = RunFiles(folder).read_about()
        if known.fingerprint != about.fingerprint:
            raise SlideRunError(
                f"{folder} holds a run with other conditions ({', '.join(known.differs(about))}); "
                "give another folder, or run as before"
            )
        if about.um_per_pixel and about.um_per_pixel != known.um_per_pixel:
            _measure_anew(folder, about.um_per_pixel)
        store = cls.open(folder, writing=True)
        if store.settings != settings:
            store.relabel(settings)
        return store

    def paint(self, row: int, column: int) -> int:
        """Label a block from its maps and show it: in both pyramids, in its neighbours and in the table.

        Again does no harm. Returns the block's nuclei.

        Raises
        ------
        SlideRunError
            If the store was opened for reading, or the disk doesn't take it.
        DamagedBlockError
            If the maps are missing or damaged.
        """
        with self._guard:
            self._may_write()
            maps = self.maps_of(row, column)
            own, window = self.grid.own(row, column), self.grid.window(row, column)
            inner = np.s_[
                own.top - window.top : own.bottom - window.top, own.left - window.left : own.right - window.left
            ]
            self.probability.write(own, maps[self.about.maps[0]][inner])
            return self._composer.paint(row, column, maps)

    def relabel(self, settings: LabelSettings) -> None:
        """Put other label settings in force: no block counts as painted until it is painted again.

        What the labels show stays until then; what a person reviewed stays for good.
        """
        with self._guard:
            self._may_write()
            self._composer.relabel(settings)
            self._files.write_about(self.about, RUNNING)

    def finish(self, table: bool = True, stop: Callable[[], bool] = lambda: False) -> None:
        """Paint what was computed and isn't painted yet, write the table into one file, and note whether all is done.

        Other threads may read, and give regions back, between two blocks and while the table is written.

        Parameters
        ----------
        table : bool
            Without it the file of the whole table, which is read from all blocks, is left out (and removed where it
            is there): `nuclei` and the blocks' own parts don't need it.
        stop : callable
            Asked before each block that is still to be painted; True leaves the rest for another time.
        """
        with self._ending:
            self._finish(table, stop)

    def _finish(self, table: bool, stop: Callable[[], bool]) -> None:
        self._may_write()
        for row, column in np.argwhere(self.computed & ~self.painted).tolist():
            if stop():
                return
            with contextlib.suppress(DamagedBlockError):  # it counts as not computed from then on
                self.paint(row, column)
        if table:  # not under the guard: `rows` takes it part by part, so that other threads get their turn
            write_parts(self.folder / TABLE, self.rows(), self.about)
        with self._guard:
            self._may_write()
            if not table:
                (self.folder / TABLE).unlink(missing_ok=True)
            self._files.sweep()
            done = not (self._wanted & ~self.painted).any()
            self._files.write_about(self.about, DONE if done else RUNNING)

    def write_region(
        self, box: Box, labels: NDArray[np.int32], reviewed: NDArray[np.bool_], states: Mapping[int, str]
    ) -> dict[int, int]:
        """Keep what a person did in a region: no run, resuming or relabelling overwrites it.

        Reviewed pixels stay just as they are given. A nucleus with a reviewed pixel, or with an answer in `states`, is
        kept whole, also where it goes on beyond the box. Nuclei that the run found with their middle in the reviewed
        pixels, or with more than half under what is kept, go. The same box again replaces what was given for it
        before; of other regions the newest wins where they share pixels.

        Parameters
        ----------
        box : Box
            In result px.
        labels : array of int32, (Y, X) of the box
            Ids as from `read_labels`, others for new nuclei.
        reviewed : array of bool, (Y, X) of the box
        states : mapping of int to str
            By those ids: "unchecked", "accepted", "edited", "added" or "rejected" (which has no pixels). New nuclei
            are "added" and others "unchecked" where nothing is said.

        Returns
        -------
        dict of int to int
            The id that each has on the slide by the one that was given.
        """
        with self._guard:
            self._may_write()
            region = self._reviewer.region(Reviewed(box, labels, reviewed, states))
            self._regions.write(region)
            self._composer.settle(region)
            return region.given

    @property
    def _reviewer(self) -> Reviewer:
        def rows_in(box: Box) -> NucleusRows:
            return NucleusRows.together(list(self._composer.tables(box)))

        return Reviewer(self.about, self.grid, self._regions, self.labels.read, self.probability.read, rows_in)

    def _may_write(self) -> None:
        if self._lock is None:
            raise SlideRunError(f"{self.folder} was opened for reading, or is closed; open it for writing to paint")

    def close(self) -> None:
        """Give the lock back, once `finish` is through where it is at work."""
        with self._ending, self._guard:
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> SlideStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _measure_anew(folder: Path, um_per_pixel: tuple[float, float]) -> None:
    """Put another pixel size in force in a folder that nobody has open for writing.

    It is noted last: killed on the way, the same call does all of it again.
    """
    lock, files = locked(folder), RunFiles(folder)
    try:
        about = replace(files.read_about()[0], um_per_pixel=um_per_pixel)
        (folder / COUNTS).unlink(missing_ok=True)
        Regions(files.regions).measure_anew(about)
        for name, labels in (("labels", True), ("probability", False)):
            path = folder / f"{name}.zarr"
            if path.exists():
                Pyramid.open(path, about.shape, labels, writing=True).describe(about.um_per_result_pixel)
        files.write_about(about, RUNNING)
    finally:
        lock.release()
