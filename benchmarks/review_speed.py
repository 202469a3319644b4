"""How long each action of a review takes on a plane of 4096 px with 20,000 nuclei, in our code, without a window.

    python benchmarks/review_speed.py [SIDE]

Each action is done on several nuclei, taken back and taken again; the journal is on the disk of the temporary folder.
Given are the median and the slowest, by the clock and by the time that this process computed; the latter is what
counts where the machine is busy with other work. Writes benchmarks/review_speed.json and .md.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measured_on
import numpy as np
from scipy import ndimage

from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei import answers, edits, redrawing
from napari_unetsharp.nuclei.deck import Deck, deal
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.order import Queue, draw_spot_checks, mix, one_by_one
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import load_review, save_review
from napari_unetsharp.nuclei.states import State

TIMES = 15
PITCH = 29
"""Distance of neighbouring nuclei, in pixels; they touch along rows."""

CARDS = 300
"""Nuclei served one after the other."""

EDIT, NEXT, QUEUE = 50.0, 100.0, 3000.0
"""Milliseconds that an edit or undo, the next nucleus and the queue may take at most, in our code."""

BRANCHES = ("x01", "x02", "x03", "x04", "x13", "x22", "x31", "x40")


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


def views(labels: np.ndarray) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray], np.ndarray]:
    """Maps, nuclei of each depth and doubt of a network that is sure of most nuclei but not of all."""
    side = len(labels)
    dice = np.random.default_rng(0).random((side // 16, side // 16)).astype(np.float32)
    unsure = ndimage.zoom(dice, side / (side // 16), order=1)[:side, :side]
    soft = ndimage.uniform_filter((labels > 0).astype(np.float32), 3)
    maps = {
        name: (soft * (0.6 + 0.4 * np.roll(unsure, 7 * place, 0))).astype(np.float16)
        for place, name in enumerate(BRANCHES)
    }
    depths = {level: np.where(np.roll(unsure, 9 * level, 1) > 0.2, np.roll(labels, level, 0), 0) for level in (1, 2, 3)}
    depths[4] = np.where(labels % 20, labels, 0)  # the others are possible misses
    return maps, depths, np.abs(maps["x04"] - maps["x03"])


def queue(views: tuple[Any, ...]) -> tuple[Deck, Queue]:
    """Evidence, cards, doubt, order and spot checks, as Review makes them when it opens."""
    deck = deal(views[0], views[1], 4, views[2])
    doubtful = one_by_one(deck.doubt, deck.centres)
    return deck, mix(doubtful, draw_spot_checks(deck.ids[: len(deck.evidence)], 200, 1), 1)


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
    top = 200 * place % (len(review.labels) - 740)
    view = Box(top, 0, top + 740, 880)
    corners = [(top, 900), (top, 1500), (top + 600, 1500), (top + 600, 900)]
    return {
        "complete view of 880 x 740 px": lambda: review.apply(answers.complete_view, view, how="screen"),
        "lasso no, 600 x 600 px": lambda: review.apply(answers.lasso, corners, State.NOT, how="bulk"),
        "ignore region, 600 x 600 px": lambda: review.apply(answers.ignore, corners),
    }


def main() -> None:
    """Measure, print and write."""
    load = measured_on.load()
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
        image = Image(pixels, "YXC", (0.25, 0.25), ("micrometer",) * 2, "field")
        watch.time("save: measure and write", lambda: save_review(folder / "saved", review, image))
        watch.time("load what was saved", lambda: load_review(folder / "saved"))
        review.close()
        watch.time("open", lambda: Review.open(folder, identity).close())
    seen = views(labels)
    for _ in range(3):
        deck, order = watch.time("queue", lambda: queue(seen))
    for card in order.cards[:CARDS].tolist():
        watch.time("next nucleus", lambda card=card: deck.card(card))
    table = {name: row for name, row in watch.table().items() if "(" not in name}
    result = {
        "side": side, "nuclei": int(labels.max()), "date": measured_on.today(), "machine": measured_on.machine(),
        "load": load, "load_at_the_end": measured_on.load(), "commit": measured_on.commit(), "actions": table,
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = page(result)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def limit(name: str) -> float | None:
    """Most that an action may take, in ms; None where nothing was asked for."""
    if name in ("next nucleus", "queue"):
        return {"next nucleus": NEXT, "queue": QUEUE}[name]
    whole = ("identify", "start", "new proposals", "undo new", "reviewed pixels", "compact", "save", "load", "open")
    return None if name.startswith(whole) else EDIT


def page(result: dict[str, Any]) -> str:
    """Markdown of what was measured."""
    lines = [
        f"# Review without a window: {result['side']} px, {result['nuclei']:,} nuclei", "",
        f"Written by benchmarks/review_speed.py on {result['date']}. {result['machine']}; commit {result['commit']}; "
        f"load {result['load']} when it began and {result['load_at_the_end']} at the end, its own 1.0 included. "
        "*Computed* is the time that this process computed, which is what counts on a machine that is busy with other "
        "work: *at most* is missed where its median lies above.", "",
        "| action | median ms | largest ms | median computed | largest computed | at most | journal bytes |",
        "|---|" + "---:|" * 6,
    ]  # fmt: skip
    for name, row in result["actions"].items():
        cells = [f"{row[f'{which} {unit}']:.2f}" for unit in ("ms", "ms computed") for which in ("median", "largest")]
        most = limit(name)
        wanted = "" if most is None else f"{most:.0f}{'' if row['median ms computed'] <= most else ' (missed)'}"
        lines.append(f"| {name} | {' | '.join(cells)} | {wanted} | {row['median bytes']:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
