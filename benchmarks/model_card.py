"""Measure a checkpoint on datasets, whole images at native resolution, and write its model card.

    python benchmarks/model_card.py napari_unetsharp/models/nuclei.safetensors DATASET [DATASET ...]

Writes benchmarks/model_card.json, and the numbers, the marks, the failures and the training into the .md beside the
checkpoint, between the marks that it finds there. A dataset that the same checkpoint was measured on before is taken
from the .json, so that a run can be stopped and gone on with; remove the file to measure everything again.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.progress import run
from napari_unetsharp.training.evaluate import ImageScored, evaluate, measured_samples, measuring_predictor

TABLE = Path(__file__).with_suffix(".json")
START, END = "<!-- measured: start -->", "<!-- measured: end -->"
MEANS = {"pq": "PQ", "aji": "AJI", "f1_50": "F1@.5", "ap_50": "AP@.5", "ap_70": "AP@.7", "ap_90": "AP@.9"} | {
    "iou": "IoU", "dice": "Dice", "pq_pooled": "PQ pooled", "ap_50_pooled": "AP@.5 pooled", "iou_pooled": "IoU pooled",
}  # fmt: skip
COUNTS = ("nuclei", "found", "missed", "false", "split", "merged")
WORST = 8

BARS = {
    "dsb2018": {
        "fluorescence": {"pq": 0.77, "aji": 0.82, "ap_50": 0.88},
        "brightfield_purple_on_purple": {"pq": 0.60},
        "brightfield_purple_on_white": {"pq": 0.60},
    },
    "monuseg": {"all": {"f1_50": 0.65, "pq": 0.45}},
}
"""What the model is to reach at depth 4, by a folder of the dataset's path and by modality."""

MARKS = (
    "Marks from the literature, on the StarDist subset of the same competition (its 50 test images, so marks and not "
    "a ranking): U-Net with connected components PQ 0.746 and AJI 0.751, HoVer-Net 0.762 and 0.762, Cellpose 0.764 "
    "and 0.824, the best found (FCIS) 0.770 and 0.828; AP@.5 of EmbedSeg 0.887. Gaussian, Otsu and watershed alone "
    "give F1@.5 0.74 on fluorescence, 0.51 on purple tissue and 0.24 on MoNuSeg."
)


def main() -> None:
    """Measure what isn't measured yet, then write table and card."""
    path, datasets = Path(sys.argv[1]), sys.argv[2:]
    checkpoint = load_checkpoint(path)
    predictor, node = measuring_predictor(checkpoint)
    table = _known(checkpoint)
    for dataset in datasets:
        folder, _ = measured_samples(dataset)
        name = "/".join(folder.absolute().parts[-2:])
        if name not in table["datasets"]:
            table["datasets"][name] = measure(folder, predictor, node)
            TABLE.write_text(json.dumps(table, indent=1), encoding="utf-8")
    page = path.with_suffix(".md")
    text = page.read_text(encoding="utf-8")
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(f"{before}{START}\n\n{card(table, checkpoint)}\n\n{END}{after}", encoding="utf-8")


def _known(checkpoint: Checkpoint) -> dict:
    """What was measured of this checkpoint before."""
    if TABLE.is_file():
        table = json.loads(TABLE.read_text(encoding="utf-8"))
        if table.get("checkpoint") == checkpoint.metadata.sha256 and "datasets" in table:
            return table
    return {"checkpoint": checkpoint.metadata.sha256, "datasets": {}}


def measure(folder: Path, predictor: Predictor, node: str) -> dict:
    """All branches on a dataset, and each image by the node."""
    each = []

    def keep(step: ImageScored) -> None:
        row = step.scores[node].as_dict()
        each.append({"image": step.sample.name, "modality": step.sample.modality} | row)
        print(f"{step.done}/{step.total} {step.sample.modality} PQ {row['pq']}", flush=True)

    evaluation = run(evaluate(predictor, measured_samples(folder)[1], node), keep)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    machine = f"{platform.machine()}, {predictor.device.name}"
    return {"commit": commit, "machine": machine} | evaluation.as_dict() | {"each": each}


def card(table: dict, checkpoint: Checkpoint) -> str:
    """Markdown of everything that was measured or is known about the training."""
    lines = [
        "Means over images; an image without a nucleus in truth and result is left out. F1 and AP: nuclei match from "
        "that IoU on; PQ: above 0.5. IoU and Dice: of the map's pixels from the threshold on. Pooled: over all nuclei "
        "or pixels at once.",
    ]
    for name, result in table["datasets"].items():
        lines += ["", f"### {name}", "", *_bars(name, result), *_figures(result), "", *_worst(result)]
        lines.append(f"Measured in {result['seconds'] / 60:.0f} min on {result['machine']}, commit {result['commit']}.")
    recipe = checkpoint.metadata.recipe
    return "\n".join([
        *lines, "", MARKS, "",
        f"Recipe as stored in the checkpoint: `{json.dumps(recipe)}`.",
        f"Epochs finished when these weights were taken: {len(checkpoint.metadata.history)} of {recipe.get('epochs')}. "
        f"SHA-256 of the file: `{table['checkpoint']}`.",
    ])  # fmt: skip


def _bars(name: str, result: dict) -> list[str]:
    """What was to be reached, what was, and the difference."""
    bars = next((bars for folder, bars in BARS.items() if folder in name.split("/")), {})
    lines = ["| to reach at depth 4 | bar | measured | difference |", "|---|---|---|---|"]
    for modality, row in bars.items():
        group = result["nodes"] if modality == "all" else result["groups"].get(modality, {})
        for metric, bar in row.items():
            value = group.get("x04", {}).get(metric)
            if value is not None:
                lines.append(f"| {modality}: {MEANS[metric]} | {bar:.2f} | {value:.3f} | {value - bar:+.3f} |")
    shallow, full = (result["nodes"].get(node, {}).get("pq") for node in ("x02", "x04"))
    if shallow is not None and full is not None:
        lines.append(
            f"| all: PQ of depth 2 below depth 4 | 0.02 | {full - shallow:.3f} | {full - shallow - 0.02:+.3f} |"
        )
    return [*lines, ""]


def _figures(result: dict) -> list[str]:
    """A row per modality and branch."""
    heads = ["modality (images)", "branch", *MEANS.values(), *COUNTS]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    groups = result["groups"] | ({"all": result["nodes"]} if len(result["groups"]) > 1 else {})
    for modality, group in groups.items():
        for node, row in group.items():
            images = f"{row['images']}" + (f", {row['left_out']} left out" if row["left_out"] else "")
            values = ["–" if row[name] is None else f"{row[name]:.3f}" for name in MEANS]
            counts = [f"{row[name]:,}" for name in COUNTS]
            lines.append(f"| {modality} ({images}) | {node} | {' | '.join(values + counts)} |")
    return lines


def _worst(result: dict) -> list[str]:
    each = [row for row in result["each"] if row["pq"] is not None]
    lines = [f"Worst images by {result['node']}:", ""]
    for row in sorted(each, key=lambda row: row["pq"])[:WORST]:
        counts = ", ".join(f"{row[name]} {name}" for name in COUNTS)
        lines.append(f"- `{row['image'][:12]}` ({row['modality']}): PQ {row['pq']:.3f}; {counts}")
    return [*lines, ""]


if __name__ == "__main__":
    main()
