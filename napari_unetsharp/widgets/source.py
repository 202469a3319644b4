"""From a napari layer to an `Image`, and from what is on screen to a region of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unetsharp.errors import ImageError, ShapeError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.volume import Volume, windowed
from napari_unetsharp.inference.tiling import Region

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer
    from napari.layers import Shapes

NOTES = "unetsharp_notes"
"""Key of a layer's metadata: what a person should know about how it was read."""

PATH = "unetsharp_path"
"""Key of a layer's metadata: the file that we read it from."""

WINDOW = "unetsharp_window"
"""Key of a layer's metadata: the values that the file of a scan wants shown as black and white."""


def image_from_layer(layer: ImageLayer) -> Image:
    """Axes, spacing and pixels (full resolution) of an image layer; pixels are not copied, nor read where they're lazy.

    A scan is given as its window shows it, whatever contrast is on screen.

    Raises
    ------
    ImageError
        If the layer has less than two axes or holds nothing that can be segmented.
    """
    pixels: Any = layer.data[0] if layer.multiscale else layer.data
    if layer.ndim < 2:
        raise ImageError(f"layer {layer.name} has {layer.ndim} axis; a picture with Y and X is needed")
    axes = "TZIJKL"[: layer.ndim - 2][::-1] + "YX" if layer.ndim > 4 else {2: "", 3: "Z", 4: "TZ"}[layer.ndim] + "YX"
    if layer.rgb:
        axes += "C"
    scale = tuple(float(step) for step in layer.scale)
    units = tuple(str(unit) for unit in layer.units)
    image = Image(opaque(layer, pixels), axes, scale, units, layer.name, list(layer.metadata.get(NOTES, [])))
    if layer.rgb and pixels.shape[-1] == 4:
        image.notes.append("The fourth channel (transparency) was left out.")
    return _through_window(image, layer.metadata.get(WINDOW))


def _through_window(image: Image, window: tuple[float, float] | None) -> Image:
    if window is None or image.axes.endswith("C"):
        return image
    return windowed(Volume(image.pixels, image.axes, image.scale, image.units, image.name, image.notes), window)


def opaque(layer: ImageLayer, pixels: Any) -> Any:
    """Pixels of a layer without transparency, as our own reader gives those of its file."""
    return pixels[..., :3] if layer.rgb and pixels.shape[-1] == 4 else pixels


def plane_on_screen(viewer: ViewerModel, layer: ImageLayer) -> tuple[int, ...]:
    """Stack index of the plane that the sliders show; empty for a single plane."""
    count = layer.ndim - 2
    point = np.asarray(layer.world_to_data(viewer.dims.point))[:count]
    pixels = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(np.clip(round(value), 0, pixels.shape[axis] - 1)) for axis, value in enumerate(point))


def region_on_screen(viewer: ViewerModel, layer: ImageLayer) -> Region:
    """The part of the image that the canvas shows.

    Parameters
    ----------
    viewer : ViewerModel
    layer : Image layer

    Returns
    -------
    Region
        Within the image.

    Raises
    ------
    ShapeError
        If none of the image is in view, or the view is turned so that Y and X are not both on screen.
    """
    if viewer.dims.ndisplay != 2 or set(viewer.dims.displayed) != {viewer.dims.ndim - 2, viewer.dims.ndim - 1}:
        raise ShapeError("What I see needs the plain 2-D view; switch back to it, or choose the whole image")
    centre = np.asarray(viewer.scene.camera.center)[-2:]
    half = np.asarray(viewer.canvas.size, float) / max(viewer.scene.camera.zoom, 1e-9) / 2
    corners = [centre + half * sign for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1))]
    return _bounding(viewer, layer, corners)


def drawn_region(viewer: ViewerModel, layer: ImageLayer, shapes: Shapes | None) -> Region:
    """The box around the selected shape, or the last one drawn.

    Raises
    ------
    ShapeError
        If nothing was drawn, or it lies outside the image.
    """
    if shapes is None or not len(shapes.data):
        raise ShapeError("No rectangle was drawn; drag one on the image, then press Find nuclei")
    chosen = sorted(shapes.selected_data) or [len(shapes.data) - 1]
    corners = [np.asarray(shapes.data_to_world(vertex))[-2:] for item in chosen for vertex in shapes.data[item]]
    return _bounding(viewer, layer, corners)


def _bounding(viewer: ViewerModel, layer: ImageLayer, corners: list[Any]) -> Region:
    """Box in data pixels around world points (Y, X) on the plane that is shown."""
    points = []
    for corner in corners:
        world = np.asarray(viewer.dims.point, float)
        world[-2:] = corner
        points.append(np.asarray(layer.world_to_data(world))[-2:])
    low = np.floor(np.min(points, axis=0) + 0.5).astype(int)
    high = np.ceil(np.max(points, axis=0) + 0.5).astype(int)
    pixels = layer.data[0] if layer.multiscale else layer.data
    shape = pixels.shape[layer.ndim - 2 : layer.ndim]
    size = np.maximum(high - low, 1)
    return Region(int(low[0]), int(low[1]), int(size[0]), int(size[1])).within((int(shape[0]), int(shape[1])))
