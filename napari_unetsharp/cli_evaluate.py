"""``unetsharp evaluate``: tables for people, or one JSON object."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetsharp.progress import run
from napari_unetsharp.terminal import (
    AccurateOption,
    CheckpointOption,
    DeviceOption,
    GuidedOption,
    JsonOption,
    LevelOption,
    OrientationsOption,
    PrecisionOption,
    SizeOption,
    SmallestOption,
    SplitOption,
    ThresholdOption,
    progress_bar,
)

if TYPE_CHECKING:
    from rich.table import Table

    from napari_unetsharp.inference.predictor import Predictor
    from napari_unetsharp.nuclei.metrics import Scores
    from napari_unetsharp.training.evaluate import Evaluation

NARROWEST, WIDTH = 108, 140
"""Letters per line that the tables need, and what they get where they go to a file."""

MEANS = {"pq": "PQ", "aji": "AJI", "f1_50": "F1@.5"} | {
    f"ap_{tens}0": f"AP@.{tens}" for tens in (5, 6, 7, 8, 9)
} | {"iou": "IoU", "dice": "Dice"}  # fmt: skip
POOLED = {name: MEANS[name] for name in ("pq", "aji", "f1_50", "ap_50", "iou", "dice")}
COUNTS = ("nuclei", "found", "missed", "false", "split", "merged")


def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="images/ + labels/, ID/images + ID/masks, or a folder with val/ of these.")
    ],
    checkpoint: CheckpointOption = "nuclei",
    level: LevelOption = None,
    branch: Annotated[
        str | None, typer.Option(help="View to measure alone, by node (x01 ... x04, x13 ... x40).")
    ] = None,
    threshold: ThresholdOption = 0.5,
    smallest: SmallestOption = 20,
    split: SplitOption = True,
    nucleus_size: SizeOption = None,
    orientations: OrientationsOption = 1,
    accurate: AccurateOption = False,
    guided: GuidedOption = False,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a checkpoint's nuclei against the truth: PQ, AJI, F1, AP, IoU, Dice, by modality, depth and branch."""
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.nuclei.instances import LabelSettings
    from napari_unetsharp.training import evaluate as measured

    settings = LabelSettings(threshold, smallest, split)
    folder, samples = measured.measured_samples(dataset)
    if folder != dataset:
        typer.echo(f"{dataset} has several parts; {folder} is measured", err=True)
    options = {"orientations": orientations, "accurate": accurate, "guided": guided, "precision": precision}
    predictor, node = measured.measuring_predictor(load_checkpoint(checkpoint), level, branch, device, **options)
    with progress_bar() as show:
        steps = measured.evaluate(predictor, samples, node, settings, nucleus_size)
        evaluation = run(steps, lambda step: show(step.sample.name[:20], step.done, step.total))
    if as_json:
        facts = _circumstances(folder, predictor) | {
            "settings": asdict(settings) | options | {"nucleus_size": nucleus_size}
        }
        typer.echo(json.dumps(facts | evaluation.as_dict(), allow_nan=False))
    else:
        _show(evaluation, folder, predictor)


def _circumstances(folder: Path, predictor: Predictor) -> dict[str, Any]:
    from napari_unetsharp import __version__

    metadata = predictor.checkpoint.metadata
    return {
        "version": __version__,
        "dataset": str(folder),
        "checkpoint": {"name": metadata.name, "sha256": metadata.sha256},
        "device": {"kind": predictor.device.kind, "name": predictor.device.name},
        "level": predictor.level,
    }


def _show(evaluation: Evaluation, folder: Path, predictor: Predictor) -> None:
    from rich.console import Console

    console = Console()
    console = Console(width=max(NARROWEST, console.width) if console.is_terminal else WIDTH)
    rows = [
        (modality, node, scores)
        for modality, group in sorted(evaluation.groups.items())
        for node, scores in group.items()
    ]
    if len(evaluation.groups) > 1:
        rows += [("all", node, scores) for node, scores in evaluation.nodes.items()]
    console.print(_means_table(rows), _pooled_table(rows))
    overall, metadata = evaluation.overall, predictor.checkpoint.metadata
    console.print(
        f"{metadata.name} on {folder}: {overall.images} images, {overall.counts.nuclei:,} nuclei, "
        f"{evaluation.seconds:.1f} s on {predictor.device.name}. F1, AP: matched from that IoU on; PQ: above 0.5; "
        "IoU, Dice: of pixels. Images without a nucleus in truth and result are left out of the means.",
        highlight=False,
    )  # fmt: skip


def _means_table(rows: list[tuple[str, str, Scores]]) -> Table:
    table = _table("Mean over images", ["images", "left out", *MEANS.values()])
    for modality, node, scores in rows:
        means = scores.means()
        figures = [_figure(means[name]) for name in MEANS]
        table.add_row(modality, node, str(scores.images), str(scores.left_out), *figures)
    return table


def _pooled_table(rows: list[tuple[str, str, Scores]]) -> Table:
    table = _table("Pooled over nuclei or pixels", [*COUNTS, *POOLED.values(), "seconds"])
    for modality, node, scores in rows:
        pooled = scores.pooled()
        counts = [f"{getattr(scores.counts, name):,}" for name in COUNTS]
        table.add_row(modality, node, *counts, *(_figure(pooled[name]) for name in POOLED), f"{scores.seconds:.1f}")
    return table


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _table(title: str, columns: list[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("modality", overflow="fold", min_width=8)
    table.add_column("branch", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table
