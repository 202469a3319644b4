"""How long the keys of a review take to reach the screen, on a plane of 4096 px with 20,000 nuclei.

    python benchmarks/review_screen.py [SIDE]

A real window of 1280 x 800 px, real key presses. "To the screen" ends when canvas and dock have been drawn (`glFinish`
included); "inside" is what runs within the key press itself (Space acts just after it). Without a display start it
under `xvfb-run -a -s "-screen 0 1400x900x24"`; then drawing is done in software, which the table says. The probability
maps are drawn from the labels, so that no network runs. Writes benchmarks/review_screen.json and .md.
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
import numpy as np
import tifffile
from napari.utils.notifications import notification_manager
from qtpy import API_NAME
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from review_speed import nuclei
from vispy.gloo import gl

TIMES = 12
BEAT = 10
"""Milliseconds between the beats that find stalls of the event loop."""


class Stalls:
    """The longest time that the event loop did not come round."""

    def __init__(self) -> None:
        self.longest, self._last = 0.0, time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, 1e3 * (now - self._last) - BEAT)
        self._last = now

    def begin(self) -> None:
        """Forget what was."""
        self.longest, self._last = 0.0, time.perf_counter()


def settle(seconds: float) -> None:
    """Let the window do what waits."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.002)


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    """Let the window work until something is so."""
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise SystemExit("the window did not get there in time")
        QApplication.processEvents()
        time.sleep(0.002)


def open_window(folder: Path, side: int) -> tuple[Any, Any]:
    """A window with the plane open and its nuclei found."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "widgets"))
    from review_window import draw_maps, put_results

    from napari_unetsharp.network.checkpoint import Checkpoint
    from napari_unetsharp.network.metadata import CheckpointMetadata
    from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
    from napari_unetsharp.widgets.dock import open_dock

    labels = nuclei(side)
    generator = np.random.default_rng(0)
    tissue = np.where(labels > 0, 90, 200)[..., np.newaxis] + generator.integers(-20, 20, (side, side, 3))
    path = folder / "plane.tif"
    tifffile.imwrite(path, tissue.astype(np.uint8), photometric="rgb")
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    dock = open_dock(viewer)
    dock.find.open_image(str(path))
    checkpoint = Checkpoint(UNetSharp(UNetSharpConfig(widths=(4, 4, 4, 4, 4))).eval(), CheckpointMetadata("drawn"))
    put_results(viewer, dock.find, dock.find.layer, labels, checkpoint, maps=draw_maps(labels))
    settle(2)
    return viewer, dock


class Screen:
    """Presses keys on the canvas and times them."""

    def __init__(self, viewer: Any) -> None:
        self.canvas = viewer.window._qt_viewer.canvas
        self.rows: dict[str, dict[str, list[float]]] = {}

    def press(self, name: str, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """One key, until everything is drawn."""
        QApplication.processEvents()
        begun = time.perf_counter()
        QTest.keyClick(self.canvas.native, key, modifier)
        inside = time.perf_counter()
        for _ in range(3):  # Space acts in the next turn of the event loop, and is drawn in the one after
            QApplication.processEvents()
        gl.glFinish()
        drawn = time.perf_counter()
        row = self.rows.setdefault(name, {"inside": [], "to the screen": []})
        row["inside"].append(1e3 * (inside - begun))
        row["to the screen"].append(1e3 * (drawn - begun))
        settle(0.3)

    def table(self) -> dict[str, dict[str, float]]:
        """Median and largest, in ms."""
        return {
            name: {
                f"{what}, {which} ms": round(of(values), 1)
                for what, values in row.items()
                for which, of in (("median", statistics.median), ("largest", max))
            }
            for name, row in self.rows.items()
        }


def work(viewer: Any, dock: Any) -> dict[str, Any]:
    """Open the review and press every key some times."""
    stalls = Stalls()
    begun = time.perf_counter()
    stalls.begin()
    dock.show_stage("Review")
    wait_for(lambda: dock.review.session is not None)
    settle(0.2)
    opening = {"seconds": round(time.perf_counter() - begun - 0.2, 2), "longest stall ms": round(stalls.longest)}
    settle(3)
    screen, undo = Screen(viewer), (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    for _ in range(TIMES):
        screen.press("next (N)", Qt.Key.Key_N)
        screen.press("tidy (T)", Qt.Key.Key_T)
        screen.press("undo of it", *undo)
        screen.press("yes (Space)", Qt.Key.Key_Space)
        screen.press("no (D)", Qt.Key.Key_D)
        screen.press("undo of it", *undo)
        screen.press("other outline (W)", Qt.Key.Key_W)
    stalls.begin()
    dock.review.desk.set_mode("screen")
    settle(1)
    sweep = round(stalls.longest)
    for _ in range(4):
        screen.press("screen complete (Space)", Qt.Key.Key_Space)
    return {"opening": opening, "screen by screen, stall ms": sweep, "keys": screen.table()}


def markdown(result: dict[str, Any]) -> str:
    """Write the table."""
    columns = ("inside, median ms", "inside, largest ms", "to the screen, median ms", "to the screen, largest ms")
    lines = [
        f"# Review in the window: {result['side']} px, {result['nuclei']:,} nuclei",
        "",
        f"{result['machine']}. Load when it began: {result['load']}. Made by `benchmarks/review_screen.py`.",
        "",
        f"Opening Review took {result['opening']['seconds']} s until the first card, with a longest stall of the event "
        f"loop of {result['opening']['longest stall ms']} ms; changing to *Screen by screen* stalled it for "
        f"{result['screen by screen, stall ms']} ms.",
        "",
        "| key | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
        *(f"| {name} | " + " | ".join(str(row[one]) for one in columns) + " |" for name, row in result["keys"].items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_DATA_HOME"] = name
        viewer, dock = open_window(Path(name), side)
        result = work(viewer, dock)
        count = int(nuclei(side).max())
        dock.review.close_review()
        viewer.close()
    drawing = "software" if os.environ.get("LIBGL_ALWAYS_SOFTWARE") else "the system"
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"napari {napari.__version__}, {API_NAME}, drawing by {drawing}"
    )
    result = {"side": side, "nuclei": count, "machine": machine, "load": load} | result
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    notification_manager.records.clear()


if __name__ == "__main__":
    main()
