"""Labels and probability of a slide as OME-Zarr, for napari, QuPath and all that read NGFF."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp import __version__
from napari_unetsharp.errors import SaveError, SettingsError
from napari_unetsharp.nuclei.file_set import saving
from napari_unetsharp.slides.in_force import labels_in_force
from napari_unetsharp.slides.pyramid import Pyramid
from napari_unetsharp.slides.store import SlideStore

Version = Literal["0.4", "0.5"]

LABELS = "nuclei"
"""Name of the label image; it lies in the folder ``labels`` of the probability map."""

_CHUNK = 1024
_CREATOR = "napari-unetsharp"
_METHODS = {LABELS: "nearest", "probability": "mean"}
_ZARR_FORMATS: dict[Version, int] = {"0.4": 2, "0.5": 3}


def write_ngff(path: str | Path, store: SlideStore, version: Version = "0.5") -> Path:
    """Write an OME-Zarr image (the probability of every pixel) with its label image (the nuclei).

    Both are pyramids with the same scales; µm where the slide's pixel size is known. Empty chunks aren't written.

    Parameters
    ----------
    path : str or Path
        A folder that ends in .ome.zarr; written beside and renamed. One that is there is replaced only if it is an
        OME-Zarr that this function wrote.
    store : SlideStore
        Read chunk by chunk: the memory is that of a few chunks.
    version : str
        Of NGFF: "0.5" (zarr 3), or "0.4" (zarr 2) for older readers.

    Returns
    -------
    Path

    Raises
    ------
    SaveError
        If something else is there, or it can't be written.
    SettingsError
        If zarr isn't installed.
    """
    try:
        import zarr
    except ImportError:
        raise SettingsError('OME-Zarr needs zarr: install it with pip install "napari-unetsharp[slides]"') from None
    path = Path(path)
    _check_place(path)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    with saving(path):
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            root = zarr.open_group(beside, mode="w", zarr_format=_ZARR_FORMATS[version])
            _write_image(root, store.probability, store, version, "probability", lambda values: values, {})
            listing = root.create_group("labels")
            _describe(listing, {"labels": [LABELS]}, version)
            about = {"source": {"image": "../../"}}
            group = listing.create_group(LABELS)
            _write_image(group, store.labels, store, version, LABELS, labels_in_force(store), about)
            if path.exists():
                shutil.rmtree(path)
            beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return path


def _check_place(path: Path) -> None:
    """Refuse to replace what somebody else put there."""
    if not path.exists():
        return
    marks = (path / "zarr.json", path / ".zattrs")
    if not any(mark.is_file() and _CREATOR in mark.read_text(encoding="utf-8") for mark in marks):
        raise SaveError(f"{path} is there already and isn't of our making; remove it or give another folder")


def _write_image(
    group: Any, pyramid: Pyramid, store: SlideStore, version: Version, name: str,
    shown: Callable[[NDArray[Any]], NDArray[Any]], image_label: dict[str, Any],
) -> None:  # fmt: skip
    datasets = []
    for place, (level, factor) in enumerate(zip(pyramid.levels, pyramid.downsamples, strict=True)):
        array = _array(group, str(place), level.shape, np.dtype(pyramid.dtype), version)
        for rows, columns in _blocks(level.shape):
            pixels = shown(np.asarray(level[rows, columns]))
            if pixels.any():
                array[rows, columns] = pixels
        datasets.append({"path": str(place), "coordinateTransformations": _transformations(store, factor)})
    multiscale: dict[str, Any] = {
        "name": name,
        "type": _METHODS[name],
        "axes": _axes(store),
        "datasets": datasets,
        "metadata": {"method": _CREATOR, "version": __version__},
    }
    if version == "0.4":
        multiscale["version"] = version
    described: dict[str, Any] = {"multiscales": [multiscale]}
    if image_label:
        described["image-label"] = image_label | ({"version": version} if version == "0.4" else {})
    _describe(group, described, version)


def _array(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], version: Version) -> Any:
    chunks = tuple(min(_CHUNK, side) for side in shape)
    if version == "0.5":
        return group.create_array(name, shape=shape, dtype=dtype, chunks=chunks, dimension_names=("y", "x"))
    import numcodecs  # type: ignore[import-untyped]

    return group.create_array(
        name, shape=shape, dtype=dtype, chunks=chunks, compressors=numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE),
        chunk_key_encoding={"name": "v2", "separator": "/"},  # NGFF wants folders by axis, zarr 2 by itself doesn't
    )  # fmt: skip


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    rows, columns = (range(0, side, _CHUNK) for side in shape)
    for top, left in product(rows, columns):
        yield slice(top, min(top + _CHUNK, shape[0])), slice(left, min(left + _CHUNK, shape[1]))


def _axes(store: SlideStore) -> list[dict[str, str]]:
    unit = {"unit": "micrometer"} if store.about.um_per_pixel else {}
    return [{"name": name, "type": "space", **unit} for name in ("y", "x")]


def _transformations(store: SlideStore, factor: int) -> list[dict[str, Any]]:
    """Scale, and the shift that lets the corners of all levels lie on each other: a pixel stands for its centre."""
    fine = store.about.um_per_pixel or (1.0, 1.0)
    sides = [float(one * store.about.downsample * factor) for one in fine]
    shift = [(side - one) / 2 for side, one in zip(sides, fine, strict=True)]
    shifted = [{"type": "translation", "translation": shift}] if any(shift) else []
    return [{"type": "scale", "scale": sides}, *shifted]


def _describe(group: Any, described: dict[str, Any], version: Version) -> None:
    if version == "0.4":
        group.attrs.update(described)
    else:
        group.attrs["ome"] = {"version": version, **described}
