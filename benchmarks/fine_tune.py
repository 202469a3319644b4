"""What a few reviewed nuclei are worth: a simulated reviewer on H&E, a domain that the shipped model hasn't seen.

    python benchmarks/fine_tune.py [--level 2] [--seeds 1] [--nuclei 25,50,100] [--rows main,speeds,order,true]

Four fields of MoNuSeg (their middle 600 px) are found and corrected in queue order until so many cards are answered,
an equal share in each; in the rows "true" until so many nuclei are, those declared none not counted. The model is
tuned on them as `unetsharp fine-tune` does, and measured on the middle 360 px of the other nine fields and on every
sixth image of the DSB validation part. Rows are appended to benchmarks/fine_tune.jsonl, and those that are there
aren't made again; benchmarks/fine_tune.md is written from all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fine_tune_page import others, page
from numpy.typing import NDArray
from simulated_reviewer import Reviewed, order_of, proposals, review

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.nuclei.metrics import Scores
from napari_unetsharp.training.evaluate import score_image
from napari_unetsharp.training.fine_tune import Finished, fine_tune
from napari_unetsharp.training.protection import NO_PROTECTION
from napari_unetsharp.training.sample_sources import Source
from napari_unetsharp.training.samples import find_samples
from napari_unetsharp.training.speeds import sub_network
from napari_unetsharp.training.tune_settings import TuneSettings

SHARED = Path(__file__).parents[2] / "shared" / "data"
ROWS = Path(__file__).with_suffix(".jsonl")
PAGE = Path(__file__).with_suffix(".md")
FIELDS = 4
TRAIN_SIDE, TEST_SIDE = 600, 360
EVERY = 6

Task = dict[str, Any]


def tasks(level: int, seeds: list[int], nuclei: list[int], rows: list[str]) -> Iterator[Task]:
    """Every row that is asked for."""
    base = {"level": level, "speed": "standard", "order": "queue", "protection": True}
    for seed in seeds:
        if "main" in rows:
            for count in nuclei:
                yield base | {"seed": seed, "nuclei": count}
        if "order" in rows:
            yield base | {"seed": seed, "nuclei": 100, "order": "random"}
        if "true" in rows:
            yield base | {"seed": seed, "nuclei": 100, "counted": "true nuclei"}
        if "none" in rows:
            yield base | {"seed": seed, "nuclei": 100, "protection": False}
        if "weak" in rows:
            yield base | {"seed": seed, "nuclei": 100, "weak": 0.5}
        if "speeds" in rows:
            for speed in ("touch-up", "thorough"):
                yield base | {"seed": seed, "nuclei": 100, "speed": speed}


def fields(seed: int) -> tuple[list[Any], list[Any]]:
    """Fields to review, and to measure on."""
    samples = find_samples(SHARED / "he" / "monuseg")
    order = np.random.default_rng(seed).permutation(len(samples)).tolist()
    return [samples[place] for place in order[:FIELDS]], [samples[place] for place in order[FIELDS:]]


def middle(plane: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of a plane."""
    top, left = (max(0, (length - side) // 2) for length in plane.shape[:2])
    return plane[top : top + side, left : left + side]


def measured(checkpoint: Checkpoint, level: int, test: list[Any]) -> dict[str, Any]:
    """PQ, AJI, F1 and Dice on other fields and on DSB validation."""
    predictor, node = Predictor(checkpoint, level=level, branches=(f"x0{level}",)), f"x0{level}"
    here = Scores()
    for sample in test:
        plane, truth = sample.read(3)
        here += score_image(predictor, middle(plane, TEST_SIDE), middle(truth, TEST_SIDE))[node]
    there = Scores()
    for sample in find_samples(SHARED / "dsb2018" / "val")[::EVERY]:
        plane, truth = sample.read(3)
        there += score_image(predictor, plane, truth)[node]
    kept = ("pq", "aji", "f1_50", "dice")
    return {
        name: {key: scores.as_dict()[key] for key in (*kept, "pq_pooled", "found", "missed", "false")}
        for name, scores in (("other fields", here), ("DSB validation", there))
    }


def reviews(parent: Checkpoint, task: Task) -> list[Reviewed]:
    """What the reviewer leaves: an equal share of the nuclei in each field."""
    tuned = Checkpoint(sub_network(parent, "standard", task["level"]).eval(), parent.metadata)  # type: ignore[arg-type]
    predictor, done = Predictor(tuned), []
    for place, sample in enumerate(fields(task["seed"])[0]):
        plane, truth = sample.read(3)
        plane, truth = middle(plane, TRAIN_SIDE), middle(truth, TRAIN_SIDE)
        deck, labels = proposals(predictor, plane)
        share = task["nuclei"] // FIELDS + (place < task["nuclei"] % FIELDS)
        order = order_of(deck, task["order"], task["seed"])
        done.append(review(sample.name, plane, truth, deck, labels, order, share, "counted" in task))
    return done


def row_of(checkpoint: str, task: Task, given: dict[str, Any]) -> dict[str, Any]:
    """Review, tune and measure."""
    parent, folder = load_checkpoint(checkpoint), Path(tempfile.mkdtemp())
    done = reviews(parent, task)
    sources = [Source(str(told.sample.save(folder / f"{place}.npz"))) for place, told in enumerate(done)]
    settings = TuneSettings.from_dict({
        "checkpoint": checkpoint, "samples": [source.as_dict() for source in sources], "speed": task["speed"],
        "level": task["level"], "seed": task["seed"], **given,
    })  # fmt: skip
    if not task["protection"]:
        crops = replace(settings.crops, old=0.0)
        settings = replace(settings, protection=NO_PROTECTION, crops=crops)
    if "weak" in task:
        settings = replace(settings, protection=replace(settings.protection, weak=task["weak"]))
    started, finished = time.monotonic(), None
    for report in fine_tune(settings, folder):
        if isinstance(report, Finished):
            finished = report
    seconds = time.monotonic() - started
    assert finished is not None
    assert finished.candidate is not None
    assert finished.verdict is not None
    tuned = load_checkpoint(finished.candidate)
    result = measured(tuned, task["level"], fields(task["seed"])[1])
    shutil.rmtree(folder)
    counts = {
        name: sum(getattr(told, name) for told in done)
        for name in ("accepted", "redrawn", "added", "rejected", "corrections")
    }
    return task | given | {
        "checkpoint": parent.metadata.sha256[:16], "reviewed": counts, "seconds": round(seconds, 1),
        "verdict": finished.verdict.as_dict(), "best_epoch": tuned.metadata.metrics["epoch"],
        "measured": result, **machine(),
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Where it ran; a load above the number of cores means that others worked there too."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"device": device, "threads": torch.get_num_threads(), "cores": os.cpu_count(), "load": os.getloadavg()[1]}


def known() -> list[dict[str, Any]]:
    """Rows that were made."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.exists() else []


def add(row: dict[str, Any]) -> None:
    """Append a row, and write the page from all of them."""
    with ROWS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    PAGE.write_text(page(known()), encoding="utf-8")
    print(json.dumps({key: row[key] for key in row if key not in ("verdict",)}), flush=True)


def has(rows: list[dict[str, Any]], task: Task, digest: str) -> bool:
    """Whether a row is there."""
    wanted = task | {"checkpoint": digest}
    return any(
        all(row.get(key) == value for key, value in wanted.items()) and set(others(row)) <= set(wanted) for row in rows
    )


def main() -> None:
    """Make what is asked for and isn't there."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--checkpoint", default="nuclei")
    words.add_argument("--level", type=int, default=2)
    words.add_argument("--seeds", default="1")
    words.add_argument("--nuclei", default="25,50,100")
    words.add_argument("--rows", default="main")
    words.add_argument("--given", default="{}", help="settings of fine-tuning that differ, as JSON")
    asked = words.parse_args()
    given = json.loads(asked.given)
    parent = load_checkpoint(asked.checkpoint)
    digest = parent.metadata.sha256[:16]
    seeds, nuclei = ([int(word) for word in text.split(",")] for text in (asked.seeds, asked.nuclei))
    for seed in seeds:
        untuned = {"level": asked.level, "seed": seed, "nuclei": 0}
        if not has(known(), untuned, digest):
            result = measured(parent, asked.level, fields(seed)[1])
            add(untuned | {"checkpoint": digest, "measured": result, **machine()})
    for task in tasks(asked.level, seeds, nuclei, asked.rows.split(",")):
        if not has(known(), task | given, digest):
            add(row_of(asked.checkpoint, task, given))
    PAGE.write_text(page(known()), encoding="utf-8")


if __name__ == "__main__":
    main()
