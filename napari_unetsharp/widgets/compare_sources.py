"""What can be compared on the open image: the last run, other models, Corrected, layers of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unetsharp.comparison.candidate import AVERAGE, view_name
from napari_unetsharp.errors import ImageError, SettingsError
from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.results import Index, Results
from napari_unetsharp.network.checkpoint import SHIPPED, Checkpoint
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.instances import LabelSettings
from napari_unetsharp.training.versions import ENDING, models_folder
from napari_unetsharp.widgets.compare_drawn import Drawn, of_labels, of_maps, of_review
from napari_unetsharp.widgets.layers import KEY
from napari_unetsharp.widgets.slide_layers import is_slide
from napari_unetsharp.widgets.source import image_from_layer, plane_on_screen

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage

RUN, CORRECTED, OF_SLIDE, LAYER, MODEL = "run", "corrected", "of slide", "layer ", "model "
"""Beginnings of the keys of sources."""

VIEWS = (*reversed([node for node in BRANCHES if BRANCHES[node].scale == 1]),
         *(node for node in BRANCHES if BRANCHES[node].scale > 1), AVERAGE)  # fmt: skip
"""Views in the order in which they are offered: fullest depth first, then coarse to coarser, then their average."""


class Choice(NamedTuple):
    """One thing to look at: where it comes from, and which view of it ("" for labels)."""

    source: str
    node: str = ""


@dataclass(frozen=True)
class Source:
    """Something that gives nuclei of the plane on screen.

    Attributes
    ----------
    key, title : str
        Title is on screen.
    nodes : tuple of str
        Views that it can give; empty for labels.
    ready : frozenset of str
        Those that are here already.
    corrected : bool
        A person corrected it.
    """

    key: str
    title: str
    nodes: tuple[str, ...] = ()
    ready: frozenset[str] = frozenset()
    corrected: bool = False


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane on screen."""

    layer: ImageLayer
    image: Image
    index: Index

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.image.plane_shape


class Sources:
    """Looks up what is there.

    Parameters
    ----------
    viewer : napari.Viewer
    find : FindStage
    review : ReviewStage

    Attributes
    ----------
    plane : Plane or None
    passes : dict of str to Results
        By key of the source: what was computed for comparing only.
    checkpoints : dict of str to Checkpoint
        By key of the source, as far as they were loaded.
    area : array of bool, (Y, X), or None
        Where the network ran; None for everywhere.
    """

    def __init__(self, viewer: Viewer, find: FindStage, review: ReviewStage) -> None:
        self._viewer, self._find, self._review = ref(viewer), find, review
        self.plane: Plane | None = None
        self.passes: dict[str, Results] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.area: NDArray[np.bool_] | None = None
        self.known: dict[str, Source] = {}
        self._turn = 0
        self._passed_on: Any = None

    def look(self) -> None:
        """Look at the image, its plane on screen and all layers anew.

        Raises
        ------
        ImageError
            If the layer holds nothing that can be segmented, or is a whole slide.
        """
        viewer, layer = self._viewer(), self._find.layer
        self.known, self.area, self.plane = {}, None, None
        self._turn += 1
        if viewer is None or layer is None or layer not in viewer.layers:
            return
        if is_slide(layer):
            raise ImageError("A slide is compared region by region: zoom in, then press Work on this region above")
        if self._passed_on is None or self._passed_on() is not layer:
            self.passes.clear()
            self._passed_on = ref(layer)
        plane = self.plane = Plane(layer, image_from_layer(layer), plane_on_screen(viewer, layer))
        run = self._run()
        covering = run or next((made for made in self.passes.values() if plane.index in made.planes_computed()), None)
        computed = None if covering is None else covering.computed(plane.index)
        self.area = None if computed is None or computed.all() else computed
        sources = [self._corrected(), self._of_run(run), self._of_slide(plane), *self._layers(viewer), *self._models()]
        self.known = {source.key: source for source in sources if source is not None}

    def forget_passes(self) -> None:
        """The network was run again: what was computed for comparing may be of another part, or another scale."""
        self.passes.clear()

    @property
    def labels_ready(self) -> bool:
        """Whether anything can be shown without the network."""
        return any(source.ready or not source.nodes for source in self.known.values())

    def is_ready(self, choice: Choice) -> bool:
        """Whether a choice can be shown without the network."""
        source = self.known.get(choice.source)
        return source is not None and (choice.node in source.ready or not source.nodes)

    def model_of(self, choice: Choice) -> str:
        """Name or path of the model behind a choice; empty for labels."""
        if choice.source.startswith(MODEL):
            return choice.source.removeprefix(MODEL)
        return self._path_of_run() if choice.source == RUN else ""

    def name(self, choice: Choice, several_models: bool) -> str:
        """On screen."""
        source = self.known.get(choice.source)
        if source is None or not choice.node:
            return choice.source if source is None else source.title
        checkpoint = self.checkpoints.get(choice.source)
        model = checkpoint.metadata.name if checkpoint is not None else source.title
        return view_name(choice.node, model if several_models else "")

    def key(self, choice: Choice, settings: LabelSettings) -> tuple[Any, ...]:
        """What the nuclei of a choice depend on: equal keys, equal nuclei."""
        if choice.node:
            return choice, settings, id(self.results_of(choice)), None if self.plane is None else self.plane.index
        return choice, self._turn

    def maker(self, choice: Choice, settings: LabelSettings) -> Callable[[], Drawn]:
        """A function that gives the nuclei of a choice; it may run in a thread.

        Raises
        ------
        SettingsError
            If they need the network first, or are gone.
        """
        plane, source = self.plane, self.known.get(choice.source)
        if plane is None or source is None or not self.is_ready(choice):
            raise SettingsError(f"{self.name(choice, True)} isn't here; compute it, or choose another one")
        results = self.results_of(choice)
        if results is not None:
            return of_maps(results, plane.index, choice.node, settings)
        regions = self._review.regions
        if choice.source == OF_SLIDE and (material := regions.materials.untouched(plane.layer)) is not None:
            return of_labels(material.labels, self.area)
        if choice.source == CORRECTED and (reviewed := self._review.reviewed) is not None:
            return of_review(reviewed.review.findings, self.area)
        return of_labels(self._labels_of(choice.source.removeprefix(LAYER), plane), self.area)

    # what there is

    def _run(self) -> Results | None:
        found = self._find.results.get(self.plane.layer) if self.plane is not None else None
        if found is None or self.plane is None or self.plane.index not in found.results.planes_computed():
            return None
        self.checkpoints[RUN] = found.checkpoint
        return found.results if found.results.maps else None

    def results_of(self, choice: Choice) -> Results | None:
        """Where the maps of a choice are; None for labels, and for what needs a pass."""
        run = self._run() if choice.source == RUN else None
        if run is not None and choice.node in _ready(run, self._heads(RUN)):
            return run
        return self._pass_of(choice.source) if choice.node else None

    def _pass_of(self, key: str) -> Results | None:
        """What was computed for comparing, if it covers the area."""
        results, plane = self.passes.get(key), self.plane
        if results is None or plane is None or plane.index not in results.planes_computed():
            return None
        missing = ~results.computed(plane.index)
        if self.area is not None:
            missing &= self.area
        return None if missing.any() else results

    def _heads(self, key: str) -> tuple[str, ...]:
        checkpoint = self.checkpoints.get(key)
        return tuple(BRANCHES) if checkpoint is None else tuple(checkpoint.config.heads)

    def _of_run(self, run: Results | None) -> Source | None:
        if run is None:
            return None
        heads = self._heads(RUN)
        ready = _ready(run, heads)
        passed = self._pass_of(RUN)
        if passed is not None:
            ready |= _ready(passed, heads)
        can_run = bool(self._path_of_run())
        nodes = tuple(node for node in VIEWS if node in ready or (can_run and (node in heads or node == AVERAGE)))
        return Source(RUN, self.checkpoints[RUN].metadata.name, nodes, ready)

    def _path_of_run(self) -> str:
        """Name or path of the model that the last run used; empty where it isn't offered any more."""
        checkpoint = self.checkpoints.get(RUN)
        if checkpoint is None:
            return ""
        name, chosen = checkpoint.metadata.name, str(self._find.form.model.value or "")
        fitting = [path for path in self._paths() if _stem(path) == name]
        return chosen if chosen in fitting else next(iter(fitting), "")

    def _paths(self) -> dict[str, str]:
        """Title by name or path of every model that a person can choose."""
        titles = {path: title for title, path in self._find.models.choices()}
        here = {Path(path).resolve() for path in titles}
        kept = sorted(models_folder().glob(f"*{ENDING}"))
        return titles | {
            str(path): path.stem for path in kept if path.resolve() not in here and not path.name.startswith(".")
        }

    def _models(self) -> list[Source]:
        own, sources = self._path_of_run() if RUN in self.known or self._run() is not None else "", []
        for path, title in self._paths().items():
            if path == own:
                continue
            key = MODEL + path
            heads, passed = self._heads(key), self._pass_of(key)
            ready = frozenset[str]() if passed is None else _ready(passed, heads)
            nodes = tuple(node for node in VIEWS if node in heads or node == AVERAGE)
            sources.append(Source(key, title.removesuffix(" (shipped)"), nodes, ready))
        return sources

    def _corrected(self) -> Source | None:
        subject, plane = self._review.subject, self.plane
        if plane is None or subject is None or self._review.reviewed is None:
            return None
        same = subject.layer is plane.layer and subject.index == plane.index
        return Source(CORRECTED, "Corrected", corrected=True) if same else None

    def _of_slide(self, plane: Plane) -> Source | None:
        """What a run over the slide found in a region, while nobody corrected any of it."""
        material = self._review.regions.materials.untouched(plane.layer)
        return None if material is None else Source(OF_SLIDE, f"{material.source[:1].upper()}{material.source[1:]}")

    def _layers(self, viewer: Viewer) -> list[Source]:
        plane = self.plane
        if plane is None:
            return []
        fitting = [layer for layer in viewer.layers if _is_offered(layer) and _fits(layer, plane)]
        return [
            Source(f"{LAYER}{layer.unique_id}", f"layer {layer.name}", corrected=KEY in layer.metadata)
            for layer in fitting
        ]  # our own that are offered are copies to edit

    def _labels_of(self, identity: str, plane: Plane) -> NDArray[Any]:
        viewer = self._viewer()
        for layer in () if viewer is None else viewer.layers:
            if str(layer.unique_id) == identity:
                data = np.asarray(layer.data)
                return np.array(data if data.ndim == 2 else data[plane.index])
        raise SettingsError("that layer was removed; choose another one")


def _ready(results: Results, heads: tuple[str, ...]) -> frozenset[str]:
    """Views that are here; the average of views needs all of them."""
    ready = frozenset(results.maps)
    return ready | {AVERAGE} if len(ready) > 1 and ready >= set(heads) else ready


def _stem(path: str) -> str:
    return path if path in SHIPPED else Path(path).stem


def _is_offered(layer: Any) -> bool:
    described = layer.metadata.get(KEY)
    ours = isinstance(described, dict) and described.get("kind") != "corrected"
    return isinstance(layer, Labels) and not layer.multiscale and not ours


def _fits(layer: Labels, plane: Plane) -> bool:
    shape = tuple(layer.data.shape)
    return shape in {plane.shape, (*plane.image.stack_shape, *plane.shape)}


def level_for(node: str, heads: tuple[str, ...]) -> int:
    """Smallest depth that computes a view; for the average of views, the fullest that the model has."""
    if node in BRANCHES:
        return BRANCHES[node].level
    return max(BRANCHES[name].level for name in heads) if heads else max(BRANCHES[name].level for name in BRANCHES)
