"""OME-Zarr slides, versions 0.1 to 0.5, in zarr formats 2 and 3."""

from __future__ import annotations

from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import check_values
from napari_unetsharp.images.pyramid_pages import MOST_AT_ONCE
from napari_unetsharp.images.slide import Slide, plain_channels, stacked_levels
from napari_unetsharp.images.slide_checks import believable, usable_levels
from napari_unetsharp.images.slide_identity import content_identity
from napari_unetsharp.images.zarr_described import Multiscale, read_multiscale

_SMALLEST_TILE, _LARGEST_TILE = 256, 2048
_COUNTED = 4096
_SAMPLED = 2**20
_PIECES, _ALONG = 256, 8


class ZarrTiles:
    """One array of a multiscale image, in pieces as they are stored (several where they are small).

    Parameters
    ----------
    array : zarr.Array
    stack : tuple of int
        Places of the stack axes, in order.
    rows, columns : int
        Places of Y and X.
    colour : int or None
        Place of the channels.
    name : str
        For messages.
    """

    missing = 0

    def __init__(
        self, array: Any, stack: tuple[int, ...], rows: int, columns: int, colour: int | None, name: str
    ) -> None:
        self._array, self._stack, self._rows, self._columns, self._colour = array, stack, rows, columns, colour
        sides = tuple(int(side) for side in array.shape)
        self.shape = (
            *(sides[place] for place in stack), sides[rows], sides[columns], 1 if colour is None else sides[colour],
        )  # fmt: skip
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        chunks = tuple(int(side) for side in array.chunks)
        if prod(chunks) * self.dtype.itemsize > MOST_AT_ONCE:
            raise ImageError(
                f"{name} declares {sides} in pieces of {prod(chunks) * self.dtype.itemsize / 2**30:,.1f} GiB that can "
                "only be decoded whole; save it in smaller chunks"
            )
        self.tile = tuple(_tile_side(chunks[place], sides[place]) for place in (rows, columns))  # type: ignore[assignment]
        # Channels stored together are decoded together.
        whole = colour is not None and chunks[colour] >= sides[colour]
        self.together = self.shape[-1] if whole else 1

    tile: tuple[int, int]

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[Any]:
        """Decode one tile; see `slide_level.Tiles`."""
        key: list[int | slice] = [0] * self._array.ndim
        for place, at in zip(self._stack, plane, strict=True):
            key[place] = at
        for place, at, side in zip((self._rows, self._columns), (row, column), self.tile, strict=True):
            key[place] = slice(at * side, (at + 1) * side)
        kept = [self._rows, self._columns]
        if self._colour is not None:
            key[self._colour] = slice(block * self.together, (block + 1) * self.together)
            kept.append(self._colour)
        read = np.asarray(self._array[tuple(key)])
        pixels = read.transpose([sorted(kept).index(place) for place in kept])
        return np.ascontiguousarray(pixels if self._colour is not None else pixels[..., np.newaxis], dtype=self.dtype)


def _tile_side(chunk: int, side: int) -> int:
    """Whole chunks that make a tile of a useful size; of a larger chunk a tile is the whole."""
    if chunk >= _SMALLEST_TILE:
        return min(chunk, side)
    return min(chunk * -(-_SMALLEST_TILE // chunk), max(side, 1))


def open_zarr(path: Path) -> Slide:
    """Open the first multiscale image of an OME-Zarr without decoding anything.

    Parameters
    ----------
    path : Path
        A folder. Labels in it are left alone.

    Returns
    -------
    Slide
        Stack axes first, then Y, X and C.

    Raises
    ------
    ImageError
        If it holds no multiscale image, or its arrays contradict its description.
    """
    try:
        import zarr
    except ImportError:
        raise ImageError(f'{path.name} needs zarr: install it with pip install "napari-unetsharp[slides]"') from None
    try:
        group = zarr.open(path, mode="r")
        return _slide(group, path)
    except ImageError:
        raise
    except Exception as error:  # zarr raises many kinds on damaged metadata
        raise ImageError(f"{path.name} can't be read as OME-Zarr: {first_line(error)}") from error


def _slide(group: Any, path: Path) -> Slide:
    notes: list[str] = []
    about = read_multiscale(group, path.name, notes)
    axes = about.axes
    rows, columns = axes.index("Y"), axes.index("X")
    colour = axes.index("C") if "C" in axes else None
    stack = tuple(place for place, letter in enumerate(axes) if letter not in "YXC")
    arrays = [level for level in about.arrays if level.ndim == len(axes)]
    if len(arrays) < len(about.arrays):
        raise ImageError(
            f"{path.name} describes {len(axes)} axes ({axes}) but its arrays have shape {about.arrays[0].shape}; "
            "its description is wrong, so export it again"
        )
    check_values(np.dtype(arrays[0].dtype), tuple(arrays[0].shape))
    same = [
        array
        for array in arrays
        if array.dtype == arrays[0].dtype and _channels(array, colour) == _channels(arrays[0], colour)
    ]
    if len(same) < len(arrays):
        notes.append(f"Levels of another kind of pixels were left out: {len(arrays) - len(same)}.")
    kept = usable_levels([(array.shape[rows], array.shape[columns]) for array in same], path.name, notes)
    each = [ZarrTiles(same[place], stack, rows, columns, colour, path.name) for place in kept]
    _check_stored(same[kept[-1]], notes)
    _check_scales(about, rows, columns, notes)
    levels = stacked_levels(each, path.name)
    channels, rgb = plain_channels(levels[0].shape[-1], levels[0].dtype)
    named = about.channels if len(about.channels) == len(channels) else channels
    steps = about.steps[0] if about.steps else ()
    return Slide(
        path, about.kind, levels, "".join(axes[place] for place in stack) + "YXC", named,
        rgb and (not about.channels or _primary(about)), lambda: _identity(path, levels),
        believable(_um(about, rows, columns), notes),
        tuple(steps[place] if about.units[place] != "pixel" else 1.0 for place in stack) if steps else (),
        tuple(about.units[place] for place in stack), notes=notes,
    )  # fmt: skip


def _channels(array: Any, colour: int | None) -> int:
    return 1 if colour is None else int(array.shape[colour])


def _primary(about: Multiscale) -> bool:
    """Whether the channels are red, green and blue in this order, so that they are one coloured picture."""
    return [one.colour for one in about.channels] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def _um(about: Multiscale, rows: int, columns: int) -> tuple[float, float] | None:
    factors = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
    if not about.steps or not {about.units[rows], about.units[columns]} <= set(factors):
        return None
    return (
        about.steps[0][rows] * factors[about.units[rows]],
        about.steps[0][columns] * factors[about.units[columns]],
    )


def _check_stored(smallest: Any, notes: list[str]) -> None:
    """Say when pieces of the smallest level aren't there: zarr shows them as its fill value without a word."""
    if 0 < smallest.nchunks <= _COUNTED:
        missing = int(smallest.nchunks - smallest.nchunks_initialized)
        if missing:
            notes.append(
                f"{missing} of {smallest.nchunks} pieces of the smallest level aren't stored: they show as "
                f"{smallest.fill_value}; the copy may be incomplete."
            )


def _check_scales(about: Multiscale, rows: int, columns: int, notes: list[str]) -> None:
    """Compare the scales of the levels with their sides."""
    for place in range(1, min(len(about.steps), len(about.arrays))):
        for axis in (rows, columns):
            stated = about.steps[place][axis] / about.steps[0][axis]
            sides = about.arrays[0].shape[axis] / about.arrays[place].shape[axis]
            if abs(stated - sides) > 0.05 * sides + 2 / about.arrays[place].shape[axis] * sides:
                notes.append(
                    f"The scale of level {place} says that it is {stated:.3g} times smaller, its sides say "
                    f"{sides:.3g}: the sides were believed."
                )
                return


def _identity(path: Path, levels: Any) -> str:
    """Hash the description, the sides and a million values of the smallest level; of a large one those of 64 pieces."""
    level = levels[-1]
    sides, tile, first = level.shape[-3:-1], level.tiles.tile, (0,) * len(level.stack_shape)
    counts = [-(-side // length) for side, length in zip(sides, tile, strict=True)]
    step = max(1, int(np.ceil((prod(level.shape[-3:]) / _SAMPLED) ** 0.5)))
    if prod(counts) <= _PIECES:
        read = [level[(*first, slice(None, None, step), slice(None, None, step))]]
    else:
        along = [sorted({count * at // _ALONG for at in range(_ALONG)}) for count in counts]
        step = max(1, int(np.ceil((len(along[0]) * len(along[1]) * prod(tile) * level.shape[-1] / _SAMPLED) ** 0.5)))
        read = [
            level[(*first, *(slice(at * side, (at + 1) * side, step) for at, side in zip(place, tile, strict=True)))]
            for place in product(*along)
        ]
    described = [file for file in (path / "zarr.json", path / ".zattrs") if file.is_file()]
    pixels = b"".join(one.tobytes() for one in read)
    return content_identity(described, [repr([one.shape for one in levels]).encode(), pixels])
