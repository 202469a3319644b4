"""Random crops with scale, flips, quarter-turns, polarity and stain; every draw comes from one generator."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, grey_dilation, grey_erosion
from skimage.color import hed2rgb, rgb2hed, rgb_from_hed
from torch import Tensor
from torch.nn import functional


def random_crop(
    pixels: NDArray[np.float32], labels: NDArray[np.int32], size: int, rng: np.random.Generator,
    scales: tuple[float, float] = (0.6, 1.4),
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Cut a square crop at a random place, scale, flip and quarter-turn.

    Parameters
    ----------
    pixels : array of float32, (Y, X, C)
        Scaled to about 0..1.
    labels : array of int32, (Y, X)
    size : int
        Side of the result.
    rng : numpy Generator
    scales : tuple of float
        Smallest and largest magnification, drawn evenly in its logarithm.

    Returns
    -------
    pixels : array of float32, (size, size, C)
    target : array of float32, (size, size)
        1 on nuclei, 0 outside.
    """
    magnification = float(np.exp(rng.uniform(*np.log(scales))))
    side = max(8, round(size / magnification))
    short = [max(0, side - length) for length in labels.shape]
    if any(short):
        margins = [(amount // 2, amount - amount // 2) for amount in short]
        pixels = np.pad(pixels, [*margins, (0, 0)], mode="symmetric")
        labels = np.pad(labels, margins, mode="symmetric")
    top, left = _place(labels, side, rng)
    part = _resized(pixels[top : top + side, left : left + side], size)
    target = nuclei_without_seams(_nearest(labels[top : top + side, left : left + side], size))
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    part, target = np.rot90(part, turns), np.rot90(target, turns)
    if mirrored:
        part, target = part[:, ::-1], target[:, ::-1]
    return np.ascontiguousarray(part), np.ascontiguousarray(target, dtype=np.float32)


def _place(labels: NDArray[np.int32], side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a random corner; places without any nucleus are mostly drawn again, or sparse images teach little."""
    for _ in range(3):
        top, left = (int(rng.integers(0, length - side + 1)) for length in labels.shape)
        if labels[top : top + side, left : left + side].any() or rng.random() < 0.25:
            break
    return top, left


def nuclei_without_seams(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """1 on nuclei, 0 outside and on the pixels where two of them touch.

    A network that has never seen a gap between touching nuclei joins them. Each of the two gives up
    the one pixel that has the other among its eight neighbours.

    Parameters
    ----------
    labels : array of int32, (Y, X)

    Returns
    -------
    array of float32, (Y, X)
    """
    highest = grey_dilation(labels, (3, 3))
    outside = np.where(labels > 0, labels, np.iinfo(np.int32).max)
    lowest = grey_erosion(outside, (3, 3))
    return np.asarray((labels > 0) & (highest == labels) & (lowest == labels), dtype=np.float32)


def _resized(part: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    if part.shape[0] == size:
        return part
    planes = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None]
    smooth = part.shape[0] > size
    planes = functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False, antialias=smooth)
    return planes[0].permute(1, 2, 0).numpy()


def _nearest(labels: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    rows, columns = (((np.arange(size) + 0.5) * length / size).astype(int) for length in labels.shape)
    return np.asarray(labels[rows[:, None], columns[None, :]])


def vary_look(
    pixels: NDArray[np.float32], rng: np.random.Generator, target: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Vary polarity, stain or brightness, blur and noise, each by chance.

    Parameters
    ----------
    pixels : array of float32, (Y, X, C)
        Scaled to about 0..1.
    rng : numpy Generator
    target : array of float32, (Y, X), optional
        1 on nuclei: drawn clouds of another stain lie around them rather than on them.

    Returns
    -------
    array of float32, same shape
    """
    if target is not None and _is_brightfield(pixels) and rng.random() < 0.5:
        pixels = stain_clouds(pixels, target, rng)
    if rng.random() < 0.1:
        pixels = 1 - pixels
    if pixels.shape[-1] == 3 and not _is_grey(pixels) and rng.random() < 0.7:
        pixels = _vary_stain(pixels, rng)
    elif pixels.shape[-1] == 3 and _is_grey(pixels) and rng.random() < 0.15:
        pixels = pixels * rng.uniform(0.3, 1.0, 3).astype(np.float32)
    contrast, shift = rng.uniform(0.75, 1.25), rng.uniform(-0.12, 0.12)
    gamma = float(np.exp(rng.uniform(-0.35, 0.35)))
    pixels = np.clip(pixels, 0, None) ** gamma * np.float32(contrast) + np.float32(shift)
    if rng.random() < 0.15:
        pixels = _blurred(pixels, float(rng.uniform(0.5, 1.5)))
    if rng.random() < 0.3:
        pixels = pixels + rng.normal(0, rng.uniform(0.01, 0.05), pixels.shape).astype(np.float32)
    return pixels.astype(np.float32)


def stain_clouds(
    pixels: NDArray[np.float32], target: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw cytoplasm in brown (DAB) or pink (eosin): dark, textured, and not a nucleus.

    Training images with two stains are few; without such drawings a network takes any dark tissue for nuclei.

    Parameters
    ----------
    pixels : array of float32, (Y, X, 3)
        Bright background, 0..1.
    target : array of float32, (Y, X)
        Nuclei take up a quarter of the stain.
    rng : numpy Generator

    Returns
    -------
    array of float32, (Y, X, 3)
    """
    shape = pixels.shape[:2]
    cloud = _noise(shape, float(rng.uniform(10, 40)), rng) + rng.uniform(-0.5, 1.0)
    stretch = (float(rng.uniform(0.6, 4)), float(rng.uniform(0.6, 4)))
    grain = 1 + rng.uniform(0.1, 0.5) * _noise(shape, stretch, rng)
    amount = np.clip(cloud, 0, 1) * np.clip(grain, 0.2, 2) * (1 - 0.75 * target) * rng.uniform(0.3, 1.6)
    stain = rgb_from_hed[2 if rng.random() < 0.65 else 1] * rng.uniform(0.85, 1.15, 3)
    absorbed = np.exp(-amount[..., None] * np.clip(stain, 0, None) * np.log(10) * 0.8)
    return np.asarray(pixels * absorbed, dtype=np.float32)


def _noise(
    shape: tuple[int, ...], sigma: float | tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Smooth noise of mean 0 and deviation 1."""
    noise = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return np.asarray(noise / max(float(noise.std()), 1e-9))


def _is_brightfield(pixels: NDArray[np.float32]) -> bool:
    return pixels.shape[-1] == 3 and not _is_grey(pixels) and float(np.percentile(pixels.mean(-1), 80)) > 0.55


def _is_grey(pixels: NDArray[np.float32]) -> bool:
    return bool(np.abs(np.diff(pixels, axis=-1)).max() < 0.01)


def _vary_stain(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Jitter of the amounts of haematoxylin, eosin and DAB, or a swap of colours (a stain never seen)."""
    if rng.random() < 0.15:
        return pixels[..., rng.permutation(3)]
    stains = rgb2hed(np.clip(pixels, 0, 1))
    stains = stains * rng.uniform(0.7, 1.3, 3) + rng.uniform(-0.03, 0.03, 3)
    return np.asarray(hed2rgb(stains), dtype=np.float32)


def _blurred(pixels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    reach = max(1, round(3 * sigma))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    planes: Tensor = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(2, 0, 1)[:, None]
    planes = functional.conv2d(functional.pad(planes, (reach, reach, 0, 0), "replicate"), kernel.view(1, 1, 1, -1))
    planes = functional.conv2d(functional.pad(planes, (0, 0, reach, reach), "replicate"), kernel.view(1, 1, -1, 1))
    return planes[:, 0].permute(1, 2, 0).numpy()
