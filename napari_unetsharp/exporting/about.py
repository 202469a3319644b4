"""What travels with exported weights, as plain values."""

from __future__ import annotations

from typing import Any

from napari_unetsharp import __version__
from napari_unetsharp.exporting.depth import licence_of
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.inference.tiling import MARGINS
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import BRANCHES, STRIDE

KEY = "unetsharp"
"""Where an exported file keeps these facts, as JSON."""

PAPER = "UNet#: A UNet-like Redesigning Skip Connections for Medical Image Segmentation"
AUTHORS = "L. Qian, X. Zhou, Y. Li, Z. Hu (2022)"
DOI = "10.48550/arXiv.2205.11759"


def channel_names(checkpoint: Checkpoint) -> list[str]:
    """Channels of every view: classes, then extras."""
    return [*checkpoint.metadata.class_names, *checkpoint.config.extras]


def facts(checkpoint: Checkpoint, smallest: int = STRIDE) -> dict[str, Any]:
    """Everything that is needed to use a depth in another program.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `cut`.
    smallest : int
        Smallest side in pixels that the file takes.

    Returns
    -------
    dict
        For JSON: name, parent, licence, what goes in and how it must be scaled, what comes out.
    """
    metadata, config = checkpoint.metadata, checkpoint.config
    return {
        "name": metadata.name,
        "written_by": f"napari-unetsharp {__version__}",
        "parent": metadata.parent,
        "licence": licence_of(metadata) or "not stated",
        "cite": f"{AUTHORS}, {PAPER}, doi:{DOI}",
        "level": config.level,
        "config": config.as_dict(),
        "input": {
            "name": "image",
            "axes": ["batch", "channel", "y", "x"],
            "type": "float32",
            "channels": config.in_channels,
            "sides": f"multiples of {STRIDE}, from {smallest} px; mirror an image to fill them",
            "intensity": metadata.intensity.as_dict(),
            "intensity_words": intensity_words(metadata.intensity),
            "pixel_size_um": metadata.pixel_size,
            "nucleus_size_px": metadata.nucleus_size,
        },
        "outputs": {name: _view(checkpoint, name) for name in config.heads} | _presence(checkpoint),
        "margin": MARGINS[config.level],
        "margin_words": "read so many px more on every side of a tile and drop them from its result",
        "class_names": list(metadata.class_names),
        "crop": metadata.crop,
    }


def intensity_words(intensity: Intensity) -> str:
    """How pixels are scaled before the network, which none of the formats does by itself."""
    if intensity.kind == "range":
        first = "divide by the largest value of the pixel type (255 for 8 bits)"
    else:
        first = (
            f"bring the {intensity.low:g} and {intensity.high:g} percentile of the whole image, all channels "
            "together, to 0 and 1; hold within -0.5 to 2"
        )
    mean, deviation = (", ".join(f"{value:g}" for value in row) for row in (intensity.mean, intensity.deviation))
    return f"{first}; subtract {mean}; divide by {deviation}"


def _view(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    return {
        "values": "probabilities, 0 to 1 (sigmoid); each channel by itself",
        "channels": channel_names(checkpoint),
        "scale": BRANCHES[name].scale,
    }


def _presence(checkpoint: Checkpoint) -> dict[str, Any]:
    words = f"probability that an image of about {checkpoint.metadata.crop} px a side holds any target, 0 to 1"
    return {f"{name}_presence": {"values": words} for name in checkpoint.network.guides}
