"""A plane in several sizes on disk (OME-Zarr 0.5) that can be read while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.nuclei.label_pieces import within
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.pyramid_about import described

CHUNK = 512
"""Pixels along the side of what is stored in one file."""

SMALLEST = 512
"""Levels are added until the longer side has at most this many pixels."""


AT_ONCE = 2048
"""Pixels along the side of what is best written in one go: whole chunks of the first levels."""


def tiles_over(box: Box) -> Iterator[Box]:
    """Parts of a box that bound the memory that writing it takes, row by row."""
    for top in range(box.top // AT_ONCE * AT_ONCE, box.bottom, AT_ONCE):
        for left in range(box.left // AT_ONCE * AT_ONCE, box.right, AT_ONCE):
            bottom, right = min(box.bottom, top + AT_ONCE), min(box.right, left + AT_ONCE)
            yield Box(max(box.top, top), max(box.left, left), bottom, right)


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """(Y, X) of all levels, each half of the one before, rounded up."""
    shapes = [shape]
    while max(shapes[-1]) > SMALLEST:
        height, width = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2)))
    return shapes


class Pyramid:
    """A plane in several sizes.

    What is written shows at once in every size: nothing is cached. Files are written beside and renamed, so that a
    reader in another thread or process never meets half of one.

    Attributes
    ----------
    path : Path
        The folder, an OME-Zarr image.
    levels : tuple of zarr.Array, (Y, X)
        Largest first; sliced like numpy arrays. What was never written is 0.
    """

    def __init__(self, path: Path, levels: tuple[Any, ...], averaged: bool) -> None:
        self.path, self.levels, self._averaged = path, levels, averaged

    @classmethod
    def create(
        cls, path: Path, shape: tuple[int, int], dtype: Any, um_per_pixel: tuple[float, float] | None = None,
        labels: bool = False,
    ) -> Pyramid:  # fmt: skip
        """Make an empty pyramid, or open the one that is there.

        Parameters
        ----------
        path : Path
        shape : tuple of int
            (Y, X) of the largest level.
        dtype : dtype
        um_per_pixel : tuple of float, optional
            Height and width of a pixel of the largest level; without it the scale has no unit.
        labels : bool
            Coarser levels take the nearest pixel, and the metadata says that these are labels; otherwise they take
            the mean.

        Raises
        ------
        SlideRunError
            If zarr isn't installed, the disk doesn't take it, or what is there is something else.
        """
        shapes = level_shapes(shape)
        try:
            zarr = _zarr()
            group = zarr.open_group(path, mode="a", zarr_format=3)
            for place, each in enumerate(shapes):
                if str(place) not in group:
                    _add_level(group, str(place), each, dtype)
            if "ome" not in group.attrs:
                group.attrs["ome"] = described(path.stem, shapes, um_per_pixel, labels)
        except (OSError, ValueError) as error:
            raise SlideRunError(f"{path} can't be made ({first_line(error)})") from error
        return cls.open(path, shape, labels, writing=True)

    @classmethod
    def open(cls, path: Path, shape: tuple[int, int], labels: bool = False, writing: bool = False) -> Pyramid:
        """Open what `create` made; parameters as there.

        Raises
        ------
        SlideRunError
            If it is missing or of another shape.
        """
        zarr = _zarr()
        try:
            group = zarr.open_group(path, mode="r+" if writing else "r")
            levels = tuple(group[str(place)] for place in range(len(level_shapes(shape))))
        except (OSError, KeyError, ValueError) as error:
            raise SlideRunError(f"{path} can't be read ({first_line(error)}); run again in another folder") from error
        if [level.shape for level in levels] != level_shapes(shape):
            raise SlideRunError(f"{path} has levels of {[level.shape for level in levels]}, not of {shape} and halves")
        return cls(path, levels, not labels)

    def describe(self, um_per_pixel: tuple[float, float] | None) -> None:
        """State the height and width of a pixel of the largest level, where it was made without, or with others."""
        shapes = [level.shape for level in self.levels]
        try:
            group = _zarr().open_group(self.path, mode="r+")
            group.attrs["ome"] = described(self.path.stem, shapes, um_per_pixel, not self._averaged)
        except (OSError, ValueError) as error:
            raise SlideRunError(f"{self.path} can't be written ({first_line(error)})") from error

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of the largest level."""
        return self.levels[0].shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return dtype

    @property
    def downsamples(self) -> tuple[int, ...]:
        """Pixels of the largest level per pixel of each, along a side."""
        return tuple(2**place for place in range(len(self.levels)))

    def read(self, box: Box) -> NDArray[Any]:
        """Values of a box of the largest level, (Y, X)."""
        return np.asarray(self.levels[0][box.slices])

    def write(self, box: Box, values: NDArray[Any]) -> None:
        """Write a box of the largest level and what lies over it in the coarser ones.

        Parameters
        ----------
        box : Box
            Within the plane.
        values : array, (Y, X) of the box

        Raises
        ------
        SlideRunError
            If the disk doesn't take it.
        """
        self.change(box, lambda _: values)

    def change(self, box: Box, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Write what is made of the values that a box has now; see `write`."""
        if not box.area:
            return
        try:
            last = finest = box, self._put(0, box, change)
            for place in range(1, len(self.levels)):
                last = self._mean(place, *last) if self._averaged else self._nearest(place, *finest)
                if last[0].area:
                    self._put(place, last[0], partial(_instead, last[1]))
        except OSError as error:
            raise SlideRunError(
                f"{self.path} can't be written ({first_line(error)}); make room and run again"
            ) from error

    def _put(self, place: int, box: Box, change: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        """Write the chunks that change, whole, so that each is decoded and encoded once; returns what was written."""
        level = self.levels[place]
        whole = Box(
            box.top // CHUNK * CHUNK, box.left // CHUNK * CHUNK,
            *(min(side, -(-end // CHUNK) * CHUNK) for end, side in zip(box[2:], level.shape, strict=True)),
        )  # fmt: skip
        before = np.asarray(level[whole.slices])
        after, inner = before.copy(), within(whole, box)
        after[inner] = change(after[inner])
        changed = [part for part in _chunks(after.shape) if not np.array_equal(before[part], after[part])]
        if len(changed) > 1 and len(changed) == len(list(_chunks(after.shape))):
            changed = [np.s_[: after.shape[0], : after.shape[1]]]
        for rows, columns in changed:
            top, left = (rows.start or 0) + whole.top, (columns.start or 0) + whole.left
            level[top : rows.stop + whole.top, left : columns.stop + whole.left] = after[rows, columns]
        return after[inner]

    def _nearest(self, place: int, box: Box, values: NDArray[Any]) -> tuple[Box, NDArray[Any]]:
        """The pixels of the largest level in the middles of a coarser level's, as far as they lie in a box of it."""
        finest, coarse = self.levels[0].shape, self.levels[place].shape
        top, rows = _middles(box.top, box.bottom, finest[0], coarse[0], 2**place)
        left, columns = _middles(box.left, box.right, finest[1], coarse[1], 2**place)
        found = values[rows[:, None] - box.top, columns[None, :] - box.left]
        return Box(top, left, top + len(rows), left + len(columns)), found

    def _mean(self, place: int, box: Box, values: NDArray[Any]) -> tuple[Box, NDArray[Any]]:
        """Mean of two by two pixels of the level before; of fewer at the far borders."""
        finer = self.levels[place - 1]
        target = Box(box.top // 2, box.left // 2, -(-box.bottom // 2), -(-box.right // 2))
        whole = Box(2 * target.top, 2 * target.left, *(
            min(2 * end, side) for end, side in zip(target[2:], finer.shape, strict=True)))  # fmt: skip
        if whole != box:
            values = np.asarray(finer[whole.slices])
        odd = [(0, side % 2) for side in values.shape]
        paired = np.pad(values, odd, mode="edge").astype(np.uint32)
        total = paired[::2, ::2] + paired[1::2, ::2] + paired[::2, 1::2] + paired[1::2, 1::2]
        return target, ((total + 2) // 4).astype(values.dtype)


def _middles(first: int, last: int, finest: int, coarse: int, wide: int) -> tuple[int, NDArray[np.int64]]:
    """First coarse pixel whose middle lies in a stretch of the finest ones, and the middles from there on."""
    start = first // wide
    middles = np.minimum(wide * np.arange(start, min(coarse, last // wide + 1)) + wide // 2, finest - 1)
    inside = (middles >= first) & (middles < last)
    return start + int(inside.argmax()) if inside.any() else start, middles[inside]


def _instead(values: NDArray[Any], _: NDArray[Any]) -> NDArray[Any]:
    return values


def _chunks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    steps = [[slice(at, min(at + CHUNK, side)) for at in range(0, side, CHUNK)] for side in shape]
    yield from product(*steps)


def _add_level(group: Any, name: str, shape: tuple[int, int], dtype: Any) -> None:
    from zarr.codecs import BloscCodec, BloscShuffle

    group.create_array(
        name, shape=shape, chunks=(CHUNK, CHUNK), dtype=dtype, fill_value=0, dimension_names=("y", "x"),
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.shuffle),
    )  # fmt: skip


def _zarr() -> Any:
    try:
        import zarr
    except ImportError:
        raise SlideRunError(
            'a run over a slide needs zarr and pyarrow: install them with pip install "napari-unetsharp[slides]"'
        ) from None
    return zarr
