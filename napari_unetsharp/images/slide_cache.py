"""Decoded tiles, kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

from numpy.typing import NDArray

CACHE_BYTES = 96 * 2**20
"""For one slide: three screens of 4K in colour, and a third of what opening a slide may add in all."""


class TileCache:
    """The tiles used last, up to a number of bytes; safe to use from several threads.

    Parameters
    ----------
    most : int
        Bytes. A single tile that is larger isn't kept at all.
    """

    def __init__(self, most: int = CACHE_BYTES) -> None:
        self.most = most
        self.bytes = 0
        self._tiles: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Give a tile that is kept, and count it as used now."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: Hashable, tile: NDArray[Any]) -> None:
        """Keep a tile; those not used for longest go."""
        with self._lock:
            if key in self._tiles or tile.nbytes > self.most:
                return
            self._tiles[key] = tile
            self.bytes += tile.nbytes
            while self.bytes > self.most:
                _, gone = self._tiles.popitem(last=False)
                self.bytes -= gone.nbytes

    def clear(self) -> None:
        """Forget all tiles."""
        with self._lock:
            self._tiles.clear()
            self.bytes = 0
