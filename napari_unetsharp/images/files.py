"""Opening a picture from disk by what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.image import Image, check_size

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
TIFF_ENDINGS = (".tif", ".tiff")


def read_image(path: str | Path) -> Image:
    """Read TIFF (axes kept), DICOM, or anything that Pillow knows (PNG, JPEG, BMP, GIF ...).

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Image
        RGBA loses its transparency (noted); spacing is kept where the file states it.

    Raises
    ------
    ImageError
        If the file is missing, not a picture, truncated or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path} is not a file; give the path of a picture (TIFF, PNG, JPEG or DICOM)")
    ending = path.suffix.lower()
    if ending in DICOM_ENDINGS or (not ending and _is_dicom(path)):
        from napari_unetsharp.images.dicom import read_dicom

        image: Image = read_dicom(path)
        return image
    if ending in TIFF_ENDINGS:
        from napari_unetsharp.images.tiff import read_tiff

        return read_tiff(path)
    return _read_picture(path)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_picture(path: Path) -> Image:
    import imageio.v3 as imageio

    try:  # by Pillow alone: imageio would try all it has, and leave the file open each time
        with imageio.imopen(path, "r", plugin="pillow") as file:
            properties = file.properties()
            check_size(properties.shape, np.dtype(properties.dtype), path.name)
            pixels = np.asarray(file.read())
    except ImageError:
        raise
    except Exception as error:  # every decoder has its own kinds
        raise ImageError(f"{path.name} can't be read as a picture: {first_line(error)}") from error
    return picture_from_array(pixels, path.stem)


def picture_from_array(pixels: np.ndarray, name: str) -> Image:
    """Wrap a decoded PNG or JPEG: (Y, X), (Y, X, 2..4) or a stack of such (animations)."""
    colours = pixels.ndim >= 3 and pixels.shape[-1] in (2, 3, 4)
    flat = pixels.ndim - (3 if colours else 2)
    if flat not in (0, 1):
        raise ImageError(f"a picture of shape {pixels.shape} can't be placed; (Y, X) or (Y, X, 3) is needed")
    axes = "T" * flat + ("YXC" if colours else "YX")
    notes = []
    if colours and pixels.shape[-1] in (2, 4):
        pixels = pixels[..., :-1]
        notes.append("The last channel (transparency) was left out.")
    return Image(pixels, axes, name=name, notes=notes)


def first_line(error: BaseException) -> str:
    """Take what an exception of somebody else says, for the end of a sentence of ours."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
