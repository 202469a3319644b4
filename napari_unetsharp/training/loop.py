"""Epochs of steps: the loop that `fit` (train) and `fine_tune` share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_unetsharp.errors import DeviceError, TrainingError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.training.resume import Progress

Losses = list[dict[str, float]]
"""Loss by branch of each step, and ``"all"``."""

_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
"""How torch and the systems below it say that there is no room; nothing else is called so."""


@dataclass(frozen=True)
class StepReport:
    """After each step: where we are and how it goes."""

    epoch: int
    step: int
    steps: int
    loss: float
    branches: dict[str, float]
    seconds_left: float


class Trained(nn.Module):
    """Network and guided modules behind one forward, which is what Fabric wraps."""

    def __init__(self, network: UNetSharp) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        level = self.network.config.level
        maps = self.network.features(images, level)
        return self.network.head_logits(maps, level), self.network.presence_logits(maps, level)


@dataclass(frozen=True)
class Pace:
    """How fast a training goes.

    Attributes
    ----------
    epochs, steps : int
        Of the training, and of each epoch.
    rate : float
        Peak learning rate.
    warm_up : int
        Steps with a rising rate.
    averaging : float
        Share that stays per step in the running average of the weights.
    """

    epochs: int
    steps: int
    rate: float
    warm_up: int
    averaging: float


@dataclass
class Loop:
    """What goes through an epoch.

    Attributes
    ----------
    fabric : Fabric
    wrapped : nn.Module
        What Fabric made of `Trained`.
    network, average : UNetSharp
        The one inside, and the running average of its weights.
    optimiser : Optimizer
    pace : Pace
    loss : callable
        Module and batch on the device to the total and the loss by branch.
    diverged : callable
        Progress to the sentence that is raised when the loss is no number.
    """

    fabric: Fabric
    wrapped: nn.Module
    network: UNetSharp
    average: UNetSharp
    optimiser: torch.optim.Optimizer
    pace: Pace
    loss: Callable[[nn.Module, Any], tuple[Tensor, dict[str, Tensor]]]
    diverged: Callable[[Progress], str]

    def epoch(
        self, batches: Iterable[Any], progress: Progress, stop: Callable[[], bool]
    ) -> Generator[StepReport, None, Losses | None]:
        """Go through the batches of an epoch.

        Parameters
        ----------
        batches : iterable
        progress : Progress
            Its step is counted up.
        stop : callable
            Asked after each step.

        Yields
        ------
        StepReport

        Returns
        -------
        list of dict, or None
            Losses of each step; None if it was stopped.

        Raises
        ------
        TrainingError
            If the loss is no number any more.
        DeviceError
            If the device fails.
        """
        started, losses, pace = time.monotonic(), [], self.pace
        for step, batch in enumerate(batches):
            _set_rate(self.optimiser, pace, progress.step)
            total, branches = self._step(batch)
            if not math.isfinite(total):
                raise TrainingError(self.diverged(progress))
            _follow(self.average, self.network, min(pace.averaging, progress.step / (progress.step + 10)))
            progress.step += 1
            losses.append(branches | {"all": total})
            spent = (time.monotonic() - started) / (step + 1)
            left = spent * (pace.steps * pace.epochs - progress.step)
            yield StepReport(progress.epoch + 1, step + 1, pace.steps, total, branches, left)
            if stop():
                return None
        return losses

    def _step(self, batch: Any) -> tuple[float, dict[str, float]]:
        try:
            total, branches = self.loss(self.wrapped, self.fabric.to_device(batch))
            self.optimiser.zero_grad(set_to_none=True)
            self.fabric.backward(total)
            self.optimiser.step()
            return float(total.detach()), {name: float(value.detach()) for name, value in branches.items()}
        except (RuntimeError, MemoryError) as error:  # napari's workers swallow a RuntimeError
            raise step_error(error, str(self.fabric.device)) from error


def step_error(error: BaseException, device: str) -> DeviceError:
    """What failed in a step of training; "out of memory" only where the system says so."""
    advice = "try a smaller batch, a shallower depth, or the CPU"
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _MEMORY):
        return DeviceError(f"{device} is out of memory in a step of training ({first_line(error)}); {advice}")
    return DeviceError(f"{device} failed in a step of training ({first_line(error)}); {advice}")


def prepared_fabric(device: str, devices: int | str, precision: Any) -> Fabric:
    """Start Lightning Fabric.

    Raises
    ------
    DeviceError
        If the device isn't there, or Fabric can't work as asked.
    """
    kind = choose_device(device).kind
    try:
        fabric = Fabric(accelerator="gpu" if kind == "cuda" else kind, devices=devices, precision=precision)
        fabric.launch()
    except Exception as error:  # Lightning has kinds of its own
        raise DeviceError(
            f"training can't run on {kind} with devices={devices!r} and precision={precision!r} "
            f"({first_line(error)}); leave them at their defaults or choose --device cpu"
        ) from error
    return fabric


def mean_losses(losses: Losses) -> dict[str, float]:
    """Mean over steps, by branch, and of ``"all"``."""
    return {name: sum(row[name] for row in losses) / len(losses) for name in losses[0]}


def _set_rate(optimiser: torch.optim.Optimizer, pace: Pace, step: int) -> None:
    """Rise shortly, then follow a cosine to zero at the last step."""
    rising = min(1.0, (step + 1) / max(1, pace.warm_up))
    for group in optimiser.param_groups:
        group["lr"] = pace.rate * rising * 0.5 * (1 + math.cos(math.pi * step / (pace.steps * pace.epochs)))


@torch.no_grad()
def _follow(average: UNetSharp, network: UNetSharp, stay: float) -> None:
    """Move the running average of weights and statistics towards the network."""
    current = network.state_dict()
    for key, value in average.state_dict().items():
        new = current[key].detach().to(value.device, value.dtype)
        if value.is_floating_point():
            value.lerp_(new, 1 - stay)
        else:
            value.copy_(new)
