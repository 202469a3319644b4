"""The report of a command: a file for programs, a table for people."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from napari_unetsharp import __version__
from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.jobs.state import Row
from napari_unetsharp.network.checkpoint import Checkpoint

STATES = ("done", "resumed", "skipped", "failed")

Report = dict[str, Any]


def new_report(checkpoint: Checkpoint, settings: JobSettings) -> Report:
    """Give the report of a command that has no rows yet.

    Returns
    -------
    dict
        version, checkpoint, device (empty until something ran), level, settings, and images: a row per job
        (`state.new_row`).
    """
    metadata, labels = checkpoint.metadata, settings.labels
    return {
        "version": __version__,
        "checkpoint": {"name": metadata.name, "sha256": metadata.sha256},
        "device": {},
        "level": settings.level,
        "threshold": labels.threshold,
        "smallest": labels.smallest,
        "split": labels.split,
        "images": [],
    }


def write_report(folder: Path, report: Report) -> None:
    """Write ``report.json`` and ``report.csv``, each beside and renamed.

    Raises
    ------
    SettingsError
        If the folder takes no files.
    """
    try:
        with written_beside(folder / "report.json") as beside:
            beside.write_text(json.dumps(report, indent=1), encoding="utf-8")
        with written_beside(folder / "report.csv") as beside:
            _write_table(beside, report["images"])
    except OSError as error:
        raise unwritable(folder, error) from error


def _write_table(path: Path, rows: list[Row]) -> None:
    levels = sorted({level for row in rows for level in row["nuclei"]})
    columns = ["input", "name", "kind", "state", *(f"nuclei_{level}" for level in levels), "nucleus_size", "seconds"]
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:  # names may not be UTF-8
        table = csv.DictWriter(file, [*columns, "warnings", "error"], extrasaction="ignore")
        table.writeheader()
        for row in rows:
            counts = {f"nuclei_{level}": count for level, count in row["nuclei"].items()}
            table.writerow({**row, **counts, "warnings": " ".join(row["warnings"])})


def unwritable(folder: Path, error: OSError) -> SettingsError:
    """Say that a folder takes no files."""
    return SettingsError(f"nothing can be written to {folder} ({error.strerror or error}); give another folder")


def summary(rows: list[Row]) -> list[tuple[str, int, dict[str, int], float]]:
    """Add up by state, in the order of `STATES`: state, jobs, nuclei by level, seconds; only states that occur."""
    found = []
    for state in STATES:
        of_it = [row for row in rows if row["state"] == state]
        levels = sorted({level for row in of_it for level in row["nuclei"]})
        nuclei = {level: sum(row["nuclei"].get(level, 0) for row in of_it) for level in levels}
        if of_it:
            found.append((state, len(of_it), nuclei, round(sum(row["seconds"] for row in of_it), 1)))
    return found
