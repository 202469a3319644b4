"""What is installed here, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass

QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5")
LINUX_WITHOUT_SCREEN = "There is no screen (DISPLAY and WAYLAND_DISPLAY are empty), so only the command line works."


@dataclass(frozen=True)
class Finding:
    """One subject: what was found, and one sentence of advice."""

    subject: str
    fact: str
    advice: str


def findings() -> list[Finding]:
    """Python, torch, the GPU, Qt and napari of this environment, without importing Qt or napari."""
    torch = [_torch(), _gpu()] if version_of("torch") else [Finding("torch", "none", "pip install torch.")]
    return [_python(), *torch, _qt(), _napari(), _decoders()]


def version_of(package: str) -> str:
    """Installed version, or an empty text."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    advice = "Fine." if fine else "Python 3.11 or newer is needed; make a new environment with it."
    return Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", advice)


def _torch() -> Finding:
    import torch

    fine = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) >= (2, 10)
    advice = "Fine." if fine else "torch 2.10 or newer is needed to open checkpoints safely; upgrade it."
    return Finding("torch", torch.__version__, advice)


def _gpu() -> Finding:
    from napari_unetsharp.network.device import choose_device, why_no_cuda, why_no_mps

    device = choose_device()
    if device.kind != "cpu":
        return Finding("GPU", device.name, "It will be used when the device is auto.")
    return Finding(
        "GPU", f"none: {why_no_cuda()}; {why_no_mps()}",
        "The CPU is used; with an NVIDIA card, install a driver and a CUDA build of torch.",
    )  # fmt: skip


def _qt() -> Finding:
    found = [f"{name} {version}" for name in QT_BINDINGS if (version := version_of(name))]
    if not found:
        return Finding("Qt", "none", 'The window needs one: pip install "napari-unetsharp[pyqt6]".')
    advice = "Fine."
    if not version_of("PyQt6") and not version_of("PySide6"):
        advice = 'napari is giving up PyQt5: pip install "napari-unetsharp[pyqt6]" and remove PyQt5.'
    elif len(found) > 1:
        advice = f"With several bindings, QT_API chooses (now {os.environ.get('QT_API', 'unset')})."
    if platform.system() == "Linux" and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        advice = LINUX_WITHOUT_SCREEN
    return Finding("Qt", ", ".join(found), advice)


def _napari() -> Finding:
    version = version_of("napari")
    return Finding("napari", version or "none", "Fine." if version else "pip install napari to open the window.")


def _decoders() -> Finding:
    found = [name for name in ("pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls") if version_of(name)]
    if len(found) == 3:
        return Finding("DICOM decoders", ", ".join(found), "Fine.")
    return Finding(
        "DICOM decoders", ", ".join(found) or "none",
        'Compressed DICOM needs them: pip install "napari-unetsharp[dicom]".',
    )  # fmt: skip
