"""``unetsharp segment``: one picture or a thousand slides, here or on many machines."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetsharp.terminal import (
    AccurateOption,
    CheckpointOption,
    DeviceOption,
    GuidedOption,
    JsonOption,
    LevelOption,
    OrientationsOption,
    PrecisionOption,
    Show,
    SizeOption,
    SmallestOption,
    SplitOption,
    ThresholdOption,
    progress_bar,
)

if TYPE_CHECKING:
    from napari_unetsharp.jobs.crew import Crew
    from napari_unetsharp.jobs.segment import JobList
    from napari_unetsharp.jobs.settings import NetworkSettings

WIDTH = 120
"""Letters per line of a table that goes to a file."""

MOST_TOLD = 20
"""Failures of which the table tells the reason; the report has all."""

STOPPED = 130
"""Exit code after Ctrl+C, as shells have it."""

_INPUTS = (
    "Slides, pictures (TIFF, PNG, JPEG, DICOM), volumes (CT and MR series, NIfTI, NRRD), folders of them, patterns in "
    "quotes, and manifests (CSV)."
)


HELP = "\n\n".join((
    "Find nuclei in pictures, volumes and slides, each a job that can be repeated without harm.",
    "Of a picture or volume: a labels TIFF (NAME_L4.tif). Of a slide: a folder (NAME/) with labels and probabilities "
    "as OME-Zarr, and nuclei.parquet. Of all: report.json and report.csv. The same command again skips what is done "
    "and goes on with what isn't; what changed (content, model, settings) is done again. Ends with 2 if any failed.",
    "A manifest is a CSV file whose first line names its columns: path (from the manifest's own folder, or absolute), "
    "and where wanted name (of the results), plane (a number from 0 on the stack axis, several as 1/4), um_per_pixel "
    "(0.25, or 0.25/0.26 along Y and X), nucleus_size (px) and channel (name, or number from 1). An empty cell says "
    "nothing.",
))  # fmt: skip
"""What ``--help`` says."""


def segment(
    inputs: Annotated[list[Path], typer.Argument(help=_INPUTS, show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    checkpoint: CheckpointOption = "nuclei",
    level: LevelOption = None,
    all_levels: Annotated[bool, typer.Option("--all-levels", help="Labels of every depth up to it.")] = False,
    branches: Annotated[bool, typer.Option("--branches", help="Probability maps of every branch as well.")] = False,
    threshold: ThresholdOption = 0.5,
    smallest: SmallestOption = 20,
    split: SplitOption = True,
    nucleus_size: SizeOption = None,
    um_per_pixel: Annotated[
        str, typer.Option("--um-per-pixel", help="µm per pixel of all inputs: 0.25, or 0.25/0.26 along Y and X.")
    ] = "",
    channel: Annotated[
        str,
        typer.Option(help="Channel of all inputs, by name or number from 1; if not said, the one called DAPI or so."),
    ] = "",
    everywhere: Annotated[bool, typer.Option("--everywhere", help="On slides, glass too.")] = False,
    orientations: OrientationsOption = 1,
    accurate: AccurateOption = False,
    guided: GuidedOption = False,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on this machine; one per GPU where there are several.")
    ] = None,
    dask: Annotated[str, typer.Option(help="Run on Dask: local, or a scheduler's address (tcp://HOST:8786).")] = "",
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also do jobs that another machine holds; only if it has ended.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find nuclei in pictures, volumes and slides; see `HELP`."""
    from napari_unetsharp.jobs.inputs import find_sources
    from napari_unetsharp.jobs.manifest import channel_said, lengths
    from napari_unetsharp.jobs.segment import JobList
    from napari_unetsharp.jobs.settings import JobSettings, NetworkSettings
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.nuclei.label_settings import LabelSettings

    labels, um = LabelSettings(threshold, smallest, split), lengths(um_per_pixel, "--um-per-pixel")
    loaded = load_checkpoint(checkpoint)
    depth = level or loaded.config.level
    one = channel_said(channel, "--channel")
    settings = JobSettings(out, depth, all_levels, branches, labels, nucleus_size, um, not everywhere, one)
    wanted = None if accurate else settings.wanted(loaded.config.heads)
    options = {"guided": guided, "orientations": orientations, "accurate": accurate, "precision": precision}
    network = NetworkSettings(checkpoint, depth, wanted, device, tuple(options.items()))
    sources = find_sources(inputs, out)
    if dask:  # workers may have other working folders
        settings, sources = replace(settings, folder=out.resolve()), [source.resolved() for source in sources]
        file = Path(checkpoint)
        network = replace(network, checkpoint=str(file.resolve()) if file.exists() else checkpoint)
    with _runner(network, workers, dask) as run, progress_bar() as show:
        jobs = JobList(sources, settings, loaded, _ignored if as_json else _print_row, take_over)
        try:
            run(jobs, show)
        except KeyboardInterrupt:
            stopped = f"Stopped with {jobs.finished} of {len(jobs)} done; give the same command to go on."
            typer.echo(stopped, err=True)
            raise typer.Exit(STOPPED) from None
    _end(jobs.report, out, as_json)


@contextmanager
def _runner(network: NetworkSettings, workers: int | None, dask: str) -> Iterator[Callable[[JobList, Show], object]]:
    """Give what runs jobs: this process, others, or those of Dask; it is ready when the first job begins."""
    import torch

    from napari_unetsharp.jobs.segment import segment as segment_here

    gpus = torch.cuda.device_count() if network.device in ("auto", "cuda") else 0
    count = workers or max(1, gpus)
    if not dask and count == 1:
        predictor = network.predictor()
        with _stopped_by_the_system() as check:
            yield lambda jobs, show: segment_here(jobs, predictor, _checked(show, check))
        return
    from napari_unetsharp.jobs.distribute import Distribution

    crew = _crew(dask, count)
    with _stopped_by_the_system() as check, closing(crew):
        yield lambda jobs, show: Distribution(jobs, network, crew).run(_checked(show, check))


def _crew(dask: str, count: int) -> Crew:
    if dask:
        from napari_unetsharp.jobs.dask_crew import DaskCrew

        return DaskCrew(dask, count)
    from napari_unetsharp.jobs.crew import LocalCrew

    return LocalCrew(count)


@contextmanager
def _stopped_by_the_system() -> Iterator[Callable[[], None]]:
    """Take the system's wish to end (a queue whose time is up) as Ctrl+C, so that locks are given back.

    Yields
    ------
    callable
        Raises KeyboardInterrupt once somebody wished to stop: Python loses one that is raised inside a finaliser.
    """
    wished: list[int] = []

    def stop(number: int, frame: object) -> None:
        wished.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if wished:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checked(show: Show, check: Callable[[], None]) -> Show:
    """Show progress, and end there if somebody wished so."""

    def shown(text: str, done: float, total: float) -> None:
        check()
        show(text, done, total)

    return shown


def _ignored(row: dict[str, Any]) -> None:
    """Print nothing before the end."""


def _print_row(row: dict[str, Any]) -> None:
    if row["error"]:
        return typer.echo(f"{row['input']}: failed")
    counts = ", ".join(f"{count:,} nuclei at {level}" for level, count in row["nuclei"].items())
    how = {"skipped": "done before, ", "resumed": "gone on with, "}.get(row["state"], "")
    typer.echo(f"{row['input']}: {counts} ({how}{row['seconds']} s)")
    for warning in row["warnings"]:
        typer.echo(f"  {warning}")
    return None


def _end(report: dict[str, Any], out: Path, as_json: bool) -> None:
    """Print what is left to say; raises `typer.Exit` with 2 if any job failed."""
    rows = report["images"]
    failed = [row for row in rows if row["error"]]
    if as_json:
        typer.echo(json.dumps(report))
    else:
        if len(rows) > 1:
            _print_table(rows)
        typer.echo(f"Written to {out}")
    if failed:
        typer.echo(f"{len(failed)} of {len(rows)} failed: {failed[0]['error']}", err=True)
        raise typer.Exit(2)


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Jobs, nuclei and seconds by state; and of those that failed, why."""
    from rich.console import Console
    from rich.table import Table

    from napari_unetsharp.jobs.report import summary

    levels = sorted({level for row in rows for level in row["nuclei"]})
    table = Table("State", "Jobs", *(f"Nuclei {level}" for level in levels), "Seconds", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for state, jobs, nuclei, seconds in summary(rows):
        table.add_row(state, f"{jobs:,}", *(f"{nuclei.get(level, 0):,}" for level in levels), f"{seconds:,.1f}")
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(table)
    for row in [row for row in rows if row["error"]][:MOST_TOLD]:
        console.print(row["error"], markup=False, soft_wrap=True)
