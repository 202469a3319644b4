"""How long stage Compare takes to show another depth, on a plane of 4096 px with 20,000 nuclei.

    python benchmarks/compare_screen.py [SIDE]

A real window of 1280 x 800 px. Each switch is measured from the choice of another depth for B until the canvas has been
drawn (`glFinish` included), after every depth was seen once; a swipe line is moved likewise. Without a display start it
under `xvfb-run -a -s "-screen 0 1400x900x24"`; then drawing is done in software, which the table says. The probability
maps are drawn from the labels, so that no network runs. Writes benchmarks/compare_screen.json and .md.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from measured_on import commit, load, machine, today
from napari.utils.notifications import notification_manager
from qtpy import API_NAME
from qtpy.QtWidgets import QApplication
from review_screen import Stalls, open_window, settle, wait_for
from review_speed import nuclei
from vispy.gloo import gl

TIMES = 5
NODES = ("x01", "x02", "x03")


class Timed:
    """Milliseconds by what was done."""

    def __init__(self) -> None:
        self.rows: dict[str, list[float]] = {}

    def measure(self, name: str, do: Callable[[], Any]) -> None:
        """Do it, until it is drawn."""
        QApplication.processEvents()
        begun = time.perf_counter()
        do()
        for _ in range(3):  # what waits for a turn of the event loop, and its drawing
            QApplication.processEvents()
        gl.glFinish()
        self.rows.setdefault(name, []).append(1e3 * (time.perf_counter() - begun))
        settle(0.4)

    def table(self) -> dict[str, dict[str, float]]:
        """Median and largest."""
        return {
            name: {"median ms": round(statistics.median(values), 1), "largest ms": round(max(values), 1)}
            for name, values in self.rows.items()
        }


def work(dock: Any) -> dict[str, Any]:
    """Enter the stage, see each depth once, then switch and swipe."""
    stage, stalls, timed = dock.compare, Stalls(), Timed()

    def ready() -> bool:
        return not stage.prepared.running and not stage.results.running

    begun = time.perf_counter()
    stalls.begin()
    dock.show_stage("Compare")
    wait_for(lambda: ready() and len(stage.choice.choices) > 1)
    seconds, stall = time.perf_counter() - begun, stalls.longest
    for node in NODES:
        stage.choice.set_node("B", node)
        wait_for(ready)
        settle(1)
    for _ in range(TIMES):
        for node in NODES:
            timed.measure("another depth for B", lambda node=node: stage.choice.set_node("B", node))
            wait_for(ready)
    for mode in ("swipe", "difference", "flicker", "side by side"):
        timed.measure(f"to {mode}", stage.modes[mode].click)
    stage.modes["swipe"].click()
    settle(1)
    for place in range(TIMES):
        timed.measure("swipe line moved", lambda place=place: stage.canvas.swipe.move(300 + 40 * place))
    return {"entering": {"seconds": round(seconds, 2), "longest stall ms": round(stall)}, "rows": timed.table()}


def markdown(result: dict[str, Any]) -> str:
    """Write the table."""
    entering = result["entering"]
    lines = [
        f"# Compare in the window: {result['side']} px, {result['nuclei']:,} nuclei", "",
        f"{result['machine']}. Load when it began: {result['load']}. {result['date']}, commit {result['commit']}. "
        "Made by `benchmarks/compare_screen.py`.", "",
        f"Entering the stage took {entering['seconds']} s until both were there, with a longest "
        f"stall of the event loop of {entering['longest stall ms']} ms.", "",
        "| what | median ms | largest ms |", "|---|---:|---:|",
        *(f"| {name} | {row['median ms']} | {row['largest ms']} |" for name, row in result["rows"].items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    drawing = "software" if os.environ.get("LIBGL_ALWAYS_SOFTWARE") else "the system"
    about = {
        "side": side, "nuclei": int(nuclei(side).max()), "load": load(), "date": today(), "commit": commit(),
        "machine": f"{machine()}, napari {napari.__version__}, {API_NAME}, drawing by {drawing}, {platform.machine()}",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_DATA_HOME"] = name
        viewer, dock = open_window(Path(name), side)
        result = about | work(dock)
        dock.show_stage("Find")
        settle(1)
        viewer.close()
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    notification_manager.records.clear()


if __name__ == "__main__":
    main()
