"""What a trained row is worth: pixels in the paper's protocol, pixels and nuclei in ours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from paper_rows import Protocol
from paper_samples import Picture, standardised
from torch import Tensor
from torch.nn import functional

from napari_unetsharp.network.wired import WiredNetwork
from napari_unetsharp.nuclei.instances import label_nuclei
from napari_unetsharp.nuclei.metrics import Scores, score_nuclei


@dataclass
class Pixels:
    """Counts of pixels over many images, and what each image gave.

    Attributes
    ----------
    both, either : int
        Pixels of prediction (probability above a half) and truth, and of one of them at least.
    soft_both, soft_squares : float
        Sums of probability times truth, and of their squares: the "Dice" of the public UNet# code.
    ious : list of float
        By image; images with no nucleus in truth and prediction are left out.
    """

    both: int = 0
    either: int = 0
    soft_both: float = 0.0
    soft_squares: float = 0.0
    ious: list[float] = field(default_factory=list)

    def add(self, probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Count one image."""
        mask = probability > 0.5
        both, either = int(np.sum(mask & truth)), int(np.sum(mask | truth))
        self.both, self.either = self.both + both, self.either + either
        self.soft_both += float(probability[truth].sum(dtype=np.float64))
        self.soft_squares += float(np.square(probability, dtype=np.float64).sum()) + int(truth.sum())
        if either:
            self.ious.append(both / either)

    def as_dict(self) -> dict[str, float]:
        """``iou_pooled``, ``dice_pooled`` (of masks), ``dice_soft_pooled`` and ``iou`` (mean over images)."""
        return {
            "iou_pooled": round(self.both / max(1, self.either), 5),
            "dice_pooled": round(2 * self.both / max(1, self.both + self.either), 5),
            "dice_soft_pooled": round(2 * self.soft_both / max(1e-9, self.soft_squares), 5),
            "iou": round(float(np.mean(self.ious)), 5) if self.ious else 0.0,
        }


def measure(
    network: WiredNetwork, pictures: list[Picture], protocol: Protocol, device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """Measure every head, their average, and what the guided modules let through.

    Parameters
    ----------
    network : WiredNetwork
        In evaluation mode afterwards.
    pictures : list of Picture
    protocol : Protocol
        Resized images are measured in pixels alone; native ones in nuclei too (threshold of a half, split at necks),
        for heads at full resolution.
    device : str

    Returns
    -------
    dict of dict of float
        By node (deep heads are upsampled); ``average``: mean probability of all heads; ``gated``: the result where its
        guided module sees a nucleus.
    """
    pixels: dict[str, Pixels] = defaultdict(Pixels)
    nuclei: dict[str, Scores] = defaultdict(Scores)
    for picture in pictures:
        truth = picture.labels > 0
        for name, probability in _probabilities(network, picture, protocol, device).items():
            pixels[name].add(probability, truth)
            if not protocol.resized and name.startswith("x0"):
                nuclei[name] += score_nuclei(picture.labels, label_nuclei(probability), probability > 0.5)
    return {name: counts.as_dict() | (_rounded(nuclei[name]) if name in nuclei else {})
            for name, counts in pixels.items()}  # fmt: skip


def _rounded(scores: Scores) -> dict[str, Any]:
    values = scores.as_dict()
    del values["seconds"]
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in values.items()}


def pooled_iou(network: WiredNetwork, pictures: list[Picture], protocol: Protocol, device: str = "cpu") -> float:
    """Pixel IoU of the result, pooled over all images, as `measure` gives it."""
    counts = Pixels()
    for picture in pictures:
        counts.add(_probabilities(network, picture, protocol, device)[network.wiring.output], picture.labels > 0)
    return counts.as_dict()["iou_pooled"]


@torch.inference_mode()
def _probabilities(
    network: WiredNetwork, picture: Picture, protocol: Protocol, device: str
) -> dict[str, NDArray[np.float32]]:
    height, width = picture.labels.shape
    image = standardised(picture.pixels / np.float32(255), protocol)[None]
    image = _to_sixteen(image).to(device).contiguous(memory_format=torch.channels_last)
    maps = network.eval().features(image)
    heads = {
        name: torch.sigmoid(_upsampled(logits, image.shape[-2:]))[0, 0, :height, :width].float().cpu().numpy()
        for name, logits in network.head_logits(maps).items()
    }
    result = heads[network.wiring.output]
    if len(heads) > 1:
        heads["average"] = np.mean(list(heads.values()), axis=0)
    presence = network.presence_logits(maps)
    if presence:
        heads["gated"] = result * np.float32(presence[network.wiring.output].argmax(1).item())
    return heads


def _to_sixteen(image: Tensor) -> Tensor:
    """Mirror the lower and right edge to sides divisible by 16."""
    below, right = -image.shape[-2] % 16, -image.shape[-1] % 16
    return functional.pad(image, (0, right, 0, below), mode="reflect")


def _upsampled(logits: Tensor, sides: torch.Size) -> Tensor:
    return functional.interpolate(logits, size=tuple(sides), mode="bilinear", align_corners=True)
