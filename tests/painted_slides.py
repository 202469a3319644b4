"""A small DICOM slide that says where it lies, and runs over a slide whose maps are discs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from test_slide_dicom import picture, write_level

from napari_unetsharp.images.slide import Slide
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.store import SlideStore

SIDES = (260, 330)
ORIGIN, TURN = (21.5, 40.25), [0, -1, 0, -1, 0, 0]
"""mm on the glass, and the directions of rows and columns: as scanners write them, turned by 90 degrees."""

LETTERS = "ab" * 32


def write_slide(path: Path, um: float = 0.5, **elements: Any) -> Path:
    """Write a DICOM slide of one level with all that a reference needs, but for what is given as None."""
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = ORIGIN
    placed = {
        "StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5", "PositionReferenceIndicator": "SLIDE_CORNER",
        "ImageOrientationSlide": TURN, "TotalPixelMatrixOriginSequence": Sequence([origin]), "PatientID": "P1",
    }  # fmt: skip
    wanted = {name: value for name, value in (placed | elements).items() if value is not None or name not in placed}
    return write_level(path, [picture(*SIDES)], um=um, **wanted)


def disc_map(shape: tuple[int, int], count: int = 40, seed: int = 0) -> np.ndarray:
    """A probability map of discs, some of which touch or are cut by the border."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    rng = np.random.default_rng(seed)
    found = np.zeros(shape, np.uint8)
    for top, left in rng.uniform((0, 0), shape, (count, 2)):
        found[np.hypot(y - top, x - left) < rng.uniform(4, 9)] = 220
    return found


def painted_run(folder: Path, slide: Slide, downsample: int = 1) -> SlideStore:
    """A finished run over a slide, of blocks of 128 px."""
    height, width = slide.shape[-3:-1]
    return painted(folder, RunAbout(
        slide.name, str(slide.path), slide.identity, (height, width), downsample=downsample,
        um_per_pixel=slide.um_per_pixel, checkpoint="nuclei v1", checkpoint_sha256=LETTERS, side=128, margin=32,
        version="0.1.0",
    ))  # fmt: skip


def painted(folder: Path, about: RunAbout) -> SlideStore:
    """A finished run that found discs."""
    store = SlideStore.create(folder, about, LabelSettings(smallest=4))
    whole = disc_map(about.shape, 40 // about.downsample)
    for row, column in store.grid:
        store.put_maps(row, column, {"x04": whole[store.grid.window(row, column).slices]})
        store.paint(row, column)
    store.finish()
    return store


def labels_of(store: SlideStore) -> np.ndarray:
    """All labels in result px."""
    return store.read_labels(Box(0, 0, *store.about.shape))


def filled(polygons: dict[int, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Draw polygons of rows (y, x), where pixel (0, 0) spans 0 to 1, by scikit-image."""
    from skimage.draw import polygon

    found = np.zeros(shape, np.int32)
    for number, corners in polygons.items():
        found[polygon(corners[:, 0] - 0.5, corners[:, 1] - 0.5, shape)] = number
    return found


def holeless(labels: np.ndarray) -> np.ndarray:
    """Fill holes of each nucleus that nothing else lies in."""
    from scipy import ndimage

    found = labels.copy()
    for number in np.unique(labels)[1:]:
        found[ndimage.binary_fill_holes(labels == number) & (labels == 0)] = number
    return found
