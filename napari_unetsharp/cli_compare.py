"""``unetsharp compare``: models and depths on images, as a table, a page and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.terminal import (
    DeviceOption,
    PrecisionOption,
    SizeOption,
    SmallestOption,
    SplitOption,
    ThresholdOption,
    progress_bar,
)

if TYPE_CHECKING:
    from napari_unetsharp.comparison.rows import Row

_TABLE = ("nuclei", "found", "missed", "false", "split", "joined", "f1_50", "pq", "aji", "dice", "boundary_px",
          "gflop_per_mpx", "ms_per_mpx", "peak_mb")  # fmt: skip
"""Columns on a terminal; all others are in the report."""


class ManyValues(TyperCommand):
    """A command of which some options take several values in a row: ``--levels 1 2 3``, ``--checkpoints A B``.

    Values end where an option begins, or where a word can't be one of them, so that images may follow.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give every further value its own option, and leave the rest to click."""
        return super().parse_args(ctx, one_each(args))


def one_each(words: Sequence[str]) -> list[str]:
    """``--levels 1 2`` as ``--levels 1 --levels 2``, and likewise for checkpoints.

    Parameters
    ----------
    words : sequence of str
        As typed.

    Returns
    -------
    list of str
    """
    fits = {"--levels": _is_levels, "-l": _is_levels, "--checkpoints": _is_checkpoint, "-c": _is_checkpoint}
    told: list[str] = []
    option, first = "", False
    for at, word in enumerate(words):
        if word == "--":
            return [*told, *words[at:]]
        if word.startswith("-"):
            option, first = (word, True) if word in fits else ("", False)
        elif option and not first:
            if fits[option](word):
                told.append(option)
            else:
                option = ""
        else:
            first = False
        told.append(word)
    return told


def _is_levels(word: str) -> bool:
    return all(part.isdigit() for part in word.split(",") if part) and word.strip(",") != ""


def _is_checkpoint(word: str) -> bool:
    from napari_unetsharp.network.checkpoint import SHIPPED

    return word in SHIPPED or Path(word).suffix.lower() in (".safetensors", ".pth", ".pt")


def compare(
    images: Annotated[list[Path], typer.Argument(help="Pictures: TIFF, PNG, JPEG or DICOM.", show_default=False)],
    checkpoints: Annotated[
        list[str] | None,
        typer.Option("--checkpoints", "-c", help="Shipped models by name, or paths. Default: nuclei.", metavar="A B"),
    ] = None,
    levels: Annotated[
        list[str] | None, typer.Option("--levels", "-l", help="Depths to compare; all by default.", metavar="1 2 3 4")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="Folder with a label image per image, ID/masks, or reviews. Without it: against depth 4."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Page to write (.html); figures go beside it.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON to write; - prints it alone.")] = None,
    speed: Annotated[bool, typer.Option(help="Measure time and memory of each depth here.")] = True,
    threshold: ThresholdOption = 0.5,
    smallest: SmallestOption = 20,
    split: SplitOption = True,
    nucleus_size: SizeOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
) -> None:
    """Compare models and depths on images: counts, scores with intervals, cost, one sentence of advice, a page."""
    from napari_unetsharp import __version__
    from napari_unetsharp.comparison import batch
    from napari_unetsharp.comparison.advice import advice
    from napari_unetsharp.comparison.report import checked_path, write_page
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.nuclei.instances import LabelSettings

    page = None if report is None else checked_path(report)
    labels = LabelSettings(threshold, smallest, split)
    loaded = [load_checkpoint(name) for name in checkpoints or ["nuclei"]]
    job = batch.CompareJob(
        loaded, parsed_levels(levels or ()), truth, labels, nucleus_size, device, precision, speed
    )  # fmt: skip
    with progress_bar() as show:
        compared = batch.compare_images(images, job, show)
    sentence = advice(compared.rows)
    settings: dict[str, Any] = asdict(labels) | {
        "nucleus_size": nucleus_size, "precision": precision, "device": compared.device,
        "truth": None if truth is None else str(truth),
    }  # fmt: skip
    if page is not None:
        write_page(page, compared.images, compared.rows, sentence, settings, compared.hashes)
    text = json.dumps(batch.as_json(compared, sentence, settings, __version__), allow_nan=False)
    if json_file is not None and str(json_file) == "-":
        typer.echo(text)
        return
    if json_file is not None:
        _write_json(json_file, text)
    _show(compared.rows)
    for note in compared.notes:
        typer.echo(f"  {note}")
    if sentence:
        typer.echo(sentence)
    for path in (page, json_file):
        if path is not None:
            typer.echo(f"Written to {path}")


def parsed_levels(words: Sequence[str]) -> tuple[int, ...]:
    """Depths from words such as ``1`` or ``1,2,4``, each once, ascending.

    Raises
    ------
    SettingsError
        If one is none of 1 to 4.
    """
    parts = [part.strip() for word in words for part in word.split(",") if part.strip()]
    wrong = [part for part in parts if part not in ("1", "2", "3", "4")]
    if wrong:
        raise SettingsError(f"there is no depth {wrong[0]!r}; choose among 1, 2, 3 and 4")
    return tuple(sorted({int(part) for part in parts}))


def _write_json(path: Path, text: str) -> None:
    from napari_unetsharp.images.tiff import written_beside
    from napari_unetsharp.nuclei.file_set import saving

    with saving(path), written_beside(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def _show(rows: Sequence[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from napari_unetsharp.comparison.advice import against_words
    from napari_unetsharp.comparison.table_text import COLUMNS, cell

    console = Console()
    console = Console(width=max(120, console.width) if console.is_terminal else 140)
    compared = next((row for row in rows if row.found is not None), None)
    title = "Compared" if compared is None else f"Compared {against_words(compared)}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("candidate", overflow="fold", min_width=14)
    shown = [column for name in _TABLE for column in COLUMNS if column.name == name]
    for column in shown:
        table.add_column(column.title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, *(cell(row, column) for column in shown))
    console.print(table)
