"""What is reached without a network: below it a row has learned nothing worth comparing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from paper_measures import Pixels
from paper_samples import Picture
from skimage.filters import threshold_otsu


def yardsticks(pictures: list[Picture]) -> dict[str, dict[str, float]]:
    """Measure ``everything`` (all pixels are nuclei) and ``otsu`` (a threshold per image) as networks are measured."""
    everything, otsu = Pixels(), Pixels()
    for picture in pictures:
        truth = picture.labels > 0
        everything.add(np.ones(truth.shape, np.float32), truth)
        otsu.add(smaller_side(picture.pixels).astype(np.float32), truth)
    return {"everything": everything.as_dict(), "otsu": otsu.as_dict()}


def smaller_side(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Split (Y, X, C) at Otsu's threshold of its brightness, and take the side with fewer pixels for nuclei."""
    grey = pixels.mean(-1)
    if grey.min() == grey.max():
        return np.zeros(grey.shape, np.bool_)
    bright = grey > threshold_otsu(grey)
    return np.asarray(bright if bright.mean() <= 0.5 else ~bright)
