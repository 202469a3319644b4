"""A run over a slide of 100,000 x 100,000 px, for a bounded time: pace, memory, and whether a kill loses anything.

    python benchmarks/slide_run.py [--minutes 10] [--side 100000] [--level 2] [--device cpu] [--block 1024]

The slide is read by a lazy reader that makes each tile when it is asked for: fields of ../shared/data/he/monuseg (drawn
ones where there are none), repeated over two sections of tissue on glass. A process of its own runs it for half of the
time and is killed (SIGKILL, at a moment drawn at random); another goes on for the other half. Given are, minute by
minute, megapixels of the slide per second and the process's memory; then whether what was there before the kill was
computed again, and whether any nucleus is there twice. Writes benchmarks/slide_run.json and .md (or --out PATH).
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measured_on
import numpy as np
import psutil
from numpy.typing import NDArray
from skimage.transform import downscale_local_mean

from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.slide import Slide, plain_channels, stacked_levels
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.run import RunSettings, SlideRun
from napari_unetsharp.slides.store import SlideStore

HERE = Path(__file__).parent
FIELDS = HERE.parents[1] / "shared" / "data" / "he" / "monuseg"
MODEL = HERE.parent / "napari_unetsharp" / "models" / "nuclei.safetensors"
FIELD, COUNT, TILE, LEVELS = 960, 6, 512, 4
"""Sides of the fields that repeat (a multiple of 64, for the coarsest level), how many; of a tile; levels, quarters."""
GLASS, UM, SLEEP = 243, 0.25, 0.5
BAR_MB = 2048


class Repeated:
    """Tiles of a level, made when they are asked for."""

    together = 3
    dtype = np.dtype(np.uint8)
    tile = (TILE, TILE)

    def __init__(self, side: int, scale: int, fields: list[NDArray[np.uint8]]) -> None:
        self.scale, self._whole = scale, side
        self.shape = (-(-side // scale), -(-side // scale), 3)
        self._fields = [np.rint(downscale_local_mean(field, (scale, scale, 1))).astype(np.uint8) for field in fields]

    def read(self, plane: tuple[int, ...], block: int, row: int, column: int) -> NDArray[np.uint8]:
        """Fields side by side inside two ellipses, glass elsewhere."""
        rows = np.arange(row * TILE, min((row + 1) * TILE, self.shape[0]))
        columns = np.arange(column * TILE, min((column + 1) * TILE, self.shape[1]))
        pixels = np.full((len(rows), len(columns), 3), GLASS, np.uint8)
        side = FIELD // self.scale
        for y in np.unique(rows // side):
            for x in np.unique(columns // side):
                inner = rows[rows // side == y], columns[columns // side == x]
                field = self._fields[(y * 7 + x * 3) % len(self._fields)]
                into = np.ix_(inner[0] - rows[0], inner[1] - columns[0])
                pixels[into] = field[np.ix_(inner[0] - y * side, inner[1] - x * side)]
        pixels[~self._tissue(rows, columns)] = GLASS
        return pixels

    def _tissue(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        y, x = rows[:, None] * self.scale / self._whole, columns[None, :] * self.scale / self._whole
        first = np.hypot((y - 0.35) / 0.22, (x - 0.35) / 0.25) < 1
        return np.asarray(first | (np.hypot((y - 0.72) / 0.18, (x - 0.66) / 0.22) < 1))


def fields() -> list[NDArray[np.uint8]]:
    """Real fields of H&E where they are at hand, else drawn ones."""
    paths = sorted(path for path in FIELDS.rglob("*") if path.suffix in (".tif", ".png") and "label" not in path.name)
    found = []
    for path in paths:
        pixels = read_image(path).plane()
        if pixels.dtype == np.uint8 and pixels.shape[2] == 3 and min(pixels.shape[:2]) >= FIELD:
            found.append(pixels[:FIELD, :FIELD])
        if len(found) == COUNT:
            break
    return found or [drawn(seed) for seed in range(COUNT)]


def drawn(seed: int) -> NDArray[np.uint8]:
    """Purple ellipses on pink."""
    rng = np.random.default_rng(seed)
    field = np.clip(rng.normal((225, 165, 205), 8, (FIELD, FIELD, 3)), 0, 255)
    rows, columns = np.indices((25, 25)) - 12
    for y, x in rng.integers(0, FIELD - 25, (700, 2)):
        height, width = rng.uniform(6, 11, 2)
        inside = np.hypot(rows / height, columns / width) < 1
        field[y : y + 25, x : x + 25][inside] = rng.normal((95, 65, 140), 10, (int(inside.sum()), 3))
    return np.clip(field, 0, 255).astype(np.uint8)


def synthetic(side: int) -> Slide:
    """A slide that takes no room on the disk."""
    shown = fields()
    levels = stacked_levels([Repeated(side, 4**level, shown) for level in range(LEVELS)], "synthetic")
    channels, rgb = plain_channels(3, np.dtype(np.uint8))
    return Slide(Path("synthetic.svs"), "synthetic", levels, "YXC", channels, rgb, lambda: f"{side:064x}", (UM, UM))


def child(options: argparse.Namespace) -> None:
    """Run until somebody ends it, a line of JSON for each block."""
    from napari_unetsharp.inference.predictor import Predictor
    from napari_unetsharp.network.checkpoint import load_checkpoint

    predictor = Predictor(load_checkpoint(options.model), options.device, options.level, (f"x0{options.level}",))
    begun = time.monotonic()
    with SlideRun.prepare(synthetic(options.side), predictor, options.folder, RunSettings(side=options.block)) as run:
        about = run.store.about
        report(kind="begun", seconds=time.monotonic() - begun, notes=run.notes, total=int(run.store.wanted.sum()),
               magnification=about.options["magnification"], downsample=about.downsample,
               was=int(run.store.computed.sum()), device=predictor.device.name)  # fmt: skip
        for done in run.steps():
            report(kind="block", row=done.row, column=done.column, nuclei=done.nuclei, failure=done.failure,
                   px=done.box.area, count=run.store.count)  # fmt: skip


def report(**values: Any) -> None:
    """Print a line, with the time and this process's memory in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    values |= {"at": time.time(), "rss": psutil.Process().memory_info().rss / 2**20, "peak": peak}
    print(json.dumps(values), flush=True)


def watched(options: argparse.Namespace, seconds: float) -> list[dict[str, Any]]:
    """Start a process, kill it after so many seconds from its first block on, and give what it reported."""
    command = [sys.executable, __file__, "--child", "--folder", str(options.folder)]
    for name in ("side", "level", "device", "block", "model"):
        command += [f"--{name}", str(getattr(options, name))]
    log = options.folder.parent / f"child-{time.time_ns()}.jsonl"
    with log.open("w") as file, subprocess.Popen(command, stdout=file) as process:
        end = None
        while process.poll() is None and (end is None or time.monotonic() < end):
            time.sleep(SLEEP)
            if end is None and log.read_text(encoding="utf-8").count("\n") > 1:
                end = time.monotonic() + seconds
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
    lines = log.read_text(encoding="utf-8").splitlines()
    if process.returncode not in (0, -signal.SIGKILL) or not lines:
        raise SystemExit(f"the run ended with {process.returncode}")
    return [json.loads(line) for line in lines if line.endswith("}")]


def by_minute(lines: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    """Pace and memory of each whole minute."""
    begun, blocks = lines[0], lines[1:]
    rows: list[dict[str, Any]] = []
    for minute in range(int((blocks[-1]["at"] - begun["at"]) // 60) + 1 if blocks else 0):
        inside = [one for one in blocks if minute <= (one["at"] - begun["at"]) / 60 < minute + 1]
        if not inside:
            continue
        last = minute + 1 > (blocks[-1]["at"] - begun["at"]) / 60
        seconds = blocks[-1]["at"] - begun["at"] - 60 * minute if last else 60
        rows.append({
            "part": part, "minute": minute + 1, "seconds": round(seconds, 1), "blocks": len(inside),
            "mpx_per_s": round(sum(one["px"] for one in inside) / 1e6 / max(seconds, 1e-3), 3),
            "nuclei": inside[-1]["count"], "rss_mb": round(max(one["rss"] for one in inside)),
            "peak_mb": round(inside[-1]["peak"]),
        })  # fmt: skip
    return rows


def checked(
    folder: Path, first: list[dict[str, Any]], second: list[dict[str, Any]], stamps: dict[str, int]
) -> dict[str, Any]:
    """What a kill may break: work done again, nuclei there twice, a table that isn't what the labels show."""
    done = [{(one["row"], one["column"]) for one in part if one["kind"] == "block"} for part in (first, second)]
    touched = [name for name, stamp in stamps.items() if (folder / "blocks" / name).stat().st_mtime_ns != stamp]
    with SlideStore.open(folder) as store:
        ids, places, total = set(), set(), 0
        for nucleus in store.nuclei():
            total += 1
            ids.add(nucleus.id)
            places.add((round(nucleus.centroid[0], 1), round(nucleus.centroid[1], 1)))
        shown: set[int] = set()
        for row, column in np.argwhere(store.painted).tolist():
            window = store.grid.own(row, column).grown(store.grid.margin, store.grid.shape)
            shown |= set(np.unique(store.read_labels(Box(*window))).tolist()) - {0}
        return {
            "blocks before": len(done[0]), "blocks after": len(done[1]), "blocks done twice": len(done[0] & done[1]),
            "files written again": len(touched), "nuclei in the table": total, "ids there twice": total - len(ids),
            "nuclei at one place": total - len(places), "ids in the labels or the table alone": len(shown ^ ids),
            "counted": store.count,
        }  # fmt: skip


def main() -> None:
    """Run, kill, go on, check, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--side", type=int, default=100_000)
    parser.add_argument("--level", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--block", type=int, default=1024)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=HERE / "slide_run")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    load = measured_on.load()
    with tempfile.TemporaryDirectory() as place:
        options.folder = Path(place) / "run"
        seconds = options.minutes * 30
        first = watched(options, seconds * float(np.random.default_rng().uniform(0.9, 1.1)))
        stamps = {path.name: path.stat().st_mtime_ns for path in (options.folder / "blocks").glob("*.npz")}
        second = watched(options, seconds)
        checks = checked(options.folder, first, second, stamps)
        size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    rows = by_minute(first, "before the kill") + by_minute(second, "after")
    result = {
        "machine": measured_on.machine(), "device": first[0]["device"], "load": load, "commit": measured_on.commit(),
        "day": measured_on.today(), "side": options.side, "level": options.level, "block": options.block,
        "model": Path(options.model).name, "begun": [first[0], second[0]], "minutes": rows, "checks": checks,
        "disk_mb": round(size / 2**20, 1),
    }  # fmt: skip
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    options.out.with_suffix(".md").write_text(page(result), encoding="utf-8")
    print(page(result))


def page(result: dict[str, Any]) -> str:
    """The tables."""
    begun, checks = result["begun"], result["checks"]
    peak = max(row["peak_mb"] for row in result["minutes"])
    bad = [name for name in checks if name.endswith(("twice", "again", "place", "alone")) and checks[name]]
    bad += [] if checks["counted"] == checks["nuclei in the table"] else ["counted"]
    lines = [
        "# A run over a slide", "", "Written by `python benchmarks/slide_run.py`; what it does is said there.", "",
        f"Machine: {result['machine']}; {result['device']}; load at the start {result['load']}; commit "
        f"{result['commit']}; {result['day']}.", "",
        f"{result['side']:,} x {result['side']:,} px at L{result['level']} by {result['model']}, blocks of "
        f"{result['block']} px, {begun[0]['total']:,} with tissue; one pixel of the slide is "
        f"{begun[0]['magnification']:.3g} of the model's. Before its first block the run took "
        f"{begun[0]['seconds']:.1f} s, and {begun[1]['seconds']:.1f} s after the kill, with {begun[1]['was']} blocks.",
        "",
        "| part | minute | s | blocks | Mpx/s | nuclei so far | memory, MB | peak so far, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in result["minutes"]:
        lines.append("| " + " | ".join(str(value) for value in row.values()) + " |")
    held = "under" if peak < BAR_MB else "NOT under"
    lines += ["", f"Peak {peak} MB, {held} the {BAR_MB} MB that are allowed; on the disk {result['disk_mb']} MB.", ""]
    lines += ["| checked after the kill | |", "|---|---:|"]
    lines += [f"| {name} | {value:,} |" for name, value in checks.items()]
    lines += [
        "",
        f"WRONG: {', '.join(bad)}." if bad else "Nothing was lost but the block at work, and nothing is doubled.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
