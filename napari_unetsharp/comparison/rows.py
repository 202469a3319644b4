"""One row of the table per candidate: what it finds, misses and invents, how well outlines fit, what it takes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.comparison.bootstrap import drawn_sums, interval
from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.cost import Cost
from napari_unetsharp.comparison.difference import Differing, Told, in_walking_order
from napari_unetsharp.comparison.groups import boxes_of, group_nuclei
from napari_unetsharp.comparison.tally import Seen, Tally, tally
from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.stretches import find_runs
from napari_unetsharp.progress import run

SCORES = ("dice", "iou", "f1_50", "pq", "aji")
"""As `unetsharp evaluate` names them: Dice and IoU of pixels, F1 at an IoU of 0.5, PQ, AJI, all pooled."""

STORIES = ("found", "missed", "false", "split", "joined")


@dataclass(frozen=True, eq=False)
class Row:
    """A candidate in numbers.

    Attributes
    ----------
    name, node, model : str
        As of the `Candidate`.
    against : str
        Name of what it was compared with.
    corrected : bool
        Whether a person corrected that.
    given : bool
        Whether it is labels that no model of ours computed and nobody corrected here, such as a mask from elsewhere.
    true_nuclei : int
        Nuclei of what it was compared with.
    nuclei : int
        Its own nuclei, of what was compared.
    found, missed, false, split, joined : int or None
        Nuclei of the truth with a match (IoU of 0.5 or more) and without, own ones without; nuclei of the truth that
        were cut apart, own ones that join several. None where it is itself what the others are compared with.
    scores : dict of str to float
        `SCORES`, 0 to 1; NaN where there is nothing to find and nothing found. Empty where `found` is None.
    intervals : dict of str to (low, high)
        95 %, by bootstrap over nuclei: `SCORES`, found (share of the truth's nuclei), boundary_px, boundary_um.
        Without those that can't be told.
    boundary_px, boundary_um : float or None
        Mean distance between the outlines of matched nuclei; None without any, or without a pixel size.
    parameters : int or None
    gflop_per_mpx, ms_per_mpx : float or None
    peak_bytes : int or None
        See `Cost`.
    stories : dict of str to sequence of Differing
        The nuclei behind found, missed, false, split and joined, in walking order; A is the truth. Of one image only.
    tally : Tally or None
        What each nucleus counts; its `scores` are all that ``unetsharp evaluate`` counts.
    draws : dict of str to array, (draws,)
        The same measures of resampled nuclei; the same draw of two rows is of the same nuclei.
    """

    name: str
    node: str = ""
    model: str = ""
    against: str = ""
    corrected: bool = False
    given: bool = False
    true_nuclei: int = 0
    nuclei: int = 0
    found: int | None = None
    missed: int | None = None
    false: int | None = None
    split: int | None = None
    joined: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    boundary_px: float | None = None
    boundary_um: float | None = None
    parameters: int | None = None
    gflop_per_mpx: float | None = None
    ms_per_mpx: float | None = None
    peak_bytes: int | None = None
    stories: dict[str, Sequence[Differing]] = field(default_factory=dict, repr=False)
    tally: Tally | None = field(default=None, repr=False)
    draws: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def with_cost(self, cost: Cost | None) -> Row:
        """The same with what it takes."""
        if cost is None:
            return self
        return replace(
            self, parameters=cost.parameters, gflop_per_mpx=cost.gflop_per_mpx, ms_per_mpx=cost.ms_per_mpx,
            peak_bytes=cost.peak_bytes,
        )  # fmt: skip


def rows(
    candidates: Sequence[Candidate],
    truth: Candidate,
    spacing_um: tuple[float, float] | None = None,
    costs: Mapping[str, Cost] | None = None,
    seed: int = 0,
) -> list[Row]:
    """Compare candidates of one image with the truth.

    Parameters
    ----------
    candidates : sequence of Candidate
    truth : Candidate
        What a person corrected, or else another candidate (`choose_truth`); where it has `seen`, only what lies there
        is compared.
    spacing_um : tuple of float, optional
        Height and width of a pixel in micrometres.
    costs : mapping of str to Cost, optional
        By the candidate's name.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of Row
        In the order of the candidates.

    Raises
    ------
    ShapeError
        If the shapes differ.
    SettingsError
        If two candidates have one name.
    """
    return run(rows_steps(candidates, truth, spacing_um, costs, seed))


def rows_steps(
    candidates: Sequence[Candidate],
    truth: Candidate,
    spacing_um: tuple[float, float] | None = None,
    costs: Mapping[str, Cost] | None = None,
    seed: int = 0,
) -> Generator[tuple[int, int], None, list[Row]]:
    """`rows`, yielding after each candidate how many of how many are compared."""
    _check_names(candidates)
    tallies: dict[str, Tally] = {}
    stories: dict[str, dict[str, Sequence[Differing]]] = {}
    for done, candidate in enumerate(candidates, start=1):
        seen = Seen.of(candidate, truth)
        tallies[candidate.name] = tally(seen, spacing_um)
        if candidate.name != truth.name:
            stories[candidate.name] = stories_of(seen)
        yield done, len(candidates)
    given = not (truth.is_truth or truth.node)
    heads = [Row(one.name, one.node, one.model, truth.name, truth.is_truth, given) for one in candidates]
    told = [row.with_cost((costs or {}).get(row.name)) for row in _filled(heads, tallies, seed)]
    return [replace(row, stories=stories.get(row.name, {})) for row in told]


def rows_of(
    like: Sequence[Row], tallies: Mapping[str, Tally], costs: Mapping[str, Cost] | None = None, seed: int = 0
) -> list[Row]:
    """Rows of many images together.

    Parameters
    ----------
    like : sequence of Row
        Of one of the images.
    tallies : mapping of str to Tally
        By name, pooled over all images.
    costs, seed
        See `rows`.

    Returns
    -------
    list of Row
        In the order of `like`; without stories.
    """
    heads = [Row(row.name, row.node, row.model, row.against, row.corrected, row.given) for row in like]
    return [row.with_cost((costs or {}).get(row.name)) for row in _filled(heads, tallies, seed)]


def stories_of(seen: Seen) -> dict[str, Sequence[Differing]]:
    """The nuclei behind the numbers, by `STORIES`."""
    of = seen.matching
    boxes = [
        boxes_of(find_runs(labels), ids) for labels, ids in ((seen.truth, of.true_ids), (seen.found, of.found_ids))
    ]
    told, (split, joined), pairs = Told(of, *boxes), group_nuclei(of), of.matches()
    missed = np.setdiff1d(np.arange(len(of.true_ids)), of.truth[pairs])
    false = np.setdiff1d(np.arange(len(of.found_ids)), of.found[pairs])
    others = (told.only_a(missed), told.only_b(false), told.split(split), told.joined(joined))
    return dict(zip(STORIES, (told.both(), *(in_walking_order(items) for items in others)), strict=True))


def _filled(heads: Sequence[Row], tallies: Mapping[str, Tally], seed: int) -> list[Row]:
    counted = [tallies[row.name] for row in heads]
    sums = drawn_sums([one.true for one in counted], [one.false for one in counted], seed)
    return [_row(head, one, drawn) for head, one, drawn in zip(heads, counted, sums, strict=True)]


def _row(head: Row, one: Tally, sums: NDArray[np.float64]) -> Row:
    counts = one.scores.counts
    own = replace(head, true_nuclei=counts.nuclei, nuclei=counts.results, tally=one)
    if head.name == head.against:
        return own
    measures = {name: float(value) for name, value in one.measures().items()}
    pooled, draws = one.scores.pooled(), one.measures(sums)
    intervals = {name: interval(draws[name]) for name in (*SCORES, "found", "boundary_px", "boundary_um")}
    return replace(
        own, found=counts.found, missed=counts.missed, false=counts.false, split=counts.split, joined=counts.merged,
        scores={name: pooled[name] for name in SCORES},
        intervals={name: ends for name, ends in intervals.items() if ends is not None},
        boundary_px=_known(measures["boundary_px"]), boundary_um=_known(measures["boundary_um"]), draws=draws,
    )  # fmt: skip


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _check_names(candidates: Sequence[Candidate]) -> None:
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"two candidates are called {twice}; give each a name of its own")
