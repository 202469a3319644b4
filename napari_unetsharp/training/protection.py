"""Against forgetting: the parent's own answers as soft targets, and weights held near the parent's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.training.losses import at_scale, hybrid_loss, presence_loss

AGREED = 0.9
"""Probability that all views must give for a weak label; for background, 1 minus it."""


@dataclass(frozen=True)
class Protection:
    """How strongly a model is kept what it was; chosen by benchmarks/fine_tune.py.

    Attributes
    ----------
    soft_old : float
        Of the parent's answers on old examples, against the loss of the truth.
    soft_unreviewed : float
        Of the parent's answers on pixels that nobody looked at. They pull the model back to what it got wrong there.
    stay : float
        Of the pull towards the parent's weights (L2-SP): after each step the distance to them shrinks by this times the
        learning rate. It acts beside Adam, as weight decay does in AdamW: in the loss Adam would divide it by the
        size of the other gradients, and it would hold nothing.
    weak : float
        Weight of labels where nobody looked and all views of the parent agree; they teach the model its own opinion.
        Off by default.
    blends : tuple of float
        At the end also models that went only so much of the way from the parent to the best epoch are measured; the
        best of all is kept.
    """

    soft_old: float = 2.0
    soft_unreviewed: float = 0.0
    stay: float = 5.0
    weak: float = 0.0
    blends: tuple[float, ...] = (0.75, 0.5)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"blends": list(self.blends)}


NO_PROTECTION = Protection(0.0, 0.0, 0.0, blends=())


@torch.no_grad()
def blended(before: UNetSharp, after: UNetSharp, share: float) -> UNetSharp:
    """A network whose weights lie on the line between two others, in evaluation mode.

    Parameters
    ----------
    before, after : UNetSharp
        Of one configuration.
    share : float
        0 gives the first, 1 the second.
    """
    middle, start = copy.deepcopy(after), before.state_dict()
    for key, value in middle.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.lerp(start[key].to(value), value, share))
    return middle.eval()


class TuningLoss:
    """The loss of fine-tuning: reviewed pixels by their truth, the rest by what the parent said.

    Parameters
    ----------
    network : UNetSharp
        That learns; a copy of it as it is now is the parent.
    protection : Protection
    """

    def __init__(self, network: UNetSharp, protection: Protection) -> None:
        self.protection = protection
        self.classes = network.config.classes
        self._parent = copy.deepcopy(network).eval().requires_grad_(False)

    def __call__(
        self, module: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total, and the loss of the truth by branch."""
        images, target, weight, old = batch
        logits, presence = module(images)
        if self.protection.weak:
            target, weight = self._with_weak(images, target, weight)
        total, branches = hybrid_loss(logits, target, weight, self.classes)
        if presence:
            total = total + presence_loss(presence, target[:, : self.classes], weight[:, : self.classes])
        soft = self._soft(images, logits, weight, old)
        if soft is not None:
            total = total + soft
        return total, branches

    @torch.no_grad()
    def _with_weak(self, images: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Fill in what all views of the parent say alike, where nobody looked."""
        size = list(target.shape[2:])
        views = [
            torch.sigmoid(functional.interpolate(answer[:, : self.classes], size, mode="bilinear", align_corners=True))
            for answer in self._parent.to(images.device)(images).values()
        ]
        lowest, highest = torch.stack(views).amin(0), torch.stack(views).amax(0)
        target, weight = target.clone(), weight.clone()
        free = weight[:, : self.classes] == 0
        for agreed, value in ((lowest > AGREED, 1.0), (highest < 1 - AGREED, 0.0)):
            target[:, : self.classes][free & agreed] = value
            weight[:, : self.classes][free & agreed] = self.protection.weak
        return target, weight

    def _soft(self, images: Tensor, logits: Mapping[str, Tensor], weight: Tensor, old: Tensor) -> Tensor | None:
        strength = self.protection.soft_old * old[:, None, None, None].expand_as(weight)
        if self.protection.soft_unreviewed:
            fresh = 1 - old[:, None, None, None]
            strength = strength + self.protection.soft_unreviewed * fresh * (weight == 0)
        used = (strength > 0).flatten(1).any(1)
        if not bool(used.any()):
            return None
        with torch.no_grad():
            answers = self._parent.to(images.device)(images[used])
        parts = [
            soft_loss(logits[name][used], answers[name], _least(strength[used], BRANCHES[name].scale))
            for name in logits
        ]
        return torch.stack(parts).mean()


def hold_near(optimiser: torch.optim.Optimizer, stay: float) -> None:
    """Pull weights back to what they are now, after each step of the optimiser (L2-SP); see `Protection`.

    Parameters
    ----------
    optimiser : Optimizer
    stay : float
        0 leaves them free.
    """
    before = [[weight.detach().clone() for weight in group["params"]] for group in optimiser.param_groups]

    @torch.no_grad()
    def pull(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        for group, starts in zip(optimiser.param_groups, before, strict=True):
            share = min(1.0, stay * group["lr"])
            for place, weight in enumerate(group["params"]):
                starts[place] = starts[place].to(weight.device, weight.dtype)  # moved once
                weight.lerp_(starts[place], share)

    if stay:
        optimiser.register_step_post_hook(pull)


def soft_loss(logits: Tensor, answers: Tensor, strength: Tensor) -> Tensor:
    """Divergence from another network's probabilities, 0 where both agree.

    Parameters
    ----------
    logits, answers, strength : Tensor, (B, C, h, w)

    Returns
    -------
    Tensor, scalar
        Mean over pixels with a strength above 0, times that strength.
    """
    probability = torch.sigmoid(answers.float())
    cross = functional.binary_cross_entropy_with_logits(logits.float(), probability, reduction="none")
    own = functional.binary_cross_entropy_with_logits(answers.float(), probability, reduction="none")
    return (strength * (cross - own)).sum() / (strength > 0).sum().clamp(min=1)


def _least(strength: Tensor, scale: int) -> Tensor:
    """Strength of a coarse cell: that of its weakest pixel, so that no reviewed pixel is pulled back."""
    return at_scale(torch.zeros_like(strength), strength, scale)[1]
