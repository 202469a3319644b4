"""The result layers of a slide: the nuclei and the probability map of one depth, read from disk at every zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_unetsharp import __version__
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.layers import KEY, MAP_COLOURS, level_title
from napari_unetsharp.widgets.removal import remove_layer, removing_many
from napari_unetsharp.widgets.slide_results_levels import ShownResults

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.nuclei.pixels import Box
    from napari_unetsharp.slides.store import SlideStore


class SlideLayers:
    """Two layers over the pyramids of a `SlideStore`.

    Parameters
    ----------
    viewer : napari.Viewer
    source : Image layer
        The slide.
    store : SlideStore
        Its pyramids are the layers' pixels: writing them and calling `refresh` is all there is to do.

    Attributes
    ----------
    layers : dict of str to Layer
        By key, as in `ResultLayers`: the depth's labels ("L2") and its map ("x02").
    """

    def __init__(self, viewer: Viewer, source: ImageLayer, store: SlideStore) -> None:
        self._viewer, self._source = ref(viewer), ref(source)
        self.store = store
        self.layers: dict[str, Layer] = {}
        self._shown: dict[str, ShownResults] = {}
        self._add()

    @property
    def level(self) -> int:
        """The depth that was run."""
        return int(self.store.about.level)

    @property
    def source(self) -> ImageLayer | None:
        """The slide's layer, or None once it is gone."""
        viewer, layer = self._viewer(), self._source()
        return layer if viewer is not None and layer is not None and layer in viewer.layers else None

    @property
    def map_layer(self) -> Layer | None:
        """The depth's probability map, if nobody deleted it."""
        self.drop_removed()
        return self.layers.get(f"x0{self.level}")

    def replace_store(self, store: SlideStore) -> None:
        """Show another run; where it is the same one, opened again, the layers stay."""
        same = store.about.fingerprint == self.store.about.fingerprint
        self.store = store
        self.drop_removed()
        if not same:
            self.remove_all()
        self._add()

    def refresh(self, box: Box | None = None, view: Box | None = None) -> None:
        """Draw what is on disk now.

        Parameters
        ----------
        box, view : Box, optional
            What changed and what is on screen, in pixels of the slide; where they don't meet, nothing is drawn.
        """
        self.drop_removed()
        hidden = box is not None and view is not None and not box.meets(view)
        for key, layer in self.layers.items():
            if layer.visible:
                self._shown[key].read_again()
                if not hidden:
                    layer.refresh(extent=False, highlight=False)

    def thumbnail(self, side: int) -> np.ndarray | None:
        """The map shrunk to about side x side for the drawing, uint8, or None where nobody sees it."""
        shown = self._shown.get(f"x0{self.level}")
        if shown is None or not isinstance(shown[-1], np.ndarray):
            return None
        shown.read_again()
        step = max(1, -(-max(shown[-1].shape) // side))
        return np.ascontiguousarray(shown[-1][::step, ::step])

    def describe(self) -> None:
        """Note the settings in force in the layers' metadata."""
        for key, layer in self.layers.items():
            layer.metadata[KEY] = self._description(key)

    def drop_removed(self) -> None:
        """Forget layers that were deleted from the viewer."""
        viewer = self._viewer()
        self.layers = {
            key: layer for key, layer in self.layers.items() if viewer is not None and layer in viewer.layers
        }

    def remove_all(self) -> None:
        """Take our layers out of the viewer."""
        viewer = self._viewer()
        if viewer is not None:
            with removing_many(viewer):
                for layer in self.layers.values():
                    remove_layer(viewer, layer)
        self.layers.clear()

    def _add(self) -> None:
        """Add what is missing: the map, hidden, beneath the nuclei."""
        viewer, source = self._viewer(), self.source
        if viewer is None or source is None:
            return
        about = self.store.about
        stack = source.ndim - 2
        stack_shape = tuple(int(side) for side in source.data[0].shape[:stack])
        place = place_on(source, (about.downsample, about.downsample))
        active = viewer.layers.selection.active
        for key, pyramid in ((f"x0{self.level}", self.store.probability), (f"L{self.level}", self.store.labels)):
            if key in self.layers:
                continue
            self._shown[key] = ShownResults(pyramid.levels, stack_shape, about.plane)
            layer = _made(key, self._shown[key], {**place, "metadata": {KEY: self._description(key)}})
            layer.events.visible.connect(self._seen)
            viewer.layers.insert(self._position(viewer, source), layer)
            self.layers[key] = layer
        viewer.layers.selection.active = active if active in viewer.layers else source

    def _position(self, viewer: Viewer, source: ImageLayer) -> int:
        below = [viewer.layers.index(layer) for layer in (source, *self.layers.values()) if layer in viewer.layers]
        tissue = [at for at, layer in enumerate(viewer.layers) if layer.metadata.get(KEY) == "tissue"]
        return max(below + tissue) + 1

    def _seen(self, event: Any = None) -> None:
        """A layer that was hidden while blocks came in has missed them."""
        for key, layer in self.layers.items():
            if layer.visible:
                self._shown[key].read_again()

    def _description(self, key: str) -> dict[str, Any]:
        about, labels = self.store.about, key.startswith("L")
        node = f"x0{self.level}"
        return {
            "kind": "labels" if labels else "probability", "checkpoint": about.checkpoint,
            "sha256": about.checkpoint_sha256, "node": node, "level": BRANCHES[node].level,
            "threshold": self.store.settings.threshold, "version": __version__, "classes": [],
            "run": str(self.store.folder),
        }  # fmt: skip


def _made(key: str, levels: ShownResults, place: dict[str, Any]) -> Layer:
    if key.startswith("L"):
        layer = Labels(levels, multiscale=True, name=level_title(int(key[1:])), opacity=0.9, **place)
        layer.contour = 2
        layer.editable = False
        return layer
    return ImageLayer(
        levels, multiscale=True, rgb=False, name=BRANCHES[key].title, colormap=MAP_COLOURS, contrast_limits=(0, 255),
        blending="translucent", visible=False, **place,
    )  # fmt: skip


def place_on(source: ImageLayer, downsample: tuple[float, float], ndim: int | None = None) -> dict[str, Any]:
    """Where a layer of larger pixels lies so that it covers the slide.

    Parameters
    ----------
    source : Image layer
        The slide.
    downsample : (float, float)
        Pixels of the slide per pixel, along Y and X.
    ndim : int, optional
        Axes of the layer, the last ones of the slide's; as many as it has by default.

    Returns
    -------
    dict
        Keywords of a layer: scale, translate, rotate, units, axis labels.
    """
    count = source.ndim if ndim is None else ndim
    factor = np.ones(source.ndim)
    factor[-2:] = downsample
    scale, rotate = np.asarray(source.scale), np.asarray(source.rotate)
    # The middle of the first large pixel lies between pixels of the slide, not on the middle of its first one.
    translate = np.asarray(source.translate) + rotate @ (scale * (factor - 1) / 2)
    return {
        "scale": (scale * factor)[-count:],
        "translate": translate[-count:],
        "rotate": rotate[-count:, -count:],
        "units": tuple(source.units)[-count:],
        "axis_labels": tuple(source.axis_labels)[-count:],
    }
