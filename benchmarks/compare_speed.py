"""How long a comparison takes on a plane of 4096 px with 20,000 nuclei on both sides, without a window.

    python benchmarks/compare_speed.py [--side 4096] [--repeats 5]

Two label maps: touching ellipses in random sizes, and the same of which a part is moved, missing, cut, joined or new,
with ids in random order. Given are the median and the slowest, by the clock and by the time that this process
computed; the latter is what counts where the machine is busy with other work. Writes benchmarks/compare_speed.json
and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measured_on
import numpy as np

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.difference import difference
from napari_unetsharp.comparison.outline_distance import outline_distances
from napari_unetsharp.comparison.rows import rows
from napari_unetsharp.nuclei.matching import match_nuclei
from napari_unetsharp.nuclei.metrics import score_nuclei

PITCH = 29
"""Distance of neighbouring nuclei, in pixels: 141 x 141 on 4096 px."""

LIMITS = {"match": 1000.0, "match, as uint16": 1000.0}
"""Milliseconds computed that issue 7 allows."""

HERE = Path(__file__)


def nuclei(side: int, seed: int) -> np.ndarray:
    """Ellipses in rows, most of which touch the next one, with ids in random order."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    places = [(top, left) for top in range(0, side - PITCH, PITCH) for left in range(0, side - PITCH, PITCH)]
    ids = rng.permutation(len(places)) + 1
    rows_, columns = np.mgrid[:PITCH, :PITCH] - (PITCH - 1) / 2
    tall, wide = rng.uniform(9, 14, len(places)), rng.uniform(11, 15, len(places))
    for number, (top, left) in enumerate(places):
        inside = (rows_ / tall[number]) ** 2 + (columns / wide[number]) ** 2 <= 1
        labels[top : top + PITCH, left : left + PITCH][inside] = ids[number]
    return labels


def changed(labels: np.ndarray, seed: int) -> np.ndarray:
    """Moved by 2 px, a tenth gone, a tenth cut in the middle, a tenth given the id of the next, the rest renumbered."""
    rng = np.random.default_rng(seed)
    count = int(labels.max())
    fate, new = rng.random(count + 1), np.concatenate([[0], rng.permutation(count) + 1])
    new[fate < 0.1] = 0
    joined = np.flatnonzero((fate >= 0.1) & (fate < 0.2))
    moved = np.roll(labels, 2, 0)
    target = np.arange(count + 1)
    pairs = {}
    for top in range(2 + PITCH // 2, len(labels) - PITCH, PITCH):
        line = moved[top, PITCH // 2 :: PITCH]
        pairs |= dict(zip(line[:-1].tolist(), line[1:].tolist(), strict=True))
    for number in joined.tolist():
        target[number] = pairs.get(number, number)
    result = new[target][moved]
    cut = (fate >= 0.2) & (fate < 0.3)
    lower = (np.arange(len(labels)) % PITCH > PITCH // 2 + 2)[:, None]
    return np.where(cut[moved] & lower & (result > 0), result + count, result).astype(np.int32)


def timed(actions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Every action once per turn, after a turn that doesn't count."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
    for turn in range(repeats + 1):
        for name, action in actions.items():
            clock, computed = time.perf_counter(), time.process_time()
            action()
            took = 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - computed)
            if turn:
                seen[name].append(took)
            print(f"{name}: {took[0]:.0f} ms, {took[1]:.0f} ms computed", flush=True)
    return {
        name: {
            f"{which} {unit}": round(of([values[at] for values in some]), 1)
            for at, unit in enumerate(("ms", "ms computed"))
            for which, of in (("median", statistics.median), ("largest", max))
        }
        for name, some in seen.items()
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    load = measured_on.load()
    truth = nuclei(given.side, 1)
    found = changed(truth, 2)
    matching = match_nuclei(truth, found)
    pairs = matching.matches()
    ids = np.stack([matching.true_ids[matching.truth[pairs]], matching.found_ids[matching.found[pairs]]], 1)
    small = truth.astype(np.uint16), found.astype(np.uint16)
    corrected, candidate = Candidate("Corrected", truth, is_truth=True), Candidate("found", found)
    table = timed(
        {
            "match": lambda: match_nuclei(truth, found).matches(),
            "match, as uint16": lambda: match_nuclei(*small).matches(),
            "all scores of evaluate": lambda: score_nuclei(truth, found),
            "difference, with its map and list": lambda: difference(truth, found),
            "distances of matched outlines": lambda: outline_distances(truth, found, ids),
            "a row, with intervals and its nuclei": lambda: rows([candidate], corrected),
        },
        given.repeats,
    )
    result = {
        "side": given.side, "true": len(matching.true_ids), "found": len(matching.found_ids), "pairs": len(pairs),
        "split": len(matching.split()), "joined": len(matching.merged()), "date": measured_on.today(),
        "machine": measured_on.machine(), "commit": measured_on.commit(), "load": load,
        "load_at_the_end": measured_on.load(), "repeats": given.repeats, "actions": table,
    }  # fmt: skip
    HERE.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    HERE.with_suffix(".md").write_text(page(result), encoding="utf-8")


def page(result: dict[str, Any]) -> str:
    """The table for people."""
    side = result["side"]
    lines = [
        f"# Comparing {result['true']:,} with {result['found']:,} nuclei on {side} x {side} px\n",
        f"Written by benchmarks/compare_speed.py on {result['date']}. {result['machine']}; commit {result['commit']}; "
        f"load {result['load']} when it began and {result['load_at_the_end']} at the end, its own 1.0 included; "
        f"{result['repeats']} repeats. {result['pairs']:,} match, {result['split']:,} are split, {result['joined']:,} "
        "join others. *Computed* is the time that this process computed, which is what counts on a machine that is "
        "busy with other work: *at most* is missed where its median lies above.\n",
        "| action | median ms | largest ms | median computed | largest computed | at most |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in result["actions"].items():
        limit = f"{LIMITS[name]:.0f}" if name in LIMITS else ""
        lines.append(f"| {name} | {' | '.join(f'{value:.0f}' for value in row.values())} | {limit} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
