"""A new run on a plane that is being reviewed: it touches only what nobody has looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.answers import counts_of
from napari_unetsharp.nuclei.delta import BoxDelta, NucleusChange
from napari_unetsharp.nuclei.findings import Findings, checked_labels, extents, whole
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.shapes import SMALLEST_PART, largest_piece
from napari_unetsharp.nuclei.states import Nucleus, State

SAME = 0.5
"""IoU from which a nucleus of the new run is one that was known."""

Plane = NDArray[np.int32]
Shared = dict[int, dict[int, int]]


def new_proposals(
    findings: Findings,
    labels: NDArray[Any],
    model: str = "",
    box: Box | None = None,
    kinds: Mapping[int, str] | None = None,
) -> BoxDelta:
    """Take what a new run found in place of what nobody has looked at.

    Nuclei to do, without tags, are replaced where they lie within the box: one that the new run found again
    (IoU of at least `SAME`) keeps its id, others get fresh ids. Looked-at nuclei keep every pixel; a new one
    that has more than half of its pixels in them or in a completed view, or that was declared none before, is
    left out.

    Parameters
    ----------
    findings : Findings
    labels : array of int, (Y, X) of the plane, or of the box if one is given
        The instances of the new run.
    model : str, optional
        Hash of the model.
    box : Box, optional
        Where it ran; everywhere if not given.
    kinds : mapping of int to str, optional
        Class of each instance.

    Returns
    -------
    BoxDelta
        One step, the change of the proposals included.

    Raises
    ------
    ReviewError
        If the labels don't fit.
    """
    box = box or Box(0, 0, *findings.shape)
    new = checked_labels(labels)
    if new.shape != box.shape:
        raise ReviewError(f"labels of {new.shape} pixels don't fit the box of {box.shape} where they were found")
    run = _Run(findings, new, box)
    width = findings.shape[1]
    before = findings.labels[box.slices]
    after, changes = run.merged(before, kinds or {})
    return BoxDelta(
        "new proposals",
        PixelChange.between(box, before, after, width),
        box,
        tuple(changes),
        proposals=PixelChange.between(box, findings.proposals[box.slices], run.renamed(), width),
        model=(findings.model, model) if model and model != findings.model else None,
    )


class _Run:
    """The instances of a run, matched with what is known."""

    def __init__(self, findings: Findings, new: Plane, box: Box) -> None:
        self.findings, self.new, self.box = findings, new, box
        self.runs = whole(new)
        found = extents(self.runs)
        self.boxes = {id_: where for id_, where, _ in found}
        self.areas = {id_: area for id_, _, area in found}
        self.names = np.fromiter(self.boxes, np.int64, len(self.boxes))  # ascending
        self.open = {id_ for id_ in findings.boxes if self._is_open(id_)}
        self.shared = _shared(new, findings.labels[box.slices])
        self.matches, self.dropped = self._match(new)
        self.ids = self._named()

    def _is_open(self, id_: int) -> bool:
        nucleus, where = self.findings.nuclei[id_], self.findings.boxes[id_]
        return nucleus.state is State.TO_DO and not nucleus.tags and where.union(self.box) == self.box

    def _match(self, new: Plane) -> tuple[dict[int, int], set[int]]:
        """Open nuclei that were found again, and new ones that must stay out."""
        matches: dict[int, int] = {}
        found_again: set[int] = set()
        dropped: set[int] = set()
        denied = self._denied(new)
        for name, partners in self.shared.items():
            for id_, pixels in partners.items():
                everything = self.areas[name] + self.findings.areas[id_] - pixels
                if id_ in self.open and id_ not in found_again and pixels >= SAME * everything:
                    matches[name] = id_
                    found_again.add(id_)
        for name, area in self.areas.items():
            taken = sum(pixels for id_, pixels in self.shared.get(name, {}).items() if id_ not in self.open)
            if 2 * taken > area or (name in denied and name not in matches):
                dropped.add(name)
        return matches, dropped

    def _denied(self, new: Plane) -> set[int]:
        """New ones that lie in completed views, or where a person said that there is none."""
        declared = np.zeros(new.shape, bool)
        for view in self.findings.views:
            top, left = view.top - self.box.top, view.left - self.box.left
            declared[max(0, top) : max(0, top + view.shape[0]), max(0, left) : max(0, left + view.shape[1])] = True
        names, inside = counts_of(new, declared)
        counts = zip(names.tolist(), inside.tolist(), strict=True)
        denied = {name for name, pixels in counts if 2 * pixels > self.areas[name]}
        for outline in self.findings.rejected.values():
            if outline.box.union(self.box) == self.box:
                denied |= self._again(new, outline)
        return denied

    def _again(self, new: Plane, outline: PixelChange) -> set[int]:
        top, left = outline.box.top - self.box.top, outline.box.left - self.box.left
        window = new[top : top + outline.box.shape[0], left : left + outline.box.shape[1]]
        names, shared = counts_of(window, outline.mask())
        return {
            name
            for name, pixels in zip(names.tolist(), shared.tolist(), strict=True)
            if pixels >= SAME * (self.areas[name] + outline.area - pixels)
        }

    def _named(self) -> dict[int, int]:
        """Id of each new instance: that of its match, that of the looked-at nucleus it repeats, or a fresh one."""
        ids = dict(self.matches)
        taken = set(ids.values())
        fresh = self.findings.next_id
        for name in self.boxes:
            if name in ids:
                continue
            seen = {
                id_: pixels
                for id_, pixels in self.shared.get(name, {}).items()
                if id_ not in taken and id_ not in self.open
            }
            if name in self.dropped and seen:
                ids[name] = max(seen, key=lambda id_: (seen[id_], -id_))
                taken.add(ids[name])
            else:
                ids[name], fresh = fresh, fresh + 1
        return ids

    def renamed(self) -> Plane:
        """All instances of the run, with ids of the review."""
        ids = np.fromiter((self.ids[name] for name in self.names.tolist()), np.int32, len(self.names))
        after = ids[np.searchsorted(self.names, self.runs.after)] if len(ids) else self.runs.after
        plane = np.zeros_like(self.new)
        replace(self.runs, after=after).apply(plane)
        return plane

    def merged(self, before: Plane, kinds: Mapping[int, str]) -> tuple[Plane, list[NucleusChange]]:
        """Labels of the box after the run, and which nuclei come and go."""
        names_at = {id_: name for name, id_ in self.ids.items() if name not in self.dropped}
        after = np.where(np.isin(before, np.fromiter(self.open, np.int32, len(self.open))), 0, before)
        coming = []
        for id_, name in names_at.items():
            if self._place(after, name, id_):
                coming.append(id_)
        staying = set(coming)
        changes = [NucleusChange(id_, self.findings.nuclei[id_], None) for id_ in sorted(self.open - staying)]
        for id_ in coming:
            if id_ not in self.open:
                changes.append(NucleusChange(id_, None, Nucleus(id_, kind=kinds.get(names_at[id_], ""))))
        return after, changes

    def _place(self, after: Plane, name: int, id_: int) -> bool:
        """Put a nucleus where no other one is, its largest piece if it is cut."""
        where = self.boxes[name].slices
        mask, window = self.new[where] == name, after[where]
        free = mask & (window == 0)
        if free.sum() < self.areas[name]:
            free = largest_piece(free)
        if free.sum() < min(SMALLEST_PART, self.areas[name]):
            return False
        window[free] = id_
        return True


def _shared(new: Plane, known: Plane) -> Shared:
    """Pixels that each new nucleus shares with each known one."""
    both = (new > 0) & (known > 0)
    keys = new[both].astype(np.int64) << 32 | known[both]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    pairs, places = np.unique(keys[starts], return_inverse=True)
    counts = np.bincount(places.ravel(), np.diff(starts, append=len(keys)), len(pairs)).astype(np.int64)
    shared: Shared = {}
    for key, pixels in zip(pairs.tolist(), counts.tolist(), strict=True):
        shared.setdefault(key >> 32, {})[key & 0xFFFFFFFF] = pixels
    return shared
