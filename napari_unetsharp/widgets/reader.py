"""DICOM files as napari layers: the reader contribution.

Only DICOM endings are claimed: napari reads TIFF, PNG and JPEG itself, and a second reader for them would bring
its "choose a reader" dialog on every drop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from napari_unetsharp.images.files import DICOM_ENDINGS

LayerData = tuple[Any, dict[str, Any], str]
"""Pixels, the keyword arguments of a layer, and the kind of layer."""

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Offer to read DICOM files.

    Parameters
    ----------
    path : str or sequence of str
        What was dropped or opened.

    Returns
    -------
    callable or None
        Takes the same paths and gives one Image layer for each; None where any of them is no DICOM file by its ending.
    """
    paths = _listed(path)
    return read_layers if paths and all(one.suffix.lower() in DICOM_ENDINGS for one in paths) else None


def read_layers(path: Paths) -> list[LayerData]:
    """Read one layer per file.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    list of (pixels, keywords, "image")
        Pixels with the axes of `images.image.Image`; keywords carry name, spacing, units, axis labels and, in
        ``metadata["unetsharp_notes"]``, what a person should know about how the file was read.

    Raises
    ------
    ImageError
        For the first file that can't be read; napari shows its sentence.
    """
    return [_layer(one) for one in _listed(path)]


def _listed(path: Paths) -> list[Path]:
    return [Path(path)] if isinstance(path, (str, PathLike)) else [Path(one) for one in path]


def _layer(path: Path) -> LayerData:
    from napari_unetsharp.images.dicom import display_window, read_dicom  # pydicom loads only when it is needed

    image = read_dicom(path)
    keywords: dict[str, Any] = {
        "name": image.name,
        "scale": image.scale,
        "units": image.units,
        "axis_labels": tuple(image.spatial_axes.lower()),
        "rgb": image.axes.endswith("C"),
        "metadata": {"unetsharp_notes": list(image.notes)},
    }
    window = display_window(path)
    # A window beside all values would show a black or white square.
    if window and window[0] < float(image.pixels.max()) and window[1] > float(image.pixels.min()):
        keywords["contrast_limits"] = window
    return image.pixels, keywords, "image"
