"""A region of a slide is its very pixels, kept as a picture of its own that is found again."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_unetsharp.errors import ImageError, ShapeError
from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.widgets.slide_region import (
    LONGEST,
    beside_each_other,
    covering,
    cut_region,
    groups_of,
    load_region,
    overlapping,
    region_at,
    region_of_file,
    regions_of,
    trouble_with,
)


def write_slide(path, pixels):
    """A pyramid of two sizes, tiled."""
    options = {"tile": (64, 64), "photometric": "rgb" if pixels.ndim == 3 else "minisblack", "compression": "zlib"}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=1, resolution=(20000, 40000), resolutionunit="CENTIMETER", **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
    return path


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(4).integers(0, 255, (300, 420, 3), np.uint8)


@pytest.fixture
def slide(tmp_path, pixels):
    with open_slide(write_slide(tmp_path / "case 7.tif", pixels)) as opened:
        yield opened


def test_a_region_is_the_pixels_of_the_slide_and_its_file_reads_the_same(slide, pixels, tmp_path):
    region = region_at(slide, Box(37, 51, 137, 251))
    cut = cut_region(slide, region, (0.25, 0.5))
    assert np.array_equal(cut, pixels[37:137, 51:251])
    read = read_image(region.file)
    assert read.axes == "YXC"
    assert np.array_equal(read.pixels, cut)
    assert read.scale == pytest.approx((0.25, 0.5))
    assert read.units == ("micrometer", "micrometer")
    assert (region.name, region.size) == ("case 7 y37 x51", "200 × 100 px")
    assert region.file.is_relative_to(tmp_path / "case 7.tif.unetsharp")


def test_what_reaches_beyond_the_slide_is_left_out_and_what_is_too_large_refused(slide):
    assert region_at(slide, Box(-20, 400, 40, 900)).box == Box(0, 400, 40, 420)
    with pytest.raises(ShapeError, match="too little"):
        region_at(slide, Box(290, 0, 700, 5))
    with pytest.raises(ShapeError, match="too little"):
        region_at(slide, Box(500, 500, 600, 600))
    assert not trouble_with(Box(0, 0, LONGEST, LONGEST))
    assert "zoom in" in trouble_with(Box(0, 0, 20, LONGEST + 1))


def test_regions_are_found_again_and_belong_to_the_content_of_the_slide(slide, pixels, tmp_path):
    region = region_at(slide, Box(0, 0, 64, 64))
    cut_region(slide, region)
    assert regions_of(slide) == [region]
    assert load_region(region.file.with_suffix(".json")) == region
    assert region_of_file(region.file) == region
    assert region_of_file(slide.path) is None
    before = region.file.stat().st_mtime_ns
    assert np.array_equal(cut_region(slide, region), pixels[:64, :64])
    assert region.file.stat().st_mtime_ns == before, "it is read from its own file"
    slide.close()
    with open_slide(write_slide(tmp_path / "case 7.tif", 255 - pixels)) as other:
        assert not regions_of(other), "another slide took the name"
        assert np.array_equal(cut_region(other, region_at(other, region.box)), 255 - pixels[:64, :64])


def test_a_damaged_note_is_no_region(slide):
    region = region_at(slide, Box(0, 0, 64, 64))
    cut_region(slide, region)
    note = region.file.with_suffix(".json")
    for text in ("", "[]", '{"layout": "another"}', note.read_text().replace("64", '"wide"')):
        note.write_text(text)
        with pytest.raises(ImageError, match="cut it again"):
            load_region(note)
        assert regions_of(slide) == []


def test_one_channel_stays_one_channel(tmp_path):
    grey = np.random.default_rng(1).integers(0, 4000, (200, 200), np.uint16)
    with open_slide(write_slide(tmp_path / "dapi.tif", grey)) as slide:
        region = region_at(slide, Box(8, 16, 108, 116), name="dapi · nuclei")
        assert np.array_equal(cut_region(slide, region), grey[8:108, 16:116])
        read = read_image(region.file)
        assert read.axes == "YX"
        assert read.pixels.dtype == np.uint16
        assert region.name.startswith("dapi · nuclei y8")


def test_earlier_regions_are_offered_where_they_cover_the_view(slide):
    large, small, apart = (region_at(slide, Box(*box)) for box in
                           ((0, 0, 200, 200), (150, 150, 260, 260), (0, 300, 100, 400)))  # fmt: skip
    regions = [large, small, apart]
    assert covering(regions, Box(20, 30, 120, 130)) == large
    assert covering(regions, Box(100, 100, 250, 250)) is None, "a third of it is too little"
    assert covering(regions, Box(20, 30, 120, 130), (2,)) is None, "another plane"
    assert overlapping(regions, large) == [small]
    assert overlapping(regions, apart) == []


def test_regions_that_overlap_are_of_one_group(slide):
    boxes = (0, 0, 64, 64), (40, 40, 120, 120), (100, 100, 160, 160), (200, 0, 260, 60)
    one, two, three, apart = (region_at(slide, Box(*box)) for box in boxes)
    for region in (one, two, three, apart):
        cut_region(slide, region)
    groups = groups_of([three, one, apart, two])
    assert groups[one.file] == groups[two.file] == groups[three.file] != groups[apart.file]
    bridge = region_at(slide, Box(100, 40, 220, 110))
    assert len(set(groups_of([one, two, three, apart, bridge]).values())) == 1
    assert {region.file for region in beside_each_other(one)} == {two.file, three.file, apart.file}
