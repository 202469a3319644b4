"""One block of a slide through the network: maps that don't depend on any other block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tissue import TissueLook
from napari_unetsharp.inference.prediction import TileMaps, has_doubt
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.plane import SlidePlane

Maps = dict[str, NDArray[np.uint8]]


def maps_given(predictor: Predictor) -> tuple[str, ...]:
    """What a block file of this predictor holds: the map of its level, and cores and doubt where it gives them.

    Raises
    ------
    SettingsError
        If it doesn't compute the map of its own level.
    """
    own = f"x0{predictor.level}"
    if own not in predictor.branches:
        raise SettingsError(
            f"the model gives no map at depth {predictor.level} (it gives {', '.join(predictor.branches)}); "
            "choose another depth"
        )
    names = [own]
    if "core" in predictor.checkpoint.config.extras:
        names.append("core")
    if has_doubt(predictor.branches, predictor.level):
        names.append("doubt")
    return tuple(names)


def weights_hash(predictor: Predictor) -> str:
    """SHA-256 of a network's weights, for a checkpoint that was never saved."""
    total = hashlib.sha256()
    for name, tensor in sorted(predictor.checkpoint.network.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def compute_block(
    slide: Slide, predictor: Predictor, about: RunAbout, row: int, column: int,
    stop: Callable[[], bool] = lambda: False, notes: list[str] | None = None,
) -> Maps | None:  # fmt: skip
    """Compute the maps of a block's window.

    Parameters
    ----------
    slide : Slide
    predictor : Predictor
        Of the checkpoint and options that `about` names.
    about : RunAbout
    row, column : int
        Of the block.
    stop : callable
        Asked between tiles.
    notes : list of str, optional
        Gets a sentence for each thing a person should know.

    Returns
    -------
    dict of str to array of uint8, (Y, X) of the window, or None
        Probability times 255, by the names of `about.maps`. None if it was stopped.

    Raises
    ------
    ImageError
        If pixels that the block needs are damaged, NaN or infinite.
    DeviceError
        As `Predictor.tiles`.
    """
    box = about.grid.window(row, column)
    plane: Any = SlidePlane(slide, about.downsample, about.plane, predictor.checkpoint.config.in_channels)
    if plane.note and notes is not None and plane.note not in notes:
        notes.append(plane.note)
    factor = about.options["magnification"] * about.downsample
    maps = {name: np.zeros(box.shape, np.uint8) for name in about.maps}
    limits = (float(about.limits[0]), float(about.limits[1]))
    for tile in predictor.tiles(plane, Region(box.top, box.left, *box.shape), notes, limits=limits, factor=factor):
        _place(maps, tile, box, predictor.level)
        if tile.done < tile.total and stop():
            return None
    return maps


def block_maps(
    slide: Slide, predictor: Predictor, about: RunAbout, look: TissueLook | None, row: int, column: int,
    stop: Callable[[], bool] = lambda: False, notes: list[str] | None = None,
) -> Maps | None:  # fmt: skip
    """Compute the maps of a block, without the network where there is but empty glass.

    Parameters
    ----------
    slide, predictor, about, row, column, stop, notes
        As in `compute_block`.
    look : TissueLook, optional
        By which glass is told; None where it is known otherwise which blocks are worth it.

    Returns
    -------
    dict of str to array of uint8, (Y, X) of the window, or None
        As from `compute_block`; zeros for glass.

    Raises
    ------
    ImageError, DeviceError
        As `compute_block`.
    """
    if look is not None:
        window = about.grid.window(row, column)
        plane = SlidePlane(slide, about.downsample, about.plane, slide.shape[-1])
        if not look.is_in(plane[window.slices]):
            return {name: np.zeros(window.shape, np.uint8) for name in about.maps}
    return compute_block(slide, predictor, about, row, column, stop, notes)


def _place(maps: Maps, tile: TileMaps, box: Box, level: int) -> None:
    """Write the part of a tile that lies in the window."""
    core, name = tile.core, f"x0{level}"
    top, left = max(core.top, box.top), max(core.left, box.left)
    bottom, right = min(core.top + core.height, box.bottom), min(core.left + core.width, box.right)
    if bottom <= top or right <= left:
        return
    into = slice(top - box.top, bottom - box.top), slice(left - box.left, right - box.left)
    of = slice(top - core.top, bottom - core.top), slice(left - core.left, right - core.left)
    for key, values in ((name, tile.full[name]), ("core", tile.cores.get(name)), ("doubt", tile.doubt)):
        if key in maps and values is not None:
            maps[key][into] = np.rint(np.clip(values[of].astype(np.float32), 0, 1) * 255).astype(np.uint8)
