"""Many inputs, one command: each a job under its own lock, and a report that grows."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.jobs.job import Job, Told, run_job
from napari_unetsharp.jobs.picture_job import OnProgress, silent
from napari_unetsharp.jobs.report import Report, new_report, unwritable, write_report
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.jobs.source import Source
from napari_unetsharp.jobs.state import Row, new_row
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.nuclei.lock import Lock

OnRow = Callable[[Row], object]


class JobList:
    """The jobs of a command: which are next, who holds them, and their rows in the order of the inputs.

    Parameters
    ----------
    sources : sequence of Source
        With names.
    settings : JobSettings
    checkpoint : Checkpoint
    on_row : callable
        Gets each row when it is there.
    take_over : bool
        Also do jobs that a process of another machine holds.

    Attributes
    ----------
    report : dict
        See `report.new_report`.

    Raises
    ------
    SettingsError
        If the folder takes no files.
    """

    def __init__(
        self, sources: Sequence[Source], settings: JobSettings, checkpoint: Checkpoint,
        on_row: OnRow = lambda row: None, take_over: bool = False,
    ) -> None:  # fmt: skip
        self.report: Report = new_report(checkpoint, settings)
        self._folder, self._on_row, self._take_over = settings.folder, on_row, take_over
        token = uuid.uuid4().hex
        said = (
            replace(
                one, um_per_pixel=one.um_per_pixel or settings.um_per_pixel, channel=one.channel or settings.channel
            )
            for one in sources
        )
        sized = (one if one.nucleus_size else replace(one, nucleus_size=settings.nucleus_size) for one in said)
        self._jobs = [Job(source, settings, token) for source in sized]
        self._waiting, self._elsewhere = deque(self._jobs), deque[Job]()
        self._rows: dict[str, Row] = {}
        try:
            settings.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(settings.folder, error) from error
        write_report(settings.folder, self.report)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def finished(self) -> int:
        """How many have a row."""
        return len(self._rows)

    def next(self) -> tuple[Job, Lock] | None:
        """Take a job and its lock; None when none is left.

        What somebody else works on comes once more at the end: it may be done by then, and else its row says who.
        """
        while self._waiting or self._elsewhere:
            last = not self._waiting
            job = (self._elsewhere if last else self._waiting).popleft()
            row = new_row(job.source)
            with Told(job, row):
                return job, job.place.lock(self._take_over)
            if last:
                self.add(row)
            else:
                self._elsewhere.append(job)
        return None

    def add(self, row: Row) -> None:
        """Take a row in and write the report; raises `SettingsError` if that fails."""
        self._rows[row["name"]] = row
        names = (job.source.name for job in self._jobs)
        self.report["images"] = [self._rows[name] for name in names if name in self._rows]
        write_report(self._folder, self.report)
        self._on_row(row)


def segment(jobs: JobList, predictor: Predictor, on_progress: OnProgress = silent) -> Report:
    """Run jobs one after the other in this process; one that fails doesn't stop the others.

    Parameters
    ----------
    jobs : JobList
    predictor : Predictor
    on_progress : callable
        Gets a text, and how many of how many tiles or blocks.

    Returns
    -------
    dict
        What ``report.json`` in the folder holds.

    Raises
    ------
    SettingsError
        If the report can't be written.
    """
    jobs.report["device"] = {"kind": predictor.device.kind, "name": predictor.device.name}
    while (taken := jobs.next()) is not None:
        job, lock = taken
        try:
            row = run_job(job, predictor, on_progress)
        finally:
            lock.release()
        jobs.add(row)
    return jobs.report
