"""Scans, slides and DICOM files as napari layers: the reader contribution, and what the dock opens.

Plain TIFF, PNG and JPEG are not claimed: napari reads them itself, and a second reader for them would bring its
"choose a reader" dialog on every drop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import tifffile

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import DICOM_ENDINGS, TIFF_ENDINGS, read_image
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide_open import SCANNER_ENDINGS, is_zarr, open_slide
from napari_unetsharp.images.volume import Volume
from napari_unetsharp.images.volume_open import Kind, kind_of, open_volume
from napari_unetsharp.images.volume_window import common_window
from napari_unetsharp.widgets.slide_layers import SMALL, LayerData, layers_from_slide
from napari_unetsharp.widgets.source import NOTES, PATH, WINDOW

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]

_OTHER_ENDINGS = (
    ".qptiff", ".btf", ".tf8", ".tf2", ".ome.tif", ".ome.tiff", ".nii", ".nii.gz", ".nrrd", ".nhdr",
)  # fmt: skip
CLAIMED = (*DICOM_ENDINGS, *SCANNER_ENDINGS, *_OTHER_ENDINGS)
"""Endings of files that napari may give us; as patterns in ``napari.yaml``."""

_LOOKED_AT = 48


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Offer to read DICOM, slides and volumes.

    Parameters
    ----------
    path : str or sequence of str
        What was dropped or opened.

    Returns
    -------
    callable or None
        Takes the same paths and gives Image layers; None where any of them is something else by its ending, or a
        folder that holds no slide and no series.
    """
    paths = _listed(path)
    return read_layers if paths and all(_is_claimed(one) for one in paths) else None


def read_layers(path: Paths) -> list[LayerData]:
    """Read the layers of each file; files of one DICOM series become one volume.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    list of (pixels, keywords, "image")
        Lazy where they're large; keywords carry name, spacing, units, axis labels and, in
        ``metadata["unetsharp_notes"]``, what a person should know about how the file was read.

    Raises
    ------
    ImageError
        For the first file that can't be read; napari shows its sentence.
    """
    paths = _listed(path)
    if len(paths) > 1 and _is_one_series(paths):
        return [layer_from_volume(open_volume(paths[0]), paths[0])]
    return [layer for one in paths for layer in layers_from(one)]


def layers_from(path: Path) -> list[LayerData]:
    """Read one file or folder by what it is; raises `ImageError`."""
    kind = what_is(path)
    if kind == "slide":
        return layers_from_slide(open_slide(path))
    if kind == "volume":
        return [layer_from_volume(open_volume(path), path)]
    return layers_from_image(read_image(path), path)


def what_is(path: Path) -> Kind:
    """Tell what a path holds, as `kind_of`; a TIFF of one large plane is a slide too."""
    if path.is_dir() and path.suffix.lower() == ".zarr":
        return "slide"
    kind = kind_of(path)
    if kind == "picture" and path.suffix.lower() in TIFF_ENDINGS and _largest_plane(path) > SMALL:
        return "slide"
    return kind


def _largest_plane(path: Path) -> int:
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            return int(page.imagewidth) * int(page.imagelength)
    except Exception:  # told by those who read it
        return 0


def opens_as_one(path: str | Path) -> bool:
    """Whether a folder is one picture (OME-Zarr, a DICOM slide or series), not a folder of pictures to work through."""
    path = Path(path)
    if not path.is_dir():
        return False
    if is_zarr(path) or path.suffix.lower() == ".zarr":
        return True
    files = [one for one in sorted(path.iterdir()) if one.is_file() and not one.name.startswith(".")][:_LOOKED_AT]
    maybe = [one for one in files if one.suffix.lower() in DICOM_ENDINGS or not one.suffix]
    if len(maybe) * 2 < max(len(files), 2):
        return False
    try:
        return kind_of(path) == "slide" or (len(maybe) > 1 and _is_one_series(maybe))
    except ImageError:
        return False


def _is_claimed(path: Path) -> bool:
    return opens_as_one(path) if path.is_dir() else path.name.lower().endswith(CLAIMED)


def _is_one_series(paths: Sequence[Path]) -> bool:
    """Whether all files are of one DICOM series that is stated."""
    from napari_unetsharp.images.slide_dicom_level import series_of  # pydicom loads only when it is needed

    if not all(one.suffix.lower() in DICOM_ENDINGS or not one.suffix for one in paths):
        return False
    found = {series_of(one)[0] for one in paths}
    return len(found) == 1 and "" not in found


def _listed(path: Paths) -> list[Path]:
    return [Path(path)] if isinstance(path, (str, PathLike)) else [Path(one) for one in path]


def _described(image: Image, path: Path) -> dict[str, Any]:
    return {
        "name": image.name,
        "scale": image.scale,
        "units": image.units,
        "axis_labels": tuple(image.spatial_axes.lower()),
        "rgb": image.axes.endswith("C"),
        "metadata": {NOTES: list(image.notes), PATH: str(path)},
    }


def layers_from_image(image: Image, path: Path) -> list[LayerData]:
    """Give the layer of a picture that was read; one per channel where the channels are no colours."""
    keywords = _described(image, path)
    if not keywords["rgb"]:
        return [(image.pixels, keywords | _window_of(image, path), "image")]
    if image.pixels.shape[-1] == 3:
        return [(image.pixels, keywords, "image")]
    count = image.pixels.shape[-1]
    colours = ["magenta", "green"] if count == 2 else ["cyan", "yellow", "magenta", "red", "green", "blue"]
    common = keywords | {"rgb": False, "blending": "additive"}
    return [
        (
            image.pixels[..., number],
            common | {"name": f"{image.name} · channel {number + 1}", "colormap": colours[number % len(colours)],
                      "metadata": dict(keywords["metadata"])},
            "image",
        )
        for number in range(count)
    ]  # fmt: skip


def _window_of(image: Image, path: Path) -> dict[str, Any]:
    """Contrast limits as a DICOM file suggests them; napari's own choice for anything else."""
    if path.suffix.lower() not in DICOM_ENDINGS:
        return {}
    from napari_unetsharp.images.dicom import display_window  # pydicom loads only when it is needed

    window = display_window(path)
    # A window beside all values would show a black or white square.
    if window and window[0] < float(image.pixels.max()) and window[1] > float(image.pixels.min()):
        return {"contrast_limits": window}
    return {}


def layer_from_volume(volume: Volume, path: Path) -> LayerData:
    """Give the layer of a scan; its planes are read when they're looked at."""
    keywords = _described(volume, path)
    keywords["metadata"]["format"] = volume.kind
    if not keywords["rgb"]:
        keywords["contrast_limits"] = keywords["metadata"][WINDOW] = common_window(volume)
    return volume.pixels, keywords, "image"
