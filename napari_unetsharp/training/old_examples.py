"""Images that a model knew before: mixed into every batch against forgetting, and checked after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.training.looks import as_stain
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.samples import Sample, find_split

SIDE = 256
"""Pixels along each side of a drawn field."""
NUCLEI = 30
DRAWN_TO_TEACH, DRAWN_TO_CHECK = 12, 4
_CHECK_SEED, _TEACH_SEED = 10_000, 20_000
"""Far apart: no field is in both."""
LARGEST_CHECK = 12
"""Images of a person's own folders that are checked after each epoch; more would take longer than the training."""


def drawn_fields(count: int, first_seed: int, channels: int) -> list[ReviewedSample]:
    """Drawn nuclei with their exact masks; every other one as a stain on a bright slide, where there are colours.

    Parameters
    ----------
    count, first_seed : int
        The same numbers give the same pixels.
    channels : int
        Of the network.
    """
    return [_drawn(seed, channels) for seed in range(first_seed, first_seed + count)]


@lru_cache(maxsize=64)
def _drawn(seed: int, channels: int) -> ReviewedSample:
    picture, mask = draw_fluorescence(seed, SIDE, SIDE, NUCLEI)
    pixels = picture[..., None]
    if channels == 3 and seed % 2:
        light = np.asarray(np.repeat(pixels, 3, 2) / 255, np.float32)
        pixels = (as_stain(light, np.random.default_rng(seed)).clip(0, 1) * 255).astype(np.uint8)
    pixels = np.repeat(pixels, channels, 2) if pixels.shape[-1] == 1 else pixels
    return ReviewedSample.of_pair(f"drawn field {seed}", pixels, mask, source="drawn")


def old_examples(
    channels: int, folders: Sequence[Path] = (), seed: int = 0, drawn: int = DRAWN_TO_TEACH
) -> list[ReviewedSample]:
    """Examples that keep a model what it was: drawn fields, and those of a person's own training folders.

    Parameters
    ----------
    channels : int
        Of the network.
    folders : sequence of Path
        As in `samples.find_split`.
    seed : int
    drawn : int
        How many fields are drawn.

    Raises
    ------
    DatasetError
        If a folder can't be read.
    """
    own = [sample for folder in folders for sample in _halves(folder, seed)[0]]
    return drawn_fields(drawn, _TEACH_SEED, channels) + [_read(sample, channels) for sample in own]


def check_images(
    channels: int, folders: Sequence[Path] = (), seed: int = 0, drawn: int = DRAWN_TO_CHECK
) -> list[ReviewedSample]:
    """Images that tell whether something was forgotten; none of them is learned from. See `old_examples`."""
    own = [sample for folder in folders for sample in _halves(folder, seed)[1]]
    chosen = np.random.default_rng(seed).permutation(len(own))[:LARGEST_CHECK]
    read = [_read(own[place], channels) for place in sorted(chosen.tolist())]
    return drawn_fields(drawn, _CHECK_SEED, channels) + read


def _halves(folder: Path, seed: int) -> tuple[list[Sample], list[Sample]]:
    return find_split(folder, None, seed)


def _read(sample: Sample, channels: int) -> ReviewedSample:
    pixels, labels = sample.read(channels)
    return ReviewedSample.of_pair(sample.name, pixels, labels, source=str(sample.image))
