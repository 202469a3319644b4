"""Small slides for tests, drawn and written as tiled TIFF pyramids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from small_networks import discs

from napari_unetsharp.images.slide import Slide, plain_channels, stacked_levels


class ArrayTiles:
    """Tiles cut from an array; fails at the places told, and counts what is read."""

    def __init__(self, pixels: np.ndarray, tile: int = 128, broken: tuple[tuple[int, int], ...] = ()) -> None:
        self.pixels, self.tile, self.together, self.broken = pixels, (tile, tile), pixels.shape[-1], broken
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.reads: list[tuple[int, int]] = []

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> np.ndarray:
        self.reads.append((row, column))
        if (row, column) in self.broken:
            raise ValueError("bad bytes")
        height, width = self.tile
        return self.pixels[plane][row * height : (row + 1) * height, column * width : (column + 1) * width].copy()


def slide_of(*levels: np.ndarray | ArrayTiles, um_per_pixel: tuple[float, float] | None = (0.5, 0.5)) -> Slide:
    """A slide in memory, (*stack, Y, X, C) levels."""
    tiles = [level if isinstance(level, ArrayTiles) else ArrayTiles(level) for level in levels]
    channels, rgb = plain_channels(tiles[0].shape[-1], tiles[0].dtype)
    axes = {3: "YXC", 4: "ZYXC"}[len(tiles[0].shape)]
    content = np.ascontiguousarray(tiles[0].pixels[..., ::7, ::7, :]).tobytes()
    return Slide(
        Path("drawn.tif"), "drawn", stacked_levels(tiles, "drawn.tif"), axes, channels, rgb,
        lambda: f"{hash(content):064x}", um_per_pixel,
    )  # fmt: skip


def halves(pixels: np.ndarray, count: int) -> list[np.ndarray]:
    """The pixels and `count` - 1 smaller versions, each the mean of 2 x 2 pixels of the one before."""
    levels = [pixels]
    for _ in range(count - 1):
        fine = levels[-1][: levels[-1].shape[0] // 2 * 2, : levels[-1].shape[1] // 2 * 2].astype(np.float32)
        mean = (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4
        levels.append(np.rint(mean).astype(pixels.dtype))
    return levels


def spotted(
    shape: tuple[int, int],
    spots: int,
    radius: float = 7,
    seed: int = 0,
    inside: tuple[int, int, int, int] | None = None,
):
    """Bright discs that don't touch, in a box (top, left, bottom, right) of a dark picture: (Y, X, 3); and centres."""
    rng = np.random.default_rng(seed)
    top, left, bottom, right = inside or (0, 0, *shape)
    reach, centres = int(radius) + 2, []
    while len(centres) < spots:
        y, x = rng.integers(top + reach, bottom - reach), rng.integers(left + reach, right - reach)
        if all(max(abs(y - other), abs(x - along)) > 2 * reach for other, along in centres):
            centres.append((int(y), int(x)))
    grey = np.full(shape, 10, np.uint8)
    for y, x in centres:
        part = slice(y - reach, y + reach + 1), slice(x - reach, x + reach + 1)
        grey[part] = np.maximum(grey[part], discs((2 * reach + 1,) * 2, [(reach, reach)], radius))
    return np.repeat(grey[..., np.newaxis], 3, axis=-1), centres


def write_slide(path: Path, pixels: np.ndarray, levels: int = 1) -> Path:
    """Write a picture as a tiled TIFF with smaller versions of itself."""
    first, *smaller = halves(pixels, levels)
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"}
    with tifffile.TiffWriter(path) as file:
        file.write(first, subifds=len(smaller), resolution=(20000, 20000), resolutionunit="CENTIMETER", **options)
        for level in smaller:
            file.write(level, subfiletype=1, **options)
    return path
