"""Opening a volume, and anything else, by what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.dicom import SLIDE
from napari_unetsharp.images.files import DICOM_ENDINGS, TIFF_ENDINGS, read_image
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_open import OTHER_TIFF_ENDINGS, SCANNER_ENDINGS, is_zarr, open_slide
from napari_unetsharp.images.volume import Volume

_NIFTI, _NRRD = (".nii", ".nii.gz"), (".nrrd", ".nhdr")
_LARGE_PICTURE = 2**28

Kind = Literal["slide", "volume", "picture"]


def open_volume(path: str | Path) -> Volume:
    """Open a scan: NIfTI, NRRD, or a DICOM series (its folder or one of its files).

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Volume
        An `Image` whose planes are read when they're asked for.

    Raises
    ------
    ImageError
        If it is missing, of another kind, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path} doesn't exist; give the path of a volume")
    name = path.name.lower()
    if path.is_dir() or path.suffix.lower() in DICOM_ENDINGS or not path.suffix:
        from napari_unetsharp.images.volume_series import open_series

        return open_series(path)
    if name.endswith(_NIFTI):
        from napari_unetsharp.images.volume_nifti import open_nifti

        return open_nifti(path)
    if name.endswith(_NRRD):
        from napari_unetsharp.images.volume_nrrd import open_nrrd

        return open_nrrd(path)
    raise ImageError(f"{path.name} isn't a volume by its ending; give NIfTI, NRRD or a DICOM series")


def kind_of(path: str | Path) -> Kind:
    """Tell what a path holds, from names and headers alone.

    Returns
    -------
    "slide", "volume" or "picture"
        A single DICOM file is a picture unless it belongs to a slide; a TIFF is a slide where it has several
        sizes or is large (over 256 MiB).
    """
    path = Path(path)
    ending, name = path.suffix.lower(), path.name.lower()
    if is_zarr(path) or ending in SCANNER_ENDINGS:
        return "slide"
    if name.endswith((*_NIFTI, *_NRRD)):
        return "volume"
    if path.is_dir():
        from napari_unetsharp.images.slide_dicom_level import series_of

        return "slide" if any(one.is_file() and series_of(one)[1] == SLIDE for one in path.iterdir()) else "volume"
    if ending in DICOM_ENDINGS or not ending:
        from napari_unetsharp.images.slide_dicom_level import series_of

        return "slide" if path.is_file() and series_of(path)[1] == SLIDE else "picture"
    if ending in OTHER_TIFF_ENDINGS:
        return "slide" if ending not in TIFF_ENDINGS or _is_large(path) else "picture"
    return "picture"


def open_any(path: str | Path) -> Slide | Volume | Image:
    """Open a slide, a volume or a picture by what it is; raises `ImageError`."""
    kind = kind_of(path)
    if kind == "slide":
        return open_slide(path)
    return open_volume(path) if kind == "volume" else read_image(path)


def _is_large(path: Path) -> bool:
    import tifffile

    from napari_unetsharp.images.tiff_pages import check_pages

    check_pages(path)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            declared = int(np.prod(series.shape, dtype=np.int64)) * np.dtype(series.dtype).itemsize
            return len(series.levels) > 1 or file.is_svs or file.is_qpi or declared > _LARGE_PICTURE
    except Exception:  # told by those who read it
        return False
