"""The most memory that something takes on top of what was taken before."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path
from types import TracebackType

import psutil
import torch

_STATUS = Path("/proc/self/status")
_EVERY = 0.005
"""Seconds between two looks where the system keeps no high-water mark that can be set back."""


class PeakMemory:
    """Watches the memory of a block.

    On CUDA it is what torch took of the GPU's memory; else this program's own, by the system's high-water mark (Linux)
    or by looking at it every few milliseconds. Other threads of the program count too.

    Parameters
    ----------
    device : "cuda", "mps" or "cpu"

    Attributes
    ----------
    bytes : int or None
        After the block; None on Apple's GPU, whose memory can't be watched.
    """

    def __init__(self, device: str) -> None:
        self.bytes: int | None = None
        self._device = device
        self._before = 0
        self._marked = False
        self._highest = 0
        self._ended = threading.Event()
        self._watch: threading.Thread | None = None

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        elif self._device == "cpu":
            self._marked = _mark_anew()
            self._before = self._highest = _resident()
            if not self._marked:
                self._watch = threading.Thread(target=self._watched, daemon=True)
                self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device == "cuda":
            self.bytes = int(torch.cuda.max_memory_allocated() - self._before)
        elif self._device == "cpu":
            self._ended.set()
            if self._watch is not None:
                self._watch.join()
            self.look()
            self.bytes = max(0, (_high_water() if self._marked else self._highest) - self._before)

    def look(self) -> None:
        """Look once more, where that is how the peak is found."""
        if self._device == "cpu" and not self._marked:
            self._highest = max(self._highest, _resident())

    def _watched(self) -> None:
        while not self._ended.wait(_EVERY):
            self.look()


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _mark_anew() -> bool:
    """Give back what is free and set the system's high-water mark to what is taken now; whether that worked."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _high_water() > 0
    except (OSError, AttributeError, ValueError):
        return False


def _high_water() -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
