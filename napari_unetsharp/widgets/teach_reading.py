"""Reading samples in a thread, and what is kept aside of those that are ticked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unetsharp.training.sample_sources import Source
from napari_unetsharp.widgets.teach_samples import Entry, Origin, Read, Weighed, stamp_of, survey_steps
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker


class SampleReader(QObject):
    """Keeps a list of entries read and weighed.

    Parameters
    ----------
    parent : QObject
    snapshot : callable
        Gives a copy of the open review, where its files can't be used; None where there is none.

    Attributes
    ----------
    entries : list of Entry
    weighed : Weighed or None
        None while something is being read.

    Signals
    -------
    changed(object)
        An `Entry` was read.
    done()
        All is read and weighed.
    failed(object)
        The exception that ended the reading.
    """

    changed = Signal(object)
    done = Signal()
    failed = Signal(object)

    def __init__(self, parent: QObject, snapshot: Callable[[], Origin | None]) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []
        self.weighed: Weighed | None = None
        self.seed, self.quarter = 1, ""
        self._snapshot = snapshot
        self._folder: Path | None = None
        self._worker: StoppableWorker | None = None
        self._again = self._again_layers = False
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._copied: set[str] = set()
        self._kept: list[Path] = []
        self.destroyed.connect(partial(_remove, self._kept))

    @property
    def running(self) -> bool:
        """Whether something is being read."""
        return self._worker is not None

    def read(self, layers_too: bool = True) -> None:
        """Read what is new or changed, and weigh everything; `done` follows.

        Parameters
        ----------
        layers_too : bool, optional
            Open layers may have been painted on: copy them again.
        """
        if self._worker is not None:
            self._again, self._again_layers = True, self._again_layers or layers_too
            return
        self.weighed = None
        todo: dict[str, Origin] = {}
        for entry in list(self.entries):
            origin = self._origin(entry)
            if origin is None:
                self.entries.remove(entry)
                continue
            stamp = stamp_of(origin)
            fresh = entry.sample is None and not entry.trouble
            if fresh or (stamp and stamp != entry.stamp) or (not stamp and layers_too):
                todo[entry.key], self._stamps[entry.key] = origin, stamp
        parts = {entry.key: entry.part for entry in self.entries if entry.ticked}
        known = {entry.key: entry.sample for entry in self.entries if entry.sample is not None}
        slots: dict[str, Any] = {"yielded": self._yielded, "errored": self._errored, "finished": self._ended}
        work = todo, parts, known, self._place(), (self.seed, self.quarter)
        self._worker = start_worker(survey_steps, *work, connect=slots)

    def quit(self) -> None:
        """Stop reading."""
        self._again = False
        if self._worker is not None:
            self._worker.quit()

    def _origin(self, entry: Entry) -> Origin | None:
        if entry.key in self._copied and (copied := self._snapshot()) is not None:
            return copied
        return entry.origin()

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="unetsharp-samples-"))
            self._kept.append(self._folder)
        return self._folder

    def _yielded(self, found: Read | Weighed) -> None:
        if isinstance(found, Weighed):
            self.weighed = found
            return
        entry = next((entry for entry in self.entries if entry.key == found.key), None)
        if entry is None:
            return
        of_file = entry.open_here and isinstance(entry.origin(), Source) and found.key not in self._copied
        if found.trouble and of_file and self._snapshot() is not None:
            self._copied.add(found.key)  # the file reads differently from the layer: the layer counts
            self._again = self._again_layers = True
            return
        _forget(entry.source, self._folder)
        entry.sample, entry.source, entry.picture = found.sample, found.source, found.picture
        entry.trouble, entry.stamp = found.trouble, self._stamps.get(found.key, ())
        self.changed.emit(entry)

    def _errored(self, error: Exception) -> None:
        self.failed.emit(error)

    def _ended(self) -> None:
        self._worker = None
        if self._again:
            layers_too, self._again, self._again_layers = self._again_layers, False, False
            self.read(layers_too)
            return
        if self.weighed is not None:
            self.done.emit()


def _forget(source: Source | None, folder: Path | None) -> None:
    """A newer snapshot took the place of this one."""
    if source is not None and folder is not None and Path(source.path).parent == folder:
        Path(source.path).unlink(missing_ok=True)


def _remove(folders: list[Path], *_: Any) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
