"""Results that are filled piece by piece, as a person moves over a plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.live_labels import renewed
from napari_unetsharp.inference.live_patches import grown
from napari_unetsharp.inference.prediction import Prediction
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Index, PlaneDone, Results, TileDone
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.nuclei.instances import LabelSettings, count_nuclei, label_nuclei

LEAST_REACH = 64
"""Pixels around a new piece that are labelled with it, at least."""

_MIXED = 0


class LiveResults(Results):
    """`Results` that also take single pieces, and know how deep their planes were computed."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self._depths: dict[Index, int] = {}
        self._largest: dict[Index, int] = {}

    def clear(self) -> None:
        """Zero everything, in place."""
        super().clear()
        self._depths.clear()
        self._largest.clear()

    def is_of_depth(self, index: Index, level: int) -> bool:
        """Whether all that was computed of a plane reached this level and no other; True where nothing was."""
        return index not in self._computed or self._depths.get(index) == level

    def steps(
        self,
        predictor: Predictor,
        planes: list[Index],
        settings: Callable[[], LabelSettings],
        region: Region | None = None,
        stop: Callable[[], bool] = lambda: False,
        shown: int | None = None,
    ) -> Iterator[TileDone | PlaneDone]:
        """Run the network over planes, as `Results.steps`."""
        for index in planes:
            self._note_depth(index, predictor.level)
        yield from super().steps(predictor, planes, settings, region, stop, shown)

    def canvas(self, predictor: Predictor, index: Index) -> Prediction:
        """A prediction whose maps, doubt and record of what was computed are ours: what is placed in it is here."""
        self._note_depth(index, predictor.level)
        prediction = self._views(predictor, index)
        prediction.computed = self._computed.setdefault(index, np.zeros(self.image.plane_shape, bool))
        if prediction.doubt is not None:
            prediction.doubt = self.doubt[index]
        return prediction

    def measure(self, predictor: Predictor, index: Index) -> None:
        """Estimate the nuclei's size on a plane, unless it is known."""
        self._measure(predictor, [index])

    def label(self, index: Index, settings: LabelSettings, shown: int | None = None) -> dict[int, int]:
        """Label a plane, as `Results.label`."""
        self._largest.pop(index, None)
        return super().label(index, settings, shown)

    def is_current(self, index: Index, settings: LabelSettings) -> bool:
        """Whether all labels of a plane were made with these settings; True where nothing was computed."""
        levels = self.levels if index in self._computed else ()
        return all(self.is_labelled(index, level, settings) for level in levels)

    def label_part(self, index: Index, region: Region, settings: LabelSettings, level: int) -> None:
        """Label a piece that was just computed, with the nuclei around it that it touches; all others stay.

        Deeper levels come first: they lend their ids.

        Parameters
        ----------
        index : tuple of int
        region : Region
            The piece, in pixels of the plane.
        settings : LabelSettings
        level : int
        """
        reach = max(LEAST_REACH, round(3 * (self.nucleus_size or 0)))
        window = grown(region, reach, self.image.plane_shape)
        top, left = region.top - window.top, region.left - window.left
        inside = slice(top, top + region.height), slice(left, left + region.width)
        target = self.labels[level][index][window.slices]
        found = self._read(index, level, settings, window)
        deeper = next((other for other in self.levels if other > level), None)
        lending = None if deeper is None else self.labels[deeper][index][window.slices]
        target[...] = renewed(target, found, inside, self._largest_id(index), lending)
        self._largest[index] = max(self._largest_id(index), int(target.max(initial=0)))
        self._labelled[(index, level)] = settings

    def forget(self, index: Index, region: Region) -> None:
        """Empty a piece, as if it had never been computed."""
        filled: tuple[NDArray[Any], ...] = (
            *self.maps.values(),
            *self.cores.values(),
            *self.labels.values(),
            self.doubt,
        )
        for values in filled:
            values[index][region.slices] = 0
        if index in self._computed:
            self._computed[index][region.slices] = False

    def count(self, index: Index, level: int, region: Region) -> int:
        """Nuclei of which any pixel lies in a region."""
        return count_nuclei(self.labels[level][index][region.slices])

    def _read(self, index: Index, level: int, settings: LabelSettings, window: Region) -> NDArray[np.int32]:
        name = f"x0{level}"
        core = self.cores[name][index][window.slices] if name in self.cores else None
        return label_nuclei(self.maps[name][index][window.slices], settings, core)

    def _largest_id(self, index: Index) -> int:
        if index not in self._largest:
            self._largest[index] = max(
                (int(labels[index].max(initial=0)) for labels in self.labels.values()), default=0
            )
        return self._largest[index]

    def _note_depth(self, index: Index, level: int) -> None:
        same = index not in self._computed or self._depths.get(index) == level
        self._depths[index] = level if same else _MIXED
