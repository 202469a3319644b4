"""What was found in the regions that are open: read once, and again only where the results of the slide changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, ref

from napari.layers import Image as ImageLayer
from numpy.typing import NDArray

from napari_unetsharp.images.slide import Slide
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.slide_given import review_of
from napari_unetsharp.widgets.slide_layers import pixel_size_of
from napari_unetsharp.widgets.slide_region import SlideRegion, as_image, cut_region
from napari_unetsharp.widgets.slide_region_layer import region_of, slide_layer_of
from napari_unetsharp.widgets.slide_seed import material_of_slide

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.slides.store import SlideStore
    from napari_unetsharp.widgets.find import FindStage


class Cut(NamedTuple):
    """A region was read, and what a run over the slide found in it."""

    pixels: NDArray[Any]
    material: Material | None


def cut_steps(slide: Slide, region: SlideRegion, store: SlideStore | None, stop: Callable[[], bool]) -> Iterator[Cut]:
    """Read a region and what was found in it, for a worker."""
    pixels = cut_region(slide, region, pixel_size_of(slide))
    material = None if store is None else material_of_slide(region, as_image(region, pixels), store)
    yield Cut(pixels, material)


class RegionMaterials:
    """Materials by layer.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
        Has the results of slides.
    """

    def __init__(self, viewer: Viewer, find: FindStage) -> None:
        self._viewer, self._find = ref(viewer), find
        self._known: WeakKeyDictionary[ImageLayer, tuple[Any, Material | None]] = WeakKeyDictionary()

    def keep(self, layer: ImageLayer, store: SlideStore | None, material: Material | None) -> None:
        """Remember what was read with a region."""
        self._known[layer] = _state_of(store), material

    def of(self, layer: ImageLayer) -> Material | None:
        """What the run over the slide found in a region; None where it was not run, or found nothing."""
        region, viewer = region_of(layer), self._viewer()
        slide_layer = None if viewer is None or region is None else slide_layer_of(viewer, layer)
        store = None if slide_layer is None else self._find.store_of(slide_layer)
        if region is None or store is None:
            return None
        if layer not in self._known or self._known[layer][0] != _state_of(store):
            self.keep(layer, store, material_of_slide(region, as_image(region, layer.data), store))
        return self._known[layer][1]

    def untouched(self, layer: ImageLayer) -> Material | None:
        """The same, as long as nothing of it is a person's own work."""
        region = region_of(layer)
        if region is None or review_of(region).exists():
            return None
        material = self.of(layer)
        return None if material is None or material.known["nuclei"] else material


def _state_of(store: SlideStore | None) -> Any:
    return None if store is None else (store.folder, store.settings, int(store.painted.sum()), store.count)
