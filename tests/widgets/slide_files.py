"""Small files that are slides: pyramids, channels, stacks, flat ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

y, x = np.mgrid[:600, :800]
TISSUE = np.stack([150 + 90 * np.sin(x / (7 + turn) + y / 23) for turn in range(3)], axis=-1).astype(np.uint8)
GREYS = np.stack([(1000 * (1 + number) + 5 * ((x * (number + 3) + y) % 700)) for number in range(6)]).astype(np.uint16)
UM = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}


def pyramid(path: Path, um: bool = True, pixels: np.ndarray = TISSUE) -> Path:
    """Write an OME-TIFF of three sizes; halves by leaving pixels out."""
    levels = [pixels[::step, ::step] for step in (1, 2, 4)]
    options: dict[str, Any] = {"photometric": "rgb", "tile": (128, 128), "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(levels[0], subifds=2, metadata={"axes": "YXS", **(UM if um else {})}, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, metadata=None, **options)
    return path


def channels(path: Path, names: tuple[str, ...], pixels: np.ndarray, um: bool = True) -> Path:
    """Write an OME-TIFF pyramid (C, Y, X) of two sizes with names and colours (red, then green, then white)."""
    colours = [-16776961, 16711935, *(-1 for _ in names)][: len(names)]
    about: dict[str, Any] = {"axes": "CYX", **(UM if um else {}), "Channel": {"Name": list(names), "Color": colours}}
    with tifffile.TiffWriter(path, ome=True) as file:
        options: dict[str, Any] = {"photometric": "minisblack", "tile": (128, 128), "compression": "zlib"}
        file.write(pixels, subifds=1, metadata=about, **options)
        file.write(np.ascontiguousarray(pixels[:, ::2, ::2]), subfiletype=1, metadata=None, **options)
    return path


def stack(path: Path, pixels: np.ndarray, sizes: int) -> Path:
    """Write an OME-TIFF stack (Z, Y, X), planes 2 µm apart."""
    about = {"axes": "ZYX", **UM, "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm"}
    with tifffile.TiffWriter(path, ome=True) as file:
        options: dict[str, Any] = {"photometric": "minisblack", "tile": (128, 128), "compression": "zlib"}
        file.write(pixels, subifds=sizes - 1, metadata=about, **options)
        for power in range(1, sizes):
            small = np.ascontiguousarray(pixels[:, :: 2**power, :: 2**power])
            file.write(small, subfiletype=1, metadata=None, **options)
    return path


def flat(path: Path, pixels: np.ndarray = TISSUE) -> Path:
    """Write a tiled TIFF of one size."""
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(128, 128), compression="zlib", metadata=None)
    return path


def svs(path: Path) -> Path:
    """Write what Aperio's scanners write, with a label and a macro picture."""
    told = "Aperio Image Library v12.0.15\r\n800x600 [0,0 800x600] (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2520"
    common: dict[str, Any] = {"photometric": "rgb", "metadata": None, "compression": "zlib"}
    with tifffile.TiffWriter(path) as file:
        file.write(TISSUE, tile=(256, 256), description=told, **common)
        file.write(TISSUE[::8, ::8], description="Aperio Image Library v12.0.15\r\n800x600 -> 100x75 - ", **common)
        file.write(TISSUE[::4, ::4], tile=(256, 256), description="Aperio Image Library v12.0.15\r\n", **common)
        for word, kind in (("label", 1), ("macro", 9)):
            text = f"Aperio Image Library v12.0.15\r\n{word} 60x50"
            file.write(TISSUE[:50, :60], description=text, subfiletype=kind, **common)
    return path


def break_tile(path: Path, number: int) -> Path:
    """Write nonsense over a tile of the largest size."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        at, count = page.dataoffsets[number], page.databytecounts[number]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * count)
    return path
