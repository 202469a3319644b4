"""Gives what a person did in the regions of a slide to its results, while they work and when they leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.widgets.review_session import ReviewSession
from napari_unetsharp.widgets.slide_given import Given, give_steps, waiting
from napari_unetsharp.widgets.slide_layers import slide_of
from napari_unetsharp.widgets.slide_region import SlideRegion, regions_of
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

if TYPE_CHECKING:
    from napari_unetsharp.slides.store import SlideStore
    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.slide_find_stores import OpenStores

AUTOSAVE = 3000
"""Milliseconds after the last answer until the slide's results learn of it."""


class GivingBack(QObject):
    """Looks at the journals of all regions of a slide, and gives what its results don't know yet.

    After each answer, when a review is closed, when a run over the slide ends, and when the slide is chosen: what was
    reviewed before the first run, or while another window had the results, gets there too. A run begins, and a region
    is read, only while nothing is being given.

    Parameters
    ----------
    find : FindStage
        Has the results of slides.
    slide_layer : callable
        The slide that is chosen, or that the chosen region is of.
    parent : QObject

    Attributes
    ----------
    idle : threading.Event
        Set while nothing is being given.

    Signals
    -------
    given(object)
        A `Given`.
    failed(object)
        The exception.
    """

    given = Signal(object)
    failed = Signal(object)

    def __init__(self, find: FindStage, slide_layer: Callable[[], ImageLayer | None], parent: QObject) -> None:
        super().__init__(parent)
        self._find, self._slide_layer = find, slide_layer
        self._worker: StoppableWorker | None = None
        self._again = self._held = False
        self.idle = threading.Event()
        self.idle.set()
        find.slides.to_wait_for.append(self.idle)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(AUTOSAVE)
        self._soon.timeout.connect(self.give)
        find.finished.connect(self.give)
        find.form.image.changed.connect(lambda _layer: self.give())

    @property
    def running(self) -> bool:
        """Whether something is being given back, or is about to be."""
        return self._worker is not None or self._soon.isActive()

    def follow(self, session: ReviewSession) -> None:
        """Give each answer of a review, a little later; of a picture that is no region nothing comes of it."""
        session.review.changed.append(self._answered)

    def _answered(self, _delta: Any) -> None:
        self._soon.start()

    def give(self) -> None:
        """Give what the results of the slide don't know yet, of all its regions."""
        self._soon.stop()
        if self._held or self._find.slides.beginning:
            self._soon.start()
        elif self._worker is not None:
            self._again = True
        else:
            self._start()

    def hold(self) -> None:
        """Give what is left, and then nothing until `release`: somebody is about to read what `idle` waits for."""
        self.give()
        self._held = True

    def release(self) -> None:
        """Go on giving."""
        self._held = False

    def _start(self) -> None:
        layer = self._slide_layer()
        store, slide = None if layer is None else self._find.store_of(layer), slide_of(layer)
        if layer is None or store is None or slide is None or not store.writing:
            return
        regions = waiting(store, regions_of(slide))
        if not regions:
            return
        slots = {
            "yielded": lambda given: self._given(layer, given), "errored": self.failed.emit, "finished": self._ended,
        }  # fmt: skip
        self.idle.clear()
        self._worker = start_worker(given_steps, self._find.slides.stores, store, regions, connect=slots)

    def _given(self, layer: ImageLayer, given: Given) -> None:
        self._find.refresh_slide(layer)
        self.given.emit(given)

    def _ended(self) -> None:
        self._worker = None
        if self._again:
            self._again = False
            self._start()
        if self._worker is None:
            self.idle.set()


def given_steps(
    stores: OpenStores, store: SlideStore, regions: list[SlideRegion], stop: Callable[[], bool]
) -> Iterator[Given]:
    """Give regions to the results of a slide, for a worker; the window doesn't close the store meanwhile."""
    with stores.at_work():
        yield from give_steps(store, regions, stop)
