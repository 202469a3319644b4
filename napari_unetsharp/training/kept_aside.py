"""What is kept aside for testing: whole images, or a quarter of a single one, with a gap that belongs to neither."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetsharp.training.reviewed_sample import ReviewedSample

SHARE = 0.25
"""Of the reviewed nuclei."""
FEWEST = 8
"""With fewer reviewed nuclei all of them are needed to learn from."""
SIDES = ("left", "right", "top", "bottom")
"""Of an image, for a person who wants another quarter kept aside than the one that was chosen."""
GAP = 16
"""Pixels, at least, between what teaches and what tests; a nucleus across it belongs to neither."""


@dataclass(frozen=True)
class Split:
    """Samples to learn from, and to test on.

    Attributes
    ----------
    training, aside : list of ReviewedSample
        A single image that was divided is in both, with other pixels reviewed.
    words : str
        What was kept aside and why, one sentence.
    divided : str
        Side of the single image that was divided; empty where whole images, or nothing, are kept aside.
    """

    training: list[ReviewedSample]
    aside: list[ReviewedSample]
    words: str
    divided: str = ""

    @property
    def everything(self) -> list[ReviewedSample]:
        """All parts."""
        return [*self.training, *self.aside]


def split(samples: list[ReviewedSample], seed: int = 0, quarter: str = "") -> Split:
    """Keep a part aside, as the samples say themselves or automatically.

    Parameters
    ----------
    samples : list of ReviewedSample
        Where one of them says ``"aside"`` nothing is chosen automatically, and the others are learned from.
    seed : int
    quarter : str, optional
        Side of a single image that is kept aside, of `SIDES`; by default the one that loses the fewest nuclei.

    Returns
    -------
    Split
    """
    chosen = [sample for sample in samples if sample.part == "aside"]
    free = [sample for sample in samples if sample.part == "auto"]
    if chosen:
        rest = [replace(sample, part="train") for sample in samples if sample.part != "aside"]
        return Split(rest, chosen, f"{_counted(chosen)} kept aside as chosen")
    if sum(len(sample.nuclei) for sample in samples) < FEWEST or not free:
        why = f"fewer than {FEWEST} nuclei are reviewed" if free else "all samples were chosen to learn from"
        return Split(
            [replace(sample, part="train") for sample in samples], [], f"nothing is kept aside for testing: {why}"
        )
    groups = sorted({sample.group or sample.name for sample in samples})
    if len(groups) > 1:
        names = _groups_aside(samples, sorted({sample.group or sample.name for sample in free}), seed)
        if names:
            return _by_group(samples, names)
    return _of_largest(samples, free, (quarter,) if quarter else SIDES)


def _groups_aside(samples: list[ReviewedSample], groups: list[str], seed: int) -> set[str]:
    """Groups that together hold about a quarter of the nuclei, as near as a seeded order finds; never all of them."""
    nuclei = dict.fromkeys(groups, 0)
    for sample in samples:
        if (sample.group or sample.name) in nuclei:
            nuclei[sample.group or sample.name] += len(sample.nuclei)
    total = sum(len(sample.nuclei) for sample in samples)
    wanted, names, count = SHARE * total, set[str](), 0
    order = [group for group in groups if nuclei[group]]
    random.Random(seed).shuffle(order)
    for group in order:
        nearer = abs(count + nuclei[group] - wanted) < abs(count - wanted)
        if nearer and count + nuclei[group] < total:
            names.add(group)
            count += nuclei[group]
    return names


def _by_group(samples: list[ReviewedSample], names: set[str]) -> Split:
    inside = [sample for sample in samples if sample.part == "auto" and (sample.group or sample.name) in names]
    rest = [sample for sample in samples if not any(sample is other for other in inside)]
    aside = [replace(sample, part="aside") for sample in inside]
    shown = f"{len(aside)} image{'s' if len(aside) > 1 else ''} with {_counted(aside)} kept aside for testing"
    return Split([replace(sample, part="train") for sample in rest], aside, shown)


def _of_largest(samples: list[ReviewedSample], free: list[ReviewedSample], sides: tuple[str, ...]) -> Split:
    """A quarter of the image with the most reviewed nuclei."""
    largest = max(free, key=lambda sample: len(sample.nuclei))
    rest = [replace(sample, part="train") for sample in samples if sample is not largest]
    divided = _divided(largest, sides)
    if divided is None:
        why = "the reviewed nuclei lie too close together"
        return Split([*rest, replace(largest, part="train")], [], f"nothing is kept aside for testing: {why}")
    train, aside, side = divided
    words = f"the {side} quarter of {largest.name} with {_counted([aside])} kept aside for testing"
    return Split([*rest, train], [aside], words, side)


def _divided(
    sample: ReviewedSample, sides: tuple[str, ...]
) -> tuple[ReviewedSample, ReviewedSample, str] | None:  # fmt: skip
    """Cut at one of the sides: the one that leaves about a quarter aside and loses the fewest nuclei."""
    centres = np.array(ndimage.center_of_mass(np.ones(sample.labels.shape), sample.labels, sample.nuclei))
    gap = max(GAP, round(sample.diameter or 0))
    best: tuple[ReviewedSample, ReviewedSample, str] | None = None
    best_score = np.inf
    for side in sides:
        axis, last = int(side in {"left", "right"}), side in {"right", "bottom"}
        cut = float(np.quantile(centres[:, axis], 1 - SHARE if last else SHARE))
        inside, outside = _sides(sample.labels.shape, axis, cut, gap, last)
        train, aside = sample.only(outside, "train"), sample.only(inside, "aside")
        kept = [len(part.nuclei) for part in (train, aside)]
        if min(kept) < 1:
            continue
        score = abs(kept[1] - SHARE * sum(kept)) + len(sample.nuclei) - sum(kept)
        if score < best_score:
            best, best_score = (train, aside, side), score
    return best


def _sides(
    shape: tuple[int, ...], axis: int, cut: float, gap: int, last: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels beyond and before a cut, without the gap around it."""
    places = np.arange(shape[axis], dtype=float)
    low, high = places < cut - gap / 2, places > cut + gap / 2
    inside, outside = (high, low) if last else (low, high)
    across = (slice(None), None) if axis == 0 else (None, slice(None))
    return np.broadcast_to(inside[across], shape), np.broadcast_to(outside[across], shape)


def _counted(samples: list[ReviewedSample]) -> str:
    count = sum(len(sample.nuclei) for sample in samples)
    return f"{count} nucle{'us' if count == 1 else 'i'}"
