"""Random crops with scale, flips, turns and bending; every draw comes from one generator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, zoom

from napari_unetsharp.inference.scaling import nearest, resized


def random_crop(
    pixels: NDArray[np.floating[Any]], labels: NDArray[np.int32], size: int, rng: np.random.Generator,
    scales: tuple[float, float] = (0.6, 1.4), bend: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
    """Cut a square crop at a random place, scale, flip, quarter-turn, and now and then turn freely and bend.

    Parameters
    ----------
    pixels : array of floating, (Y, X, C)
        Scaled to about 0..1.
    labels : array of int32, (Y, X)
    size : int
        Side of the result.
    rng : numpy Generator
    scales : tuple of float
        Smallest and largest magnification, drawn evenly in its logarithm.
    bend : float
        Probability of a free turn with elastic bending (as in the original U-Net).

    Returns
    -------
    pixels : array of float32, (size, size, C)
    labels : array of int32, (size, size)
    """
    magnification = float(np.exp(rng.uniform(*np.log(scales))))
    side = max(8, round(size / magnification))
    short = [max(0, side - length) for length in labels.shape]
    if any(short):
        margins = [(amount // 2, amount - amount // 2) for amount in short]
        pixels = np.pad(pixels, [*margins, (0, 0)], mode="symmetric")
        labels = np.pad(labels, margins, mode="symmetric")
    top, left = _place(labels, side, rng)
    part = resized(pixels[top : top + side, left : left + side], (size, size))
    truth = nearest(labels[top : top + side, left : left + side], (size, size))
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    part, truth = np.rot90(part, turns), np.rot90(truth, turns)
    if mirrored:
        part, truth = part[:, ::-1], truth[:, ::-1]
    if bend and rng.random() < bend:
        part, truth = _bent(part, truth, rng)
    return np.ascontiguousarray(part), np.ascontiguousarray(truth, dtype=np.int32)


def _bent(
    part: NDArray[np.float32], labels: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Turn by any angle and displace smoothly, by up to about 3 px; the edges are mirrored."""
    size = labels.shape[0]
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    shifts = zoom(rng.normal(0, 1.5, (2, 5, 5)), (1, size / 5, size / 5), order=3)
    places = (
        np.stack(
            [
                np.cos(angle) * rows - np.sin(angle) * columns + shifts[0],
                np.sin(angle) * rows + np.cos(angle) * columns + shifts[1],
            ]
        )
        + (size - 1) / 2
    )
    planes = [map_coordinates(part[..., channel], places, order=1, mode="reflect") for channel in range(part.shape[-1])]
    return np.stack(planes, -1), map_coordinates(labels, places, order=0, mode="reflect")


def _place(labels: NDArray[np.int32], side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a random corner; places without any nucleus are mostly drawn again, or sparse images teach little."""
    for _ in range(3):
        top, left = (int(rng.integers(0, length - side + 1)) for length in labels.shape)
        if labels[top : top + side, left : left + side].any() or rng.random() < 0.25:
            break
    return top, left
