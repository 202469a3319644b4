"""THE training loop: a generator of reports, from scratch, resumable, best kept."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_unetsharp.errors import DatasetError
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import branches_of_level
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.training.crops import Crops
from napari_unetsharp.training.loop import Loop, Losses, Pace, StepReport, Trained, mean_losses, prepared_fabric
from napari_unetsharp.training.losses import hybrid_loss, presence_loss
from napari_unetsharp.training.recipe import Recipe
from napari_unetsharp.training.resume import Progress, restored, save_progress
from napari_unetsharp.training.samples import Sample
from napari_unetsharp.training.start import begin_with
from napari_unetsharp.training.validation import validate

__all__ = ["EpochReport", "StepReport", "fit"]


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
    fabric = prepared_fabric(device, devices, precision)
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
    module = Trained(network)
    optimiser = torch.optim.Adam(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    wrapped, optimiser = fabric.setup(module, optimiser)
    resume = out.with_name(f"{out.name}.resume")
    task = {"recipe": recipe.as_dict(), "images": [sample.name for sample in (*training, *validation)],
            "parent": metadata.parent}  # fmt: skip
    progress = restored(resume, task, network, average, optimiser)
    crops = Crops(training, network.config.in_channels, recipe, metadata)
    steps_per_epoch = max(1, (recipe.crops_per_epoch or len(training)) // (recipe.batch * fabric.world_size))
    pace = Pace(recipe.epochs, steps_per_epoch, recipe.rate, recipe.warm_up, recipe.averaging)

    def diverged(progress: Progress) -> str:
        kept = f"the best epoch so far is kept in {out}" if progress.epoch else "no epoch was finished"
        advice = "try again with a smaller --rate and another --out"
        return f"the loss is no number after {progress.step} steps; {kept}; {advice}"

    loss = partial(_loss, classes=network.config.classes)
    loop = Loop(fabric, wrapped, network, average, optimiser, pace, loss, diverged)
    while progress.epoch < recipe.epochs:
        started = time.monotonic()
        seed = (recipe.seed, progress.epoch, fabric.global_rank)
        torch.manual_seed(int(np.random.default_rng(seed).integers(2**31)))  # of dropout
        wrapped.train()
        losses = yield from loop.epoch(crops.batches(seed, steps_per_epoch), progress, stop)
        if losses is None:
            return
        progress.epoch += 1
        progress.seconds += time.monotonic() - started
        report = _finish_epoch(fabric, average, validation, metadata, recipe, progress, losses, out)
        if fabric.is_global_zero:
            save_progress(resume, task, network, average, optimiser, progress)
        yield report
    if fabric.is_global_zero:
        resume.unlink(missing_ok=True)


def _loss(module: nn.Module, batch: tuple[Tensor, Tensor], classes: int) -> tuple[Tensor, dict[str, Tensor]]:
    images, target = batch
    weight = torch.ones_like(target)
    logits, presence = module(images)
    total, branches = hybrid_loss(logits, target, weight, classes)
    if presence:
        total = total + presence_loss(presence, target[:, :classes], weight[:, :classes])
    return total, branches


def _finish_epoch(
    fabric: Fabric, average: UNetSharp, validation: list[Sample], metadata: CheckpointMetadata, recipe: Recipe,
    progress: Progress, losses: Losses, out: Path,
) -> EpochReport:  # fmt: skip
    started = time.monotonic()
    metrics = validate(Checkpoint(average.eval(), metadata), validation, str(fabric.device), recipe.validation_side)
    iou = metrics["iou_pooled"]["all"]
    levels = [name for name in branches_of_level(recipe.level) if name.startswith("x0") and name in iou]
    score = float(np.mean([iou[name] for name in levels]))
    branches = mean_losses(losses)
    loss = branches.pop("all")
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
