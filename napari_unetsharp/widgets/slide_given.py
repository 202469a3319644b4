"""What a person did in a region goes into the results of the whole slide. No Qt, no napari."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.known import Known
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.places import SUFFIX
from napari_unetsharp.nuclei.reviewed import KNOWN, reviewed_pixels
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.nuclei.store import Store
from napari_unetsharp.slides.grid import LARGEST_ID
from napari_unetsharp.widgets.slide_region import SlideRegion

if TYPE_CHECKING:
    from napari_unetsharp.slides.store import SlideStore

GIVEN = "given.json"
"""In the folder of a run: which review of which region its results know."""

SAME = 0.5
"""Share of the smaller of two nuclei that they have in common from which they are the same."""

Plane = NDArray[np.int32]


@dataclass(frozen=True)
class Answers:
    """What `SlideStore.write_region` is told.

    Attributes
    ----------
    box : Box
        In pixels of the results.
    labels : array of int32, (Y, X)
        Nuclei that a person vouches for: with the ids of the results where they are there already.
    reviewed : array of bool, (Y, X)
    states : dict of int to str
        "accepted", "edited", "added" or "rejected".
    denied : dict of int to int
        Ids in the results of those that were declared none, by those of the review.
    """

    box: Box
    labels: Plane
    reviewed: NDArray[np.bool_]
    states: dict[int, str]
    denied: dict[int, int]


@dataclass(frozen=True)
class Given:
    """One region was given back; `nuclei` is how many a person vouched for or declared none."""

    region: SlideRegion
    nuclei: int


@dataclass(frozen=True)
class Noted:
    """What is remembered of a region that was given back.

    Attributes
    ----------
    stamp : tuple of int
        What its journal looked like; empty for never.
    denied : dict of int to int
        As in `Answers`.
    """

    stamp: tuple[int, ...] = ()
    denied: dict[int, int] = field(default_factory=dict)


def review_of(region: SlideRegion) -> Path:
    """Where the journal of a region lies."""
    return region.file.with_name(region.file.name + SUFFIX) / JOURNAL


def waiting(store: SlideStore, regions: Sequence[SlideRegion]) -> list[SlideRegion]:
    """Regions with a review that the results of a run don't know yet, the one that was written first first."""
    known = _known(store)
    plane = tuple(store.about.plane)
    stamps = {region: _stamp(region) for region in regions if region.plane == plane}
    left = [region for region, stamp in stamps.items()
            if stamp and known.get(region.file.name, Noted()).stamp != stamp]  # fmt: skip
    return sorted(left, key=lambda region: stamps[region])


def give_steps(
    store: SlideStore, regions: Sequence[SlideRegion], stop: Callable[[], bool] = lambda: False
) -> Iterator[Given]:
    """Give the reviews of regions to the results of a run, for a worker.

    What is read are their journals, which are never behind. Where regions overlap, the one that is given last counts.

    Parameters
    ----------
    store : SlideStore
        Open for writing.
    regions : sequence of SlideRegion
    stop : callable, optional

    Raises
    ------
    ReviewError, SlideRunError
    """
    for region in waiting(store, regions):
        if stop():
            return
        stamp = _stamp(region)
        denied = _known(store).get(region.file.name, Noted()).denied
        answers = answers_of(region, findings_of(region), store, denied)
        store.write_region(answers.box, answers.labels, answers.reviewed, answers.states)
        _note(store, region, Noted(stamp, answers.denied))
        yield Given(region, len(answers.states))


def findings_of(region: SlideRegion) -> Findings:
    """Read a review that may be open: no lock is taken.

    Raises
    ------
    ReviewError
    """
    store = Store(review_of(region).parent, PermissionError("it is only read"))
    return Known(store.load()[1]).findings


def answers_of(
    region: SlideRegion, findings: Findings, store: SlideStore, denied_before: dict[int, int] | None = None
) -> Answers:
    """Bring a review to the pixels and ids of the results.

    A nucleus is one of the results where the two share `SAME` of the smaller; of several that do, the one that shares
    most. What the region's border cuts off of it is added by the results, which keep their nuclei whole.

    Parameters
    ----------
    region : SlideRegion
    findings : Findings
    store : SlideStore
    denied_before : dict of int to int, optional
        What the results don't show any more, as it was declared none before: their ids by those of the review.
    """
    own, looked, rejected = (_at_results(plane, region.box, store) for plane in _planes(findings))
    box = _inside(region.box, store.about.downsample)
    before = store.read_labels(box)
    kept = same_nuclei(own, before)
    ids = {id_: kept.get(id_, LARGEST_ID - id_) for id_ in np.unique(own[own > 0]).tolist()}
    denied = {id_: known for id_, known in (denied_before or {}).items() if id_ in findings.rejected}
    denied |= _seen(same_nuclei(rejected, before), before, box, store)
    states = {ids[id_]: _word(findings, id_) for id_ in ids}
    states |= {known: "rejected" for known in denied.values() if known not in states}
    return Answers(box, _renamed(own, ids), np.asarray(looked, bool), states, denied)


def _planes(findings: Findings) -> tuple[Plane, NDArray[np.bool_], Plane]:
    """What a person vouches for, which pixels they looked at, and the outlines of what they declared none."""
    known = [id_ for id_ in findings.boxes if findings.nuclei[id_].state in KNOWN]
    own = np.where(np.isin(findings.labels, known), findings.labels, 0).astype(np.int32)
    rejected = np.zeros_like(own)
    for id_, outline in findings.rejected.items():
        rejected.reshape(-1)[outline.pixels()] = id_
    return own, reviewed_pixels(findings) | (own > 0), rejected


def _word(findings: Findings, id_: int) -> str:
    if findings.nuclei[id_].state is State.RIGHT:
        return "accepted"
    box = findings.boxes[id_]
    return "edited" if (findings.proposals[box.slices] == id_).any() else "added"


def _inside(box: Box, downsample: int) -> Box:
    """Pixels of the results whose middle lies in a box of level 0."""
    half = downsample // 2
    top, left, bottom, right = (-(-(side - half) // downsample) for side in box)
    return Box(max(0, top), max(0, left), max(0, bottom), max(0, right))


def _at_results(plane: NDArray[Any], box: Box, store: SlideStore) -> NDArray[Any]:
    """A plane of a region at the pixels of the results: the value in the middle of each."""
    step = store.about.downsample
    inner, half = _inside(box, step), step // 2
    return plane[inner.top * step + half - box.top :: step, inner.left * step + half - box.left :: step]


def same_nuclei(own: Plane, before: Plane) -> dict[int, int]:
    """Which nuclei of two label planes are the same; each at most once.

    Parameters
    ----------
    own, before : array of int32, (Y, X)

    Returns
    -------
    dict of int to int
        Ids of `before` by ids of `own`.
    """
    both = (own > 0) & (before > 0)
    pairs, shared = np.unique(np.stack([own[both], before[both]], axis=1), axis=0, return_counts=True)
    areas, known = (dict(zip(*_counted(plane), strict=True)) for plane in (own, before))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for place in np.argsort(-shared, kind="stable").tolist():
        one, two = (int(id_) for id_ in pairs[place])
        if one not in found and two not in taken and shared[place] >= SAME * min(areas[one], known[two]):
            found[one] = two
            taken.add(two)
    return found


def _counted(plane: Plane) -> tuple[list[int], list[int]]:
    ids, areas = np.unique(plane, return_counts=True)
    return ids.tolist(), areas.tolist()


def _seen(denied: dict[int, int], before: Plane, box: Box, store: SlideStore) -> dict[int, int]:
    """Those of which a person saw enough to declare them none: half and more of each lies in the region."""
    inside = dict(zip(*_counted(before), strict=True))
    areas = {nucleus.id: nucleus.area / store.about.downsample**2 for nucleus in store.nuclei(box)}
    return {id_: known for id_, known in denied.items() if 2 * inside[known] >= areas.get(known, 0)}


def _renamed(own: Plane, ids: dict[int, int]) -> Plane:
    """Other ids by a table: they may be of any size."""
    known, places = np.unique(own, return_inverse=True)
    return np.asarray(np.array([ids.get(id_, 0) for id_ in known.tolist()], np.int32)[places.reshape(own.shape)])


def _stamp(region: SlideRegion) -> tuple[int, ...]:
    """What the journal of a region looks like; empty where there is none."""
    try:
        found = review_of(region).stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size


def _known(store: SlideStore) -> dict[str, Noted]:
    """What was given, by the names of the regions' files; none where that can't be read: all is given again then."""
    try:
        kept = json.loads((store.folder / GIVEN).read_text(encoding="utf-8"))
        return {
            str(name): Noted(
                tuple(map(int, told["stamp"])), {int(id_): int(one) for id_, one in told["denied"].items()}
            )
            for name, told in kept.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _note(store: SlideStore, region: SlideRegion, noted: Noted) -> None:
    known = _known(store) | {region.file.name: noted}
    with written_beside(store.folder / GIVEN) as beside:
        beside.write_text(json.dumps({name: asdict(one) for name, one in known.items()}, indent=1), encoding="utf-8")
