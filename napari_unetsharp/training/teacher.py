"""The other end of the teaching process: start it, hear its reports, stop it. Knows no Qt."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from platformdirs import user_cache_path

from napari_unetsharp.errors import TrainingError
from napari_unetsharp.training.report_lines import stopped_report
from napari_unetsharp.training.tune_reports import CANDIDATE
from napari_unetsharp.training.tune_settings import TuneSettings

__all__ = ["CANDIDATE", "Order", "Teacher", "leftovers", "teaching_folder"]

OWNER = "owner.json"
PATIENCE = 1.8
"""Seconds after a stop, after which the process is killed; it ends itself before, unless the machine is very busy."""


@dataclass(frozen=True)
class Order:
    """What the process is to do.

    Attributes
    ----------
    settings : TuneSettings
    task : "tune", "cost" or "least sure"
    images : tuple of str
        For "least sure".
    """

    settings: TuneSettings
    task: str = "tune"
    images: tuple[str, ...] = ()

    def line(self, folder: Path) -> bytes:
        """One line of JSON."""
        order = {"task": self.task, "settings": self.settings.as_dict(), "folder": str(folder)}
        return json.dumps(order | {"images": list(self.images)}).encode() + b"\n"


class Teacher:
    """A running process; every method returns at once, but for `wait` and `close`.

    Parameters
    ----------
    order : Order
    folder : Path, optional
        For candidate and preview; a new one in the user's cache by default.

    Attributes
    ----------
    folder : Path

    Raises
    ------
    TrainingError
        If it can't be started.
    """

    def __init__(self, order: Order, folder: Path | None = None) -> None:
        self.folder = folder or _new_folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        _own(self.folder)
        self._reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._words: collections.deque[str] = collections.deque(maxlen=30)
        self._told_end = threading.Event()
        self._asked_to_stop = False
        self._kills = _memory_kills()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "napari_unetsharp.training.teach"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **_apart(),
            )  # fmt: skip
        except OSError as error:
            raise TrainingError(f"training can't be started ({error.strerror or error}); free some memory") from error
        self._send(order.line(self.folder))
        self._errors = threading.Thread(target=self._hear_errors, daemon=True)
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._errors.start()
        self._hearing.start()

    @property
    def running(self) -> bool:
        """Whether more reports may come."""
        return not self._told_end.is_set()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def reports(self) -> list[dict[str, Any]]:
        """Reports since the last call, the oldest first; see `report_lines`.

        The last of all is "finished" or "error", also where the process was killed.
        """
        heard = []
        with contextlib.suppress(queue.Empty):
            while True:
                heard.append(self._reports.get_nowait())
        return heard

    def stop(self) -> None:
        """Ask it to end with the best epoch so far; "finished" comes within two seconds."""
        self._asked_to_stop = True
        self._send(b"stop\n")
        timer = threading.Timer(PATIENCE, self._end)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """End it at once; the candidate of the best epoch so far stays whole."""
        self._asked_to_stop = True
        self._end()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; False if it isn't there yet."""
        return self._told_end.wait(seconds)

    def close(self, discard: bool = True) -> None:
        """End it, and remove its folder with everything in it unless something of it is to be kept."""
        self.kill()
        self._process.wait()
        for thread in (self._hearing, self._errors):
            thread.join(2)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        if discard:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._process.kill()

    def _send(self, text: bytes) -> None:
        pipe = self._process.stdin
        with contextlib.suppress(OSError, ValueError):  # it ended already; the reports say why
            if pipe is not None:
                pipe.write(text)
                pipe.flush()

    def _hear(self) -> None:
        ended = False
        for line in self._process.stdout or ():
            with contextlib.suppress(ValueError):
                report = json.loads(line)
                ended = report.get("report") in {"finished", "error"}
                self._reports.put(report)
        code = self._process.wait()
        self._errors.join(2)
        if not ended:
            self._reports.put(self._last(code))
        self._told_end.set()

    def _hear_errors(self) -> None:
        for line in self._process.stderr or ():
            self._words.append(line.decode(errors="replace").rstrip())

    def _last(self, code: int) -> dict[str, Any]:
        """What to report of a process that ended without a word."""
        for part in self.folder.glob(".*.part"):  # of a file that was being written
            part.unlink(missing_ok=True)
        left = stopped_report(self.folder)
        if self._asked_to_stop:
            return left
        if code < 0 and _memory_kills() > self._kills:
            why = "the system ended it for want of memory; choose a shallower depth or smaller batches"
        elif code < 0:
            why = f"it was ended by signal {_signal_name(-code)}"
        else:
            why = f"it ended with code {code}" + (f" ({self._words[-1]})" if self._words else "")
        best = "the best epoch so far can still be kept" if left["candidate"] else "no epoch was finished"
        return left | {"report": "error", "kind": "TrainingError", "words": f"training stopped: {why}; {best}"}


def teaching_folder() -> Path:
    """Where candidates lie until they are kept or discarded."""
    return user_cache_path("napari-unetsharp", appauthor=False) / "teaching"


def leftovers(remove: bool = False) -> list[Path]:
    """Candidates of windows that are gone.

    Parameters
    ----------
    remove : bool
        Remove their folders instead, and those without a candidate.

    Returns
    -------
    list of Path
        The latest first; empty where they were removed.
    """
    folders = [folder for folder in teaching_folder().glob("*") if folder.is_dir() and not _owned(folder)]
    if remove:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return []
    found = [folder / CANDIDATE for folder in folders if (folder / CANDIDATE).is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _new_folder() -> Path:
    return teaching_folder() / uuid.uuid4().hex[:12]


def _own(folder: Path) -> None:
    process = psutil.Process()
    owner = {"pid": process.pid, "started": process.create_time()}
    (folder / OWNER).write_text(json.dumps(owner), encoding="utf-8")


def _owned(folder: Path) -> bool:
    """Whether the window that made a folder lives."""
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return bool(abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) < 1)
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False


def _apart() -> dict[str, Any]:
    """A session of its own: Ctrl+C in the window's terminal isn't for it."""
    if os.name == "nt":
        return {"creationflags": 0x08000000 | 0x00004000}  # CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS
    return {"start_new_session": True}


def _memory_kills() -> int:
    """How many processes Linux has ended for want of memory; 0 where it doesn't tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
