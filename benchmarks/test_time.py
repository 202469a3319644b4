"""Test-time options: gain and cost of orientations, accurate mode, Gaussian tile weights and guided modules.

    python benchmarks/test_time.py DATASET CHECKPOINT [--every 4]

Writes benchmarks/test_time.json and test_time.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetsharp.inference.engine import Engine
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.scaling import magnification, resized, scaled_shape
from napari_unetsharp.inference.tile_pass import TilePass
from napari_unetsharp.inference.tiling import read_window
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.network.upconv import Window
from napari_unetsharp.nuclei.instances import label_nuclei
from napari_unetsharp.nuclei.metrics import Scores, score_nuclei
from napari_unetsharp.training.samples import Sample, find_samples

HERE = Path(__file__).parent
TILE = 256
METRICS = ("pq", "aji", "ap_50", "dice")
Plane = NDArray[Any]
Labeller = Callable[[Plane, float | None], NDArray[np.int32]]


def exact(checkpoint: Checkpoint, **options: Any) -> Labeller:
    """Our tiles, which know where they lie in the whole image."""
    predictor = Predictor(checkpoint, "cpu", branches=None if options.get("accurate") else ("x04",), **options)

    def run(plane: Plane, size: float | None) -> NDArray[np.int32]:
        prediction = predictor.predict(plane, nucleus_size=size)
        return label_nuclei(prediction.full["x04"], core=prediction.cores.get("x04"))

    return run


def blended(checkpoint: Checkpoint, gaussian: bool) -> Labeller:
    """Tiles that know nothing of the whole image, overlapping by half, averaged with or without a Gaussian."""
    task = TilePass(Engine(checkpoint.network, choose_device("cpu")), 4, ("x04",))
    ramp = np.exp(-0.5 * ((np.arange(TILE) - (TILE - 1) / 2) / (TILE / 8)) ** 2)
    weight = np.maximum(np.outer(ramp, ramp), 1e-3) if gaussian else np.ones((TILE, TILE))

    def run(plane: Plane, size: float | None) -> NDArray[np.int32]:
        intensity, wanted = checkpoint.metadata.intensity, checkpoint.metadata.nucleus_size
        factor = magnification(wanted, size) if wanted and size else 1.0
        scaled = intensity.apply(resized(plane, scaled_shape(plane.shape[:2], factor)), intensity.limits(plane))
        height, width = scaled.shape[:2]
        sums = np.zeros((3, height + TILE, width + TILE))
        for top in range(0, max(1, height - TILE // 2), TILE // 2):
            for left in range(0, max(1, width - TILE // 2), TILE // 2):
                pixels = read_window(scaled, Window(top, left, TILE, TILE, TILE, TILE))
                image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
                with torch.inference_mode():
                    maps = task.run(image, Window.whole(TILE, TILE))
                stacked = np.stack([maps.full["x04"], maps.cores["x04"], np.ones((TILE, TILE))])
                sums[:, top : top + TILE, left : left + TILE] += weight * stacked
        full, core = (resized(values / sums[2], (height + TILE, width + TILE))[:height, :width] for values in sums[:2])
        return label_nuclei(resized(full, plane.shape[:2]), core=resized(core, plane.shape[:2]))

    return run


def measure(samples: list[Sample], sizes: list[float | None], ways: dict[str, Labeller]) -> dict[str, Any]:
    rows: dict[str, dict[str, Scores]] = {name: {} for name in ways}
    for sample, size in zip(samples, sizes, strict=True):
        plane, truth = sample.read(3)
        for name, label in ways.items():
            started = time.monotonic()
            found = label(plane, size)
            score = score_nuclei(truth, found, found > 0, time.monotonic() - started)
            for group in (sample.modality, "all"):
                rows[name][group] = rows[name].get(group, Scores()) + score
        print(sample.name[:16], end="\r", flush=True)
    return {name: {group: score.as_dict() for group, score in groups.items()} for name, groups in rows.items()}


def empty_windows(samples: list[Sample], side: int = 128) -> list[Plane]:
    """Real background: windows without any labelled nucleus."""
    found = []
    for sample in samples:
        plane, truth = sample.read(3)
        for top in range(0, truth.shape[0] - side + 1, side):
            for left in range(0, truth.shape[1] - side + 1, side):
                part = (slice(top, top + side), slice(left, left + side))
                if not truth[part].any():
                    found.append((plane, part))
    return found[:: max(1, len(found) // 60)]


def false_finds(windows: list[Any], label: Labeller, sizes: dict[int, float | None]) -> float:
    """Nuclei per megapixel of background, each window seen within its image."""
    count, pixels, done = 0, 0, {}
    for plane, part in windows:
        if id(plane) not in done:
            done[id(plane)] = label(plane, sizes[id(plane)])
        inside = done[id(plane)][part]
        count += len(np.unique(inside[inside > 0]))
        pixels += inside.size
    return 1e6 * count / max(1, pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("checkpoint")
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--out", type=Path, default=HERE / "test_time.json")
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    samples = find_samples(arguments.dataset)[:: arguments.every]
    predictor = Predictor(checkpoint, "cpu")
    sizes = [predictor.estimate_size(sample.read(3)[0]) for sample in samples]
    ways = {
        "plain": exact(checkpoint), "2 orientations": exact(checkpoint, orientations=2),
        "4 orientations": exact(checkpoint, orientations=4), "8 orientations": exact(checkpoint, orientations=8),
        "accurate (average of 8 branches)": exact(checkpoint, accurate=True),
        "tiles on their own, averaged": blended(checkpoint, False),
        "tiles on their own, Gaussian weights": blended(checkpoint, True),
    }  # fmt: skip
    if checkpoint.config.guided:
        ways["guided modules"] = exact(checkpoint, guided=True)
    result = {
        "checkpoint": checkpoint.metadata.sha256, "images": len(samples), "dataset": arguments.dataset.name,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "ways": measure(samples, sizes, ways),
    }  # fmt: skip
    if checkpoint.config.guided:
        windows = empty_windows(samples)
        by_plane = {id(plane): predictor.estimate_size(plane) for plane, _ in windows}
        result["false_per_mpx"] = {
            name: round(false_finds(windows, ways[name], by_plane), 1) for name in ("plain", "guided modules")
        } | {"windows": len(windows)}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = table(result)
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def table(result: dict[str, Any]) -> str:
    groups = list(result["ways"]["plain"])
    lines = [
        "# Test-time options", "",
        f"Checkpoint {result['checkpoint'][:12]}, {result['images']} images of {result['dataset']}, depth 4, mean over "
        f"images; time beside the plain pass of the same run ({result['machine']}).", "",
        "| way | " + " | ".join(f"{group}: PQ · AJI · AP@.5 · Dice" for group in groups) + " | time |",
        "|---|" + "---|" * (len(groups) + 1),
    ]  # fmt: skip
    plain = result["ways"]["plain"]["all"]["seconds"]
    for name, rows in result["ways"].items():
        cells = [" · ".join(f"{rows[group][key]:.3f}" for key in METRICS) for group in groups]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{rows['all']['seconds'] / plain:.1f} ×"]) + " |")
    if "false_per_mpx" in result:
        rates = result["false_per_mpx"]
        windows, plain, guided = rates["windows"], rates["plain"], rates["guided modules"]
        lines += ["", f"False nuclei per megapixel of background ({windows} windows of 128 px without a labelled "
                  f"nucleus): {plain} plain, {guided} with guided modules."]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
