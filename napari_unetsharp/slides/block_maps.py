"""Maps of the blocks of a run: what the network saw, a file each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_file import DamagedBlockError, read_arrays, write_arrays
from napari_unetsharp.slides.grid import BlockGrid
from napari_unetsharp.slides.run_files import RunFiles

_SECONDS = "seconds"


class BlockMaps:
    """Writes and reads them; any process may.

    Parameters
    ----------
    about : RunAbout
    grid : BlockGrid
    files : RunFiles
    """

    def __init__(self, about: RunAbout, grid: BlockGrid, files: RunFiles) -> None:
        self._about, self._grid, self._files = about, grid, files

    def put(self, row: int, column: int, maps: Mapping[str, NDArray[np.uint8]], seconds: float) -> None:
        """See `SlideStore.put_maps`."""
        self._check(maps, row, column)
        kept: dict[str, NDArray[Any]] = {name: maps[name] for name in self._about.maps}
        write_arrays(self._files.maps(row, column), kept | {_SECONDS: np.array(seconds)})

    def of(self, row: int, column: int) -> dict[str, NDArray[np.uint8]]:
        """See `SlideStore.maps_of`."""
        path = self._files.maps(row, column)
        try:
            maps = read_arrays(path)
            self._check(maps, row, column)
        except (DamagedBlockError, ShapeError) as error:
            path.unlink(missing_ok=True)
            raise DamagedBlockError(
                f"the maps of block {row}, {column} can't be used ({error}); run again, that block is computed anew"
            ) from error
        return {name: maps[name] for name in self._about.maps}

    def _check(self, maps: Mapping[str, NDArray[Any]], row: int, column: int) -> None:
        needed = self._grid.window(row, column).shape
        for name in self._about.maps:
            if name not in maps or maps[name].shape != needed or maps[name].dtype != np.uint8:
                found = f"{maps[name].dtype} {maps[name].shape}" if name in maps else "none"
                raise ShapeError(f"block {row}, {column} needs a map {name!r} of uint8 {needed}; got {found}")
