"""*Find nuclei* that becomes *Cancel*, with tiles, rate and time left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.inference.results import TileDone
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker


class RunButton(QWidget):
    """Runs one generator function at a time in a thread of its own.

    Parameters
    ----------
    text : str
        Of the button while nothing runs.

    Signals
    -------
    pressed()
        Pressed while nothing runs: whoever owns the button calls `start`.
    step(object)
        What the generator yields, in the main thread.
    failed(object)
        The exception that ended it.
    finished()
        It ended: done, cancelled or failed.
    """

    pressed = Signal()
    step = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._worker: StoppableWorker | None = None
        self.button = QPushButton(text)
        self.button.setMinimumHeight(34)
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.bar)
        self.button.clicked.connect(self._clicked)

    @property
    def running(self) -> bool:
        """Whether something runs."""
        return self._worker is not None

    def start(self, func: Callable[..., Any], *args: Any) -> None:
        """Run a generator function; it gets ``stop``, a callable, as a keyword argument."""
        self.button.setText("Cancel")
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self._worker = start_worker(
            func,
            *args,
            connect={"yielded": self._yielded, "errored": self._errored, "finished": self._ended},
        )

    def cancel(self) -> None:
        """Ask for an early end with what was finished; the tile at hand is completed first."""
        if self._worker is not None:
            self._worker.cancel()
            self.button.setText("Stopping after this tile…")
            self.button.setEnabled(False)

    def quit(self) -> None:
        """End at the next report, for a closed image or window."""
        if self._worker is not None:
            self._worker.quit()

    def show_tile(self, done: TileDone) -> str:
        """Move the bar and give the sentence about rate and time left."""
        tile = done.tile
        finished, total = done.planes_done * tile.total + tile.done, done.planes * tile.total
        self.bar.setRange(0, total)
        self.bar.setValue(finished)
        per_tile = tile.seconds / max(1, tile.done)
        rate = tile.core.height * tile.core.width / 1e6 / max(per_tile, 1e-6)
        return f"Tile {finished} of {total} · {rate:.2f} Mpx/s · about {duration(per_tile * (total - finished))} left"

    def show_blocks(self, done: int, total: int) -> None:
        """Move the bar to so many blocks of a slide."""
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)

    def _clicked(self) -> None:
        if self.running:
            self.cancel()
        else:
            self.pressed.emit()

    def _yielded(self, value: Any) -> None:
        self.step.emit(value)

    def _errored(self, error: Exception) -> None:
        self.failed.emit(error)

    def _ended(self) -> None:
        self._worker = None  # its generator is freed only now
        self.button.setText(self._text)
        self.button.setEnabled(True)
        self.bar.setVisible(False)
        self.finished.emit()


def duration(seconds: float) -> str:
    """Seconds as a person says them: "12 s", "3 min", "1.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
