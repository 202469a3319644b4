"""What the table, the plot and the report get: candidates, the truth, the picture, the spacing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray
from pint import DimensionalityError

from napari_unetsharp.comparison.candidate import Candidate, choose_truth
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.compare_drawn import Drawn
from napari_unetsharp.widgets.compare_sources import CORRECTED, VIEWS, Choice, Plane, Sources

DEEP = BRANCHES["x40"]


def counted(known: Sources, chosen: Iterable[Choice]) -> list[Choice]:
    """What is counted: what is chosen, and all depths of the models among it, as far as they are here.

    Parameters
    ----------
    known : Sources
    chosen : iterable of Choice
    """
    chosen = set(chosen)
    models = {choice.source for choice in chosen if choice.node}
    depths = {Choice(model, node) for model in models for node in VIEWS if BRANCHES.get(node, DEEP).scale == 1}
    wanted = chosen | depths | {Choice(CORRECTED)}
    offered = [Choice(key, node) for key, source in known.known.items() for node in source.nodes or ("",)]
    return [choice for choice in offered if choice in wanted and known.is_ready(choice)]


def candidates_of(
    sources: Sources, choices: Iterable[Choice], drawn: Mapping[Choice, Drawn], several_models: bool
) -> dict[Choice, Candidate]:
    """Candidates by choice, in order; those whose nuclei aren't there yet are left out.

    Parameters
    ----------
    sources : Sources
    choices : iterable of Choice
    drawn : mapping of Choice to Drawn
    several_models : bool
        Say the models in the names.
    """
    made: dict[Choice, Candidate] = {}
    taken: set[str] = set()
    for choice in choices:
        nuclei, checkpoint = drawn.get(choice), sources.checkpoints.get(choice.source) if choice.node else None
        if nuclei is None:
            continue
        name = sources.name(choice, several_models)
        while name in taken:
            name += " (2)"
        taken.add(name)
        model, digest = ("", "") if checkpoint is None else (checkpoint.metadata.name, checkpoint.metadata.sha256)
        source = sources.known.get(choice.source)
        corrected = source is not None and source.corrected
        made[choice] = Candidate(
            name, nuclei.labels, nuclei.mask, choice.node, model, digest, corrected, nuclei.seen
        )  # fmt: skip
    return made


def truth_of(made: Mapping[Choice, Candidate], first: Choice) -> Candidate | None:
    """What the others are compared with: Corrected, else labels that stand as A, else the fullest depth.

    Parameters
    ----------
    made : mapping of Choice to Candidate
    first : Choice
        A.
    """
    labels = made.get(first) if not first.node else None
    corrected = [candidate for choice, candidate in made.items() if choice.source == CORRECTED]
    return next(iter(corrected), labels) or choose_truth(list(made.values()))


def spacing_of(layer: ImageLayer) -> tuple[float, float] | None:
    """Height and width of a pixel in micrometres; None where the image doesn't say."""
    try:
        down, across = (
            float((abs(float(step)) * unit).to("micrometer").magnitude)
            for step, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True)
        )
    except DimensionalityError:
        return None
    return down, across


def picture_of(plane: Plane) -> Callable[[], NDArray[np.uint8]]:
    """The plane as napari draws it, (Y, X, 3); made when it is asked for, which may be in a thread."""
    layer, image, index = plane.layer, plane.image, plane.index
    if layer.rgb:
        return lambda: _bytes(np.asarray(image.plane(index)[..., :3]))
    low, high = (float(limit) for limit in layer.contrast_limits)
    colours: Any = np.asarray(layer.colormap.map(np.linspace(0, 1, 256, dtype=np.float32)))[:, :3]
    table, gamma = np.asarray(colours * 255, np.uint8), float(layer.gamma)

    def make() -> NDArray[np.uint8]:
        values = np.asarray(image.plane(index)[..., 0], np.float32)
        share = np.clip((values - low) / max(1e-9, high - low), 0, 1) ** gamma
        return np.asarray(table[(share * 255).astype(np.uint8)])

    return make


def _bytes(colours: NDArray[Any]) -> NDArray[np.uint8]:
    if colours.dtype == np.uint8:
        return colours
    largest = np.iinfo(colours.dtype).max if colours.dtype.kind == "u" else 1.0
    return np.asarray(np.clip(colours / largest, 0, 1) * 255, np.uint8)
