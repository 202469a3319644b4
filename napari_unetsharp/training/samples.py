"""Training images with their instance maps, from the folders that people have."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import DatasetError, ImageError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.image import adapt_channels, check_finite

_PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Sample:
    """One image and its truth on disk.

    Attributes
    ----------
    name : str
    image : Path
    labels : tuple of Path
        One instance map, or a mask per nucleus.
    group : str
        Samples of one group never end up on both sides of a split.
    modality : str
        For the breakdown of results.
    """

    name: str
    image: Path
    labels: tuple[Path, ...]
    group: str
    modality: str = "all"

    def read(self, channels: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Pixels (Y, X, channels) in their own dtype, and labels (Y, X) int32, 0 outside.

        Raises
        ------
        DatasetError
            If one of the files can't be read, or the sizes differ.
        """
        try:
            pixels, _ = adapt_channels(_plane(self.image), channels)
            check_finite(pixels)
            labels = self._read_labels()
        except ImageError as error:
            raise DatasetError(f"sample {self.name}: {error}") from error
        if labels.shape != pixels.shape[:2]:
            raise DatasetError(
                f"sample {self.name}: the image is {pixels.shape[:2]} but its labels are {labels.shape}; "
                "both must have the same height and width"
            )
        return np.ascontiguousarray(pixels), labels

    def _read_labels(self) -> NDArray[np.int32]:
        if len(self.labels) == 1:
            return _plane(self.labels[0])[..., 0].astype(np.int32)
        masks = [_plane(path)[..., 0] > 0 for path in self.labels]
        labels = np.zeros(masks[0].shape, np.int32)
        for label, mask in enumerate(masks, start=1):
            if mask.shape != labels.shape:
                raise DatasetError(f"sample {self.name}: its masks differ in size ({mask.shape} and {labels.shape})")
            labels[mask] = label
        return labels


def _plane(path: Path) -> NDArray[Any]:
    image = read_image(path)
    if image.stack_shape and max(image.stack_shape) > 1:
        raise DatasetError(f"{path} is a stack of shape {image.stack_shape}; training takes single planes")
    return image.plane((0,) * len(image.stack_shape))


def find_samples(dataset: str | Path) -> list[Sample]:
    """All samples of a folder, in order of their names.

    Parameters
    ----------
    dataset : str or Path
        ``images/`` with ``labels/`` (instance maps of the same stem), or the Data Science Bowl layout
        (``ID/images/*`` and ``ID/masks/*``). A ``manifest.csv`` there or one folder up, with columns ``id``
        and ``group`` or ``modality``, is used where it is.

    Returns
    -------
    list of Sample

    Raises
    ------
    DatasetError
        If the folder is neither, or an image has no labels.
    """
    folder = Path(dataset)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is not a folder; give one with images/ and labels/, or with ID/images and ID/masks"
        )
    manifest = _manifest(folder)
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        pairs = _flat_pairs(folder)
    else:
        pairs = _bowl_pairs(folder)
    if not pairs:
        raise DatasetError(f"{folder} holds no samples; put pictures into images/ and instance maps into labels/")
    samples = []
    for name, image, labels in pairs:
        row = manifest.get(name, {})
        samples.append(Sample(name, image, labels, row.get("group") or name, row.get("modality") or "all"))
    return samples


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    for place in (folder, folder.absolute().parent):
        if (place / "manifest.csv").is_file():
            with (place / "manifest.csv").open(newline="", encoding="utf-8-sig") as file:  # Excel marks its UTF-8
                return {row["id"]: row for row in csv.DictReader(file) if row.get("id")}
    return {}


def _flat_pairs(folder: Path) -> list[tuple[str, Path, tuple[Path, ...]]]:
    labels = {path.stem: path for path in (folder / "labels").iterdir() if path.suffix.lower() in _PICTURES}
    images = sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in _PICTURES)
    missing = [path.name for path in images if path.stem not in labels]
    if missing:
        raise DatasetError(
            f"{folder}: no labels for {', '.join(missing[:3])} ({len(missing)} in all); add or remove them"
        )
    return [(path.stem, path, (labels[path.stem],)) for path in images]


def _bowl_pairs(folder: Path) -> list[tuple[str, Path, tuple[Path, ...]]]:
    pairs = []
    for sample in sorted(path for path in folder.iterdir() if (path / "images").is_dir()):
        images = sorted(path for path in (sample / "images").iterdir() if path.suffix.lower() in _PICTURES)
        masks = sorted((sample / "masks").glob("*")) if (sample / "masks").is_dir() else []
        masks = [path for path in masks if path.suffix.lower() in _PICTURES]
        if len(images) != 1 or not masks:
            raise DatasetError(f"{sample}: one picture in images/ and a mask per nucleus in masks/ are needed")
        pairs.append((sample.name, images[0], tuple(masks)))
    return pairs


def find_split(dataset: str | Path, validation: str | Path | None, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Training and validation samples.

    Parameters
    ----------
    dataset : str or Path
        As in `find_samples`, or a folder with ``train/`` and perhaps ``val/`` of these kinds.
    validation : str or Path or None
        A dataset of its own; else ``val/``; else a seeded tenth of the groups is kept aside.
    seed : int

    Returns
    -------
    tuple of list of Sample

    Raises
    ------
    DatasetError
        If there are too few groups to keep one aside.
    """
    folder = Path(dataset)
    training = find_samples(folder / "train" if (folder / "train").is_dir() else folder)
    if validation is None and (folder / "val").is_dir():
        validation = folder / "val"
    if validation is not None:
        return training, find_samples(validation)
    groups = sorted({sample.group for sample in training})
    if len(groups) < 2:
        raise DatasetError(
            f"{folder} has {len(training)} image(s) of one group, so none can be kept aside; "
            "add images, or give --validation DATASET"
        )
    random.Random(seed).shuffle(groups)
    aside = set(groups[: max(1, round(len(groups) / 10))])
    return (
        [sample for sample in training if sample.group not in aside],
        [sample for sample in training if sample.group in aside],
    )


def find_splits(datasets: list[Path], validation: str | Path | None, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Training and validation samples of several datasets together.

    Parameters
    ----------
    datasets : list of Path
        Each as in `find_split`. One without a ``val/`` keeps nothing aside if another has one.
    validation : str or Path or None
    seed : int

    Returns
    -------
    tuple of list of Sample
        Names are told apart by their dataset; so are modalities where a dataset names none.

    Raises
    ------
    DatasetError
        As `find_split`.
    """
    if len(datasets) == 1:
        return find_split(datasets[0], validation, seed)
    halved = [folder for folder in datasets if (folder / "val").is_dir()] or datasets
    training: list[Sample] = []
    aside: list[Sample] = [] if validation is None else find_samples(validation)
    for folder in datasets:
        if validation is None and folder in halved:
            some, others = find_split(folder, None, seed)
        else:
            some, others = find_samples(folder / "train" if (folder / "train").is_dir() else folder), []
        training += [_of_dataset(sample, folder.name) for sample in some]
        aside += [_of_dataset(sample, folder.name) for sample in others]
    return training, aside


def _of_dataset(sample: Sample, name: str) -> Sample:
    modality = name if sample.modality == "all" else sample.modality
    return replace(sample, name=f"{name}/{sample.name}", group=f"{name}/{sample.group}", modality=modality)
