"""Open every file of the shared collection, and synthetic giants, each in a process of its own.

    python benchmarks/formats.py [FOLDER]

For each: seconds until it is open and until a region of every level (or all of a picture) is read, memory added by
opening and by reading, sizes, µm per pixel, and what was said. FOLDER is /work/shared/data/formats or one like it;
without it the giants alone are measured. Memory is the peak of a forked process over its start, so that libraries
don't count; Linux only. Writes benchmarks/formats.json and formats.md.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import formats_giants
import numpy as np
from measured_on import commit, load, machine, today

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.volume import Volume
from napari_unetsharp.images.volume_open import open_any

SHARED = Path("/work/shared/data/formats")
REGION = 512
UNTESTED = (
    "Hamamatsu NDPI and VMS", "MIRAX (MRXS)", "Leica SCN", "Ventana BIF", "Philips TIFF", "Sakura SVSLIDE",
    "Trestle TIFF",
    "QPTIFF from a scanner (a file that the tests write is read)",
    "OME-Zarr from elsewhere (files that the tests write by zarr are read)",
    "DICOM WSI pyramids from a scanner (files that the tests write are read)", "SVS with several levels from a scanner",
)  # fmt: skip
COLUMNS = ("file", "opened as", "sizes", "µm/px", "seconds", "MB opened", "MB read", "said")


def main() -> None:
    """Measure and write."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    before = load()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for name, path in formats_giants.write_all(Path(place)):
            rows.append(measured(path, f"synthetic: {name}"))
            print(rows[-1], flush=True)
    giants = len(rows)
    for path in entries(folder):
        rows.append(measured(path, str(path.relative_to(folder))))
        print(rows[-1], flush=True)
    told = {"date": today(), "machine": machine(), "commit": commit(), "load": [before, load()], "rows": rows}
    here = Path(__file__)
    here.with_suffix(".json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    here.with_suffix(".md").write_text(page(told, giants), encoding="utf-8")


def entries(folder: Path) -> list[Path]:
    """Files, and folders of series in place of their files."""
    found: list[Path] = []
    for path in sorted(folder.rglob("*")):
        series = path.is_dir() and any(in_series(one, folder) for one in path.glob("*.dcm"))
        if series or (path.is_file() and path.suffix != ".csv" and not in_series(path, folder)):
            found.append(path)
    return found


def in_series(path: Path, folder: Path) -> bool:
    """Whether a file is opened with the others of its folder."""
    return path.suffix == ".dcm" and folder / "dicom_series" in path.parents


def measured(path: Path, name: str) -> dict[str, Any]:
    """Open and read in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            answer = measure(path)
        except Exception as error:
            answer = {"opened as": f"FAILED: {type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.loads(pipe.read() or '{"opened as": "the process died"}')
    os.waitpid(child, 0)
    return {"file": name} | answer


def measure(path: Path) -> dict[str, Any]:
    """Time, memory and words of one path."""
    start, clock = peak(), time.perf_counter()
    try:
        opened = open_any(path)
    except ImageError as error:
        seconds = time.perf_counter() - clock
        return {"opened as": "refused", "seconds": round(seconds, 2), "MB opened": peak() - start, "said": str(error)}
    seconds, added = time.perf_counter() - clock, peak() - start
    told = described(opened)
    try:
        reader(opened)()
    except ImageError as error:
        told["said"] += f" Reading: {error}"
    whole = time.perf_counter() - clock
    return told | {"seconds": round(seconds, 2), "seconds with a read": round(whole, 2), "MB opened": added,
                   "MB read": peak() - start}  # fmt: skip


def peak() -> int:
    """Largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def described(opened: Slide | Volume | Image) -> dict[str, Any]:
    """What a person is told."""
    said = " ".join(opened.notes)
    if isinstance(opened, Slide):
        sizes = ", ".join("x".join(str(side) for side in level.shape) for level in opened.levels)
        um = "unknown" if opened.um_per_pixel is None else f"{opened.um_per_pixel[1]:.4g}"
        return {"opened as": f"slide: {opened.kind}", "sizes": f"{opened.axes} {sizes}", "µm/px": um, "said": said}
    size = f"{opened.axes} {'x'.join(str(side) for side in opened.pixels.shape)}"
    factor = {"millimeter": 1e3, "micrometer": 1.0}.get(opened.units[-1])
    um = "unknown" if factor is None else f"{opened.scale[-1] * factor:.4g}"
    kind = f"volume: {opened.kind}" if isinstance(opened, Volume) else "picture"
    return {"opened as": kind, "sizes": size, "µm/px": um, "said": said}


def reader(opened: Slide | Volume | Image) -> Callable[[], object]:
    """Read the middle of every level of a slide, a middle plane of a volume, all of a picture."""
    if isinstance(opened, Slide):
        return lambda: [middle(level) for level in opened.levels]
    if isinstance(opened, Volume):
        return lambda: opened.plane(tuple(side // 2 for side in opened.stack_shape))
    return lambda: np.asarray(opened.pixels)


def middle(level: Any) -> object:
    """A region around the centre of the first plane."""
    starts = [max(0, side // 2 - REGION // 2) for side in level.shape[-3:-1]]
    plane = (0,) * len(level.stack_shape)
    return level[(*plane, slice(starts[0], starts[0] + REGION), slice(starts[1], starts[1] + REGION))]


def page(told: dict[str, Any], giants: int) -> str:
    """The table for people."""
    rows = told["rows"]
    refused = sum(row["opened as"] == "refused" for row in rows)
    failed = sum(row["opened as"].startswith(("FAILED", "the process")) for row in rows)
    synthetic = rows[:giants]
    lines = [
        "# Formats: every file at hand, opened or refused",
        "",
        f"Written by benchmarks/formats.py on {told['date']}. {told['machine']}; commit {told['commit']}; load "
        f"{told['load'][0]} when it began and {told['load'][1]} at the end. *Seconds* until open; *MB* are the peak "
        "over the start of a process that had the libraries loaded, after opening and after reading a region of "
        "512 x 512 of every level (a middle plane of a volume, all of a picture).",
        "",
        f"{len(rows)} paths: {len(rows) - refused - failed} opened, {refused} refused in a sentence, {failed} failed "
        f"otherwise. The synthetic giants opened in {max(row['seconds'] for row in synthetic):.2f} s at most and added "
        f"{max(row['MB opened'] for row in synthetic)} MB at most (aims: 2 s, 300 MB).",
        "",
        "Untested here, for want of a file: " + "; ".join(UNTESTED) + ".",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        cells = [str(row.get(column, "")).replace("|", "\\|") for column in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
