"""What can be compared: the nuclei of a depth, a view, a model, a person, with their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import SettingsError, ShapeError
from napari_unetsharp.inference.prediction import Prediction
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.training.evaluate import nuclei_of

AVERAGE = "mean"
"""Node of the average of views."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One side of a comparison.

    Attributes
    ----------
    name : str
        As on screen; no two of a comparison have the same.
    labels : array of int32, (Y, X)
        0 outside.
    mask : array of bool, (Y, X), optional
        Pixels at the threshold, for the IoU and Dice of pixels; those of the nuclei by default.
    node : str
        "x02"; "mean" for the average of views; empty for labels that no network computed.
    model : str
        Name of the model.
    model_hash : str
        SHA-256 of its file, or empty.
    is_truth : bool
        A person corrected it.
    seen : array of bool, (Y, X), optional
        Of the truth: where a person has looked; only there anything is compared. Everywhere by default.
    """

    name: str
    labels: NDArray[np.int32]
    mask: NDArray[np.bool_] | None = None
    node: str = ""
    model: str = ""
    model_hash: str = ""
    is_truth: bool = False
    seen: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for what, plane in (("mask", self.mask), ("seen", self.seen)):
            if plane is not None and plane.shape != self.labels.shape:
                raise ShapeError(
                    f"{self.name}: {what} of shape {plane.shape} doesn't fit labels of {self.labels.shape}; "
                    "give equal ones"
                )

    @property
    def depth(self) -> int | None:
        """Depth whose output this is, 1 to 4; None for other views and labels."""
        branch = BRANCHES.get(self.node)
        return branch.level if branch is not None and branch.scale == 1 else None


def view_name(node: str, model: str = "") -> str:
    """Name of a view on screen, such as ``Depth 2 · x02``, ``1/16 · x40``, ``nuclei-v2 · depth 4 · x04``.

    Parameters
    ----------
    node : str
        A branch, or "mean".
    model : str
        Where several models are compared.
    """
    if node == AVERAGE:
        title = "average of views"
    else:
        branch = BRANCHES[node]
        title = f"depth {branch.level} · {node}" if branch.scale == 1 else branch.title
    return f"{model} · {title}" if model else title[0].upper() + title[1:]


def short_name(name: str) -> str:
    """A name inside a sentence: without the node, and small where no name of a model begins it."""
    head, _, node = name.rpartition(" · ")
    name = head if head and node[:1] == "x" and node[1:].isdigit() else name
    return name[0].lower() + name[1:] if name.startswith(("Depth ", "Average ")) else name


def candidate_of(
    prediction: Prediction,
    node: str,
    checkpoint: Checkpoint,
    settings: LabelSettings | None = None,
    several_models: bool = False,
) -> Candidate:
    """The nuclei of one view, exactly as ``unetsharp evaluate`` counts them.

    Parameters
    ----------
    prediction : Prediction
    node : str
        One that was computed, or "mean" for the average of all that were.
    checkpoint : Checkpoint
        What computed it.
    settings : LabelSettings, optional
    several_models : bool
        Say the model in the name.

    Raises
    ------
    SettingsError
        If the view wasn't computed.
    """
    settings, metadata = settings or LabelSettings(), checkpoint.metadata
    if node == AVERAGE:
        average = average_of_views(prediction.full)
        cores = average_of_views(prediction.cores) if prediction.cores else None
        labels, mask = label_nuclei(average, settings, cores), average >= settings.threshold
    elif node in prediction.full:
        labels, mask = nuclei_of(prediction, node, settings), prediction.full[node] >= settings.threshold
    else:
        raise SettingsError(f"{node} wasn't computed; choose among {', '.join(prediction.full)}, or compute depth 4")
    name = view_name(node, metadata.name if several_models else "")
    return Candidate(name, labels, np.asarray(mask), node, metadata.name, metadata.sha256)


def average_of_views(maps: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Average of probability maps: the accurate mode of UNet++ and UNet#.

    The predictor averages before it rounds to float16 (`Predictor`, ``accurate``), so that its own average may
    differ from this one by up to 0.0005.

    Parameters
    ----------
    maps : mapping of str to array, (Y, X)
        Probability 0..1 by view, all at the plane's resolution.

    Returns
    -------
    array of float32, (Y, X)

    Raises
    ------
    SettingsError
        If there is none.
    """
    if not maps:
        raise SettingsError("there is no view to average; compute depth 4 first")
    total: NDArray[np.float32] | None = None
    for values in maps.values():
        part = values.astype(np.float32)
        total = part if total is None else total + part
    assert total is not None
    return np.asarray(total / np.float32(len(maps)))


def choose_truth(candidates: Sequence[Candidate]) -> Candidate | None:
    """What the others are compared with: what a person corrected, else the deepest output of the first model.

    Parameters
    ----------
    candidates : sequence of Candidate

    Returns
    -------
    Candidate or None
        None where there is neither.
    """
    for candidate in candidates:
        if candidate.is_truth:
            return candidate
    outputs = [candidate for candidate in candidates if candidate.depth is not None]
    return max(outputs, key=lambda candidate: candidate.depth or 0, default=None)
