"""Label images from other programs (QuPath, Cellpose, StarDist, Fiji) and ours, as files."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.errors import ImageError, LabelsError, UNetSharpError
from napari_unetsharp.images.files import TIFF_ENDINGS, first_line, read_image
from napari_unetsharp.images.image import Image, check_size
from napari_unetsharp.images.tiff import write_tiff
from napari_unetsharp.images.tiff_pages import check_pages

LARGEST_ID = 2**31 - 1

MASK_NAMES = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "-labels", "-labelled")
"""What other programs and people append to the name of an image for its mask."""

MASK_ENDINGS = (*TIFF_ENDINGS, ".png", ".npy")


def read_labels(path: str | Path, like: Image | None = None) -> Image:
    """Read a label image: one number per pixel, 0 outside.

    QuPath's (TIFF or PNG, also with a palette), Cellpose's ``_cp_masks`` (TIFF or PNG), StarDist's and Fiji's
    (TIFF, also with whole numbers as float) and NumPy's ``.npy`` are known. Ids are kept. A mask with one number
    for all nuclei is cut into its pieces.

    Parameters
    ----------
    path : str or Path
    like : Image, optional
        The image that the labels belong to: its sides are compared, and its spacing is taken where the file has
        none.

    Returns
    -------
    Image
        "YX", int32, with spacing where it is known; `notes` say what was changed.

    Raises
    ------
    ImageError
        If the file can't be read as a picture at all.
    LabelsError
        If it is a picture, but no label image, doesn't fit the image, or could run a program when read.
    """
    path = Path(path)
    image = _read_npy(path) if path.suffix.lower() == ".npy" else _read_picture(path)
    notes: list[str] = []
    plane = _one_plane(image, path.name)
    labels = _whole_numbers(plane, path.name, notes)
    if like is not None and labels.shape != like.plane_shape:
        (height, width), (rows, columns) = labels.shape, like.plane_shape
        raise LabelsError(
            f"{path.name} has {width} x {height} px and the image {columns} x {rows} px; "
            "labels of the same image at full resolution are needed"
        )
    spacing = like if like is not None and set(image.units) <= {"pixel"} else image
    return Image(_pieces_of_mask(labels, notes), "YX", spacing.scale[-2:], spacing.units[-2:], image.name, notes)


def masks_beside(image: Path) -> list[Path]:
    """Files beside an image that are its mask, by their names, such as ``a_cp_masks.tif`` of ``a.png``.

    Parameters
    ----------
    image : Path

    Returns
    -------
    list of Path
        Empty for an image without one; also where it is a mask itself.
    """
    beside = {path.stem.lower(): path for path in image.parent.glob(f"{escape(image.stem)}[_-]*") if path.is_file()}
    wanted = (image.stem.lower() + name for name in MASK_NAMES)
    return [beside[stem] for stem in wanted if stem in beside and beside[stem].suffix.lower() in MASK_ENDINGS]


def _read_npy(path: Path) -> Image:
    """Read a NumPy file, but never a pickle in it."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        if dtype.hasobject:
            raise LabelsError(
                f"{path.name} holds a pickle, which can run any program when it is read; "
                "in Cellpose save the masks as PNG or TIFF and open these"
            )
        check_size(shape, dtype, path.name)
        pixels = np.load(path, allow_pickle=False)
    except UNetSharpError:
        raise
    except Exception as error:  # NumPy's parser of damaged headers raises many kinds
        raise ImageError(f"{path.name} can't be read as a NumPy array: {first_line(error)}") from error
    return Image(pixels, ("ZYX" if pixels.ndim == 3 else "YX"), name=path.stem)


def _read_picture(path: Path) -> Image:
    """Read a picture; of one with a palette the numbers, which are the labels, not the colours."""
    if path.suffix.lower() not in TIFF_ENDINGS and path.is_file():
        indices = _palette_indices(path)
        if indices is not None:
            return Image(indices, "YX", name=path.stem)
    check_pages(path)
    try:
        return read_image(path)
    except UNetSharpError:
        raise
    except Exception as error:  # so do decoders of damaged pictures
        raise ImageError(f"{path.name} can't be read as a picture: {first_line(error)}") from error


def _palette_indices(path: Path) -> NDArray[Any] | None:
    import imageio.v3 as imageio

    try:
        with imageio.imopen(path, "r", plugin="pillow") as file:
            if file.metadata().get("mode") != "P":
                return None
            properties = file.properties()
            check_size(properties.shape, np.dtype(properties.dtype), path.name)
            return np.asarray(file.read(mode="P"))
    except ImageError:
        raise
    except Exception:  # whatever it is, read_image says it better
        return None


def _one_plane(image: Image, name: str) -> NDArray[Any]:
    pixels = np.asarray(image.pixels)
    if image.axes.endswith("C"):
        if not (pixels == pixels[..., :1]).all():
            raise LabelsError(
                f"{name} has {pixels.shape[-1]} channels; one number per pixel is needed (in QuPath: grayscale "
                "instance labels, not a coloured or multichannel image)"
            )
        pixels = pixels[..., 0]
    if any(side > 1 for side in image.stack_shape):
        raise LabelsError(f"{name} is a stack ({image.axes}, {pixels.shape}); labels of one plane are needed")
    return pixels.reshape(image.plane_shape)


def _whole_numbers(plane: NDArray[Any], name: str, notes: list[str]) -> NDArray[np.int32]:
    """Labels as int32; ids that don't fit are replaced by their ranks."""
    if plane.dtype.kind == "f":
        if not np.isfinite(plane).all() or (plane != np.rint(plane)).any():
            raise LabelsError(
                f"{name} has values that aren't whole numbers; it may be a probability map, but labels are needed"
            )
        plane = plane.astype(np.float64)
    low, high = plane.min(), plane.max()
    if low < 0:
        raise LabelsError(f"{name} has values down to {low}; labels start at 0, which is outside")
    if high <= LARGEST_ID:
        return plane.astype(np.int32)
    ids, ranks = np.unique(plane, return_inverse=True)
    notes.append(f"Ids up to {int(high)} were replaced by 1 to {np.count_nonzero(ids)}.")
    return (ranks.reshape(plane.shape) + (0 if ids[0] == 0 else 1)).astype(np.int32)


def _pieces_of_mask(labels: NDArray[np.int32], notes: list[str]) -> NDArray[np.int32]:
    """Give each piece a label of its own where all have the same."""
    highest = int(labels.max(initial=0))
    if highest == 0 or not ((labels == 0) | (labels == highest)).all():
        return labels
    pieces, count = ndimage.label(labels)
    if count < 2:
        return labels
    notes.append(f"All nuclei had the same number; the {count} pieces of the mask are now nuclei.")
    return np.asarray(pieces, np.int32)


def write_labels(path: str | Path, labels: NDArray[Any], like: Image | None = None) -> None:
    """Write labels as TIFF, lossless, with the pixel size of the image.

    Values up to 65,535 are written as uint16, which every program takes for labels; others as int32.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed.
    labels : array of int, (Y, X)
        From 0 to 2**31 - 1.
    like : Image, optional
        The image that they belong to; of a stack, its last two axes.

    Raises
    ------
    LabelsError
        If they aren't labels of one plane, or don't fit the image.
    """
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or low < 0 or high > LARGEST_ID:
        raise LabelsError(
            f"values from {low} to {high} ({labels.dtype}, {labels.shape}) can't be written as labels; a plane of "
            f"whole numbers from 0 to {LARGEST_ID} is needed"
        )
    if like is not None and labels.shape != like.plane_shape:
        raise LabelsError(f"labels of {labels.shape} don't fit the image of {like.plane_shape} that they belong to")
    written = labels.astype(np.uint16 if high < 2**16 else np.int32)
    scale, units = (like.scale[-2:], like.units[-2:]) if like is not None else ((), ())
    write_tiff(path, written, Image(written, "YX", scale, units))
