"""How soon nuclei show on a slide after *Find nuclei* is pressed, and after the view moves; how long the window stalls.

    python benchmarks/slide_window.py [--slide PATH | --side 16384] [--model nuclei] [--device cpu] [--depths 1 2]
        [--places 3] [--look 5] [--folder benchmarks]

A real window whose canvas is 1280 x 800 px, one pixel of the slide per pixel of the screen, over a slide (one that is
given, or one that is drawn: tissue of repeated fields, in JPEG tiles of 256 px and halves down to 1024 px). The slide
is opened, looked at for a few seconds, and *Find nuclei* is pressed. Times count from the press, and from each jump of
the camera to a place that lacks its nuclei, until what came was drawn (`glFinish` included): the first nuclei in view,
and all of the view. Stalls are the longest times that the window's event loop didn't come round while the camera
pans over the slide, without a run (decoding alone) and during one. Each depth starts with nothing found. Without a
display start it under `xvfb-run -a -s "-screen 0 2400x1400x24"`; drawing is done in software then, which the table
says. Writes slide_window.json and slide_window.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from measured_on import commit, load, machine, today
from qtpy import API_NAME
from qtpy.QtWidgets import QApplication
from review_screen import Stalls, settle, wait_for
from vispy.gloo import gl

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.slides.run import BlockDone

CANVAS = (800, 1280)
TILE, FIELD = 256, 1024
PATIENCE = 300


def draw_slide(path: Path, side: int) -> None:
    """Write a slide of stained nuclei on pink tissue, with a rim of empty glass."""
    nuclei, _ = draw_fluorescence(seed=5, height=FIELD, width=FIELD, nuclei=700)
    dark = nuclei[..., None].astype(np.float32) / 255
    field = 243 * np.exp(-(0.5 * np.array([0.16, 0.42, 0.25]) + dark * np.array([1.1, 1.0, 0.5])))
    sides = [side]
    while sides[-1] > FIELD:
        sides.append(sides[-1] // 2)
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for place, each in enumerate(sides):
            step = side // each
            small = np.clip(field[::step, ::step], 0, 255).astype(np.uint8)
            file.write(
                _tiles(small, each, side // 10 // step), shape=(each, each, 3), dtype=np.uint8, photometric="rgb",
                tile=(TILE, TILE), compression="jpeg", metadata=None, subfiletype=min(1, place),
                resolution=(20_000 / step, 20_000 / step), resolutionunit="CENTIMETER",
            )  # fmt: skip


def _tiles(field: Any, side: int, rim: int) -> Iterator[Any]:
    glass = np.full((TILE, TILE, 3), 243, np.uint8)
    whole = np.tile(field, (-(-TILE // field.shape[0]) + 1, -(-TILE // field.shape[1]) + 1, 1))
    for top in range(0, side, TILE):
        for left in range(0, side, TILE):
            inside = rim <= top < side - rim and rim <= left < side - rim
            y, x = top % field.shape[0], left % field.shape[1]
            yield np.ascontiguousarray(whole[y : y + TILE, x : x + TILE]) if inside else glass


def open_window(slide: Path, model: str, device: str) -> tuple[Any, Any, float]:
    """A window whose canvas has the wanted size, with the slide; and the seconds that opening it took."""
    from napari_unetsharp.widgets.dock import open_dock

    viewer = napari.Viewer()
    stage = open_dock(viewer).find
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
    began = time.perf_counter()
    stage.open_image(str(slide))
    drawn()
    seconds = time.perf_counter() - began
    if stage.message.is_problem:
        raise SystemExit(stage.message.text())
    return viewer, stage, seconds


def memory() -> float:
    """GB that this program held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def drawn() -> None:
    """Until all that waits is on the screen."""
    for _ in range(2):
        QApplication.processEvents()
    gl.glFinish()


class Watch:
    """Goes to places and times what comes there."""

    def __init__(self, viewer: Any, stage: Any) -> None:
        self.viewer, self.stage = viewer, stage
        self.came: list[BlockDone] = []
        stage.run_button.step.connect(self._step)

    def _step(self, step: Any) -> None:
        if isinstance(step, BlockDone):
            self.came.append(step)

    def go(self, place: tuple[float, float]) -> None:
        """Bring a place, as parts of the slide's height and width, into the middle."""
        layer = self.stage.layer
        scale, shape = layer.scale[-2:], layer.data[0].shape
        self.viewer.scene.camera.zoom = 1 / scale[0]
        self.viewer.scene.camera.center = (0, place[0] * shape[0] * scale[0], place[1] * shape[1] * scale[1])

    def time(self, act: Callable[[], None]) -> tuple[float, float]:
        """Seconds from an act until the first nuclei in view, and until all blocks in view, are on the screen."""
        self.came.clear()
        began, first, seen = time.perf_counter(), 0.0, 0
        act()
        while True:
            QApplication.processEvents()
            if len(self.came) > seen:
                seen = len(self.came)
                view = self.stage.slides.view()
                if not first and any(done.nuclei and done.box.meets(view) for done in self.came):
                    self.stage.slides.drawing.now()
                    drawn()
                    first = time.perf_counter() - began
                if not self._lacking(view):
                    self.stage.slides.drawing.now()
                    drawn()
                    return first, time.perf_counter() - began
            if self.stage.message.is_problem or time.perf_counter() - began > PATIENCE:
                raise SystemExit(f"the run didn't get there: {self.stage.message.text()}")
            time.sleep(0.001)

    def _lacking(self, view: Any) -> bool:
        store = self.stage.store_of(self.stage.layer)
        down = store.about.downsample
        blocks = store.grid.meeting(type(view)(*(side // down for side in view)))
        return any(store.wanted[block] and not store.painted[block] for block in blocks)

    def pan(self, place: tuple[float, float], stalls: Stalls) -> float:
        """Drag slowly over two screens; the longest stall in ms."""
        self.go(place)
        settle(1)
        stalls.begin()
        row, column = self.viewer.scene.camera.center[-2:]
        for step in range(160):
            shift = 16 * step / self.viewer.scene.camera.zoom
            self.viewer.scene.camera.center = (0, row, column + shift)
            settle(0.016)
        return stalls.longest


def measured(watch: Watch, depth: int, places: int, look: float) -> dict[str, Any]:
    """Times and stalls of a depth, from a press with nothing found."""
    stage, stalls = watch.stage, Stalls()
    stage.form.depth.value = depth
    alone = watch.pan((0.2, 0.2), stalls)
    watch.go((0.5, 0.5))
    settle(look)
    press = watch.time(stage.run_button.button.click)
    jumps = [watch.time(lambda at=at: watch.go((0.25 + 0.5 * at / places, 0.75))) for at in range(places)]  # type: ignore[misc]
    during = watch.pan((0.7, 0.2), stalls)
    rate = watch.came[-1].mpx_per_s if watch.came else 0.0
    stage.run_button.button.click()
    wait_for(lambda: not stage.running)
    said = stage.message.text()
    return {
        "depth": depth, "press to first nuclei": round(press[0], 2), "press to all of the view": round(press[1], 2),
        "move to first nuclei": round(statistics.median(first for first, _ in jumps), 2),
        "move to all of the view": round(statistics.median(whole for _, whole in jumps), 2),
        "longest stall ms, no run": round(alone), "longest stall ms, run": round(during), "Mpx per s": round(rate, 3),
        "said": said,
    }  # fmt: skip


COLUMNS = (
    "press to first nuclei", "press to all of the view", "move to first nuclei", "move to all of the view", "Mpx per s",
    "longest stall ms, no run", "longest stall ms, run",
)  # fmt: skip


def markdown(result: dict[str, Any]) -> str:
    """Write the table."""
    lines = [
        "# A slide in the window: from the press, or a move, to nuclei on the screen",
        "",
        f"{result['machine']}; device: {result['device']}; model {result['model']}. Load when it began: "
        f"{result['load']}. Commit {result['commit']}, {result['date']}. Made by `benchmarks/slide_window.py`.",
        "",
        f"{result['slide']}. Opened and drawn in {result['opened']:.2f} s, looked at for {result['look']:g} s. A view "
        f"of {CANVAS[1]} x {CANVAS[0]} px of the slide; seconds, moves as medians over {result['places']} places. "
        f"Resident memory of the whole program, drawing and network included, at most {result['memory']:.2f} GB; "
        f"{result['memory before']:.2f} GB when the slide was open.",
        "",
        "| depth | " + " | ".join(COLUMNS) + " |",
        "|---:|" + "---:|" * len(COLUMNS),
        *(f"| {row['depth']} | " + " | ".join(f"{row[name]:g}" for name in COLUMNS) + " |" for row in result["rows"]),
    ]
    return "\n".join(lines) + "\n"


def asked() -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--places", type=int, default=3)
    parser.add_argument("--look", type=float, default=5)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    return parser.parse_args()


def main(wish: argparse.Namespace) -> None:
    """Measure, print and write."""
    busy = load()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = name
        slide = Path(name) / (wish.slide.name if wish.slide else "drawn.tif")
        if wish.slide:
            slide.symlink_to(wish.slide.resolve(), target_is_directory=wish.slide.is_dir())
        else:
            draw_slide(slide, wish.side)
        viewer, stage, opened = open_window(slide, wish.model, wish.device)
        watch, before = Watch(viewer, stage), memory()
        rows = [measured(watch, depth, wish.places, wish.look) for depth in wish.depths]
        device, shape = stage.device_label.text(), stage.layer.data[0].shape
        viewer.close()
        settle(1)
    drawing = "software" if os.environ.get("LIBGL_ALWAYS_SOFTWARE") else "the system"
    made = wish.slide.name if wish.slide else "Drawn tissue, JPEG tiles"
    result = {
        "machine": f"{machine()}, napari {napari.__version__}, {API_NAME}, drawing by {drawing}",
        "device": device, "model": wish.model, "load": busy, "commit": commit(), "date": today(),
        "slide": f"{made}, {shape[-2] if shape[-1] == 3 else shape[-1]:,} x {shape[0]:,} px", "opened": opened,
        "look": wish.look, "places": wish.places,
        "memory before": before, "memory": memory(), "rows": rows,
    }  # fmt: skip
    (wish.folder / "slide_window.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    (wish.folder / "slide_window.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(asked())
