"""Telling results from inputs: what these jobs or the window wrote is never run again."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from napari_unetsharp.slides.run_files import RUN, SETTINGS

WINDOW = ".unetsharp"
"""Ending of the folder that the window keeps beside a slide or picture."""

_WRITTEN = re.compile(r"(.+)_(?:L[1-4]|x[0-4][0-4])\.tif")
"""Labels of a depth or the map of a branch, after the name of the job."""


def is_run(folder: Path) -> bool:
    """Whether a folder holds a slide's results, or all that the window keeps of a slide; raises `OSError`."""
    if folder.name.casefold().endswith(WINDOW):
        return True
    return (folder / RUN).is_file() and (folder / SETTINGS).is_file()


def is_result(file: Path) -> bool:
    """Whether a file is a report, or labels or maps that a job of its folder wrote, by what the folder tells."""
    if file.name == "report.csv":
        return (file.parent / "report.json").is_file()
    named = _WRITTEN.fullmatch(file.name)
    if named is None:
        return False
    if (file.parent / ".jobs" / f"{named[1]}.json").is_file():
        return True
    report = file.parent / "report.json"
    return report.is_file() and file.name in _reported(report, report.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _reported(report: Path, changed: int) -> frozenset[str]:
    """Names of the files that a report lists; none where it isn't one of ours."""
    try:
        rows = json.loads(report.read_bytes())["images"]
        return frozenset(Path(file).name for row in rows for file in row["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()
