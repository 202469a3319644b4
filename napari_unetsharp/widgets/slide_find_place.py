"""Where the runs over a slide lie, and which of them are there."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from platformdirs import user_data_path

from napari_unetsharp.images.slide import Slide
from napari_unetsharp.nuclei.places import SUFFIX, writable
from napari_unetsharp.slides.run_files import COUNTS

FOUND = "found"
"""Folder of the runs within `slide.svs.unetsharp`, where the reviews of its regions lie, too."""

RECORD = "run.json"
"""Of each run; written last, so a folder without it is none."""


def slide_root(slide: Slide) -> Path:
    """Folder for runs over a slide: beside it, else, where nothing can be written, in the user's data.

    Beside the slide and in sight, as a picture's review is: whoever copies the folder takes the results along.

    Parameters
    ----------
    slide : Slide

    Returns
    -------
    Path
        Made only when a run starts there.
    """
    beside, own = _places(slide)
    there = next(folder for folder in (beside, *beside.parents) if folder.is_dir())
    return beside if writable(there) else own


def earlier_runs(slide: Slide) -> list[Path]:
    """Folders of the runs that are there, the one worked on last first.

    They may be of another slide that once had this name: who opens one compares `RunAbout.identity`.

    Parameters
    ----------
    slide : Slide
    """
    found = [record.parent for root in _places(slide) for record in root.glob(f"*/{RECORD}")]
    return sorted(found, key=_touched, reverse=True)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run over a slide, by the window or by the command."""
    return (folder / RECORD).is_file()


def _places(slide: Slide) -> tuple[Path, Path]:
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", slide.path.name)
    own = user_data_path("napari-unetsharp", appauthor=False) / "slides" / f"{name}-{slide.identity[:12]}"
    return slide.path.with_name(slide.path.name + SUFFIX) / FOUND, own


def _touched(folder: Path) -> float:
    """When it was worked on last; a run that is being written has files that come and go."""
    times = [0.0]
    for name in (RECORD, COUNTS):
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times)
