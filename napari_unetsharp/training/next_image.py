"""Which image of a folder a model is least sure of: the one to review next."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_unetsharp.images.files import read_image
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.training.tune_settings import TuneSettings

SIDE = 512
"""Pixels along each side, in the middle of the image, that are looked at."""


def doubt_of(checkpoint: Checkpoint, path: Path, settings: TuneSettings) -> float:
    """How unsure a model is of an image.

    Parameters
    ----------
    checkpoint : Checkpoint
    path : Path
    settings : TuneSettings
        Its level (the checkpoint's own where None) and device.

    Returns
    -------
    float
        0 where its map is as clear as its own outlines, 1 where it sees nothing clearly; 1 where it finds nothing.

    Raises
    ------
    ImageError
        If the image can't be read.
    """
    level = settings.level or checkpoint.config.level
    predictor = Predictor(checkpoint, settings.device, level, (f"x0{level}",))
    image = read_image(path)
    plane = image.plane((0,) * len(image.stack_shape))
    spans = [(max(0, (length - SIDE) // 2), min(SIDE, length)) for length in plane.shape[:2]]
    region = Region(spans[0][0], spans[1][0], spans[0][1], spans[1][1])
    probability = predictor.predict(plane, region).full[f"x0{level}"][region.slices].astype(np.float32)
    mask = probability >= 0.5
    total = float(probability.sum() + mask.sum())
    return 1 - float(2 * probability[mask].sum()) / total if mask.any() else 1.0
