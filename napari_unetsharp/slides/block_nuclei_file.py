"""What a block found, kept, so that its neighbours needn't be labelled again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.slides.block_file import DamagedBlockError, read_arrays, write_arrays
from napari_unetsharp.slides.block_nuclei import BlockNuclei, PlacedRuns
from napari_unetsharp.slides.nuclei import COLUMNS, NucleusRows

_RUNS = ("index", "row", "start", "stop")


def write_nuclei(path: Path, nuclei: BlockNuclei, settings: LabelSettings) -> None:
    """Write what a block found by some settings."""
    runs: dict[str, NDArray[Any]] = {f"run_{name}": getattr(nuclei.runs, name) for name in _RUNS}
    shapes: dict[str, NDArray[Any]] = {"points": nuclei.rows.points, "ends": nuclei.rows.ends}
    write_arrays(path, {"settings": _key(settings), **runs, **shapes, **nuclei.rows.columns})


def read_nuclei(path: Path, settings: LabelSettings) -> BlockNuclei:
    """Read it.

    Raises
    ------
    DamagedBlockError
        If the file is missing or damaged, or was written by other settings.
    """
    told = read_arrays(path)
    try:
        if not np.array_equal(told["settings"], _key(settings)):
            raise DamagedBlockError(f"{path.name} belongs to other label settings")
        runs = PlacedRuns(*(told[f"run_{name}"] for name in _RUNS))
        return BlockNuclei(
            runs, NucleusRows({name: told[name] for name in COLUMNS}, told["points"], told["ends"])
        )  # fmt: skip
    except KeyError as error:
        raise DamagedBlockError(f"{path.name} lacks {error}") from error


def _key(settings: LabelSettings) -> NDArray[Any]:
    return np.array([settings.threshold, settings.smallest, settings.split], np.float64)
