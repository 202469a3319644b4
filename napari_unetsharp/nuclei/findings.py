"""What is known of a plane: corrected labels, a state per nucleus, completed views, ignored regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.delta import BoxDelta, NucleusChange
from napari_unetsharp.nuclei.pixels import NOWHERE, Box, PixelChange
from napari_unetsharp.nuclei.states import Nucleus, State

MANY = 2000
"""From so many nuclei on that lose pixels in a step, all boxes are found anew."""

HIGHEST = 2**30
"""New nuclei are numbered on from the largest id up to this one; labels of other tools may have larger ids."""


@dataclass
class Findings:
    """The state that edits read and that deltas change.

    Attributes
    ----------
    labels : array of int32, (Y, X)
        Corrected labels; nuclei in state `State.NOT` have no pixels here.
    proposals : array of int32, (Y, X)
        What the last run gave, never edited. Ids are those of `labels` where they mean the same nucleus.
    ignored : array of bool, (Y, X)
        Regions that are not for training.
    nuclei : dict of int to Nucleus
    rejected : dict of int to PixelChange
        What taking each nucleus in state `State.NOT` away did to the labels, so that it can be shown and
        brought back.
    views : list of Box
        Completed views, in pixels.
    boxes, areas : dict of int
        Box and number of pixels of each nucleus that has any, kept up to date by `apply`.
    last_id : int
        Highest id ever given, up to `HIGHEST`; undo doesn't lower it.
    model : str
        Hash of the model that made the proposals.
    """

    labels: NDArray[np.int32]
    proposals: NDArray[np.int32]
    ignored: NDArray[np.bool_]
    nuclei: dict[int, Nucleus]
    rejected: dict[int, PixelChange] = field(default_factory=dict)
    views: list[Box] = field(default_factory=list)
    last_id: int = 0
    model: str = ""
    boxes: dict[int, Box] = field(default_factory=dict)
    areas: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for id_, box, area in extents(whole(self.labels)):
            self.boxes[id_], self.areas[id_] = box, area

    @classmethod
    def start(
        cls,
        labels: NDArray[Any],
        nuclei: Mapping[int, Nucleus] | None = None,
        model: str = "",
        rejected: NDArray[Any] | None = None,
        views: Iterable[Box] = (),
        ignored: NDArray[Any] | None = None,
    ) -> Findings:
        """Everything still to do, but for what is known already.

        Parameters
        ----------
        labels : array of int, (Y, X)
            0 outside; ids needn't be consecutive. A copy is taken.
        nuclei : mapping of int to Nucleus, optional
            What is known of some of them, and of those of `rejected`.
        model : str, optional
            Hash of the model that made them.
        rejected : array of int, (Y, X), optional
            Outlines of nuclei that were declared none.
        views : iterable of Box, optional
            Completed views.
        ignored : array of bool, (Y, X), optional

        Raises
        ------
        ReviewError
            If the labels are no planes of whole numbers from 0 to 2**31 - 1, differ in shape, or don't fit the
            states of the nuclei.
        """
        labels, known = checked_labels(labels), dict(nuclei or {})
        gone = np.zeros_like(labels) if rejected is None else checked_labels(rejected)
        apart = np.zeros(labels.shape, bool) if ignored is None else np.array(ignored, bool)
        if not labels.shape == gone.shape == apart.shape:
            raise ReviewError(f"planes of {labels.shape}, {gone.shape} and {apart.shape} pixels aren't of one image")
        findings = cls(
            labels, np.where(labels > 0, labels, gone), apart, {}, whole(gone).reversed().by_id(), model=model
        )
        findings.views += [Box(*map(int, view)).grown(0, findings.shape) for view in views]
        findings.nuclei |= {id_: known.get(id_, Nucleus(id_)) for id_ in findings.boxes}
        findings.nuclei |= {id_: known.get(id_, Nucleus(id_, State.NOT)) for id_ in findings.rejected}
        findings._check_start(known)
        findings._count(findings.nuclei)
        return findings

    def _check_start(self, known: Mapping[int, Nucleus]) -> None:
        without = sorted(known.keys() - self.nuclei.keys())
        if without:
            raise ReviewError(f"nuclei {without[:5]} have no pixels in the labels; start with those that have some")
        none = {id_ for id_, nucleus in self.nuclei.items() if nucleus.state is State.NOT}
        wrong = sorted(none ^ self.rejected.keys() | self.rejected.keys() & self.boxes.keys())
        if wrong:
            raise ReviewError(
                f"nuclei {wrong[:5]} are declared none in one place and not in the other; give one answer"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in pixels."""
        return int(self.labels.shape[0]), int(self.labels.shape[1])

    @property
    def next_id(self) -> int:
        """The id that the next new nucleus gets."""
        return self.last_id + 1

    def nucleus(self, id_: int) -> Nucleus:
        """Look a nucleus up.

        Raises
        ------
        ReviewError
        """
        try:
            return self.nuclei[id_]
        except KeyError:
            raise ReviewError(f"there is no nucleus {id_} in this review; choose one that is drawn") from None

    def box_of(self, id_: int) -> Box:
        """Where a nucleus lies or, if it was declared none, lay; `NOWHERE` if it has no pixels."""
        if id_ in self.rejected:
            return self.rejected[id_].box
        return self.boxes.get(id_, NOWHERE)

    def window(self, id_: int, margin: int = 0) -> tuple[Box, NDArray[np.int32]]:
        """Box of a nucleus, grown by a margin, and a copy of the labels within.

        Raises
        ------
        ReviewError
            If it has no pixels.
        """
        self.nucleus(id_)
        if id_ not in self.boxes:
            raise ReviewError(f"nucleus {id_} was declared none; bring it back first")
        box = self.boxes[id_].grown(margin, self.shape)
        return box, self.labels[box.slices].copy()

    def fits(self, delta: BoxDelta) -> bool:
        """Whether a delta starts from what is here."""
        planes = ((delta.labels, self.labels), (delta.proposals, self.proposals), (delta.ignored, self.ignored))
        return (
            all(change is None or change.fits(plane) for change, plane in planes)
            and all(self.nuclei.get(change.id) == change.before for change in delta.nuclei)
            and all(self.rejected.get(change.id) == change.before for change in delta.rejected)
            and (delta.model is None or delta.model[0] == self.model)
            and all(
                change.added or self.views[change.place : change.place + 1] == [change.view] for change in delta.views
            )
        )

    def apply(self, delta: BoxDelta) -> None:
        """Take a step. Costs as much as it changes, however large the plane is."""
        delta.labels.apply(self.labels)
        self._follow(delta.labels)
        if delta.proposals is not None:
            delta.proposals.apply(self.proposals)
            self._count(np.unique(delta.proposals.after).tolist())
        if delta.ignored is not None:
            delta.ignored.apply(self.ignored)
        self._apply_nuclei(delta.nuclei)
        for outline in delta.rejected:
            _put(self.rejected, outline.id, outline.after)
        for change in delta.views:
            if change.added:
                self.views.insert(change.place, change.view)
            else:
                del self.views[change.place]
        if delta.model is not None:
            self.model = delta.model[1]

    def _apply_nuclei(self, changes: Iterable[NucleusChange]) -> None:
        for change in changes:
            _put(self.nuclei, change.id, change.after)
            self._count((change.id,))

    def _count(self, ids: Iterable[int]) -> None:
        """Never give these ids again."""
        self.last_id = max((id_ for id_ in ids if self.last_id < id_ <= HIGHEST), default=self.last_id)

    def _follow(self, change: PixelChange) -> None:
        """Keep boxes and areas up to date."""
        for id_, box, area in extents(change):
            self.boxes[id_] = self.boxes.get(id_, NOWHERE).union(box)
            self.areas[id_] = self.areas.get(id_, 0) + area
        smaller = []
        for id_, _, area in extents(change.reversed()):
            self.areas[id_] -= area
            if self.areas[id_]:
                smaller.append(id_)
            else:
                del self.areas[id_], self.boxes[id_]
        if len(smaller) < MANY:
            self.boxes.update((id_, _shrunk(self.labels, self.boxes[id_], id_)) for id_ in smaller)
        else:  # a new run: one look at everything is quicker
            self.boxes.update((id_, box) for id_, box, _ in extents(whole(self.labels)))


def _put(known: dict[int, Any], id_: int, value: Any) -> None:
    if value is None:
        known.pop(id_, None)
    else:
        known[id_] = value


def _shrunk(labels: NDArray[np.int32], box: Box, id_: int) -> Box:
    """Smallest box around a nucleus within a box that holds all of it."""
    here = labels[box.slices] == id_
    rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
    return Box(
        box.top + int(rows[0]), box.left + int(columns[0]), box.top + int(rows[-1]) + 1, box.left + int(columns[-1]) + 1
    )


def whole(labels: NDArray[np.int32]) -> PixelChange:
    """All pixels of a plane that are not 0, as a change from 0."""
    box = Box(0, 0, *labels.shape)
    return PixelChange.between(box, np.zeros_like(labels), labels, box.right)


def extents(change: PixelChange) -> list[tuple[int, Box, int]]:
    """Id, box and number of pixels of each nucleus that gains pixels in a change."""
    kept = np.flatnonzero(change.after)
    if not len(kept):
        return []
    kept = kept[np.argsort(change.after[kept], kind="stable")]
    ids, lengths = change.after[kept], change.lengths[kept]
    rows, columns = np.divmod(change.starts[kept], change.width)
    firsts = np.flatnonzero(np.diff(ids, prepend=-1))
    parts = (
        ids[firsts],
        np.minimum.reduceat(rows, firsts),
        np.minimum.reduceat(columns, firsts),
        np.maximum.reduceat(rows, firsts) + 1,
        np.maximum.reduceat(columns + lengths, firsts),
        np.add.reduceat(lengths.astype(np.int64), firsts),
    )
    columns_of_lists = (part.tolist() for part in parts)
    return [(id_, Box(*sides), area) for id_, *sides, area in zip(*columns_of_lists, strict=True)]


def checked_labels(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Copy labels as int32.

    Raises
    ------
    ReviewError
        If they are no plane of whole numbers from 0 to 2**31 - 1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "uib" or not labels.size:
        raise ReviewError(
            f"labels of shape {labels.shape} and type {labels.dtype} can't be reviewed; "
            "one plane (Y, X) of whole numbers is needed"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= 2**31:
        raise ReviewError(f"labels from {low} to {high} can't be reviewed; 0 to {2**31 - 1} are possible")
    return np.array(labels, np.int32, order="C")
