"""A job on a picture or a volume: its planes one by one, then a TIFF for each depth and view."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.image import Image
from napari_unetsharp.images.tiff import write_tiff
from napari_unetsharp.images.volume import Volume
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import PlaneDone, Results, TileDone
from napari_unetsharp.jobs.kept_planes import KeptPlanes
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.jobs.source import Source
from napari_unetsharp.jobs.state import Fingerprint, JobPlace, Row
from napari_unetsharp.nuclei.instances import count_nuclei

OnProgress = Callable[[str, float, float], None]


def silent(text: str, done: float, total: float) -> None:
    """Show no progress."""


_MEASURED = 3
"""Planes looked at, spread over a stack, where the first has no nuclei to measure."""


class PictureJob:
    """A picture on its way to its results.

    Parameters
    ----------
    source : Source
    image : Image
    predictor : Predictor
    settings : JobSettings
    row : dict
        Is filled.
    on_progress : callable
        Gets a text, and how many of how many tiles.
    """

    def __init__(
        self, source: Source, image: Image, predictor: Predictor, settings: JobSettings, row: Row,
        on_progress: OnProgress,
    ) -> None:  # fmt: skip
        self.source, self.image, self.predictor, self.settings = source, image, predictor, settings
        self.row, self.on_progress = row, on_progress
        offered = tuple(level for level in range(1, settings.level + 1) if f"x0{level}" in predictor.branches)
        self.levels = offered if settings.all_levels else (settings.level,)
        self.place = JobPlace(settings.folder, source.name)
        row |= {"kind": "volume" if isinstance(image, Volume) or image.stack_shape else "picture"}
        row |= {"shape": [*image.stack_shape, *image.plane_shape], "axes": image.spatial_axes}
        row["warnings"] = list(image.notes)

    def run(self, key: Fingerprint) -> None:
        """Compute what isn't there yet and write the results.

        Parameters
        ----------
        key : Fingerprint
            With another one, what was kept of an earlier run is thrown away.

        Raises
        ------
        UNetSharpError, OSError
        """
        if self.image.stack_shape:
            self._run_stack(key)
        else:
            self.row["nucleus_size"] = self._size()
            results = self._plane((), 0, 1, self.row["nucleus_size"])
            arrays = self._arrays(results)
            self._write(arrays, {name: self._narrow(array) for name, array in arrays.items() if name[0] == "L"})
        if self.row["state"] != "resumed":
            self.row["state"] = "done"

    def _run_stack(self, key: Fingerprint) -> None:
        dtypes: dict[str, type] = dict.fromkeys((f"L{level}" for level in self.levels), np.int32)
        if self.settings.branches:
            dtypes |= dict.fromkeys(self.predictor.branches, np.float16)
        stack = self.image.stack_shape
        kept = KeptPlanes(self.place.kept, stack, self.image.plane_shape, dtypes, key.results)
        if kept.resumed:
            self.row["state"] = "resumed"
        else:
            kept.take_size(self._size())
        self.row["nucleus_size"] = kept.nucleus_size
        for number, index in enumerate(np.ndindex(stack)):
            if kept.has(index):
                self._count({level: count_nuclei(kept.arrays[f"L{level}"][index]) for level in self.levels})
                continue
            results = self._plane(index, number, int(np.prod(stack)), kept.nucleus_size)
            for name, values in self._arrays(results).items():
                kept.arrays[name][index] = values
            kept.finish(index)
        names = [name for name in kept.arrays if name[0] == "L"]
        highest = {name: max(int(kept.arrays[name][index].max()) for index in np.ndindex(stack)) for name in names}
        labels = {name: kept.narrowed(name, np.uint16) for name in names if highest[name] < 2**16}
        self._write(kept.arrays, labels)
        del labels
        kept.remove()

    def _plane(self, index: tuple[int, ...], number: int, planes: int, size: float | None) -> Results:
        image = self.image
        part = Image(image.plane(index), "YXC", image.scale[-2:], image.units[-2:], image.name)
        results = Results(part)
        results.claim(self.predictor, size)
        shown = min(self.levels)
        for step in results.steps(self.predictor, [()], lambda: self.settings.labels, shown=shown):
            if isinstance(step, TileDone):
                total = step.tile.total
                self.on_progress(self.source.path.name, number * total + step.tile.done, planes * total)
            elif isinstance(step, PlaneDone):
                self._count(step.nuclei)
        self.row["warnings"] += [note for note in results.notes if note not in self.row["warnings"]]
        return results

    def _count(self, nuclei: dict[int, int]) -> None:
        counted = self.row["nuclei"]
        self.row["nuclei"] = {f"L{level}": counted.get(f"L{level}", 0) + nuclei[level] for level in self.levels}

    def _arrays(self, results: Results) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {f"L{level}": results.labels[level] for level in self.levels}
        return arrays | (dict(results.maps) if self.settings.branches else {})

    def _narrow(self, labels: NDArray[Any]) -> NDArray[Any]:
        return labels.astype(np.uint16 if labels.max(initial=0) < 2**16 else np.uint32)

    def _size(self) -> float | None:
        """Diameter in px by which all planes are brought to the model's scale; None where it knows none."""
        metadata = self.predictor.checkpoint.metadata
        own = metadata.nucleus_size
        if own is None:
            return None
        if self.source.nucleus_size is not None:
            return self.source.nucleus_size
        um = self.source.um_per_pixel
        if um is not None and metadata.pixel_size:
            return own * metadata.pixel_size / math.sqrt(um[0] * um[1])
        indices = list(self.image.plane_indices())
        looked = [indices[0], *(indices[len(indices) * part // (_MEASURED + 1)] for part in range(1, _MEASURED + 1))]
        for index in dict.fromkeys(looked):
            if size := self.predictor.estimate_size(self.image.plane(index)):
                return size
        return own

    def _write(self, arrays: dict[str, NDArray[Any]], narrow: dict[str, NDArray[Any]]) -> None:
        for name, array in (arrays | narrow).items():
            file = self.settings.folder / f"{self.source.name}_{name}.tif"
            unsigned = array.view(np.uint32) if array.dtype == np.int32 else array
            write_tiff(file, unsigned, self.image)
            self.row["files"].append(str(file))
