"""``unetsharp fine-tune``: a better model for this kind of image, from what was reviewed."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetsharp.errors import SettingsError, TrainingError
from napari_unetsharp.terminal import CheckpointOption, DeviceOption, JsonOption, progress_bar

if TYPE_CHECKING:
    from napari_unetsharp.training.fine_tune import Finished, Report, Tuned, Untuned
    from napari_unetsharp.training.tune_settings import TuneSettings


def fine_tune(
    samples: Annotated[
        list[Path],
        typer.Option(help="Review folder, folder of images with reviews, images/ + labels/, ID/images + ID/masks."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Checkpoint to write (.safetensors).")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="More samples.")] = None,
    checkpoint: CheckpointOption = "nuclei",
    speed: Annotated[str, typer.Option(help="touch-up: heads; standard: the depth; thorough: all.")] = "standard",
    level: Annotated[int | None, typer.Option(min=1, max=4, help="Depth that is tuned and saved.")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="End after so long, with the best so far.")] = 0.0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default 6.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Per epoch; default 25.")] = None,
    rate: Annotated[float, typer.Option(help="Peak learning rate; 0: that of the speed.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    old: Annotated[
        list[Path] | None, typer.Option(help="Your own training folder, mixed in against forgetting; repeat it.")
    ] = None,
    images: Annotated[str, typer.Option(help="Folder of the images whose reviews lie elsewhere.")] = "",
    only_better: Annotated[bool, typer.Option("--only-better", help="Write nothing if it isn't better.")] = False,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many GPUs.")] = 1,
    precision: Annotated[str, typer.Option(help="As Lightning Fabric names it.")] = "32-true",
    as_json: JsonOption = False,
) -> None:
    """Tune a model on reviews and corrected masks; write the new version with its verdict. Ctrl+C keeps the best."""
    from napari_unetsharp.training.sample_sources import find_sources
    from napari_unetsharp.training.tune_settings import TuneSettings

    _check(out)
    found = tuple(source for folder in [*samples, *(more or [])] for source in find_sources(folder, images))
    given = {"epochs": epochs, "steps": steps}
    settings = TuneSettings.from_dict(
        {
            "checkpoint": checkpoint, "samples": [source.as_dict() for source in found], "speed": speed,
            "level": level, "minutes": minutes, "rate": rate, "seed": seed, "device": device, "devices": devices,
            "precision": precision, "old_folders": [str(folder) for folder in old or ()],
            **{name: value for name, value in given.items() if value is not None},
        }
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="unetsharp-"))
    try:
        _tune(settings, folder, out, only_better, as_json)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise SettingsError(f"{out} doesn't end in .safetensors; give a file name that does")
    if out.exists():
        raise TrainingError(f"{out} already exists and no version is ever overwritten; give another --out")


def _tune(settings: TuneSettings, folder: Path, out: Path, only_better: bool, as_json: bool) -> None:
    from napari_unetsharp.training.fine_tune import fine_tune as tune
    from napari_unetsharp.training.verdict import Decision
    from napari_unetsharp.training.versions import keep_as

    with _interrupted() as stop:
        finished = _followed(tune(settings, folder, stop), as_json)
    if finished.candidate is None and finished.verdict is not None:
        return  # one of several GPUs: the process of the first one writes
    if finished.candidate is None or finished.verdict is None:
        raise TrainingError(f"no epoch was finished ({finished.stopped}), so nothing was written; give it more time")
    kept = not (only_better and finished.verdict.decision is Decision.DISCARD)
    if kept:
        keep_as(finished.candidate, out)
    told = {"out": str(out) if kept else None, "verdict": finished.verdict.as_dict(), "stopped": finished.stopped}
    if as_json:
        typer.echo(json.dumps(told))
        return
    if finished.stopped:
        typer.echo(f"Ended early: {finished.stopped}")
    typer.echo(finished.verdict.words)
    typer.echo(f"Written to {out}" if kept else "Nothing was written, as asked")


@contextlib.contextmanager
def _interrupted() -> Iterator[Callable[[], bool]]:
    """Give what tells whether Ctrl+C was pressed; pressed again, it ends the command at once."""
    pressed = threading.Event()

    def press(*_: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, press) if threading.current_thread() is threading.main_thread() else None
    try:
        yield pressed.is_set
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _followed(reports: Any, quiet: bool) -> Finished:
    """Show reports; gives the last."""
    from napari_unetsharp.training.fine_tune import Finished, Phase

    latest: Report = Phase("starting")
    with progress_bar() as show:
        for latest in reports:
            _show(latest, show, quiet)
    assert isinstance(latest, Finished)
    return latest


def _show(report: Report, show: Any, quiet: bool) -> None:
    from napari_unetsharp.training.fine_tune import Phase, SamplesRead, Tuned, Untuned
    from napari_unetsharp.training.loop import StepReport

    if isinstance(report, StepReport):
        left = f"{report.seconds_left / 60:.0f} min left"
        show(f"epoch {report.epoch} · loss {report.loss:.3f} · {left}", report.step, report.steps)
    elif isinstance(report, Phase):
        show(report.words, 0, 1)
    elif quiet:
        return
    elif isinstance(report, SamplesRead):
        split = report.split
        nuclei = sum(len(sample.nuclei) for sample in split.everything)
        typer.echo(f"{nuclei} reviewed nuclei in {len(split.everything)} part(s); {split.words}")
    elif isinstance(report, Untuned):
        typer.echo(f"before · {_found(report)}")
    elif isinstance(report, Tuned):
        typer.echo(
            f"epoch {report.epoch}/{report.epochs} · loss {report.branches['all']:.3f} · {_found(report)}"
            f"{' · best' if report.best else ''}"
        )


def _found(report: Tuned | Untuned) -> str:
    node = list(report.aside)[-1]
    here, check = report.aside[node].quality(), report.check[node].quality()
    return (
        f"{here.found} of {here.nuclei} found, {here.false} false · check images {check.found} of {check.nuclei}, "
        f"{check.false} false"
    )
