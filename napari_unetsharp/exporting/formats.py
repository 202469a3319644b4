"""The formats that a depth can be written in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec

from napari_unetsharp.errors import SettingsError


@dataclass(frozen=True)
class ExportFormat:
    """A kind of file.

    Attributes
    ----------
    name : str
        On the command line.
    title : str
        In the window.
    suffix : str
        Of the file, with its dot.
    words : str
        What it is for, in one line.
    needs : tuple of str
        Importable packages of the extra ``export``.
    """

    name: str
    title: str
    suffix: str
    words: str
    needs: tuple[str, ...] = ()


FORMATS = {
    item.name: item
    for item in (
        ExportFormat(
            "safetensors", "Smaller model", ".safetensors",
            "A model file for this window and the command line: this depth and nothing deeper.",
        ),
        ExportFormat(
            "onnx", "ONNX", ".onnx",
            "For ONNX Runtime and other programs: no Python and no torch needed.", ("onnx", "onnxruntime"),
        ),
        ExportFormat(
            "torch", "torch.export", ".pt2",
            "For programs that use torch: the whole computation in one file, without this package.",
        ),
        ExportFormat(
            "bioimageio", "bioimage.io package", ".bioimageio.zip",
            "For tools of the BioImage Model Zoo: weights, model card and a tested example.",
            ("onnx", "onnxruntime", "bioimageio.core"),
        ),
    )
}  # fmt: skip
"""By name, as on the command line."""


def known_format(name: str) -> ExportFormat:
    """The format of a name, if what it needs is installed.

    Raises
    ------
    SettingsError
        If the name is unknown, or a package of the extra ``export`` is missing.
    """
    if name not in FORMATS:
        raise SettingsError(f"format {name!r} is unknown; choose one of {', '.join(FORMATS)}")
    chosen = FORMATS[name]
    missing = [package for package in chosen.needs if not _is_installed(package)]
    if missing:
        raise SettingsError(
            f"{chosen.title} needs {' and '.join(missing)}, which is not installed; "
            "install it with: pip install 'napari-unetsharp[export]'"
        )
    return chosen


def file_name(model: str, level: int, format: str) -> str:
    """A sensible file name, such as ``nuclei-L2.onnx``.

    Parameters
    ----------
    model : str
        Name of the model; characters that no file name takes become hyphens.
    level : int
    format : str
        A key of `FORMATS`.
    """
    plain = re.sub(r"[^\w.+-]+", "-", model).strip("-.") or "model"
    return f"{plain}-L{level}{FORMATS[format].suffix}"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False
