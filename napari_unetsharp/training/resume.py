"""The state of an interrupted training: from it the training goes on where it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from napari_unetsharp.errors import TrainingError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.network.unet_sharp import UNetSharp


@dataclass
class Progress:
    """What a resumed training needs besides weights."""

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def save_progress(
    path: Path, task: dict[str, Any], network: UNetSharp, average: UNetSharp, optimiser: torch.optim.Optimizer,
    progress: Progress,
) -> None:  # fmt: skip
    """Write the state beside the checkpoint.

    Raises
    ------
    TrainingError
        If it can't be written.
    """
    state = {
        "task": task, "network": network.state_dict(), "average": average.state_dict(),
        "optimiser": optimiser.state_dict(), "progress": asdict(progress),
    }  # fmt: skip
    try:
        with written_beside(path) as beside:
            torch.save(state, beside)
    except (RuntimeError, OSError) as error:  # a full disk is a RuntimeError for torch
        raise TrainingError(
            f"{path} can't be written ({first_line(error)}); make room and start again: the best epoch is kept"
        ) from error


def restored(
    path: Path, task: dict[str, Any], network: UNetSharp, average: UNetSharp, optimiser: torch.optim.Optimizer
) -> Progress:
    """Fill networks and optimiser from the file of an interrupted training; a fresh start where there is none.

    Raises
    ------
    TrainingError
        If the file is damaged, or belongs to another recipe or other images.
    """
    if not path.is_file():
        return Progress()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["task"] == task:
            network.load_state_dict(state["network"])
            average.load_state_dict(state["average"])
            optimiser.load_state_dict(state["optimiser"])
            return Progress(**state["progress"])
    except Exception as error:  # torch raises nearly every kind on damaged files
        raise TrainingError(f"{path} is damaged; remove it to begin anew, or give another --out") from error
    raise TrainingError(
        f"{path} belongs to a training with other settings or images; give those again to go on with it, "
        "or another --out"
    )
