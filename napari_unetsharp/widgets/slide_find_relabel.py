"""*More / fewer*, *Smallest* and *Split* on a slide that isn't being run: without the network, the view first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.order import next_block
from napari_unetsharp.slides.store import SlideStore
from napari_unetsharp.widgets.slide_find_errand import Errand
from napari_unetsharp.widgets.slide_find_job import Wishes
from napari_unetsharp.widgets.slide_find_progress import ended_sentence
from napari_unetsharp.widgets.slide_find_stores import OpenStores

if TYPE_CHECKING:
    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.slide_find import SlideFind
    from napari_unetsharp.widgets.slide_results import SlideLayers

PAUSE = 300
"""Milliseconds without another change of a slider before the maps are read again."""

TABLE = 100_000
"""Nuclei above which the table in one file is not written again after each change of a slider."""


@dataclass(frozen=True)
class Painted:
    """A block's nuclei are of the settings in force now.

    Attributes
    ----------
    box : Box
        In pixels of the slide.
    left : int
        Blocks that still show the settings before.
    """

    box: Box
    left: int


def outdated(store: SlideStore, wishes: Wishes) -> bool:
    """Whether any block that was computed shows other settings than those wished for."""
    return bool(store.computed.any()) and (
        store.settings != wishes.labels or bool((store.computed & ~store.painted).any())
    )


def relabel_steps(store: SlideStore, wishes: Wishes, stores: OpenStores, stop: Callable[[], bool]) -> Iterator[Painted]:
    """Read the maps again, block by block, until all show the settings wished for; for a worker.

    Yields
    ------
    Painted
    """
    with stores.at_work():
        yield from _steps(store, wishes, stop)


def _steps(store: SlideStore, wishes: Wishes, stop: Callable[[], bool]) -> Iterator[Painted]:
    down = store.about.downsample
    while not stop():
        if store.settings != wishes.labels:
            store.relabel(wishes.labels)
        pending = store.computed & ~store.painted
        view = None if wishes.view is None else Box(*(side // down for side in wishes.view))
        block = next_block(store.grid, pending, store.computed, view)
        if block is None:
            store.finish(table=store.count < TABLE)
            return
        store.paint(*block)
        own = store.grid.own(*block)
        yield Painted(Box(*(side * down for side in own)), int(np.count_nonzero(pending)) - 1)


class SlideRelabeller(QObject):
    """Brings the nuclei of the slide that is chosen to the settings of the sliders.

    Parameters
    ----------
    stage : FindStage
    slides : SlideFind
    """

    def __init__(self, stage: FindStage, slides: SlideFind) -> None:
        super().__init__(slides)
        self._stage, self._slides = ref(stage), ref(slides)
        self.errand = Errand(self)
        self.errand.step.connect(self._painted)
        self.errand.failed.connect(stage.show_error)
        self.errand.finished.connect(self._ended)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._begin)
        labels = stage.label_form
        for widget in (labels.threshold, labels.smallest, labels.split):
            widget.changed.connect(self.soon)

    def soon(self, value: Any = None) -> None:
        """The sliders moved: a run takes it up by itself; without one, the maps are read again."""
        stage, slides, shown = self._here()
        if stage is not None and slides is not None and shown is not None:
            slides.wishes.labels = stage.label_form.settings
            if not stage.run_button.running and not self.errand.running:
                self._timer.start()

    def cancel(self) -> None:
        """Something else is about to write."""
        self._timer.stop()
        self.errand.cancel()

    def _here(self) -> tuple[FindStage | None, SlideFind | None, SlideLayers | None]:
        stage, slides = self._stage(), self._slides()
        if stage is None or slides is None or stage.layer is None:
            return stage, slides, None
        return stage, slides, slides.layers.get(stage.layer)

    def _begin(self) -> None:
        stage, slides, shown = self._here()
        if stage is None or slides is None or shown is None or stage.run_button.running or self.errand.running:
            return
        if outdated(shown.store, slides.wishes):
            slides.wishes.view = slides.view()
            self.errand.start(relabel_steps, shown.store, slides.wishes, slides.stores)

    def _painted(self, step: Painted) -> None:
        stage, slides, shown = self._here()
        if stage is not None and slides is not None and shown is not None:
            slides.drawing.soon(shown, step.box)
            stage.message.note(f"Reading the maps again: {step.left:,} blocks to go." if step.left else "")

    def _ended(self) -> None:
        stage, slides, shown = self._here()
        if slides is not None:
            slides.close_unused()
        if stage is None or slides is None or shown is None:
            return
        slides.drawing.all(shown)
        if not stage.run_button.running and not stage.message.is_problem:
            shown.describe()
            stage.message.note(ended_sentence(shown.store))
            self.soon()
