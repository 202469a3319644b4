"""How long each action of a review takes on a plane of 4096 px with 20,000 nuclei, in our code.

    python benchmarks/review_speed.py [SIDE]

Each action is done on several nuclei, taken back and taken again; the journal is on the disk of the temporary folder.
Given are the median and the slowest, by the clock and by the time that this process computed; the latter is what
counts where the machine is busy with other work. Writes benchmarks/review_speed.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetsharp.nuclei import answers, edits, redrawing
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State

TIMES = 15
PITCH = 29
"""Distance of neighbouring nuclei, in pixels; they touch along rows."""


def nuclei(side: int) -> np.ndarray:
    """Touching ellipses in rows, 141 x 141 on 4096 px."""
    rows, columns = np.mgrid[-11:12, -14:15]
    ellipse = (rows / 11.5) ** 2 + (columns / 14.6) ** 2 <= 1
    labels, id_ = np.zeros((side, side), np.int32), 0
    for top in range(3, side - 23, PITCH):
        for left in range(0, side - 29, PITCH):
            id_ += 1
            labels[top : top + 23, left : left + 29][ellipse] = id_
    return labels


class Watch:
    """Times actions and what they add to the journal."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / JOURNAL
        self.rows: dict[str, dict[str, list[float]]] = {}

    def time(self, name: str, action: Callable[[], Any]) -> Any:
        """Do it once."""
        size = self.journal.stat().st_size if self.journal.exists() else 0
        clock, computed = time.perf_counter(), time.process_time()
        result = action()
        row = self.rows.setdefault(name, {"ms": [], "ms computed": [], "bytes": []})
        row["ms computed"].append(1e3 * (time.process_time() - computed))
        row["ms"].append(1e3 * (time.perf_counter() - clock))
        row["bytes"].append((self.journal.stat().st_size if self.journal.exists() else 0) - size)
        return result

    def table(self) -> dict[str, dict[str, float]]:
        """Median and largest of each."""
        return {
            name: {
                f"{which} {unit}": round(float(of(values)), 2)
                for unit, values in row.items()
                for which, of in (("median", statistics.median), ("largest", max))
                if not (unit == "bytes" and which == "largest")
            }
            for name, row in self.rows.items()
        }


def single(review: Review, place: int, maps: list[np.ndarray], other: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Actions on one nucleus each."""
    todo = [id_ for id_ in review.boxes if {id_, id_ + 1} <= review.boxes.keys() and place_is_free(review, id_)]
    ids = [todo[(place * 1237 + step * 3) % len(todo)] for step in range(10)]
    box = review.boxes[ids[2]]
    line = [(box.top - 2, (box.left + box.right) / 2), (box.bottom + 2, (box.left + box.right) / 2)]
    gone = review.boxes[ids[7]]
    centre = ((gone.top + gone.bottom) / 2, (gone.left + gone.right) / 2)

    def grow() -> Any:
        return review.apply(edits.grow, centre, maps)

    return {
        "right": lambda: review.apply(answers.accept, ids[0]),
        "not a nucleus": lambda: review.apply(answers.reject, ids[1], "debris"),
        "split by a line": lambda: review.apply(edits.split, ids[2], line),
        "split at the neck": lambda: review.apply(edits.split_at_neck, ids[3]),
        "join": lambda: review.apply(edits.join, ids[4], ids[4] + 1),
        "other outline": lambda: review.apply(redrawing.take_outline, ids[5], other),
        "tidy": lambda: review.apply(redrawing.tidy, ids[6]),
        "(make room)": lambda: review.apply(answers.reject, ids[7]),
        "grow at a point, 4 maps": grow,
        "brush": lambda: review.apply(redrawing.brush, ids[8], review.boxes[ids[8]], _half(review.boxes[ids[8]]), True),
    }


def place_is_free(review: Review, id_: int) -> bool:
    """Whether it and its neighbour are to do."""
    return all(review.nuclei[id_ + step].state is State.TO_DO for step in (0, 1))


def _half(box: Box) -> np.ndarray:
    mask = np.zeros(box.shape, bool)
    mask[: box.shape[0] // 2] = True
    return mask


def many(review: Review, place: int) -> dict[str, Callable[[], Any]]:
    """Actions on many nuclei each."""
    top = 200 * place
    view = Box(top, 0, top + 740, 880)
    corners = [(top, 900), (top, 1500), (top + 600, 1500), (top + 600, 900)]
    return {
        "complete view of 880 x 740 px": lambda: review.apply(answers.complete_view, view, how="screen"),
        "lasso no, 600 x 600 px": lambda: review.apply(answers.lasso, corners, State.NOT, how="bulk"),
        "ignore region, 600 x 600 px": lambda: review.apply(answers.ignore, corners),
    }


def main() -> None:
    """Measure and print."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    labels = nuclei(side)
    other = np.roll(labels, 2, axis=0)
    maps = [(np.roll(labels, shift, axis=1) > 0).astype(np.float16) for shift in range(4)]
    pixels = np.broadcast_to(labels[..., np.newaxis] > 0, (side, side, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watch = Watch(folder)
        identity = watch.time("identify the image", lambda: identify(pixels, "YXC"))
        review = watch.time("start", lambda: Review.start(folder, identity, labels))
        for place in range(TIMES):
            for what, action in (single(review, place, maps, other) | many(review, place)).items():
                watch.time(what, action)
                watch.time(f"undo {what}", review.undo)
                watch.time(f"redo {what}", review.redo)
        watch.time("new proposals everywhere", lambda: review.new_proposals(other, "another"))
        watch.time("undo new proposals", review.undo)
        watch.time("reviewed pixels", review.reviewed_pixels)
        watch.time("compact", review.compact)
        review.close()
        watch.time("open", lambda: Review.open(folder, identity).close())
    table = {name: row for name, row in watch.table().items() if "(" not in name}
    for name, row in table.items():
        print(f"{name:45}", *(f"{value:10.2f} {unit}" for unit, value in row.items()))
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}"
    result = {"side": side, "nuclei": int(labels.max()), "machine": machine, "actions": table}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
