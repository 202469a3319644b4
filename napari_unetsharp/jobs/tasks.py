"""What a worker is asked to do: start a job, compute blocks of a slide, or paint what was computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.jobs.job import Job, Told, keep, start_job
from napari_unetsharp.jobs.settings import NetworkSettings
from napari_unetsharp.jobs.slide_job import BlocksTold, Place, SlidePlan, compute_blocks, paint_slide
from napari_unetsharp.jobs.state import Row

_one_at_a_time = threading.Lock()
"""A worker of Dask may have several threads, but one network."""


@dataclass(frozen=True)
class Answer:
    """What a worker gives back.

    Attributes
    ----------
    found : dict, SlidePlan or BlocksTold
        A row, the plan of a slide, or what is to be told of blocks.
    device : dict of str to str
        kind and name of what computed it.
    seconds : float
    """

    found: Row | SlidePlan | BlocksTold
    device: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class Task:
    """Something for one worker.

    Attributes
    ----------
    job : Job
        Its lock is held by whoever gives the task out.
    network : NetworkSettings
    plan : SlidePlan or None
        None to start the job.
    blocks : tuple of (row, column)
        To compute; none to paint the plan's slide.
    told : BlocksTold
        Of the blocks, when painting.
    """

    job: Job
    network: NetworkSettings
    plan: SlidePlan | None = None
    blocks: tuple[Place, ...] = ()
    told: BlocksTold = field(default_factory=BlocksTold)

    def run(self, number: int = 0, threads: int = 0) -> Answer:
        """Do it.

        Parameters
        ----------
        number : int
            Of the worker on its machine: chooses among several GPUs.
        threads : int
            Torch's share of the processors; as it is if 0.
        """
        with _one_at_a_time:
            started = time.monotonic()
            if self.network.device in ("auto", "cuda") and (gpus := torch.cuda.device_count()) > 1:
                torch.cuda.set_device(number % gpus)
            predictor = self.network.predictor(threads)
            device = {"kind": predictor.device.kind, "name": predictor.device.name}
            found = self._found(predictor)
            return Answer(found, device, time.monotonic() - started)

    def _found(self, predictor: Predictor) -> Row | SlidePlan | BlocksTold:
        if self.plan is None:
            return start_job(self.job, predictor)
        return self._computed(self.plan, predictor) if self.blocks else self._painted(self.plan)

    def _computed(self, plan: SlidePlan, predictor: Predictor) -> BlocksTold:
        try:
            return compute_blocks(plan, self.blocks, predictor)
        except (UNetSharpError, OSError) as error:
            return BlocksTold([str(error)])
        except Exception as error:  # nobody watches; the row tells it
            return BlocksTold([f"something unforeseen failed: {type(error).__name__}: {first_line(error)}"])

    def _painted(self, plan: SlidePlan) -> Row:
        row = dict(plan.row)
        with Told(self.job, row):
            paint_slide(plan, row, self.told)
        keep(self.job, row, plan.key)
        return row


def groups_of(blocks: Sequence[Place], workers: int, most: int = 16) -> list[tuple[Place, ...]]:
    """Cut a slide's blocks into tasks: at least two for each worker where there are so many, and not too long."""
    side = max(1, min(most, -(-len(blocks) // (2 * workers))))
    return [tuple(blocks[at : at + side]) for at in range(0, len(blocks), side)]
