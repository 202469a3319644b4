"""``unetsharp export``: a mask, outlines, a review or a run over a slide, as files that other programs read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.terminal import JsonOption

_SERIES = "dicom-seg"
"""The one format that a mask has besides those of `nuclei.export`."""


def export(
    mask: Annotated[
        Path,
        typer.Argument(
            metavar="FROM", help="Label image, GeoJSON, or folder of a review or of a run over a slide.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.", show_default=False)],
    image: Annotated[
        Path | None,
        typer.Option(help="The picture: for brightness, unknown sides or pixel size, and for DICOM to refer to."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "-f",
            help="csv, geojson, tiff; of a slide csv, geojson, parquet, ngff, ngff-0.4, dicom-seg, dicom-ann; give it "
            "several times. All without it, but for ngff-0.4 and DICOM.",
        ),
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="GeoJSON as annotations, which QuPath can edit.")
    ] = False,
    packed: Annotated[str, typer.Option(help="Pack the GeoJSON of a slide: gz, or zip, which QuPath opens.")] = "",
    pixel_size: Annotated[float | None, typer.Option(help="Micrometres per pixel, where no file states it.")] = None,
    seconds: Annotated[bool, typer.Option("--seconds", help="In the history, how long each nucleus took.")] = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Write NAME_nuclei.csv, NAME_nuclei.geojson and NAME_labels.tif; of a review NAME_history.csv as well.

    Of a run over a slide: .csv, .geojson, .parquet and an OME-Zarr of labels and probability.

    With --format dicom-seg a segmentation: of the DICOM slide that was run, or, for the mask of
    a DICOM picture or series, of what --image gives. With dicom-ann the outlines in a DICOM slide.
    """
    from napari_unetsharp.slides.export import is_run

    if is_run(mask):
        _of_slide(mask, out, image, formats, annotations, packed, pixel_size, seconds, as_json)
        return
    if packed:
        raise SettingsError("only the GeoJSON of a slide is packed; leave --packed out")
    _of_mask(mask, out, image, formats, annotations, pixel_size, seconds, as_json)


def _of_slide(
    folder: Path, out: Path, slide: Path | None, formats: list[str] | None, annotations: bool, packed: str,
    pixel_size: float | None, seconds: bool, as_json: bool,
) -> None:  # fmt: skip
    from napari_unetsharp.slides.export import USUAL, SlideFormat, export_slide

    if pixel_size is not None or seconds:
        option = "--seconds" if pixel_size is None else "--pixel-size"
        raise SettingsError(f"{option} isn't for a run over a slide, which knows what it used; leave it out")
    known = [str(kind) for kind in SlideFormat]
    _check_known(formats, known)
    wanted = [SlideFormat(name) for name in formats or map(str, USUAL)]
    done = export_slide(folder, out, wanted, slide, "annotation" if annotations else "detection", packed)
    _say(done.nuclei, done.files, done.notes, as_json)


def _of_mask(
    mask: Path, out: Path, image: Path | None, formats: list[str] | None, annotations: bool, pixel_size: float | None,
    seconds: bool, as_json: bool,
) -> None:  # fmt: skip
    from napari_unetsharp.images.files import read_image
    from napari_unetsharp.nuclei.export import Format, measure_source, open_source, write_export

    known = [str(kind) for kind in Format]
    _check_known(formats, [*known, _SERIES])
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise SettingsError(f"a pixel size of {pixel_size} makes no sense; give micrometres above 0")
    segmented = [_segmentation(mask, out, image)] if _SERIES in (formats or ()) else []
    wanted = [Format(name) for name in formats or known if name != _SERIES]
    if not wanted:
        _say(None, segmented, [], as_json)
        return
    source = open_source(mask, read_image(image) if image is not None else None)
    if pixel_size is not None:
        source.image.scale, source.image.units = (pixel_size, pixel_size), ("micrometer", "micrometer")
    measures = measure_source(source)
    written = write_export(source, measures, out, wanted, "annotation" if annotations else "detection", seconds)
    _say(len(measures["id"]), written + segmented, source.notes, as_json)


def _segmentation(mask: Path, out: Path, series: Path | None) -> Path:
    """Write the labels of a DICOM picture or series as a segmentation of it."""
    from napari_unetsharp.slides.dicom_series_seg import found_by, read_planes, write_series_seg

    if series is None:
        raise SettingsError(
            f"a DICOM segmentation refers to a picture; give the DICOM file or series that {mask.name} belongs to by "
            "--image"
        )
    path = out / f"{mask.name.split('.')[0]}_seg.dcm"
    write_series_seg(path, series, read_planes(mask), found_by(mask))
    return path


def _check_known(formats: list[str] | None, known: list[str]) -> None:
    if unknown := [name for name in formats or () if name not in known]:
        raise SettingsError(f"format {unknown[0]!r} is unknown here; choose from {', '.join(known)}")


def _say(count: int | None, files: list[Path], notes: list[str], as_json: bool) -> None:
    if as_json:
        told = {} if count is None else {"nuclei": count}
        typer.echo(json.dumps({**told, "files": [str(path) for path in files], "notes": notes}))
        return
    for note in notes:
        typer.echo(f"  {note}")
    if count is not None:
        typer.echo(f"{count:,} nuclei")
    for path in files:
        typer.echo(f"Written to {path}")
