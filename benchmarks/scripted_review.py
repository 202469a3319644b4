"""A review of unseen tissue by a scripted person with real keys, clicks and drags, for as long as you like.

    python benchmarks/scripted_review.py IMAGE TRUTH [--minutes 30] [--think 2] [--pictures FOLDER]

The window opens on IMAGE, *Find nuclei* is pressed with the shipped model, and each card is answered by comparing what
is drawn with the mask TRUTH: yes, no (sometimes with a reason), other outline, split by a line or alone, redraw with
the brush, add, tidy, can't tell, offers; between them undo and redo, flicker, all views, depths, filled, image only,
thumbnails and filters. When the doubtful ones are done it goes screen by screen, and at last presses *Save*. Needs a
display. Writes benchmarks/scripted_review.json and .md: actions by kind, their times, memory, and the nuclei against
TRUTH before and after.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import napari
import numpy as np
import psutil
from qtpy import API_NAME
from scripted_hands import Fingers, Hands
from scripted_person import KEY, LEFT, Person

from napari_unetsharp.nuclei.label_files import read_labels
from napari_unetsharp.nuclei.metrics import score_nuclei
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.widgets.dock import open_dock


def one_by_one(person: Person, end: float) -> None:
    """Cards until the doubtful ones are done, or the time is over."""
    turn, served = 0, Counter[int]()
    while time.monotonic() < end:
        turn += 1
        current = person.hands.session.current
        served[current] += 1
        if not current or person.hands.session.queue.serving() == 0:
            return
        if served[current] > 4:  # an edit counts as reviewed; what stays is passed over
            person.key("next", KEY.Key_N)
            if served[current] > 8:
                return
        else:
            person.answer()
        if turn % 15 == 0:
            person.play()


def screen_by_screen(person: Person, end: float) -> None:
    """Views until all are complete, or the time is over."""
    hands = person.hands
    person.do("Screen by screen", hands.press, hands.stage.work.screen)
    while hands.desk.sweep is not None and hands.desk.sweep.left() and time.monotonic() < end:
        view = hands.desk.sweep.view
        for id_ in [int(id_) for id_ in np.unique(hands.review.labels[view.slices]) if id_]:
            state = hands.review.nuclei[id_].state
            row, column = hands.middle(id_)
            inside = view.top + 3 < row < view.bottom - 3 and view.left + 3 < column < view.right - 3
            if state is State.TO_DO and inside and person.fit(id_)[1] < 0.3:
                place = hands.at(row, column)
                person.do("click: wrong", lambda at=place: hands.qtbot.mouseClick(hands.native, LEFT, pos=at))
        person.add_missing(view)
        person.key("screen complete", KEY.Key_Space)


def scores(truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """PQ and what was found, missed and false."""
    measured = score_nuclei(truth, labels)
    counts = measured.counts
    return {
        "pq": round(counts.metrics()["pq"], 3), "found": counts.found, "missed": counts.missed, "false": counts.false,
    }  # fmt: skip


def run(image: Path, truth: np.ndarray, minutes: float, think: float, pictures: Path | None) -> dict[str, Any]:
    """Find, review, save."""
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    dock = open_dock(viewer)
    hands = Hands(viewer, dock, Fingers())
    dock.find.open_image(str(image))
    dock.find.form.where.value = "whole image"
    hands.qtbot.wait(200)
    begun = time.monotonic()
    hands.qtbot.mouseClick(dock.find.run_button.button, LEFT)
    hands.qtbot.wait(300)
    hands.qtbot.waitUntil(lambda: not dock.find.running and not dock.find.views.adding, timeout=900_000)
    finding = time.monotonic() - begun
    hands.press(dock.buttons["Review"])
    before, memory = hands.review.labels.copy(), psutil.Process().memory_info().rss
    person = Person(hands, truth, think, pictures)
    person.look("begin")
    begun = time.monotonic()
    end = begun + 60 * minutes
    one_by_one(person, end)
    person.look("doubtful ones done")
    screen_by_screen(person, end)
    seconds = time.monotonic() - begun
    person.do("Save", hands.press, hands.stage.work.save)
    hands.qtbot.waitUntil(lambda: not hands.desk.saver.running, timeout=120_000)
    person.look("saved")
    saved = read_labels(hands.desk.subject.folder / "labels.tif").pixels
    result = {
        "finding seconds": round(finding, 1), "review minutes": round(seconds / 60, 1),
        "nuclei proposed": len(np.unique(before)) - 1,
        "actions": dict(person.did.most_common()), "problems": dict(person.problems),
        "milliseconds": {
            name: {"median": round(1e3 * statistics.median(values)), "largest": round(1e3 * max(values))}
            for name, values in sorted(person.seconds.items())
        },
        "megabytes grown": round((psutil.Process().memory_info().rss - memory) / 2**20),
        "before": scores(truth, before), "after": scores(truth, np.asarray(saved)),
        "saved equals the review": bool(np.array_equal(saved, hands.review.labels)),
        "states": {state.value: count for state, count in hands.session.queue.counts().items()},
    }  # fmt: skip
    assert dock.review.close_review()
    viewer.close()
    return result


def markdown(result: dict[str, Any]) -> str:
    """Write the page."""
    rows = [
        f"| {name} | {result['actions'][name]} | {took['median']} | {took['largest']} |"
        for name, took in result["milliseconds"].items()
    ]
    before, after = result["before"], result["after"]
    return "\n".join([
        "# A review by a scripted person",
        "",
        f"{result['image']}, {result['machine']}. Load when it began: {result['load']}. Made by "
        "`benchmarks/scripted_review.py`.",
        "",
        f"*Find nuclei* took {result['finding seconds']} s; then {sum(result['actions'].values())} actions in "
        f"{result['review minutes']} min on {result['nuclei proposed']} proposed nuclei; the process grew by "
        f"{result['megabytes grown']} MB. Against the mask of the field: PQ {before['pq']} before and {after['pq']} "
        f"after, found {before['found']} and {after['found']}, missed {before['missed']} and {after['missed']}, false "
        f"{before['false']} and {after['false']}. What was saved is what was on screen: "
        f"{'yes' if result['saved equals the review'] else 'no'}.",
        "",
        "Sentences that were shown as a problem: "
        + ("; ".join(f"{text} ({count})" for text, count in result["problems"].items()) or "none") + ".",
        "",
        "| action | times | median ms | largest ms |", "|---|---:|---:|---:|", *rows, "",
    ])  # fmt: skip


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--think", type=float, default=2.0, help="seconds between two actions")
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args()
    load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    truth = np.asarray(read_labels(chosen.truth).pixels)
    if chosen.pictures is not None:
        chosen.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_DATA_HOME"] = name
        copy = Path(name) / chosen.image.name
        copy.write_bytes(chosen.image.read_bytes())
        result = run(copy, truth, chosen.minutes, chosen.think, chosen.pictures)
    drawing = "software" if os.environ.get("LIBGL_ALWAYS_SOFTWARE") else "the system"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, napari {napari.__version__}"
    sha = hashlib.sha256(chosen.image.read_bytes()).hexdigest()[:12]
    about = {"image": f"{chosen.image.name} ({sha}…)", "machine": f"{machine}, {API_NAME}, drawing by {drawing}"}
    result = about | {"load": load} | result
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Path(__file__).with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    print(markdown(result))


if __name__ == "__main__":
    sys.exit(main())
