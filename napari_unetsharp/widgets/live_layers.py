"""The layer of what depth 1 says until the chosen depth is there."""

from __future__ import annotations

import numpy as np
from napari.layers import Layer

from napari_unetsharp.widgets.layers import ResultLayers

FIRST = "L1 · at once"


class LiveLayers(ResultLayers):
    """One labels layer; where the chosen depth was computed it is empty."""

    def _wanted(self) -> dict[str, np.ndarray]:
        return {"L1": self.results.labels[1]} if 1 in self.results.labels else {}

    def _add(self, key: str, array: np.ndarray) -> Layer:
        layer = super()._add(key, array)
        layer.name = FIRST
        return layer
