"""What a run over a slide has found so far, as anyone may read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.lock import Lock
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_maps import BlockMaps
from napari_unetsharp.slides.composing import Composer
from napari_unetsharp.slides.nuclei import NucleusRows, SlideNucleus
from napari_unetsharp.slides.pyramid import Pyramid
from napari_unetsharp.slides.regions import Regions
from napari_unetsharp.slides.run_files import DONE, WANTED, RunFiles


class RunResults:
    """The folder of a run, to read, and to put maps into; `store.SlideStore` paints.

    Attributes
    ----------
    folder : Path
    about : RunAbout
    grid : BlockGrid
    labels, probability : Pyramid
        int32 ids and uint8 (255 is 1), in result px.
    """

    def __init__(self, folder: Path, about: RunAbout, lock: Lock | None) -> None:
        self.folder, self.about, self.grid, self._lock = folder, about, about.grid, lock
        self._files, self._guard = RunFiles(folder), RLock()
        self._maps = BlockMaps(about, self.grid, self._files)
        self.labels = _pyramid(folder / "labels.zarr", about, np.int32, lock)
        self.probability = _pyramid(folder / "probability.zarr", about, np.uint8, lock)
        self._wanted = self._files.read_grid(WANTED, self.grid, np.ones((self.grid.rows, self.grid.columns), bool))
        self._regions, settings = Regions(self._files.regions), self._files.read_settings()
        self._composer = Composer(about, self.grid, self._files, self.labels, settings, self._regions, self.maps_of)

    @property
    def writing(self) -> bool:
        return self._lock is not None

    @property
    def done(self) -> bool:
        """Whether `finish` found every wanted block painted."""
        return self._files.read_about()[1] == DONE

    @property
    def settings(self) -> LabelSettings:
        """Label settings in force."""
        return self._composer.settings

    @property
    def computed(self) -> NDArray[np.bool_]:
        """Blocks whose maps are there, (rows, columns)."""
        return self._files.computed(self.grid)

    @property
    def painted(self) -> NDArray[np.bool_]:
        """Blocks whose nuclei by the settings in force are in the labels and the table, (rows, columns)."""
        return self._composer.painted

    @property
    def wanted(self) -> NDArray[np.bool_]:
        """Blocks that the run means to do, (rows, columns); can be set."""
        return self._wanted.copy()

    @wanted.setter
    def wanted(self, wanted: NDArray[np.bool_]) -> None:
        wanted = np.array(wanted, bool)
        if wanted.shape != (self.grid.rows, self.grid.columns):
            raise ShapeError(
                f"wanted blocks of shape {wanted.shape}; (rows, columns) {self.grid.rows, self.grid.columns} are needed"
            )
        with self._guard:
            self._files.write_grid(WANTED, wanted)
            self._wanted = wanted

    @property
    def count(self) -> int:
        """Nuclei on the slide so far."""
        return self._composer.count

    @property
    def reviewed_ids(self) -> NDArray[np.int32]:
        """Ids of the nuclei that a person decided on, ascending; they keep the ids that the run gave them."""
        return self._regions.held

    def put_maps(self, row: int, column: int, maps: Mapping[str, NDArray[np.uint8]], seconds: float = 0) -> None:
        """Keep the maps of a block, in a file that is whole or not there; any process may.

        Parameters
        ----------
        row, column : int
        maps : mapping of str to array of uint8, (Y, X) of the block's window
            Named as in ``about.maps``; 255 is 1.
        seconds : float
            What it took to compute them, kept beside.

        Raises
        ------
        ShapeError
            If a map is missing or has other sides.
        """
        self._maps.put(row, column, maps, seconds)

    def maps_of(self, row: int, column: int) -> dict[str, NDArray[np.uint8]]:
        """Maps of a block's window.

        Raises
        ------
        DamagedBlockError
            If the file is missing or damaged; it is removed, so that the block counts as not computed.
        """
        return self._maps.of(row, column)

    def nuclei(self, box: Box | None = None) -> Iterator[SlideNucleus]:
        """Nuclei by ascending id, read from disk block by block.

        Parameters
        ----------
        box : Box, optional
            In result px; only nuclei whose boxes share a pixel with it.
        """
        for rows in self.rows(box):
            yield from rows

    def rows(self, box: Box | None = None) -> Iterator[NucleusRows]:
        """The same as tables, some nuclei at a time."""
        tables = self._composer.tables(box)
        while True:
            with self._guard:
                rows = next(tables, None)
            if rows is None:
                return
            yield rows

    def read_labels(self, box: Box) -> NDArray[np.int32]:
        """Ids in a box, (Y, X), in result px; 0 outside."""
        return np.asarray(self.labels.read(box), np.int32)


def _pyramid(path: Path, about: RunAbout, dtype: Any, lock: Lock | None) -> Pyramid:
    labels = dtype is np.int32
    if lock is None:
        return Pyramid.open(path, about.shape, labels)
    return Pyramid.create(path, about.shape, dtype, about.um_per_result_pixel, labels)
