"""Many images, several models and depths, compared without a window."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_unetsharp.comparison.candidate import Candidate, candidate_of, choose_truth, view_name
from napari_unetsharp.comparison.cost import Cost, Measured, counted_cost, measured_cost
from napari_unetsharp.comparison.difference import Difference, difference
from napari_unetsharp.comparison.panes import Shown, as_picture
from napari_unetsharp.comparison.report import IN_FULL
from napari_unetsharp.comparison.rows import Row, rows, rows_of
from napari_unetsharp.comparison.tally import Tally
from napari_unetsharp.comparison.truths import Field, read_field
from napari_unetsharp.errors import SettingsError
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import Checkpoint, file_hash
from napari_unetsharp.nuclei.instances import LabelSettings
from napari_unetsharp.progress import run

OnProgress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class CompareJob:
    """What to compare.

    Attributes
    ----------
    checkpoints : sequence of Checkpoint
    levels : tuple of int, optional
        Depths, 1 to 4; all that every model gives by default.
    truth : Path, optional
        See `read_field`; without it everything is compared with the deepest output of the first model.
    settings : LabelSettings
    nucleus_size : float or None
        Diameter in pixels of a typical nucleus; estimated for each image if None.
    device, precision : str
        As of `Predictor`.
    measure : bool
        Measure time and memory too.
    """

    checkpoints: Sequence[Checkpoint]
    levels: tuple[int, ...] = ()
    truth: Path | None = None
    settings: LabelSettings = field(default_factory=LabelSettings)
    nucleus_size: float | None = None
    device: str = "auto"
    precision: str = "float32"
    measure: bool = True

    def nodes_of(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Outputs that are compared; where there is no truth, the first model's deepest is among them.

        Raises
        ------
        SettingsError
            If the model doesn't give one.
        """
        given = [name for name in checkpoint.config.heads if name.startswith("x0")]
        wanted = {f"x0{level}" for level in self.levels} or set(given)
        if self.truth is None and checkpoint is self.checkpoints[0] and given:
            wanted.add(max(given))
        missing = sorted(wanted - set(given))
        if missing or not given:
            raise SettingsError(
                f"{checkpoint.metadata.name} gives {', '.join(given) or 'no depth'}, not {', '.join(missing)}; "
                "choose other --levels or checkpoints"
            )
        return tuple(sorted(wanted))


@dataclass(frozen=True, eq=False)
class Compared:
    """What came out.

    Attributes
    ----------
    rows : list of Row
        All images together.
    images : list of Shown
        With the rows of each; the first ones with their pictures and label maps too, for a report.
    costs : dict of str to Cost
        By candidate.
    hashes : dict of str to str
        SHA-256 of models and images.
    device : str
        Its name.
    notes : list of str
        What a person should know about single images.
    """

    rows: list[Row]
    images: list[Shown]
    costs: dict[str, Cost]
    hashes: dict[str, str]
    device: str
    notes: list[str]


def compare_images(paths: Sequence[Path], job: CompareJob, on_progress: OnProgress = lambda *_: None) -> Compared:
    """Compare models and depths on images; one pass of each model gives all of its depths.

    Labels and scores are those of ``unetsharp evaluate`` for the same images and settings.

    Parameters
    ----------
    paths : sequence of Path
    job : CompareJob
    on_progress : callable
        Gets a text, and how many of how many passes and measurements.

    Returns
    -------
    Compared

    Raises
    ------
    UNetSharpError
        If an image, a truth or a model can't be used.
    """
    names = _model_names(job.checkpoints)
    wanted = [job.nodes_of(checkpoint) for checkpoint in job.checkpoints]
    models = [Chosen(*item) for item in zip(job.checkpoints, names, wanted, strict=True)]
    # at the own level of each model, as in `evaluate`: the size of nuclei is estimated with two depths where there are
    predictors = [Predictor(one.checkpoint, job.device, None, one.nodes, precision=job.precision) for one in models]
    outputs = sum(len(one.nodes) for one in models)
    progress = Progress(on_progress, len(paths) * len(models) + (outputs if job.measure else 0))
    costs: dict[str, Cost] = {}
    for one in models:
        costs |= _costs(one, job, progress)
    images: list[Shown] = []
    notes: list[str] = []
    for path in paths:
        place = read_field(path, job.truth)
        candidates = []
        for one, predictor in zip(models, predictors, strict=True):
            candidates += _candidates(place, one, predictor, job, progress, notes)
        images.append(_compared(place, candidates, len(images) < IN_FULL))
    hashes = {
        f"model {name}": checkpoint.metadata.sha256 for name, checkpoint in zip(names, job.checkpoints, strict=True)
    }
    hashes |= {str(path): file_hash(path) for path in paths}
    return Compared(_pooled(images, costs), images, costs, hashes, predictors[0].device.name, notes)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A model, what it is called here (empty where it is the only one), and its outputs that are compared."""

    checkpoint: Checkpoint
    model: str
    nodes: tuple[str, ...]

    def name(self, node: str) -> str:
        """Of a candidate."""
        return view_name(node, self.model)


class Progress:
    """Passes done of all, with the rate of pixels."""

    def __init__(self, show: OnProgress, total: int) -> None:
        self._show, self._total = show, total
        self._done, self._pixels, self._seconds = 0, 0.0, 0.0

    def part(self, words: str, share: float, pixels: float = 0.0, seconds: float = 0.0) -> None:
        """Show a part of the pass in work; so many pixels of it took so long."""
        rate = (self._pixels + pixels) / 1e6 / max(self._seconds + seconds, 1e-9)
        told = f"{words}, {rate:.2f} Mpx/s" if seconds else words
        self._show(told, self._done + share, self._total)

    def next(self, pixels: float = 0.0, seconds: float = 0.0) -> None:
        """A pass is done."""
        self._done += 1
        self._pixels, self._seconds = self._pixels + pixels, self._seconds + seconds


def _costs(chosen: Chosen, job: CompareJob, progress: Progress) -> dict[str, Cost]:
    """By candidate; counted, and measured if that is wanted."""
    costs = {chosen.name(node): counted_cost(chosen.checkpoint, int(node[2])) for node in chosen.nodes}
    for node in chosen.nodes if job.measure else ():
        name = chosen.name(node)

        def show(step: Measured, words: str = f"speed of {name}") -> None:
            progress.part(words, step.done / step.total)

        cost = run(measured_cost(chosen.checkpoint, int(node[2]), job.device, precision=job.precision), show)
        progress.next()
        costs[name] = cost or costs[name]
    return costs


def _candidates(
    place: Field, chosen: Chosen, predictor: Predictor, job: CompareJob, progress: Progress, notes: list[str]
) -> list[Candidate]:  # fmt: skip
    pixels = place.pixels(chosen.checkpoint.config.in_channels)
    started, count = time.monotonic(), float(pixels.shape[0] * pixels.shape[1])
    prediction = predictor.predict(
        pixels, nucleus_size=job.nucleus_size,
        on_tile=lambda tile: progress.part(
            place.path.name[:24], tile.done / tile.total, count * tile.done / tile.total, time.monotonic() - started
        ),
    )  # fmt: skip
    progress.next(count, time.monotonic() - started)
    notes += [f"{place.path.name}: {note}" for note in prediction.notes]
    return [
        replace(candidate_of(prediction, node, chosen.checkpoint, job.settings), name=chosen.name(node),
                model=chosen.model or chosen.checkpoint.metadata.name)
        for node in chosen.nodes
    ]  # fmt: skip


def _compared(place: Field, candidates: list[Candidate], whole: bool) -> Shown:
    """Rows of one image; with pictures and differences if it is to be shown."""
    truth = place.truth or choose_truth(candidates)
    assert truth is not None  # a model without any depth was refused
    told = rows(candidates, truth, place.spacing_um)
    if not whole:
        told = [replace(row, stories={}) for row in told]
        return Shown(place.path.name, as_picture(place.plane)[:0], [], told)
    every = [*([place.truth] if place.truth is not None else []), *candidates]
    return Shown(place.path.name, as_picture(place.plane), every, told, _differences(candidates, truth))


def _differences(candidates: list[Candidate], truth: Candidate) -> dict[tuple[str, str], Difference]:
    """Shallowest and deepest of each model, and the deepest of each with that of the first."""
    models = dict.fromkeys(candidate.model for candidate in candidates)
    ends = {name: [one for one in candidates if one.model == name] for name in models}
    pairs = [(group[0], group[-1]) for group in ends.values() if len(group) > 1]
    first, *others = [group[-1] for group in ends.values()]
    pairs += [(first, other) for other in others]
    if not pairs:
        pairs = [(truth, first)] if truth is not first else []
    return {(a.name, b.name): difference(a.labels, b.labels) for a, b in pairs}


def _pooled(images: Sequence[Shown], costs: dict[str, Cost]) -> list[Row]:
    first = images[0].rows
    if len(images) == 1:
        return [row.with_cost(costs.get(row.name)) for row in first]
    tallies: dict[str, list[Tally]] = {row.name: [] for row in first}
    for row in (row for image in images for row in image.rows):
        if row.tally is not None:
            tallies[row.name].append(row.tally)
    return rows_of(first, {name: Tally.pooled(some) for name, some in tallies.items()}, costs)


def _model_names(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Empty for a single model; else its own name, with the begin of its hash where two have the same."""
    if not checkpoints:
        raise SettingsError("there is no model to compare; give --checkpoints")
    if len(checkpoints) == 1:
        return [""]
    names = [checkpoint.metadata.name for checkpoint in checkpoints]
    told = [
        name if names.count(name) == 1 else f"{name} {checkpoint.metadata.sha256[:8]}"
        for name, checkpoint in zip(names, checkpoints, strict=True)
    ]
    if len(set(told)) < len(told):
        raise SettingsError(f"the model {told[0]} was given twice; give different ones")
    return told


def as_json(compared: Compared, advice: str, settings: dict[str, Any], version: str) -> dict[str, Any]:
    """Plain values: the rows of all images together and of each; scores by the names of ``unetsharp evaluate``."""
    return {
        "version": version, "device": compared.device, "settings": settings, "sha256": compared.hashes,
        "advice": advice, "notes": compared.notes, "rows": [row_as_dict(row) for row in compared.rows],
        "images": [
            {"image": image.name, "rows": [row_as_dict(row) for row in image.rows]} for image in compared.images
        ],
    }  # fmt: skip


def row_as_dict(row: Row) -> dict[str, Any]:
    """A row as plain values; None where there is no number."""
    scores = {} if row.found is None or row.tally is None else row.tally.scores.as_dict()
    scores = {name: value for name, value in scores.items() if name not in ("seconds", "nuclei")}
    return {
        "name": row.name, "node": row.node, "model": row.model, "against": row.against, "corrected": row.corrected,
        "nuclei": row.true_nuclei, "results": row.nuclei, **scores,
        "boundary_px": row.boundary_px, "boundary_um": row.boundary_um,
        "intervals": {name: list(ends) for name, ends in row.intervals.items()},
        "parameters": row.parameters, "gflop_per_mpx": row.gflop_per_mpx, "ms_per_mpx": row.ms_per_mpx,
        "peak_bytes": row.peak_bytes,
    }  # fmt: skip
