"""Regions of slides as layers: which box is meant, and a picture that lies in its place on the slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.slide_layers import slide_of
from napari_unetsharp.widgets.slide_region import SlideRegion
from napari_unetsharp.widgets.source import NOTES, PATH, drawn_region, region_on_screen

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Shapes

    from napari_unetsharp.inference.tiling import Region

REGION = "unetsharp_region"
"""Key of a layer's metadata: the `SlideRegion` that the layer shows."""


def region_of(layer: Any) -> SlideRegion | None:
    """The region that a layer shows; None for any other layer."""
    found = None if layer is None else layer.metadata.get(REGION)
    return found if isinstance(found, SlideRegion) else None


def slide_layer_of(viewer: Viewer, layer: Any) -> ImageLayer | None:
    """The layer of the slide: the one given, or the one that a region is of; None where it isn't open."""
    if slide_of(layer) is not None:
        return layer if layer in viewer.layers else None
    region = region_of(layer)
    for other in viewer.layers if region is not None else ():
        slide = slide_of(other)
        if slide is not None and region is not None and slide.identity == region.identity:
            return other if isinstance(other, ImageLayer) else None
    return None


def region_layers(viewer: Viewer) -> list[ImageLayer]:
    """All regions that are open."""
    return [layer for layer in viewer.layers if isinstance(layer, ImageLayer) and region_of(layer) is not None]


def box_in_view(viewer: Viewer, layer: ImageLayer) -> Box:
    """What the canvas shows of a slide, in pixels of level 0.

    Raises
    ------
    ShapeError
        If none of it is in view, or Y and X are not both on screen.
    """
    return _box(region_on_screen(viewer, layer))


def drawn_box(viewer: Viewer, layer: ImageLayer, shapes: Shapes | None) -> Box:
    """The shape that is selected or was drawn last on a slide, in pixels of level 0.

    Raises
    ------
    ShapeError
        If there is none, or it lies outside.
    """
    return _box(drawn_region(viewer, layer, shapes))


def add_region(viewer: Viewer, slide_layer: ImageLayer, region: SlideRegion, pixels: NDArray[Any]) -> ImageLayer:
    """Show a region in its place on the slide.

    Parameters
    ----------
    viewer : napari.Viewer
    slide_layer : Image layer
    region : SlideRegion
    pixels : array, (Y, X) or (Y, X, 3)

    Returns
    -------
    Image layer
    """
    rgb = pixels.ndim == 3
    look: dict[str, Any] = {"rgb": True}
    if not rgb:
        names = ("contrast_limits", "colormap", "gamma", "blending")
        look = {"rgb": False} | {name: getattr(slide_layer, name) for name in names}
    layer = ImageLayer(
        pixels, name=region.name, metadata={REGION: region, PATH: str(region.file), NOTES: []},
        **look, **place_on_slide(slide_layer, region),
    )  # fmt: skip
    viewer.layers.insert(viewer.layers.index(slide_layer) + 1, layer)
    return layer


def place_on_slide(slide_layer: ImageLayer, region: SlideRegion) -> dict[str, Any]:
    """Where a region lies in the world: on the very pixels of the slide that it was cut from."""
    shown = {"scale": np.asarray(slide_layer.scale)[-2:]}
    if slide_layer.ndim == 2:
        shown |= {"rotate": slide_layer.rotate, "shear": slide_layer.shear}
    corner = np.asarray(Affine(**shown).linear_matrix) @ np.array([region.box.top, region.box.left], float)
    return {
        **shown, **({"affine": slide_layer.affine} if slide_layer.ndim == 2 else {}),
        "translate": np.asarray(slide_layer.translate)[-2:] + corner,
        "units": slide_layer.units[-2:], "axis_labels": slide_layer.axis_labels[-2:],
    }  # fmt: skip


def look_at(viewer: Viewer, extent: NDArray[Any], share: float) -> None:
    """Bring a box of the world, (2, axes), into the middle of the canvas."""
    low, high = (np.asarray(corner)[-2:] for corner in extent)
    camera = viewer.scene.camera
    camera.center = (camera.center[0], *(float(side) for side in (low + high) / 2))
    camera.zoom = float(np.min(np.asarray(viewer.canvas.size, float) / np.maximum(high - low, 1e-9))) * share


def _box(region: Region) -> Box:
    return Box(region.top, region.left, region.top + region.height, region.left + region.width)
