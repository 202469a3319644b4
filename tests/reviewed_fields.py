"""Fields for tests of fine-tuning: bright discs on a dark ground, and what somebody looked at."""

from __future__ import annotations

import numpy as np

from napari_unetsharp.training.reviewed_sample import ReviewedSample

RADIUS = 7


def field(seed=0, side=128, apart=26):
    """Pixels (side, side, 3) of uint8, and the labels of discs on a jittered lattice."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    labels = np.zeros((side, side), np.int32)
    label = 0
    for y in range(apart // 2, side - RADIUS, apart):
        for x in range(apart // 2, side - RADIUS, apart):
            label += 1
            down, right = rng.uniform(-3, 3, 2)
            labels[np.hypot(rows - y - down, columns - x - right) <= RADIUS] = label
    light = np.where(labels > 0, 150, 40) + rng.normal(0, 8, labels.shape)
    return np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, 2), labels


def reviewed(seed=0, looked_at=None, **more):
    """A sample of which the nuclei in `looked_at` count, each with a rim of 3 px; all of it where None."""
    pixels, labels = field(seed, **more)
    if looked_at is None:
        return ReviewedSample.of_pair(f"field {seed}", pixels, labels)
    rows, columns = np.indices(labels.shape)
    counts = np.zeros(labels.shape, bool)
    for id_ in looked_at:
        y, x = (places.mean() for places in np.nonzero(labels == id_))
        counts |= np.hypot(rows - y, columns - x) <= RADIUS + 3
    counts &= (labels == 0) | np.isin(labels, list(looked_at))
    return ReviewedSample(f"field {seed}", pixels, labels, counts, frozenset(looked_at))
