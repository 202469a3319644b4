"""What a model finds, misses and invents among nuclei that a person looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.nuclei.matching import match_nuclei
from napari_unetsharp.training.reviewed_sample import ReviewedSample

FOUND = 0.5
"""IoU from which a nucleus counts as found."""


@dataclass(frozen=True)
class Tally:
    """Nuclei that were looked at, and how a model's match them.

    Attributes
    ----------
    fit : array of float64, (nuclei,)
        IoU with the one found nucleus that fits best, 0 to 1.
    edited : array of bool, (nuclei,)
        Whether a person drew the outline; that of the others is a model's own and would favour it.
    false : int
        Found nuclei that match none and lie mostly on looked-at pixels.
    """

    fit: NDArray[np.float64]
    edited: NDArray[np.bool_]
    false: int

    @classmethod
    def of(cls, sample: ReviewedSample, labels: NDArray[Any]) -> Tally:
        """Compare found nuclei with those of a sample.

        Parameters
        ----------
        sample : ReviewedSample
        labels : array of int, (Y, X)
            What was found.
        """
        matching = match_nuclei(sample.labels, labels)
        best = np.zeros(len(matching.true_ids))
        np.maximum.at(best, matching.truth, matching.iou)
        fits = dict(zip(matching.true_ids.tolist(), best.tolist(), strict=True))
        matched = np.zeros(len(matching.found_ids), bool)
        matched[matching.found[matching.iou >= FOUND]] = True
        seen = np.bincount(labels[sample.reviewed].ravel(), minlength=int(labels.max(initial=0)) + 1)
        mostly = 2 * seen[matching.found_ids] > matching.found_areas
        ids = sample.nuclei.tolist()
        edited = np.fromiter((id_ in sample.edited for id_ in ids), bool, len(ids))
        return cls(np.array([fits[id_] for id_ in ids]), edited, int(np.count_nonzero(mostly & ~matched)))

    @classmethod
    def pooled(cls, tallies: Iterable[Tally]) -> Tally:
        """All nuclei of several samples."""
        tallies = list(tallies)
        fits = [tally.fit for tally in tallies] or [np.zeros(0)]
        edited = [tally.edited for tally in tallies] or [np.zeros(0, bool)]
        return cls(np.concatenate(fits), np.concatenate(edited), sum(tally.false for tally in tallies))

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether each nucleus was found."""
        return self.fit >= FOUND

    @property
    def credit(self) -> NDArray[np.float64]:
        """What each nucleus counts: 1 if found; its IoU where a person drew the outline."""
        return np.where(self.found, np.where(self.edited, self.fit, 1.0), 0.0)

    def quality(self) -> Quality:
        """The numbers."""
        found = int(self.found.sum())
        outlines = self.fit[self.edited]
        whole = (len(self.fit) + found + self.false) / 2
        return Quality(
            len(self.fit), found, self.false, float(outlines.mean()) if len(outlines) else None, len(outlines),
            float(self.credit.sum() / whole) if whole else 1.0,
        )  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """What is told of a `Tally`.

    Attributes
    ----------
    nuclei, found, false : int
    fit : float or None
        Mean IoU of nuclei whose outline a person drew; None without any.
    outlines : int
        How many those are.
    score : float
        Credit over the mean number of true and found nuclei, 0 to 1: PQ where a person drew all outlines, F1 where
        none (accepted outlines are the old model's own).
    """

    nuclei: int
    found: int
    false: int
    fit: float | None
    outlines: int
    score: float

    @property
    def missed(self) -> int:
        """Nuclei that weren't found."""
        return self.nuclei - self.found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "nuclei": self.nuclei, "found": self.found, "missed": self.missed, "false": self.false,
            "fit": None if self.fit is None else round(self.fit, 4), "outlines": self.outlines,
            "score": round(self.score, 4),
        }  # fmt: skip


Shown = Callable[[ReviewedSample, str, NDArray[Any], NDArray[np.int32]], None]
"""Sample, node, probability and labels of what was just predicted."""


def tallies(
    checkpoint: Checkpoint,
    samples: list[ReviewedSample],
    device: str = "cpu",
    shown: Shown | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, list[Tally]]:
    """Run a model where somebody looked, and compare.

    Parameters
    ----------
    checkpoint : Checkpoint
    samples : list of ReviewedSample
        In the channels of the checkpoint.
    device : str
    shown : callable, optional
        Gets what was predicted, for a preview.
    stop : callable
        Asked before each sample.

    Returns
    -------
    dict of str to list of Tally
        By node of the top row (x01 to x0L), one per sample that has reviewed pixels; fewer if it was stopped.
    """
    nodes = tuple(name for name in checkpoint.config.heads if name.startswith("x0"))
    predictor = Predictor(checkpoint, device, branches=nodes)
    results: dict[str, list[Tally]] = {name: [] for name in nodes}
    for sample in samples:
        if not sample.reviewed.any():
            continue
        if stop():
            break
        prediction = predictor.predict(sample.pixels, looked_at(sample), nucleus_size=sample.diameter)
        for name in nodes:
            labels = label_nuclei(prediction.full[name], LabelSettings(), prediction.cores.get(name))
            results[name].append(Tally.of(sample, labels))
            if shown is not None:
                shown(sample, name, prediction.full[name], labels)
    return results


def looked_at(sample: ReviewedSample, margin: int = 16) -> Region:
    """The smallest region that holds all reviewed pixels, with a margin for nuclei that reach out of them."""
    spans = []
    for axis, length in enumerate(sample.reviewed.shape):
        places = np.flatnonzero(sample.reviewed.any(axis=1 - axis))
        first, last = max(0, int(places[0]) - margin), min(length, int(places[-1]) + 1 + margin)
        spans.append((first, last - first))
    return Region(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def megapixels(sample: ReviewedSample) -> float:
    """How much of a sample the model is run on to measure it, at the image's own scale; 0 where nobody looked."""
    if not sample.reviewed.any():
        return 0.0
    region = looked_at(sample)
    return region.height * region.width / 1e6
