"""A review of a plane: every action is applied, written down and told to whoever draws, in this order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import NotSavedError, ReviewError
from napari_unetsharp.nuclei.course import Course, Entry
from napari_unetsharp.nuclei.delta import BoxDelta
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.head import JOURNAL, Head, find_review
from napari_unetsharp.nuclei.identity import Identity
from napari_unetsharp.nuclei.kept import Kept
from napari_unetsharp.nuclei.lock import user_name
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.redrawing import stroke
from napari_unetsharp.nuclei.rerun import new_proposals
from napari_unetsharp.nuclei.states import Nucleus
from napari_unetsharp.nuclei.store import Store
from napari_unetsharp.nuclei.undo import MEGABYTES, UndoStack


class Review(Kept):
    """A plane under review, made by `start` or `open`.

    With a folder, every action is in its journal before the method returns, and the journal is the review:
    there is nothing else to save to go on later.

    Attributes
    ----------
    who : str
        The person at work.
    changed : list of callable
        Each is called with each delta after it was applied, those of undo and redo included.
    """

    def __init__(self, course: Course, head: Head, store: Store | None, who: str) -> None:
        super().__init__(course, head, store)
        self.who = who
        self.changed: list[Callable[[BoxDelta], None]] = []

    @classmethod
    def start(
        cls,
        folder: Path | None,
        identity: Identity,
        labels: NDArray[Any],
        who: str = "",
        nuclei: Mapping[int, Nucleus] | None = None,
        model: str = "",
        undo_megabytes: float = MEGABYTES,
        **known: Any,
    ) -> Self:
        """Begin a review.

        Parameters
        ----------
        folder : Path or None
            For the journal, see `places.review_folder`; None keeps the review in memory only.
        identity : Identity
            Of the image, see `identity.identify`.
        labels : array of int, (Y, X)
            The proposals; ids needn't be consecutive. A copy is taken.
        who : str, optional
            The person; their name on this machine if not given.
        nuclei : mapping of int to Nucleus, optional
            What is known of some of them already.
        model : str, optional
            Hash of the model that made the proposals.
        undo_megabytes : float, optional
            Memory for steps that can be taken back.
        **known
            `rejected`, `views` and `ignored` of an earlier review, see `Findings.start`.

        Raises
        ------
        ReviewError
            If there is a review in the folder already, or nothing can be written there.
        """
        who = who or user_name()
        course = Course(Findings.start(labels, nuclei, model, **known), UndoStack(round(undo_megabytes * 10**6)))
        head = Head(identity, course.findings.shape, who, _now(), course.undo.limit)
        if folder is None:
            return cls(course, head, None, who)
        store = Store.of(folder, who)
        try:
            if not store.writable():
                raise ReviewError(f"no review can be started in {folder}: {store.read_only}; free it or choose another")
            if (folder / JOURNAL).exists():
                raise ReviewError(f"there is a review in {folder} already; open it, or set it aside first")
            store.rewrite(head, course)
        except ReviewError:
            store.close()
            raise
        return cls(course, head, store, who)

    @classmethod
    def open(
        cls,
        folder: Path,
        identity: Identity,
        who: str = "",
        take_over: bool = False,
        salvage: bool = False,
        undo_megabytes: float | None = None,
    ) -> Self:
        """Go on with a review where it was left, after a kill too.

        Where somebody else has it open it is read only, and `holder` says who.

        Parameters
        ----------
        folder : Path
        identity : Identity
            Of the image that is open; the journal of another image is never applied.
        who : str, optional
            The person; their name on this machine if not given.
        take_over : bool, optional
            Take the right to write from another machine. That of a process of this machine that ended is taken
            without asking.
        salvage : bool, optional
            Of a damaged journal, use what comes before the damage; the damaged file is kept beside.
        undo_megabytes : float, optional
            A new bound; as before if not given.

        Raises
        ------
        ReviewError
            If there is no review, if it belongs to another image, or if it is damaged.
        """
        found = find_review(folder)
        if found is None:
            raise ReviewError(f"there is no review in {folder}; start one")
        different = found.identity.differences(identity)
        if different:
            raise ReviewError(
                f"the review in {folder} belongs to another image (different: {different}); start a new one"
            )
        who = who or user_name()
        store = Store.of(folder, who, take_over)
        try:
            head, course = store.load(salvage)
            limit = head.limit if undo_megabytes is None else round(undo_megabytes * 10**6)
            review = cls(course, head, store, who)
            if not store.read_only and (store.long or limit != head.limit):
                review._shorten(limit)
        except ReviewError:
            store.close()
            raise
        return review

    def _shorten(self, limit: int) -> None:
        """Rewrite a long journal, with another bound of undo perhaps; where the disk refuses, go on as it is."""
        before, self.head = self.head, replace(self.head, limit=limit)
        try:
            self.compact()
        except NotSavedError:
            self.head = before  # the old journal is whole and `trouble` tells of it
        self.course.undo.limit = self.head.limit
        self.course.undo.trim()

    # Acting ------------------------------------------------------------------------------------------------

    def apply(
        self,
        edit: Callable[..., BoxDelta] | BoxDelta,
        *arguments: Any,
        how: str = "",
        seconds: float | None = None,
        **options: Any,
    ) -> BoxDelta:
        """Do something: `review.apply(edits.split, 12, [(3, 4), (30, 8)])`.

        Parameters
        ----------
        edit : callable, or BoxDelta
            A function of `answers`, `edits` or `rerun`, which gets the findings and the other arguments, or
            what one returned.
        how : str, optional
            "one by one", "screen" or "bulk", for the history.
        seconds : float, optional
            Time that the person took, if asked for.

        Returns
        -------
        BoxDelta
            What changed; empty, and no action, where everything is so already.

        Raises
        ------
        ReviewError
            If it can't be done; nothing is changed.
        NotSavedError
            If it was done, but isn't on disk yet; it goes there with the next action, or by `save`.
        """
        self._check()
        delta = edit if isinstance(edit, BoxDelta) else edit(self.findings, *arguments, **options)
        if delta:
            self._take("do", how, delta=delta, seconds=seconds)
        return delta

    def undo(self) -> BoxDelta | None:
        """Take the last step back.

        Returns
        -------
        BoxDelta or None
            What changed: `box` is to be drawn anew and `focus` is the nucleus to go to. None where there is
            nothing to take back.
        """
        self._check()
        step = self.course.undo.last_done()
        return None if step is None else self._take("undo", step=step.number)

    def redo(self) -> BoxDelta | None:
        """Take again what was taken back last; see `undo`."""
        self._check()
        step = self.course.undo.last_undone()
        return None if step is None else self._take("redo", step=step.number)

    def record_stroke(
        self, box: Box, before: NDArray[Any], after: NDArray[Any], nucleus_id: int, how: str = ""
    ) -> BoxDelta:
        """Take a stroke that napari painted, locked to one nucleus.

        Pixels of other nuclei are put back; callbacks get the whole box to draw anew. The layer may share our
        array of labels or have its own.

        Parameters
        ----------
        box : Box
        before, after : array of int, (Y, X) of the box
            What the layer held.
        nucleus_id : int
            One of ours, or `next_id` for a new nucleus.

        Raises
        ------
        ReviewError
            If the stroke wasn't painted on our labels, or can't be taken; our labels are as before it then.
        NotSavedError
            As in `apply`.
        """
        box = Box(*map(int, box))
        window, before, after = self.labels[box.slices], np.array(before), np.array(after)
        if np.array_equal(window, after) and before.shape == after.shape:
            window[...] = before
        elif after.shape != before.shape or not np.array_equal(window, before):
            raise ReviewError("the stroke wasn't painted on the corrected labels; draw on the layer Corrected")
        self._check()
        pixels = PixelChange.between(box, before, after, self.labels.shape[1])
        delta = stroke(self.findings, nucleus_id, pixels, box)
        if delta:
            self._take("do", how, delta=delta)
        else:
            self._tell(delta)
        return delta

    def new_proposals(self, labels: NDArray[Any], model: str = "", box: Box | None = None, how: str = "") -> BoxDelta:
        """Take a new run in place of what nobody has looked at; see `rerun.new_proposals`."""
        return self.apply(new_proposals, labels, model, box, how=how)

    def note(self, topic: str, body: Any) -> None:
        """Remember something else, such as a spot check, in `notes[topic]`; it is no step of undo.

        Parameters
        ----------
        topic : str
        body
            What JSON can hold.
        """
        self._check()
        self._take("note", topic=topic, body=json.loads(json.dumps(body)))

    def _take(self, what: Any, how: str = "", **parts: Any) -> BoxDelta | None:
        entry = Entry(self.course.number + 1, _now(), self.who, what, how, **parts)
        delta = self.course.take(entry)
        unsaved: NotSavedError | None = None
        if self._store is not None:
            try:
                self._store.write(entry, self.head, self.course)
            except NotSavedError as error:
                unsaved = error
        if delta is not None:
            self._tell(delta)
        if unsaved is not None:
            raise unsaved
        return delta

    def _tell(self, delta: BoxDelta) -> None:
        for callback in tuple(self.changed):
            callback(delta)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
