"""Many files, one after the other, into a folder: labels, maps and a report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetsharp import __version__
from napari_unetsharp.errors import SettingsError, UNetSharpError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.tiff import write_tiff, written_beside
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import PlaneDone, Results, TileDone
from napari_unetsharp.network.grid import branches_of_level
from napari_unetsharp.nuclei.instances import LabelSettings

OnProgress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class BatchJob:
    """What to write, and how to read the maps.

    Attributes
    ----------
    folder : Path
        Made if it isn't there. Results of the same name from an earlier run are replaced.
    level : int
        Deepest level.
    all_levels : bool
        Labels of every level up to it.
    branches : bool
        Probability maps of every branch.
    settings : LabelSettings
    nucleus_size : float or None
        Diameter in pixels of a typical nucleus; estimated for each image if None.
    """

    folder: Path
    level: int
    all_levels: bool
    branches: bool
    settings: LabelSettings
    nucleus_size: float | None = None

    def wanted(self, heads: tuple[str, ...]) -> tuple[str, ...]:
        """Branches that have to be computed, of those that have a head.

        Raises
        ------
        SettingsError
            If the level asked for has no head.
        """
        if f"x0{self.level}" not in heads:
            raise SettingsError(
                f"depth {self.level} has no head in this checkpoint (it has {', '.join(heads)}); choose another --level"
            )
        offered = [name for name in branches_of_level(self.level) if name in heads]
        if self.branches:
            return tuple(offered)
        if self.all_levels:
            return tuple(name for name in offered if name.startswith("x0"))
        return (f"x0{self.level}",)


def segment_files(
    paths: list[Path], predictor: Predictor, job: BatchJob, on_progress: OnProgress = lambda text, done, total: None
) -> dict[str, Any]:
    """Run the predictor over files; one that fails doesn't stop the others.

    Parameters
    ----------
    paths : list of Path
    predictor : Predictor
    job : BatchJob
    on_progress : callable
        Gets a text, and how many of how many tiles.

    Returns
    -------
    dict
        What ``report.json`` in the folder holds: version, checkpoint, device, level, settings, and for each image
        its input, files, shape, axes, nucleus size in pixels (None where the checkpoint knows none), nuclei per
        level, seconds, warnings and error (empty if none).

    Raises
    ------
    SettingsError
        If the folder or the report in it can't be written.
    """
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(job.folder, error) from error
    stems = _stems(paths)
    entries = [_segment_file(path, stem, predictor, job, on_progress) for path, stem in zip(paths, stems, strict=True)]
    metadata = predictor.checkpoint.metadata
    report = {
        "version": __version__,
        "checkpoint": {"name": metadata.name, "sha256": metadata.sha256},
        "device": {"kind": predictor.device.kind, "name": predictor.device.name},
        "level": job.level,
        "threshold": job.settings.threshold,
        "smallest": job.settings.smallest,
        "split": job.settings.split,
        "images": entries,
    }
    try:
        with written_beside(job.folder / "report.json") as beside:
            beside.write_text(json.dumps(report, indent=1), encoding="utf-8")
    except OSError as error:
        raise _unwritable(job.folder, error) from error
    return report


def _unwritable(folder: Path, error: OSError) -> SettingsError:
    return SettingsError(f"nothing can be written to {folder} ({error.strerror or error}); give another folder")


def _stems(paths: list[Path]) -> list[str]:
    """File stems, numbered where two inputs would otherwise write the same files, whatever the file system's case."""
    own = {path.stem.casefold() for path in paths}
    used: set[str] = set()
    stems = []
    for path in paths:
        stem, number = path.stem, 1
        while stem.casefold() in used or (number > 1 and stem.casefold() in own):
            number += 1
            stem = f"{path.stem}-{number}"
        used.add(stem.casefold())
        stems.append(stem)
    return stems


def _segment_file(
    path: Path, stem: str, predictor: Predictor, job: BatchJob, on_progress: OnProgress
) -> dict[str, Any]:
    started = time.monotonic()
    entry: dict[str, Any] = {
        "input": str(path), "files": [], "shape": [], "axes": "", "nucleus_size": None, "nuclei": {}, "seconds": 0.0,
        "warnings": [], "error": "",
    }  # fmt: skip
    try:
        image = read_image(path)
        results = Results(image)
        results.claim(predictor, job.nucleus_size)
        entry |= {"shape": list(results.shape), "axes": image.spatial_axes}
        counts: dict[int, int] = {}
        planes = list(image.plane_indices())
        for step in results.steps(predictor, planes, lambda: job.settings, shown=None if job.all_levels else job.level):
            if isinstance(step, TileDone):
                total = step.planes * step.tile.total
                on_progress(path.name, step.planes_done * step.tile.total + step.tile.done, total)
            elif isinstance(step, PlaneDone):
                counts = {level: counts.get(level, 0) + count for level, count in step.nuclei.items()}
        levels = results.levels if job.all_levels else (job.level,)
        entry["nucleus_size"] = results.nucleus_size
        entry["nuclei"] = {f"L{level}": counts[level] for level in levels}
        entry["warnings"] = results.notes
        entry["files"] = _write(results, stem, levels, job)
    except UNetSharpError as error:
        entry["error"] = f"{path.name}: {error}" if path.name not in str(error) else str(error)
    except OSError as error:
        entry["error"] = f"{path.name}: the results can't be written to {job.folder} ({error.strerror or error})"
    entry["seconds"] = round(time.monotonic() - started, 3)
    return entry


def _write(results: Results, stem: str, levels: tuple[int, ...], job: BatchJob) -> list[str]:
    written = []
    for level in levels:
        labels = results.labels[level]
        file = job.folder / f"{stem}_L{level}.tif"
        write_tiff(file, labels.astype(np.uint16 if labels.max(initial=0) < 2**16 else np.uint32), results.image)
        written.append(str(file))
    for name, probability in results.maps.items() if job.branches else ():
        file = job.folder / f"{stem}_{name}.tif"
        write_tiff(file, probability, results.image)
        written.append(str(file))
    return written
