"""Somebody who knows the truth goes through the cards of a field, one by one, and answers as Review lets them.

A proposal that matches a true nucleus well (IoU of 0.8) is accepted with its own outline. One that meets a true nucleus
nobody has answered yet gets that nucleus's outline (redrawn); any other is declared none. A possible miss that lies on
a true nucleus adds it. Nothing else is known to what is learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.deck import Deck, deal
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.nuclei.order import one_by_one
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.training.reviewed_sample import ReviewedSample

GOOD = 0.8
"""IoU from which a person leaves an outline as it is."""
MET = 0.1
"""Share of a true nucleus that a proposal covers at least where it is redrawn rather than declared none."""


@dataclass
class Reviewed:
    """What came of it.

    Attributes
    ----------
    sample : ReviewedSample
    accepted, redrawn, added, rejected : int
    """

    sample: ReviewedSample
    accepted: int = 0
    redrawn: int = 0
    added: int = 0
    rejected: int = 0

    @property
    def true(self) -> int:
        """Nuclei that are ones."""
        return self.accepted + self.redrawn + self.added

    @property
    def corrections(self) -> int:
        """Answers that changed something."""
        return self.redrawn + self.added + self.rejected


def proposals(predictor: Predictor, pixels: NDArray[Any]) -> tuple[Deck, NDArray[np.int32]]:
    """What Find gives and Review deals, at the predictor's depth."""
    prediction, level = predictor.predict(pixels), predictor.level
    levels = {
        depth: label_nuclei(prediction.full[f"x0{depth}"], LabelSettings(), prediction.cores.get(f"x0{depth}"))
        for depth in range(1, level + 1)
    }
    return deal(prediction.full, levels, level, prediction.doubt), levels[level]


def order_of(deck: Deck, order: str, seed: int) -> list[int]:
    """Cards as the queue serves them, or drawn."""
    if order == "random":
        return np.random.default_rng(seed).permutation(len(deck)).tolist()
    return one_by_one(deck.doubt, deck.centres, share=1.0).cards.tolist()


def review(
    name: str, pixels: NDArray[Any], truth: NDArray[np.int32], deck: Deck, labels: NDArray[np.int32],
    order: list[int], count: int, only_true: bool = False,
) -> Reviewed:  # fmt: skip
    """Answer cards until so many are reviewed: accepted, redrawn, added, and unless `only_true` declared none."""
    corrected, rejected = labels.copy(), np.zeros_like(labels)
    states: dict[int, Nucleus] = {}
    answered: set[int] = set()
    areas = np.bincount(truth.ravel())
    told = Reviewed(ReviewedSample(name, pixels, labels, labels > 0))
    free = int(labels.max()) + 1
    for index in order:
        if (told.true if only_true else len(states)) >= count:
            break
        id_ = int(deck.ids[index])
        mask = labels == id_ if id_ else _mask_of(deck, index, labels.shape)
        if not (corrected[mask] == id_).any():
            continue  # an answer before took it
        true, iou, share = _nearest(truth, mask, areas, answered)
        if id_ and iou >= GOOD:
            states[id_] = Nucleus(id_, State.RIGHT)
            told.accepted += 1
        elif true and (share >= MET if id_ else iou >= 0.3):
            number = id_ or free
            free += 0 if id_ else 1
            if id_:
                corrected[corrected == id_] = 0
            own = (truth == true) & ~np.isin(corrected, list(states))
            if not own.any():
                continue
            corrected[own] = number
            states[number] = Nucleus(number, State.CHANGED)
            told.redrawn += bool(id_)
            told.added += not id_
        elif id_:
            rejected[corrected == id_] = id_
            corrected[corrected == id_] = 0
            states[id_] = Nucleus(id_, State.NOT)
            told.rejected += 1
            continue
        else:
            continue  # no nucleus there: nothing is learned of a possible miss that was none
        answered.add(true)
    there = set(np.unique(corrected).tolist()) | set(np.unique(rejected).tolist())
    states = {id_: nucleus for id_, nucleus in states.items() if id_ in there}
    findings = Findings.start(corrected, states, rejected=rejected)
    told.sample = ReviewedSample.of_findings(name, pixels, findings, "simulated review")
    return told


def _mask_of(deck: Deck, index: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    card = deck.card(index)
    mask = np.zeros(shape, bool)
    mask[card.box.slices] = card.parts > 0
    return mask


def _nearest(
    truth: NDArray[np.int32], mask: NDArray[np.bool_], areas: NDArray[np.intp], answered: set[int]
) -> tuple[int, float, float]:
    """The true nucleus, not answered yet, that shares the most with a mask: its id, IoU, and share covered."""
    shared = np.bincount(truth[mask], minlength=len(areas))
    shared[[0, *answered]] = 0
    true = int(shared.argmax())
    if not shared[true]:
        return 0, 0.0, 0.0
    return true, float(shared[true] / (areas[true] + mask.sum() - shared[true])), float(shared[true] / areas[true])
