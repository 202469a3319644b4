"""How a crop may look: polarity, stain, clouds of another stain, blur, noise, JPEG; one generator for every draw."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import hed2rgb, rgb2hed, rgb_from_hed
from torch import Tensor
from torch.nn import functional


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
    elif target is not None and _is_fluorescence(pixels) and rng.random() < 0.3:
        pixels = stain_clouds(as_stain(pixels, rng), target, rng)
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
    if pixels.shape[-1] in (1, 3) and rng.random() < 0.15:
        pixels = _compressed(pixels, int(rng.integers(30, 90)))
    return pixels.astype(np.float32)


def as_stain(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turn light of fluorescence into haematoxylin on a bright slide.

    Fluorescence is plenty and stained tissue is rare among free training images, but nuclei have the same shapes.

    Parameters
    ----------
    pixels : array of float32, (Y, X, 3)
        Grey, bright on dark, 0..1.
    rng : numpy Generator

    Returns
    -------
    array of float32, (Y, X, 3)
    """
    light = np.clip(pixels.mean(-1), 0, 1)
    amount = light ** rng.uniform(0.4, 0.9) * rng.uniform(0.5, 1.4)
    chromatin = 1 + rng.uniform(0, 0.45) * _noise(light.shape, float(rng.uniform(0.8, 2.5)), rng)
    amount = amount * np.clip(chromatin, 0.2, 2)
    stain = rgb_from_hed[0] * rng.uniform(0.8, 1.2, 3)
    glass = rng.uniform(0.8, 1.0) * rng.uniform(0.92, 1.0, 3)
    return np.asarray(glass * np.exp(-amount[..., None] * np.clip(stain, 0, None) * np.log(10) * 0.8), np.float32)


def empty_crop(
    pixels: NDArray[np.floating[Any]], labels: NDArray[np.int32], size: int, rng: np.random.Generator
) -> NDArray[np.float32]:  # fmt: skip
    """Draw background without any nucleus, in the colours of an image's own background.

    Parameters
    ----------
    pixels : array of floating, (Y, X, C)
        0..1.
    labels : array of int32, (Y, X)
    size : int
    rng : numpy Generator

    Returns
    -------
    array of float32, (size, size, C)
    """
    background = pixels[labels == 0]
    if not len(background):
        background = np.zeros((1, pixels.shape[-1]), pixels.dtype)
    colour = background[rng.integers(len(background), size=8)].astype(np.float32).mean(0)
    spread = background[:: max(1, len(background) // 1000)].astype(np.float32).std(0)
    shape = (size, size)
    waves = _noise(shape, float(rng.uniform(4, 40)), rng) * rng.uniform(0, 1) + _noise(shape, 0.8, rng) * 0.3
    drawn = np.clip(colour + waves[..., None] * spread, 0, 1).astype(np.float32)
    nothing = np.zeros(shape, np.float32)
    return stain_clouds(drawn, nothing, rng) if _is_brightfield(drawn) and rng.random() < 0.5 else drawn


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


def _noise(shape: tuple[int, ...], sigma: float | tuple[float, float], rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of mean 0 and deviation 1."""
    noise = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return np.asarray(noise / max(float(noise.std()), 1e-9))


def _is_brightfield(pixels: NDArray[np.float32]) -> bool:
    return pixels.shape[-1] == 3 and not _is_grey(pixels) and float(np.percentile(pixels.mean(-1), 80)) > 0.55


def _is_fluorescence(pixels: NDArray[np.float32]) -> bool:
    return pixels.shape[-1] == 3 and _is_grey(pixels) and float(np.median(pixels)) < 0.35


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


def _compressed(pixels: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
    """What is left after JPEG, which most slides have been through."""
    low, high = float(pixels.min()), max(float(pixels.max()), float(pixels.min()) + 1e-6)
    bytes_ = np.round((pixels - low) * (255 / (high - low))).astype(np.uint8)
    stored = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(np.ascontiguousarray(bytes_), level=quality))
    return stored.reshape(pixels.shape).astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
