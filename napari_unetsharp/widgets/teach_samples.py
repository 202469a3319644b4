"""What stage *Teach* can learn from, and reading it in a thread. No Qt, no napari."""

from __future__ import annotations

import glob
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_path

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.places import SUFFIX
from napari_unetsharp.nuclei.review_folder import RECORD
from napari_unetsharp.training.kept_aside import split
from napari_unetsharp.training.quality import megapixels
from napari_unetsharp.training.reviewed_sample import SNAPSHOT, ReviewedSample, what_is_missing
from napari_unetsharp.training.sample_sources import Source

SIDE = 44
"""Of a thumbnail, in pixels."""

Origin = Source | Callable[[], ReviewedSample]
"""A sample on disk, or one that is made of copies of open layers and then written for the other process."""


@dataclass
class Entry:
    """A line of the list.

    Attributes
    ----------
    key : str
        Its folder or file, or the names of its layers; the same is never listed twice.
    name : str
    origin : callable
        Called in the main thread: gives what the reading thread is to read; None where it is gone.
    open_here : bool
        It is about the image on screen.
    ticked : bool
    part : "auto", "train" or "aside"
    sample : ReviewedSample or None
        Without its pixels.
    source : Source or None
        For the process that learns.
    picture : array of uint8, (`SIDE`, `SIDE`, 3), or None
    trouble : str
        Why it can't be read.
    stamp : tuple
        What its file looked like when it was read; empty for layers, which are read again each time.
    """

    key: str
    name: str
    origin: Callable[[], Origin | None]
    open_here: bool = False
    ticked: bool = True
    part: str = "auto"
    sample: ReviewedSample | None = None
    source: Source | None = None
    picture: NDArray[np.uint8] | None = None
    trouble: str = ""
    stamp: tuple[int, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it is ticked and was read."""
        return self.ticked and self.sample is not None and self.source is not None

    def words(self) -> str:
        """Nuclei, and the share of the pixels that counts."""
        if self.trouble:
            return self.trouble
        if self.sample is None:
            return "reading…"
        count, share = len(self.sample.nuclei), self.sample.share
        if not share:
            return "nothing reviewed yet"
        told = f"{share:.0%}" if share >= 0.095 else f"{share:.1%}"
        drawn = self.sample.edited_nuclei
        words = f"{count:,} nucle{'us' if count == 1 else 'i'} · {told} counts"
        return words + (f" · {drawn:,} drawn" if drawn else "")


@dataclass(frozen=True)
class Read:
    """One sample was read, or not."""

    key: str
    sample: ReviewedSample | None = None
    source: Source | None = None
    picture: NDArray[np.uint8] | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Weighed:
    """What is kept aside, and what is missing.

    Attributes
    ----------
    aside, missing : str
        In words; empty where nothing is.
    divided : str
        Side of the single image of which a quarter is kept aside.
    learned, tested : float
        Megapixels at the model's scale around what is learned from, and around what is kept aside.
    """

    aside: str
    missing: str
    divided: str = ""
    learned: float = 0.0
    tested: float = 0.0


def survey_steps(
    todo: dict[str, Origin], parts: dict[str, str], known: dict[str, ReviewedSample], folder: Path,
    how: tuple[int, str], stop: Callable[[], bool],
) -> Iterator[Read | Weighed]:  # fmt: skip
    """Read samples, and weigh those that are ticked; for a worker.

    Parameters
    ----------
    todo : dict of str to Origin
        By key.
    parts : dict of str to str
        Part of each ticked sample, by key.
    known : dict of str to ReviewedSample
        Those that were read before.
    folder : Path
        For snapshots of layers.
    how : tuple of int and str
        Seed, and side of a single image, of what is kept aside.
    stop : callable
    """
    known = dict(known)
    for key, origin in todo.items():
        if stop():
            return
        read = _read(key, origin, folder)
        known.pop(key, None)
        if read.sample is not None:
            known[key] = read.sample
        yield read
    samples = [known[key] if part == "auto" else replace(known[key], part=part) for key, part in parts.items()
               if key in known]  # fmt: skip
    yield weigh(samples, *how)


def weigh(samples: list[ReviewedSample], seed: int, quarter: str = "") -> Weighed:
    """The same choice that the process will make."""
    missing = what_is_missing(samples)
    if missing:
        return Weighed("", missing)
    parts = split(samples, seed, quarter)
    missing = what_is_missing(parts.training)
    told = f"too much is kept aside: of what is left to learn from, {missing}" if missing else ""
    learned, tested = (sum(map(megapixels, part)) for part in (parts.training, parts.aside))
    return Weighed(parts.words, told, parts.divided, learned, tested)


def _read(key: str, origin: Origin, folder: Path) -> Read:
    try:
        if isinstance(origin, Source):
            sample, source = origin.read(), origin
        else:
            sample = origin()
            source = Source(str(sample.save(folder / f"{uuid.uuid4().hex[:12]}{SNAPSHOT}")))
    except UNetSharpError as error:
        return Read(key, trouble=str(error))
    except (OSError, MemoryError, ValueError) as error:
        return Read(key, trouble=f"it can't be read ({type(error).__name__}: {error})")
    light = replace(sample, pixels=np.broadcast_to(np.zeros((), np.uint8), sample.pixels.shape))
    _ = light.nuclei  # counted here, in the thread
    return Read(key, light, source, thumbnail(sample))


def thumbnail(sample: ReviewedSample) -> NDArray[np.uint8]:
    """The whole field, small; what doesn't count is dark.

    Returns
    -------
    array of uint8, (`SIDE`, `SIDE`, 3)
    """
    step = max(1, -(-max(sample.labels.shape) // SIDE))
    pixels = np.asarray(sample.pixels[::step, ::step], np.float32)
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    low, high = (float(value) for value in np.nanpercentile(pixels, (0.5, 99.8)))
    grey = np.clip(np.nan_to_num((pixels - low) / max(1e-6, high - low)), 0, 1)
    counts = sample.reviewed[::step, ::step, np.newaxis]
    grey = np.where(counts, grey, 0.4 * grey)
    small = np.zeros((SIDE, SIDE, 3), np.uint8)
    rows, columns = (min(SIDE, length) for length in grey.shape[:2])
    top, left = (SIDE - rows) // 2, (SIDE - columns) // 2
    small[top : top + rows, left : left + columns] = (255 * grey[:rows, :columns]).astype(np.uint8)
    return small


def reviews_of(image: Path) -> list[Path]:
    """Folders with reviews of an image: beside it, or in the user's data."""
    name = glob.escape(image.name)
    own = user_data_path("napari-unetsharp", appauthor=False) / "reviews"
    places = [image.with_name(image.name + SUFFIX), *sorted(image.parent.glob(f"{name}-????????????{SUFFIX}")),
              *sorted(own.glob(f"{name}-????????????"))]  # fmt: skip
    return [found for place in places if place.is_dir() for found in _reviews_in(place)]


def _reviews_in(place: Path) -> list[Path]:
    if _is_review(place):
        return [place]
    return sorted(inside for inside in place.glob("plane *") if _is_review(inside))


def _is_review(folder: Path) -> bool:
    return (folder / JOURNAL).is_file() or (folder / RECORD).is_file()


def stamp_of(source: Any) -> tuple[int, ...]:
    """What the files of a source look like; another review or file has another one."""
    if not isinstance(source, Source):
        return ()
    path = Path(source.path)
    files: Iterable[Path] = [path / JOURNAL, path / RECORD] if path.is_dir() else [path, Path(source.labels or path)]
    numbers = []
    for file in files:
        try:
            numbers += [file.stat().st_mtime_ns, file.stat().st_size]
        except OSError:
            numbers += [0, 0]
    return tuple(numbers)
