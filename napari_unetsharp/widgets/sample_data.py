"""Pictures for File > Open Sample; none is downloaded."""

from __future__ import annotations

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]
"""Pixels, the keyword arguments of a layer, and the kind of layer."""


def immunohistochemistry() -> list[LayerData]:
    """Open the stained colon tissue that scikit-image carries.

    Returns
    -------
    list of (pixels, keywords, kind)
        One Image layer: uint8, (512, 512, 3), brown antibody stain with blue nuclei.
    """
    from skimage.data import immunohistochemistry as stained_tissue

    return [(stained_tissue(), {"name": "immunohistochemistry", "rgb": True, "axis_labels": ("y", "x")}, "image")]


def drawn_fluorescence() -> list[LayerData]:
    """Draw a fluorescence field, with the exact mask hidden below it: a found mask can be held against it.

    Returns
    -------
    list of (pixels, keywords, kind)
        An Image layer, uint8 (512, 512), and a hidden Labels layer, int32 (512, 512).
    """
    from napari_unetsharp.images.drawn import draw_fluorescence

    picture, mask = draw_fluorescence()
    labels = ("y", "x")
    return [
        (picture, {"name": "drawn fluorescence", "axis_labels": labels}, "image"),
        (mask, {"name": "drawn nuclei (truth)", "axis_labels": labels, "visible": False}, "labels"),
    ]
