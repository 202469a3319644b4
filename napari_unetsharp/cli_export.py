"""``unetsharp export``: a mask, outlines or a review as tables, GeoJSON and label TIFF."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.terminal import JsonOption


def export(
    mask: Annotated[
        Path,
        typer.Argument(
            metavar="MASK_OR_REVIEW", help="Label image, GeoJSON, or folder of a review.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.", show_default=False)],
    image: Annotated[
        Path | None, typer.Option(help="The picture: for brightness, and where sides or pixel size are unknown.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", help="csv, geojson or tiff; give it several times. All without it."),
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="GeoJSON as annotations, which QuPath can edit.")
    ] = False,
    pixel_size: Annotated[float | None, typer.Option(help="Micrometres per pixel, where no file states it.")] = None,
    seconds: Annotated[bool, typer.Option("--seconds", help="In the history, how long each nucleus took.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write NAME_nuclei.csv, NAME_nuclei.geojson and NAME_labels.tif; of a review NAME_history.csv as well."""
    from napari_unetsharp.images.files import read_image
    from napari_unetsharp.nuclei.export import Format, measure_source, open_source, write_export

    known = [str(kind) for kind in Format]
    if unknown := [name for name in formats or () if name not in known]:
        raise SettingsError(f"format {unknown[0]!r} is unknown; choose from {', '.join(known)}")
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise SettingsError(f"a pixel size of {pixel_size} makes no sense; give micrometres above 0")
    source = open_source(mask, read_image(image) if image is not None else None)
    if pixel_size is not None:
        source.image.scale, source.image.units = (pixel_size, pixel_size), ("micrometer", "micrometer")
    measures = measure_source(source)
    wanted = [Format(name) for name in formats or known]
    written = write_export(source, measures, out, wanted, "annotation" if annotations else "detection", seconds)
    count = len(measures["id"])
    if as_json:
        report = {"nuclei": count, "files": [str(path) for path in written], "notes": source.notes}
        typer.echo(json.dumps(report))
        return
    for note in source.notes:
        typer.echo(f"  {note}")
    typer.echo(f"{count:,} nuclei")
    for path in written:
        typer.echo(f"Written to {path}")
