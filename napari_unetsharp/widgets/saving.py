"""*Save*: the review folder, written by a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.review_folder import ViewFacts, save_review
from napari_unetsharp.nuclei.review_pieces import Pieces
from napari_unetsharp.widgets.review_session import ReviewSession
from napari_unetsharp.widgets.review_source import Subject
from napari_unetsharp.widgets.slide_region_layer import region_of
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker


class Saver(QObject):
    """Writes one review folder at a time.

    Signals
    -------
    saved(str)
        The folder.
    failed(object)
        The exception.
    """

    saved = Signal(str)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: StoppableWorker | None = None

    @property
    def running(self) -> bool:
        """Whether something is being written."""
        return self._worker is not None

    def save(self, subject: Subject, session: ReviewSession) -> bool:
        """Begin to write; False where the last save isn't done yet."""
        if self._worker is not None:
            return False
        pieces = Pieces.of(session.review)  # a copy: the review may go on meanwhile
        slots = {"yielded": self._yielded, "errored": self._errored, "finished": self._ended}
        settings: dict[str, Any] = {"source": session.material.source, "level": session.material.level}
        if (region := region_of(subject.layer)) is not None:
            settings["region"] = region.as_dict()
        work = (subject.folder, pieces, subject.image, subject.index, settings, view_facts(session))
        self._worker = start_worker(save_steps, *work, connect=slots)
        return True

    def _yielded(self, folder: Path) -> None:
        self.saved.emit(str(folder))

    def _errored(self, error: Exception) -> None:
        self.failed.emit(error)

    def _ended(self) -> None:
        self._worker = None


def view_facts(session: ReviewSession) -> ViewFacts:
    """Doubt of each nucleus, and which depths see it."""
    deck = session.queue.deck
    if deck is None:
        return ViewFacts()
    evidence = deck.evidence
    doubt = dict(zip(evidence.ids.tolist(), deck.doubt[: len(evidence)].tolist(), strict=True))
    own = f"L{deck.level}"
    levels = {
        id_: [own, *(f"L{other}" for other, seen in sorted(evidence.seen.items()) if seen[place])]
        for place, id_ in enumerate(evidence.ids.tolist())
    }
    return ViewFacts(doubt, levels)


def save_steps(
    folder: Path,
    pieces: Pieces,
    image: Image,
    plane: tuple[int, ...],
    settings: dict[str, Any],
    facts: ViewFacts,
    stop: Callable[[], bool],
) -> Iterator[Path]:
    """Write a review folder, for a worker; it is not stopped in the middle."""
    yield save_review(folder, pieces, image, plane, settings, facts)
