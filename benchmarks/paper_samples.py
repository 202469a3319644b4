"""Pictures in memory, and batches that depend on seed and step alone, whatever network reads them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from paper_rows import Protocol
from skimage.color import hsv2rgb, rgb2hsv
from torch import Tensor
from torch.nn import functional

from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.training.samples import Sample, find_samples
from napari_unetsharp.training.targets import nuclei_without_seams

SPLIT_SEED = 41
"""The seed of the split in the public code that the paper builds on; its share of validation is a fifth."""

HUE, SATURATION, VALUE = 20 / 180, 30 / 255, 20 / 255
BRIGHTNESS, CONTRAST = 0.2, 0.2


@dataclass(frozen=True)
class Picture:
    """One image in memory.

    Attributes
    ----------
    name, group, modality : str
    pixels : array of uint8, (Y, X, 3)
    labels : array of uint16, (Y, X)
        Instances at native resolution; 0 and 1 where the image was resized.
    """

    name: str
    group: str
    modality: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint16]


def split(dataset: Path, protocol: Protocol) -> tuple[list[Sample], list[Sample]]:
    """Samples to train on and to validate on: ``train/`` and ``val/`` as given, or all of them drawn at random."""
    training, validation = find_samples(dataset / "train"), find_samples(dataset / "val")
    if not protocol.random_split:
        return training, validation
    every = sorted([*training, *validation], key=lambda sample: sample.name)
    random.Random(SPLIT_SEED).shuffle(every)
    aside = round(len(every) / 5)
    return every[aside:], every[:aside]


def share_with_neighbour(dataset: Path, draws: int = 20) -> float:
    """Share of validation images with a tile of the same field in training, mean of random splits four to one."""
    groups = [sample.group for part in ("train", "val") for sample in find_samples(dataset / part)]
    aside, shares = round(len(groups) / 5), []
    for draw in range(draws):
        order = random.Random(draw).sample(groups, len(groups))
        rest = set(order[aside:])
        shares.append(sum(group in rest for group in order[:aside]) / aside)
    return float(np.mean(shares))


def load(samples: list[Sample], protocol: Protocol, size: int, cache: Path) -> list[Picture]:
    """Read pictures as a protocol wants them; resized ones are kept in `cache`."""
    if not protocol.resized:
        return [_native(sample) for sample in samples]
    store = cache / f"resized{size}.npz"
    kept: dict[str, NDArray[np.uint8]] = dict(np.load(store)) if store.is_file() else {}
    missing = [sample for sample in samples if sample.name not in kept]
    for sample in missing:
        kept[sample.name] = _resized(*sample.read(3), size)
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(store, **kept)  # type: ignore[arg-type]
    return [
        Picture(
            sample.name, sample.group, sample.modality, kept[sample.name][..., :3],
            kept[sample.name][..., 3].astype(np.uint16),
        )
        for sample in samples
    ]  # fmt: skip


def _native(sample: Sample) -> Picture:
    """Native resolution; the percentiles of the checkpoints' own intensity become 0 and 255, the rest is clipped."""
    pixels, labels = sample.read(3)
    intensity = Intensity(mean=(0.0,), deviation=(1.0,))
    scaled = np.clip(intensity.apply(pixels, intensity.limits(pixels)), 0, 1)
    return Picture(
        sample.name, sample.group, sample.modality, np.round(scaled * 255).astype(np.uint8), labels.astype(np.uint16)
    )


def _resized(pixels: NDArray[np.uint8], labels: NDArray[np.int32], size: int) -> NDArray[np.uint8]:
    """Bilinear without smoothing, as in the public code: (size, size, 4), the mask (0 or 1) as the last channel."""
    mask = (labels > 0).astype(np.float32)[..., None]
    planes = torch.from_numpy(np.concatenate([pixels.astype(np.float32), mask], axis=2)).permute(2, 0, 1)[None]
    small = functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False)[0]
    small[3] = (small[3] > 0.5).float()
    return small.permute(1, 2, 0).round().numpy().astype(np.uint8)


class Batches:
    """Batches of augmented samples; `at` is a pure function of seed and step.

    Parameters
    ----------
    pictures : list of Picture
    protocol : Protocol
    batch, size, seed : int
    """

    def __init__(self, pictures: list[Picture], protocol: Protocol, batch: int, size: int, seed: int) -> None:
        self.pictures, self.protocol, self.batch, self.size, self.seed = pictures, protocol, batch, size, seed

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, size, size), standardised, and targets (B, 1, size, size) of 0 and 1."""
        rng = np.random.default_rng([self.seed, 2, step])
        images, targets = [], []
        for index in self._indices(step):
            pixels, target = self._sample(self.pictures[index], rng)
            pixels, target = turned(pixels, target, rng)
            images.append(standardised(recoloured(pixels, rng), self.protocol))
            targets.append(np.ascontiguousarray(target))
        return torch.stack(images), torch.from_numpy(np.stack(targets))[:, None]

    def _indices(self, step: int) -> list[int]:
        """Every picture once per epoch, in an order of that epoch."""
        count = len(self.pictures)
        places = range(step * self.batch, (step + 1) * self.batch)
        orders = {
            epoch: np.random.default_rng([self.seed, 1, epoch]).permutation(count)
            for epoch in {place // count for place in places}
        }
        return [int(orders[place // count][place % count]) for place in places]

    def _sample(self, picture: Picture, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.protocol.resized:
            return picture.pixels / np.float32(255), picture.labels.astype(np.float32)
        top, left = (int(rng.integers(0, length - self.size + 1)) for length in picture.labels.shape)
        place = slice(top, top + self.size), slice(left, left + self.size)
        target = nuclei_without_seams(picture.labels[place].astype(np.int32))
        return picture.pixels[place] / np.float32(255), target


def turned(
    pixels: NDArray[np.float32], target: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn by a random quarter in half of all cases, then mirror along one or both axes in half of them."""
    if rng.random() < 0.5:
        turns = int(rng.integers(4))
        pixels, target = np.rot90(pixels, turns), np.rot90(target, turns)
    if rng.random() < 0.5:
        axes = ((0,), (1,), (0, 1))[rng.integers(3)]
        pixels, target = np.flip(pixels, axes), np.flip(target, axes)
    return pixels, target


def recoloured(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Shift hue, saturation and value, or the brightness, or the contrast: always one of the three."""
    kind = rng.integers(3)
    if kind == 0:
        hue, saturation, value = (rng.uniform(-most, most) for most in (HUE, SATURATION, VALUE))
        hsv = rgb2hsv(pixels) + np.array([hue, saturation, value])
        hsv[..., 0] %= 1
        return np.asarray(hsv2rgb(np.clip(hsv, 0, 1)), dtype=np.float32)
    changed = pixels + rng.uniform(-BRIGHTNESS, BRIGHTNESS) if kind == 1 else pixels * rng.uniform(
        1 - CONTRAST, 1 + CONTRAST
    )  # fmt: skip
    return np.clip(changed, 0, 1).astype(np.float32)


def standardised(pixels: NDArray[np.float32], protocol: Protocol) -> Tensor:
    """(Y, X, 3) within 0..1 -> (3, Y, X)."""
    mean, deviation = (np.array(values, np.float32) for values in (protocol.mean, protocol.deviation))
    return torch.from_numpy(np.ascontiguousarray((pixels - mean) / deviation, dtype=np.float32)).permute(2, 0, 1)
