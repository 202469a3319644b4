"""A crew on Dask: processes of this machine, or whatever machines a scheduler has."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.jobs.crew import MOST_DEATHS
from napari_unetsharp.jobs.tasks import Answer, Task

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

_PATIENCE = 60
"""Seconds to wait for a scheduler, and then for its first worker."""


class DaskCrew:
    """Workers of Dask; a task whose worker died goes to another one.

    Parameters
    ----------
    address : str
        "local" for processes of this machine, else of a scheduler ("tcp://host:8786").
    size : int
        Processes, for "local".

    Raises
    ------
    SettingsError
        If Dask isn't installed, or no scheduler or worker answers.
    """

    def __init__(self, address: str, size: int = 1) -> None:
        try:
            import dask
            import distributed
        except ImportError:
            raise SettingsError('--dask needs Dask: install it with pip install "napari-unetsharp[cluster]"') from None
        self._cluster: LocalCluster | None = None
        if address == "local":
            with dask.config.set({"distributed.scheduler.allowed-failures": MOST_DEATHS - 1}):
                self._cluster = distributed.LocalCluster(
                    n_workers=size, threads_per_worker=1, dashboard_address="127.0.0.1:0",
                    memory_limit=0, silence_logs=logging.CRITICAL,
                )  # fmt: skip
        self._client = self._connected(distributed.Client, address)
        self._tickets: dict[Any, int] = {}
        self._ended = distributed.as_completed(loop=self._client.loop)

    def _connected(self, client: type[Client], address: str) -> Client:
        try:
            connected = client(self._cluster or address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"no Dask scheduler answers at {address} ({first_line(error)}); give local, or an address as "
                "dask-scheduler prints it (tcp://HOST:8786)"
            ) from error
        try:
            connected.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError:
            connected.close()
            raise SettingsError(f"the Dask scheduler at {address} has no workers; start some, then run again") from None
        return connected

    @property
    def size(self) -> int:
        """How many workers there are now."""
        return max(1, len(self._hosts()))

    def _hosts(self) -> list[str]:
        """The machine of each worker."""
        return [worker["host"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values()]

    def submit(self, ticket: int, task: Task) -> None:
        """Give a task out; later parts of a slide come before the next slide."""
        first, sharing = int(task.plan is not None), max(Counter(self._hosts()).values(), default=1)
        future = self._client.submit(do, task, sharing, pure=False, priority=first)
        self._tickets[future] = ticket
        self._ended.add(future)

    def next(self) -> tuple[int, Answer | str]:
        """Wait for a task; see `crew.Crew.next`."""
        future = next(self._ended)
        ticket = self._tickets.pop(future)
        error = future.exception()
        answer: Answer | str = future.result() if error is None else first_line(error)
        future.release()
        return ticket, answer

    def close(self) -> None:
        """Take back what isn't done, and end the processes that are ours."""
        if self._client.status == "closed":
            return
        with contextlib.suppress(OSError, TimeoutError):  # a scheduler that is gone needs no goodbye
            self._client.cancel(list(self._tickets), force=True)
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def do(task: Task, sharing: int) -> Answer:
    """Do a task in a worker of Dask; `sharing` is how many have its machine together.

    Dask allows its workers one thread per operation, whatever the machine has; here one task runs at a time.
    """
    from distributed import get_worker

    name = get_worker().name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return task.run(name if isinstance(name, int) else 0, max(1, cores // sharing))
