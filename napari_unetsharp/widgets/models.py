"""The models a person can choose: shipped ones, recent files, and what was said about published files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from napari_unetsharp.errors import CheckpointError
from napari_unetsharp.images import intensity
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.network.checkpoint import SHIPPED, Checkpoint, file_hash, load_checkpoint
from napari_unetsharp.network.published import is_published

RECENT = 8

NORMALISATIONS = {known.words: known.intensity for known in intensity.NORMALISATIONS}
"""What a published file may have been trained with, in words."""


def memory_file() -> Path:
    """Where recent models and answers are kept."""
    return user_config_path("napari-unetsharp", appauthor=False) / "models.json"


@dataclass
class ModelList:
    """Shipped models and recent files.

    Attributes
    ----------
    recent : list of str
        Paths, the latest first.
    answers : dict
        By SHA-256 of a published file: its normalisation (a key of `NORMALISATIONS`) and nucleus size.
    """

    recent: list[str] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _loaded: tuple[str, Checkpoint] | None = None

    @classmethod
    def remembered(cls) -> ModelList:
        """As it was left last time; empty where nothing was kept or the file is damaged."""
        try:
            kept = json.loads(memory_file().read_text(encoding="utf-8"))
            recent = [str(path) for path in kept["recent"]][:RECENT]
            return cls(recent, {str(key): dict(value) for key, value in kept["answers"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def choices(self) -> list[tuple[str, str]]:
        """(label, name or path) of every model whose file is there."""
        shipped = [(f"{name} (shipped)", name) for name, path in SHIPPED.items() if path.is_file()]
        return shipped + [(Path(path).stem, path) for path in self.recent if Path(path).is_file()]

    def add(self, path: str) -> None:
        """Put a file first among the recent ones."""
        self.recent = [path, *(other for other in self.recent if other != path)][:RECENT]
        self._keep()

    def needs_answer(self, path: str) -> bool:
        """Whether a file says nothing of its normalisation and nobody was asked yet."""
        file = Path(path)
        return path not in SHIPPED and file.is_file() and is_published(file) and file_hash(file) not in self.answers

    def answer(self, path: str, normalisation: str, nucleus_size: float) -> None:
        """Remember what a person said about a published file.

        Parameters
        ----------
        path : str
        normalisation : str
            A key of `NORMALISATIONS`.
        nucleus_size : float
            Typical diameter in pixels; 0 for unknown.
        """
        self.answers[file_hash(Path(path))] = {"normalisation": normalisation, "nucleus_size": nucleus_size}
        self._loaded = None
        self._keep()

    def load(self, path: str) -> Checkpoint:
        """The checkpoint, kept in memory until another one is asked for.

        Raises
        ------
        CheckpointError
        """
        file = SHIPPED.get(path, Path(path))
        digest = file_hash(file) if file.is_file() else ""
        if self._loaded is None or not digest or self._loaded[0] != digest:
            self._loaded = (digest, load_checkpoint(path, **self._known(digest)))
        return self._loaded[1]

    def _known(self, digest: str) -> dict[str, Any]:
        said = self.answers.get(digest)
        if said is None:
            return {}
        if said.get("normalisation") not in NORMALISATIONS:
            raise CheckpointError("what was said about this model's normalisation is unknown here; choose it again")
        size = float(said.get("nucleus_size") or 0) or None
        return {"intensity": NORMALISATIONS[said["normalisation"]], "nucleus_size": size}

    def _keep(self) -> None:
        text = json.dumps({"recent": self.recent, "answers": self.answers}, indent=1)
        with written_beside(memory_file()) as beside:
            beside.write_text(text, encoding="utf-8")
