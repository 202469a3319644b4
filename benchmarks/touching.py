"""How touching nuclei come apart best: one pass of the network, every way of reading its maps.

    python benchmarks/touching.py DATASET CHECKPOINT [--cache FOLDER]

Writes benchmarks/touching.json and touching.md. The checkpoint needs the extra channels core and border.
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
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.scaling import magnification, resized, scaled_shape
from napari_unetsharp.inference.tiling import padded, read_window
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.network.upconv import Window
from napari_unetsharp.nuclei.instances import (
    CORE_THRESHOLD,
    LabelSettings,
    fill_small_holes,
    split_by_cores,
    split_touching,
    without_small,
)
from napari_unetsharp.nuclei.metrics import Scores, score_nuclei
from napari_unetsharp.training.samples import Sample, find_samples

HERE = Path(__file__).parent
NODES = ("x02", "x03", "x04")
Maps = dict[str, NDArray[np.float32]]
SETTINGS = LabelSettings()


def components(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Connected components, nothing split."""
    return np.asarray(ndimage.label(mask)[0], np.int32)


def necks(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Watershed of the distance to the outside (needs no extra channel)."""
    return split_touching(ndimage.label(mask)[0])


def border(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """A border class: what is left of the mask without it are markers."""
    markers, _ = ndimage.label(mask & (maps["border x04"] < 0.5))
    return np.asarray(watershed(maps["border x04"], markers, mask=mask), np.int32)


def core(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pieces of core are markers."""
    markers, _ = ndimage.label(mask & (maps["core x04"] >= CORE_THRESHOLD))
    return np.asarray(watershed(-maps["core x04"], markers, mask=mask), np.int32)


def core_and_necks(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pieces of core, cut at their necks, are markers (what we ship)."""
    return split_by_cores(ndimage.label(mask)[0], maps["core x04"])


def core_of_several(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The same from the mean core of three depths."""
    return split_by_cores(ndimage.label(mask)[0], np.mean([maps[f"core {node}"] for node in NODES], axis=0))


def core_less_border(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The same from core times (1 - border)."""
    return split_by_cores(ndimage.label(mask)[0], maps["core x04"] * (1 - maps["border x04"]))


WAYS: tuple[Callable[[Maps, NDArray[np.bool_]], NDArray[np.int32]], ...] = (
    components, necks, border, core, core_and_necks, core_of_several, core_less_border,
)  # fmt: skip


def maps_of(checkpoint: Checkpoint, predictor: Predictor, plane: NDArray[Any]) -> Maps:
    """Nuclei, cores and borders at the image's own resolution."""
    size, wanted = predictor.estimate_size(plane), checkpoint.metadata.nucleus_size
    factor = magnification(wanted, size) if size and wanted else 1.0
    intensity = checkpoint.metadata.intensity
    scaled = intensity.apply(resized(plane, scaled_shape(plane.shape[:2], factor)), intensity.limits(plane))
    window = Window.whole(padded(scaled.shape[0]), padded(scaled.shape[1]))
    image = torch.from_numpy(read_window(scaled, window)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = checkpoint.network(image.contiguous(memory_format=torch.channels_last))
    maps = {}
    for node in NODES:
        values = torch.sigmoid(logits[node])[0, :, : scaled.shape[0], : scaled.shape[1]].numpy()
        for channel, name in enumerate(("nucleus", *checkpoint.config.extras)):
            maps[f"{name} {node}"] = resized(values[channel], plane.shape[:2])
    return maps


def cached_maps(
    sample: Sample, checkpoint: Checkpoint, predictor: Predictor, cache: Path | None
) -> tuple[Maps, NDArray[np.int32]]:
    plane, truth = sample.read(3)
    file = None if cache is None else cache / f"{checkpoint.metadata.sha256[:8]}_{sample.name[:24]}.npz"
    if file is not None and file.is_file():
        with np.load(file) as stored:
            return {name: stored[name].astype(np.float32) for name in stored.files}, truth
    maps = maps_of(checkpoint, predictor, plane)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, **{name: values.astype(np.float16) for name, values in maps.items()})
    return maps, truth


def measure(samples: list[Sample], checkpoint: Checkpoint, cache: Path | None) -> dict[str, Any]:
    predictor = Predictor(checkpoint, "cpu")
    scores: dict[str, dict[str, Scores]] = {way.__name__: {} for way in WAYS}
    for done, sample in enumerate(samples, start=1):
        maps, truth = cached_maps(sample, checkpoint, predictor, cache)
        mask = fill_small_holes(maps["nucleus x04"] >= SETTINGS.threshold)
        for way in WAYS:
            started = time.monotonic()
            found = without_small(way(maps, mask), SETTINGS.smallest) if mask.any() else np.zeros(truth.shape, np.int32)
            score = score_nuclei(truth, found, mask, time.monotonic() - started)
            for group in (sample.modality, "all"):
                scores[way.__name__][group] = scores[way.__name__].get(group, Scores()) + score
        print(f"{done}/{len(samples)}", end="\r", flush=True)
    return {
        way.__name__: {"what": (way.__doc__ or "").strip()}
        | {group: score.as_dict() for group, score in scores[way.__name__].items()}
        for way in WAYS
    }


def table(result: dict[str, Any]) -> str:
    groups = list(next(iter(result["ways"].values())))[1:]
    lines = [
        "# Touching nuclei", "",
        f"Checkpoint {result['checkpoint'][:12]}, {result['images']} images of {result['dataset']}, depth 4, one pass "
        f"each, threshold {SETTINGS.threshold}; mean over images. Measured by `benchmarks/touching.py` on "
        f"{result['machine']}.", "",
        "| way | " + " | ".join(f"{group}: PQ · AJI · AP@.5" for group in groups) + " | split · merged | s |",
        "|---|" + "---|" * (len(groups) + 2),
    ]  # fmt: skip
    for name, rows in result["ways"].items():
        cells = [" · ".join(f"{rows[group][key]:.3f}" for key in ("pq", "aji", "ap_50")) for group in groups]
        every = rows["all"]
        cells += [f"{every['split']} · {every['merged']}", f"{every['seconds']:.1f}"]
        lines.append(f"| {name.replace('_', ' ')}: {rows['what']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("checkpoint")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "touching.json")
    arguments = parser.parse_args()
    checkpoint, samples = load_checkpoint(arguments.checkpoint), find_samples(arguments.dataset)
    result = {
        "dataset": arguments.dataset.name, "images": len(samples), "checkpoint": checkpoint.metadata.sha256,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "ways": measure(samples, checkpoint, arguments.cache),
    }  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    arguments.out.with_suffix(".md").write_text(table(result), encoding="utf-8")
    print(table(result))


if __name__ == "__main__":
    main()
