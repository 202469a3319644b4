"""The folder of a review: its lock, its journal, and how both come back after anything."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from napari_unetsharp.errors import NotSavedError, ReviewError
from napari_unetsharp.nuclei import records
from napari_unetsharp.nuclei.course import Course, Entry
from napari_unetsharp.nuclei.head import JOURNAL, Head
from napari_unetsharp.nuclei.journal import HEAD, Journal, Reading, read_journal
from napari_unetsharp.nuclei.lock import Holder, Lock

LOCK = "lock"

LONG_TAIL = 8 * 10**6
"""A journal with more bytes of actions after its snapshot is rewritten when it is opened."""


def set_aside(folder: Path) -> Path | None:
    """Give the journal of a folder another name, so that a new review can start; None where there is none.

    Raises
    ------
    ReviewError
        If somebody has it open, or it can't be renamed.
    """
    if not (folder / JOURNAL).exists():
        return None
    store = Store.of(folder)
    try:
        if store.read_only:
            raise ReviewError(f"the review can't be set aside: {store.read_only}")
        return store.put_aside("old")
    finally:
        store.close()


class Store:
    """Lock and journal of a review.

    Attributes
    ----------
    folder : Path
    read_only : str
        Why nothing can be written; empty where it can.
    holder : Holder or None
        Who can, instead.
    """

    def __init__(self, folder: Path, lock: Lock | Holder | OSError) -> None:
        self.folder = folder
        self.read_only, self.holder = "", None
        self._lock: Lock | None = None
        self._journal = Journal(folder / JOURNAL)
        self._snapshot_ends = 0
        if isinstance(lock, Lock):
            self._lock = lock
        elif isinstance(lock, Holder):
            self.holder, self.read_only = lock, f"it is open in another window, of {lock}"
        else:
            self.read_only = f"nothing can be written in {folder} ({lock.strerror or lock})"

    @classmethod
    def of(cls, folder: Path, who: str = "", take_over: bool = False) -> Store:
        """Take the lock of a folder if it is to be had."""
        try:
            return cls(folder, Lock.take(folder / LOCK, who, take_over))
        except OSError as error:
            return cls(folder, error)

    @property
    def unsaved(self) -> int:
        """Actions that the disk didn't take yet."""
        return len(self._journal.waiting)

    @property
    def trouble(self) -> str:
        """Why the disk doesn't take them; empty where all is well."""
        error = self._journal.trouble
        return "" if error is None else f"{self.folder} can't be written ({error.strerror or error})"

    @property
    def long(self) -> bool:
        """Whether rewriting would make it notably shorter."""
        return self._journal.length - self._snapshot_ends > LONG_TAIL

    def load(self, salvage: bool = False) -> tuple[Head, Course]:
        """Read the journal and take all of its entries.

        Raises
        ------
        ReviewError
            If it is damaged and not to be salvaged, or doesn't add up.
        """
        path = self.folder / JOURNAL
        try:
            reading = read_journal(path)
        except OSError as error:
            raise ReviewError(f"{path} can't be read ({error.strerror or error}); allow it and try again") from error
        if len(reading.lines) < 2:
            raise ReviewError(f"{path} is damaged before its first snapshot; {reading.damage or 'it ends there'}")
        if reading.damage and not salvage:
            raise ReviewError(
                f"{reading.damage}; the {len(reading.lines)} lines before it are sound and can be salvaged"
            )
        head = Head.from_json(records.from_line(reading.lines[0]))
        course = records.unpack_course(records.from_line(reading.lines[1]), head.shape, head.limit)
        for entry in _entries(reading, head):
            course.take(entry)
        self._journal = Journal(path, reading.length)
        self._snapshot_ends = sum(len(line) + HEAD + 1 for line in reading.lines[:2])
        if not self.read_only:
            self._journal.sweep()
            if reading.damage:
                self.put_aside("damaged", copied=True)
                self.rewrite(head, course)
        return head, course

    def put_aside(self, word: str, copied: bool = False) -> Path:
        """Keep the journal, or a copy of it, under another name."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        aside = self.folder / f"{JOURNAL}-{word}-{stamp}"
        try:
            if copied:
                shutil.copyfile(self.folder / JOURNAL, aside)
            else:
                os.rename(self.folder / JOURNAL, aside)
        except OSError as error:
            raise ReviewError(f"the journal in {self.folder} can't be kept ({error.strerror or error})") from error
        return aside

    def check(self) -> None:
        """See that we may still write.

        Raises
        ------
        ReviewError
        """
        if not self.writable():
            raise ReviewError(f"this review can't be changed here: {self.read_only}")

    def writable(self) -> bool:
        """Whether the lock is ours still; `read_only` says why not."""
        if not self.read_only and self._lock is not None:
            self.read_only = self._lost(self._lock)
        return not self.read_only

    def _lost(self, lock: Lock) -> str:
        """Why the right to write is lost; empty where it isn't."""
        holder = lock.seen()
        if holder is not None:
            return "" if holder == lock.holder else f"it was taken over by {holder}"
        try:
            size = (self.folder / JOURNAL).stat().st_size
        except OSError:
            return ""
        # nobody holds the lock: ours was removed by hand, unless somebody came, wrote and went
        if not lock.renew() or size > self._journal.length:
            return "somebody else has written to it; open it again"
        return ""

    def write(self, entry: Entry, head: Head, course: Course) -> None:
        """Hand an entry to the operating system, after those that wait.

        Raises
        ------
        NotSavedError
            If it isn't taken. It waits then, and goes with the next one.
        """
        self._journal.waiting.append(records.to_line(records.pack_entry(entry)))
        self.flush(head, course)

    def flush(self, head: Head, course: Course) -> None:
        """Hand over what waits, or write everything anew where the file is gone or can't be relied on.

        Raises
        ------
        NotSavedError
        """
        if self._journal.spoilt:
            return self.rewrite(head, course)
        try:
            return self._journal.flush() if self._journal.waiting else None
        except FileNotFoundError:
            self._journal.spoilt = True
        except OSError as error:
            if not self._journal.spoilt:
                raise self._not_saved(error) from error
        return self.rewrite(head, course)

    def rewrite(self, head: Head, course: Course) -> None:
        """Write one snapshot in place of all lines, beside and renamed.

        Raises
        ------
        NotSavedError
            The old journal is still whole then.
        """
        lines = [records.to_line(head.to_json()), records.to_line(records.pack_course(course))]
        try:
            self._journal.rewrite(lines)
        except OSError as error:
            raise self._not_saved(error) from error
        self._snapshot_ends = self._journal.length

    def sync(self) -> None:
        """Wait until the disk has everything."""
        self._journal.sync()

    def close(self) -> None:
        """Let the files go; what waits is lost."""
        self._journal.close()
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.release()
            self._lock = None
        self.read_only = self.read_only or "it is closed"

    def _not_saved(self, error: OSError) -> NotSavedError:
        return NotSavedError(
            f"{self.folder} can't be written ({error.strerror or error}); your corrections are kept in memory and "
            "go to the disk with the next one, once there is room and permission"
        )


def _entries(reading: Reading, head: Head) -> Iterator[Entry]:
    for line in reading.lines[2:]:
        yield records.unpack_entry(records.from_line(line), head.shape)
