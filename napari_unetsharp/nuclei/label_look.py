"""Whether a picture that somebody opens is really a mask of nuclei."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.label_files import read_labels

ALIKE = 0.9
"""Share of neighbouring pixels within nuclei that have the same number. Noise leaves 0.1 to 0.5 of a photograph; in
masks only pairs across two nuclei that touch differ."""

OUTSIDE = 0.005
"""Share of pixels that are 0, at least: a mask has a background."""


def looks_like_labels(pixels: NDArray[Any]) -> bool:
    """Whether a plane is made of patches with one whole number each, on a background of 0.

    Parameters
    ----------
    pixels : array, (Y, X)

    Returns
    -------
    bool
        False for anything but a plane of whole numbers.
    """
    if pixels.ndim != 2 or pixels.dtype.kind not in "bui" or pixels.size < 4:
        return False
    outside = float((pixels == 0).mean())
    if not OUTSIDE <= outside < 1:
        return False
    pairs = alike = 0
    for one, other in ((pixels[1:], pixels[:-1]), (pixels[:, 1:], pixels[:, :-1])):
        inside = (one != 0) & (other != 0)
        pairs += int(inside.sum())
        alike += int((inside & (one == other)).sum())
    return pairs > 0 and alike >= ALIKE * pairs


def as_mask(image: Image, path: str | Path) -> Image | None:
    """Labels of a picture that looks like a mask.

    Parameters
    ----------
    image : Image
        As it was read from `path`.
    path : str or Path
        Read again where the picture has a palette, whose numbers are the labels.

    Returns
    -------
    Image or None
        "YX", int32; None where it is no mask.
    """
    pixels = np.asarray(image.pixels) if image.axes in {"YX", "YXC"} else np.zeros((0, 0))
    if image.axes == "YXC" and Path(path).suffix.lower() != ".png":
        return None
    if image.axes != "YXC" and not looks_like_labels(pixels):
        return None
    try:
        labels = read_labels(path)
    except UNetSharpError:  # a picture in colour, and nothing else
        return None
    return labels if looks_like_labels(np.asarray(labels.pixels)) else None
