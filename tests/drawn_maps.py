"""Probability maps of a slide with nuclei at known places, and the runs that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.store import SlideStore

SETTINGS = LabelSettings(smallest=10)


def discs(shape: tuple[int, int], places: list[tuple[float, float, float]]) -> np.ndarray:
    """Discs (y, x, radius) with a soft edge, (Y, X) uint8."""
    plane = np.zeros(shape, np.uint8)
    for y, x, radius in places:
        top, left = max(0, int(y - radius) - 3), max(0, int(x - radius) - 3)
        rows, columns = np.ogrid[top : min(shape[0], int(y + radius) + 4), left : min(shape[1], int(x + radius) + 4)]
        disc = 255 * np.clip((radius - np.hypot(rows - y, columns - x)) / 3 + 0.5, 0, 1)
        part = plane[top : top + disc.shape[0], left : left + disc.shape[1]]
        np.maximum(part, disc.astype(np.uint8), out=part)
    return plane


def scattered(shape: tuple[int, int], seed: int, step: int = 24, radii: tuple[float, float] = (5, 9)) -> np.ndarray:
    """Discs of which some touch."""
    rng = np.random.default_rng(seed)
    return discs(
        shape,
        [
            (y + rng.uniform(6, 18), x + rng.uniform(6, 18), rng.uniform(*radii))
            for y in range(0, shape[0], step)
            for x in range(0, shape[1], step)
        ],
    )


def about_of(shape: tuple[int, int], **changed: Any) -> RunAbout:
    told: dict[str, Any] = {
        "slide": "a slide", "path": "a slide.tif", "identity": "ab" * 32, "slide_shape": shape,
        "um_per_pixel": (0.5, 0.5), "checkpoint": "nuclei", "checkpoint_sha256": "cd" * 32, "level": 2,
        "nucleus_size": 14.0, "side": 128, "margin": 32, "maps": ("x02",),
    }  # fmt: skip
    return RunAbout(**(told | changed))


def computed(folder: Path, plane: np.ndarray, settings: LabelSettings = SETTINGS, **changed: Any) -> SlideStore:
    """A run of which all maps are there and nothing is painted."""
    about = changed.pop("about", None) or about_of(plane.shape, **changed)
    store = SlideStore.create(folder, about, settings)
    for row, column in store.grid:
        window = plane[store.grid.window(row, column).slices]
        store.put_maps(row, column, dict.fromkeys(about.maps, window))
    return store


def paint_all(store: SlideStore, seed: int | None = None) -> None:
    places = np.argwhere(~store.painted)
    if seed is not None:
        places = np.random.default_rng(seed).permutation(places)
    for row, column in places.tolist():
        store.paint(row, column)


def content(store: SlideStore) -> dict[str, Any]:
    """All that a person sees: both pyramids and the table."""
    store.finish()
    nuclei = [
        (one.id, one.polygon.tobytes(), one.box, one.centroid, one.area, one.state, one.cut) for one in store.nuclei()
    ]
    levels = [level[:].tobytes() for pyramid in (store.labels, store.probability) for level in pyramid.levels]
    return {
        "levels": levels, "nuclei": nuclei, "count": store.count,
        "table": (store.folder / "nuclei.parquet").read_bytes(),
    }  # fmt: skip
