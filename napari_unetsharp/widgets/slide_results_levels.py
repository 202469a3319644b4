"""Sizes of a slide's results as the arrays that napari draws: always what is on disk now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.image import check_size
from napari_unetsharp.images.lazy_array import LazyArray

TOGETHER = 256
"""Side in pixels of what napari reads around the view at once, so that a small pan needs no reading."""


class OnDisk(Protocol):
    """What is drawn: one size of a `slides.pyramid.Pyramid`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, key: Any) -> Any: ...


class ShownResult(LazyArray):
    """One size of the results, on the plane of the slide that was run; every reading goes to the disk.

    Parameters
    ----------
    level : OnDisk
        (Y, X).
    stack_shape : tuple of int
        Lengths of the slide's stack axes; () for a single plane.
    plane : tuple of int
        Which plane the results belong to; the others are 0.
    """

    def __init__(self, level: OnDisk, stack_shape: tuple[int, ...] = (), plane: tuple[int, ...] = ()) -> None:
        self.level, self.plane = level, plane
        self.shape = (*stack_shape, *level.shape)
        self.dtype = np.dtype(level.dtype)
        self.chunks = (*(1,) * len(stack_shape), *(min(TOGETHER, side) for side in level.shape))

    def __repr__(self) -> str:
        return f"<results of {self.shape} {self.dtype}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> ShownResult:
        """A duplicated layer shows the same results: nothing here is ever written."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        check_size(self.shape, self.dtype, "the slide's results")
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read like numpy's basic slicing, with steps above 0."""
        *stack, rows, columns = self._keys(key)
        window = np.asarray(self.level[rows, columns])
        if not stack:
            return window
        chosen = tuple(np.arange(side)[one] for one, side in zip(stack, self.shape, strict=False))
        values = np.zeros((*(one.size for one in chosen), *window.shape), self.dtype)
        here = [np.flatnonzero(np.ravel(one) == at) for one, at in zip(chosen, self.plane, strict=True)]
        if all(one.size for one in here):
            values[tuple(int(one[0]) for one in here)] = window
        return values[tuple(slice(None) if one.ndim else 0 for one in chosen)]


class ShownResults(list[Any]):
    """All sizes of a pyramid for a multiscale layer, largest first.

    napari keeps the pixels of the smallest size once it has read them (it draws the thumbnail from them, and the
    slide when it is seen as a whole): that one is an array in memory here, and `read_again` fills it in place.

    Parameters
    ----------
    levels : sequence of OnDisk
    stack_shape, plane : tuple of int
        See `ShownResult`.
    """

    def __init__(
        self, levels: Sequence[OnDisk], stack_shape: tuple[int, ...] = (), plane: tuple[int, ...] = ()
    ) -> None:
        super().__init__(ShownResult(level, stack_shape, plane) for level in levels)
        self._smallest: ShownResult = self[-1]
        if not stack_shape:
            self[-1] = np.array(self._smallest[...])

    def read_again(self) -> None:
        """Fill in the smallest size with what is on disk now."""
        if isinstance(self[-1], np.ndarray):
            self[-1][...] = self._smallest[...]
