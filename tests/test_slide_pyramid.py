"""A pyramid shows what was written at every size, whatever the order, and is an OME-Zarr that others read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zarr")

import zarr

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.pyramid import Pyramid, level_shapes

SHAPE = (1501, 2203)


def boxes(seed: int) -> list[Box]:
    """Boxes of odd sides that overlap and together cover the plane, in any order."""
    found = [
        Box(top, left, min(SHAPE[0], top + 457), min(SHAPE[1], left + 611))
        for top in range(0, SHAPE[0], 401) for left in range(0, SHAPE[1], 503)
    ]  # fmt: skip
    return [found[place] for place in np.random.default_rng(seed).permutation(len(found))]


def test_levels_go_down_to_512() -> None:
    assert level_shapes((100_000, 80_001))[-1] == (391, 313)
    assert level_shapes((512, 3)) == [(512, 3)]
    assert level_shapes((513, 3)) == [(513, 3), (257, 2)]


def test_labels_take_the_pixel_in_the_middle_of_a_coarse_one(tmp_path: Path) -> None:
    plane = np.random.default_rng(0).integers(1, 2**31 - 1, SHAPE, np.int32)
    pyramid = Pyramid.create(tmp_path / "labels.zarr", SHAPE, np.int32, (0.5, 0.5), labels=True)
    for box in boxes(1):
        pyramid.write(box, plane[box.slices])
    assert np.array_equal(pyramid.levels[0][:], plane)
    for wide, coarse in zip(pyramid.downsamples, pyramid.levels, strict=True):
        rows = np.minimum(wide * np.arange(coarse.shape[0]) + wide // 2, SHAPE[0] - 1)
        columns = np.minimum(wide * np.arange(coarse.shape[1]) + wide // 2, SHAPE[1] - 1)
        assert np.array_equal(coarse[:], plane[np.ix_(rows, columns)])


def test_probability_takes_the_mean(tmp_path: Path) -> None:
    plane = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    pyramid = Pyramid.create(tmp_path / "probability.zarr", SHAPE, np.uint8)
    for box in boxes(2):
        pyramid.write(box, plane[box.slices])
    assert np.array_equal(pyramid.levels[0][:], plane)
    for finer, coarse in zip(pyramid.levels, pyramid.levels[1:], strict=False):
        fine, small = finer[:].astype(float), coarse[:]
        last = [coarse.shape[0] - 1, coarse.shape[1] - 1]
        for y, x in [last, *np.random.default_rng(3).integers((0, 0), coarse.shape, (40, 2)).tolist()]:
            assert abs(small[y, x] - fine[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()) <= 0.5


def test_the_last_write_wins_at_every_size_and_zeros_erase(tmp_path: Path) -> None:
    pyramid = Pyramid.create(tmp_path / "labels.zarr", SHAPE, np.int32, labels=True)
    pyramid.write(Box(100, 100, 1300, 1900), np.full((1200, 1800), 7, np.int32))
    pyramid.write(Box(90, 90, 1310, 1910), np.zeros((1220, 1820), np.int32))
    assert not any(level[:].any() for level in pyramid.levels)


def test_what_was_never_written_is_zero_and_takes_no_room(tmp_path: Path) -> None:
    pyramid = Pyramid.create(tmp_path / "labels.zarr", (100_000, 100_000), np.int32, labels=True)
    assert not pyramid.levels[0][50_000:50_010, 99_990:].any()
    assert sum(path.stat().st_size for path in pyramid.path.rglob("*") if path.is_file()) < 20_000
    pyramid.write(Box(70_000, 70_000, 70_300, 70_300), np.full((300, 300), 5, np.int32))
    assert pyramid.levels[0][70_299, 70_299] == 5
    assert (pyramid.levels[-1][:] == 5).sum() in {1, 2, 4}  # pixels of 256 x 256


def test_a_reader_sees_what_another_writes(tmp_path: Path) -> None:
    writer = Pyramid.create(tmp_path / "labels.zarr", SHAPE, np.int32, labels=True)
    reader = Pyramid.open(tmp_path / "labels.zarr", SHAPE, labels=True)
    assert not reader.read(Box(0, 0, 9, 9)).any()
    writer.write(Box(0, 0, 9, 9), np.ones((9, 9), np.int32))
    assert reader.read(Box(0, 0, 9, 9)).all()
    with pytest.raises(ValueError, match="read"):
        reader.levels[0][0, 0] = 1


def test_it_opens_as_a_slide_with_its_scale(tmp_path: Path) -> None:
    pyramid = Pyramid.create(tmp_path / "probability.zarr", SHAPE, np.uint8, (0.5, 0.5))
    pyramid.write(Box(0, 0, *SHAPE), np.full(SHAPE, 9, np.uint8))
    with open_slide(pyramid.path) as slide:
        assert slide.um_per_pixel == (0.5, 0.5)
        assert [level.shape for level in slide.levels] == [(*shape, 1) for shape in level_shapes(SHAPE)]
        assert (slide.levels[2][:] == 9).all()
        assert slide.notes == []


@pytest.mark.parametrize("um", [None, (0.5, 0.25)])
def test_the_description_is_that_of_ome_ngff_05(tmp_path: Path, um: tuple[float, float] | None) -> None:
    Pyramid.create(tmp_path / "labels.zarr", SHAPE, np.int32, um, labels=True)
    told = json.loads((tmp_path / "labels.zarr" / "zarr.json").read_text())
    assert told["zarr_format"] == 3
    ome = told["attributes"]["ome"]
    assert ome["version"] == "0.5"
    assert "image-label" in ome
    (multiscale,) = ome["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == ["y", "x"]
    assert {axis["type"] for axis in multiscale["axes"]} == {"space"}
    assert [axis.get("unit") for axis in multiscale["axes"]] == ["micrometer" if um else None] * 2
    for place, entry in enumerate(multiscale["datasets"]):
        first, *rest = entry["coordinateTransformations"]
        assert first == {"type": "scale", "scale": [one * 2**place for one in um or (1.0, 1.0)]}
        # the middle of pixel 0 of a coarse level, of which each pixel covers 2**place pixels
        middle = rest[0]["translation"] if rest else [0.0, 0.0]
        assert middle == [one * (2**place - 1) / 2 for one in um or (1.0, 1.0)]
        array = zarr.open_array(tmp_path / "labels.zarr" / entry["path"], mode="r")
        assert array.dtype == np.int32
        assert array.metadata.dimension_names == ("y", "x")


def test_another_shape_or_none_is_refused(tmp_path: Path) -> None:
    Pyramid.create(tmp_path / "labels.zarr", SHAPE, np.int32, labels=True)
    with pytest.raises(SlideRunError, match="levels of"):
        Pyramid.open(tmp_path / "labels.zarr", (1400, 2203), labels=True)
    with pytest.raises(SlideRunError, match="can't be read"):
        Pyramid.open(tmp_path / "nothing.zarr", SHAPE)
