"""What arrays that read on demand have in common."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np


class LazyArray:
    """An array of which only what is sliced is read; it is never written.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    def _keys(self, key: Any) -> list[Any]:
        """One index or slice for each axis; raises IndexError where there are more."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if any(one is Ellipsis for one in keys):
            dots = next(at for at, one in enumerate(keys) if one is Ellipsis)
            keys[dots : dots + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) > self.ndim:
            raise IndexError(f"{len(keys)} indices for the {self.ndim} axes of {self!r}")
        return [*keys, *[slice(None)] * (self.ndim - len(keys))]
