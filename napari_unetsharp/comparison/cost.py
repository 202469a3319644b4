"""What a depth takes: parameters and operations, counted; time and memory, measured on this device."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from napari_unetsharp.comparison.operations import count_operations
from napari_unetsharp.comparison.peak_memory import PeakMemory
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.needed import needed_nodes
from napari_unetsharp.network.pruning import prune
from napari_unetsharp.network.unet_sharp import count_parameters

SIDE = 1024
"""Pixels of a side of what is measured: noise, since time and memory don't depend on what is seen."""

REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """What one depth of a model takes.

    Attributes
    ----------
    parameters : int
        Of the pruned network with its one head.
    gflop_per_mpx : float
        1e9 operations per 1e6 pixels at the model's scale, as evaluated on a CPU (`count_operations`); a
        multiply-add counts as 2. Margins of tiles come on top.
    ms_per_mpx : float or None
        Measured, margins of tiles and everything but the labelling included; None until it was.
    peak_bytes : int or None
        Memory taken on top of what was taken before, measured; None where the system can't tell.
    device : str
        Name of the device it was measured on; empty until it was.
    precision : str
        "float32", "bfloat16" or "float16"; empty until it was measured.
    plain_gflop_per_mpx : float
        The same of the plain form, which upsamples first: the network as papers count it.
    """

    parameters: int
    gflop_per_mpx: float
    ms_per_mpx: float | None = None
    peak_bytes: int | None = None
    device: str = ""
    precision: str = ""
    plain_gflop_per_mpx: float = 0.0


def counted_cost(checkpoint: Checkpoint, level: int) -> Cost:
    """Count parameters and operations of a depth, exactly.

    Parameters
    ----------
    checkpoint : Checkpoint
    level : int
        1 to 4.

    Returns
    -------
    Cost
        Without time and memory.

    Raises
    ------
    SettingsError
        If the checkpoint has no head at this depth.
    """
    pruned = prune(checkpoint.network, level)
    operations = count_operations(pruned.config, needed_nodes([f"x0{level}"]), (f"x0{level}",))
    return Cost(count_parameters(pruned), 2e-3 * operations.evaluated, plain_gflop_per_mpx=2e-3 * operations.plain)


@dataclass(frozen=True)
class Measured:
    """One tile more.

    Attributes
    ----------
    done, total : int
        Tiles.
    words : str
        What is being done.
    """

    done: int
    total: int
    words: str


def measured_cost(
    checkpoint: Checkpoint,
    level: int,
    device: str = "auto",
    stop: Callable[[], bool] = lambda: False,
    precision: str = "float32",
    side: int = SIDE,
    repeats: int = REPEATS,
) -> Generator[Measured, None, Cost | None]:
    """Run a depth on a square of noise at the model's own scale, a few times, and take the median time.

    An image that is brought to the model's scale costs as many times as it gains pixels. Closing the generator, or
    `stop`, ends it after the tile in work.

    Parameters
    ----------
    checkpoint : Checkpoint
    level : int
        1 to 4.
    device : "auto", "cuda", "mps" or "cpu"
    stop : callable
        Asked after each tile.
    precision : str
        As of `Predictor`.
    side : int
        In pixels.
    repeats : int
        The first run, which warms up and tells the memory, doesn't count as one.

    Yields
    ------
    Measured
        After each tile.

    Returns
    -------
    Cost or None
        None if it was stopped.

    Raises
    ------
    SettingsError
        If the checkpoint has no head at this depth, or the device can't do the precision.
    DeviceError
        If the device isn't there or fails.
    """
    counted = counted_cost(checkpoint, level)
    predictor = Predictor(checkpoint, device, level, (f"x0{level}",), precision=precision)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, checkpoint.config.in_channels), np.uint8)
    size = checkpoint.metadata.nucleus_size
    seconds: list[float] = []
    memory = PeakMemory(predictor.device.kind)
    for turn in range(repeats + 1):
        started, waited = time.perf_counter(), 0.0
        with memory if turn == 0 else nullcontext():
            for tile in predictor.tiles(noise, nucleus_size=size):
                pause = time.perf_counter()
                memory.look()
                words = "measuring memory" if turn == 0 else f"measuring time, run {turn} of {repeats}"
                yield Measured(turn * tile.total + tile.done, (repeats + 1) * tile.total, words)
                if stop():
                    return None
                waited += time.perf_counter() - pause
        if turn:
            seconds.append(time.perf_counter() - started - waited)
    used = str(predictor.means.dtype).removeprefix("torch.")
    return replace(
        counted, ms_per_mpx=1e3 * median(seconds) / (side * side / 1e6), peak_bytes=memory.bytes,
        device=predictor.device.name, precision=used,
    )  # fmt: skip
