"""How well doubt finds what is wrong, and whether the interval of the errors left holds.

    python benchmarks/review_order.py [CHECKPOINT]

Ranks the cards of unseen fields (Data Science Bowl validation, MoNuSeg, NuCLS) by doubt and checks them against the
truth, beside a random order, the depth-4 mean probability, and the size. Depth 4 is reviewed; all branches and depths
are looked at. Maps are computed once and kept in /tmp (`cached_maps`): 28 Mpx, ten minutes on two cores.
Writes benchmarks/review_order.json and .md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measured_on
import numpy as np
from cached_maps import SETS, Field, fields
from numpy.typing import NDArray
from review_truth import Verdicts, verdicts
from scipy.stats import rankdata

from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.nuclei import doubt_weights
from napari_unetsharp.nuclei.deck import Deck, deal
from napari_unetsharp.nuclei.errors_left import CONFIDENCE, from_review
from napari_unetsharp.nuclei.order import draw_spot_checks, mix, one_by_one
from napari_unetsharp.training.samples import find_samples

TABLE = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).with_suffix(".md")
LEVEL = 4
SHARES = (0.1, 0.2, 0.3)
REVIEWS = 400
CHECKS = (30, 60, 120)

Score = Callable[[Deck], NDArray[np.float64]]


def by_probability(deck: Deck) -> NDArray[np.float64]:
    """The nearer the mean probability is to a half, the more doubtful."""
    inside = np.concatenate([1 - deck.evidence.term("faint"), deck.misses.terms[:, 0]])
    return 1 - np.abs(2 * inside - 1)


def by_size(deck: Deck) -> NDArray[np.float64]:
    """The smaller, the more doubtful."""
    return -np.concatenate([deck.evidence.areas, deck.misses.areas]).astype(np.float64)


def by_chance(deck: Deck) -> NDArray[np.float64]:
    """Drawn."""
    return np.random.default_rng(len(deck)).random(len(deck))


SCORES: dict[str, Score] = {
    "doubt": lambda deck: deck.doubt, "depth 4 probability": by_probability, "size": by_size, "random": by_chance,
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """The cards of one field: which show an error, and their scores by order."""

    finds: NDArray[np.bool_]
    scores: dict[str, NDArray[np.float64]]
    truth: Verdicts
    centres: NDArray[np.float64]
    seconds: float


def judged(field: Field) -> Judged:
    """Deal the cards of a field and compare them with its truth."""
    began = time.process_time()
    deck = deal(field.maps, field.labels, LEVEL, field.doubt)
    seconds = time.process_time() - began
    truth = verdicts(deck.evidence, deck.misses, field.labels[LEVEL], field.truth)
    return Judged(truth.finds, {name: score(deck) for name, score in SCORES.items()}, truth, deck.centres, seconds)


def area_under_curve(scores: NDArray[np.float64], finds: NDArray[np.bool_]) -> float:
    """Chance that a card that shows an error ranks above one that shows none; NaN without both."""
    hits = int(finds.sum())
    pairs = hits * (len(finds) - hits)
    return float((rankdata(scores)[finds].sum() - hits * (hits + 1) / 2) / pairs) if pairs else float("nan")


def found_first(scores: NDArray[np.float64], finds: NDArray[np.bool_], share: float) -> tuple[int, int]:
    """Errors in the first share of the cards, and how many could be there at most."""
    count = int(np.ceil(share * len(finds) - 1e-9))
    return int(finds[np.argsort(-scores, kind="stable")[:count]].sum()), min(count, int(finds.sum()))


def ranked(images: list[Judged], order: str) -> dict[str, Any]:
    """All fields as one worklist, and each field by itself."""
    pooled = np.concatenate([image.scores[order] for image in images]), np.concatenate([i.finds for i in images])
    total = max(1, int(pooled[1].sum()))
    row: dict[str, Any] = {"auc": round(area_under_curve(*pooled), 3)}
    inside = [(area_under_curve(i.scores[order], i.finds), int(i.finds.sum() * (~i.finds).sum())) for i in images]
    pairs = sum(count for _, count in inside)
    row["auc_within_fields"] = round(sum(v * count for v, count in inside if count) / pairs, 3) if pairs else None
    for share in SHARES:
        name = f"first_{round(100 * share)}"
        found, most = found_first(*pooled, share)
        row[name], row[f"{name}_attainable"] = round(found / total, 3), round(most / total, 3)
        each = np.array([found_first(i.scores[order], i.finds, share) for i in images]).sum(0) / total
        row[f"{name}_within_fields"], row[f"{name}_within_fields_attainable"] = each.round(3).tolist()
    return row


def coverage(images: list[Judged], checks: int) -> dict[str, float]:
    """Review fields until the last of so many spot checks; how often the interval holds what is left then."""
    drawn = np.random.default_rng(checks)
    large = [image for image in images if len(image.truth.wrong) >= 2 * checks]
    held = said = 0
    widths = []
    for trial in range(REVIEWS if large else 0):
        image = large[int(drawn.integers(len(large)))]
        wrong = image.truth.wrong
        count = len(wrong)
        queue = one_by_one(image.scores["doubt"][:count], image.centres[:count])
        queue = mix(queue, draw_spot_checks(np.arange(1, count + 1), checks, trial), trial)
        served = int(np.flatnonzero(queue.spots)[-1]) + 1
        seen, spot = np.zeros(count, bool), np.zeros(count, bool)
        seen[queue.cards[:served]] = True
        spot[queue.cards[:served][queue.spots[:served]]] = True
        left = from_review(spot, queue.shown(served, count), seen, wrong)
        if left.low is not None and left.high is not None:
            said += 1
            held += left.low <= int((wrong & ~seen).sum()) <= left.high
            widths.append((left.high - left.low) / max(1, left.unseen))
    if not said:
        return {}
    return {"estimates": said, "held": round(held / said, 3), "mean_width": round(float(np.mean(widths)), 3)}


def measured(images: list[Judged]) -> dict[str, Any]:
    """Everything about one set."""
    return {
        "fields": len(images),
        "nuclei": sum(len(image.truth.wrong) for image in images),
        "seconds_dealing": round(sum(image.seconds for image in images), 1),
        "cards": sum(len(image.finds) for image in images),
        "possible_misses": sum(len(image.truth.miss) for image in images),
        "wrong_nuclei": sum(int(image.truth.wrong.sum()) for image in images),
        "reachable_misses": sum(int(i.finds[len(i.truth.wrong) :].sum()) for i in images),
        "unreachable_misses": sum(image.truth.unreachable for image in images),
        "swallowed_misses": sum(image.truth.swallowed for image in images),
        "orders": {order: ranked(images, order) for order in SCORES},
        "errors_left": {str(checks): coverage(images, checks) for checks in CHECKS},
    }


def page(result: dict[str, Any]) -> str:
    """Markdown of what was measured."""
    lines = [
        "# Review order", "",
        f"Written by benchmarks/review_order.py on {result['date']} in {result['seconds']} s (maps from the cache: "
        f"benchmarks/cached_maps.py). {result['machine']}; load {result['load']}; commit {result['commit']}; "
        f"checkpoint {result['checkpoint'][:16]}, depth {result['level']}.", "",
        f"The weights of doubt were fitted by benchmarks/fit_doubt.py on {result['fitted_on']}. What kinds "
        "of evidence there are was chosen by cross-validation over these images. No field of the tables below is "
        "among them; the network was trained on Data Science Bowl train alone, and the validation part selected its "
        "epoch.", "",
        "A nucleus is wrong if it matches no true one with an IoU of a half or more. Shares are of all "
        "reachable errors; in brackets what is attainable: less than all where the cards of that share are fewer than "
        "the errors. First all fields as one worklist, then each field by itself (the same share of every field).",
        "", *summary(result["sets"]),
    ]  # fmt: skip
    for name, row in result["sets"].items():
        lines += [
            "", f"## {name}", "",
            f"{row['fields']} fields, {row['cards']} cards, {row['possible_misses']} of them possible misses. "
            f"Errors: {row['wrong_nuclei']} wrong nuclei and {row['reachable_misses']} misses that a card shows; "
            f"apart from these {row['unreachable_misses']} misses that none shows, {row['swallowed_misses']} of them "
            "swallowed by a nucleus that matches another.",
            "", "| order | AUC | first 10 % | 20 % | 30 % | AUC in fields | 10 % | 20 % | 30 % |", "|" + "---|" * 9,
        ]  # fmt: skip
        for order, values in row["orders"].items():
            cells = [_cell(values, share, kind) for kind in ("", "_within_fields") for share in SHARES]
            lines.append(
                f"| {order} | {values['auc']} | {' | '.join(cells[:3])} | {values['auc_within_fields']} "
                f"| {' | '.join(cells[3:])} |"
            )
        lines += ["", f"Errors left, interval of {CONFIDENCE:.0%}: " + "; ".join(
            f"{checks} spot checks: held in {told['held']:.1%} of {told['estimates']} reviews, mean width "
            f"{told['mean_width']:.0%} of the unseen" if told else f"{checks} spot checks: no field is large enough"
            for checks, told in row["errors_left"].items()) + "."]  # fmt: skip
    return "\n".join(lines) + "\n"


def summary(sets: dict[str, Any]) -> list[str]:
    """Table of what is found in the first fifth by doubt, beside what is attainable there and the mean probability."""
    lines = [
        "| first 20 % of the cards | by doubt | attainable | share of it | by depth 4 probability | random |",
        "|---|" + "---:|" * 5,
    ]
    for name, row in sets.items():
        for kind, words in (("", "one worklist"), ("_within_fields", "each field")):
            key, orders = f"first_20{kind}", row["orders"]
            found, most = orders["doubt"][key], orders["doubt"][f"{key}_attainable"]
            lines.append(
                f"| {name}, {words} | {found:.1%} | {most:.1%} | {found / most:.0%} "
                f"| {orders['depth 4 probability'][key]:.1%} | {orders['random'][key]:.1%} |"
            )
    return lines


def _cell(values: dict[str, Any], share: float, kind: str) -> str:
    name = f"first_{round(100 * share)}{kind}"
    return f"{values[name]:.0%} ({values[f'{name}_attainable']:.0%})"


def main() -> None:
    """Measure every set and write table and page."""
    checkpoint, began = sys.argv[1] if len(sys.argv) > 1 else "nuclei", time.perf_counter()
    result: dict[str, Any] = {
        "date": measured_on.today(), "machine": measured_on.machine(), "commit": measured_on.commit(),
        "load": measured_on.load(), "checkpoint": load_checkpoint(checkpoint).metadata.sha256, "level": LEVEL,
        "fitted_on": doubt_weights.FITTED_ON, "fitted_with": doubt_weights.CHECKPOINT, "sets": {},
    }  # fmt: skip
    for name, folder in SETS.items():
        result["sets"][name] = measured([judged(field) for field in fields(find_samples(folder), checkpoint)])
        print(name, json.dumps(result["sets"][name]), flush=True)
    result["seconds"] = round(time.perf_counter() - began)
    TABLE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
