"""What is known of a job from earlier runs, and who is at it now."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.jobs.source import Source
from napari_unetsharp.nuclei.lock import Lock
from napari_unetsharp.slides.run_files import RUN

Row = dict[str, Any]
"""A job in the report: see `new_row`."""


def new_row(source: Source) -> Row:
    """Give the row of a job of which nothing is known yet.

    Returns
    -------
    dict
        input, name, kind ("slide", "volume", "picture"), state ("done", "skipped", "resumed" or "failed"), files,
        shape, axes, nucleus_size (px, or None), nuclei by level, seconds, warnings, and error: why it failed, a
        sentence, else empty.
    """
    return {
        "input": str(source.path), "name": source.name, "kind": "", "state": "failed", "files": [], "shape": [],
        "axes": "", "nucleus_size": None, "nuclei": {}, "seconds": 0.0, "warnings": [], "error": "",
    }  # fmt: skip


@dataclass(frozen=True)
class Fingerprint:
    """Hashes of what decides a job's results; empty for a checkpoint that was never saved, which has no name.

    Attributes
    ----------
    maps : str
        Of what decides the network's answer.
    results : str
        Of all.
    content : str
        Of the input alone, whatever the checkpoint.
    path : str
        Of the input, absolute.
    """

    maps: str
    results: str
    content: str = ""
    path: str = ""

    @classmethod
    def of(cls, source: Source, identity: str, predictor: Predictor, settings: JobSettings) -> Fingerprint:
        """Take it of a source with the hash of its content."""
        sha256, path = predictor.checkpoint.metadata.sha256, os.path.abspath(source.path)
        if not sha256:
            return cls("", "", identity, path)
        said = [source.plane, source.um_per_pixel, source.nucleus_size, source.channel]
        maps = [identity, sha256, settings.level, said, [str(option) for option in predictor.options]]
        return cls(_hash(maps), _hash([*maps, settings.deciding()]), identity, path)


def _hash(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class JobPlace:
    """Where a job keeps its state: in ``.jobs`` of the folder of results.

    Attributes
    ----------
    folder : Path
        Of the results.
    name : str
        Of the job.
    """

    folder: Path
    name: str

    @property
    def _state(self) -> Path:
        return self.folder / ".jobs" / f"{self.name}.json"

    @property
    def kept(self) -> Path:
        """Folder of what was computed of a stack so far."""
        return self.folder / ".jobs" / f"{self.name}.planes"

    @property
    def slide(self) -> Path:
        """Folder of a slide's results."""
        return self.folder / self.name

    @property
    def trace(self) -> Path:
        """File that tells programmers where an unexpected error came from."""
        return self.folder / ".jobs" / f"{self.name}.error.txt"

    def lock(self, take_over: bool = False) -> Lock:
        """Take the right to work on the job.

        Parameters
        ----------
        take_over : bool
            Also from a process of another machine.

        Raises
        ------
        SlideRunError
            If somebody else has it.
        """
        lock = Lock.take(self.folder / ".jobs" / f"{self.name}.lock", take_over=take_over)
        if isinstance(lock, Lock):
            return lock
        hint = "run again when it has ended" if lock.local else "run again when it has ended, or with --take-over"
        raise SlideRunError(f"{self.name} is being worked on by {lock}; {hint}")

    def finished(self, key: Fingerprint, token: str) -> Row | None:
        """Give the row of an earlier run that ended, if what decides is the same and its files are all there.

        Its state is "skipped", unless it was this very command (by its token) that finished it.
        """
        state = self._read()
        row = state.get("row")
        if not key.results or state.get("results") != key.results or not isinstance(row, dict):
            return None
        files = [self.folder / file for file in row.get("files", [""])]
        if not all(file.exists() for file in files):
            return None
        row |= {"files": [str(file) for file in files]}
        return row if state.get("token") == token else row | {"state": "skipped"}

    def begun(self) -> str | None:
        """Give the `Fingerprint.maps` of what lies there; None where this place knows of nothing."""
        found = self._read().get("maps")
        return found if isinstance(found, str) else None

    def check_owner(self, key: Fingerprint) -> None:
        """Refuse to put the results of an input where those of another one are.

        Raises
        ------
        SlideRunError
            If both content and path differ: the same file with new content is done again.
        """
        state = self._read()
        content, path = state.get("content", key.content), state.get("path", "")
        if key.content != content and key.path != path and self._holds_results():
            raise SlideRunError(
                f"{key.path} isn't run: {self.slide} holds results of {path}; name it otherwise in a manifest, "
                "or give another --out"
            )

    def _holds_results(self) -> bool:
        written = (
            one for kind in ("L[1-4]", "x[0-4][0-4]") for one in self.folder.glob(f"{escape(self.name)}_{kind}.tif")
        )
        return (self.slide / RUN).is_file() or self.kept.exists() or next(written, None) is not None

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state.read_bytes())
        except (OSError, ValueError):  # never ran, or was damaged: it runs again
            return {}
        return state if isinstance(state, dict) else {}

    def begin(self, key: Fingerprint) -> None:
        """Remember what is on its way; what was finished before counts no longer."""
        self._remember(self._owner(key))

    def finish(self, key: Fingerprint, row: Row, token: str) -> None:
        """Remember that the job is done."""
        kept = row | {"files": [os.path.relpath(file, self.folder) for file in row["files"]]}
        self._remember(self._owner(key) | {"results": key.results, "token": token, "row": kept})

    def _owner(self, key: Fingerprint) -> dict[str, Any]:
        return {"maps": key.maps, "content": key.content, "path": key.path}

    def _remember(self, state: dict[str, Any]) -> None:
        with written_beside(self._state) as beside:
            beside.write_text(json.dumps(state, indent=1), encoding="utf-8")
