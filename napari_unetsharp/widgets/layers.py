"""The thirteen result layers of an image: eight maps, four label layers and a doubt map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils import Colormap

from napari_unetsharp import __version__
from napari_unetsharp.errors import SettingsError
from napari_unetsharp.inference.results import Index, Results
from napari_unetsharp.network.grid import BRANCHES, LEVELS
from napari_unetsharp.widgets.removal import remove_layer, removing_many

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unetsharp.network.checkpoint import Checkpoint

KEY = "unetsharp"
DOUBT = "doubt"
CORRECTED = "Corrected"

# Clear below 0.08 and at most half opaque, so that tissue stays readable beneath (design/workflow, colours).
MAP_COLOURS = Colormap(
    colors=np.array([[0.75, 1, 0, 0], [0.75, 1, 0, 0], [0.75, 1, 0, 0.5]]), controls=[0, 0.08, 1], name="lime"
)
DOUBT_COLOURS = Colormap(
    colors=np.array([[0.84, 0.37, 0, 0], [0.84, 0.37, 0, 0], [0.84, 0.37, 0, 0.8]]), controls=[0, 0.1, 1], name="doubt"
)


def level_title(level: int) -> str:
    """Name of the labels layer of a level."""
    return f"L{level} · nuclei"


class ResultLayers:
    """Layers over the arrays of one `Results`, in one viewer.

    Parameters
    ----------
    viewer : ViewerModel
    source : Image layer
        Every result layer gets its scale, translate, rotate, shear, affine, units and axis labels.
    results : Results
        Its arrays are the layers' data: filling them and calling `refresh` is all there is to do.

    Attributes
    ----------
    layers : dict of str to Layer
        By key: node names for maps, ``L1`` to ``L4`` for labels, ``doubt``.
    """

    def __init__(self, viewer: ViewerModel, source: ImageLayer, results: Results) -> None:
        self._viewer = ref(viewer)
        self.results = results
        self.layers: dict[str, Layer] = {}
        self._checkpoint: Checkpoint
        self._threshold, self._level = 0.5, 4
        self._source = ref(source)

    @property
    def viewer(self) -> ViewerModel:
        """The window's viewer, which is not kept alive from here."""
        viewer = self._viewer()
        if viewer is None:
            raise SettingsError("the window was closed")
        return viewer

    @property
    def level(self) -> int:
        """The level that the last run was asked for."""
        return self._level

    @property
    def source(self) -> ImageLayer | None:
        """The image layer, or None once it is gone."""
        layer = self._source()
        return layer if layer is not None and layer in self.viewer.layers else None

    def show(self, checkpoint: Checkpoint, level: int, threshold: float) -> None:
        """Bring the layers up to date; those that are missing are added by `add_next`, one per call.

        Parameters
        ----------
        checkpoint : Checkpoint
            Its name and hash go into the layers' metadata.
        level : int
            The chosen level: only its nuclei are visible at first.
        threshold : float
        """
        self.drop_removed()
        self._checkpoint, self._threshold, self._level = checkpoint, threshold, level
        wanted = self._wanted()
        for key in set(self.layers) - set(wanted):
            remove_layer(self.viewer, self.layers.pop(key))
        for key, layer in self.layers.items():
            if layer.data is not wanted[key]:
                layer.data = wanted[key]
                if isinstance(layer, Labels):
                    layer.editable = False
            if (source := self.source) is not None:
                _align(layer, source)
            layer.metadata[KEY] = self._description(key)
        self.show_only_level(level)

    def add_next(self) -> bool:
        """Add one missing layer, the chosen level's first; True while more are missing.

        Each costs napari some tens of milliseconds, so they are not added all at once.
        """
        self.drop_removed()
        wanted = self._wanted()
        first = (f"x0{self._level}", f"L{self._level}")
        missing = [key for key in (*first, *wanted) if key in wanted and key not in self.layers]
        if not missing or self.source is None:
            return False
        selection, active = set(self.viewer.layers.selection), self.viewer.layers.selection.active
        self.layers[missing[0]] = self._add(missing[0], wanted[missing[0]])
        self.viewer.layers.selection = {layer for layer in selection if layer in self.viewer.layers}
        self.viewer.layers.selection.active = active if active in self.viewer.layers else self.source
        return len(set(missing)) > 1

    def refresh(self, keys: set[str] | None = None) -> None:
        """Redraw the layers that are visible (all of ours, or those named)."""
        for key, layer in self.layers.items():
            if (keys is None or key in keys) and layer.visible and layer in self.viewer.layers:
                layer.refresh()

    def show_only_level(self, level: int) -> None:
        """Make one level's nuclei visible and hide the other levels'."""
        for other in LEVELS:
            layer = self.layers.get(f"L{other}")
            if layer is not None:
                layer.visible = other == level

    def set_threshold(self, threshold: float) -> None:
        """Note another threshold in the layers' metadata."""
        self._threshold = threshold
        for key, layer in self.layers.items():
            layer.metadata[KEY] = self._description(key)

    @property
    def checkpoint(self) -> Checkpoint:
        """What computed the results."""
        return self._checkpoint

    def remove_all(self) -> None:
        """Take our layers out of the viewer."""
        with removing_many(self.viewer):
            for layer in self.layers.values():
                remove_layer(self.viewer, layer)
        self.layers.clear()

    def drop_removed(self) -> None:
        """Forget layers that were deleted from the viewer."""
        self.layers = {key: layer for key, layer in self.layers.items() if layer in self.viewer.layers}

    def edit_copy(self, level: int) -> Labels:
        """Add *Corrected*, an editable copy of a level's nuclei that can't be deleted by accident.

        Never touches an earlier *Corrected*: napari numbers the names.
        """
        original = self.layers[f"L{level}"]
        copy = Labels(np.array(original.data), name=CORRECTED, metadata={KEY: dict(original.metadata[KEY])})
        copy.metadata[KEY]["kind"] = "corrected"
        _align(copy, original)
        self.viewer.add_layer(copy)
        copy.locked = True
        original.visible = False
        self.viewer.layers.selection.active = copy
        return copy

    def thumbnail(self, node: str, index: Index, side: int) -> np.ndarray | None:
        """A map shrunk to about side x side for the drawing, uint8 0..255, or None if not computed."""
        array = self.results.maps.get(node)
        if array is None:
            return None
        plane = array[index]
        step = max(1, -(-max(plane.shape) // side))
        return np.asarray(np.clip(plane[::step, ::step].astype(np.float32) * 255, 0, 255), dtype=np.uint8)

    def _wanted(self) -> dict[str, np.ndarray]:
        """Arrays by key, in the order in which they are stacked (maps below labels)."""
        wanted: dict[str, np.ndarray] = {}
        if len(self.results.maps) > 1:
            wanted[DOUBT] = self.results.doubt
        for node in reversed(BRANCHES):
            if node in self.results.maps:
                wanted[node] = self.results.maps[node]
        for level in LEVELS:
            if level in self.results.labels:
                wanted[f"L{level}"] = self.results.labels[level]
        return wanted

    def _add(self, key: str, array: np.ndarray) -> Layer:
        source = self.source
        place: dict[str, Any] = {} if source is None else {name: getattr(source, name) for name in _PLACE}
        place["metadata"] = {KEY: self._description(key)}
        if key.startswith("L"):
            visible = key == f"L{self._level}"
            layer: Layer = Labels(array, name=level_title(int(key[1:])), opacity=0.9, visible=visible, **place)
            layer.contour = 2
            layer.editable = False
        else:
            title, colours = (DOUBT, DOUBT_COLOURS) if key == DOUBT else (BRANCHES[key].title, MAP_COLOURS)
            layer = ImageLayer(
                array,
                name=title,
                colormap=colours,
                contrast_limits=(0, 1),
                blending="translucent",
                visible=False,
                **place,
            )
        self.viewer.layers.insert(self._position(key), layer)
        return layer

    def _position(self, key: str) -> int:
        """Above the image and our layers that belong below, beneath *Corrected* and what the person put on top."""
        order = list(self._wanted())
        below = [self.layers[other] for other in order[: order.index(key)] if other in self.layers]
        if self.source is not None:
            below.append(self.source)
        places = [self.viewer.layers.index(layer) for layer in below if layer in self.viewer.layers]
        return max(places) + 1 if places else len(self.viewer.layers)

    def _description(self, key: str) -> dict[str, Any]:
        node = f"x0{key[1:]}" if key.startswith("L") else key
        return {
            "kind": "labels" if key.startswith("L") else "doubt" if key == DOUBT else "probability",
            "checkpoint": self._checkpoint.metadata.name,
            "sha256": self._checkpoint.metadata.sha256,
            "node": node if node in BRANCHES else "",
            "level": BRANCHES[node].level if node in BRANCHES else max(self.results.levels, default=0),
            "threshold": self._threshold,
            "version": __version__,
            "classes": list(self._checkpoint.metadata.class_names),
        }


_PLACE = ("scale", "rotate", "shear", "translate", "affine", "units", "axis_labels")


def _align(layer: Layer, source: Layer) -> None:
    """Put a layer where its image is; each change redraws, so only differences are set."""
    for name in _PLACE:
        value: Any = getattr(source, name)
        if str(getattr(layer, name)) != str(value):
            setattr(layer, name, value)
