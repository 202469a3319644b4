"""A live look as a job for a worker, and a run that waits until it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_unetsharp.inference.live import Look, TooWide
from napari_unetsharp.inference.live_network import LiveNetwork, LiveWish
from napari_unetsharp.inference.live_results import LiveResults
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import PlaneDone, TileDone, guarded
from napari_unetsharp.network.checkpoint import SHIPPED
from napari_unetsharp.widgets.job import FindJob

if TYPE_CHECKING:
    from napari_unetsharp.nuclei.instances import LabelSettings
    from napari_unetsharp.widgets.models import ModelList

Steps = Iterator[Predictor | TileDone | PlaneDone | TooWide]


def live_steps(
    network: LiveNetwork, models: ModelList, job: FindJob, results: LiveResults, first: LiveResults,
    settings: LabelSettings, stop: Callable[[], bool],
) -> Steps:  # fmt: skip
    """One look, for a worker; any RuntimeError becomes one of ours."""

    def steps() -> Steps:
        network.take(wish_of(job), models.load)
        look = Look(network, results, first, job.planes[0], cast("Any", job.region), settings, stop)
        yield from look.steps()

    yield from cast("Steps", guarded(cast("Any", steps())))


def after(idle: threading.Event, steps: Callable[..., Iterator[Any]], *args: Any, stop: Callable[[], bool]) -> Any:
    """A run, for a worker, that starts when a look has ended: both write into the same maps."""
    while not idle.wait(0.05):
        if stop():
            return
    yield from steps(*args, stop=stop)


def wish_of(job: FindJob) -> LiveWish:
    """What is asked of the network; a model's file that was written again is another model."""
    file = SHIPPED.get(job.model, Path(job.model))
    written = file.stat().st_mtime_ns if file.is_file() else 0
    return LiveWish(job.model, job.device, job.depth, job.nucleus_size, tuple(sorted(job.options.items())), written)


def replaced(before: Any, now: Any) -> bool:
    """Whether a layer's pixels are others than those that were looked at."""
    both = isinstance(before, np.ndarray) and isinstance(now, np.ndarray)
    return both and not np.may_share_memory(before, now)
