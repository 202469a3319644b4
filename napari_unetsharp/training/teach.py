"""Fine-tuning as a process of its own: `python -m napari_unetsharp.training.teach`.

The first line of standard input is an order (JSON, see `teacher.Order`); every line of standard output is a report
(JSON, see `report_lines`). A line ``stop``, or the end of standard input, ends it within two seconds: the best epoch so
far is in the candidate's file, and the last report says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

CANDIDATE = "candidate.safetensors"  # as in tune_reports, which loads torch
GRACE = 1.0
"""Seconds that a step in flight has to come to its end after a stop; then the process ends without it."""


class Talk:
    """What goes in and out of the process.

    Parameters
    ----------
    out : text file
        For reports.
    folder : Path
        Where the candidate is written.
    """

    def __init__(self, out: TextIO, folder: Path) -> None:
        self.stopped = threading.Event()
        self._out, self._folder = out, folder
        self._guard = threading.Lock()
        self._done = False

    def say(self, report: dict[str, Any], last: bool = False) -> None:
        """Write a report, unless the last one was written; nobody listening is a stop."""
        with self._guard:
            if self._done:
                return
            self._done = last
            try:
                self._out.write(json.dumps(report, ensure_ascii=False, allow_nan=False) + "\n")
                self._out.flush()
            except OSError:
                self.stopped.set()

    def listen(self, lines: Iterator[bytes]) -> None:
        """Wait for a stop, in a thread of its own; end the process if the rest doesn't."""
        for line in lines:
            if line.strip() == b"stop":
                break
        self.stopped.set()
        threading.Timer(GRACE, self._leave).start()

    def _stopped_report(self) -> dict[str, Any]:
        """What the best epoch so far left; torch may still be loading where there is none."""
        if not (self._folder / CANDIDATE).is_file():
            return {"report": "finished", "candidate": None, "verdict": None, "stopped": "stopped"}
        from napari_unetsharp.training.report_lines import stopped_report

        return stopped_report(self._folder)

    def _leave(self) -> None:
        self.say(self._stopped_report(), last=True)
        for part in self._folder.glob(".*.part"):  # of the file that was being written
            with contextlib.suppress(OSError):
                part.unlink()
        os._exit(0)


def main() -> int:
    """Read an order, carry it out, and report.

    Returns
    -------
    int
        0, or 2 where an error was reported.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no report
    lines = iter(sys.stdin.buffer.readline, b"")
    text = next(lines, b"")
    try:
        order = json.loads(text)
        folder = Path(order["folder"])
    except (ValueError, KeyError, TypeError):
        Talk(out, Path()).say({"report": "error", "kind": "SettingsError", "words": "the order is no JSON"}, last=True)
        return 2
    talk = Talk(out, folder)
    threading.Thread(target=talk.listen, args=(lines,), daemon=True).start()
    lower_priority()
    return carry_out(order, talk)


def carry_out(order: dict[str, Any], talk: Talk) -> int:
    """Do what is ordered; errors become reports."""
    from napari_unetsharp.errors import UNetSharpError
    from napari_unetsharp.training import report_lines

    try:
        for report in report_lines.reports_of(order, talk.stopped.is_set):
            talk.say(report, last=report["report"] == "finished")
    except (UNetSharpError, MemoryError) as error:
        talk.say(report_lines.error_report(error), last=True)
        return 2
    except Exception as error:  # a fault of ours: the person gets its words, the log its place
        import traceback

        traceback.print_exc()
        talk.say(report_lines.error_report(error), last=True)
        return 2
    return 0


def lower_priority() -> None:
    """Let the window and everything else go first."""
    if os.name == "nt":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        return
    with contextlib.suppress(OSError):
        os.nice(10)
    if os.getsid(0) == os.getpid():  # Linux weighs sessions first; that of somebody else is left alone
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text("10", encoding="ascii")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads of a library may wait for ever
