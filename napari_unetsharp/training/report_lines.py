"""Orders and reports of the teaching process, as JSON can hold them.

Every report has ``report``, one of: ``phase`` (phase, words), ``samples`` (parts, words), ``cost`` (of one speed),
``before`` (how the model does untouched), ``step``, ``epoch``, ``finished`` (candidate, verdict, stopped), ``image``
(path, doubt) and ``error`` (kind, words).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from napari_unetsharp.errors import DeviceError, SettingsError, UNetSharpError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.training.tune_settings import TuneSettings

Report = dict[str, Any]


def reports_of(order: dict[str, Any], stop: Callable[[], bool]) -> Iterator[Report]:
    """Carry out an order.

    Parameters
    ----------
    order : dict
        ``task``: "tune", "cost" or "least sure"; ``settings`` of `TuneSettings`; ``folder``; ``images`` for the last.
    stop : callable

    Yields
    ------
    dict
        The last one is "finished", whatever the task.

    Raises
    ------
    UNetSharpError
    """
    settings = TuneSettings.from_dict(order.get("settings", {}))
    _use_threads(settings)
    task = order.get("task", "tune")
    if task == "tune":
        yield from _tune(settings, Path(order["folder"]), stop)
    elif task == "cost":
        yield from _costs(settings, stop)
    elif task == "least sure":
        yield from _images(settings, [Path(path) for path in order.get("images", ())], stop)
    else:
        raise SettingsError(f"the task is tune, cost or least sure, not {task!r}")


def free_threads() -> int:
    """One core is left for the window, if there are two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


def _use_threads(settings: TuneSettings) -> None:
    import torch

    torch.set_num_threads(settings.threads or free_threads())


def _tune(settings: TuneSettings, folder: Path, stop: Callable[[], bool]) -> Iterator[Report]:
    from napari_unetsharp.training.fine_tune import fine_tune

    for report in fine_tune(settings, folder, stop):
        yield as_report(report, settings)


def as_report(report: Any, settings: TuneSettings) -> Report:
    """A report of `fine_tune` as plain values."""
    from napari_unetsharp.training import tune_reports as tuning
    from napari_unetsharp.training.loop import StepReport

    if isinstance(report, tuning.Phase):
        return {"report": "phase", "phase": report.phase, "words": report.words}
    if isinstance(report, tuning.SamplesRead):
        return {"report": "samples", "words": report.split.words, "parts": tuning.parts_told(report.split)}
    if isinstance(report, StepReport):
        return {
            "report": "step", "epoch": report.epoch, "epochs": settings.epochs, "step": report.step,
            "steps": report.steps, "loss": _number(report.loss),
            "losses": {name: _number(value) for name, value in report.branches.items()},
            "seconds_left": _number(report.seconds_left),
        }  # fmt: skip
    if isinstance(report, tuning.Untuned):
        return {"report": "before", "aside": _qualities(report.aside), "check": _qualities(report.check)}
    if isinstance(report, tuning.Tuned):
        return {
            "report": "epoch", "epoch": report.epoch, "epochs": report.epochs, "best": report.best,
            "losses": {name: _number(value) for name, value in report.branches.items()},
            "aside": _qualities(report.aside), "check": _qualities(report.check),
            "preview": str(report.preview), "seconds_left": _number(report.seconds_left),
        }  # fmt: skip
    verdict = None if report.verdict is None else report.verdict.as_dict()
    candidate = None if report.candidate is None else str(report.candidate)
    return {"report": "finished", "candidate": candidate, "verdict": verdict, "stopped": report.stopped}


def stopped_report(folder: Path) -> Report:
    """The last report of a process that didn't come to its end: what the best epoch so far left."""
    from napari_unetsharp.network.checkpoint import read_header
    from napari_unetsharp.training.tune_reports import CANDIDATE

    candidate = folder / CANDIDATE
    with contextlib.suppress(UNetSharpError):  # there is none
        verdict = read_header(candidate)[1].metrics.get("verdict")
        return {"report": "finished", "candidate": str(candidate), "verdict": verdict, "stopped": "stopped"}
    return {"report": "finished", "candidate": None, "verdict": None, "stopped": "stopped"}


def error_report(error: BaseException) -> Report:
    """The true words of an error; those of ours are one sentence as they are."""
    if isinstance(error, MemoryError):
        error = DeviceError("the machine is out of memory; close other programs, or choose a shallower depth")
    words = str(error) if isinstance(error, UNetSharpError) else f"{type(error).__name__}: {first_line(error)}"
    return {"report": "error", "kind": type(error).__name__, "words": words}


def _costs(settings: TuneSettings, stop: Callable[[], bool]) -> Iterator[Report]:
    """What each speed takes; the quickest is measured first."""
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.network.device import choose_device
    from napari_unetsharp.training.speeds import Speed, measured_cost

    parent = load_checkpoint(settings.checkpoint, **settings.known)
    device = choose_device(settings.device).torch
    crops, steps = (settings.crops.batch, settings.crops.crop), settings.epochs * settings.steps
    for speed in Speed:
        if stop():
            break
        yield {"report": "cost", **measured_cost(parent, speed, settings.level, device, crops, steps).as_dict()}
    yield {"report": "finished", "candidate": None, "verdict": None, "stopped": "stopped" if stop() else ""}


def _images(settings: TuneSettings, images: list[Path], stop: Callable[[], bool]) -> Iterator[Report]:
    from napari_unetsharp.network.checkpoint import load_checkpoint
    from napari_unetsharp.training.next_image import doubt_of

    parent = load_checkpoint(settings.checkpoint, **settings.known)
    for path in images:
        if stop():
            break
        try:
            yield {"report": "image", "path": str(path), "doubt": round(doubt_of(parent, path, settings), 4)}
        except UNetSharpError as error:  # one that can't be read is no reason to stop
            yield {"report": "image", "path": str(path), "doubt": None, "words": str(error)}
    yield {"report": "finished", "candidate": None, "verdict": None, "stopped": "stopped" if stop() else ""}


def _qualities(part: dict[str, Any]) -> dict[str, Any]:
    return {node: tally.quality().as_dict() for node, tally in part.items()}


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return round(float(value), 5) if abs(value) < float("inf") else None
