"""How long *Live* takes from standing still to nuclei on the screen.

    python benchmarks/live.py [--device cpu] [--model nuclei] [--places 5] [--depths 1 2 4] [--folder benchmarks]

A real window whose canvas is 1280 x 800 px, over a drawn picture of 4096 px at one pixel of the picture per pixel of
the screen. The camera jumps to places that nobody has looked at; every time counts from the jump, the 150 ms that Live
waits included, and ends when what came was drawn (`glFinish` included). Then the camera goes back, where everything is
there. Without a display start it under `xvfb-run -a -s "-screen 0 2400x1400x24"`; drawing is done in software then,
which the table says. Writes live.json and live.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from measured_on import commit, load, machine, today
from qtpy import API_NAME
from qtpy.QtWidgets import QApplication
from review_screen import Stalls, settle, wait_for
from vispy.gloo import gl

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.inference.results import PlaneDone, TileDone

CANVAS = (800, 1280)
SIDE = 4096
AIMS = "first nuclei", "depth 1, all of the view", "chosen depth, all of the view", "back again"


def picture() -> Any:
    """A field of nuclei: one that was drawn, in all four orientations, side by side."""
    quarter, _ = draw_fluorescence(seed=5, height=SIDE // 4, width=SIDE // 4, nuclei=700)
    turned = [quarter, quarter[::-1], quarter[:, ::-1], quarter[::-1, ::-1]]
    return np.vstack([np.hstack([turned[(row + column) % 4] for column in range(4)]) for row in range(4)])


def open_window(model: str, device: str) -> tuple[Any, Any]:
    """A window whose canvas has the wanted size."""
    from napari_unetsharp.widgets.dock import open_dock

    viewer = napari.Viewer()
    stage = open_dock(viewer).find
    viewer.add_image(picture(), name="field")
    window = viewer.window._qt_window
    for _ in range(3):
        settle(0.5)
        height, width = viewer.canvas.size
        window.resize(window.width() + CANVAS[1] - width, window.height() + CANVAS[0] - height)
    settle(0.5)
    if tuple(viewer.canvas.size) != CANVAS:
        raise SystemExit(f"the canvas is {viewer.canvas.size}, not {CANVAS}: give it a larger screen")
    stage.form.device.value = device
    if Path(model).is_file():
        stage.open_model(model)
    else:
        stage.form.model.value = model
    return viewer, stage


def places(count: int) -> list[tuple[int, int]]:
    """Middles of views that share no pixel, also rounded out."""
    rows, columns = range(448, SIDE - 448, 928), range(704, SIDE - 703, 1408)
    return [(row, column) for row in rows for column in columns][:count]


class Watch:
    """Times what comes after a jump of the camera."""

    def __init__(self, viewer: Any, stage: Any) -> None:
        self.viewer, self.stage = viewer, stage
        self._waiting: list[str] = []
        self.seen: dict[str, float] = {}
        self._shown = stage.live._yielded
        stage.live._yielded = self._came

    def jump(self, place: tuple[int, int]) -> dict[str, float]:
        """Go to a place and wait until all of it is on screen; seconds by what came."""
        self.seen, self._waiting = {}, []
        self.viewer.scene.camera.zoom = 1
        began = time.perf_counter()
        self.viewer.scene.camera.center = (0, *place)
        while "done" not in self.seen:
            QApplication.processEvents()
            if self._waiting:
                QApplication.processEvents()
                gl.glFinish()
                for name in self._waiting:
                    self.seen[name] = time.perf_counter() - began
                self._waiting.clear()
            said = self.stage.message.text()
            if self.stage.message.is_problem or said.startswith("Zoom in") or time.perf_counter() - began > 300:
                raise SystemExit(f"Live didn't get there: {said}")
            time.sleep(0.001)
        return self.seen

    def _came(self, step: Any) -> None:
        self._shown(step)
        if isinstance(step, TileDone):
            self._waiting.append(" ".join(step.tile.full))
            self.seen.setdefault("first", 0)
            if not self.seen["first"]:
                self._waiting.append("first")
        elif isinstance(step, PlaneDone) and not step.stopped:
            self._waiting.append("done")


def measured(watch: Watch, depth: int, chosen: list[tuple[int, int]]) -> dict[str, Any]:
    """Seconds of a depth: medians over the places."""
    stage, stalls = watch.stage, Stalls()
    stage.form.depth.value = depth
    watch.viewer.scene.camera.center = (0, -5000, -5000)
    stage.live_button.setChecked(True)
    wait_for(lambda: "Live waits" in stage.message.text())
    watch.jump((SIDE - 448, SIDE - 704))  # the model is loaded, layers are made
    settle(1)
    rows = []
    stalls.begin()
    for place in chosen:
        seen = watch.jump(place)
        rows.append((seen["first"], seen.get("x01", seen["done"]), seen["done"]))
    stall = stalls.longest
    watch.viewer.scene.camera.center = (0, -5000, -5000)  # so that going back to a single place is a move, too
    settle(0.5)
    back = [watch.jump(place)["done"] for place in chosen]
    stage.live.end()
    wait_for(lambda: not stage.running)
    columns = [*map(list, zip(*rows, strict=True)), back]
    return {
        "depth": depth,
        "seconds": {name: round(statistics.median(values), 3) for name, values in zip(AIMS, columns, strict=True)},
        "longest stall ms": round(stall),
    }


def markdown(result: dict[str, Any]) -> str:
    """Write the table."""
    lines = [
        "# Live: from standing still to nuclei on the screen",
        "",
        f"{result['machine']}; device: {result['device']}; model {result['model']}. Load when it began: "
        f"{result['load']}. Commit {result['commit']}, {result['date']}. Made by `benchmarks/live.py`.",
        "",
        f"A view of {CANVAS[1]} x {CANVAS[0]} px at the model's scale. Seconds, medians over {result['places']} "
        "places; 150 ms of waiting included.",
        "",
        "| depth | " + " | ".join(AIMS) + " | longest stall, ms |",
        "|---:|" + "---:|" * (len(AIMS) + 1),
        *(
            f"| {row['depth']} | "
            + " | ".join(f"{row['seconds'][name]:.2f}" for name in AIMS)
            + f" | {row['longest stall ms']} |"
            for row in result["rows"]
        ),
    ]
    return "\n".join(lines) + "\n"


def asked() -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--places", type=int, default=5)
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    return parser.parse_args()


def main(wish: argparse.Namespace) -> None:
    """Measure, print and write."""
    busy = load()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_DATA_HOME"] = name
        viewer, stage = open_window(wish.model, wish.device)
        watch = Watch(viewer, stage)
        rows = [measured(watch, depth, places(wish.places)) for depth in wish.depths]
        device = stage.device_label.text()
        viewer.close()
        settle(0.2)
    drawing = "software" if os.environ.get("LIBGL_ALWAYS_SOFTWARE") else "the system"
    result = {
        "machine": f"{machine()}, napari {napari.__version__}, {API_NAME}, drawing by {drawing}",
        "device": device, "model": wish.model, "load": busy, "commit": commit(), "date": today(),
        "places": len(places(wish.places)), "rows": rows,
    }  # fmt: skip
    (wish.folder / "live.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    (wish.folder / "live.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(asked())
