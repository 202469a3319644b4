"""The tissue under each set of nuclei: copies of image layers over the same pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_unetsharp.widgets.compare_sources import Plane
from napari_unetsharp.widgets.layers import KEY

TISSUES = 4
"""Image layers that are shown under each set of nuclei at most: channels of one picture."""


def placed_on(layer: ImageLayer) -> dict[str, Any]:
    """Where a plane goes: exactly on the image, on every plane of a stack."""
    if layer.ndim == 2:
        names = ("scale", "rotate", "shear", "translate", "affine", "units", "axis_labels")
        return {name: getattr(layer, name) for name in names}
    return {name: getattr(layer, name)[-2:] for name in ("scale", "translate", "units", "axis_labels")}


def copy_of(layer: ImageLayer, plane: Plane, name: str) -> ImageLayer:
    """The plane of an image layer once more, over the same pixels and looking the same."""
    look = {"blending": layer.blending, "opacity": layer.opacity, "gamma": layer.gamma,
            "interpolation2d": layer.interpolation2d, "rgb": layer.rgb}  # fmt: skip
    if not layer.rgb:
        look |= {"contrast_limits": tuple(layer.contrast_limits), "colormap": layer.colormap}
    levels = list(layer.data) if layer.multiscale else [layer.data]
    shown = [level[plane.index] if plane.index else level for level in levels]
    about: dict[str, Any] = {"name": name, "metadata": {KEY: {"kind": "compare"}}}
    pixels = shown if layer.multiscale else shown[0]
    return ImageLayer(pixels, multiscale=layer.multiscale, **look, **about, **placed_on(plane.layer))


def tissue_of(layers: Iterable[Layer], plane: Plane, visible: list[Layer]) -> list[ImageLayer]:
    """The image, and other channels of it that are visible, in their order.

    Parameters
    ----------
    layers : iterable of Layer
        All of the window.
    plane : Plane
    visible : list of Layer
    """
    images = [layer for layer in layers if isinstance(layer, ImageLayer)]
    others = [
        layer for layer in images
        if layer is not plane.layer and layer in visible and KEY not in layer.metadata and _fits(layer, plane.layer)
    ][: TISSUES - 1]  # fmt: skip
    return [layer for layer in images if layer is plane.layer or layer in others]


def _fits(layer: ImageLayer, other: ImageLayer) -> bool:
    if layer.ndim != other.ndim:
        return False
    shapes = [(one.data[0] if one.multiscale else one.data).shape[: one.ndim] for one in (layer, other)]
    return bool(shapes[0] == shapes[1])
