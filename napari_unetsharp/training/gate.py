"""The gate: how the parent does, how each epoch does, and whether the best of them is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.training.kept_aside import Split
from napari_unetsharp.training.preview import Preview
from napari_unetsharp.training.quality import Tally, tallies
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.verdict import ALLOWED_LOSS, Change, Verdict, judge

Levels = dict[str, list[Tally]]
"""By node and sample."""


@dataclass
class Measured:
    """How a model does here (on what was kept aside, or on all that was reviewed) and on the check images."""

    here: Levels = field(default_factory=dict)
    check: Levels = field(default_factory=dict)


class Gate:
    """Measures models on the same nuclei.

    Parameters
    ----------
    samples : Split
    check : list of ReviewedSample
        Images that tell whether something was forgotten.
    node : str
        The output that is judged; all shallower ones of the model are measured as well.
    device : str
    stop : callable
        Asked before each image; what was measured only in part counts as not measured.

    Attributes
    ----------
    preview : Preview
    """

    def __init__(
        self, samples: Split, check: list[ReviewedSample], node: str, device: str, stop: Callable[[], bool]
    ) -> None:
        self.samples, self.check, self.node = samples, check, node
        self.preview = Preview(samples.aside or samples.training, node)
        self._device, self._stop = device, stop
        self._parent, self._parent_train = Measured(), Levels()
        self._best = Measured()

    def measure_parent(self, parent: Checkpoint) -> None:
        """Measure the model as it is, everywhere."""
        self._parent = self._measured(parent, self.preview.before)
        if self.samples.aside:
            self._parent_train = self._tallies(parent, self.samples.training)

    @property
    def untuned(self) -> tuple[Levels, Levels]:
        """How the model did before, here and on the check images."""
        return self._parent.here, self._parent.check

    def measure(self, checkpoint: Checkpoint) -> tuple[Measured, float]:
        """Measure an epoch.

        Returns
        -------
        measured : Measured
        score : float
            Of the output that is judged; what is lost on the check images beyond what is allowed counts twice.
            -inf where it was stopped.
        """
        measured = self._measured(checkpoint, self.preview.after)
        if self._stop():
            return measured, -np.inf
        lost = _score(self._parent.check[self.node]) - _score(measured.check[self.node])
        return measured, _score(measured.here[self.node]) - 2 * max(0.0, lost - ALLOWED_LOSS)

    def take(self, best: Measured) -> Verdict:
        """Remember the best epoch so far.

        Returns
        -------
        Verdict
            Of what was measured; see `final` for everything reviewed.
        """
        self._best = best
        return self._verdict(None)

    def final(self, best: Checkpoint) -> Verdict | None:
        """The verdict on everything reviewed; None where it was stopped, or nothing more is known than before."""
        if self._stop() or not self.samples.aside:
            return None
        train = self._tallies(best, self.samples.training)
        return None if self._stop() else self._verdict(train)

    def levels(self) -> dict[str, Any]:
        """Each depth that is saved, before and after, on the same nuclei: those that got worse can be marked."""
        return {
            node: {
                "here": Change.of(self._parent.here[node], here).as_dict(),
                "check": Change.of(self._parent.check[node], self._best.check[node]).as_dict(),
            }
            for node, here in self._best.here.items()
        }

    def _verdict(self, train: Levels | None) -> Verdict:
        node, parent, best = self.node, self._parent, self._best
        here = Change.of(parent.here[node], best.here[node])
        check = Change.of(parent.check[node], best.check[node]) if self.check else None
        if not self.samples.aside:
            return judge(None, here, check)
        everything = None
        if train is not None:
            before = parent.here[node] + self._parent_train[node]
            everything = Change.of(before, best.here[node] + train[node])
        return judge(here, everything, check)

    def _measured(self, checkpoint: Checkpoint, shown: Any) -> Measured:
        here = tallies(checkpoint, self.samples.aside or self.samples.training, self._device, shown, self._stop)
        return Measured(here, self._tallies(checkpoint, self.check))

    def _tallies(self, checkpoint: Checkpoint, samples: list[ReviewedSample]) -> Levels:
        return tallies(checkpoint, samples, self._device, None, self._stop)


def pooled(levels: Levels) -> dict[str, Tally]:
    """All samples together, by node."""
    return {node: Tally.pooled(parts) for node, parts in levels.items()}


def _score(parts: list[Tally]) -> float:
    return Tally.pooled(parts).quality().score
