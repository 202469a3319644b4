"""Which device runs the network, and why."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

from napari_unetsharp.errors import DeviceError

WISHES = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True)
class Device:
    """A device that was chosen.

    Attributes
    ----------
    kind : "cuda", "mps" or "cpu"
    name : str
        What the maker calls it.
    reason : str
        Why this one, for the dock and for ``unetsharp doctor``.
    """

    kind: str
    name: str
    reason: str

    @property
    def torch(self) -> torch.device:
        """For ``tensor.to``."""
        return torch.device(self.kind)


def choose_device(wish: str = "auto") -> Device:
    """CUDA, then MPS, then CPU; or the one asked for.

    Parameters
    ----------
    wish : "auto", "cuda", "mps" or "cpu"

    Returns
    -------
    Device

    Raises
    ------
    DeviceError
        If the device asked for isn't there, with the reason.
    """
    if wish not in WISHES:
        raise DeviceError(f"device {wish!r} is unknown; choose one of {', '.join(WISHES)}")
    missing = {"cuda": why_no_cuda(), "mps": why_no_mps(), "cpu": ""}
    if wish != "auto" and missing[wish]:
        raise DeviceError(f"{wish} was asked for but {missing[wish]}; choose auto or cpu")
    kind = wish if wish != "auto" else next(name for name in ("cuda", "mps", "cpu") if not missing[name])
    if wish != "auto":
        reason = "as asked"
    elif kind == "cpu":
        reason = missing["cuda"]
    else:
        reason = "the fastest here"
    return Device(kind, _name(kind), reason)


def why_no_cuda() -> str:
    """Empty if CUDA works, else the reason in a few words."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built without CUDA"
    return "no NVIDIA GPU or driver was found"


def why_no_mps() -> str:
    """Empty if Apple's GPU works, else the reason in a few words."""
    if torch.backends.mps.is_available():
        return ""
    return "there is no Apple GPU here" if platform.system() != "Darwin" else "this macOS or torch has no MPS"


def _name(kind: str) -> str:
    if kind == "cuda":
        return torch.cuda.get_device_name()
    if kind == "mps":
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} threads"
