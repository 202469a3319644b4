"""What a press of *Find nuclei* means, and the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Shapes

from napari_unetsharp.errors import ImageError, SettingsError
from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Index, PlaneDone, Results, TileDone, guarded
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.widgets.find_form import ALL_PLANES, DRAWN, SEE, FindForm
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.source import drawn_region, image_from_layer, plane_on_screen, region_on_screen

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.nuclei.instances import LabelSettings


@dataclass(frozen=True)
class FindJob:
    """One run.

    Attributes
    ----------
    layer : Image layer
    image : Image
        Its pixels and axes.
    planes : list of tuple of int
    region : Region or None
        The whole plane if None.
    model, device : str
    depth : int
    nucleus_size : float or None
        Diameter in pixels that the person set; estimated if None.
    options : dict
        Test-time options of `Predictor`.
    """

    layer: ImageLayer
    image: Image
    planes: list[Index]
    region: Region | None
    model: str
    device: str
    depth: int
    nucleus_size: float | None = None
    options: dict[str, Any] = field(default_factory=dict)


def job_from_form(viewer: Viewer, form: FindForm) -> FindJob:
    """Read the form and the screen.

    Raises
    ------
    ImageError, SettingsError, ShapeError
        If something is missing, with what to do.
    """
    layer: ImageLayer | None = form.image.value
    if layer is None:
        raise ImageError("No image is open: press Open…, or drop a picture on the window.")
    if not form.model.value:
        raise SettingsError("No model is chosen: press Other model… and choose a checkpoint.")
    image = image_from_layer(layer)
    stack = bool(image.stack_shape) and form.planes.value == ALL_PLANES
    planes = list(image.plane_indices()) if stack else [plane_on_screen(viewer, layer)]
    region = None
    if form.where.value == SEE:
        region = region_on_screen(viewer, layer)
    elif form.where.value == DRAWN:
        region = drawn_region(viewer, layer, chosen_shapes(viewer))
    size = float(form.nucleus_size.value) or None
    return FindJob(
        layer, image, planes, region, form.model.value, form.device.value, form.depth.value, size, form.options
    )


def chosen_shapes(viewer: Viewer) -> Shapes | None:
    """The active Shapes layer, else the topmost one."""
    active = viewer.layers.selection.active
    drawn = [layer for layer in viewer.layers if isinstance(layer, Shapes) and KEY not in layer.metadata]
    return active if active in drawn else next(reversed(drawn), None)


def find_steps(
    models: ModelList, job: FindJob, results: Results, settings: Callable[[], LabelSettings], stop: Callable[[], bool]
) -> Iterator[Predictor | TileDone | PlaneDone]:
    """The run, in its own thread: the loaded predictor first, then tile by tile."""
    checkpoint = models.load(job.model)
    predictor = Predictor(checkpoint, job.device, min(job.depth, checkpoint.config.level), **job.options)
    results.claim(predictor, job.nucleus_size)
    results.prepare(predictor.branches, checkpoint.config.extras)
    yield predictor
    yield from guarded(results.steps(predictor, job.planes, settings, job.region, stop))
