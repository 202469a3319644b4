"""Touch-up, standard, thorough: which weights learn, how many, and what that takes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.training.losses import hybrid_loss
from napari_unetsharp.training.start import begin_with

_TEST_SIDE = 256
_SLOTS = 4
"""Numbers of 4 bytes per weight that learns: itself, its gradient, and two averages of Adam."""


class Speed(StrEnum):
    """How much of a model learns."""

    TOUCH_UP = "touch-up"
    STANDARD = "standard"
    THOROUGH = "thorough"


def sub_network(parent: Checkpoint, speed: Speed, level: int | None = None) -> UNetSharp:
    """A copy of what is tuned and saved.

    Parameters
    ----------
    parent : Checkpoint
        Stays as it is.
    speed : Speed
        Thorough keeps the parent's depth; the others give a model of the chosen depth only, so that no deeper
        output that nobody checked is ever saved.
    level : int, optional
        1 to the parent's own, which is the default.

    Returns
    -------
    UNetSharp
        With heads on all branches of its depth that the parent has.

    Raises
    ------
    SettingsError
        If the parent isn't as deep, or has no head there, or tells more than one class.
    """
    config = parent.config
    if config.classes != 1:
        raise SettingsError(f"{parent.metadata.name} tells {config.classes} classes; fine-tuning takes one of nuclei")
    depth = config.level if level is None else level
    if not 1 <= depth <= config.level:
        raise SettingsError(f"depth {depth} was asked of a model of depth {config.level}; choose 1 to {config.level}")
    if f"x0{depth}" not in config.heads:
        raise SettingsError(f"this model has no output at depth {depth}; choose {', '.join(config.heads)}")
    if speed is Speed.THOROUGH:
        depth = config.level
    network = UNetSharp(replace(config, level=depth))
    begin_with(network, parent)
    return network


def choose_weights(network: UNetSharp, speed: Speed) -> list[nn.Parameter]:
    """Let the weights of a speed learn and hold all others.

    Parameters
    ----------
    network : UNetSharp
    speed : Speed

    Returns
    -------
    list of Parameter
        Those that learn.
    """
    network.requires_grad_(speed is not Speed.TOUCH_UP)
    network.heads.requires_grad_(True)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def hold_statistics(network: nn.Module) -> None:
    """Put batch norm into evaluation: its running statistics stay the parent's.

    A batch here holds crops of one or two fields and some old examples. Statistics of such a mixture fit neither, and
    following them would shift what every old image looks like to all later layers, with no loss that notices.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@dataclass(frozen=True)
class Cost:
    """What a speed takes, measured on this machine.

    Attributes
    ----------
    speed : str
    level : int
        Depth of what would be saved.
    weights, all_weights : int
        That learn, and in all.
    seconds_per_step : float
    seconds : float
        For all steps; the tests in between come on top, see `seconds_of_tests`.
    seconds_per_mpx : float
        Of a test: a pass of the network over a megapixel, with the nuclei of each depth.
    bytes : int
        Memory for weights, gradients, averages and kept maps.
    """

    speed: str
    level: int
    weights: int
    all_weights: int
    seconds_per_step: float
    seconds: float
    seconds_per_mpx: float
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def seconds_of_tests(seconds_per_mpx: float, epochs: int, blends: int, learned: float, tested: float) -> float:
    """How long the tests of a fine-tuning take.

    Parameters
    ----------
    seconds_per_mpx : float
        As in `Cost`.
    epochs, blends : int
        After each of them the kept-aside nuclei and the check images are looked at, and once before.
    learned : float
        Megapixels that are learned from: at the end looked at by the old and the new model.
    tested : float
        Megapixels of what is kept aside and of the check images.
    """
    return seconds_per_mpx * ((epochs + blends + 1) * tested + 2 * learned)


def measured_cost(
    parent: Checkpoint, speed: Speed, level: int | None, device: torch.device, crops: tuple[int, int], steps: int
) -> Cost:
    """Take two steps and a test on noise, and tell what all would take.

    Parameters
    ----------
    parent : Checkpoint
    speed : Speed
    level : int, optional
    device : torch.device
    crops : tuple of int
        Crops per batch, and their side in pixels. A quarter of a batch is measured.
    steps : int
        Of the whole training.
    """
    network: Any = sub_network(parent, speed, level)
    network = network.to(device, memory_format=torch.channels_last)
    network.train()
    hold_statistics(network)
    weights = choose_weights(network, speed)
    batch, side = crops
    part = max(1, batch // 4)
    seconds, kept = float("inf"), 0
    with torch.random.fork_rng(devices=[]):
        for _ in range(2):  # the first one warms up
            started = time.monotonic()
            kept = _step(network, weights, part, side, device)
            seconds = min(seconds, (time.monotonic() - started) * batch / part)
    count, everything = (sum(weight.numel() for weight in some) for some in (weights, network.parameters()))
    total = 4 * (everything + (_SLOTS - 1) * count) + kept * batch // part
    tested = _tested(Checkpoint(network.eval(), parent.metadata), device)
    return Cost(str(speed), network.config.level, count, everything, seconds, seconds * steps, tested, total)


def _tested(checkpoint: Checkpoint, device: torch.device) -> float:
    """Seconds per megapixel of a pass and its nuclei, on noise."""
    nodes = tuple(name for name in checkpoint.config.heads if name.startswith("x0"))
    predictor, noise = Predictor(checkpoint, device.type, branches=nodes), np.random.default_rng(0)
    pixels = noise.integers(0, 255, (_TEST_SIDE, _TEST_SIDE, checkpoint.config.in_channels), np.uint8)
    started = time.monotonic()
    prediction = predictor.predict(pixels, nucleus_size=checkpoint.metadata.nucleus_size or None)
    for name in nodes:
        label_nuclei(prediction.full[name], LabelSettings(), prediction.cores.get(name))
    return (time.monotonic() - started) * 1e6 / _TEST_SIDE**2


def _step(network: UNetSharp, weights: list[nn.Parameter], batch: int, side: int, device: torch.device) -> int:
    """One step without a change of weights; bytes of the maps that wait for the way back."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.rand(batch, network.config.in_channels, side, side, device=device) - 0.5
    images = images.contiguous(memory_format=torch.channels_last)
    truth = (torch.rand(batch, network.config.outputs, side, side, device=device) > 0.8).float()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss, _ = hybrid_loss(network(images), truth, torch.ones_like(truth), network.config.classes)
    for gradient in torch.autograd.grad(loss, weights, allow_unused=True):
        del gradient
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return sum(kept.values())
