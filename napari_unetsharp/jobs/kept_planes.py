"""The planes of a stack as they are finished: on disk, so that a stack may be larger than memory and be resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.tiff import written_beside

Index = tuple[int, ...]


class KeptPlanes:
    """Arrays of all planes, each in a file, and which planes are there.

    Parameters
    ----------
    folder : Path
        Made if it isn't there; what another job left there is removed.
    stack, plane : tuple of int
        Shapes.
    dtypes : dict of str to dtype
        Of each array, by name.
    key : str
        What decides the results; with another one, or an empty one, everything starts afresh.

    Attributes
    ----------
    arrays : dict of str to array, (*stack, *plane)
    nucleus_size : float or None
        As it was taken for the planes that are there; set it by `take_size`.
    resumed : bool
        Whether planes were there.
    """

    def __init__(self, folder: Path, stack: Index, plane: Index, dtypes: dict[str, Any], key: str) -> None:
        self.folder, self._key = folder, key
        self._here: NDArray[Any] = np.zeros(0, np.uint8)
        self._about = folder / "about.json"
        known = self._known()
        going_on = bool(key) and known.get("fingerprint") == key
        if not going_on:
            self.remove()
        folder.mkdir(parents=True, exist_ok=True)
        self.nucleus_size: float | None = known.get("nucleus_size") if going_on else None
        self._here = self._opened("here", np.uint8, stack)
        self.arrays = {name: self._opened(name, dtype, (*stack, *plane)) for name, dtype in dtypes.items()}
        self.resumed = bool(self._here.any())

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self._about.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _opened(self, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        path = self.folder / f"{name}.npy"
        if self._about.exists() and path.exists():
            opened: NDArray[Any] = np.load(path, mmap_mode="r+", allow_pickle=False)
            return opened
        return np.lib.format.open_memmap(path, "w+", dtype=np.dtype(dtype), shape=shape)

    def take_size(self, size: float | None) -> None:
        """Remember the nucleus size and that the arrays are whole: from now on they may be resumed."""
        self.nucleus_size = size
        with written_beside(self._about) as beside:
            beside.write_text(json.dumps({"fingerprint": self._key, "nucleus_size": size}), encoding="utf-8")

    def has(self, index: Index) -> bool:
        """Whether a plane is finished."""
        return bool(self._here[index])

    def finish(self, index: Index) -> None:
        """Say that a plane's values are all in the arrays; on disk before it counts."""
        for array in self.arrays.values():
            array.flush()  # type: ignore[attr-defined]  # of a memmap
        self._here[index] = 1
        self._here.flush()  # type: ignore[attr-defined]

    def narrowed(self, name: str, dtype: Any) -> NDArray[Any]:
        """Copy an array to a smaller type, plane by plane."""
        source = self.arrays[name]
        target = np.lib.format.open_memmap(self.folder / f"{name} narrow.npy", "w+", np.dtype(dtype), source.shape)
        for index in np.ndindex(self._here.shape):
            target[index] = source[index]
        return target

    def remove(self) -> None:
        """Remove the folder."""
        self.arrays = {}
        self._here = np.zeros(0, np.uint8)  # some systems don't remove what is open
        if self.folder.exists():
            shutil.rmtree(self.folder)
