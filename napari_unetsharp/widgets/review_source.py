"""What there is to review of an image layer: nuclei that were found, other label layers, a review on disk."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError, ReviewError, UNetSharpError
from napari_unetsharp.images.image import Image
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.export import open_source
from napari_unetsharp.nuclei.head import Head, find_review
from napari_unetsharp.nuclei.identity import Identity, identify
from napari_unetsharp.nuclei.label_files import masks_beside, read_labels
from napari_unetsharp.nuclei.places import review_folder
from napari_unetsharp.widgets.layers import KEY, ResultLayers
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.slide_layers import is_slide
from napari_unetsharp.widgets.source import PATH, image_from_layer, opaque, plane_on_screen

if TYPE_CHECKING:
    from napari import Viewer

Index = tuple[int, ...]

OUTLINES = (".geojson", ".json")
"""Files that tell more than labels: outlines, and the `review.json` of a saved review."""


@dataclass(frozen=True)
class Subject:
    """One plane of an image, and where its review lies.

    Attributes
    ----------
    layer : Image layer
    image : Image
    index : tuple of int
        Of the plane in the stack.
    identity : Identity
    folder : Path
        For the journal.
    """

    layer: ImageLayer
    image: Image
    index: Index
    identity: Identity
    folder: Path

    @property
    def on_disk(self) -> Head | None:
        """The review that is in the folder.

        Raises
        ------
        ReviewError
            If it can't be read.
        """
        return find_review(self.folder)


def path_of(layer: ImageLayer) -> Path | None:
    """The file of an image layer, None where it has none."""
    path = layer.metadata.get(PATH) or layer.source.path
    return Path(path) if path and Path(path).exists() else None


def subject_of(viewer: Viewer, layer: ImageLayer | None) -> Subject:
    """The plane of a layer that is on screen.

    Raises
    ------
    ImageError
        If there is no image, its pixels aren't here, or it is a whole slide.
    ReviewError
        If the review beside it can't be read.
    """
    if layer is None:
        raise ImageError("no image is open: press 1 Find, then Open…, or drop a picture on the window")
    if is_slide(layer):
        raise ImageError(f"{layer.name} is a whole slide: zoom in, then press Work on this region above")
    image, index = image_from_layer(layer), plane_on_screen(viewer, layer)
    levels = [opaque(layer, level) for level in layer.data] if layer.multiscale else opaque(layer, layer.data)
    identity = identify(levels, image.axes)
    return Subject(layer, image, index, identity, review_folder(path_of(layer), identity, index))


def starting_points(viewer: Viewer, subject: Subject, found: ResultLayers | None, level: int) -> dict[str, Material]:
    """What a review can start from, the best first, by its name on screen.

    Parameters
    ----------
    viewer : napari.Viewer
    subject : Subject
    found : ResultLayers or None
        What *Find* found on this layer.
    level : int
        The depth whose nuclei are shown.
    """
    points: dict[str, Material] = {}
    network = _network(subject, found, level)
    if network is not None:
        points[network.source] = network
    for layer in viewer.layers:
        described = layer.metadata.get(KEY)
        ours = isinstance(described, dict) and described.get("kind") in {"labels", "state", "review"}
        if isinstance(layer, Labels) and not ours:
            labels = _plane_of(layer, subject)
            if labels is not None:
                points[f"layer {layer.name}"] = with_labels(subject, labels, network, f"layer {layer.name}")
    path = path_of(subject.layer)
    for mask in masks_beside(path) if path is not None and not subject.index else ():
        with suppress(UNetSharpError):  # what isn't a mask in spite of its name is no offer
            points[f"file {mask.name}"] = labels_from_file(subject, str(mask), network)
    return points


def _network(subject: Subject, found: ResultLayers | None, level: int) -> Material | None:
    if found is None or subject.index not in found.results.planes_computed():
        return None
    results, index = found.results, subject.index
    levels = {depth: results.labels[depth][index] for depth in results.labels}
    depth = level if level in levels else max(levels, default=0)
    if not depth or not levels[depth].any():
        return None
    maps = {name: np.asarray(results.maps[name][index]) for name in BRANCHES if name in results.maps}
    described: Any = next((layer.metadata.get(KEY) for layer in found.layers.values()), None)
    model = str(described.get("sha256", "")) if isinstance(described, dict) else ""
    doubt = np.asarray(results.doubt[index]) if len(maps) > 1 else None
    classes = tuple(described.get("classes", ())) if isinstance(described, dict) else ()
    return Material(
        subject.image.plane(index), levels[depth], maps, levels, depth, doubt, model, f"nuclei found, depth {depth}",
        classes if len(classes) > 1 else (), results.computed(index),
    )  # fmt: skip


def with_labels(
    subject: Subject, labels: NDArray[Any], network: Material | None, source: str, known: dict[str, Any] | None = None
) -> Material:
    """Labels from elsewhere; the maps of the network are kept for adding and growing."""
    maps = network.maps if network is not None else {}
    levels = network.levels if network is not None else {}
    pixels = subject.image.plane(subject.index)
    return Material(pixels, labels, maps, dict(levels), source=source, known=known or {})


def labels_from_file(subject: Subject, path: str, network: Material | None) -> Material:
    """A mask from a file, also from another program; of GeoJSON and of a saved review the answers too.

    Raises
    ------
    LabelsError, ReviewError, ImageError
        If it holds no nuclei of this image.
    """
    name = Path(path).name
    if Path(path).suffix.lower() not in OUTLINES:
        return with_labels(subject, np.asarray(read_labels(path, subject.image).pixels), network, name)
    image = subject.image
    if subject.index:
        image = Image(image.plane(subject.index), "YXC", image.scale[-2:], image.units[-2:], image.name)
    pieces = open_source(path, image).pieces
    rejected = np.zeros(pieces.labels.shape, np.int32)
    for id_, outline in pieces.rejected.items():
        rejected[outline.box.slices][outline.mask()] = id_
    there = set(np.unique(pieces.labels).tolist()) | set(np.unique(rejected).tolist())
    nuclei = {id_: nucleus for id_, nucleus in pieces.nuclei.items() if id_ in there}
    known = {"nuclei": nuclei, "rejected": rejected, "views": pieces.views, "ignored": pieces.ignored}
    return with_labels(subject, pieces.labels, network, name, known)


def without_labels(subject: Subject) -> Material:
    """Nothing but the pixels: to go on with a review from disk where the network was not run."""
    plane = subject.image.plane(subject.index)
    return Material(plane, np.zeros(plane.shape[:2], np.int32), source="the review on disk")


def _plane_of(layer: Labels, subject: Subject) -> NDArray[Any] | None:
    if layer.multiscale:
        return None
    data = np.asarray(layer.data)
    if data.shape == subject.image.plane_shape:
        return data if data.any() else None
    if data.shape == (*subject.image.stack_shape, *subject.image.plane_shape):
        plane = data[subject.index]
        return plane if plane.any() else None
    return None


def check_fits(head: Head, subject: Subject) -> None:
    """See that a review is about this plane.

    Raises
    ------
    ReviewError
    """
    if head.shape != subject.image.plane_shape:
        raise ReviewError(
            f"the review in {subject.folder} is about {head.shape} pixels and the image has "
            f"{subject.image.plane_shape}; start afresh"
        )
