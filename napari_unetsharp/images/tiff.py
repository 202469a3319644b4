"""TIFF in, TIFF out; axes, spacing and units kept."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import Image, check_size
from napari_unetsharp.images.tiff_pages import check_pages

_MICRONS = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "\\u00B5m": 1.0,
    "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "inch": 25400.0,
}  # fmt: skip
"""How many micrometres a unit has, by the names that writers give it; both letters for micro are in use."""

_OURS = "napari_unetsharp"
"""Where our own files keep their spacing, in tifffile's description."""

Steps = dict[int, tuple[float, str]]
"""Step and unit by position along the axes; what is not there is unknown."""


def read_tiff(path: str | Path) -> Image:
    """Read the first series of a TIFF at full resolution.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Image
        Stack axes first, then Y and X, then C (samples or channels); transparency is dropped (noted).

    Raises
    ------
    ImageError
        If the file is truncated, not a TIFF, in a compression without a decoder here, or too large.
    """
    path = Path(path)
    check_pages(path)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            check_size(tuple(series.shape), np.dtype(series.dtype), path.name)
            extra = is_transparent(file)
            steps = read_spacing(file, series.axes)
            pixels, axes = series.asarray(), series.axes
        return _arranged(pixels, axes, extra, steps, path.stem)
    except ImageError:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise ImageError(f"{path.name} can't be read as TIFF: {first_line(error)}") from error


def is_transparent(file: tifffile.TiffFile) -> bool:
    """Whether the last sample is alpha, and not one more channel of a measurement."""
    page = file.pages.first
    extra = tuple(int(kind) for kind in getattr(page, "extrasamples", ()))
    return len(extra) == 1 and (extra[0] in (1, 2) or page.photometric == tifffile.PHOTOMETRIC.RGB)


def read_spacing(file: tifffile.TiffFile, axes: str) -> Steps:
    """Read steps and units from our own description, OME, ImageJ or the resolution tags."""
    described: tuple[dict[str, Any], ...] = file.shaped_metadata or ()
    if ours := described[0].get(_OURS) if described else None:
        known = zip(ours["scale"], ours["units"], strict=True)
        return {place: (float(step), str(unit)) for place, (step, unit) in enumerate(known)}
    found = _ome_spacing(file.ome_metadata) if file.is_ome and file.ome_metadata else {}
    found = found or _tag_spacing(file)
    return {place: (found[letter], "micrometer") for place, letter in enumerate(axes) if letter in found}


def _tag_spacing(file: tifffile.TiffFile) -> dict[str, float]:
    """Micrometres by axis letter, from the resolution tags and what ImageJ adds to them."""
    imagej: dict[str, Any] = file.imagej_metadata or {}
    page = file.pages.first
    tags = [page.tags.get(name) for name in ("YResolution", "XResolution")]
    steps = [tag.value[1] / tag.value[0] if tag and tag.value[0] and tag.value[1] else 0.0 for tag in tags]
    unit = str(imagej.get("unit", ""))
    if not unit:  # inches say nothing: 72 of them is what printers are told
        unit = {3: "cm"}.get(int(getattr(page.tags.get("ResolutionUnit"), "value", 0) or 0), "")
    micrometres = _MICRONS.get(unit, 0.0)
    if not micrometres or not all(steps):
        return {}
    found = {"Y": steps[0] * micrometres, "X": steps[1] * micrometres}
    if imagej.get("spacing"):
        found["Z"] = abs(float(imagej["spacing"])) * micrometres
    return found


def _ome_spacing(xml: str) -> dict[str, float]:
    """Micrometres by axis letter; none if the unit of X or Y isn't a length."""
    described = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    described = described[0] if isinstance(described, list) else described
    pixels = described.get("Pixels", {})
    found = {}
    for axis in "ZYX":
        step = float(pixels.get(f"PhysicalSize{axis}", 0))
        micrometres = _MICRONS.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")), 0.0)
        if step * micrometres > 0:
            found[axis] = step * micrometres
    return found if {"Y", "X"} <= set(found) else {}


def _arranged(pixels: NDArray[Any], axes: str, transparent: bool, steps: Steps, name: str) -> Image:
    """Bring the axes into our order and give every stack axis a letter.

    By position, not by letter: tifffile calls every axis it knows nothing of Q.
    """
    colour = next((letter for letter in "SC" if letter in axes), "")
    if axes.count("Y") != 1 or axes.count("X") != 1:
        raise ImageError(f"{name} has axes {axes}; a picture with Y and X is needed")
    last = [axes.index(letter) for letter in "YX" + colour]
    order = [place for place in range(len(axes)) if place not in last] + last
    pixels = np.transpose(pixels, order)
    notes = []
    if colour == "S" and transparent:
        pixels = pixels[..., :-1]
        notes.append("The last channel (transparency) was left out.")
    spatial = order[: len(order) - len(colour)]
    letters = "".join({"Q": "I", "C": "I"}.get(axes[place], axes[place]) for place in spatial)
    known = [steps.get(place, (1.0, "pixel")) for place in spatial]
    scale, units = tuple(step for step, _ in known), tuple(unit for _, unit in known)
    return Image(pixels, letters + "C" * len(colour), scale, units, name, notes)


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, renamed to `path` only if the block succeeds.

    A file that was there before stays whole until then, and stays if anything fails. Who may read it stays
    as it was, or as for any new file: safetensors would give it to its owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.touch()
        mode = stat.S_IMODE((path if path.is_file() else beside).stat().st_mode)
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        beside.chmod(mode)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_tiff(path: str | Path, pixels: NDArray[Any], like: Image) -> None:
    """Write labels or probabilities with the axes and spacing of the image they belong to.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed.
    pixels : array
        Labels (whole numbers) or probabilities (float16), one axis per letter of ``like.spatial_axes``.
    like : Image
        Gives axes, scale and units.

    Raises
    ------
    ImageError
        If the pixels have more or fewer axes than the image.
    """
    axes = like.spatial_axes
    if len(axes) != pixels.ndim:
        raise ImageError(f"pixels of shape {pixels.shape} don't fit the axes {axes} of the image they belong to")
    spacing = {"scale": list(like.scale), "units": list(like.units)}
    metadata = {"axes": axes.replace("I", "Q"), _OURS: spacing}
    options: dict[str, Any] = {}
    if like.units[-2:] == ("micrometer", "micrometer") and min(like.scale[-2:]) > 0:  # for other programs
        options = {"resolution": (1e4 / like.scale[-1], 1e4 / like.scale[-2]), "resolutionunit": "CENTIMETER"}
    with written_beside(Path(path)) as beside:
        tifffile.imwrite(beside, pixels, compression="zlib", metadata=metadata, photometric="minisblack", **options)
