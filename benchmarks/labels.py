"""Labels and doubt of large planes: seconds, memory, and which step takes them.

    python benchmarks/labels.py [--sizes 512 1024 2048 4096] [--workers 2] [--plain 1024] [--out benchmarks/labels.json]

Ellipses with soft edges, some touching, as many per area as 20,000 on 4096 x 4096 px; the depths above the deepest see
them with noise. CPU time counts all threads; wall time means little where others use the machine, which the load tells.
``--plain`` is the largest side at which the labelling is also done in one piece by skimage and scipy alone. Writes
labels.json and labels.md.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from measured_on import commit, load, machine, today
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from napari_unetsharp.nuclei import doubtful, evidence, label_cut, label_tiles, label_window
from napari_unetsharp.nuclei.instances import (
    SPLIT_DEPTH,
    LabelSettings,
    align_ids,
    count_nuclei,
    fill_small_holes,
    without_small,
)
from napari_unetsharp.nuclei.label_tiles import windows_of
from napari_unetsharp.progress import run

HERE = Path(__file__).parent
DENSITY = 20_000 / 4096**2
STEPS = {
    "half-widths": (label_tiles, "half_widths"), "foreground": (label_tiles, "clumps_of"),
    "distance": (label_cut, "distance_inside"), "tops": (label_cut, "_domes"), "flooding": (label_cut, "flooded"),
    "all cutting": (label_window, "cut_at_necks"),
}  # fmt: skip
"""What is timed, and where it is called; cutting holds the three before it."""
Map = NDArray[np.float16]


def scene(side: int, seed: int = 0) -> Map:
    """Probability of drawn nuclei, (Y, X)."""
    dice = np.random.default_rng(seed)
    probability = np.zeros((side, side), np.float16)
    for _ in range(round(DENSITY * side**2)):
        (y, x), half = dice.uniform(0, side, 2), dice.uniform(5, 13)
        narrow, turn, reach = half * dice.uniform(0.6, 1), dice.uniform(0, np.pi), 17
        box = tuple(slice(max(0, int(middle) - reach), int(middle) + reach + 1) for middle in (y, x))
        rows, columns = np.ogrid[box[0].start : min(side, box[0].stop), box[1].start : min(side, box[1].stop)]
        along = (rows - y) * np.sin(turn) + (columns - x) * np.cos(turn)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        distance = np.hypot(along / half, across / narrow)
        seen = 1 / (1 + np.exp((distance - 1) * 8))
        probability[box] = np.maximum(probability[box], seen.astype(np.float16))
    return probability


def noisy(probability: Map, seed: int) -> Map:
    """What another depth sees of it."""
    dice = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(dice.standard_normal(probability.shape, np.float32), 2)
    return np.clip(probability + 0.7 * noise, 0, 1).astype(np.float16)


def plain(probability: Map) -> NDArray[np.int32]:
    """The same nuclei in one piece, by skimage and scipy alone."""
    mask = fill_small_holes(probability >= 0.5)
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].astype(np.float32)
    landscape = np.where(mask, np.log1p(ndimage.gaussian_filter(distance, 1.0)), np.float32(0))
    depth, eight = np.float32(SPLIT_DEPTH), np.ones((3, 3))
    rise = landscape - reconstruction(np.maximum(landscape - depth, 0), landscape, footprint=eight)
    domes, count = ndimage.label(rise > 0, eight)
    high = ndimage.maximum(rise, domes, np.arange(count + 1)) >= 0.999 * depth
    high[0] = False
    parts = watershed(-landscape, np.where(high, np.cumsum(high), 0)[domes], mask=mask)
    lost = mask & (parts == 0)
    parts[lost] = ndimage.label(lost)[0][lost] + np.count_nonzero(high)
    return without_small(parts.astype(np.int32), LabelSettings().smallest)


def labelled(probability: Map, workers: int) -> NDArray[np.int32]:
    """As `label_nuclei`, with this many tiles at a time."""
    labels = np.zeros(probability.shape, np.int32)
    read = windows_of(probability)

    def keep(step: Any) -> None:
        labels[step[0].slices] = step[1]

    order = run(label_tiles.label_tiles(read, labels.shape, LabelSettings(), workers=workers), keep)
    for row in label_tiles.tiles_of(labels.shape):
        for box in row:
            labels[box.slices] = order[labels[box.slices]]
    return labels


class Steps:
    """CPU seconds of the steps while it is entered, over all threads."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock, self._patches = threading.Lock(), ExitStack()

    def __enter__(self) -> Steps:
        for name, (module, function) in STEPS.items():
            timed = self._timed(name, getattr(module, function))
            self._patches.enter_context(mock.patch.object(module, function, timed))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*given, **named)
            finally:
                with self._lock:
                    self.seconds[name] += time.thread_time() - started

        return call


def measured(call: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """Result, CPU and wall seconds, and memory above what was there before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before, cpu, wall = status("VmRSS"), time.process_time(), time.perf_counter()
    result = call()
    seconds = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    return result, seconds | {"peak_mb": (status("VmHWM") - before) / 1e3}


def status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def measure(side: int, workers: int, with_plain: bool) -> dict[str, Any]:
    """Labels of the deepest level, then of another with its ids, then the doubt of each nucleus."""
    maps = {"x04": scene(side)} | {f"x0{level}": noisy(scene(side), level) for level in (2, 3)}
    with Steps() as steps:
        labels, row = measured(lambda: labelled(maps["x04"], workers))
    found = {"side": side, "nuclei": count_nuclei(labels), "labels": row | {"steps": dict(steps.seconds)}}
    others = {level: labelled(maps[f"x0{level}"], workers) for level in (2, 3)}
    aligned, found["align"] = measured(lambda: {level: align_ids(labels, other) for level, other in others.items()})
    doubt = np.abs(maps["x04"] - maps["x03"]).astype(np.float16)
    gathered, found["evidence"] = measured(lambda: evidence.gather(maps, {4: labels} | aligned, 4, doubt))
    _, found["words"] = measured(lambda: (doubtful.doubts(gathered), doubtful.reasons(gathered)))
    if with_plain:
        expected, found["plain"] = measured(lambda: plain(maps["x04"]))
        found["plain"]["differing_px"] = int(np.count_nonzero(expected != labels))
    return found


def page(report: dict[str, Any]) -> str:
    """The tables in Markdown."""
    names = list(STEPS)
    lines = [
        "# Labels and doubt of large planes", "",
        "Written by `python benchmarks/labels.py`, which says what is done. CPU seconds of all threads; wall seconds "
        "in brackets. The load tells whether others used the machine (above 0.5 per core they did, and wall seconds "
        "are too long).", "",
        "| px | nuclei | labels | peak MB | in one piece by skimage | peak MB | ids of two depths | evidence of 3 "
        "depths | peak MB | doubt and words | load |", "|---:|" + "---:|" * 9 + "---|",
    ]  # fmt: skip
    for row in report["rows"]:
        cells = [row["side"], row["nuclei"]]
        for name in ("labels", "plain", "align", "evidence", "words"):
            part = row.get(name)
            cells.append(f"{part['cpu_s']:.2f} s ({part['wall_s']:.1f})" if part else "")
            if name in ("labels", "plain", "evidence"):
                cells.append(f"{part['peak_mb']:.0f}" if part else "")
        lines.append("| " + " | ".join(map(str, [*cells, row["load"]])) + " |")
    lines += ["", "CPU seconds per Mpx of labelling, by step; all cutting holds distance, tops and flooding.", "",
              "| px | all | " + " | ".join(names) + " |", "|---:|" + "---:|" * (len(names) + 1)]  # fmt: skip
    for row in report["rows"]:
        area = row["side"] ** 2 / 1e6
        steps = [row["labels"]["cpu_s"], *(row["labels"]["steps"].get(name, 0.0) for name in names)]
        lines.append(f"| {row['side']} | " + " | ".join(f"{seconds / area:.3f}" for seconds in steps) + " |")
    differing = {row["side"]: row["plain"]["differing_px"] for row in report["rows"] if "plain" in row}
    lines += ["", f"Pixels that differ from those found in one piece, by side: {differing}.", "",
              f"{report['workers']} tiles at a time; {report['machine']}; commit {report['commit']}; "
              f"{report['date']}.", ""]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--workers", type=int, default=label_tiles.WORKERS)
    parser.add_argument("--plain", type=int, default=1024)
    parser.add_argument("--out", type=Path, default=HERE / "labels.json")
    given = parser.parse_args()
    report = {"machine": machine(), "commit": commit(), "date": today(), "workers": given.workers, "rows": []}
    for side in given.sizes:
        before = load()
        report["rows"].append(measure(side, given.workers, side <= given.plain) | {"load": before})
        given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        given.out.with_suffix(".md").write_text(page(report), encoding="utf-8")
        print(side, f"{report['rows'][-1]['labels']['cpu_s']:.2f} s of CPU for the labels", flush=True)


if __name__ == "__main__":
    main()
