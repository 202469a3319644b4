"""THE training loop: a generator of reports, from scratch, resumable, best kept."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_unetsharp.errors import DatasetError, DeviceError, TrainingError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.network.grid import branches_of_level
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.training.crops import Crops
from napari_unetsharp.training.losses import hybrid_loss, presence_loss
from napari_unetsharp.training.recipe import Recipe
from napari_unetsharp.training.resume import Progress, restored, save_progress
from napari_unetsharp.training.samples import Sample
from napari_unetsharp.training.start import begin_with
from napari_unetsharp.training.validation import validate


@dataclass(frozen=True)
class StepReport:
    """After each step: where we are and how it goes."""

    epoch: int
    step: int
    steps: int
    loss: float
    branches: dict[str, float]
    seconds_left: float


@dataclass(frozen=True)
class EpochReport:
    """After each epoch: losses per branch, pooled validation IoU per level, and whether it is the best yet."""

    epoch: int
    epochs: int
    loss: float
    branches: dict[str, float]
    iou: dict[str, float]
    best: bool
    seconds: float


class _Trained(nn.Module):
    """Network and guided modules behind one forward, which is what Fabric wraps."""

    def __init__(self, network: UNetSharp) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        level = self.network.config.level
        maps = self.network.features(images, level)
        return self.network.head_logits(maps, level), self.network.presence_logits(maps, level)


def fit(
    training: list[Sample],
    validation: list[Sample],
    out: Path,
    recipe: Recipe,
    metadata: CheckpointMetadata | None = None,
    device: str = "auto",
    devices: int | str = 1,
    precision: Any = "32-true",
    stop: Callable[[], bool] = lambda: False,
    parent: Checkpoint | None = None,
) -> Iterator[StepReport | EpochReport]:
    """Train a network and keep the best epoch.

    Parameters
    ----------
    training, validation : list of Sample
        Validation selects the epoch that is kept, by pooled pixel IoU averaged over the levels.
    out : Path
        The best so far, ``.safetensors`` in float16. Beside it ``OUT.resume``, from which a training with the same
        recipe and images goes on where it was, to the last bit on a CPU; it is removed at the end.
    recipe : Recipe
    metadata : CheckpointMetadata, optional
        Intensity, class names, pixel and nucleus size to be stored.
    device : "auto", "cpu", "cuda" or "mps"
        "auto" takes the first accelerator that is there.
    devices : int or "auto"
        How many of them (Lightning Fabric).
    precision : str
        As Lightning Fabric names it.
    stop : callable
        Asked after each step; True ends the training with the best epoch kept.
    parent : Checkpoint, optional
        Begin with its weights (see `begin_with`).

    Yields
    ------
    StepReport or EpochReport

    Raises
    ------
    TrainingError
        If the loss is no number any more, or the file beside doesn't belong to this recipe and these images.
    DatasetError
        If there is no sample, or one can't be read.
    DeviceError
        If the device is not there, or fails in the middle.
    """
    if not training or not validation:
        raise DatasetError(f"{len(training)} images to train and {len(validation)} to validate; one or more of each")
    fabric = _fabric(device, devices, precision)
    fabric.seed_everything(recipe.seed, verbose=False)
    metadata = metadata or CheckpointMetadata(out.stem, crop=recipe.crop)
    metadata = replace(metadata, nucleus_size=recipe.nucleus_size or metadata.nucleus_size)
    network = UNetSharp(UNetSharpConfig(level=recipe.level, guided=recipe.guided, extras=recipe.extras))
    if parent is not None:
        begin_with(network, parent)
        metadata = replace(metadata, parent=parent.metadata.sha256)
    average = UNetSharp(network.config)
    average.load_state_dict(network.state_dict())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs don't know it
    module = _Trained(network)
    optimiser = torch.optim.Adam(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    wrapped, optimiser = fabric.setup(module, optimiser)
    resume = out.with_name(f"{out.name}.resume")
    task = {"recipe": recipe.as_dict(), "images": [sample.name for sample in (*training, *validation)],
            "parent": metadata.parent}  # fmt: skip
    progress = restored(resume, task, network, average, optimiser)
    crops = Crops(training, network.config.in_channels, recipe, metadata)
    steps_per_epoch = max(1, (recipe.crops_per_epoch or len(training)) // (recipe.batch * fabric.world_size))
    while progress.epoch < recipe.epochs:
        started, losses = time.monotonic(), []
        seed = (recipe.seed, progress.epoch, fabric.global_rank)
        torch.manual_seed(int(np.random.default_rng(seed).integers(2**31)))  # of dropout
        wrapped.train()
        for step, (images, target) in enumerate(crops.batches(seed, steps_per_epoch)):
            _set_rate(optimiser, recipe, progress.step, steps_per_epoch * recipe.epochs)
            total, branches = _step(fabric, wrapped, optimiser, images, target, network.config.classes)
            if not math.isfinite(total):
                kept = f"the best epoch so far is kept in {out}" if progress.epoch else "no epoch was finished"
                raise TrainingError(
                    f"the loss is no number after {progress.step} steps; {kept}; "
                    "try again with a smaller --rate and another --out"
                )
            _follow(average, network, min(recipe.averaging, progress.step / (progress.step + 10)))
            progress.step += 1
            losses.append(branches | {"all": total})
            spent = (time.monotonic() - started) / (step + 1)
            left = spent * (steps_per_epoch * recipe.epochs - progress.step)
            yield StepReport(progress.epoch + 1, step + 1, steps_per_epoch, total, branches, left)
            if stop():
                return
        progress.epoch += 1
        progress.seconds += time.monotonic() - started
        report = _finish_epoch(fabric, average, validation, metadata, recipe, progress, losses, out)
        if fabric.is_global_zero:
            save_progress(resume, task, network, average, optimiser, progress)
        yield report
    if fabric.is_global_zero:
        resume.unlink(missing_ok=True)


def _fabric(device: str, devices: int | str, precision: Any) -> Fabric:
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


def _step(
    fabric: Fabric, module: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, target: Tensor, classes: int
) -> tuple[float, dict[str, float]]:
    try:
        images, target = fabric.to_device((images, target))
        weight = torch.ones_like(target)
        logits, presence = module(images)
        total, branches = hybrid_loss(logits, target, weight, classes)
        if presence:
            total = total + presence_loss(presence, target[:, :classes], weight[:, :classes])
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(total)
        optimiser.step()
        return float(total.detach()), {name: float(value.detach()) for name, value in branches.items()}
    except RuntimeError as error:  # out of memory, mostly; napari's workers swallow a RuntimeError
        raise DeviceError(
            f"{fabric.device} failed in a step of training ({first_line(error)}); try a smaller --batch or --device cpu"
        ) from error


def _set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, step: int, steps: int) -> None:
    """Rise shortly, then follow a cosine to zero at the last step."""
    rising = min(1.0, (step + 1) / max(1, recipe.warm_up))
    for group in optimiser.param_groups:
        group["lr"] = recipe.rate * rising * 0.5 * (1 + math.cos(math.pi * step / steps))


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


def _finish_epoch(
    fabric: Fabric, average: UNetSharp, validation: list[Sample], metadata: CheckpointMetadata, recipe: Recipe,
    progress: Progress, losses: list[dict[str, float]], out: Path,
) -> EpochReport:  # fmt: skip
    started = time.monotonic()
    metrics = validate(Checkpoint(average.eval(), metadata), validation, str(fabric.device), recipe.validation_side)
    iou = metrics["iou_pooled"]["all"]
    levels = [name for name in branches_of_level(recipe.level) if name.startswith("x0") and name in iou]
    score = float(np.mean([iou[name] for name in levels]))
    branches = {name: float(np.mean([row[name] for row in losses])) for name in losses[0] if name != "all"}
    loss = float(np.mean([row["all"] for row in losses]))
    best = score > progress.best
    progress.best = max(progress.best, score)
    progress.seconds += time.monotonic() - started
    report = EpochReport(progress.epoch, recipe.epochs, loss, branches, iou, best, progress.seconds)
    progress.history.append(asdict(report))
    if best and fabric.is_global_zero:
        kept = replace(
            metadata, history=list(progress.history), metrics=metrics,
            recipe=recipe.as_dict() | _circumstances(fabric, progress),
        )  # fmt: skip
        Checkpoint(average, kept).save(out, half=True)
    return report


def _circumstances(fabric: Fabric, progress: Progress) -> dict[str, Any]:
    device = torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else platform.machine()
    return {
        "hours": round(progress.seconds / 3600, 3), "device": f"{fabric.device.type} ({device})",
        "threads": torch.get_num_threads(), "torch": torch.__version__, "python": platform.python_version(),
    }  # fmt: skip
