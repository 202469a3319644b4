"""A run over a slide: block after block, what is in view first, with all that is finished on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError, SlideRunError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tissue import Tissue, TissueLook
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.about import run_folder
from napari_unetsharp.slides.block import block_maps
from napari_unetsharp.slides.block_file import DamagedBlockError
from napari_unetsharp.slides.memory import give_back
from napari_unetsharp.slides.order import next_block
from napari_unetsharp.slides.pace import BlockDone, Pace
from napari_unetsharp.slides.preparing import Prepared, RunSettings, find_tissue, prepare, runs_in
from napari_unetsharp.slides.store import SlideStore

__all__ = ["BlockDone", "RunSettings", "SlideRun", "find_tissue", "run_folder"]

_TOLD = 20
"""Damaged blocks that are told one by one."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


def nowhere() -> Box | None:
    """Nothing is on screen."""
    return None


class SlideRun:
    """One process that computes blocks and puts them together; see `prepare` and `under`.

    Attributes
    ----------
    slide : Slide
    predictor : Predictor
    store : SlideStore
        Open for writing; close it when done, or use the run in a ``with`` block.
    tissue : Tissue or None
        None where all is run, or tissue is looked for block by block.
    region : Box or None
        In pixels of level 0.
    look : TissueLook or None
        By which it is looked for block by block, unless there is a mask.
    notes : list of str
        What a person should know, a sentence each.
    failures : dict of (int, int) to str
        Blocks that couldn't be computed in this run, by row and column, and why.
    """

    def __init__(self, slide: Slide, predictor: Predictor, store: SlideStore, prepared: Prepared) -> None:
        self.slide, self.predictor, self.store = slide, predictor, store
        self.tissue: Tissue | None = prepared.tissue
        self.region: Box | None = None
        self.notes = [note for note in (*slide.notes, prepared.sentence) if note]
        self.failures: dict[tuple[int, int], str] = {}
        self.look: TissueLook | None = prepared.look
        self._ready = store.computed
        if self.look is not None:
            self.notes.append("The slide has no small version of itself: tissue is looked for block by block.")

    @classmethod
    def prepare(
        cls, slide: Slide, predictor: Predictor, folder: Path, settings: RunSettings | None = None,
        stop: Callable[[], bool] = never,
    ) -> SlideRun:  # fmt: skip
        """Measure the slide, and make the run's own folder or go on with what is in it.

        Parameters
        ----------
        slide : Slide
        predictor : Predictor
        folder : Path
            Of this run alone.
        settings : RunSettings, optional
        stop : callable
            Asked between measurements.

        Returns
        -------
        SlideRun

        Raises
        ------
        SlideRunError
            If the folder belongs to another run or process, or it was stopped.
        ImageError, DeviceError, SettingsError
            As `preparing.prepare`.
        """
        settings = settings or RunSettings()
        prepared = prepare(slide, predictor, settings, runs_in([folder]), stop)
        return cls._opened(slide, predictor, folder, prepared, settings)

    @classmethod
    def under(
        cls, root: Path, slide: Slide, predictor: Predictor, settings: RunSettings | None = None,
        stop: Callable[[], bool] = never,
    ) -> SlideRun:  # fmt: skip
        """As `prepare`, in the folder that `run_folder` gives below one for all runs of a slide."""
        settings = settings or RunSettings()
        earlier = sorted(path.parent for path in root.glob("*/run.json"))
        prepared = prepare(slide, predictor, settings, runs_in(earlier), stop)
        return cls._opened(slide, predictor, run_folder(root, prepared.about), prepared, settings)

    @classmethod
    def _opened(
        cls, slide: Slide, predictor: Predictor, folder: Path, prepared: Prepared, settings: RunSettings
    ) -> SlideRun:
        run = cls(slide, predictor, SlideStore.open_or_create(folder, prepared.about, settings.labels), prepared)
        run.want(settings.region, prepared.tissue)
        return run

    def want(self, region: Box | None = None, tissue: Tissue | None = None, tissue_only: bool = True) -> None:
        """Say what is to be run, also while it runs; what is finished stays.

        Parameters
        ----------
        region : Box, optional
            In pixels of level 0; all of the slide if None.
        tissue : Tissue, optional
            All of the slide if None, but for what `look` leaves out.
        tissue_only : bool
            False for all of it: `tissue` is left alone, and glass isn't looked for in blocks still to come either.
        """
        if not tissue_only:
            tissue = self.look = None
        self.region, self.tissue = region, tissue
        wanted = np.zeros((self.store.grid.rows, self.store.grid.columns), bool)
        for row, column in self.store.grid:
            box = self.box(row, column)
            wanted[row, column] = (region is None or box.meets(region)) and (tissue is None or tissue.meets(box))
        self.store.wanted = wanted

    def box(self, row: int, column: int) -> Box:
        """A block's own pixels, in level 0."""
        scale, own = self.store.about.downsample, self.store.grid.own(row, column)
        height, width = self.store.about.slide_shape
        return Box(own.top * scale, own.left * scale, min(height, own.bottom * scale), min(width, own.right * scale))

    def remaining(self) -> list[tuple[int, int]]:
        """Rows and columns of the wanted blocks that lack their labels, those that failed among them."""
        return [(int(row), int(column)) for row, column in np.argwhere(self.store.wanted & ~self.store.painted)]

    def steps(
        self, stop: Callable[[], bool] = never, focus: Callable[[], Box | None] = nowhere,
        labels: Callable[[], LabelSettings] | None = None, table: bool = True,
    ) -> Iterator[BlockDone]:  # fmt: skip
        """Run what is wanted and missing.

        The result doesn't depend on the order, nor on how often it is stopped and gone on with.

        Parameters
        ----------
        stop : callable
            Asked between the tiles of a block; what is finished is kept.
        focus : callable
            What is on screen, in pixels of level 0; asked before each block.
        labels : callable, optional
            Settings of labels, asked before each block; where they change, finished blocks are labelled again, those
            in view first.
        table : bool
            Write the table of the whole slide at the end, which reads all that was found so far.

        Yields
        ------
        BlockDone

        Raises
        ------
        DeviceError
            As `Predictor.tiles`; what is finished is kept.
        SlideRunError
            If the disk doesn't take the results.
        """
        try:
            yield from self._steps(stop, focus, labels)
            if not stop():
                self.store.finish(table, stop)
        except RuntimeError as error:  # napari's workers swallow it without a word
            raise SlideRunError(f"the run failed ({first_line(error)}); finished blocks are kept, run again") from error

    def _steps(
        self, stop: Callable[[], bool], focus: Callable[[], Box | None], labels: Callable[[], LabelSettings] | None
    ) -> Iterator[BlockDone]:
        pace, self._ready = Pace(), self.store.computed
        again: set[tuple[int, int]] = set()
        while not stop():
            if labels is not None and (wish := labels()) != self.store.settings:
                self.store.relabel(wish)
            place = next_block(self.store.grid, self._pending(), self._ready, self._in_view(focus()))
            if place is None:
                return
            begun, ready = time.monotonic(), bool(self._ready[place])
            failure = "" if ready else self._computed(place, stop)
            if failure is None:
                return
            try:
                nuclei = 0 if failure else self.store.paint(*place)
            except DamagedBlockError:
                if place in again:
                    raise
                again.add(place)
                self._ready[place] = False
                continue
            if not failure:
                pace.finished(self.box(*place).area, begun, not ready)
            give_back()
            yield self._done(place, nuclei, failure, pace)

    def _computed(self, place: tuple[int, int], stop: Callable[[], bool]) -> str | None:
        """Compute a block: empty, or why it can't be; None if it was stopped."""
        begun = time.monotonic()
        try:
            look = self.look if self.tissue is None else None
            maps = block_maps(self.slide, self.predictor, self.store.about, look, *place, stop, self.notes)
        except ImageError as error:
            return self._failed(place, error)
        if maps is None:
            return None
        self.store.put_maps(*place, maps, time.monotonic() - begun)
        self._ready[place] = True
        return ""

    def _pending(self) -> NDArray[np.bool_]:
        pending: NDArray[np.bool_] = self.store.wanted & ~self.store.painted
        for place in self.failures:
            pending[place] = False
        return pending

    def _in_view(self, seen: Box | None) -> Box | None:
        scale = self.store.about.downsample
        if seen is None:
            return None
        return Box(seen.top // scale, seen.left // scale, -(-seen.bottom // scale), -(-seen.right // scale))

    def _failed(self, place: tuple[int, int], error: ImageError) -> str:
        if self.slide.levels[0].closed:
            raise error
        self.failures[place] = str(error)
        box = self.box(*place)
        if len(self.failures) <= _TOLD:
            self.notes.append(f"Left out: rows {box.top} to {box.bottom}, columns {box.left} to {box.right} ({error}).")
        return str(error)

    def _done(self, place: tuple[int, int], nuclei: int, failure: str, pace: Pace) -> BlockDone:
        wanted = self.store.wanted
        done, total = (int(np.count_nonzero(blocks)) for blocks in (wanted & self.store.painted, wanted))
        pending = self._pending()
        left = pace.left(*(int(np.count_nonzero(blocks)) for blocks in (pending & ~self._ready, pending & self._ready)))
        seconds = time.monotonic() - pace.started
        return BlockDone(*place, self.box(*place), nuclei, done, total, seconds, pace.mpx_per_s, left, failure)

    def close(self) -> None:
        """Close the store; the slide stays open."""
        self.store.close()

    def __enter__(self) -> SlideRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
