"""Reading the maps again with other settings, in a thread of its own, the newest settings winning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetsharp.inference.results import Index, Results
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

if TYPE_CHECKING:
    from napari_unetsharp.nuclei.instances import LabelSettings

PAUSE = 120
"""Milliseconds without another change before the maps are read."""


class Relabeller(QObject):
    """Labels a plane again, one request at a time.

    Parameters
    ----------
    wanted : callable
        Gives (results, plane, settings, level shown), or None if there is nothing to do; asked when it is time.

    Signals
    -------
    done(object, object)
        The results, and the number of nuclei by level.
    failed(object)
        The exception.
    """

    done = Signal(object, object)
    failed = Signal(object)

    def __init__(
        self, wanted: Callable[[], tuple[Results, Index, LabelSettings, int] | None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._wanted = wanted
        self._worker: StoppableWorker | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self.now)

    @property
    def running(self) -> bool:
        """Whether a plane is being labelled."""
        return self._worker is not None

    def soon(self, value: Any = None) -> None:
        """Label again once the person has stopped moving the slider."""
        self._timer.start()

    def now(self) -> None:
        """Label again unless the labels are of these settings already."""
        if self._worker is not None:
            self._timer.start()
            return
        request = self._wanted()
        if request is None or request[0].is_labelled(request[1], request[3], request[2]):
            return
        slots = {"yielded": self._yielded, "errored": self._errored, "finished": self._ended}
        self._worker = start_worker(relabel_steps, *request, connect=slots)

    def _yielded(self, outcome: tuple[Results, dict[int, int]]) -> None:
        self.done.emit(*outcome)

    def _errored(self, error: Exception) -> None:
        self.failed.emit(error)

    def _ended(self) -> None:
        self._worker = None


def relabel_steps(
    results: Results, index: Index, settings: LabelSettings, shown: int, stop: Callable[[], bool]
) -> Iterator[tuple[Results, dict[int, int]]]:
    """Labels of other settings, for a worker."""
    yield results, results.label(index, settings, shown)
