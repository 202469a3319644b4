"""``unetsharp export-model``: a depth of a model for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_unetsharp.exporting.formats import FORMATS, file_name, known_format
from napari_unetsharp.terminal import JsonOption, LevelOption

if TYPE_CHECKING:
    from napari_unetsharp.exporting.export import ExportStep


def export_model(
    checkpoint: Annotated[str, typer.Argument(help="Shipped model by name, or a path.")] = "nuclei",
    level: LevelOption = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="; ".join(f"{item.name}: {item.words}" for item in FORMATS.values()))
    ] = "safetensors",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; MODEL-LDEPTH.SUFFIX here if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a depth as a smaller model, ONNX, torch.export or a bioimage.io package; checked before it is kept."""
    known_format(format)
    from napari_unetsharp.exporting.depth import views
    from napari_unetsharp.exporting.export import export_model as write
    from napari_unetsharp.network.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    depth = level or loaded.config.level
    kept = views(loaded, depth)
    target = out or Path(file_name(loaded.metadata.name, depth, format))
    written = write(loaded, depth, format, target, overwrite, _Says())
    if as_json:
        report = {"file": str(written), "format": format, "level": depth, "views": list(kept)}
        typer.echo(json.dumps(report))
    else:
        typer.echo(f"Written to {written}")


class _Says:
    """Prints a step on standard error, once while it lasts."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, step: ExportStep) -> None:
        if step.words != self._last:
            typer.echo(f"  {step.words}", err=True)
        self._last = step.words
