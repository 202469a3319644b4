"""Jobs on many workers: a picture is one task; a slide is prepared, computed in groups of blocks, and painted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

from napari_unetsharp.jobs.crew import Crew
from napari_unetsharp.jobs.job import Job
from napari_unetsharp.jobs.picture_job import OnProgress, silent
from napari_unetsharp.jobs.report import Report
from napari_unetsharp.jobs.segment import JobList
from napari_unetsharp.jobs.settings import NetworkSettings
from napari_unetsharp.jobs.slide_job import BlocksTold, SlidePlan
from napari_unetsharp.jobs.state import Row, new_row
from napari_unetsharp.jobs.tasks import Answer, Task, groups_of
from napari_unetsharp.nuclei.lock import Lock


@dataclass
class _Running:
    """A job whose lock we hold."""

    job: Job
    lock: Lock
    plan: SlidePlan | None = None
    groups_left: int = 0
    told: BlocksTold = field(default_factory=BlocksTold)


class Distribution:
    """Jobs on their way through a crew.

    Parameters
    ----------
    jobs : JobList
    network : NetworkSettings
    crew : Crew
    """

    def __init__(self, jobs: JobList, network: NetworkSettings, crew: Crew) -> None:
        self.jobs, self.network, self.crew = jobs, network, crew
        self._tickets = count()
        self._out: dict[int, _Running] = {}
        self._open: list[_Running] = []

    def run(self, on_progress: OnProgress = silent) -> Report:
        """Do all jobs and end the crew; one that fails doesn't stop the others.

        Parameters
        ----------
        on_progress : callable
            Gets a text, and how many of how many jobs have a row.

        Returns
        -------
        dict
            What ``report.json`` in the folder holds.

        Raises
        ------
        SettingsError
            If the report can't be written.
        """
        try:
            while self._started() or self._out:
                ticket, answer = self.crew.next()
                self._take(self._out.pop(ticket), answer)
                on_progress(f"{self.crew.size} workers", self.jobs.finished, len(self.jobs))
        finally:
            try:
                self.crew.close()  # before anybody else may have what its workers write
            finally:
                for running in self._open:
                    running.lock.release()
        return self.jobs.report

    def _started(self) -> bool:
        """Start jobs while there is little to do for the workers; False if none was left to start."""
        started = False
        while len(self._out) < 2 * self.crew.size:
            taken = self.jobs.next()
            if taken is None:
                break
            running = _Running(*taken)
            self._open.append(running)
            self._submit(running, Task(running.job, self.network))
            started = True
        return started

    def _submit(self, running: _Running, task: Task) -> None:
        ticket = next(self._tickets)
        self._out[ticket] = running
        self.crew.submit(ticket, task)

    def _take(self, running: _Running, answer: Answer | str) -> None:
        plan, seconds = running.plan, 0.0
        found: Row | SlidePlan | BlocksTold
        if isinstance(answer, str):
            found = BlocksTold([answer]) if running.groups_left else self._lost(running, answer)
        else:
            found, seconds = answer.found, answer.seconds
            self.jobs.report["device"] = answer.device
        if isinstance(found, SlidePlan):
            self._hand_out_blocks(running, found)
        elif isinstance(found, BlocksTold) and plan is not None:
            plan.row["seconds"] = round(plan.row["seconds"] + seconds, 3)
            running.told.add(found)
            running.groups_left -= 1
            if not running.groups_left:
                self._submit(running, Task(running.job, self.network, plan, told=running.told))
        elif isinstance(found, dict):
            self._close(running, found)

    def _hand_out_blocks(self, running: _Running, plan: SlidePlan) -> None:
        groups = groups_of(plan.blocks, self.crew.size)
        running.plan, running.groups_left = replace(plan, blocks=()), len(groups)
        for group in groups:
            self._submit(running, Task(running.job, self.network, running.plan, group))
        if not groups:
            self._submit(running, Task(running.job, self.network, running.plan))

    def _lost(self, running: _Running, why: str) -> Row:
        return new_row(running.job.source) | {"error": f"{running.job.source.path.name}: {why}"}

    def _close(self, running: _Running, row: Row) -> None:
        running.lock.release()
        self._open.remove(running)
        self.jobs.add(row)
