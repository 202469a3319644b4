"""Probability maps of the shipped checkpoint, computed once and kept in /tmp by checkpoint.

Used by benchmarks/review_order.py and benchmarks/fit_doubt.py. Delete /tmp/review_order after a change to the
prediction or the labelling. Half the time goes into fresh memory for every layer; this avoids it on Linux:

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Results
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.nuclei.instances import LabelSettings
from napari_unetsharp.training.samples import Sample, find_samples

SHARED = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "DSB validation": SHARED / "dsb2018" / "val",
    "MoNuSeg": SHARED / "he" / "monuseg",
    "NuCLS": SHARED / "he" / "nucls",
}
TRAIN = SHARED / "dsb2018" / "train"
PER_MODALITY = {
    "fluorescence": 120,
    "brightfield_purple_on_purple": 46,
    "brightfield_purple_on_white": 28,
    "brightfield_pink_purple_HE": 4,
    "other_gray_brightfield_cytology": 5,
}
"""Training images that the weights of doubt are fitted on."""

TILE = 1024
"""Pixels along a side: most fields fit in one tile, and no margin is computed twice."""


@dataclass(frozen=True)
class Field:
    """An image as the window has it after *Find*, and its true nuclei.

    Attributes
    ----------
    name, modality : str
    maps : dict of str to array of float16, (Y, X)
    labels : dict of int to array of int32, (Y, X)
    doubt : array of float16, (Y, X)
    truth : array of int32, (Y, X)
    """

    name: str
    modality: str
    maps: dict[str, NDArray[np.float16]]
    labels: dict[int, NDArray[np.int32]]
    doubt: NDArray[np.float16]
    truth: NDArray[Any]


def fitting_samples() -> list[Sample]:
    """Varied training images: of each modality so many, spread evenly over their sorted names."""
    chosen: list[Sample] = []
    samples = find_samples(TRAIN)
    for modality, wanted in PER_MODALITY.items():
        of_kind = sorted((s for s in samples if s.modality == modality), key=lambda sample: sample.name)
        chosen += [of_kind[index] for index in np.linspace(0, len(of_kind) - 1, wanted).astype(int)]
    return chosen


def fields(samples: list[Sample], checkpoint: str = "nuclei") -> Iterator[Field]:
    """What the checkpoint finds in each sample, all branches and levels; computed where the cache lacks it."""
    loaded = load_checkpoint(checkpoint)
    folder = Path(tempfile.gettempdir()) / "review_order" / loaded.metadata.sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    predictor: Predictor | None = None
    for number, sample in enumerate(samples, start=1):
        cached = folder / f"{sample.name}.npz"
        pixels, truth = sample.read(loaded.config.in_channels)
        if not cached.is_file():
            predictor = predictor or Predictor(loaded, tile=TILE)
            _store(cached, _found(predictor, pixels))
            print(f"{number} of {len(samples)}: {sample.name[:24]} computed", flush=True)
        with np.load(cached) as stored:
            kept = {name: stored[name] for name in stored.files}
        labels = {int(name[1:]): kept[name] for name in kept if name[0] == "L"}
        maps = {name: values for name, values in kept.items() if name[0] == "x"}
        yield Field(sample.name, sample.modality, maps, labels, kept["doubt"], truth)


def _found(predictor: Predictor, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
    results = Results(Image(pixels, "YXC"))
    results.claim(predictor)
    for _ in results.steps(predictor, [()], LabelSettings):
        pass
    labels = {f"L{level}": values for level, values in results.labels.items()}
    return {**results.maps, **labels, "doubt": results.doubt}


def _store(file: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Beside and renamed, so that a run that is stopped leaves no half a file."""
    beside = file.with_suffix(".part.npz")
    np.savez(beside, **arrays)
    beside.replace(file)
