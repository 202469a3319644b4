"""Measure a checkpoint on a dataset, whole images at native resolution, and write its model card.

    python benchmarks/model_card.py ../shared/data/dsb2018/val napari_unetsharp/models/nuclei.safetensors

Writes benchmarks/model_card.json, and the numbers, the training and the failures into the .md beside the checkpoint,
between the marks that it finds there.
"""

from __future__ import annotations

import json
import platform
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.nuclei.instances import label_nuclei
from napari_unetsharp.nuclei.metrics import Matching, match_nuclei
from napari_unetsharp.training.samples import find_samples

TABLE = Path(__file__).with_suffix(".json")
LEVELS = ("x01", "x02", "x03", "x04")
START, END = "<!-- measured: start -->", "<!-- measured: end -->"


def measure(dataset: Path, checkpoint: Path) -> dict:
    """Pixel IoU (pooled), F1 and PQ (pooled over nuclei, IoU > 0.5) by modality and level; and every image by L4."""
    loaded = load_checkpoint(checkpoint)
    predictor = Predictor(loaded, branches=LEVELS)
    matched = defaultdict(lambda: defaultdict(Matching))
    pixels = defaultdict(lambda: defaultdict(lambda: np.zeros(2, np.int64)))
    images = []
    for number, sample in enumerate(find_samples(dataset), start=1):
        plane, truth = sample.read(loaded.config.in_channels)
        prediction = predictor.predict(plane)
        for node in LEVELS:
            found = label_nuclei(prediction.full[node])
            matching = match_nuclei(truth, found)
            mask, real = prediction.full[node] >= 0.5, truth > 0
            for modality in (sample.modality, "all"):
                matched[modality][node] += matching
                pixels[modality][node] += np.array([np.sum(mask & real), np.sum(mask | real)])
        images.append(
            {
                "image": sample.name,
                "modality": sample.modality,
                "nuclei": len(np.unique(truth)) - 1,
                "f1": round(matching.f1, 3),
                "missed": matching.missed,
                "false": matching.false,
            }
        )
        print(f"{number}: {sample.modality} F1 {matching.f1:.3f}", flush=True)
    rows = {
        modality: {
            node: {
                "iou_pooled": round(float(pixels[modality][node][0] / max(1, pixels[modality][node][1])), 3),
                "f1_50_pooled": round(matched[modality][node].f1, 3),
                "pq_pooled": round(matched[modality][node].panoptic_quality, 3),
            }
            for node in LEVELS
        }
        for modality in sorted(matched)
    }
    counts = {
        modality: sum(entry["modality"] == modality or modality == "all" for entry in images) for modality in rows
    }
    return {
        "checkpoint": loaded.metadata.sha256, "machine": f"{platform.machine()}, {predictor.device.name}",
        "images": counts, "modalities": rows, "each": images,
    }  # fmt: skip


def card(result: dict, checkpoint: Path) -> str:
    """Markdown of everything that was measured or is known about the training."""
    metadata = load_checkpoint(checkpoint).metadata
    lines = ["| modality (images) | depth | pixel IoU | F1 at 0.5 | PQ |", "|---|---|---|---|---|"]
    for modality, nodes in result["modalities"].items():
        for node, row in nodes.items():
            lines.append(
                f"| {modality} ({result['images'][modality]}) | {node[-1]} | {row['iou_pooled']:.3f} "
                f"| {row['f1_50_pooled']:.3f} | {row['pq_pooled']:.3f} |"
            )
    worst = sorted(result["each"], key=lambda entry: entry["f1"])[:8]
    lines += ["", "Worst validation images at depth 4:", ""]
    lines += [
        f"- `{entry['image'][:12]}…` ({entry['modality']}): F1 {entry['f1']:.3f}, of {entry['nuclei']} nuclei "
        f"{entry['missed']} missed, {entry['false']} false"
        for entry in worst
    ]
    recipe = metadata.recipe
    lines += [
        "",
        f"Recipe as stored in the checkpoint: `{json.dumps(recipe)}`.",
        f"Epochs finished when these weights were taken: {len(metadata.history)} of {recipe.get('epochs')}. "
        f"SHA-256 of the file: `{result['checkpoint']}`.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, then write table and card."""
    dataset, checkpoint = Path(sys.argv[1]), Path(sys.argv[2])
    result = measure(dataset, checkpoint)
    TABLE.write_text(json.dumps(result, indent=1), encoding="utf-8")
    page = checkpoint.with_suffix(".md")
    text = page.read_text(encoding="utf-8")
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(f"{before}{START}\n\n{card(result, checkpoint)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
