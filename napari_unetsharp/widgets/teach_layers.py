"""From the window's layers to samples: open reviews, pairs of layers, folders."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_unetsharp.errors import DatasetError, UNetSharpError
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.sample_sources import Source, find_sources
from napari_unetsharp.widgets.job import chosen_shapes
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.review_source import path_of
from napari_unetsharp.widgets.slide_layers import slide_of
from napari_unetsharp.widgets.slide_region import SlideRegion, beside_each_other, groups_of, regions_of
from napari_unetsharp.widgets.slide_region_layer import region_of
from napari_unetsharp.widgets.source import drawn_region, image_from_layer, plane_on_screen
from napari_unetsharp.widgets.teach_samples import Entry, Origin, reviews_of

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.review import ReviewStage


def review_entries(review: ReviewStage, open_image: ImageLayer | None, images: list[Path]) -> list[Entry]:
    """The open review first, then those of other images.

    Parameters
    ----------
    review : ReviewStage
    open_image : Image layer or None
    images : list of Path
        Of the folder that is worked through.
    """
    entries: dict[str, Entry] = {}
    shown = None if open_image is None else path_of(open_image)
    regions = {region.file: region for region in regions_with(open_image)}
    groups = groups_of(list(regions.values()))  # what overlaps stays together
    session, subject = review.reviewed, review.subject
    if session is not None and subject is not None:
        path = path_of(subject.layer)
        name = path.name if path is not None and path not in regions else subject.layer.name
        name += "".join(f" plane {number}" for number in subject.index)
        group = "" if path is None else groups.get(path, "")
        on_disk = None if path is None else Source(str(subject.folder), image=str(path), group=group)
        key = str(subject.folder)
        entries[key] = Entry(key, name, lambda: on_disk or snapshot(review), open_here=True)
    for path in dict.fromkeys([*([shown] if shown is not None else []), *regions, *images]):
        for folder in reviews_of(path):
            source = Source(str(folder), image=str(path), group=groups.get(path, ""))
            name = regions[path].name if path in regions else path.name
            name += f" {folder.name}" if folder.name.startswith("plane ") else ""
            entries.setdefault(str(folder), Entry(str(folder), name, partial(_itself, source), path == shown))
    return list(entries.values())


def regions_with(layer: ImageLayer | None) -> list[SlideRegion]:
    """Regions of the slide that a layer shows, or is a region of; none for any other layer."""
    slide, region = slide_of(layer), region_of(layer)
    if slide is not None:
        return regions_of(slide)
    return [] if region is None else [region, *beside_each_other(region)]


def snapshot(review: ReviewStage) -> Origin | None:
    """A copy of the review that is open, for images without a file, or with one that reads differently."""
    session, subject = review.reviewed, review.subject
    if session is None or subject is None:
        return None
    pixels = subject.image.plane(subject.index)
    sample = ReviewedSample.of_findings(subject.layer.name, pixels, session.review.findings, str(subject.folder))
    return lambda: sample


def pairs_of(viewer: Viewer) -> dict[str, list[str]]:
    """Labels layers that fit each image layer, by name; the network's own results are left out."""
    labels = [layer for layer in viewer.layers if isinstance(layer, Labels) and not _is_result(layer)]
    images = [layer for layer in viewer.layers if isinstance(layer, ImageLayer) and KEY not in layer.metadata]
    pairs = {image.name: [other.name for other in labels if _fits(image, other)] for image in images}
    return {name: fitting for name, fitting in pairs.items() if fitting}


def pair_entry(viewer: Viewer, image_name: str, labels_name: str, rectangle: bool) -> Entry:
    """A pair of layers; all of it counts, or the rectangle that was drawn.

    Raises
    ------
    DatasetError, ShapeError
        If one is gone, or there is no rectangle.
    """
    image, labels = _layer(viewer, image_name), _layer(viewer, labels_name)
    box = None
    if rectangle:
        region = drawn_region(viewer, image, chosen_shapes(viewer))
        box = Box(region.top, region.left, region.top + region.height, region.left + region.width)
    kept = ref(viewer), ref(image), ref(labels)
    key = f"{image_name} + {labels_name}" + (f" {tuple(box)}" if box else "")
    name = f"{image_name} + {labels_name}" + (" (rectangle)" if box else "")
    return Entry(key, name, partial(_pair, *kept, name, box), open_here=True)


def folder_entries(folder: str) -> list[Entry]:
    """All samples of a folder.

    Raises
    ------
    DatasetError
        If there are none.
    """
    entries = []
    for source in find_sources(folder):
        path = Path(source.path)
        key, name = source.path, source.name or path.name.removesuffix(".unetsharp")
        entries.append(Entry(key, name, partial(_itself, source), part=source.part))
    return entries


def _itself(source: Source) -> Source:
    """The origin of what lies on disk."""
    return source


def _pair(viewer: Any, image: Any, labels: Any, name: str, box: Box | None) -> Origin | None:
    """Copies of two layers, taken now; the sample is made in the thread."""
    shown, layer, mask = viewer(), image(), labels()
    if shown is None or layer is None or mask is None or layer not in shown.layers or mask not in shown.layers:
        return None
    try:
        picture, index = image_from_layer(layer), plane_on_screen(shown, layer)
    except UNetSharpError:
        return None
    plane = np.asarray(mask.data)
    copied = np.array(plane[index] if plane.ndim > 2 else plane)
    path = path_of(layer)
    return partial(_made, name, picture, index, copied, box, path.name if path is not None else layer.name)


def _made(
    name: str, picture: Image, index: tuple[int, ...], labels: np.ndarray, box: Box | None, group: str
) -> ReviewedSample:
    return replace(ReviewedSample.of_pair(name, picture.plane(index), labels, box, name), group=group)


def _layer(viewer: Viewer, name: str) -> Any:
    if name not in viewer.layers:
        raise DatasetError(f"layer {name} is gone; choose another one")
    return viewer.layers[name]


def _is_result(layer: Labels) -> bool:
    described = layer.metadata.get(KEY)
    return isinstance(described, dict) and described.get("kind") in {"labels", "state", "review"}


def _fits(image: ImageLayer, labels: Labels) -> bool:
    if image.multiscale or labels.multiscale:
        return False
    shape = image.data.shape[:-1] if image.rgb else image.data.shape
    return tuple(labels.data.shape) in {tuple(shape), tuple(shape[-2:])}
