"""A review on disk: whether it may be written, whether it is, and by whom else."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from napari_unetsharp.nuclei.course import Course
from napari_unetsharp.nuclei.head import Head
from napari_unetsharp.nuclei.identity import Identity
from napari_unetsharp.nuclei.known import Known
from napari_unetsharp.nuclei.lock import Holder
from napari_unetsharp.nuclei.store import Store


class Kept(Known):
    """What is known, and the folder where it is kept.

    Attributes
    ----------
    head : Head
        Of the journal: image, plane, who started it and when.
    """

    def __init__(self, course: Course, head: Head, store: Store | None) -> None:
        super().__init__(course)
        self.head = head
        self._store = store

    @property
    def identity(self) -> Identity:
        """Of the image."""
        return self.head.identity

    @property
    def folder(self) -> Path | None:
        """Where the journal lies; None where it is in memory only."""
        return None if self._store is None else self._store.folder

    @property
    def read_only(self) -> str:
        """Why nothing can be changed here; empty where it can."""
        return "" if self._store is None else self._store.read_only

    @property
    def holder(self) -> Holder | None:
        """Who has it open for writing instead."""
        return None if self._store is None else self._store.holder

    @property
    def unsaved(self) -> int:
        """Actions that are in memory, but not on disk yet."""
        return 0 if self._store is None else self._store.unsaved

    @property
    def trouble(self) -> str:
        """Why the disk doesn't take them; empty where all is well."""
        return "" if self._store is None else self._store.trouble

    def save(self) -> None:
        """Hand over what waits and wait until the disk has it.

        Raises
        ------
        NotSavedError
        """
        self._check()
        if self._store is not None:
            self._store.flush(self.head, self.course)
            self._store.sync()
            self._store.flush(self.head, self.course)

    def compact(self) -> None:
        """Make the journal shorter: one snapshot in place of all lines, with undo steps and history.

        Raises
        ------
        NotSavedError
            The old journal is still whole then.
        """
        self._check()
        if self._store is not None:
            self._store.rewrite(self.head, self.course)

    def close(self, discard: bool = False) -> None:
        """Save, and give the review free for others.

        Parameters
        ----------
        discard : bool, optional
            Close even if the disk doesn't take what waits.

        Raises
        ------
        NotSavedError
            The review stays open then.
        """
        if self._store is None:
            return
        if not discard and (self.unsaved or self._store.writable()):
            self.save()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._store is not None:
            self._store.check()
