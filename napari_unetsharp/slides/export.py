"""Results of a run over a slide, written in the formats that other programs read."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import chain
from pathlib import Path

from napari_unetsharp.errors import ImageError, SettingsError, SlideRunError
from napari_unetsharp.images.channel import one_channel
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.file_set import saving
from napari_unetsharp.nuclei.geojson import ObjectType
from napari_unetsharp.slides.about import run_folder
from napari_unetsharp.slides.dicom_ann import write_slide_annotations
from napari_unetsharp.slides.dicom_seg import write_slide_seg
from napari_unetsharp.slides.dicom_source import Finder, import_highdicom, slide_header
from napari_unetsharp.slides.geojson import write_slide_geojson
from napari_unetsharp.slides.in_force import labels_in_force
from napari_unetsharp.slides.ngff import write_ngff
from napari_unetsharp.slides.nuclei import SlideNucleus
from napari_unetsharp.slides.store import SlideStore
from napari_unetsharp.slides.table import write_parts


class SlideFormat(StrEnum):
    """What can be written of a slide."""

    CSV = "csv"
    GEOJSON = "geojson"
    PARQUET = "parquet"
    NGFF = "ngff"
    NGFF_04 = "ngff-0.4"
    DICOM_SEG = "dicom-seg"
    DICOM_ANN = "dicom-ann"


USUAL = (SlideFormat.CSV, SlideFormat.GEOJSON, SlideFormat.PARQUET, SlideFormat.NGFF)
"""What is written where nothing else is asked for."""

PACKINGS = ("", "gz", "zip")

_OF_JOBS = (".jobs", "report.json")
"""What lies beside the folders of jobs."""

_OF_DICOM = {SlideFormat.DICOM_SEG, SlideFormat.DICOM_ANN}


@dataclass
class SlideExport:
    """What was written: how many nuclei the run holds, the files, and what a person should know, a sentence each."""

    nuclei: int
    files: list[Path]
    notes: list[str]


def is_run(folder: str | Path) -> bool:
    """Whether a folder holds the results of a run over a slide."""
    return (Path(folder) / "run.json").is_file()


def export_slide(
    folder: str | Path,
    out: str | Path,
    formats: Collection[SlideFormat] = USUAL,
    slide: str | Path | None = None,
    object_type: ObjectType = "detection",
    packing: str = "",
) -> SlideExport:
    """Write ``NAME_nuclei.csv``, ``.geojson``, ``.parquet`` and ``.ome.zarr``, ``NAME_seg.dcm``, ``NAME_ann.dcm``.

    NAME is that of the slide, or of the run's folder where the window or a job named that.

    Nuclei are read block by block; only annotations of DICOM hold half a million of them at once.

    Parameters
    ----------
    folder : str or Path
        Of the run, finished or not.
    out : str or Path
        Made if it isn't there.
    formats : collection of SlideFormat
    slide : str or Path, optional
        Where the slide lies now, if not where it was run; for the DICOM formats alone.
    object_type : str
        Of the features of GeoJSON; see `write_slide_geojson`.
    packing : str
        "gz" or "zip" to pack the GeoJSON, which QuPath opens as it is or from a zip.

    Returns
    -------
    SlideExport

    Raises
    ------
    SlideRunError
        If the folder holds no run, or a damaged one.
    SettingsError, ImageError
        If a DICOM format is asked for and the slide isn't DICOM, isn't there or is another one.
    SaveError
        If a file can't be written.
    """
    if packing not in PACKINGS:
        raise SettingsError(f"GeoJSON can't be packed as {packing!r}; choose gz or zip, or leave it out")
    with SlideStore.open(Path(folder)) as store:
        source = _slide_of(store, slide) if _OF_DICOM & set(formats) else None
        try:
            written = _write(store, source, Path(out), formats, object_type, packing)
        finally:
            if source is not None:
                source.close()
        return SlideExport(store.count, written, _notes(store))


def _write(
    store: SlideStore, source: Slide | None, out: Path, formats: Collection[SlideFormat], object_type: ObjectType,
    packing: str,
) -> list[Path]:  # fmt: skip
    about, finder = store.about, _finder(store)
    name = _file_name(store)
    packed = f".geojson.{packing}" if packing else ".geojson"
    paths = {
        SlideFormat.CSV: "_nuclei.csv", SlideFormat.GEOJSON: f"_nuclei{packed}",
        SlideFormat.PARQUET: "_nuclei.parquet", SlideFormat.NGFF: "_nuclei.ome.zarr",
        SlideFormat.NGFF_04: "_nuclei_0.4.ome.zarr", SlideFormat.DICOM_SEG: "_seg.dcm",
        SlideFormat.DICOM_ANN: "_ann.dcm",
    }  # fmt: skip
    writers: dict[SlideFormat, Callable[[Path], object]] = {
        SlideFormat.CSV: lambda path: write_csv(path, store.nuclei()),
        SlideFormat.GEOJSON: lambda path: write_slide_geojson(
            path, store.nuclei(), about.identity, object_type, _facts(store)
        ),
        SlideFormat.PARQUET: lambda path: write_parts(path, store.rows(), about),
        SlideFormat.NGFF: lambda path: write_ngff(path, store),
        SlideFormat.NGFF_04: lambda path: write_ngff(path, store, "0.4"),
    }
    if source is not None:
        shown = labels_in_force(store)
        writers[SlideFormat.DICOM_SEG] = lambda path: write_slide_seg(
            path, source, lambda box: shown(store.read_labels(box)), about.downsample, finder
        )
        writers[SlideFormat.DICOM_ANN] = lambda path: write_slide_annotations(path, source, store.nuclei(), finder)
    written: list[Path] = []
    for kind in SlideFormat:
        if kind in formats:
            path = out / f"{name}{paths[kind]}"
            made = writers[kind](path)
            written += made if isinstance(made, list) else [path]
    return written


def write_csv(path: Path, nuclei: Iterable[SlideNucleus]) -> None:
    """Write a row per nucleus, with the columns of the Parquet table but for the polygon; empty where unknown."""
    names = [each.name for each in fields(SlideNucleus) if each.name not in ("id", "polygon", "box", "centroid")]
    with saving(path), written_beside(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "top", "left", "bottom", "right", "y", "x", *names])
        for nucleus in nuclei:
            told = (getattr(nucleus, name) for name in names)
            table.writerow([nucleus.id, *nucleus.box, *map(_short, chain(nucleus.centroid, told))])


def _short(value: object) -> object:
    return f"{value:.8g}" if isinstance(value, float) else value


def _identities(slide: Slide) -> list[str]:
    """Of the slide, and of each of its channels, which may have been run alone."""
    alone = [] if slide.rgb else [one_channel(slide, number).identity for number in range(len(slide.channels))]
    return [slide.identity, *alone]


def _slide_of(store: SlideStore, given: str | Path | None) -> Slide:
    """The slide that was run, opened and found fit to be referred to; a person may have moved it."""
    about = store.about
    path = Path(given) if given is not None else Path(about.path)
    if about.plane:
        raise SettingsError(
            f"this run is of plane {', '.join(map(str, about.plane))} of a stack, which the DICOM formats can't tell; "
            "export geojson, parquet or ngff"
        )
    if not path.exists():
        raise SlideRunError(f"the slide isn't at {path} any more, and a DICOM file refers to it; give it by --image")
    import_highdicom()
    slide = open_slide(path)
    try:
        if about.identity not in _identities(slide):
            raise ImageError(f"{path.name} isn't the slide that was run: its content differs; give that one by --image")
        slide_header(slide)
    except BaseException:
        slide.close()
        raise
    return slide


def _finder(store: SlideStore) -> Finder:
    about = store.about
    settings = {
        "depth": str(about.level),
        "threshold": f"{store.settings.threshold:g}",
        "split": str(store.settings.split),
        "run": about.fingerprint[:16],
    }
    return Finder(about.checkpoint, about.checkpoint_sha256, about.version, settings)


def _facts(store: SlideStore) -> dict[str, str]:
    about = store.about
    return {
        "slide": about.slide,
        "model": about.checkpoint,
        "model_sha256": about.checkpoint_sha256,
        "depth": str(about.level),
        "version": about.version,
        "run": about.fingerprint,
    }


def _file_name(store: SlideStore) -> str:
    """Begin of all file names, another one for each run; what the record of a run says may come from elsewhere.

    Runs of the window and of jobs have folders of different names; several slides, and runs over one, share a name.
    """
    folder, about = store.folder.absolute(), store.about
    of_jobs = any((folder.parent / mark).exists() for mark in _OF_JOBS)
    own = folder.name == run_folder(folder.parent, about).name or of_jobs
    kept = re.sub(r"[^\w .()+-]", "_", folder.name if own else about.slide).strip(" .")[:120] or "slide"
    return "_".join([kept, *map(str, about.plane)])


def _notes(store: SlideStore) -> list[str]:
    wanted = int(store.wanted.sum())
    done = int((store.painted & store.wanted).sum())
    if done < wanted:
        return [f"The run isn't finished: {done} of {wanted} blocks are done, and only those were exported."]
    return []
