"""A scan in three dimensions, or a film of them: an image whose planes are read one by one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from operator import index as whole
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.image import Image, check_size
from napari_unetsharp.images.lazy_array import LazyArray

_KEPT_BYTES = 64 * 2**20


class Planes(LazyArray):
    """A lazy array (*stack, Y, X) or (*stack, Y, X, C), read plane by plane.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    stack : int
        Axes before Y.
    read : callable
        Takes the index on the stack axes and gives the plane: (Y, X) or (Y, X, C) of `dtype`.
    name : str
        For messages.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, stack: int, read: Callable[[tuple[int, ...]], NDArray[Any]], name: str
    ) -> None:
        self.shape: tuple[int, ...] = shape
        self.dtype, self._stack, self._read, self._name = np.dtype(dtype), stack, read, name
        self._kept: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<planes of {self._name}: {self.shape} {self.dtype}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Planes:
        """A duplicated layer shows the same file: nothing here is ever written."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        check_size(self.shape, self.dtype, self._name)
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read what numpy's basic slicing would give; only the planes that are touched."""
        keys = self._keys(key)
        stack, inner = keys[: self._stack], tuple(keys[self._stack :])
        ranges = [
            range(side)[one] if isinstance(one, slice) else _single(one, side)
            for one, side in zip(stack, self.shape, strict=False)
        ]
        counts = tuple(len(one) for one in ranges)
        read: NDArray[Any] | None = None
        for place in np.ndindex(counts):
            plane = self._plane(tuple(one[at] for one, at in zip(ranges, place, strict=True)))[inner]
            if read is None:
                read = np.empty((*counts, *plane.shape), self.dtype)
            read[place] = plane
        if read is None:
            read = np.empty((*counts, *np.empty(self.shape[self._stack :], "?")[inner].shape), self.dtype)
        return read[tuple(slice(None) if isinstance(one, slice) else 0 for one in stack)]

    def _plane(self, place: tuple[int, ...]) -> NDArray[Any]:
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
        plane = self._read(place)
        if plane.shape != self.shape[self._stack :] or plane.dtype != self.dtype:
            raise ImageError(
                f"plane {place} of {self._name} has shape {plane.shape} ({plane.dtype}) where "
                f"{self.shape[self._stack :]} ({self.dtype}) belongs; export it again"
            )
        with self._lock:
            self._kept[place] = plane
            while len(self._kept) > 1 and len(self._kept) * plane.nbytes > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return plane


def _single(at: Any, side: int) -> range:
    place = range(side)[whole(at)]
    return range(place, place + 1)


@dataclass
class Volume(Image):
    """An `Image` whose pixels are `Planes`, with the values that the file wants shown.

    Attributes
    ----------
    kind : str
        What a person calls it ("CT series", "NIfTI volume").
    window : (float, float) or None
        Values to show as black and white, in units of the pixels.
    """

    kind: str = "volume"
    window: tuple[float, float] | None = None


def windowed(volume: Volume, window: tuple[float, float] | None = None) -> Volume:
    """Give a volume as a window shows it on screen; plane by plane, like the volume itself.

    Parameters
    ----------
    volume : Volume
        Without colours.
    window : (float, float) or None
        Values to become black and white; what the file suggests where None.

    Returns
    -------
    Volume
        uint8: 0 at the first value and below, 255 at the second and above, even steps between.

    Raises
    ------
    ImageError
        If neither gives a window, or it makes no sense.
    """
    low, high = window or volume.window or (0.0, 0.0)
    if not low < high or volume.axes.endswith("C"):
        raise ImageError(
            f"{volume.name} can't be windowed from {low:g} to {high:g}: two rising grey values are needed, "
            "and a volume without colours"
        )

    def read(place: tuple[int, ...]) -> NDArray[np.uint8]:
        shown = (volume.pixels[place].astype(np.float64) - low) * (255 / (high - low))
        greys: NDArray[np.uint8] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
        return greys

    planes = Planes(volume.pixels.shape, np.uint8, len(volume.stack_shape), read, volume.name)
    note = f"Values from {low:g} to {high:g} are shown from black to white."
    return Volume(
        planes, volume.axes, volume.scale, volume.units, volume.name, [*volume.notes, note], volume.kind, (0.0, 255.0)
    )


def check_steps(places: NDArray[np.float64], notes: list[str], unit: str = "mm") -> float:
    """Give the distance between planes, and say where it isn't even.

    Parameters
    ----------
    places : array of float, (planes,)
        Rising.
    notes : list of str
        Gets a sentence for missing planes and for uneven distances.
    unit : str
        For messages.

    Returns
    -------
    float
        The distance that occurs most (the median); 0 for a single plane.
    """
    steps = np.diff(places)
    if not len(steps):
        return 0.0
    middle = round(float(np.median(steps)), 6)
    slack = max(0.01 * middle, 1e-3)
    odd = np.flatnonzero(np.abs(steps - middle) > slack)
    for at in odd[:1]:
        gaps = steps[odd] / middle
        if np.all((gaps > 1.5) & (np.abs(gaps - np.round(gaps)) < 0.1)):
            absent = int(np.round(gaps).sum() - len(odd))
            many = "A plane is" if absent == 1 else f"{absent} planes are"
            notes.append(
                f"{many} missing, the first after {places[at]:g} {unit} (the next lies at {places[at + 1]:g}): "
                "the planes are shown as if they followed each other."
            )
        else:
            notes.append(
                f"The planes lie unevenly: from {steps.min():g} to {steps.max():g} {unit} apart; "
                f"{middle:g} {unit} was taken for all."
            )
    return middle


def upright(directions: NDArray[np.float64]) -> tuple[bool, bool, bool]:
    """Which axes of a stored volume must be turned round to be shown like a DICOM series.

    Parameters
    ----------
    directions : array of float, (3, 3)
        For x, y and z as stored: where a step goes, towards the patient's left, back and head.

    Returns
    -------
    tuple of bool
        For x, y and z. Afterwards x and y run to the left, to the back or to the feet, and z along x cross y.
    """
    turned, shown = [], []
    for direction in directions[:2]:
        main = int(np.argmax(np.abs(direction)))
        wanted = -1.0 if main == 2 else 1.0  # pictures hang with the head up
        turned.append(bool(direction[main] * wanted < 0))
        shown.append(-direction if turned[-1] else direction)
    turned.append(bool(np.dot(np.cross(shown[0], shown[1]), directions[2]) < 0))
    return turned[0], turned[1], turned[2]


def turned_round(plane: NDArray[Any], turned: tuple[bool, bool, bool]) -> NDArray[Any]:
    """Turn a plane (Y, X, ...) as `upright` says."""
    plane = plane[::-1] if turned[1] else plane
    return np.ascontiguousarray(plane[:, ::-1] if turned[0] else plane)
