"""One writer per review: a file that tells who, and how to see that they are gone."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

SAME_START = 2.0
"""Seconds by which two readings of the start of one process may differ."""

PATIENCE = 5.0
"""Seconds after which a lock file that was never filled counts as left behind."""


@dataclass(frozen=True)
class Holder:
    """Who has a review open for writing.

    Attributes
    ----------
    host, user : str
    pid : int
    started : float
        When the process started, in seconds since 1970.
    since : str
        When the review was opened, UTC, ISO 8601.
    token : str
        Different for each opening.
    """

    host: str
    user: str
    pid: int
    started: float
    since: str
    token: str

    @classmethod
    def here(cls, user: str = "") -> Holder:
        """Fill in this process."""
        since = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        started = psutil.Process().create_time()
        return cls(socket.gethostname(), user or user_name(), os.getpid(), started, since, uuid.uuid4().hex)

    @property
    def local(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended; False for another machine, as nobody here can tell."""
        if not self.local:
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return bool(abs(process.create_time() - self.started) > SAME_START)  # another process with the same number
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        where = "on this machine" if self.local else f"on {self.host}"
        return f"{self.user or 'somebody'} ({where}, process {self.pid}, since {self.since or 'an unknown time'})"


def user_name() -> str:
    """Name of the person by the system; empty where it knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


UNKNOWN = Holder("", "", 0, 0.0, "", "")
"""Who holds a lock file that can't be read."""


class Lock:
    """The right to write in a review folder.

    Attributes
    ----------
    path : Path
    holder : Holder
        Ourselves.
    """

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path, self.holder = path, holder

    @classmethod
    def take(cls, path: Path, user: str = "", take_over: bool = False) -> Lock | Holder:
        """Get the lock, from a dead process of this machine too.

        Parameters
        ----------
        path : Path
            Of the lock file.
        user : str, optional
        take_over : bool, optional
            Also from another machine, or from a file that can't be read: what a person decides. A process of
            this machine that lives keeps it in any case.

        Returns
        -------
        Lock, or the Holder who has it

        Raises
        ------
        OSError
            If no file can be written there.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = cls(path, Holder.here(user))
        lock._sweep()
        for _ in range(3):
            if lock._put():
                return lock
            holder = read_holder(path)
            if holder is None:
                continue
            old = holder == UNKNOWN and _age(path) > PATIENCE
            if not (holder.gone or old or (take_over and not holder.local)):
                return holder
            lock._take_away(holder)
        return read_holder(path) or UNKNOWN

    def _put(self) -> bool:
        """Create the file, filled, if there is none."""
        text = json.dumps(asdict(self.holder)).encode()
        beside = self.path.with_name(f"{self.path.name}.{self.holder.token}")
        beside.write_bytes(text)
        try:
            os.link(beside, self.path)
        except FileExistsError:
            return False
        except OSError:  # no hard links on this disk
            try:
                with self.path.open("xb") as file:
                    file.write(text)
            except FileExistsError:
                return False
        finally:
            beside.unlink(missing_ok=True)
        return True

    def _sweep(self) -> None:
        """Remove what was left beside by processes that were killed in the middle of this."""
        for beside in self.path.parent.glob(f"{self.path.name}.*"):
            holder = read_holder(beside)
            if holder is not None and (holder.gone or (holder == UNKNOWN and _age(beside) > PATIENCE)):
                beside.unlink(missing_ok=True)

    def _take_away(self, holder: Holder) -> None:
        """Remove the file of a holder, but not that of somebody who was quicker."""
        aside = self.path.with_name(f"{self.path.name}.old.{self.holder.token}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, aside)
            if read_holder(aside) != holder:
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
            aside.unlink()

    def seen(self) -> Holder | None:
        """Who has the lock now; None where nobody has. A file that can't be read at the moment counts as ours."""
        holder = read_holder(self.path)
        return self.holder if holder == UNKNOWN else holder

    def renew(self) -> bool:
        """Put our file back after somebody removed it; False where that fails."""
        try:
            return self._put()
        except OSError:
            return False

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        holder = read_holder(self.path)
        if holder is not None and holder.token == self.holder.token:
            self.path.unlink(missing_ok=True)


def read_holder(path: Path) -> Holder | None:
    """Who has a lock; None where nobody, `UNKNOWN` where the file can't be read."""
    try:
        fields = json.loads(path.read_bytes())
        return Holder(
            str(fields["host"]),
            str(fields["user"]),
            int(fields["pid"]),
            float(fields["started"]),
            str(fields["since"]),
            str(fields["token"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return UNKNOWN


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
