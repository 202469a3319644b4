"""*Measure speed*: milliseconds and memory of the depths that are compared, on this device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unetsharp.comparison.candidate import AVERAGE, Candidate
from napari_unetsharp.comparison.cost import SIDE, Cost, Measured, counted_cost, measured_cost
from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import BRANCHES, DEPTH
from napari_unetsharp.widgets.quiet import quiet
from napari_unetsharp.widgets.run_button import RunButton

Key = tuple[str, int, str]
"""Model, depth, device."""


@dataclass(frozen=True, eq=False)
class Pass:
    """What has to run for a candidate.

    Attributes
    ----------
    checkpoint : Checkpoint
    level : int
        Its depth; 4 for coarse views and the average, which come from a pass of that depth.
    device : str
        "auto", "cuda", "mps" or "cpu".
    """

    checkpoint: Checkpoint
    level: int
    device: str = "auto"

    @property
    def key(self) -> Key:
        """The same for candidates that the same pass gives."""
        known = self.checkpoint.metadata
        return known.sha256 or known.name, self.level, self.device

    @property
    def words(self) -> str:
        """On screen."""
        return f"depth {self.level} of {self.checkpoint.metadata.name}"


@dataclass(frozen=True)
class Measuring:
    """Report of a measurement.

    Attributes
    ----------
    key : tuple
        Of the `Pass`.
    words : str
        What is being done.
    done, total : int
        How far it is, all passes together.
    cost : Cost or None
        Once this pass is finished.
    """

    key: Key
    words: str
    done: int
    total: int
    cost: Cost | None = None


def passes_of(
    candidates: Sequence[Candidate],
    checkpoint: Checkpoint | None,
    checkpoints: Mapping[str, Checkpoint] | None = None,
    device: str = "auto",
) -> dict[str, Pass]:
    """What each candidate needs, by its name; labels that nobody computed need nothing.

    Parameters
    ----------
    candidates : sequence of Candidate
    checkpoint : Checkpoint or None
        Of all of them.
    checkpoints : mapping of str to Checkpoint, optional
        By `Candidate.model`, where models are compared.
    device : str

    Returns
    -------
    dict of str to Pass
    """
    found = {}
    for candidate in candidates:
        branch = BRANCHES.get(candidate.node)
        model = (checkpoints or {}).get(candidate.model) if checkpoints is not None else checkpoint
        level = branch.level if branch is not None else DEPTH if candidate.node == AVERAGE else None
        if model is not None and level is not None and f"x0{level}" in model.config.heads:
            found[candidate.name] = Pass(model, level, device)
    return found


def counted_costs(passes: Mapping[str, Pass]) -> dict[str, Cost]:
    """Parameters and operations, by the candidate's name; each pass is counted once."""
    once = {one.key: one for one in passes.values()}
    counted = {key: counted_cost(one.checkpoint, one.level) for key, one in once.items()}
    return {name: counted[one.key] for name, one in passes.items()}


def measure_steps(passes: Sequence[Pass], side: int, stop: Callable[[], bool]) -> Iterator[Measuring]:
    """Run one pass after the other, for a worker.

    Parameters
    ----------
    passes : sequence of Pass
    side : int
        Pixels of a side of what is run.
    stop : callable
    """
    for place, one in enumerate(passes):
        words = f"{one.words} ({place + 1} of {len(passes)})"
        yield Measuring(one.key, f"Preparing {words}…", place, len(passes))
        with closing(measured_cost(one.checkpoint, one.level, one.device, stop, side=side)) as steps:
            cost = yield from _told(steps, one.key, words, place, len(passes))
        if cost is None:
            return
        yield Measuring(one.key, f"Measured {words}.", place + 1, len(passes), cost)


def _told(
    steps: Generator[Measured, None, Cost | None], key: Key, words: str, place: int, passes: int
) -> Generator[Measuring, None, Cost | None]:
    """The tiles of one pass, as a part of all passes."""
    while True:
        try:
            tile = next(steps)
        except StopIteration as ended:
            cost: Cost | None = ended.value
            return cost
        yield Measuring(key, f"{words}: {tile.words}…", place * tile.total + tile.done, passes * tile.total)


class MeasureButton(RunButton):
    """Says that a measurement ends, not a tile."""

    def cancel(self) -> None:
        """Ask for an end; what was measured before is kept."""
        super().cancel()
        if self.running:
            self.button.setText("Stopping…")


class SpeedPanel(QWidget):
    """The button, how far it is, and on what it was measured.

    Attributes
    ----------
    side : int
        Pixels of a side of what is run.

    Signals
    -------
    measured()
        Another pass was measured.
    failed(str)
        Why one can't be.
    """

    measured = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.button = MeasureButton("Measure speed")
        self.button.button.setToolTip("Run each depth on this device: milliseconds per Mpx and peak memory")
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setStyleSheet("QLabel { font-size: 11px; }")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.button)
        layout.addWidget(self.words)
        quiet(self)
        self.side = SIDE
        self._passes: dict[str, Pass] = {}
        self._known: dict[Key, Cost] = {}
        self.button.pressed.connect(self._start)
        self.button.step.connect(self._step)
        self.button.failed.connect(self._failed)
        self.button.finished.connect(self._refresh)

    @property
    def running(self) -> bool:
        """Whether something is being measured."""
        return self.button.running

    @property
    def costs(self) -> dict[str, Cost]:
        """What was measured, by the candidate's name."""
        return {name: self._known[one.key] for name, one in self._passes.items() if one.key in self._known}

    def offer(self, passes: Mapping[str, Pass]) -> None:
        """Offer to measure these; what was measured before is kept."""
        self._passes = dict(passes)
        self._refresh()

    def quit(self) -> None:
        """Nobody waits any more."""
        self.button.quit()

    def _start(self) -> None:
        once = {one.key: one for one in self._passes.values()}
        left = [one for key, one in once.items() if key not in self._known]
        self.button.start(measure_steps, left or list(once.values()), self.side)

    def _step(self, step: Measuring) -> None:
        self.button.bar.setRange(0, step.total)
        self.button.bar.setValue(step.done)
        self.words.setText(step.words)
        if step.cost is not None:
            self._known[step.key] = step.cost
            self.measured.emit()

    def _failed(self, error: Exception) -> None:
        known = isinstance(error, UNetSharpError)
        self.failed.emit(str(error) if known else f"Unexpected {type(error).__name__}: {error}")

    def _refresh(self) -> None:
        """Say what is measured."""
        self.setVisible(bool(self._passes))
        if self.running:
            return
        costs = self.costs
        devices = sorted({f"{cost.device}, {cost.precision}" for cost in costs.values()})
        missing = len({one.key for one in self._passes.values()} - self._known.keys())
        told = f"Measured on {'; '.join(devices)}." if devices else "Speed isn't measured yet: work is counted instead."
        self.words.setText(f"{told} {missing} still to be measured." if devices and missing else told)
