"""Levels of a slide as the arrays that napari draws: only what is on screen is decoded."""

from __future__ import annotations

from operator import index as whole
from typing import Any, Protocol

import numpy as np
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_unetsharp.images.image import check_size
from napari_unetsharp.images.lazy_array import LazyArray
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_level import Damage
from napari_unetsharp.widgets.slide_overview import Overviews, SmallerLevel, smaller_levels

_LARGEST_TILE = 1024
"""Where tiles are larger, whole ones around the view would be too much to draw."""


class Decoded(Protocol):
    """What `ShownLevel` reads: a `Level`, or a smaller size that the file doesn't hold."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def region(self, key: Any) -> tuple[NDArray[Any], list[Damage]]: ...


class ShownLevel(LazyArray):
    """A level without its axis of one channel; a part of a stack stays lazy until a plane is chosen.

    napari cuts the field of view out of all planes before it takes the plane on screen, draws what it gets, and
    would show nothing at all where a tile is damaged: here only the plane is decoded, damaged tiles are black, and
    a warning says so once.

    Parameters
    ----------
    slide : Slide
        Kept open as long as this is used.
    level : Decoded
    tile : (int, int) or None
        Height and width of what is decoded at once.
    axes : tuple of range or int, optional
        What is left of each axis but C; all where None.
    """

    def __init__(
        self, slide: Slide, level: Decoded, tile: tuple[int, int] | None, axes: tuple[range | int, ...] | None = None
    ) -> None:
        self.slide, self.level, self._tile = slide, level, tile
        self._axes = axes if axes is not None else tuple(range(side) for side in level.shape[:-1])
        sides = tuple(len(one) for one in self._axes if isinstance(one, range))
        self.shape: tuple[int, ...] = (*sides, level.shape[-1]) if slide.rgb else sides
        self.dtype = level.dtype
        if tile is not None and axes is None and max(tile) <= _LARGEST_TILE:
            self.chunks = (*(1,) * (len(sides) - 2), *tile, *self.shape[len(sides) :])

    def __repr__(self) -> str:
        return f"<shown {self.level!r}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> ShownLevel:
        """A duplicated layer shows the same slide: nothing here is ever written."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        check_size(self.shape, self.dtype, self.slide.path.name)
        return np.asarray(self._read(slice(None)), dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        """Cut out like numpy's basic slicing, with steps above 0: pixels, or a lazy part of several planes."""
        given = iter(self._keys(key))
        axes = tuple(_taken(one, next(given)) if isinstance(one, range) else one for one in self._axes)
        part = ShownLevel(self.slide, self.level, None, axes)
        if any(isinstance(one, range) and len(one) > 1 for one in axes[:-2]):
            return part
        return part._read(next(given, slice(None)))

    def _read(self, colour: Any) -> NDArray[Any]:
        key = tuple(slice(one.start, one.stop, one.step) if isinstance(one, range) else one for one in self._axes)
        pixels, damaged = self.level.region((*key, colour if self.slide.rgb else 0))
        if damaged:
            _warn_once(self.slide, damaged[0])
        return pixels


def _taken(kept: range, key: Any) -> range | int:
    return kept[key] if isinstance(key, slice) else kept[whole(key)]


def _warn_once(slide: Slide, damage: Damage) -> None:
    note = (
        f"{slide.path.name} is damaged: what can't be decoded is shown black, the first tile at row {damage.top}, "
        f"column {damage.left} ({damage.reason})."
    )
    if not any(known.startswith(f"{slide.path.name} is damaged") for known in slide.notes):
        slide.notes.append(note)
        show_warning(note)


def shown_levels(slide: Slide) -> list[ShownLevel]:
    """Give the levels of a slide to draw, largest first; smaller ones are added where the file has none."""
    levels = [ShownLevel(slide, level, level.tiles.tile) for level in slide.levels]
    return [*levels, *(ShownLevel(slide, level, None) for level in smaller_levels(slide))]


def overviews_of(layer: Any) -> Overviews | None:
    """Give what a layer shows in small though the file doesn't hold it; None where the file does."""
    last = layer.data[-1] if getattr(layer, "multiscale", False) else None
    small = last.level if isinstance(last, ShownLevel) else None
    return small.source if isinstance(small, SmallerLevel) else None
