"""Which values of a scan to show as black and white where its file doesn't say."""

from __future__ import annotations

import numpy as np

from napari_unetsharp.images.volume import Volume

_LOOKED_AT, _EVERY = 8, 7
_SHARES = (0.5, 99.8)


def common_window(volume: Volume) -> tuple[float, float]:
    """Give one window for all planes, by the values of some that are spread over the volume.

    Parameters
    ----------
    volume : Volume
        Of grey values.

    Returns
    -------
    (float, float)
        The file's window where it has one, else the 0.5th and 99.8th percentile; the second is above the first.
    """
    if volume.window is not None:
        return volume.window
    indices = list(volume.plane_indices())
    step = -(-len(indices) // _LOOKED_AT)
    values = np.concatenate([volume.plane(index).ravel()[::_EVERY] for index in indices[step // 2 :: step]])
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = (float(value) for value in np.percentile(finite, _SHARES)) if finite.size else (0.0, 1.0)
    if volume.pixels.dtype.kind in "ui":
        low, high = float(round(low)), float(round(high))
    return low, high if high > low else low + 1.0
