"""``unetsharp train``: by a recipe file or by options, in slices if wanted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetsharp.errors import SettingsError, TrainingError
from napari_unetsharp.terminal import DeviceOption, progress_bar

if TYPE_CHECKING:
    from napari_unetsharp.training.fit import EpochReport, StepReport
    from napari_unetsharp.training.recipe import Recipe


def train(
    datasets: Annotated[
        list[Path], typer.Argument(help="images/ + labels/, ID/images + ID/masks, or train/ and val/ of these.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint to write (.safetensors).")],
    recipe: Annotated[
        str | None, typer.Option(help="nuclei, nuclei-cpu, or a TOML file; options given beside it win.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Checkpoint to begin with (a name or a path).")] = None,
    validation: Annotated[Path | None, typer.Option(help="Dataset that selects the epoch kept.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default 100.")] = None,
    crops: Annotated[int | None, typer.Option(min=0, help="Crops per epoch; 0 (default): one per image.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Default 8.")] = None,
    crop: Annotated[int | None, typer.Option(min=16, help="Side in px, divisible by 16; default 128.")] = None,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate; default 0.001.")] = None,
    level: Annotated[
        int | None, typer.Option(min=1, max=4, help="4 (default): all, pruned later; else this depth alone.")
    ] = None,
    guided: Annotated[
        bool | None, typer.Option("--guided/--no-guided", help="Classification-guided modules too.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Default 1.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="End before an epoch that wouldn't fit; the same command goes on.")
    ] = None,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many GPUs.")] = 1,
    precision: Annotated[str, typer.Option(help="As Lightning Fabric names it.")] = "32-true",
) -> None:
    """Train on folders of images and instance maps; stop it and give the same command to go on."""
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.network.metadata import CheckpointMetadata
    from napari_unetsharp.training.fit import fit
    from napari_unetsharp.training.samples import find_splits

    _check(out)
    chosen = _recipe(
        recipe, epochs=epochs, crops_per_epoch=crops, batch=batch, crop=crop, rate=rate, level=level, guided=guided,
        seed=seed,
    )  # fmt: skip
    training, aside = find_splits(datasets, validation, chosen.seed)
    typer.echo(f"{len(training)} images to train on, {len(aside)} to select by")
    parent = None if start is None else load_checkpoint(start)
    metadata = CheckpointMetadata(out.stem, crop=chosen.crop)
    try:
        with progress_bar() as show:
            steps = fit(training, aside, out, chosen, metadata, device, devices, precision, parent=parent)
            finished = _follow(steps, show, minutes)
    except KeyboardInterrupt:
        finished = False
    if finished:
        typer.echo(f"Written to {out}")
        return
    kept = f" The best epoch so far is {out}" if out.exists() else " No epoch was finished yet."
    typer.echo(f"Stopped; give the same command to go on.{kept}")


def _check(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise SettingsError(f"{out} doesn't end in .safetensors; give a file name that does")
    if out.exists() and not out.with_name(f"{out.name}.resume").exists():
        raise TrainingError(f"{out} already exists and no training of it was interrupted; give another --out")


def _recipe(name: str | None, **given: Any) -> Recipe:
    from napari_unetsharp.training.recipe import Recipe

    recipe = Recipe() if name is None else Recipe.load(name)
    return Recipe.from_dict(recipe.as_dict() | {key: value for key, value in given.items() if value is not None})


def _follow(steps: Any, show: Any, minutes: float | None) -> bool:
    """Show reports; True at the end, False if the time is up."""
    from napari_unetsharp.training.fit import EpochReport

    began = latest = time.monotonic()
    for report in steps:
        if not isinstance(report, EpochReport):
            _show_step(report, show)
            continue
        _print_epoch(report)
        now = time.monotonic()
        if minutes is not None and report.epoch < report.epochs and now - began + (now - latest) > 60 * minutes:
            steps.close()
            return False
        latest = now
    return True


def _show_step(report: StepReport, show: Any) -> None:
    left = f"{report.seconds_left / 60:.0f} min left"
    show(f"epoch {report.epoch} · loss {report.loss:.3f} · {left}", report.step, report.steps)


def _print_epoch(report: EpochReport) -> None:
    levels = " ".join(f"{node} {value:.3f}" for node, value in report.iou.items() if node.startswith("x0"))
    losses = " ".join(f"{node} {value:.2f}" for node, value in report.branches.items())
    typer.echo(
        f"epoch {report.epoch}/{report.epochs} · loss {report.loss:.3f} ({losses}) · validation IoU {levels}"
        f"{' · best' if report.best else ''}"
    )
