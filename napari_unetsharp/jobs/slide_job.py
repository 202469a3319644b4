"""A job on a slide: from end to end in one process, or its blocks on many and its labels on one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_unetsharp.errors import ImageError, SlideRunError
from napari_unetsharp.images.channel import ChannelSlide, one_channel
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.images.tissue import TissueLook
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.jobs.picture_job import OnProgress
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.jobs.source import Source
from napari_unetsharp.jobs.state import Fingerprint, JobPlace, Row
from napari_unetsharp.nuclei.lock import read_holder
from napari_unetsharp.slides.block import block_maps
from napari_unetsharp.slides.run import RunSettings, SlideRun
from napari_unetsharp.slides.run_files import COUNTS, LOCK, RUN, SETTINGS, WANTED, locked
from napari_unetsharp.slides.store import TABLE, SlideStore

Place = tuple[int, int]

_RESULTS = ("blocks", "nuclei", "regions", "labels.zarr", "probability.zarr", SETTINGS, WANTED, COUNTS, TABLE)
"""What a run leaves in its folder; anything else there is somebody's own."""


@dataclass(frozen=True)
class SlidePlan:
    """What is left to compute of a slide; goes to other processes.

    Attributes
    ----------
    path : Path
        Of the slide.
    folder : Path
        Of its store.
    blocks : tuple of (row, column)
        Not computed yet.
    look : TissueLook or None
        By which blocks are told from glass one by one, where there is no mask.
    row : dict
        As far as it's known.
    key : Fingerprint
    channel : int or None
        The only one to run, from 0; all that there are if None.
    """

    path: Path
    folder: Path
    blocks: tuple[Place, ...]
    look: TissueLook | None
    row: Row
    key: Fingerprint
    channel: int | None = None


@dataclass
class SlideJob:
    """A slide on its way to its results.

    Attributes
    ----------
    source : Source
    slide : Slide
    predictor : Predictor
    settings : JobSettings
    row : dict
        Is filled.
    key : Fingerprint
    """

    source: Source
    slide: Slide
    predictor: Predictor
    settings: JobSettings
    row: Row
    key: Fingerprint

    def run(self, on_progress: OnProgress) -> None:
        """Compute and paint all blocks that aren't there.

        Parameters
        ----------
        on_progress : callable
            Gets a text, and how many of how many blocks.

        Raises
        ------
        UNetSharpError, OSError
            What is done is kept.
        """
        run = self._prepared()
        with run.store:
            for step in run.steps():
                on_progress(self.source.path.name, step.done, step.total)
            self.row["warnings"] = self._told(run)
            finish_store(run.store, self.row, list(run.failures.values()))

    def plan(self) -> SlidePlan:
        """Measure the slide, make its store, and say which blocks are left."""
        run = self._prepared()
        with run.store:
            blocks = tuple(place for place in run.remaining() if not run.store.computed[place])
            look = run.look if run.tissue is None else None
            channel = self.slide.number if isinstance(self.slide, ChannelSlide) else None
            return SlidePlan(self.source.path, run.store.folder, blocks, look, self.row, self.key, channel)

    def _prepared(self) -> SlideRun:
        place = JobPlace(self.settings.folder, self.source.name)
        row, slide = self.row, self.slide
        row |= {"kind": "slide", "shape": list(slide.shape[-3:-1]), "axes": "YX"}
        clear_for(place, self.key)
        free_store(place.slide)
        place.begin(self.key)
        asked = RunSettings(
            self.settings.labels, nucleus_size=self.source.nucleus_size, tissue_only=self.settings.tissue_only,
            um_per_pixel=self.source.um_per_pixel, plane=self.source.plane_of(slide.axes[:-3], slide.shape[:-3]),
        )  # fmt: skip
        run = SlideRun.prepare(slide, self.predictor, place.slide, asked)
        row["state"] = "resumed" if run.store.computed.any() else "done"
        row["nucleus_size"] = run.store.about.nucleus_size
        row["warnings"] = self._told(run)
        return run

    def _told(self, run: SlideRun) -> list[str]:
        notes = list(run.notes)
        if not run.store.wanted.any():
            notes.append("No tissue was found, so nothing was run; --everywhere runs all of the slide.")
        if len(self.slide.axes) > 3 and self.source.plane is None:
            count = self.slide.shape[0]
            notes.append(f"Only the first of {count} planes was run; a manifest can name another one.")
        if self.settings.all_levels or self.settings.branches:
            notes.append("A slide gets labels and probabilities of the deepest output alone.")
        return notes


def clear_for(place: JobPlace, key: Fingerprint) -> None:
    """Remove a store that this folder of results got from another model, content or size.

    Raises
    ------
    SlideRunError
        If a person corrected nuclei in it: that's theirs to move.
    """
    begun = place.begun()
    if not (place.slide / RUN).is_file() or begun is None or (begun and begun == key.maps):
        return
    regions = place.slide / "regions"
    if regions.is_dir() and any(regions.iterdir()):
        raise SlideRunError(
            f"{place.slide} holds a person's corrections on the results of another model, size or content; "
            "give another folder for these"
        )
    free_store(place.slide)
    lock = locked(place.slide)
    try:
        (place.slide / RUN).unlink()  # first: what is left of a run without it counts for nothing
        for name in _RESULTS:
            part = place.slide / name
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
    finally:
        lock.release()


def free_store(folder: Path) -> None:
    """Take a store's lock from a process of another machine: whoever has the job's lock answers for it."""
    holder = read_holder(folder / LOCK)
    if holder is not None and not holder.local:
        (folder / LOCK).unlink(missing_ok=True)


def finish_store(store: SlideStore, row: Row, failures: Sequence[str]) -> None:
    """Close a slide's table and fill its row.

    Raises
    ------
    ImageError
        If some blocks could not be computed; the others are there.
    """
    store.finish()
    row["nuclei"] = {f"L{store.about.level}": store.count}
    row["files"] = [str(store.folder / name) for name in ("nuclei.parquet", "labels.zarr", "probability.zarr")]
    missing = int((store.wanted & ~store.computed).sum())
    if missing:
        first = f" (the first: {failures[0]})" if failures else ""
        raise ImageError(f"{missing} of {int(store.wanted.sum())} blocks are not computed{first}; the others are done")


@dataclass
class BlocksTold:
    """What is to be told of blocks that were computed.

    Attributes
    ----------
    failures : list of str
        Why some could not be.
    notes : list of str
        What a person should know, a sentence each.
    """

    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: BlocksTold) -> None:
        """Take in what is told of others."""
        self.failures += other.failures
        self.notes += [note for note in other.notes if note not in self.notes]


def compute_blocks(plan: SlidePlan, blocks: Sequence[Place], predictor: Predictor) -> BlocksTold:
    """Compute blocks of a slide and put their maps into its folder; any process may.

    Parameters
    ----------
    plan : SlidePlan
    blocks : sequence of (row, column)
        Those that are there already aren't computed again.
    predictor : Predictor

    Returns
    -------
    BlocksTold

    Raises
    ------
    UNetSharpError, OSError
    """
    told = BlocksTold()
    with open_slide(plan.path) as whole, SlideStore.open(plan.folder) as store:
        slide = whole if plan.channel is None else one_channel(whole, plan.channel)
        there = store.computed
        for row, column in blocks:
            if there[row, column]:
                continue
            begun = time.monotonic()
            try:
                maps = block_maps(slide, predictor, store.about, plan.look, row, column, notes=told.notes)
            except ImageError as error:
                told.failures.append(str(error))
                continue
            if maps is not None:
                store.put_maps(row, column, maps, time.monotonic() - begun)
    return told


def paint_slide(plan: SlidePlan, row: Row, told: BlocksTold) -> None:
    """Label what was computed of a slide, write its table, and fill its row.

    Raises
    ------
    UNetSharpError, OSError
    """
    free_store(plan.folder)
    with SlideStore.open(plan.folder, writing=True) as store:
        row["warnings"] = [*row["warnings"], *(note for note in told.notes if note not in row["warnings"])]
        finish_store(store, row, told.failures)
