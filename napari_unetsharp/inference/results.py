"""Everything that one checkpoint found on one image: maps, labels and doubt of all its planes.

The window's layers show these very arrays, and the command line writes them: both fill them with the same
generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import DeviceError, UNetSharpError
from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.prediction import Prediction, TileMaps
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.network.grid import BRANCHES, LEVELS
from napari_unetsharp.nuclei.instances import LabelSettings, align_ids, count_nuclei, label_nuclei

Index = tuple[int, ...]


@dataclass(frozen=True)
class TileDone:
    """A tile was placed into the maps of a plane."""

    plane: Index
    tile: TileMaps
    planes_done: int
    planes: int


@dataclass(frozen=True)
class PlaneDone:
    """A plane has its labels and doubt, complete or as far as it came before it was stopped.

    Attributes
    ----------
    plane : tuple of int
    nuclei : dict of int to int
        Number of nuclei by level, for the levels that were labelled.
    stopped : bool
        Whether somebody asked to stop before the plane was complete.
    """

    plane: Index
    nuclei: dict[int, int]
    stopped: bool


class Results:
    """Arrays that fill as tiles finish.

    Parameters
    ----------
    image : Image
        Gives shape and axes.

    Attributes
    ----------
    shape : tuple of int
        Stack axes, then (Y, X).
    maps : dict of str to array of float16, `shape`
        Probability 0..1 by branch; only branches that were ever asked for.
    labels : dict of int to array of int32, `shape`
        By level.
    cores : dict of str to array of float16, `shape`
        Probability of a nucleus's inner part, by branch of the top row; empty where the network has none.
    nucleus_size : float or None
        Typical diameter in pixels by which the image was brought to the model's scale; None before a run, or where
        nothing was resampled.
    doubt : array of float16, `shape`
        0 where the views agree.
    notes : list of str
        What a person should know, a sentence each.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.shape = (*image.stack_shape, *image.plane_shape)
        self.maps: dict[str, NDArray[np.float16]] = {}
        self.labels: dict[int, NDArray[np.int32]] = {}
        self.cores: dict[str, NDArray[np.float16]] = {}
        self.nucleus_size: float | None = None
        self.doubt: NDArray[np.float16] = np.zeros(self.shape, np.float16)
        self.notes: list[str] = list(image.notes)
        self._labelled: dict[tuple[Index, int], LabelSettings] = {}
        self._computed: dict[Index, NDArray[np.bool_]] = {}
        self._claimed: tuple[Any, ...] | None = None

    def replace_image(self, image: Image) -> None:
        """The same picture read again: its pixels or notes may have changed, its shape has not."""
        self.image = image
        self.notes[:] = image.notes

    def claim(self, predictor: Predictor, nucleus_size: float | None = None) -> None:
        """Start afresh if what is here was computed in another way.

        Parameters
        ----------
        predictor : Predictor
            Its checkpoint, intensities and test-time options count.
        nucleus_size : float, optional
            The diameter that the run will take; the one already here, or else an estimate, where None.
        """
        metadata = predictor.checkpoint.metadata
        name = metadata.sha256 or id(predictor.checkpoint.network)  # a checkpoint that was never saved has no hash
        claimed = (name, repr(metadata.intensity), *predictor.options)
        changed = nucleus_size not in (None, self.nucleus_size)
        if self._claimed is not None and (self._claimed != claimed or changed):
            self.clear()
        self._claimed = claimed
        if metadata.nucleus_size is None:
            self.nucleus_size = None
        elif nucleus_size is not None:
            self.nucleus_size = nucleus_size

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels whose output (x0L) was computed, shallowest first."""
        return tuple(level for level in LEVELS if f"x0{level}" in self.maps)

    def clear(self) -> None:
        """Zero everything, in place; for another checkpoint on the same image."""
        self.doubt[...] = 0
        self.maps.clear()
        self.labels.clear()
        self.cores.clear()
        self.nucleus_size = None
        self.notes[:] = self.image.notes
        self._labelled.clear()
        self._computed.clear()

    def prepare(self, branches: tuple[str, ...], extras: tuple[str, ...] = ()) -> None:
        """Make room for branches that weren't asked for before, and for the cores that a network may give."""
        for name in branches:
            if name not in self.maps:
                self.maps[name] = np.zeros(self.shape, np.float16)
            if BRANCHES[name].scale == 1 and "core" in extras and name not in self.cores:
                self.cores[name] = np.zeros(self.shape, np.float16)
            if BRANCHES[name].scale == 1 and BRANCHES[name].level not in self.labels:
                self.labels[BRANCHES[name].level] = np.zeros(self.shape, np.int32)

    def steps(
        self,
        predictor: Predictor,
        planes: list[Index],
        settings: Callable[[], LabelSettings],
        region: Region | None = None,
        stop: Callable[[], bool] = lambda: False,
        shown: int | None = None,
    ) -> Iterator[TileDone | PlaneDone]:
        """Run the network over planes and label what it finds.

        Parameters
        ----------
        predictor : Predictor
        planes : list of tuple of int
            Stack indices; one empty tuple for a single plane.
        settings : callable
            Asked for threshold, smallest size and splitting when a plane is labelled.
        region : Region, optional
            Part of every plane; the whole by default.
        stop : callable
            Asked after each tile; True ends the run with what was found so far labelled.
        shown : int, optional
            Shallowest level that must be labelled at once; the others wait for `label`. All by default.

        Yields
        ------
        TileDone, then PlaneDone for each plane

        Raises
        ------
        ImageError, DeviceError
            As `Predictor.tiles`. Finished tiles stay.
        """
        self.prepare(predictor.branches, predictor.checkpoint.config.extras)
        self._measure(predictor, planes)
        for count, index in enumerate(planes):
            plane = self.image.plane(index)
            prediction = self._views(predictor, index)
            computed = self._computed.setdefault(index, np.zeros(self.image.plane_shape, bool))
            stopped, failure = False, None
            try:
                for tile in predictor.tiles(plane, region, self.notes, self.nucleus_size):
                    prediction.place(tile)
                    computed[tile.core.slices] = True
                    yield TileDone(index, tile, count, len(planes))
                    stopped = stop() and (tile.done < tile.total or count + 1 < len(planes))
                    if stopped:
                        break
            except UNetSharpError as error:  # what was finished is labelled before the run ends
                failure = error
            if prediction.doubt is not None:
                np.copyto(
                    self.doubt[index], prediction.doubt, where=prediction.computed
                )  # elsewhere other depths may be
            self._forget_labels(index)
            yield PlaneDone(index, self.label(index, settings(), shown), stopped or failure is not None)
            if failure is not None:
                raise failure
            if stopped:
                return

    def label(self, index: Index, settings: LabelSettings, shown: int | None = None) -> dict[int, int]:
        """Label a plane, from the deepest level up to the one shown.

        Deeper levels come first because they lend their ids: a nucleus keeps its colour through all depths.

        Parameters
        ----------
        index : tuple of int
        settings : LabelSettings
        shown : int, optional
            Shallowest level wanted; all by default. Levels that already have labels of these settings are
            left as they are.

        Returns
        -------
        dict of int to int
            Number of nuclei of each level that is up to date.
        """
        counts: dict[int, int] = {}
        deeper: NDArray[np.int32] | None = None
        highest = 0
        for level in reversed(self.levels):
            if shown is not None and level < shown:
                break
            target = self.labels[level][index]
            if self._labelled.get((index, level)) != settings:
                found = self._found(index, level, settings)
                target[...] = found if deeper is None else align_ids(deeper, found, highest)
                self._labelled[(index, level)] = settings
            deeper = target
            highest = max(highest, int(target.max(initial=0)))
            counts[level] = count_nuclei(target)
        return counts

    def _found(self, index: Index, level: int, settings: LabelSettings) -> NDArray[np.int32]:
        name = f"x0{level}"
        core = self.cores[name][index] if name in self.cores else None
        return label_nuclei(self.maps[name][index], settings, core)

    def _measure(self, predictor: Predictor, planes: list[Index]) -> None:
        """Estimate the nuclei's size on the first plane, unless it is known: planes of one image share a scale."""
        own = predictor.checkpoint.metadata.nucleus_size
        if self.nucleus_size is None and planes and own:
            self.nucleus_size = predictor.estimate_size(self.image.plane(planes[0])) or own

    def is_labelled(self, index: Index, level: int, settings: LabelSettings) -> bool:
        """Whether a plane's labels of a level were made with these settings."""
        return self._labelled.get((index, level)) == settings

    def planes_computed(self) -> list[Index]:
        """Indices of the planes of which anything was computed."""
        return list(self._computed)

    def computed(self, index: Index) -> NDArray[np.bool_]:
        """Where a plane was computed, (Y, X); nowhere for one that no run has touched."""
        nowhere = np.zeros(self.image.plane_shape, bool)
        return self._computed.get(index, nowhere).copy()

    def _forget_labels(self, index: Index) -> None:
        for level in LEVELS:
            self._labelled.pop((index, level), None)

    def _views(self, predictor: Predictor, index: Index) -> Prediction:
        """A prediction whose full maps are views into ours."""
        prediction = predictor.empty(self.image.plane_shape)
        for name in predictor.branches:
            prediction.full[name] = self.maps[name][index]
            if name in self.cores and name in prediction.cores:
                prediction.cores[name] = self.cores[name][index]
        return prediction


def guarded(steps: Iterator[TileDone | PlaneDone]) -> Iterator[TileDone | PlaneDone]:
    """Pass steps on, turning any RuntimeError into one of ours.

    napari's generator workers swallow RuntimeError without a signal, and torch's out-of-memory error is one.
    """
    try:
        yield from steps
    except RuntimeError as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DeviceError(f"the run failed ({first}); finished tiles are kept, try a smaller depth or CPU") from error
