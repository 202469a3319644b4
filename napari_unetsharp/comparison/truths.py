"""Images from disk, and what a person corrected of them: label images, masks by nucleus, reviews."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.errors import DatasetError, ImageError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.image import adapt_channels, check_finite
from napari_unetsharp.nuclei.label_files import MASK_ENDINGS, MASK_NAMES, read_labels
from napari_unetsharp.nuclei.places import SUFFIX
from napari_unetsharp.nuclei.review_pieces import pixel_size
from napari_unetsharp.training.sample_sources import Source
from napari_unetsharp.training.samples import Sample

CORRECTED = "Corrected"


@dataclass(frozen=True, eq=False)
class Field:
    """One image to compare on.

    Attributes
    ----------
    path : Path
    plane : array, (Y, X, C)
        In its own type.
    spacing_um : tuple of float or None
        Height and width of a pixel in micrometres, where the file says.
    truth : Candidate or None
        What a person corrected.
    """

    path: Path
    plane: NDArray[Any]
    spacing_um: tuple[float, float] | None
    truth: Candidate | None

    def pixels(self, channels: int) -> NDArray[Any]:
        """The plane in the channels of a network, as training and `evaluate` read it."""
        return np.ascontiguousarray(adapt_channels(self.plane, channels)[0])


def read_field(path: Path, truth: Path | None) -> Field:
    """Read an image and its truth.

    Parameters
    ----------
    path : Path
    truth : Path, optional
        Folder with a label image of the same stem (or in its ``labels/``), with ``STEM/masks``, or with the image's
        review (``NAME.unetsharp``); of a review only what was reviewed counts.

    Returns
    -------
    Field

    Raises
    ------
    ImageError, DatasetError, LabelsError
        If one of them can't be read, is missing, or doesn't fit.
    """
    image = read_image(path)
    if image.stack_shape and max(image.stack_shape) > 1:
        raise ImageError(f"{path.name} is a stack of shape {image.stack_shape}; give single planes to compare")
    plane = image.plane((0,) * len(image.stack_shape))
    check_finite(plane)
    corrected = None if truth is None else _truth(path, truth)
    if corrected is not None and corrected.labels.shape != plane.shape[:2]:
        raise DatasetError(f"the truth of {path.name} is {corrected.labels.shape}, the image {plane.shape[:2]}")
    return Field(path, plane, pixel_size(image), corrected)


def _truth(path: Path, folder: Path) -> Candidate:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give one with a label image for each image, or with reviews")
    review = folder / (path.name + SUFFIX)
    if review.is_dir():
        read = Source(str(review), image=str(path)).read()
        return Candidate(CORRECTED, read.labels, is_truth=True, seen=read.reviewed)
    files = _label_files(path, folder)
    if len(files) == 1:
        read_labels(files[0])  # refuses colour pictures and maps, which would pass for labels otherwise
    _, labels = Sample(path.stem, path, files, path.stem).read(3)
    return Candidate(CORRECTED, labels, is_truth=True)


def _label_files(image: Path, folder: Path) -> tuple[Path, ...]:
    """The label image of a picture, which isn't the picture itself, or its masks."""
    stem = image.stem
    for place in (folder, folder / "labels"):
        for name in (stem, *(stem + ending for ending in MASK_NAMES)):
            found = [place / (name + ending) for ending in MASK_ENDINGS if ending != ".npy"]
            for file in found:
                if file.is_file() and not file.samefile(image):
                    return (file,)
    masks = folder / stem / "masks"
    files = sorted(file for file in masks.glob("*") if file.suffix.lower() in MASK_ENDINGS) if masks.is_dir() else []
    if not files:
        raise DatasetError(
            f"{folder} has no labels of {stem}; put a label image of that name into it, or leave --truth out"
        )
    return tuple(files)
