"""Masks are told from photographs."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from skimage import data

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.files import read_image
from napari_unetsharp.nuclei.label_look import as_mask, looks_like_labels


@pytest.mark.parametrize("kind", ["labels", "mask 0/1", "mask 0/255", "bool", "one nucleus", "uint16 offsets"])
def test_masks(kind):
    truth = draw_fluorescence(seed=2, height=200, width=220, nuclei=40)[1]
    made = {
        "labels": truth,
        "mask 0/1": (truth > 0).astype(np.uint8),
        "mask 0/255": (truth > 0).astype(np.uint8) * 255,
        "bool": truth > 0,
        "one nucleus": (truth == truth.max()).astype(np.int32) * 7,
        "uint16 offsets": (truth.astype(np.uint16) + 1000) * (truth > 0).astype(np.uint16),
    }
    assert looks_like_labels(made[kind])


@pytest.mark.parametrize("name", ["camera", "coins", "moon", "page", "cell", "drawn", "float", "zero", "one"])
def test_photographs_and_empty_planes(name):
    made = {
        "drawn": lambda: draw_fluorescence(seed=2, height=200, width=220, nuclei=40)[0],
        "float": lambda: draw_fluorescence(seed=2, height=200, width=220, nuclei=40)[1].astype(np.float32),
        "zero": lambda: np.zeros((30, 30), np.uint8),
        "one": lambda: np.ones((30, 30), np.uint8),
    }
    plane = np.asarray(made[name]() if name in made else getattr(data, name)())
    assert not looks_like_labels(plane if plane.ndim == 2 else plane[..., 0])


def test_clipped_fluorescence_is_no_mask():
    """A dark background that is cut off at 0, as many cameras give it."""
    image = draw_fluorescence(seed=4, height=200, width=220, nuclei=40)[0].astype(np.int64)
    image = image[..., 0] if image.ndim == 3 else image
    noisy = image + np.random.default_rng(0).normal(0, 3, image.shape).astype(np.int64)
    clipped = np.clip(noisy - int(np.median(noisy)), 0, 255).astype(np.uint8)
    assert (clipped == 0).mean() > 0.3
    assert not looks_like_labels(clipped)


def test_files(tmp_path):
    picture, truth = draw_fluorescence(seed=2, height=200, width=220, nuclei=40)
    tifffile.imwrite(tmp_path / "picture.tif", picture)
    tifffile.imwrite(tmp_path / "mask.tif", truth.astype(np.uint16))
    palette = Pillow.frombytes("P", truth.shape[::-1], truth.astype(np.uint8).tobytes())
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    palette.save(tmp_path / "palette.png")
    Pillow.fromarray(np.asarray(data.immunohistochemistry()[:200, :220])).save(tmp_path / "tissue.png")
    for name in ("mask.tif", "palette.png"):
        labels = as_mask(read_image(tmp_path / name), tmp_path / name)
        np.testing.assert_array_equal(labels.pixels, truth)
    for name in ("picture.tif", "tissue.png"):
        assert as_mask(read_image(tmp_path / name), tmp_path / name) is None
