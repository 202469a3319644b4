"""Batches of crops from images in memory; every crop has a generator of its own, whoever cuts it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unetsharp.inference.scaling import magnification
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.nuclei.instances import median_diameter
from napari_unetsharp.training.augment import random_crop
from napari_unetsharp.training.looks import empty_crop, vary_look
from napari_unetsharp.training.recipe import Recipe
from napari_unetsharp.training.samples import Sample
from napari_unetsharp.training.targets import nuclei_without_seams, targets

_AHEAD = 2
"""Batches that are cut while the network works on another."""

Crop = TypeVar("Crop")


class Crops:
    """All training images in memory, and batches of crops from them.

    Parameters
    ----------
    samples : list of Sample
    channels : int
        Of the network.
    recipe : Recipe
    metadata : CheckpointMetadata
        Its intensity scales the pixels.

    Raises
    ------
    DatasetError
        If a sample can't be read.
    """

    def __init__(self, samples: list[Sample], channels: int, recipe: Recipe, metadata: CheckpointMetadata) -> None:
        self.recipe = recipe
        self.intensity = metadata.intensity
        plain = replace(metadata.intensity, mean=(0.0,), deviation=(1.0,))
        self.pictures: list[tuple[NDArray[np.float16], NDArray[np.int32]]] = []
        for sample in samples:
            pixels, labels = sample.read(channels)
            self.pictures.append((plain.apply(pixels, plain.limits(pixels)).astype(np.float16), labels))
        self.shares = shares(samples, recipe.balance)
        self.magnifications = [self._magnification(labels) for _, labels in self.pictures]

    def _magnification(self, labels: NDArray[np.int32]) -> float:
        diameter = median_diameter(labels) if self.recipe.nucleus_size else None
        return magnification(self.recipe.nucleus_size, diameter) if diameter else 1.0

    def batches(self, seed: tuple[int, ...], count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Cut so many batches, some of them ahead in threads.

        Parameters
        ----------
        seed : tuple of int
            The same seed gives the same crops, however many threads cut them.
        count : int

        Yields
        ------
        images : Tensor, (B, C, crop, crop), channels last
        targets : Tensor, (B, 1 + extras, crop, crop)
        """
        for crops in cut_ahead(self.crop, seed, count, self.recipe.batch):
            yield _stacked(crops)

    def crop(self, seed: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One crop in its look, (crop, crop, C) as the network sees it, and its truth (1 + extras, crop, crop)."""
        recipe, rng = self.recipe, np.random.default_rng(seed)
        index = int(rng.choice(len(self.pictures), p=self.shares))
        pixels, labels = self.pictures[index]
        if rng.random() < recipe.empty:
            truth = np.zeros((recipe.crop, recipe.crop), np.int32)
            part = empty_crop(pixels, labels, recipe.crop, rng)
        else:
            scales = (recipe.smallest * self.magnifications[index], recipe.largest * self.magnifications[index])
            part, truth = random_crop(pixels, labels, recipe.crop, rng, scales, recipe.bend)
        look = vary_look(part.astype(np.float32), rng, nuclei_without_seams(truth))
        mean, deviation = (np.array(values, np.float32) for values in (self.intensity.mean, self.intensity.deviation))
        return (look - mean) / deviation, targets(truth, recipe.extras)


def shares(samples: list[Sample], balance: float) -> NDArray[np.float64]:
    """How often each sample is drawn, so that rare looks are learned too.

    Parameters
    ----------
    samples : list of Sample
    balance : float
        A modality counts as the number of its images to this power.

    Returns
    -------
    array of float64, one per sample, sum 1
    """
    counts = {sample.modality: 0 for sample in samples}
    for sample in samples:
        counts[sample.modality] += 1
    each = np.array([counts[sample.modality] ** (balance - 1) for sample in samples])
    return np.asarray(each / each.sum())


def cut_ahead(
    cut: Callable[[tuple[int, ...]], Crop], seed: tuple[int, ...], count: int, batch: int
) -> Iterator[list[Crop]]:
    """Cut so many batches of crops in threads, `_AHEAD` of them before they are asked for.

    Parameters
    ----------
    cut : callable
        Seed to crop; the seed of each is `seed`, its batch and its place in it.
    seed : tuple of int
    count, batch : int

    Yields
    ------
    list
        What `cut` gave, in order of places.
    """
    waiting: deque[list[Future[Crop]]] = deque()
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1), "crops") as pool:
        for step in range(count + _AHEAD):
            if step < count:
                waiting.append([pool.submit(cut, (*seed, step, place)) for place in range(batch)])
            if step >= _AHEAD:
                yield [future.result() for future in waiting.popleft()]


def stacked_images(crops: list[NDArray[np.float32]]) -> Tensor:
    """Crops (crop, crop, C) as a batch (B, C, crop, crop), channels last in memory."""
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def _stacked(crops: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> tuple[Tensor, Tensor]:
    return stacked_images([crop for crop, _ in crops]), torch.from_numpy(np.stack([truth for _, truth in crops]))
