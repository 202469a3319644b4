"""Train one row: the paper's recipe, resumable to the bit on a CPU."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from paper_rows import Row
from paper_samples import Batches

from napari_unetsharp.network.wired import WiredNetwork, initialise
from napari_unetsharp.training.losses import hybrid_loss, presence_loss

SAVED_EVERY = 60.0
"""Seconds between two states on disk."""


@dataclass(frozen=True)
class Schedule:
    """Settings that all rows of a table share.

    Attributes
    ----------
    steps, batch, size : int
        Steps in all, samples per step, side of a sample in pixels.
    rate, decay : float
        Peak learning rate, which falls to zero along a cosine, and weight decay of Adam.
    width : float
        Share of the published widths: 1.0 is the networks as they are.
    every : int
        Every how many-th validation image is measured.
    evaluations : int
        How often the result's pooled IoU is followed on the way; the last one is at the end.
    """

    steps: int
    batch: int = 16
    size: int = 96
    rate: float = 1e-3
    decay: float = 1e-4
    width: float = 1.0
    every: int = 1
    evaluations: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class Course:
    """How far a training has come.

    Attributes
    ----------
    step : int
    seconds, cpu_seconds : float
        Spent on steps: on the clock, and of the processor.
    checksum : int
        CRC-32 of all batches so far: equal for rows that were trained on the same samples in the same order.
    losses : list of float
    curve : list of dict
        ``step`` and the ``iou`` of the result on the way.
    """

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    checksum: int = 0
    losses: list[float] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)


def train(
    row: Row,
    batches: Batches,
    schedule: Schedule,
    state: Path,
    follow: Callable[[WiredNetwork], float],
    stop: Callable[[], bool] = lambda: False,
    device: str = "cpu",
) -> tuple[WiredNetwork, Course]:
    """Train from the start, or from where `state` says that it was left.

    Parameters
    ----------
    row : Row
    batches : Batches
        Its seed is the seed of the weights too.
    schedule : Schedule
    state : Path
        Written each minute and on stopping; the caller removes it when the row is done.
    follow : callable
        Gives the pooled IoU of a network.
    stop : callable
        Asked after each step; True ends the training before its time.
    device : str

    Returns
    -------
    network : WiredNetwork
    course : Course
        ``course.step < schedule.steps`` where it was stopped.
    """
    torch.manual_seed(batches.seed)
    network = row.network(schedule.width)
    initialise(network, batches.seed)
    network.to(device=device, memory_format=row.memory_format)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=schedule.rate, weight_decay=schedule.decay)
    task = [row.name, batches.protocol.name, batches.seed, schedule.as_dict(), [one.name for one in batches.pictures]]
    course = _restored(state, task, network, optimiser)
    saved = time.monotonic()
    while course.step < schedule.steps:
        _one_step(row, network, optimiser, batches, schedule, course, device)
        if course.step in _followed(schedule):
            course.curve.append({"step": course.step, "iou": follow(network)})
        stopped = stop()
        if stopped or time.monotonic() - saved > SAVED_EVERY:
            _save(state, task, network, optimiser, course)
            saved = time.monotonic()
        if stopped:
            break
    return network, course


def _one_step(
    row: Row, network: WiredNetwork, optimiser: torch.optim.Optimizer, batches: Batches, schedule: Schedule,
    course: Course, device: str,
) -> None:  # fmt: skip
    started, cpu = time.monotonic(), time.process_time()
    images, target = batches.at(course.step)
    course.checksum = zlib.crc32(
        target.numpy().tobytes(), zlib.crc32(images.contiguous().numpy().tobytes(), course.checksum)
    )
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate * 0.5 * (1 + math.cos(math.pi * course.step / schedule.steps))
    torch.manual_seed(batches.seed * 1_000_003 + course.step)  # dropout of the guided modules
    network.train()
    images, target = images.to(device).contiguous(memory_format=row.memory_format), target.to(device)
    weight = torch.ones_like(target)
    maps = network.features(images)
    loss, _ = hybrid_loss(network.head_logits(maps), target, weight)
    presence = network.presence_logits(maps)
    if presence:
        loss = loss + presence_loss(presence, target, weight)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    course.losses.append(round(float(loss.detach()), 4))
    course.step += 1
    course.seconds += time.monotonic() - started
    course.cpu_seconds += time.process_time() - cpu


def _followed(schedule: Schedule) -> set[int]:
    """Steps after which the network is measured on the way; the end is measured in full by the caller."""
    return {round(schedule.steps * part / schedule.evaluations) for part in range(1, schedule.evaluations)}


def _save(
    state: Path, task: list[Any], network: WiredNetwork, optimiser: torch.optim.Optimizer, course: Course
) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    beside = state.with_suffix(".writing")
    torch.save(
        {"task": task, "network": network.state_dict(), "optimiser": optimiser.state_dict(), "course": asdict(course)},
        beside,
    )
    os.replace(beside, state)


def _restored(state: Path, task: list[Any], network: WiredNetwork, optimiser: torch.optim.Optimizer) -> Course:
    """Fill network and optimiser from a state of this very training; else leave them as they are."""
    found: dict[str, Any] = {}
    if state.is_file():
        try:
            found = torch.load(state, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises nearly every kind on damaged files
            print(f"{state} can't be read ({error}); this row starts anew", flush=True)
    if found.get("task") != task:
        return Course()
    network.load_state_dict(found["network"])
    optimiser.load_state_dict(found["optimiser"])
    return Course(**found["course"])
