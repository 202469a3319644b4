"""A region of a slide, cut out at full resolution and kept as a picture by itself. No Qt, no napari."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from platformdirs import user_data_path

from napari_unetsharp.errors import ImageError, SaveError, ShapeError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.places import SUFFIX, writable

LONGEST = 4096
"""Sides of a region, in pixels of the slide's largest level."""

SHORTEST = 16
"""The network needs a side of so many pixels."""

LAYOUT = "unetsharp slide region 1"

COVERED = 0.8
"""Share of the view that an earlier region must cover to be opened in its place."""


@dataclass(frozen=True)
class SlideRegion:
    """A rectangle of a slide that is worked on.

    Attributes
    ----------
    file : Path
        TIFF with its pixels. Its review lies beside it, as that of any picture.
    slide : str
        Name of the slide.
    path : str
        Where the slide lay when the region was cut.
    identity : str
        `Slide.identity`.
    plane : tuple of int
        Stack index; empty for a single plane.
    box : Box
        In pixels of level 0.
    """

    file: Path
    slide: str
    path: str
    identity: str
    plane: tuple[int, ...]
    box: Box

    @property
    def place(self) -> str:
        """Where on the slide, for a person."""
        return f"y{self.box.top} x{self.box.left}" + "".join(f" plane {index}" for index in self.plane)

    @property
    def name(self) -> str:
        """For layers and lists."""
        return f"{self.slide} {self.place}"

    @property
    def size(self) -> str:
        """Width and height, for a person."""
        return size_words(self.box)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layout": LAYOUT, "slide": self.slide, "path": self.path, "identity": self.identity,
            "plane": list(self.plane), "box": list(self.box),
        }  # fmt: skip


def size_words(box: Box) -> str:
    """Width and height of a box, for a person: "1,180 × 860 px"."""
    height, width = box.shape
    return f"{width:,} × {height:,} px"


def regions_folder(slide: Slide) -> Path:
    """Where the regions of a slide are kept: beside it, else in the user's data.

    Named after the content of the slide, so that another slide under the same name never meets them.
    """
    beside, own = _places(slide)
    if beside.is_dir() or (not own.is_dir() and writable(slide.path.parent)):
        return beside
    return own


def _places(slide: Slide) -> tuple[Path, Path]:
    mark = slide.identity[:12]
    own = user_data_path("napari-unetsharp", appauthor=False) / "reviews" / f"{_plain(slide.path.name)}-{mark}"
    return slide.path.with_name(slide.path.name + SUFFIX) / f"regions {mark}", own / "regions"


def region_at(slide: Slide, box: Box, plane: tuple[int, ...] = (), name: str = "") -> SlideRegion:
    """Make a region of a rectangle, without reading a pixel.

    Parameters
    ----------
    slide : Slide
    box : Box
        In pixels of level 0; what lies beyond the slide is left out.
    plane : tuple of int, optional
    name : str, optional
        Of the slide on screen, where it says more than the file's: a channel.

    Raises
    ------
    ShapeError
        If nothing of it lies on the slide, or it is larger than `LONGEST` or smaller than `SHORTEST`.
    """
    height, width = (int(side) for side in slide.shape[-3:-1])
    inside = Box(max(0, box.top), max(0, box.left), min(height, box.bottom), min(width, box.right))
    trouble = trouble_with(inside)
    if trouble:
        raise ShapeError(trouble)
    name = name or slide.name
    planes = "".join(f" plane {index}" for index in plane)
    stem = f"{_plain(name)} {inside.shape[1]}x{inside.shape[0]}{planes} y{inside.top} x{inside.left}"
    file = regions_folder(slide) / f"{stem}.tif"
    return SlideRegion(file, name, str(slide.path), slide.identity, tuple(plane), inside)


def trouble_with(box: Box) -> str:
    """Why a rectangle can't be worked on, with what to do; empty where it can."""
    if min(box.shape) < SHORTEST:
        return f"{size_words(box)} of the slide are too little to work on; at least {SHORTEST} × {SHORTEST} are needed"
    if max(box.shape) > LONGEST:
        return f"{size_words(box)} are too much to work on at once: zoom in, or draw a rectangle within {LONGEST:,} px"
    return ""


def cut_region(slide: Slide, region: SlideRegion, um_per_pixel: tuple[float, float] | None = None) -> NDArray[Any]:
    """Read the pixels of a region at full resolution, and keep them in its file.

    Parameters
    ----------
    slide : Slide
    region : SlideRegion
    um_per_pixel : tuple of float, optional
        Of level 0, for the file.

    Returns
    -------
    array, (Y, X, C), or (Y, X) for a single channel

    Raises
    ------
    ImageError
        If a tile of the slide is damaged.
    SaveError
        If the region can't be written.
    """
    if region.file.is_file():
        kept = load_region(region.file.with_suffix(".json"))
        if (kept.identity, kept.plane, kept.box) == (region.identity, region.plane, region.box):
            return np.asarray(tifffile.imread(region.file))
    (top, left, _, _), (height, width) = region.box, region.box.shape
    pixels = np.ascontiguousarray(slide.crop(0, top, left, height, width, region.plane).pixels)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    options: dict[str, Any] = {}
    if um_per_pixel is not None:
        options = {"resolution": (1e4 / um_per_pixel[1], 1e4 / um_per_pixel[0]), "resolutionunit": "CENTIMETER"}
    colours = "rgb" if pixels.ndim == 3 and pixels.shape[-1] == 3 else "minisblack"
    try:
        with written_beside(region.file) as beside:
            tifffile.imwrite(
                beside, pixels, compression="zlib", photometric=colours,
                metadata={"axes": "YXS"[: pixels.ndim]}, **options,
            )  # fmt: skip
        with written_beside(region.file.with_suffix(".json")) as beside:
            beside.write_text(json.dumps(region.as_dict(), indent=1), encoding="utf-8")
    except OSError as error:
        raise SaveError(
            f"the region can't be kept in {region.file.parent} ({error.strerror or error}); make room or allow writing"
        ) from error
    return pixels


def as_image(region: SlideRegion, pixels: NDArray[Any]) -> Image:
    """The picture of a region, as its file gives it."""
    return Image(pixels, "YXC"[: pixels.ndim], name=region.name)


def load_region(note: Path) -> SlideRegion:
    """Read what is noted beside the file of a region.

    Raises
    ------
    ImageError
        If it is no such note.
    """
    try:
        kept = json.loads(note.read_text(encoding="utf-8"))
        if kept["layout"] != LAYOUT:
            raise ValueError(str(kept["layout"]))
        box, plane = Box(*map(int, kept["box"])), tuple(map(int, kept["plane"]))
        slide, path, identity = (str(kept[name]) for name in ("slide", "path", "identity"))
        return SlideRegion(note.with_suffix(".tif"), slide, path, identity, plane, box)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(f"{note.name} doesn't say which region of a slide it is about; cut it again") from error


def region_of_file(file: Path) -> SlideRegion | None:
    """The region that a TIFF holds; None for any other picture."""
    note = file.with_suffix(".json")
    try:
        return load_region(note) if note.is_file() and file.parent.name.startswith("regions") else None
    except ImageError:
        return None


def regions_of(slide: Slide) -> list[SlideRegion]:
    """All regions of a slide that were cut before, the one that was worked on last first."""
    notes = (note for place in _places(slide) for note in place.glob("*.json"))
    found = [region for note in notes if (region := region_of_file(note.with_suffix(".tif"))) is not None]
    found = [region for region in found if region.identity == slide.identity and region.file.is_file()]
    return sorted(found, key=_last_touched, reverse=True)


def beside_each_other(region: SlideRegion) -> list[SlideRegion]:
    """The other regions of the same slide, which need not be at hand."""
    others = (region_of_file(note.with_suffix(".tif")) for note in sorted(region.file.parent.glob("*.json")))
    return [other for other in others if other is not None and other.file != region.file and other.file.is_file()]


def covering(regions: Sequence[SlideRegion], box: Box, plane: tuple[int, ...] = ()) -> SlideRegion | None:
    """The earlier region that covers most of a box, from `COVERED` on; None where there is none."""
    shares = [(_shared(region.box, box), region) for region in regions if region.plane == plane]
    most, region = max(shares, key=lambda pair: pair[0], default=(0, None))
    return region if most >= COVERED * max(1, box.area) else None


def overlapping(regions: Sequence[SlideRegion], region: SlideRegion) -> list[SlideRegion]:
    """Other regions that share pixels with one."""
    others = (other for other in regions if other.file != region.file and other.plane == region.plane)
    return [other for other in others if other.box.meets(region.box)]


def groups_of(regions: Sequence[SlideRegion]) -> dict[Path, str]:
    """Names by file: the same for regions that overlap, directly or through others.

    What teaches and what is kept aside for testing must not share pixels.
    """
    names: dict[Path, str] = {}
    for region in sorted(regions, key=lambda region: region.box):
        met = {names[other.file] for other in overlapping(regions, region) if other.file in names}
        names[region.file] = name = min(met, default=region.name)
        names |= {file: name for file, known in names.items() if known in met}
    return names


def _shared(one: Box, two: Box) -> int:
    return Box(
        max(one.top, two.top), max(one.left, two.left), min(one.bottom, two.bottom), min(one.right, two.right)
    ).area


def _last_touched(region: SlideRegion) -> int:
    """When its review was written last, else when it was cut, in nanoseconds."""
    times = [0]
    for path in (region.file, region.file.with_name(region.file.name + SUFFIX) / "journal"):
        try:
            times.append(os.stat(path).st_mtime_ns)
        except OSError:
            continue
    return times[-1]


def _plain(name: str) -> str:
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)
