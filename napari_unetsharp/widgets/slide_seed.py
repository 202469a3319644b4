"""What a run over a slide found in a region, as what a review of the region starts from. No Qt, no napari."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.reviewed import RIM
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.slide_region import SlideRegion

if TYPE_CHECKING:
    from napari_unetsharp.images.image import Image
    from napari_unetsharp.slides.nuclei import SlideNucleus
    from napari_unetsharp.slides.store import SlideStore

STATES = {"accepted": State.RIGHT, "edited": State.CHANGED, "added": State.CHANGED}
"""Answers of other regions, by what the results call them."""


def material_of_slide(region: SlideRegion, image: Image, store: SlideStore) -> Material | None:
    """Nuclei, probability and doubt of a region, from the results of a run over its slide.

    The nuclei are numbered from 1: the numbers of a slide's results leave gaps of millions, and what a person says
    finds its way back by place. What they said of them in another region holds here too. A nucleus of which more than
    half lies beyond the border is none of this region: its pixels are ignored.

    Parameters
    ----------
    region : SlideRegion
    image : Image
        Of the region.
    store : SlideStore

    Returns
    -------
    Material or None
        None where the run found nothing here, or ran over another plane.
    """
    if tuple(store.about.plane) != region.plane:
        return None
    box = _around(region.box, store)
    kept = store.read_labels(box)
    known, places, counts = np.unique(kept, return_inverse=True, return_counts=True)
    inside = dict(zip(known.tolist(), (counts * store.about.downsample**2).tolist(), strict=True))
    nuclei = [nucleus for nucleus in store.nuclei(box) if nucleus.id in inside]
    whole = {nucleus.id for nucleus in nuclei if 2 * inside[nucleus.id] >= nucleus.area}
    if not whole:
        return None
    here = {id_: number for number, id_ in enumerate(sorted(whole), start=1)}
    numbers = np.array([here.get(id_, 0) for id_ in known.tolist()], np.int32)
    labels = _at_region(numbers[places.reshape(kept.shape)], box, region, store)
    slivers = _at_region(np.isin(kept, list(inside.keys() - here.keys() - {0})), box, region, store)
    nuclei = [nucleus for nucleus in nuclei if nucleus.id in here]
    level, name = int(store.about.level), f"nuclei of the slide, depth {store.about.level}"
    probability = _at_region(store.probability.read(box).astype(np.float16) / np.float16(255), box, region, store)
    probability[ndimage.binary_dilation(slivers, iterations=RIM) & (labels == 0)] = 0  # nor is it a possible miss
    return Material(
        image.plane(), labels, {f"x0{level}": probability},
        {level: labels}, level, _doubt(nuclei, here, labels), str(store.about.checkpoint_sha256), name,
        known={"nuclei": _answered(nuclei, here, labels), "ignored": slivers},
        computed=_computed(region, store), of_slide=True,
    )  # fmt: skip


def _answered(nuclei: list[SlideNucleus], here: dict[int, int], labels: NDArray[np.int32]) -> dict[int, Nucleus]:
    """What a person said of them, in this region or in another one."""
    present = set(np.unique(labels).tolist())
    said = {here[nucleus.id]: STATES[nucleus.state] for nucleus in nuclei if nucleus.state in STATES}
    return {id_: Nucleus(id_, state) for id_, state in said.items() if id_ in present}


def _around(box: Box, store: SlideStore) -> Box:
    """All pixels of the results that a box of level 0 touches."""
    step = int(store.about.downsample)
    touched = Box(box.top // step, box.left // step, -(-box.bottom // step), -(-box.right // step))
    return touched.grown(0, store.grid.shape)


def _at_region(plane: NDArray[Any], box: Box, region: SlideRegion, store: SlideStore) -> NDArray[Any]:
    """A plane of the results at full resolution, cut to the region."""
    step = int(store.about.downsample)
    fine = plane if step == 1 else plane.repeat(step, 0).repeat(step, 1)
    row, column = region.box.top - box.top * step, region.box.left - box.left * step
    height, width = region.box.shape
    return np.ascontiguousarray(fine[row : row + height, column : column + width])


def _doubt(nuclei: list[SlideNucleus], here: dict[int, int], labels: NDArray[np.int32]) -> NDArray[np.float16]:
    """What the run said of each nucleus, on its pixels."""
    values = np.zeros(len(here) + 1, np.float16)
    for nucleus in nuclei:
        values[here[nucleus.id]] = nucleus.doubt
    return values[labels]


def _computed(region: SlideRegion, store: SlideStore) -> NDArray[np.bool_]:
    """Where the run has been: whole blocks."""
    box = _around(region.box, store)
    there = np.zeros(box.shape, bool)
    for row, column in store.grid.meeting(box):
        if store.painted[row, column]:
            own = store.grid.own(row, column)
            there[
                max(0, own.top - box.top) : max(0, own.bottom - box.top),
                max(0, own.left - box.left) : max(0, own.right - box.left),
            ] = True
    return np.asarray(_at_region(there, box, region, store), bool)
