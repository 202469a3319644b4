"""What OME-NGFF 0.5 asks a pyramid to say about itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VERSION = "0.5"


def described(
    name: str, shapes: Sequence[tuple[int, int]], um_per_pixel: tuple[float, float] | None, labels: bool
) -> dict[str, Any]:
    """Metadata of a multiscale image, for the attribute "ome" (OME-NGFF 0.5).

    Parameters
    ----------
    name : str
    shapes : sequence of tuple of int
        (Y, X) of the levels, each half of the one before, rounded up.
    um_per_pixel : tuple of float or None
        Height and width of a pixel of the first level; without it axes have no unit and the scale counts pixels.
    labels : bool
        Whether the values are ids of nuclei.

    Returns
    -------
    dict
        Coarse pixels cover the pixels that they stand for: their middles lie half of what they are wider farther.
    """
    step = um_per_pixel or (1.0, 1.0)
    unit = {"unit": "micrometer"} if um_per_pixel else {}
    datasets = []
    for place in range(len(shapes)):
        factor = 2**place
        changes: list[dict[str, Any]] = [{"type": "scale", "scale": [one * factor for one in step]}]
        if place:
            changes.append({"type": "translation", "translation": [one * (factor - 1) / 2 for one in step]})
        datasets.append({"path": str(place), "coordinateTransformations": changes})
    multiscale = {
        "name": name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in "yx"],
        "datasets": datasets,
        "type": "nearest" if labels else "mean",
    }
    told: dict[str, Any] = {"version": VERSION, "multiscales": [multiscale]}
    if labels:
        told["image-label"] = {"version": VERSION}
    return told
