"""NIfTI volumes, shown like the DICOM series they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.image import check_size, check_values
from napari_unetsharp.images.volume import Planes, Volume, turned_round, upright

_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_MILLIMETRES = {"mm": 1.0, "micron": 1e-3, "meter": 1e3}


def open_nifti(path: Path) -> Volume:
    """Open a NIfTI file without reading its pixels.

    Parameters
    ----------
    path : Path
        Ends in .nii or .nii.gz (whose planes are read fastest in order).

    Returns
    -------
    Volume
        Axes "ZYX" or "TZYX": planes as stored, turned round as `volume.upright` says; scaled values; millimeter.

    Raises
    ------
    ImageError
    """
    try:
        import nibabel
    except ImportError:
        raise ImageError(
            f'{path.name} needs nibabel: install it with pip install "napari-unetsharp[volumes]"'
        ) from None
    try:
        image = nibabel.load(path, keep_file_open=True)
        return _volume(image, path)
    except ImageError:
        raise
    except Exception as error:  # nibabel raises many kinds on damaged headers
        raise ImageError(f"{path.name} can't be read as NIfTI: {first_line(error)}") from error


def _volume(image: Any, path: Path) -> Volume:
    stored = image.dataobj
    shape = tuple(int(side) for side in stored.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4):
        raise ImageError(f"{path.name} has {len(shape)} axes {shape}; a volume or a film of volumes is needed")
    check_values(np.dtype(image.get_data_dtype()), shape)
    check_size(shape[:2], np.dtype(np.float64), f"one plane of {path.name}")
    _check_length(stored, path)
    notes: list[str] = []
    header = image.header
    dtype = _value_type(stored, image)
    turned = (False, False, False)
    if int(header["sform_code"]) or int(header["qform_code"]):
        turned = upright((_TO_LPS @ image.affine[:3, :3]).T)
    else:
        notes.append("The file doesn't say how it lies in the patient: planes are shown as stored.")
    if dtype != image.get_data_dtype():
        notes.append("The stored values were rescaled.")
    extra = (0,) * (len(stored.shape) - len(shape))

    def read(place: tuple[int, ...]) -> NDArray[Any]:
        depth = shape[2] - 1 - place[-1] if turned[2] else place[-1]
        try:
            plane = np.asarray(stored[(slice(None), slice(None), depth, *place[:-1], *extra)])
        except Exception as error:
            raise ImageError(f"{path.name} can't be read: {first_line(error)}; copy it again") from error
        return turned_round(plane.T.astype(dtype), turned)

    unit = header.get_xyzt_units()[0]
    factor = _MILLIMETRES.get(unit, 1.0)
    if unit not in _MILLIMETRES:
        notes.append("The file names no unit of length: millimetres were taken.")
    steps = [float(step) * factor for step in header.get_zooms()[:3]]
    film = len(shape) == 4
    window = (float(header["cal_min"]), float(header["cal_max"]))
    return Volume(
        Planes((*shape[3:], *shape[2::-1]), dtype, 2 if film else 1, read, path.name), "TZYX" if film else "ZYX",
        (*((1.0,) if film else ()), *steps[::-1]), (*(("pixel",) if film else ()), *("millimeter",) * 3),
        path.name.split(".nii")[0], notes, "NIfTI volume", window if window[1] > window[0] else None,
    )  # fmt: skip


def _value_type(stored: Any, image: Any) -> np.dtype[Any]:
    """Give the stored type where nothing is rescaled, else real numbers."""
    plain = stored.slope in (None, 1.0) and stored.inter in (None, 0.0)
    dtype = np.dtype(image.get_data_dtype()).newbyteorder("=")
    return dtype if plain else np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)


def _check_length(stored: Any, path: Path) -> None:
    declared = int(stored.offset) + int(np.prod(stored.shape)) * np.dtype(stored.dtype).itemsize
    if not path.name.endswith(".gz") and declared > path.stat().st_size:
        raise ImageError(
            f"{path.name} declares {declared} bytes of pixels and header but holds {path.stat().st_size}: it is cut "
            "off; copy it again"
        )
