"""How touching nuclei come apart best: one pass of the network, every way of reading its maps.

    python benchmarks/touching.py CHECKPOINT DATASET... [--cache FOLDER] [--side 400] [--half] [--part 0|1]

Writes benchmarks/touching.json and touching.md. The checkpoint needs the extra channels core and border. Of images
larger than ``--side`` only the middle is looked at. ``--half`` computes in bfloat16. ``--part`` takes every other image
of a look, so that what was chosen on one part can be checked on the other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured_on import commit, machine, today
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.scaling import magnification, resized, scaled_shape
from napari_unetsharp.inference.tiling import padded, read_window
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.network.upconv import Window
from napari_unetsharp.nuclei.instances import (
    LabelSettings,
    fill_small_holes,
    label_nuclei,
    split_by_cores,
    split_touching,
    without_small,
)
from napari_unetsharp.nuclei.label_cut import CORE_DEPTH, CORE_SMOOTHING
from napari_unetsharp.nuclei.metrics import Scores, score_nuclei
from napari_unetsharp.training.samples import Sample, find_samples

HERE = Path(__file__).parent
COLUMNS = {"pq": "PQ", "aji": "AJI", "f1_50": "F1@.5", "ap_50": "AP@.5", "pq_pooled": "PQ pooled"}
THRESHOLDS, SMALLEST = (0.3, 0.4, 0.5, 0.6), (10, 20, 30, 40)
Maps = dict[str, NDArray[np.float32]]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Field:
    """Maps of an image by channel, (Y, X), what is foreground by 0.5, and its true nuclei."""

    maps: Maps
    mask: NDArray[np.bool_]
    truth: Labels


def components(field: Field) -> Labels:
    """Connected components, nothing split."""
    return np.asarray(ndimage.label(field.mask)[0], np.int32)


def necks(field: Field) -> Labels:
    """Watershed of the distance to the outside (what checkpoints without cores get)."""
    return split_touching(ndimage.label(field.mask)[0])


def border(field: Field) -> Labels:
    """A border class: what is left of the mask without it are markers."""
    markers, _ = ndimage.label(field.mask & (field.maps["border"] < 0.5))
    return np.asarray(watershed(field.maps["border"], markers, mask=field.mask), np.int32)


def pieces_of_core(field: Field) -> Labels:
    """Pieces of core (0.5) are markers."""
    markers, _ = ndimage.label(field.mask & (field.maps["core"] >= 0.5))
    return _from(markers, field)


def pieces_cut_at_necks(field: Field) -> Labels:
    """Pieces of core (0.5), cut where they narrow by 5 %, are markers (shipped before)."""
    return _from(split_touching(field.mask & (field.maps["core"] >= 0.5), 0.05), field)


def tops_of_core(field: Field) -> Labels:
    """Tops of the smoothed core are markers."""
    smooth = ndimage.gaussian_filter(np.where(field.mask, field.maps["core"], 0), CORE_SMOOTHING)
    return _from(ndimage.label(h_maxima(smooth, CORE_DEPTH), np.ones((3, 3)))[0] * field.mask, field)


def core_and_width(field: Field) -> Labels:
    """Tops of the smoothed core plus width are markers."""
    return split_by_cores(ndimage.label(field.mask)[0], field.maps["core"])


def core_less_border(field: Field) -> Labels:
    """The same from core times (1 - border)."""
    return split_by_cores(ndimage.label(field.mask)[0], field.maps["core"] * (1 - field.maps["border"]))


def shipped(field: Field) -> Labels:
    """Tops of the smoothed core plus width, and what has no core is no nucleus (shipped)."""
    return label_nuclei(field.maps["nucleus"], LabelSettings(smallest=0), field.maps["core"])


def put_together_by_the_truth(field: Field) -> Labels:
    """Pieces of core put together by the truth: what no rule of merging them can beat."""
    pieces = pieces_cut_at_necks(field)
    count, real = int(pieces.max(initial=0)) + 1, int(field.truth.max(initial=0)) + 1
    shared = np.bincount(pieces.ravel() * real + field.truth.ravel(), minlength=count * real).reshape(count, real)
    shared[:, 0] = 0
    owners = np.where(shared.any(axis=1), shared.argmax(axis=1), real + np.arange(count))
    owners[0] = 0
    return np.unique(owners[pieces], return_inverse=True)[1].reshape(pieces.shape).astype(np.int32)


WAYS: tuple[Callable[[Field], Labels], ...] = (
    components, necks, border, pieces_of_core, pieces_cut_at_necks, tops_of_core, core_and_width,
    core_less_border, shipped, put_together_by_the_truth,
)  # fmt: skip


def _from(markers: NDArray[Any], field: Field) -> Labels:
    """Markers grown by the core; what has none stays as it is."""
    parts = np.asarray(watershed(-field.maps["core"], markers, mask=field.mask), np.int32)
    alone, _ = ndimage.label(field.mask & (parts == 0))
    return np.where(alone > 0, alone + parts.max(initial=0), parts).astype(np.int32)


def maps_of(checkpoint: Checkpoint, predictor: Predictor, plane: NDArray[Any], half: bool) -> Maps:
    """Nuclei, cores and borders at the image's own resolution."""
    size, wanted = predictor.estimate_size(plane), checkpoint.metadata.nucleus_size
    factor = magnification(wanted, size) if size and wanted else 1.0
    intensity = checkpoint.metadata.intensity
    scaled = intensity.apply(resized(plane, scaled_shape(plane.shape[:2], factor)), intensity.limits(plane))
    window = Window.whole(padded(scaled.shape[0]), padded(scaled.shape[1]))
    image = torch.from_numpy(read_window(scaled, window)).permute(2, 0, 1)[None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = checkpoint.network(image.contiguous(memory_format=torch.channels_last))["x04"].float()
    values = torch.sigmoid(logits)[0, :, : scaled.shape[0], : scaled.shape[1]].numpy()
    names = ("nucleus", *checkpoint.config.extras)
    return {name: resized(values[channel], plane.shape[:2]) for channel, name in enumerate(names)}


def cached_maps(sample: Sample, checkpoint: Checkpoint, predictor: Predictor, given: argparse.Namespace) -> Field:
    plane, truth = (_middle(values, given.side) for values in sample.read(3))
    name = f"{checkpoint.metadata.sha256[:8]}_{given.side}_{'half' if given.half else 'full'}_{sample.name[:32]}.npz"
    file = None if given.cache is None else given.cache / name
    if file is not None and file.is_file():
        with np.load(file) as stored:
            maps = {name: stored[name].astype(np.float32) for name in stored.files}
    else:
        maps = maps_of(checkpoint, predictor, plane, given.half)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, **{name: values.astype(np.float16) for name, values in maps.items()})
    return Field(maps, fill_small_holes(maps["nucleus"] >= 0.5), truth)


def _middle(plane: NDArray[Any], side: int) -> NDArray[Any]:
    rows, columns = (slice(max(0, (length - side) // 2), (length + side) // 2) for length in plane.shape[:2])
    return np.ascontiguousarray(plane[rows, columns])


def looks(datasets: list[Path], part: int | None) -> Iterator[tuple[str, Sample]]:
    """Samples with the look that they count for, by turns."""
    seen: dict[str, list[Sample]] = {}
    for dataset in datasets:
        for sample in find_samples(dataset):
            kind = sample.modality
            look = dataset.name if kind == "all" else "purple tissue" if "purple_on" in kind else kind.replace("_", " ")
            seen.setdefault(look, []).append(sample)
    for look, samples in seen.items():
        for sample in samples if part is None else samples[part::2]:
            yield look, sample


def measure(given: argparse.Namespace, checkpoint: Checkpoint) -> dict[str, dict[str, Scores]]:
    """Scores by look and by way, then by threshold and smallest size."""
    predictor = Predictor(checkpoint, "cpu")
    scores: dict[str, dict[str, Scores]] = {}
    for done, (look, sample) in enumerate(looks(given.dataset, given.part), start=1):
        field, rows = cached_maps(sample, checkpoint, predictor, given), scores.setdefault(look, {})

        def add(name: str, found: Labels, field: Field = field, rows: dict[str, Scores] = rows) -> None:
            rows[name] = rows.get(name, Scores()) + score_nuclei(field.truth, found)

        for way in WAYS:
            found = way(field) if field.mask.any() else np.zeros(field.truth.shape, np.int32)
            add(way.__name__, without_small(found, LabelSettings().smallest))
        for threshold, smallest in product(THRESHOLDS, SMALLEST):
            settings = LabelSettings(threshold, smallest)
            add(f"{threshold} {smallest}", label_nuclei(field.maps["nucleus"], settings, field.maps["core"]))
        print(f"{done} {look}", flush=True)
    return scores


def page(result: dict[str, Any]) -> str:
    part = "" if result["part"] is None else f" (every other one, from number {result['part'] + 1})"
    lines = [
        "# Touching nuclei", "",
        f"Checkpoint {result['checkpoint'][:12]}, depth 4, one pass{' in bfloat16' if result['half'] else ''}, the "
        f"middle {result['side']} px of larger images{part}; means over images but for the last three columns. "
        f"`benchmarks/touching.py`, {result['on']}, commit {result['commit']}, {result['machine']}.",
    ]  # fmt: skip
    for look, rows in result["looks"].items():
        images, nuclei = rows["shipped"]["images"], rows["shipped"]["nuclei"]
        lines += ["", f"## {look[0].upper() + look[1:]}: {images} images, {nuclei:,} nuclei", ""]
        lines += [f"| way | {' | '.join(COLUMNS.values())} | split | merged |", "|---|" + "---|" * (len(COLUMNS) + 2)]
        for way in WAYS:
            cells = [f"{rows[way.__name__][key]:.3f}" for key in COLUMNS]
            cells += [str(rows[way.__name__][key]) for key in ("split", "merged")]
            lines.append(f"| {(way.__doc__ or '').strip().rstrip('.')} | " + " | ".join(cells) + " |")
    lines += ["", "## Threshold and smallest size (px), the shipped way: PQ", ""]
    lines += ["| threshold | smallest | " + " | ".join(result["looks"]) + " |", "|---|" + "---|" * 6]
    for threshold, smallest in product(THRESHOLDS, SMALLEST):
        cells = [f"{rows[f'{threshold} {smallest}']['pq']:.3f}" for rows in result["looks"].values()]
        lines.append(f"| {threshold} | {smallest} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkpoint")
    parser.add_argument("dataset", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--part", type=int, choices=(0, 1))
    parser.add_argument("--out", type=Path, default=HERE / "touching.json")
    given = parser.parse_args()
    checkpoint = load_checkpoint(given.checkpoint)
    result = {
        "checkpoint": checkpoint.metadata.sha256, "side": given.side, "half": given.half, "part": given.part,
        "on": today(), "commit": commit(), "machine": machine(),
        "looks": {
            look: {name: score.as_dict() for name, score in rows.items()}
            for look, rows in measure(given, checkpoint).items()
        },
    }  # fmt: skip
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    given.out.with_suffix(".md").write_text(page(result), encoding="utf-8")
    print(page(result))


if __name__ == "__main__":
    main()
