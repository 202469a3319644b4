"""Getting a review ready in a thread of its own: reading or starting it, and dealing its cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

Ready = tuple[Review, Material, str]
"""A review, what it looks at, and what to say about it."""


class Preparation(QObject):
    """Prepares one review at a time; a newer wish replaces an older one.

    Signals
    -------
    ready(object)
        Review, material, and a sentence (may be empty).
    failed(object)
        The exception.
    """

    ready = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: StoppableWorker | None = None
        self._turn = 0

    @property
    def running(self) -> bool:
        """Whether a review is being prepared that somebody still waits for."""
        return self._worker is not None

    def start(self, make: Callable[[], Review], material: Material) -> None:
        """Begin.

        Parameters
        ----------
        make : callable
            Starts a review, or opens the one on disk; called in the thread.
        material : Material
            Keeps the cards for the queue.
        """
        self.drop()
        turn = self._turn
        slots = {"yielded": partial(self._yielded, turn), "errored": partial(self._errored, turn)}
        self._worker = start_worker(prepare_steps, make, material, connect=slots)

    def drop(self) -> None:
        """Nobody waits any more; what comes is closed again."""
        self._turn += 1
        self._worker = None

    def _yielded(self, turn: int, ready: Ready) -> None:
        if turn != self._turn:
            ready[0].close(discard=True)  # nothing was answered in it
            return
        self._worker = None
        self.ready.emit(ready)

    def _errored(self, turn: int, error: Exception) -> None:
        if turn == self._turn:
            self._worker = None
            self.failed.emit(error)


def prepare_steps(make: Callable[[], Review], material: Material, stop: Callable[[], bool]) -> Iterator[Ready]:
    """Review, material and a sentence, for a worker."""
    review = make()
    try:
        try:
            said = take_run(review, material)
        except UNetSharpError as error:  # the review goes on with what it has
            said = str(error)
        material.prepare_deck(review.proposals)
    except BaseException:
        review.close(discard=True)
        raise
    yield review, material, said


def take_run(review: Review, material: Material) -> str:
    """Put the nuclei of a run in the place of those that nobody has looked at.

    Parameters
    ----------
    review : Review
    material : Material

    Returns
    -------
    str
        What was done, in a sentence; empty where it is the run that the review knows.

    Raises
    ------
    UNetSharpError
        If it can't be taken or written down; the review is as it was.
    """
    if not material.level or material.of_slide or review.read_only:  # a region starts from the slide's, once
        return ""
    box = computed_box(material)
    if box is None:
        return "The new run doesn't cover a whole rectangle, so it was left out: find nuclei on the whole image again."
    labels = material.labels[box.slices]
    if material.model == review.findings.model and not ((labels > 0) != (review.proposals[box.slices] > 0)).any():
        return ""
    kept = sum(nucleus.state is not State.TO_DO for nucleus in review.nuclei.values())
    review.new_proposals(labels, material.model, box)
    return f"The new run was taken; your {kept:,} answers stay as they are."


def computed_box(material: Material) -> Box | None:
    """Where the network ran, if that is a whole rectangle: elsewhere a run says nothing of nuclei."""
    rows, columns = material.labels.shape
    computed = material.computed
    if computed is None or computed.all():
        return Box(0, 0, rows, columns)
    down, across = np.flatnonzero(computed.any(axis=1)), np.flatnonzero(computed.any(axis=0))
    if not len(down):
        return None
    box = Box(int(down[0]), int(across[0]), int(down[-1]) + 1, int(across[-1]) + 1)
    return box if computed[box.slices].all() else None
