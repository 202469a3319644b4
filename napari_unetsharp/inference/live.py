"""A live look: what has come into view is computed, depth 1 at once and then the chosen depth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from napari_unetsharp.inference.live_network import LiveNetwork
from napari_unetsharp.inference.live_patches import asked, in_view, patches
from napari_unetsharp.inference.live_results import LiveResults
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Index, PlaneDone, TileDone
from napari_unetsharp.inference.scaling import ModelScale
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.nuclei.instances import LabelSettings


@dataclass(frozen=True)
class TooWide:
    """More is in view than the device does at once.

    Attributes
    ----------
    pixels : int
        In view, at the model's scale.
    room : int
        Pixels that there would be time for.
    """

    pixels: int
    room: int


@dataclass
class Look:
    """One look at a view.

    Attributes
    ----------
    network : LiveNetwork
        With its predictors made.
    results : LiveResults
        Of the chosen depth; what is there stays and isn't computed again.
    first : LiveResults
        What depth 1 says of places that the chosen depth hasn't reached.
    index : tuple of int
        Of the plane.
    region : Region
        On screen, in pixels of the plane.
    settings : LabelSettings
    stop : callable
        Asked between tiles; True drops the rest.
    """

    network: LiveNetwork
    results: LiveResults
    first: LiveResults
    index: Index
    region: Region
    settings: LabelSettings
    stop: Callable[[], bool]
    _unread: list[Region] = field(default_factory=list)

    def steps(self) -> Iterator[Predictor | TileDone | PlaneDone | TooWide]:
        """Compute what is missing in view.

        Yields
        ------
        Predictor
            First: the one of the chosen depth; there is room for what it gives.
        TooWide
            Instead of all that follows.
        TileDone
            For each tile, of depth 1 (by a predictor of `first`) and then of the chosen depth.
        PlaneDone
            Last: nuclei in view by level, and whether anything was dropped.

        Raises
        ------
        ImageError, DeviceError
            As `Predictor.tiles`. Finished tiles stay.
        """
        network, results = self.network, self.results
        network.look_at(results, self.first, self.index)
        for held in (results, self.first):
            if not held.is_current(self.index, self.settings):
                held.label(self.index, self.settings)
        yield network.chosen
        scale = network.scale(results.nucleus_size)
        seen = in_view(scale, self.region)
        pixels = seen.height * seen.width
        if pixels > network.room:
            yield TooWide(pixels, network.room)
            return
        if network.first is not None:
            yield from self._tiles(network.first, self.first, scale, seen)
        yield from self._tiles(network.chosen, results, scale, seen)
        for level in reversed(results.levels[:-1]):
            for part in self._unread:
                results.label_part(self.index, part, self.settings, level)
        counts = {level: results.count(self.index, level, self.region) for level in results.levels}
        yield PlaneDone(self.index, counts, bool(self._waiting(network.chosen, results, scale, seen)))

    def _tiles(
        self, predictor: Predictor, into: LiveResults, scale: ModelScale, seen: Region
    ) -> Iterator[TileDone]:  # fmt: skip
        """Tile by tile into the results, with its nuclei."""
        network, level = self.network, predictor.level
        waiting = self._waiting(predictor, into, scale, seen)
        prediction = into.canvas(predictor, self.index)
        begins = predictor is network.first or network.first is None
        for patch in waiting:
            part = asked(scale, patch)
            if self.stop():
                return
            if part is None:
                continue
            started = time.perf_counter()
            for tile in predictor.tiles(network.pixels, part, self.results.notes, into.nucleus_size):
                prediction.place(tile)
                into.label_part(self.index, tile.core, self.settings, level)
                if into is self.results:
                    self.first.forget(self.index, tile.core)
                    self._unread.append(tile.core)
                yield TileDone(self.index, tile, 0, 1)
            if begins:
                network.note_pace(patch.height * patch.width, time.perf_counter() - started)

    def _waiting(self, predictor: Predictor, into: LiveResults, scale: ModelScale, seen: Region) -> list[Region]:
        done = self.results.computed(self.index)
        if into is not self.results:
            done = np.logical_or(done, into.computed(self.index), out=done)
        return patches(seen, scale, done, self.network.side(predictor))
