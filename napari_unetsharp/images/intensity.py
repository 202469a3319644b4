"""From stored grey values to what the network was trained on.

The way is part of the checkpoint: a model sees in use what it saw in training. Limits are measured once
on the whole plane, so that a tile, a view and a whole image are scaled alike.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError, SettingsError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Intensity:
    """How a checkpoint wants its pixels.

    Attributes
    ----------
    kind : "range" or "percentile"
        "range": divide by the largest value of the dtype (floats are taken as 0..1).
        "percentile": bring the low and high percentile of the plane, all channels together, to 0 and 1.
    low, high : float
        Percentiles, 0 to 100.
    mean, deviation : tuple of float
        Per channel, in units of the 0..1 range. One value serves any number of channels.
    """

    kind: Literal["range", "percentile"] = "percentile"
    low: float = 1.0
    high: float = 99.8
    mean: tuple[float, ...] = (0.5,)
    deviation: tuple[float, ...] = (0.25,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "deviation", tuple(float(value) for value in self.deviation))
        if self.kind not in ("range", "percentile"):
            raise SettingsError(f'intensity kind is "range" or "percentile", not {self.kind!r}')
        if not 0 <= self.low < self.high <= 100:
            raise SettingsError(f"percentiles must rise within 0..100; got {self.low} and {self.high}")
        if len(self.mean) != len(self.deviation) or not self.mean or not min(self.deviation) > 0:
            raise SettingsError("mean and deviation need as many values as each other, all deviations above 0")
        if not np.isfinite([*self.mean, *self.deviation]).all():
            raise SettingsError(f"mean and deviation must be finite; got {self.mean} and {self.deviation}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"mean": list(self.mean), "deviation": list(self.deviation)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Intensity:
        """Undo `as_dict`; raises `SettingsError` where a value makes no sense."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise SettingsError(f"unknown intensity settings {sorted(unknown)}")
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"the intensity settings {values} can't be used: {error}") from error

    def limits(self, plane: NDArray[Any]) -> tuple[float, float]:
        """Grey values that become 0 and 1.

        Parameters
        ----------
        plane : array, (Y, X) or (Y, X, C), any real dtype
            The whole plane (a coarse version of it serves as well).

        Returns
        -------
        tuple of float
            In units of `plane`; the second is always larger than the first.

        Raises
        ------
        ImageError
            If the plane holds NaN or infinite values (finite ones are needed throughout).
        """
        if self.kind == "range":
            return (0.0, 1.0) if plane.dtype.kind in "fb" else (0.0, float(np.iinfo(plane.dtype).max))
        step = max(1, int(np.sqrt(plane.size / _SAMPLE)))
        sample = np.asarray(plane[::step, ::step]).astype(np.float64)
        if not np.isfinite(sample).all():
            raise ImageError(
                "the image holds NaN or infinite values, so its brightness can't be measured; "
                "replace them (for instance with 0) and run again"
            )
        low, high = (float(value) for value in np.percentile(sample, (self.low, self.high)))
        return low, max(high, low + _smallest_range(plane.dtype, low, high))

    def apply(self, plane: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.float32]:
        """Scale and standardise.

        Parameters
        ----------
        plane : array, (..., C), any real dtype
        limits : tuple of float
            From `limits` of the whole plane.

        Returns
        -------
        array of float32, (..., C)
            Standardised; percentile-scaled values are held within -0.5..2 before standardising.
        """
        low, high = limits
        scaled = (plane.astype(np.float32) - np.float32(low)) / np.float32(high - low)
        if self.kind == "percentile":
            np.clip(scaled, -0.5, 2.0, out=scaled)
        mean, deviation = np.array(self.mean, np.float32), np.array(self.deviation, np.float32)
        return np.asarray((scaled - mean) / deviation, dtype=np.float32)


PUBLISHED = Intensity("range", mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION)
"""What a file in the published layout is taken to mean until the user says otherwise."""


@dataclass(frozen=True)
class Normalisation:
    """A way in which the training images of a published file may have been scaled.

    Attributes
    ----------
    name : str
        On the command line.
    words : str
        In the window.
    intensity : Intensity
    """

    name: str
    words: str
    intensity: Intensity


NORMALISATIONS = (
    Normalisation("imagenet", "ImageNet (published code)", PUBLISHED),
    Normalisation("zero-one", "0 to 1", Intensity("range", mean=(0.0,), deviation=(1.0,))),
    Normalisation("minus-one-one", "-1 to 1", Intensity("range", mean=(0.5,), deviation=(0.5,))),
    Normalisation("per-image", "brightness of each image", Intensity()),
)
"""All ways that are offered for a file that doesn't say."""


def _smallest_range(dtype: np.dtype[Any], low: float, high: float) -> float:
    """Give the range below which differences are noise: 8 of 255 grey values, a thousandth of a float's level.

    Without it an empty, nearly constant picture would be blown up until its noise looked like tissue.
    """
    if dtype.kind in "ui":
        return 8.0 if dtype.itemsize == 1 else 16.0
    return max(1e-3 * max(abs(low), abs(high)), 1e-6)
