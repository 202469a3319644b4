"""One job from its source to its row: nothing that goes wrong in it leaves it, but the wish to stop."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.jobs.picture_job import OnProgress, PictureJob, silent
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.jobs.slide_job import SlideJob, SlidePlan
from napari_unetsharp.jobs.source import Source
from napari_unetsharp.jobs.state import Fingerprint, JobPlace, Row, new_row


@dataclass(frozen=True)
class Job:
    """A source and what to do with it; goes to other processes.

    Attributes
    ----------
    source : Source
        With a name.
    settings : JobSettings
    token : str
        Of the command: what it finished already, on a worker that then died, isn't said to be skipped.
    """

    source: Source
    settings: JobSettings
    token: str

    @property
    def place(self) -> JobPlace:
        """Where its state is kept."""
        return JobPlace(self.settings.folder, self.source.name)


def run_job(job: Job, predictor: Predictor, on_progress: OnProgress = silent) -> Row:
    """Do a job from end to end, or find that it's done.

    Parameters
    ----------
    job : Job
        The caller has its lock.
    predictor : Predictor
    on_progress : callable
        Gets a text, and how many of how many tiles or blocks.

    Returns
    -------
    dict
    """
    return _row(job, predictor, on_progress, lambda slide_job: slide_job.run(on_progress))


def start_job(job: Job, predictor: Predictor) -> Row | SlidePlan:
    """Do a job, but of a slide only what comes before its blocks.

    Returns
    -------
    dict or SlidePlan
    """
    plans: list[SlidePlan] = []
    row = _row(job, predictor, silent, lambda slide_job: plans.append(slide_job.plan()))
    return plans[0] if plans else row


def _row(job: Job, predictor: Predictor, on_progress: OnProgress, on_slide: Callable[[SlideJob], None]) -> Row:
    row, source, place, settings = new_row(job.source), job.source, job.place, job.settings
    key = Fingerprint("", "")
    with Told(job, row):
        if source.path.exists() and not source.problem and source.files():  # before pixels are read
            key = Fingerprint.of(source, source.identity(), predictor, settings)
            if (known := place.finished(key, job.token)) is not None:
                return _of_today(known, source)
        with source.opened() as opened:
            if isinstance(opened, Slide):  # its identity tells the channel, however that was said
                key = Fingerprint.of(replace(source, channel=""), opened.identity, predictor, settings)
            else:
                key = Fingerprint.of(source, source.identity(), predictor, settings)
            if (known := place.finished(key, job.token)) is not None:
                return _of_today(known, source)
            place.check_owner(key)
            if isinstance(opened, Slide):
                on_slide(SlideJob(source, opened, predictor, settings, row, key))
            else:
                place.begin(key)
                PictureJob(source, opened, predictor, settings, row, on_progress).run(key)
    if row["error"] and row["kind"] != "slide":
        row["nuclei"] = {}  # nothing of it was written
    if row["kind"] != "slide" or row["nuclei"]:
        keep(job, row, key)
    return row


def keep(job: Job, row: Row, key: Fingerprint) -> None:
    """Remember a job that is done."""
    if not row["error"]:
        with Told(job, row, timed=False):
            job.place.finish(key, row, job.token)


def _of_today(row: Row, source: Source) -> Row:
    return row | {"input": str(source.path), "name": source.name}


class Told:
    """Writes into a row what goes wrong in a block, and the seconds that it took; the wish to stop passes.

    Parameters
    ----------
    job : Job
    row : dict
    timed : bool
        Whether the seconds count.
    """

    def __init__(self, job: Job, row: Row, timed: bool = True) -> None:
        self._job, self._row, self._timed = job, row, timed

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        row = self._row
        if self._timed:
            row["seconds"] = round(row["seconds"] + time.monotonic() - self._started, 3)
        if not isinstance(error, Exception):
            return False
        row |= {"state": "failed", "error": self._sentence(error)}
        return True

    def _sentence(self, error: Exception) -> str:
        name = self._job.source.path.name
        if isinstance(error, UNetSharpError):
            return f"{name}: {error}" if name not in str(error) else str(error)
        if isinstance(error, OSError):
            return f"{name}: a file can't be read or written ({error})"
        trace = self._job.place.trace  # of a decoder, say: nobody watches when a thousand run
        with contextlib.suppress(OSError):
            trace.parent.mkdir(parents=True, exist_ok=True)
            trace.write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
        said = f"{type(error).__name__}: {first_line(error)}"
        return f"{name}: something unforeseen failed ({said}); please report it with {trace}"
