"""What a job reads: a file or folder, what a person said about it, and a hash of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.channel import picture_channel, slide_channel
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.slide_dicom_level import series_of
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.images.volume import Planes, Volume, windowed
from napari_unetsharp.images.volume_open import kind_of, open_any, open_volume
from napari_unetsharp.images.volume_window import common_window

LARGEST_PLANE = 2**26
"""Pixels up to which the planes of a stack are run one by one as pictures; larger ones are those of a slide."""


@dataclass(frozen=True)
class Source:
    """An input.

    Attributes
    ----------
    path : Path
        A file, or the folder of a zarr or DICOM slide or of a DICOM series.
    name : str
        Of the results; empty for one that follows from the path.
    plane : tuple of int or None
        The only plane of a stack to run; all of them (the first of a slide) if None.
    um_per_pixel : (float, float) or None
        Along Y and X in µm, said by a person; the file's own if None.
    nucleus_size : float or None
        Diameter in px.
    channel : str
        The only channel to run, by name or number from 1; empty for colours as they are and else the one of nuclei
        (`images.channel`).
    series : bool
        The file stands for the DICOM series that it belongs to.
    problem : str
        Why there is nothing to run, a sentence; empty where there is.
    """

    path: Path
    name: str = ""
    plane: tuple[int, ...] | None = None
    um_per_pixel: tuple[float, float] | None = None
    nucleus_size: float | None = None
    channel: str = ""
    series: bool = False
    problem: str = ""

    def resolved(self) -> Source:
        """The same by its absolute path."""
        return replace(self, path=self.path.resolve())

    @contextmanager
    def opened(self) -> Iterator[Slide | Image]:
        """Open it as what it is: a slide, or a picture or volume whose planes run one by one.

        A scan in grey values comes as `images.volume_window.common_window` shows it, the same for all planes.

        Raises
        ------
        ImageError
        """
        if self.problem:
            raise ImageError(self.problem)
        opened = open_volume(self.path) if self.series else open_any(self.path)
        if isinstance(opened, Volume):
            if not opened.axes.endswith("C"):
                opened = windowed(opened, common_window(opened))
            elif self.channel:
                raise ImageError(f"{self.path.name} is a volume in colours, of which no channel can be run by itself")
            yield self._as_said(opened)
        elif not isinstance(opened, Slide):
            yield self._as_said(picture_channel(opened, self.path, self.channel))
        else:
            with opened:
                slide = slide_channel(opened, self.channel)
                flat = len(slide.axes) == 3 or prod(slide.shape[-3:-1]) > LARGEST_PLANE
                if flat:
                    self.plane_of(slide.axes[:-3], slide.shape[:-3])
                yield slide if flat else self._as_said(_as_stack(slide))

    def _as_said(self, image: Image) -> Image:
        if self.um_per_pixel is not None:
            ahead = len(image.scale) - 2
            units = (*image.units[:ahead], "micrometer", "micrometer")
            image = replace(image, scale=(*image.scale[:ahead], *self.um_per_pixel), units=units)
        plane = self.plane_of(image.axes[: len(image.stack_shape)], image.stack_shape)
        if not plane:
            return image
        axes = "YXC" if image.axes.endswith("C") else "YX"
        return Image(image.pixels[plane], axes, image.scale[-2:], image.units[-2:], image.name, image.notes)

    def plane_of(self, axes: str, stack: tuple[int, ...]) -> tuple[int, ...]:
        """Give the plane asked for as an index; empty for none, and for plane 0 of what is no stack.

        Parameters
        ----------
        axes : str
            Stack axes, a letter each.
        stack : tuple of int
            Their lengths.

        Raises
        ------
        ImageError
            If there is no such plane.
        """
        if self.plane is None or (self.plane == (0,) and not stack):
            return ()
        if len(self.plane) != len(stack) or any(at >= side for at, side in zip(self.plane, stack, strict=False)):
            raise ImageError(
                f"{self.path.name} has no plane {'/'.join(map(str, self.plane))}: its stack axes "
                f"({axes or 'none'}) have {stack or 'no'} planes, counted from 0"
            )
        return self.plane

    def identity(self) -> str:
        """Hash the content (64 hex digits): the same wherever it lies and whatever it's called.

        A slide's by its samples (`images.slide_identity`), so it must be one that opens; anything else's by every
        byte.
        """
        files = self.files()
        if not files:
            with open_slide(self.path) as slide:
                return slide.identity
        total = hashlib.sha256()
        for digest in sorted(_digest(file) for file in files):
            total.update(digest)
        return total.hexdigest()

    def files(self) -> list[Path]:
        """List the files that make up a picture or a volume; none for a slide."""
        if not self.series and kind_of(self.path) == "slide":
            return []
        if self.series or self.path.is_dir():
            folder = self.path if self.path.is_dir() else self.path.parent
            wanted = series_of(self.path)[0] if self.series else ""
            found = {one: series_of(one)[0] for one in folder.iterdir() if one.is_file()}
            return [one for one, series in found.items() if series and series == (wanted or series)]
        if self.path.suffix.lower() != ".nhdr":
            return [self.path]
        header = self.path.read_bytes()
        beside = [one for one in self.path.parent.iterdir() if one.is_file() and one != self.path]
        return [self.path, *(one for one in beside if one.name.encode() in header)]


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _as_stack(slide: Slide) -> Image:
    """The planes of a large TIFF stack, each read when it's asked for."""
    level, stack = slide.levels[0], len(slide.axes) - 3
    planes = Planes(level.shape, level.dtype, stack, lambda place: np.asarray(level[place]), slide.name)
    steps = slide.um_per_pixel or (1.0, 1.0)
    units = ("micrometer",) * 2 if slide.um_per_pixel else ("pixel",) * 2
    return Image(planes, slide.axes, (*slide.steps, *steps), (*slide.units, *units), slide.name, list(slide.notes))
