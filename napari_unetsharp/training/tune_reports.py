"""What fine-tuning reports while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unetsharp.training.kept_aside import Split
from napari_unetsharp.training.loop import StepReport
from napari_unetsharp.training.quality import Tally
from napari_unetsharp.training.verdict import Verdict

CANDIDATE = "candidate.safetensors"
PREVIEW = "preview.npz"


@dataclass(frozen=True)
class Phase:
    """What begins now, in words."""

    phase: str
    words: str = ""


@dataclass(frozen=True)
class SamplesRead:
    """What there is to learn from, and what was kept aside."""

    split: Split


@dataclass(frozen=True)
class Untuned:
    """How the model does before anything is learned: `aside` and `check` as in `Tuned`."""

    aside: dict[str, Tally]
    check: dict[str, Tally]


@dataclass(frozen=True)
class Tuned:
    """After an epoch.

    Attributes
    ----------
    epoch, epochs : int
    branches : dict of str to float
        Mean loss by branch, and ``"all"``.
    aside, check : dict of str to Tally
        By node, on kept-aside nuclei (all reviewed ones where none were) and on check images.
    best : bool
        Whether it is the best so far, and in the candidate's file.
    seconds_left : float
    preview : Path
        See `Preview`.
    """

    epoch: int
    epochs: int
    branches: dict[str, float]
    aside: dict[str, Tally]
    check: dict[str, Tally]
    best: bool
    seconds_left: float
    preview: Path


@dataclass(frozen=True)
class Finished:
    """The end: the candidate, if an epoch was finished, and whether it is better.

    Attributes
    ----------
    candidate : Path or None
        None also in the further processes of several GPUs: the first one has it.
    verdict : Verdict or None
    stopped : str
        Why it ended before its last epoch; empty where it didn't.
    """

    candidate: Path | None
    verdict: Verdict | None
    stopped: str = ""


Report = Phase | SamplesRead | StepReport | Untuned | Tuned | Finished


def parts_told(parts: Split) -> list[dict[str, Any]]:
    """A row for each part of the samples, as JSON can hold it."""
    return [
        {
            "name": sample.name, "source": sample.source, "sha256": sample.sha256, "part": sample.part,
            "nuclei": len(sample.nuclei), "edited": sample.edited_nuclei, "share": round(sample.share, 4),
        }
        for sample in parts.everything
    ]  # fmt: skip
