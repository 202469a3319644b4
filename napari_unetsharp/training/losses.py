"""The paper's hybrid loss on every branch (UNet#, Eq. 2 to 6), with a weight per pixel.

A weight of 0 means "nobody looked here" and gives exactly zero gradient. An image whose weights are all
zero contributes exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from napari_unetsharp.network.grid import BRANCHES

EXTRA_SHARE = 1.0
"""How much a channel beside the classes counts against a class."""

ALPHA_POSITIVE = 0.25
FOCUSING = 2.0


def focal_loss(logits: Tensor, target: Tensor, weight: Tensor, constant_alpha: bool = False) -> Tensor:
    """Weighted mean of the focal loss of each image (Eq. 3, per pixel).

    Parameters
    ----------
    logits, target, weight : Tensor, (N, P)
        A row per image and class. Targets are 0 or 1.
    constant_alpha : bool
        Eq. 3 as printed: 0.25 everywhere; otherwise 0.25 on positives and 0.75 on negatives.

    Returns
    -------
    Tensor, (N,)
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missing = 1 - torch.exp(-cross_entropy)
    alpha = ALPHA_POSITIVE if constant_alpha else 1 - ALPHA_POSITIVE + target * (2 * ALPHA_POSITIVE - 1)
    total = (weight * alpha * missing**FOCUSING * cross_entropy).sum(1)
    return total / weight.sum(1).clamp(min=1e-12)


def dice_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice with Laplace smoothing, per image (Eq. 4). Shapes as in `focal_loss`."""
    probability = torch.sigmoid(logits)
    overlap = (weight * probability * target).sum(1)
    both = (weight * probability).sum(1) + (weight * target).sum(1)
    return 1 - (2 * overlap + 1) / (both + 1)


def lovasz_hinge(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Lovász hinge per image over the pixels with weight > 0 (Eq. 5). Shapes as in `focal_loss`.

    Pixels that don't count are sorted behind all others with a hinge of zero, so that they move neither
    the loss nor the Jaccard steps of the others.
    """
    counted = weight > 0
    errors = 1 - logits * (2 * target - 1)
    errors = torch.where(counted, errors, torch.full_like(errors, -torch.inf))
    errors, order = torch.sort(errors, dim=1, descending=True)
    sorted_target = torch.where(counted, target, torch.zeros_like(target)).gather(1, order)
    positives = sorted_target.sum(1, keepdim=True)
    intersection = positives - sorted_target.cumsum(1)
    union = positives + (1 - sorted_target).cumsum(1)
    jaccard = 1 - intersection / union
    steps = torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], dim=1)
    return (torch.relu(errors) * steps).sum(1)


def branch_loss(logits: Tensor, target: Tensor, weight: Tensor, classes: int | None = None) -> Tensor:
    """0.5 focal + Dice + 0.5 Lovász hinge of one branch (Eq. 6).

    Parameters
    ----------
    logits, target, weight : Tensor, (B, C, h, w)
        At the branch's own scale.
    classes : int, optional
        Channels after so many are extras and count `EXTRA_SHARE`; all are classes by default.

    Returns
    -------
    Tensor, scalar
        Mean over images and channels.
    """
    count = logits.shape[0] * logits.shape[1]
    scores, truth, counted = (tensor.float().reshape(count, -1) for tensor in (logits, target, weight))
    total = 0.5 * focal_loss(scores, truth, counted) + dice_loss(scores, truth, counted)
    total = total + 0.5 * lovasz_hinge(scores, truth, counted)
    total = torch.where(counted.sum(1) > 0, total, torch.zeros_like(total)).reshape(logits.shape[:2])
    if classes is None or classes == logits.shape[1]:
        return total.mean()
    shares = torch.ones_like(total[0])
    shares[classes:] = EXTRA_SHARE
    return (total * shares).mean(0).sum() / shares.sum()


def at_scale(target: Tensor, weight: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Truth and weights for a branch at 1/scale.

    A coarse cell is foreground if a reviewed pixel in it is; it counts if it holds a reviewed foreground
    pixel (then its maximum is known to be 1) or if all its pixels are reviewed.

    Parameters
    ----------
    target, weight : Tensor, (B, C, H, W)
    scale : int
        1, 2, 4, 8 or 16.

    Returns
    -------
    tuple of Tensor, (B, C, H / scale, W / scale)
    """
    if scale == 1:
        return target, weight
    seen = functional.max_pool2d(target * weight, scale)
    coarse = (seen > 0).to(target.dtype)
    least = -functional.max_pool2d(-weight, scale)
    return coarse, torch.where(coarse > 0, seen, least)


def hybrid_loss(
    logits: Mapping[str, Tensor], target: Tensor, weight: Tensor, classes: int | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean over the branches in use (UNet#, Sec. 2.2).

    Parameters
    ----------
    logits : mapping of str to Tensor
        As `UNetSharp.forward` gives them.
    target, weight : Tensor, (B, C, H, W)
        At full resolution.
    classes : int, optional
        As in `branch_loss`.

    Returns
    -------
    total : Tensor, scalar
    per_branch : dict of str to Tensor
    """
    per_branch = {
        name: branch_loss(branch, *at_scale(target, weight, BRANCHES[name].scale), classes)
        for name, branch in logits.items()
    }
    return torch.stack(list(per_branch.values())).mean(), per_branch


def presence_loss(presence: Mapping[str, Tensor], target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the guided modules on "does this crop hold any target?".

    A crop counts if it holds a reviewed foreground pixel, or if all of it is reviewed; else its answer
    is not known and contributes 0.

    Parameters
    ----------
    presence : mapping of str to Tensor, (B, 2)
    target, weight : Tensor, (B, C, H, W)

    Returns
    -------
    Tensor, scalar
    """
    holds = ((target * weight) > 0).flatten(1).any(1)
    known = holds | (weight > 0).flatten(1).all(1)
    losses = [functional.cross_entropy(branch.float(), holds.long(), reduction="none") for branch in presence.values()]
    per_crop = torch.stack(losses).mean(0)
    return torch.where(known, per_crop, torch.zeros_like(per_crop)).mean()
