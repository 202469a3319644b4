"""How good a checkpoint's nuclei are, by modality, level and branch: what every figure of ours is measured with."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import DatasetError, SettingsError
from napari_unetsharp.inference.prediction import Prediction
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import BRANCHES, branches_of_level
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.nuclei.metrics import Scores, score_nuclei
from napari_unetsharp.training.samples import Sample, find_samples


@dataclass(frozen=True)
class ImageScored:
    """One image was measured.

    Attributes
    ----------
    sample : Sample
    scores : dict of str to Scores
        By node.
    done, total : int
        Images.
    """

    sample: Sample
    scores: dict[str, Scores]
    done: int
    total: int


@dataclass
class Evaluation:
    """What was measured.

    Attributes
    ----------
    node : str
        The branch that `overall` means.
    groups : dict of str to dict of str to Scores
        By modality and node.
    seconds : float
        All in all, reading and matching included.
    """

    node: str
    groups: dict[str, dict[str, Scores]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, modality: str, scores: dict[str, Scores]) -> None:
        """Add an image's scores by node."""
        group = self.groups.setdefault(modality, {})
        for node, score in scores.items():
            group[node] = group.get(node, Scores()) + score

    @property
    def nodes(self) -> dict[str, Scores]:
        """By node, all modalities together."""
        names = dict.fromkeys(node for group in self.groups.values() for node in group)
        return {name: sum((group[name] for group in self.groups.values()), Scores()) for name in names}

    @property
    def overall(self) -> Scores:
        """All images, by the branch asked for."""
        return self.nodes[self.node]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; rows as `Scores.as_dict` gives them."""
        return {
            "node": self.node,
            "overall": self.overall.as_dict(),
            "nodes": {node: scores.as_dict() for node, scores in self.nodes.items()},
            "groups": {
                modality: {node: scores.as_dict() for node, scores in group.items()}
                for modality, group in sorted(self.groups.items())
            },
            "seconds": round(self.seconds, 3),
        }


def evaluate(
    model: Checkpoint | Predictor,
    samples: list[Sample],
    node: str | None = None,
    settings: LabelSettings | None = None,
    nucleus_size: float | None = None,
) -> Generator[ImageScored, None, Evaluation]:
    """Measure whole images at native resolution; one pass each gives all branches of the predictor.

    Every branch is measured as the window shows it: its map at the image's resolution (the deep branches are
    upsampled), labelled by `label_nuclei`. Pixel IoU and Dice are those of the map at the threshold.

    Parameters
    ----------
    model : Checkpoint or Predictor
        A checkpoint is measured on all its branches, on the fastest device; for a choice, see `measuring_predictor`.
    samples : list of Sample
    node : str, optional
        The branch that `Evaluation.overall` means; the deepest of the top row that is computed by default.
    settings : LabelSettings, optional
    nucleus_size : float, optional
        Diameter in pixels of a typical nucleus of every image; estimated for each by default.

    Yields
    ------
    ImageScored
        After each image. The seconds of a node are those of the pass, which all branches share, and of its labels.

    Returns
    -------
    Evaluation

    Raises
    ------
    DatasetError
        If there is no sample, or one can't be read.
    SettingsError
        If the node isn't computed.
    DeviceError
        If the device fails.
    """
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    node = node or max(predictor.branches, key=lambda name: (BRANCHES[name].scale == 1, BRANCHES[name].level))
    if node not in predictor.branches:
        raise SettingsError(f"{node} isn't computed here; choose among {', '.join(predictor.branches)}")
    if not samples:
        raise DatasetError("there is no image to measure on; give a dataset that holds some")
    started, evaluation = time.monotonic(), Evaluation(node)
    for done, sample in enumerate(samples, start=1):
        plane, truth = sample.read(predictor.checkpoint.config.in_channels)
        scores = score_image(predictor, plane, truth, settings, nucleus_size)
        evaluation.add(sample.modality, scores)
        yield ImageScored(sample, scores, done, len(samples))
    evaluation.seconds = time.monotonic() - started
    return evaluation


def score_image(
    predictor: Predictor,
    plane: NDArray[Any],
    truth: NDArray[Any],
    settings: LabelSettings | None = None,
    nucleus_size: float | None = None,
) -> dict[str, Scores]:
    """Measure one image.

    Parameters
    ----------
    predictor : Predictor
    plane : array, (Y, X, C)
    truth : array of int, (Y, X)
        Instance map, 0 outside.
    settings : LabelSettings, optional
    nucleus_size : float, optional
        As in `evaluate`.

    Returns
    -------
    dict of str to Scores
        By branch of the predictor.
    """
    settings, started = settings or LabelSettings(), time.monotonic()
    prediction = predictions(predictor, plane, nucleus_size)
    passed, scores = time.monotonic() - started, {}
    for name in predictor.branches:
        started = time.monotonic()
        labels = nuclei_of(prediction, name, settings)
        seconds = passed + time.monotonic() - started
        scores[name] = score_nuclei(truth, labels, prediction.full[name] >= settings.threshold, seconds)
    return scores


def predictions(predictor: Predictor, plane: NDArray[Any], nucleus_size: float | None = None) -> Prediction:
    """The maps that are measured: those that the window shows."""
    return predictor.predict(plane, nucleus_size=nucleus_size)


def nuclei_of(prediction: Prediction, name: str, settings: LabelSettings) -> NDArray[np.int32]:
    """The nuclei that are measured for a branch: those that the window shows."""
    return label_nuclei(prediction.full[name], settings, prediction.cores.get(name))


def measuring_predictor(
    checkpoint: Checkpoint, level: int | None = None, branch: str | None = None, device: str = "auto", **options: Any
) -> tuple[Predictor, str]:
    """A predictor that computes only what is asked for.

    Parameters
    ----------
    checkpoint : Checkpoint
    level : int, optional
        Compute this level (1 to 4) and measure its output x0L; without level and branch, all branches are measured.
    branch : str, optional
        Measure this branch alone, computed at the level given or at the smallest that has it.
    device : "auto", "cuda", "mps" or "cpu"
    **options
        Further settings of `Predictor`.

    Returns
    -------
    predictor : Predictor
    node : str
        The branch asked for; else the output of the checkpoint's own level (x04 where it has all of them).

    Raises
    ------
    SettingsError
        If the checkpoint doesn't give the branch or level, naming those that it gives.
    """
    heads = checkpoint.config.heads
    if branch is not None and branch not in BRANCHES:
        raise SettingsError(f"there is no branch {branch!r}; choose among {', '.join(BRANCHES)}")
    if branch is not None and level is not None and branch not in branches_of_level(level):
        raise SettingsError(f"depth {level} doesn't compute {branch}; ask for depth {BRANCHES[branch].level}")
    node = branch or f"x0{level or checkpoint.config.level}"
    if node not in heads:
        raise SettingsError(
            f"this checkpoint gives {', '.join(heads)}, not {node}; choose another --branch or --level, or checkpoint"
        )
    everything = (level is None and branch is None) or options.get("accurate", False)
    wanted = None if everything else (node,)
    depth = level if level is not None else BRANCHES[branch].level if branch is not None else None
    return Predictor(checkpoint, device, depth, wanted, **options), node


def measured_samples(dataset: str | Path) -> tuple[Path, list[Sample]]:
    """The samples to measure on, and the folder that they are from.

    Parameters
    ----------
    dataset : str or Path
        As in `find_samples`; of a folder with ``train/`` and ``val/``, the part that wasn't trained on.

    Raises
    ------
    DatasetError
        If there is none, or only a ``train/``.
    """
    folder = Path(dataset)
    if not (folder / "images").is_dir():
        if (folder / "val").is_dir():
            folder /= "val"
        elif (folder / "train").is_dir():
            raise DatasetError(
                f"{folder} has a train/ but no val/ to measure on; give {folder / 'train'} if that is what you mean"
            )
    return folder, find_samples(folder)
