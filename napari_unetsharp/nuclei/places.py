"""Where the review of an image lies."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from platformdirs import user_data_path

from napari_unetsharp.nuclei.head import JOURNAL, find_review
from napari_unetsharp.nuclei.identity import Identity

SUFFIX = ".unetsharp"
"""`field.tif` has its review in `field.tif.unetsharp`."""


def review_folder(image: Path | None, identity: Identity, plane: tuple[int, ...] = ()) -> Path:
    """Folder for the journal of an image: beside it, else in the user's data.

    Beside the image and in sight, so that whoever copies or archives the folder takes the review along and
    whoever finds it knows what it belongs to. An existing review of the image is found in either place. One
    folder per file name and image: another image that took the place of the file gets a folder of its own.

    Parameters
    ----------
    image : Path or None
        The image file; None for a layer without one.
    identity : Identity
        Of the image.
    plane : tuple of int, optional
        Which plane of a stack.

    Returns
    -------
    Path
        Made only when a review starts there.
    """
    inside = Path(*(f"plane {index}" for index in plane))
    mark = identity.pixels[:12]
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", image.name if image else "layer")
    own = user_data_path("napari-unetsharp", appauthor=False) / "reviews" / f"{name}-{mark}"
    if image is None:
        return own / inside
    beside = image.with_name(image.name + SUFFIX)
    if _belongs_to_another(beside / inside, identity):
        beside = image.with_name(f"{image.name}-{mark}{SUFFIX}")
    if (beside / inside / JOURNAL).exists():
        return beside / inside
    if (own / inside / JOURNAL).exists() or not writable(image.parent):
        return own / inside
    return beside / inside


def _belongs_to_another(folder: Path, identity: Identity) -> bool:
    found = find_review(folder)
    return found is not None and bool(found.identity.differences(identity))


def writable(folder: Path) -> bool:
    """Whether a file can be put into a folder, by trying: permissions alone don't tell on shared disks."""
    trial = folder / f".unetsharp-{uuid.uuid4().hex}"
    try:
        os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        trial.unlink()
    except OSError:
        return False
    return True
