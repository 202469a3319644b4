"""A file that only grows: one checked line per action, so that a kill or a power cut costs at most the last one.

A line is the number of its bytes, their CRC-32 (both as 8 hexadecimal digits) and JSON. It is handed to the
operating system in one call before the next action is taken, which survives the end of this process at any
moment; within a second it is synced to the disk by another thread, which survives a power cut.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Timer

SYNC_AFTER = 0.5
"""Seconds after which a line is synced; further lines in this time share the call."""

HEAD = 18
"""Characters before the JSON of a line."""


def framed(text: bytes) -> bytes:
    """A line with its length and checksum."""
    return b"%08x %08x %s\n" % (len(text), zlib.crc32(text), text)


@dataclass
class Reading:
    """What a journal file holds.

    Attributes
    ----------
    lines : list of bytes
        JSON of the sound lines before any damage.
    length : int
        Bytes of the file that they take.
    damage : str
        What is wrong with the line after them, if sound ones or more than one follow; a torn last line is
        none, as it was never acknowledged.
    """

    lines: list[bytes] = field(default_factory=list)
    length: int = 0
    damage: str = ""


def read_journal(path: Path) -> Reading:
    """Read the sound lines of a journal.

    Raises
    ------
    OSError
    """
    content = path.read_bytes()
    reading = Reading()
    while reading.length < len(content):
        line = _line_at(content, reading.length)
        if line is None:
            rest = content[reading.length :]
            if _goes_on(rest):
                reading.damage = f"line {len(reading.lines) + 1} of {path.name}, at byte {reading.length}, is damaged"
            break
        reading.lines.append(line)
        reading.length += len(line) + HEAD + 1
    return reading


def _line_at(content: bytes, start: int) -> bytes | None:
    try:
        length = int(content[start : start + 8], 16)
    except ValueError:
        return None
    text = content[start + HEAD : start + HEAD + length]
    return text if content[start : start + HEAD + length + 1] == framed(text) else None


def _goes_on(rest: bytes) -> bool:
    """Whether more than the last line is lost."""
    end = rest.find(b"\n") + 1
    return 0 < end < len(rest)


class Journal:
    """Writes lines, and keeps those that the disk doesn't take until it does.

    Attributes
    ----------
    path : Path
    waiting : list of bytes
        Lines that are not on disk yet.
    trouble : OSError or None
        Why, or why the last sync failed.
    spoilt : bool
        What is on disk can't be relied on: everything must be written anew by `rewrite`.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        self.waiting: list[bytes] = []
        self.trouble: OSError | None = None
        self.spoilt = False
        self._length = length
        self._file: int | None = None
        self._timer: Timer | None = None
        self._guard = Lock()  # of the file descriptor and the timer, never held while the disk works

    @property
    def length(self) -> int:
        """Bytes of sound lines on disk."""
        return self._length

    def append(self, text: bytes) -> None:
        """Hand a line to the operating system, after those that wait.

        Raises
        ------
        OSError
            If it isn't taken; the line waits then.
        """
        self.waiting.append(text)
        self.flush()

    def flush(self) -> None:
        """Hand over all lines that wait.

        Raises
        ------
        OSError
        """
        try:
            file = self._opened()
            while self.waiting:
                self._write(file, framed(self.waiting[0]))
                del self.waiting[0]
        except OSError as error:
            self.trouble = error
            raise
        self.trouble = None
        self._sync_soon()

    def _opened(self) -> int:
        if self._file is None:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
            size = os.fstat(file).st_size
            if size < self._length:
                os.close(file)
                self.spoilt = True
                raise OSError(f"{self.path} has become shorter")
            if size > self._length:  # the torn last line of a kill or of a full disk
                os.ftruncate(file, self._length)
            self._file = file
        return self._file

    def _write(self, file: int, line: bytes) -> None:
        try:
            done = 0
            while done < len(line):
                done += os.write(file, line[done:])
        except OSError:
            self._close_file()  # opened again, and cut to its sound length, by the next try
            raise
        self._length += len(line)

    def rewrite(self, texts: Iterable[bytes]) -> None:
        """Put other lines in place of all, by writing beside, syncing and renaming.

        Raises
        ------
        OSError
            The old file is still there then, whole.
        """
        beside = self._beside
        self.path.parent.mkdir(parents=True, exist_ok=True)
        length = 0
        try:
            with beside.open("wb") as file:
                for text in texts:
                    length += file.write(framed(text))
                file.flush()
                os.fsync(file.fileno())
            self._close_file()
            os.replace(beside, self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            self.trouble = error
            raise
        self._length, self.trouble, self.spoilt = length, None, False
        self.waiting.clear()

    @property
    def _beside(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    def sweep(self) -> None:
        """Remove what a kill in the middle of a rewrite left."""
        with contextlib.suppress(OSError):
            self._beside.unlink(missing_ok=True)

    def sync(self) -> None:
        """Wait until the disk has everything that was handed over. A failure shows in `trouble`."""
        with self._guard:
            self._timer = None
            if self._file is None:
                return
            file = os.dup(self._file)
        try:
            os.fsync(file)
        except OSError as error:
            self.trouble, self.spoilt = error, True  # what the system dropped then is not told: write all anew
        finally:
            os.close(file)

    def close(self) -> None:
        """Sync and let the file go."""
        with self._guard:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join()
        self.sync()
        self._close_file()

    def _close_file(self) -> None:
        with self._guard:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def _sync_soon(self) -> None:
        with self._guard:
            if self._timer is None:
                timer = Timer(SYNC_AFTER, self.sync)
                timer.daemon = True
                with contextlib.suppress(RuntimeError):  # no more threads at the end of the interpreter; close syncs
                    timer.start()
                    self._timer = timer


def sync_folder(folder: Path) -> None:
    """Make a renaming last through a power cut, where the system lets a folder be synced."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
