"""A drawn fluorescence field with its exact mask: for trying things out, for tests and for the sample menu."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.errors import SettingsError

SMALLEST_AREA = 30
"""Pixels of a nucleus that is worth drawing; less is left of one cut by the border or by its neighbours."""

_ATTEMPTS = 200
"""Tries to find room for one nucleus, after which the field counts as full."""
_CROWDED = 0.35
"""Share of the nuclei that are placed against one that is there already."""
_SHADOWED = 0.15
"""Share of a nucleus that its neighbours may hide, the rest is what the mask keeps."""


def draw_fluorescence(
    seed: int = 0, height: int = 512, width: int = 512, nuclei: int = 90
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw nuclei as a DAPI stain shows them, and their exact instance mask.

    Parameters
    ----------
    seed : int
        The same seed, sides and count give the same pixels.
    height, width : int
        Sides in pixels, at least 32.
    nuclei : int
        How many to draw. A small or crowded field may hold fewer.

    Returns
    -------
    picture : array of uint8, (Y, X)
        Nuclei 10 to 30 pixels long, of varying brightness and texture, some touching, on a sloping
        background with haze, blur and photon noise.
    mask : array of int32, (Y, X)
        0 for background, 1..n for the nuclei; none is empty, none overlaps, each is of one piece.

    Raises
    ------
    SettingsError
        If a side is below 32 or the count below 0.
    """
    if min(height, width) < 32 or nuclei < 0:
        raise SettingsError(
            f"{nuclei} nuclei on {height} x {width} pixels can't be drawn; give 0 or more, and sides of 32 or more"
        )
    dice = np.random.default_rng(seed)
    mask = _placed(dice, (height, width), nuclei)
    light = _stained(dice, mask)
    return _photographed(dice, light), mask


def _placed(dice: np.random.Generator, shape: tuple[int, int], nuclei: int) -> NDArray[np.int32]:
    """Put one nucleus after the other where there is room; whoever comes first keeps its outline."""
    mask = np.zeros(shape, np.int32)
    centres: list[tuple[float, float, float]] = []
    for _ in range(nuclei):
        for _ in range(_ATTEMPTS):
            radius = float(np.clip(dice.normal(9.5, 2.2), 5.5, 14.0))
            y, x = _centre(dice, shape, centres, radius)
            box, inside = _outline(dice, shape, y, x, radius)
            free = inside & (mask[box] == 0)
            if free.sum() < max(SMALLEST_AREA, (1 - _SHADOWED) * inside.sum()):
                continue
            mask[box][_largest_piece(free)] = len(centres) + 1
            centres.append((y, x, radius))
            break
        else:  # no room found for this one: more tries would cost seconds and add little
            return mask
    return mask


def _centre(
    dice: np.random.Generator, shape: tuple[int, int], centres: list[tuple[float, float, float]], radius: float
) -> tuple[float, float]:
    """Choose a place: anywhere, or at about touching distance of a nucleus that is there already."""
    if centres and dice.random() < _CROWDED:
        y, x, other = centres[int(dice.integers(len(centres)))]
        angle, distance = dice.uniform(0, 2 * np.pi), (radius + other) * dice.uniform(0.85, 1.1)
        y, x = y + distance * np.sin(angle), x + distance * np.cos(angle)
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            return float(y), float(x)
    return float(dice.uniform(0, shape[0])), float(dice.uniform(0, shape[1]))


def _outline(
    dice: np.random.Generator, shape: tuple[int, int], y: float, x: float, radius: float
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Bend the radius of an ellipse by a few slow waves; give the box it lies in and what is inside.

    Lengths stay between 10 and 30 pixels, before neighbours and borders take their part.
    """
    longer = dice.uniform(1.0, 1.6)
    half_length, half_width = min(radius * np.sqrt(longer), 13.7), max(radius / np.sqrt(longer), 5.5)
    turn = dice.uniform(0, np.pi)
    reach = int(np.ceil(half_length * 1.2)) + 1
    box = tuple(
        slice(max(0, int(middle) - reach), min(side, int(middle) + reach + 1))
        for middle, side in zip((y, x), shape, strict=True)
    )
    rows, columns = np.mgrid[box]
    angle = np.arctan2(rows - y, columns - x)
    ellipse = half_length * half_width / np.hypot(half_width * np.cos(angle - turn), half_length * np.sin(angle - turn))
    waves = sum(
        dice.normal(0, 0.08 / order) * np.cos(order * angle + dice.uniform(0, 2 * np.pi)) for order in (2, 3, 4, 5)
    )
    inside = np.hypot(rows - y, columns - x) <= ellipse * (1 + 0.09 * np.tanh(waves / 0.09))
    return (box[0], box[1]), inside


def _largest_piece(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, _ = ndimage.label(free)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


def _stained(dice: np.random.Generator, mask: NDArray[np.int32]) -> NDArray[np.float64]:
    """Light the nuclei up: each in its own brightness (about 1), dimmer at its edge, grained by chromatin."""
    count = int(mask.max())
    brightness = np.concatenate([[0.0], np.exp(dice.normal(0.0, 0.38, count))])
    contrast = np.concatenate([[0.0], dice.uniform(0.5, 1.3, count)])
    depth = np.sqrt(np.minimum(_depth(mask) / 5.0, 1.0))
    grain = 0.16 * _noise(dice, mask.shape, 1.1) + 0.14 * _noise(dice, mask.shape, 2.6)
    spots = 0.5 * np.maximum(_noise(dice, mask.shape, 1.4) - 1.9, 0)  # chromocentres: few, small and bright
    hollows = -0.35 * np.maximum(_noise(dice, mask.shape, 2.0) - 1.3, 0)  # nucleoli, which take no stain
    texture = np.maximum(1 + contrast[mask] * (grain + spots + hollows), 0.15)
    return np.asarray(brightness[mask] * (0.45 + 0.55 * depth) * texture)


def _depth(mask: NDArray[np.int32]) -> NDArray[np.float64]:
    """Measure how many pixels away the nearest pixel of another nucleus or of the background is."""
    depth = np.zeros(mask.shape)
    for number, box in enumerate(ndimage.find_objects(mask), start=1):
        inside = np.pad(mask[box] == number, 1)
        depth[box] += ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
    return depth


def _noise(dice: np.random.Generator, shape: tuple[int, ...], size: float) -> NDArray[np.float64]:
    """Make smooth noise of mean 0 and deviation 1 whose blobs are about `size` pixels wide."""
    size = min(size, min(shape) / 8)  # wider blobs than the field would leave nothing but their mean
    noise = ndimage.gaussian_filter(dice.standard_normal(shape), size, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def _photographed(dice: np.random.Generator, light: NDArray[np.float64]) -> NDArray[np.uint8]:
    """See it through a camera: haze, blurred nuclei from other planes, background, blur, photons, 8 bits."""
    rows, columns = np.mgrid[-1 : 1 : 1j * light.shape[0], -1 : 1 : 1j * light.shape[1]]
    turn = dice.uniform(0, 2 * np.pi)
    slope = 0.13 + 0.05 * (rows * np.sin(turn) + columns * np.cos(turn)) + 0.015 * _noise(dice, light.shape, 40.0)
    uneven = 1 - 0.12 * (rows**2 + columns**2)  # the lamp is brighter in the middle
    others = ndimage.gaussian_filter(np.roll(light[::-1, ::-1], light.shape[1] // 3, 1) * _sparse(dice, light.shape), 7)
    haze = 0.13 * ndimage.gaussian_filter(light, 9) + 0.09 * ndimage.gaussian_filter(light, 30)
    sharp = ndimage.gaussian_filter(light, 1.1)
    wanted = uneven * (sharp + haze + 0.30 * others) + np.maximum(slope, 0.02)
    photons = dice.poisson(wanted * 130.0) + dice.normal(0.0, 2.5, light.shape)
    return np.asarray(np.clip(np.rint(photons * 0.85), 0, 255), dtype=np.uint8)


def _sparse(dice: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Choose a few large patches (1, elsewhere 0) where nuclei of another plane shine through."""
    return np.asarray(_noise(dice, shape, 30.0) > 0.4, dtype=np.float64)
