"""Fine-tuning: a generator of reports that ends with a candidate beside a verdict, and changes no other file."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unetsharp.errors import DatasetError, TrainingError
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.training.gate import Gate, pooled
from napari_unetsharp.training.kept_aside import split
from napari_unetsharp.training.loop import Loop, Losses, Pace, StepReport, Trained, mean_losses, prepared_fabric
from napari_unetsharp.training.old_examples import check_images, old_examples
from napari_unetsharp.training.protection import TuningLoss, blended, hold_near
from napari_unetsharp.training.resume import Progress
from napari_unetsharp.training.reviewed_crops import Batch, ReviewedCrops
from napari_unetsharp.training.reviewed_sample import ReviewedSample, what_is_missing
from napari_unetsharp.training.sample_sources import read_all
from napari_unetsharp.training.speeds import choose_weights, hold_statistics, sub_network
from napari_unetsharp.training.tune_reports import (
    CANDIDATE,
    PREVIEW,
    Finished,
    Phase,
    Report,
    SamplesRead,
    Tuned,
    Untuned,
    parts_told,
)
from napari_unetsharp.training.tune_settings import TuneSettings
from napari_unetsharp.training.verdict import Verdict

__all__ = [
    "CANDIDATE", "PREVIEW", "Finished", "Phase", "Report", "SamplesRead", "StepReport", "Tuned", "Untuned", "fine_tune",
]  # fmt: skip

_WILD = 4.0
"""A loss that is so many times the smallest so far, and above it in `_IN_A_ROW` steps, diverges."""
_IN_A_ROW = 3


def fine_tune(
    settings: TuneSettings, folder: Path, stop: Callable[[], bool] = lambda: False
) -> Generator[Report, None, None]:
    """Tune a copy of a checkpoint on what somebody reviewed.

    Parameters
    ----------
    settings : TuneSettings
    folder : Path
        Gets the candidate (`CANDIDATE`, the best epoch so far, written beside and renamed) and the preview.
    stop : callable
        Asked after each step; True ends the training with the best epoch so far.

    Yields
    ------
    Report
        `Finished` is the last.

    Raises
    ------
    DatasetError
        If samples can't be read, or teach nothing: the message says what is needed.
    TrainingError
        If the loss is no number, or grows wildly, before an epoch was finished.
    CheckpointError, SettingsError, DeviceError
    """
    return _Tuning(settings, folder, stop).run()


class _Tuning:
    """One training, from reading the samples to the verdict."""

    def __init__(self, settings: TuneSettings, folder: Path, stop: Callable[[], bool]) -> None:
        self.settings, self.folder, self.stop = settings, folder, stop
        self.parent = load_checkpoint(settings.checkpoint, **settings.known)
        self.history: list[dict[str, Any]] = []
        self.losses_seen: list[float] = []
        self.best, self.best_score, self.share = 0, -np.inf, 1.0
        self.verdict: Verdict | None = None
        self.started = time.monotonic()
        self.why = ""

    def run(self) -> Generator[Report, None, None]:
        settings = self.settings
        yield Phase("reading", "Reading the samples")
        channels = self.parent.config.in_channels
        samples = read_all(settings.samples, channels)
        missing = what_is_missing(samples)
        if missing:
            raise DatasetError(missing)
        self.samples = split(samples, settings.seed, settings.quarter)
        missing = what_is_missing(self.samples.training)
        if missing:
            raise DatasetError(f"too much is kept aside: of what is left to learn from, {missing}")
        yield SamplesRead(self.samples)
        folders = [Path(folder) for folder in settings.old_folders]
        check = check_images(channels, folders, settings.seed, settings.drawn_check)
        self._prepare(old_examples(channels, folders, settings.seed, settings.drawn_old), check)
        yield Phase("measuring", "Measuring the model as it is")
        self.gate.measure_parent(Checkpoint(self.before.eval(), self.parent.metadata))
        yield Untuned(*map(pooled, self.gate.untuned))
        yield Phase("training", "Learning")
        yield from self._epochs()
        candidate = self.folder / CANDIDATE
        if candidate.is_file() and not self.why:
            yield Phase("checking", "Trying steps back towards the model as it was")
            self._blend(load_checkpoint(candidate).network)
        if candidate.is_file():
            self._judge_everything(candidate)
        yield Finished(candidate if candidate.is_file() else None, self.verdict, self.why)

    def _prepare(self, old: list[ReviewedSample], check: list[ReviewedSample]) -> None:
        settings = self.settings
        fabric = prepared_fabric(settings.device, settings.devices, settings.precision)
        fabric.seed_everything(settings.seed, verbose=False)
        network: Any = sub_network(self.parent, settings.speed, settings.level)
        self.average, self.before = UNetSharp(network.config), UNetSharp(network.config)
        for copy in (self.average, self.before):
            copy.load_state_dict(network.state_dict())
        weights = choose_weights(network.to(memory_format=torch.channels_last), settings.speed)
        optimiser = torch.optim.Adam(weights, lr=settings.peak_rate)
        hold_near(optimiser, settings.protection.stay)
        loss = TuningLoss(network, settings.protection)
        wrapped, optimiser = fabric.setup(Trained(network), optimiser)
        pace = Pace(settings.epochs, settings.steps, settings.peak_rate, settings.steps // 2, settings.averaging)
        self.loop = Loop(fabric, wrapped, network, self.average, optimiser, pace, loss, _diverged)
        material = self.samples.training, old, settings.crops, self.parent.metadata, network.config.extras
        self.crops = ReviewedCrops(*material)
        node, self.device = f"x0{settings.level or network.config.level}", fabric.device.type
        self.gate = Gate(self.samples, check, node, self.device, self.stop)

    def _epochs(self) -> Iterator[Report]:
        settings, progress = self.settings, Progress()
        while progress.epoch < settings.epochs:
            if self.stop():
                self.why = "stopped"
                return
            began = time.monotonic()
            seed = (settings.seed, progress.epoch, self.loop.fabric.global_rank)
            torch.manual_seed(int(np.random.default_rng(seed).integers(2**31)))  # of dropout
            self.loop.wrapped.train()
            if settings.hold_statistics:
                hold_statistics(self.loop.wrapped)
            try:
                losses = yield from self._steps(self.crops.batches(seed, settings.steps), progress)
            except TrainingError as error:
                if not self.best:
                    raise
                self.why = f"{error}; the model is back at epoch {self.best}, the best"
                return
            if losses is None:
                self.why = self.why or "stopped"
                return
            progress.epoch += 1
            yield self._finish(progress, losses, began)

    def _steps(self, batches: Iterator[Batch], progress: Progress) -> Generator[StepReport, None, Losses | None]:
        """An epoch that is given up when its loss grows wildly or the time is over."""
        steps, seen = self.loop.epoch(batches, progress, self.stop), self.losses_seen
        while True:
            try:
                report = next(steps)
            except StopIteration as ended:
                losses: Losses | None = ended.value
                return losses
            yield report
            seen.append(report.loss)
            least = max(1.0, min(seen))
            if min(seen[-_IN_A_ROW:]) > _WILD * least:
                raise TrainingError(
                    f"the loss grew to {report.loss:.1f} after {progress.step} steps, from {least:.1f}; "
                    "try again with a smaller learning rate"
                )
            minutes = self.settings.minutes
            if minutes and time.monotonic() - self.started > 60 * minutes:
                self.why = f"the {minutes:g} minutes are over"
                steps.close()
                return None

    def _finish(self, progress: Progress, losses: Losses, began: float) -> Tuned:
        """Measure the running average, and keep it if it is the best so far."""
        measured, score = self.gate.measure(Checkpoint(self.average.eval(), self.parent.metadata))
        best, branches = score > self.best_score, mean_losses(losses)
        here, check = pooled(measured.here), pooled(measured.check)
        told = [{node: tally.quality().as_dict() for node, tally in part.items()} for part in (here, check)]
        self.history.append({
            "epoch": progress.epoch, "losses": branches, "best": best, "aside": told[0], "check": told[1],
            "score": float(score) if np.isfinite(score) else None,
        })  # fmt: skip
        preview = self.gate.preview.save(self.folder / PREVIEW)
        if best:
            self.best, self.best_score = progress.epoch, score
            self.verdict = self.gate.take(measured)
            self._save(self.average, self.verdict)
        left = (time.monotonic() - began) * (self.settings.epochs - progress.epoch)
        return Tuned(progress.epoch, self.settings.epochs, branches, here, check, best, left, preview)

    def _blend(self, best: UNetSharp) -> None:
        """Models part of the way from the parent to the best epoch: they may keep more of the old and find as much."""
        for share in self.settings.protection.blends:
            network = blended(self.before, best, share)
            measured, score = self.gate.measure(Checkpoint(network, self.parent.metadata))
            if score > self.best_score:
                self.best_score, self.share = score, share
                self.verdict = self.gate.take(measured)
                self._save(network, self.verdict)

    def _judge_everything(self, candidate: Path) -> None:
        """The verdict on all that was reviewed, unless somebody waits for the end."""
        best = load_checkpoint(candidate)
        verdict = self.gate.final(best)
        if verdict is not None:
            self.verdict = verdict
            self._save(best.network, verdict)

    def _save(self, network: UNetSharp, verdict: Verdict) -> None:
        if not self.loop.fabric.is_global_zero:
            return
        parent = self.parent.metadata
        metrics = {
            "verdict": verdict.as_dict(), "node": self.gate.node, "epoch": self.best, "blend": self.share,
            "levels": self.gate.levels(),
        }  # fmt: skip
        metadata = replace(
            parent, parent=parent.sha256, history=list(self.history), recipe=self._recipe(), metrics=metrics
        )
        Checkpoint(network, metadata).save(self.folder / CANDIDATE)

    def _settings(self) -> dict[str, Any]:
        """As they were given, without the files of single masks: there may be thousands."""
        settings = self.settings.as_dict()
        for source in settings["samples"]:
            source.pop("masks", None)
        return settings

    def _recipe(self) -> dict[str, Any]:
        """Settings, samples, versions and machine: what a person needs to do it again."""
        gpu = torch.cuda.get_device_name() if self.device == "cuda" else platform.machine()
        return {
            "kind": "fine-tuning", "settings": self._settings(), "aside": self.samples.words,
            "parent_name": self.parent.metadata.name, "samples": parts_told(self.samples),
            "device": f"{self.device} ({gpu})", "threads": torch.get_num_threads(),
            "seconds": round(time.monotonic() - self.started, 1), "torch": torch.__version__,
            "python": platform.python_version(),
        }  # fmt: skip


def _diverged(progress: Progress) -> str:
    return f"the loss is no number after {progress.step} steps; try again with a smaller learning rate"
