"""Where fine-tuning finds its samples: reviews on disk, image and mask, folders, snapshots of open layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetsharp.errors import DatasetError, ImageError, SettingsError, UNetSharpError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.head import JOURNAL, find_review
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.known import Known
from napari_unetsharp.nuclei.label_files import read_labels
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.places import SUFFIX
from napari_unetsharp.nuclei.review_folder import RECORD, load_review
from napari_unetsharp.nuclei.store import Store
from napari_unetsharp.training.reviewed_sample import SNAPSHOT, ReviewedSample
from napari_unetsharp.training.samples import Sample, find_samples

_MARK = re.compile(r"-[0-9a-f]{12}$")
_PLANE = re.compile(r"plane (\d+)")
PARTS = ("auto", "train", "aside")


@dataclass(frozen=True)
class Source:
    """One sample, by where it lies; everything in it can be written as JSON.

    Attributes
    ----------
    path : str
        A folder of a review (journal or what *Save* wrote), an image with `labels`, or a snapshot.
    labels : str
        Instance map of the image in `path`.
    image : str
        Of a review whose image doesn't lie beside it: the file, or a folder that holds it.
    box : tuple of int, optional
        Top, left, bottom, right of the rectangle that counts as reviewed.
    part : "auto", "train" or "aside"
        See `ReviewedSample`.
    name, group : str
        Taken from the files where empty.
    masks : tuple of str
        A file per nucleus, in place of `labels`.
    """

    path: str
    labels: str = ""
    image: str = ""
    box: tuple[int, int, int, int] | None = None
    part: str = "auto"
    name: str = ""
    group: str = ""
    masks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise SettingsError(f"a sample is for {', '.join(PARTS)}, not {self.part!r}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Source:
        """Undo `as_dict`.

        Raises
        ------
        SettingsError
            If a key is unknown, or a rectangle has other than four sides.
        """
        unknown = set(values) - {item.name for item in fields(cls)}
        box = values.get("box")
        if unknown or "path" not in values or (box is not None and len(box) != 4):
            raise SettingsError(f"a sample has a path and perhaps a box of four sides; got {values}")
        kept = dict(values) | {"box": None if box is None else tuple(map(int, box))}
        return cls(**kept | {"masks": tuple(values.get("masks", ()))})

    def read(self) -> ReviewedSample:
        """Read pixels, labels and which of them count.

        Returns
        -------
        ReviewedSample

        Raises
        ------
        DatasetError
            If something can't be read, or doesn't belong together.
        """
        try:
            sample = self._read()
        except DatasetError:
            raise
        except UNetSharpError as error:
            raise DatasetError(f"sample {self.name or Path(self.path).name}: {error}") from error
        sample = replace(sample, name=self.name or sample.name, group=self.group or sample.group)
        return replace(sample, part=self.part if self.part != "auto" else sample.part)

    def _read(self) -> ReviewedSample:
        path = Path(self.path)
        if path.suffix == SNAPSHOT:
            return ReviewedSample.load(path)
        if path.is_dir():
            return _of_review(path, self.image)
        name, box = self.name or path.stem, None if self.box is None else Box(*self.box)
        if self.masks:
            pixels, labels = Sample(name, path, tuple(map(Path, self.masks)), name).read(3)
            return ReviewedSample.of_pair(name, pixels, labels, box, str(path))
        if not self.labels:
            raise DatasetError(f"{path} has no labels; give a mask to it, or the folder of its review")
        image = read_image(path)
        if image.stack_shape and max(image.stack_shape) > 1:
            raise DatasetError(f"{path} is a stack of shape {image.stack_shape}; fine-tuning takes single planes")
        labels = np.asarray(read_labels(self.labels, image).pixels)
        plane = image.plane((0,) * len(image.stack_shape))
        return ReviewedSample.of_pair(name, plane, labels.reshape(plane.shape[:2]), box, str(path))


def find_sources(folder: str | Path, images: str = "") -> list[Source]:
    """All samples of a folder.

    Parameters
    ----------
    folder : str or Path
        Of a review, of images with reviews beside them, or a dataset as in `samples.find_samples` (perhaps with
        ``train/`` and ``val/``: the second is kept aside); or a snapshot.
    images : str
        Folder with the images of reviews that don't lie beside theirs.

    Returns
    -------
    list of Source

    Raises
    ------
    DatasetError
        If there is none.
    """
    folder = Path(folder)
    if folder.suffix == SNAPSHOT and folder.is_file():
        return [Source(str(folder))]
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; give one with reviews, or with images/ and labels/")
    if _is_review(folder):
        return [Source(str(folder), image=images)]
    reviews = [review for place in sorted(folder.iterdir()) if place.is_dir() for review in _reviews(place)]
    if reviews:
        return [Source(str(review), image=images) for review in reviews]
    named = ((folder / "train", "train"), (folder / "val", "aside"))
    halves = [(half, part) for half, part in named if half.is_dir()]
    if not halves:
        return of_dataset(folder)
    return [replace(source, part=part) for half, part in halves for source in of_dataset(half)]


def of_dataset(folder: Path) -> list[Source]:
    """Sources of a dataset as in `samples.find_samples`."""
    sources = []
    for sample in find_samples(folder):
        files = tuple(map(str, sample.labels))
        only = {"labels": files[0]} if len(files) == 1 else {"masks": files}
        group = f"{folder} {sample.group}"  # the same name in two folders is no neighbour
        sources.append(Source(str(sample.image), name=sample.name, group=group, **only))
    return sources


def read_all(sources: Iterable[Source], channels: int) -> list[ReviewedSample]:
    """Read samples and fit them to a network.

    Parameters
    ----------
    sources : iterable of Source
    channels : int
        Of the network.

    Raises
    ------
    DatasetError
        If one can't be read.
    """
    samples = []
    for source in sources:
        sample = source.read()
        try:
            samples.append(sample.with_channels(channels))
        except ImageError as error:
            raise DatasetError(f"sample {sample.name}: {error}") from error
    return samples


def _is_review(folder: Path) -> bool:
    return (folder / JOURNAL).is_file() or (folder / RECORD).is_file()


def _reviews(place: Path) -> list[Path]:
    """The review in a folder beside an image, or those of the planes of a stack."""
    if _is_review(place):
        return [place]
    return sorted(inside for inside in place.glob("plane *") if _is_review(inside)) if place.suffix == SUFFIX else []


def _of_review(folder: Path, image: str) -> ReviewedSample:
    """By its journal, which is never behind; by what was saved where there is none."""
    head = find_review(folder)
    if head is not None:
        store = Store(folder, PermissionError("it is only read"))  # takes no lock: the review may be open meanwhile
        findings = Known(store.load()[1]).findings
        pixels_hash = head.identity.pixels
    elif (folder / RECORD).is_file():
        saved = load_review(folder, changed_allowed=True)
        findings = Findings.start(
            saved.labels, saved.nuclei, rejected=saved.rejected, views=saved.views, ignored=saved.ignored
        )
        pixels_hash = str(saved.record.get("image", {}).get("identity", {}).get("pixels", ""))
    else:
        raise DatasetError(f"{folder} holds no review; give a folder that Review saved")
    file = _image_of(folder, image)
    picture = read_image(file)
    _check_same(picture, file, folder, pixels_hash)
    index = tuple(int(number) for part in folder.parts for number in _PLANE.findall(part))
    plane = picture.plane(index or (0,) * len(picture.stack_shape))
    if plane.shape[:2] != findings.labels.shape:
        raise DatasetError(f"{file} has {plane.shape[:2]} px, its review {findings.labels.shape}; give the right image")
    name = file.name + "".join(f" plane {number}" for number in index)
    return replace(ReviewedSample.of_findings(name, plane, findings, str(folder)), group=file.name)


def _check_same(picture: Image, file: Path, folder: Path, pixels_hash: str) -> None:
    if pixels_hash and identify(picture.pixels, picture.axes).pixels != pixels_hash:
        raise DatasetError(f"the review in {folder} belongs to another image than {file}; give the one it was made on")


def _image_of(folder: Path, image: str) -> Path:
    """The image of a review: the one given, or the one that the folder is named after."""
    given = Path(image) if image else None
    if given is not None and given.is_file():
        return given
    named = next((place for place in (folder, *folder.parents) if not _PLANE.fullmatch(place.name)), folder)
    name = named.name.removesuffix(SUFFIX)
    places = [named.parent, *([given] if given is not None else [])]
    for place in reversed(places):
        for candidate in (place / name, place / _MARK.sub("", name)):
            if candidate.is_file():
                return candidate
    raise DatasetError(f"the image of the review in {folder} isn't beside it; say where {_MARK.sub('', name)} is")
