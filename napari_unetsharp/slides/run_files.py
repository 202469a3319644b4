"""The small files of a run's folder: what it is, the label settings in force, and which blocks are done."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SettingsError, SlideRunError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.lock import Holder, Lock
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_file import block_name, place_of
from napari_unetsharp.slides.grid import BlockGrid

RUN, SETTINGS, WANTED, COUNTS = "run.json", "settings.json", "wanted.npy", "painted.npy"
LOCK = "lock"
RUNNING, DONE = "running", "done"
_LAYOUT = 1

_JUST_NOW = 2 * 10**9
"""Nanoseconds in which a folder may change without another time of change."""


class RunFiles:
    """A run's folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: tuple[int, NDArray[np.bool_]] | None = None

    @property
    def blocks(self) -> Path:
        """Folder of the blocks' maps."""
        return self.folder / "blocks"

    @property
    def nuclei(self) -> Path:
        """Folder of the blocks' nuclei: as each block sees them (npz), and as they are on the slide (parquet)."""
        return self.folder / "nuclei"

    @property
    def regions(self) -> Path:
        """Folder of what a person reviewed."""
        return self.folder / "regions"

    def maps(self, row: int, column: int) -> Path:
        return self.blocks / block_name(row, column)

    def found(self, row: int, column: int) -> Path:
        return self.nuclei / block_name(row, column)

    def part(self, row: int, column: int) -> Path:
        return self.nuclei / block_name(row, column, "parquet")

    def write_about(self, about: RunAbout, state: str = RUNNING) -> None:
        told = {"layout": _LAYOUT, "state": state, "fingerprint": about.fingerprint, **about.as_dict()}
        self._write_json(RUN, told)

    def read_about(self) -> tuple[RunAbout, str]:
        """The run, and `RUNNING` or `DONE`.

        Raises
        ------
        SlideRunError
            If there is none, or it can't be used.
        """
        if not (self.folder / RUN).is_file():
            raise SlideRunError(
                f"{self.folder} holds no run over a slide ({RUN} isn't there); give the folder of one, or run first"
            )
        told = self._read_json(RUN)
        if told.get("layout") != _LAYOUT:
            raise SlideRunError(
                f"{self.folder} was written by another version (layout {told.get('layout')}, not {_LAYOUT}); "
                "run again in another folder"
            )
        about = RunAbout.from_dict(told)
        if told.get("fingerprint") != about.fingerprint:
            raise SlideRunError(f"{self.folder / RUN} was changed by hand or damaged; run again in another folder")
        return about, str(told.get("state", RUNNING))

    def write_settings(self, settings: LabelSettings) -> None:
        self._write_json(SETTINGS, asdict(settings))

    def read_settings(self) -> LabelSettings:
        told = self._read_json(SETTINGS)
        try:
            return LabelSettings(float(told["threshold"]), int(told["smallest"]), bool(told["split"]))
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise SlideRunError(
                f"{self.folder / SETTINGS} can't be used ({first_line(error)}); delete it, then run again"
            ) from error

    def write_grid(self, name: str, values: NDArray[Any]) -> None:
        """Write a value per block."""
        try:
            with written_beside(self.folder / name) as beside, beside.open("wb") as file:
                np.save(file, values, allow_pickle=False)
        except OSError as error:
            raise self._full(name, error) from error

    def read_grid(self, name: str, grid: BlockGrid, otherwise: NDArray[Any]) -> NDArray[Any]:
        """Read a value per block; `otherwise` where the file is missing or damaged."""
        try:
            values = np.load(self.folder / name, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return otherwise
        fits = values.shape == (grid.rows, grid.columns) and values.dtype == otherwise.dtype
        return np.asarray(values) if fits else otherwise

    def changed(self, name: str) -> tuple[int, int]:
        """What tells a file from the one that it was before; zeros where it isn't there."""
        try:
            told = (self.folder / name).stat()
        except OSError:
            return 0, 0
        return told.st_mtime_ns, told.st_ino

    def computed(self, grid: BlockGrid) -> NDArray[np.bool_]:
        """Blocks whose file is there, (rows, columns); looked up again where the folder changed, or just did."""
        if not self.blocks.is_dir():
            return np.zeros((grid.rows, grid.columns), bool)
        now = self.blocks.stat().st_mtime_ns
        if self._listed is None or self._listed[0] != now or time.time_ns() - now < _JUST_NOW:
            self._listed = (now, self._look(grid))
        return self._listed[1].copy()

    def _look(self, grid: BlockGrid) -> NDArray[np.bool_]:
        found = np.zeros((grid.rows, grid.columns), bool)
        with os.scandir(self.blocks) as entries:
            for entry in entries:
                place = place_of(entry.name)
                if place and place[0] < grid.rows and place[1] < grid.columns:
                    found[place] = True
        return found

    def sweep(self) -> None:
        """Remove what killed processes left beside; blocks that another process may be writing are left alone."""
        for folder in (self.folder, self.nuclei, self.regions):
            for left in folder.glob(".*.part"):
                left.unlink(missing_ok=True)
        for pyramid in self.folder.glob("*.zarr"):
            for left in pyramid.rglob("*.partial"):
                left.unlink(missing_ok=True)

    def _write_json(self, name: str, told: dict[str, Any]) -> None:
        try:
            with written_beside(self.folder / name) as beside:
                beside.write_text(json.dumps(told, indent=1), encoding="utf-8")
        except OSError as error:
            raise self._full(name, error) from error

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise SlideRunError(
                f"{path} can't be read ({first_line(error)}); run again in another folder, or copy it again"
            ) from error

    def _full(self, name: str, error: OSError) -> SlideRunError:
        return SlideRunError(
            f"{self.folder / name} can't be written ({first_line(error)}); make room or choose another folder"
        )


def locked(folder: Path) -> Lock:
    """The right to paint in a folder.

    Raises
    ------
    SlideRunError
        If somebody else has it, or nothing can be written there.
    """
    try:
        lock = Lock.take(folder / LOCK)
    except OSError as error:
        raise SlideRunError(
            f"nothing can be written into {folder} ({first_line(error)}); choose another folder"
        ) from error
    if isinstance(lock, Holder):
        raise SlideRunError(f"{folder} is being written by {lock}; wait until that ends, or choose another folder")
    return lock
