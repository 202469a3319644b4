"""Pixel quality of a checkpoint on samples: pooled IoU per node and modality."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetsharp.inference.scaling import magnification, nearest, resized, scaled_shape
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.network.upconv import Window, upsample
from napari_unetsharp.nuclei.instances import median_diameter
from napari_unetsharp.training.samples import Sample


def validate(
    checkpoint: Checkpoint, samples: list[Sample], device: str = "cpu", largest: int | None = None
) -> dict[str, Any]:
    """Measure the pooled IoU at a probability of 0.5.

    At the images' own resolution; where the checkpoint has a nucleus size, at its scale.

    Parameters
    ----------
    checkpoint : Checkpoint
    samples : list of Sample
    device : str
    largest : int, optional
        Take the middle of larger images only, this many pixels along each side (all of them by default).

    Returns
    -------
    dict
        ``iou_pooled``: by modality (and "all") and node, 0..1; ``images``: by modality.
    """
    network = checkpoint.network.to(device).eval()
    counts: dict[str, dict[str, NDArray[np.int64]]] = defaultdict(lambda: defaultdict(lambda: np.zeros(2, np.int64)))
    images: dict[str, int] = defaultdict(int)
    for sample in samples:
        truth, masks = _masks(checkpoint, sample, device, largest)
        for modality in dict.fromkeys((sample.modality, "all")):  # a sample without a modality is counted once
            images[modality] += 1
            for name, mask in masks.items():
                both = np.array([np.count_nonzero(mask & truth), np.count_nonzero(mask | truth)])
                counts[modality][name] += both
    network.to("cpu")
    pooled = {
        modality: {name: round(float(both[0] / max(1, both[1])), 4) for name, both in nodes.items()}
        for modality, nodes in counts.items()
    }
    return {"iou_pooled": pooled, "images": dict(images)}


@torch.inference_mode()
def _masks(
    checkpoint: Checkpoint, sample: Sample, device: str, largest: int | None
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.bool_]]]:
    pixels, labels = sample.read(checkpoint.config.in_channels)
    intensity = checkpoint.metadata.intensity
    limits = intensity.limits(pixels)
    pixels, labels = _at_model_scale(checkpoint, pixels, labels)
    middle = tuple(_middle(length, largest or length) for length in labels.shape)
    plane, labels = intensity.apply(pixels[middle], limits), labels[middle]
    height, width = plane.shape[:2]
    padded = np.pad(plane, ((0, -height % 16), (0, -width % 16), (0, 0)), mode="symmetric")
    image = torch.from_numpy(padded).permute(2, 0, 1)[None].to(device, memory_format=torch.channels_last)
    masks = {}
    window = Window.whole(*padded.shape[:2])
    for name, logits in checkpoint.network(image).items():
        full = upsample(logits, BRANCHES[name].scale, window, 1)
        masks[name] = (full[0, : checkpoint.config.classes].amax(0)[:height, :width] > 0).cpu().numpy()
    return labels > 0, masks


def _at_model_scale(
    checkpoint: Checkpoint, pixels: NDArray[Any], labels: NDArray[np.int32]
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Bring the true nuclei to the checkpoint's size, where it has one."""
    wanted, size = checkpoint.metadata.nucleus_size, median_diameter(labels)
    if not wanted or not size:
        return pixels, labels
    shape = scaled_shape(labels.shape, magnification(wanted, size))
    return resized(pixels, shape), nearest(labels, shape)


def _middle(length: int, wanted: int) -> slice:
    start = max(0, (length - wanted) // 2)
    return slice(start, start + min(length, wanted))
