"""How large a slide's nuclei are, how it is brought to the model's scale, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError, SettingsError
from napari_unetsharp.images.image import check_finite
from napari_unetsharp.inference.predictor import Limits, Predictor
from napari_unetsharp.inference.scaling import LARGEST, SMALLEST, magnification
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.slides.plane import SlidePlane

PATCH = 576
"""Side in pixels of the places where brightness and nuclei are measured: what a size is estimated on at most."""

_ESTIMATES, _AGREE = 3, 1.2
"""Places on which a size is estimated: two where these agree within a factor, since a person waits."""

Measure = Callable[[], float | None]


@dataclass(frozen=True)
class RunScale:
    """How a slide is brought to a model's scale.

    Attributes
    ----------
    nucleus_size : float or None
        Typical diameter in pixels of level 0; None where it plays no part.
    magnification : float
        The model's pixels per pixel of level 0.
    decided_by : "person", "pixel size", "nuclei" or "nothing"
    sentence : str
        For a person.
    """

    nucleus_size: float | None
    magnification: float
    decided_by: str
    sentence: str

    @property
    def downsample(self) -> int:
        """Pixels of level 0 per pixel of the result: a power of 2, so that maps aren't much finer than what is seen."""
        factor = 1
        while 2 * factor * self.magnification <= 1:
            factor *= 2
        return factor

    def margin(self, least: int = 48, most: int = 128) -> int:
        """Pixels of the result around a block in which a nucleus is still seen whole: about two nuclei."""
        if self.nucleus_size is None:
            return 64
        wanted = 2 * self.nucleus_size / self.downsample
        return int(min(most, max(least, -(-wanted // 16) * 16)))


def scale_of(
    metadata: CheckpointMetadata, um_per_pixel: tuple[float, float] | None, asked: float | None, measure: Measure
) -> RunScale:
    """Decide the scale: what a person says, else the model's µm per pixel, else the size of the nuclei.

    Parameters
    ----------
    metadata : CheckpointMetadata
    um_per_pixel : (float, float) or None
        Of level 0.
    asked : float, optional
        Diameter in pixels of level 0 that a person set.
    measure : callable
        Estimates the diameter, in pixels of level 0; asked only where it is needed.

    Returns
    -------
    RunScale

    Raises
    ------
    SettingsError
        If a size isn't above 0.
    """
    for value in (asked, *(um_per_pixel or ())):
        if value is not None and not 0 < value < np.inf:
            raise SettingsError(f"a nucleus size and µm per pixel are above 0; got {value}")
    um = float(np.sqrt(um_per_pixel[0] * um_per_pixel[1])) if um_per_pixel else None
    wanted = metadata.nucleus_size
    known = "" if um is None else f"{um:.3g} µm per px; "
    if metadata.pixel_size and um and not (asked and wanted):
        factor = min(LARGEST, max(SMALLEST, um / metadata.pixel_size))
        size = wanted / factor if wanted else None
        words = f"{known}the slide is brought to the {metadata.pixel_size:.3g} µm per px of the model."
        return RunScale(size, factor, "pixel size", _sentence(words))
    if not wanted:
        words = f"{known}the model states no scale of its own, so the slide is taken as it is."
        return RunScale(None, 1.0, "nothing", _sentence(words))
    found = asked or measure()
    if found is None:
        words = f"{known}no nuclei were found to measure, so the slide is taken as it is."
        return RunScale(wanted, 1.0, "nothing", _sentence(words))
    size = round(float(found), 2)
    words = f"{known}nuclei of about {size:.0f} px are brought to the {wanted:.0f} px that the model knows."
    if round(size) == round(wanted):
        words = f"{known}nuclei of about {size:.0f} px are as the model knows them."
    return RunScale(size, magnification(wanted, size), "person" if asked else "nuclei", _sentence(words))


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def pieces_at(
    plane: SlidePlane, centres: Sequence[tuple[float, float]], side: int = PATCH
) -> list[tuple[tuple[float, float], NDArray[Any]]]:
    """Pieces of a plane around some places; those that are damaged or hold NaN are left out.

    Parameters
    ----------
    plane : SlidePlane
    centres : sequence of (float, float)
        Rows and columns.
    side : int

    Returns
    -------
    list of ((float, float), array)
        The place, and (y, x, C) around it.

    Raises
    ------
    ImageError
        If none can be read.
    """
    found, failure = [], None
    for centre in centres:
        spans = []
        for at, whole in zip(centre, plane.shape[:2], strict=True):
            first = int(min(max(0, at - side // 2), max(0, whole - side)))
            spans.append(slice(first, min(whole, first + side)))
        try:
            pixels = plane[spans[0], spans[1]]
            check_finite(pixels)
        except ImageError as error:
            failure = failure or error
            continue
        found.append((centre, pixels))
    if failure is not None and not found:
        raise failure
    return found


def limits_of(predictor: Predictor, pieces: Sequence[NDArray[Any]]) -> Limits:
    """Grey values that become 0 and 1 in every block of a slide, from pieces of its tissue."""
    flat = [piece[::4, ::4].reshape(-1, 1, piece.shape[-1]) for piece in pieces]
    return predictor.checkpoint.metadata.intensity.limits(np.concatenate(flat))


def estimated_on(
    predictor: Predictor, pieces: Sequence[NDArray[Any]], limits: Limits, stop: Callable[[], bool] = lambda: False
) -> float | None:
    """Typical diameter of nuclei in pixels: the median over the pieces with most to see.

    Parameters
    ----------
    predictor : Predictor
    pieces : sequence of array, (y, x, C)
        Of level 0.
    limits : (float, float)
    stop : callable
        Asked between pieces.

    Returns
    -------
    float or None
        None where no nuclei were found.
    """
    sizes: list[float] = []
    for piece in sorted(pieces, key=lambda pixels: -float(pixels[::4, ::4].astype(np.float32).std())):
        if len(sizes) == _ESTIMATES or (len(sizes) == 2 and max(sizes) < _AGREE * min(sizes)) or stop():
            break
        size = predictor.estimate_size(piece, limits)
        if size is not None:
            sizes.append(size)
    return float(np.median(sizes)) if sizes else None
