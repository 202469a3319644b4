"""Memory that was freed goes back to the system: a run over a slide lasts for hours, beside other programs."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

_ARENAS, _AT_MOST = -8, 2
"""glibc's M_ARENA_MAX: each thread that allocates would get a heap of its own, and keep what it once needed."""


@cache
def _glibc() -> Any:
    """The C library where it is glibc, with few heaps from now on; else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):  # musl
        return None
    library.mallopt(_ARENAS, _AT_MOST)
    return library


def give_back() -> None:
    """Give what this process has freed back to the system; nothing where the C library doesn't offer it.

    Without it glibc keeps the heap of each thread as large as it ever was.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)
