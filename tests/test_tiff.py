"""TIFF in and out: axes, spacing, units, and files that must be refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import skimage.io
import tifffile

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.tiff import read_tiff, write_tiff, written_beside

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"
needs_formats = pytest.mark.skipif(not FORMATS.is_dir(), reason="the example files lie in shared/, which is not here")
MICRO = "micrometer"


def drawn(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def written(tmp_path, pixels, **options):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    return tmp_path / "a.tif"


# Axes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64, bool])
@pytest.mark.parametrize("order", ["<", ">"])
def test_plain_grey_pictures_of_every_type(dtype, order, tmp_path):
    pixels = drawn((20, 30), dtype)
    image = read_tiff(written(tmp_path, pixels, byteorder=order))
    assert image.axes == "YX"
    assert np.dtype(image.pixels.dtype).kind == np.dtype(dtype).kind
    np.testing.assert_array_equal(image.pixels, pixels)
    assert (image.scale, image.units, image.notes, image.name) == ((1.0, 1.0), ("pixel", "pixel"), [], "a")


GREY, RGB = {"photometric": "minisblack"}, {"photometric": "rgb"}
# shape, how it is written, axes read, where the read axes lie in what was written, channels kept
CASES = [
    ((20, 30, 3), RGB, "YXC", (0, 1, 2), 3),
    ((3, 20, 30), RGB | {"planarconfig": "separate"}, "YXC", (1, 2, 0), 3),
    ((20, 30, 4), RGB, "YXC", (0, 1, 2), 3),
    ((4, 20, 30), RGB | {"planarconfig": "separate"}, "YXC", (1, 2, 0), 3),
    ((20, 30, 4), RGB | {"extrasamples": ["unspecified"]}, "YXC", (0, 1, 2), 3),
    ((20, 30, 2), GREY | {"planarconfig": "contig", "extrasamples": ["unassalpha"]}, "YXC", (0, 1, 2), 1),
    ((20, 30, 2), GREY | {"planarconfig": "contig"}, "YXC", (0, 1, 2), 2),
    ((20, 30, 4), GREY | {"planarconfig": "contig"}, "YXC", (0, 1, 2), 4),
    ((20, 30, 7), GREY | {"planarconfig": "contig"}, "YXC", (0, 1, 2), 7),
    ((5, 20, 30), GREY, "IYX", (0, 1, 2), None),
    ((4, 5, 20, 30), GREY, "IIYX", (0, 1, 2, 3), None),
    ((2, 4, 5, 20, 30), GREY, "IIIYX", (0, 1, 2, 3, 4), None),
    ((5, 20, 30, 3), RGB, "IYXC", (0, 1, 2, 3), 3),
    ((5, 20, 30, 4), RGB, "IYXC", (0, 1, 2, 3), 3),
    ((1, 20, 30), GREY | {"metadata": {"axes": "ZYX"}}, "ZYX", (0, 1, 2), None),
    ((2, 5, 20, 30), GREY | {"metadata": {"axes": "TZYX"}}, "TZYX", (0, 1, 2, 3), None),
    ((2, 20, 30), GREY | {"metadata": {"axes": "CYX"}}, "YXC", (1, 2, 0), 2),
    ((5, 20, 30), {"imagej": True, "metadata": {"axes": "ZYX"}}, "ZYX", (0, 1, 2), None),
    ((3, 20, 30), {"imagej": True, "metadata": {"axes": "CYX"}}, "YXC", (1, 2, 0), 3),
    ((2, 5, 3, 20, 30), {"imagej": True, "metadata": {"axes": "TZCYX"}}, "TZYXC", (0, 1, 3, 4, 2), 3),
    ((20, 30, 3), {"imagej": True} | RGB, "YXC", (0, 1, 2), 3),
    ((5, 20, 30), {"ome": True, "metadata": {"axes": "ZYX"}}, "ZYX", (0, 1, 2), None),
    ((2, 3, 20, 30), {"ome": True, "metadata": {"axes": "TCYX"}} | GREY, "TYXC", (0, 2, 3, 1), 3),
    ((20, 30, 3), {"ome": True, "metadata": {"axes": "YXS"}} | RGB, "YXC", (0, 1, 2), 3),
    ((2, 20, 30, 3), {"ome": True, "metadata": {"axes": "CYXS"}} | RGB, "IYXC", (0, 1, 2, 3), 3),
]


@pytest.mark.parametrize(("shape", "options", "axes", "order", "channels"), CASES)
def test_axes_come_in_our_order(shape, options, axes, order, channels, tmp_path):
    pixels = drawn(shape)
    image = read_tiff(written(tmp_path, pixels, **options))
    wanted = np.transpose(pixels, order)
    assert image.axes == axes
    np.testing.assert_array_equal(image.pixels, wanted if channels is None else wanted[..., :channels])
    dropped = channels is not None and channels < wanted.shape[-1]
    assert image.notes == (["The last channel (transparency) was left out."] if dropped else [])
    assert len(image.scale) == len(image.units) == len(image.spatial_axes)


@pytest.mark.parametrize(("shape", "options"), [((20, 30), GREY), ((20, 30, 3), RGB)])
def test_pages_one_after_the_other(shape, options, tmp_path):
    pages = drawn((3, *shape))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, metadata=None, contiguous=False, **options)
    image = read_tiff(tmp_path / "a.tif")
    assert image.axes == "IYX" + "C" * (len(shape) == 3)
    np.testing.assert_array_equal(image.pixels, pages)


def test_the_full_resolution_of_a_pyramid(tmp_path):
    pixels = drawn((256, 256, 3))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        options = {"tile": (64, 64), "photometric": "rgb"}
        file.write(pixels, subifds=1, **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}])
def test_ways_of_storing(options, tmp_path):
    pixels = drawn((40, 50), np.uint16)
    np.testing.assert_array_equal(read_tiff(written(tmp_path, pixels, **options)).pixels, pixels)


@needs_formats
def test_a_stack_of_real_nuclei():
    path = FORMATS / "volumes" / "nuclei3d_synthetic" / "stardist_img3d.tif"
    image = read_tiff(path)
    assert len(image.stack_shape) == 1
    np.testing.assert_array_equal(image.pixels, tifffile.imread(path))


# Spacing -----------------------------------------------------------------------------------------------

PER_CM = {"resolution": (20_000.0, 40_000.0), "resolutionunit": "CENTIMETER"}


def ome(**sizes):
    return {"ome": True, "metadata": {"axes": "ZYX"} | sizes}


XY = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
SPACINGS = [
    ((20, 30), PER_CM, (0.25, 0.5), (MICRO, MICRO)),
    ((20, 30, 3), PER_CM | RGB, (0.25, 0.5), (MICRO, MICRO)),
    ((5, 20, 30), PER_CM | GREY, (1, 0.25, 0.5), ("pixel", MICRO, MICRO)),
    ((20, 30), {"resolution": (72, 72), "resolutionunit": "INCH"}, (1, 1), ("pixel", "pixel")),
    ((20, 30), {"resolution": (2, 4)}, (1, 1), ("pixel", "pixel")),
    ((5, 20, 30), ome(**XY, PhysicalSizeZ=2.0), (2, 0.25, 0.5), (MICRO,) * 3),
    ((5, 20, 30), ome(**XY), (1, 0.25, 0.5), ("pixel", MICRO, MICRO)),
    (
        (5, 20, 30),
        ome(PhysicalSizeX=500.0, PhysicalSizeXUnit="nm", PhysicalSizeY=0.00025, PhysicalSizeYUnit="mm",
            PhysicalSizeZ=2.0, PhysicalSizeZUnit="µm"),
        (2, 0.25, 0.5), (MICRO,) * 3,
    ),
    ((5, 20, 30), ome(**XY, PhysicalSizeXUnit="pixel", PhysicalSizeYUnit="pixel"), (1, 1, 1), ("pixel",) * 3),
    ((5, 20, 30), ome(), (1, 1, 1), ("pixel",) * 3),
]  # fmt: skip
SPACINGS += [
    (
        (5, 20, 30),
        {"imagej": True, "resolution": (2 * factor, 4 * factor),
         "metadata": {"axes": "ZYX", "spacing": 2.0 / factor, "unit": unit}},
        (2, 0.25, 0.5), (MICRO,) * 3,
    )
    for unit, factor in (("micron", 1), ("um", 1), ("\\u00B5m", 1), ("mm", 1000), ("nm", 0.001))
]  # fmt: skip
SPACINGS += [
    (
        (5, 20, 30),
        {"imagej": True, "resolution": (2, 4), "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": unit}},
        (1, 1, 1), ("pixel",) * 3,
    )
    for unit in ("pixel", "furlong")
]  # fmt: skip


@pytest.mark.parametrize(("shape", "options", "scale", "units"), SPACINGS)
def test_spacing_is_kept_where_the_file_states_it(shape, options, scale, units, tmp_path):
    image = read_tiff(written(tmp_path, drawn(shape), **options))
    assert image.scale == pytest.approx(scale, rel=1e-4)
    assert image.units == units


# There and back ----------------------------------------------------------------------------------------

BACK = [
    ("YX", (0.25, 0.5), (MICRO, MICRO)),
    ("YX", (), ()),
    ("YX", (0.25, 0.5), ("millimeter", "millimeter")),
    ("YXC", (0.25, 0.5), (MICRO, MICRO)),
    ("ZYX", (2.0, 0.25, 0.5), (MICRO,) * 3),
    ("ZYX", (2.0, 1.0, 1.0), (MICRO, "pixel", "pixel")),
    ("TZYX", (30.0, 2.0, 0.25, 0.5), ("second", MICRO, MICRO, MICRO)),
    ("IYX", (1.0, 0.1, 0.1), ("pixel", MICRO, MICRO)),
    ("IIYX", (1.0, 1.0, 0.1, 0.1), ("pixel", "pixel", MICRO, MICRO)),
    ("TYXC", (1.0, 0.123456789, 1 / 3), ("pixel", MICRO, MICRO)),
]
LENGTHS = {"T": 2, "Z": 5, "I": 6, "Y": 20, "X": 30, "C": 3}  # scikit-image takes stacks of 3 or 4 for colours


@pytest.mark.parametrize(("axes", "scale", "units"), BACK)
@pytest.mark.parametrize("dtype", [np.int32, np.float16, np.uint16])
def test_what_is_written_is_read_again(axes, scale, units, dtype, tmp_path):
    like = Image(np.zeros([LENGTHS[axis] for axis in axes], np.uint8), axes, scale, units)
    pixels = drawn([LENGTHS[axis] for axis in like.spatial_axes], dtype)
    write_tiff(tmp_path / "new" / "größe_L4.tif", pixels, like)
    again = read_tiff(tmp_path / "new" / "größe_L4.tif")
    assert again.pixels.dtype == dtype
    np.testing.assert_array_equal(again.pixels, pixels)
    assert (again.axes, again.scale, again.units) == (like.spatial_axes, like.scale, like.units)
    assert again.notes == []
    for read in (tifffile.imread, skimage.io.imread):
        found = read(tmp_path / "new" / "größe_L4.tif")
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.squeeze(), pixels.squeeze())


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (20, 3), (20, 4), (3, 20)])
def test_small_and_narrow_labels_are_not_taken_for_colours(shape, tmp_path):
    labels = drawn(shape, np.int32)
    write_tiff(tmp_path / "a.tif", labels, Image(np.zeros(shape), "YX"))
    again = read_tiff(tmp_path / "a.tif")
    assert again.axes == "YX"
    np.testing.assert_array_equal(again.pixels, labels)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_stacks_of_any_length_stay_stacks(length, tmp_path):
    labels = drawn((length, 20, 30), np.int32)
    write_tiff(tmp_path / "a.tif", labels, Image(np.zeros((length, 20, 30, 3)), "ZYXC", (3.0, 0.5, 0.5), (MICRO,) * 3))
    again = read_tiff(tmp_path / "a.tif")
    assert (again.axes, again.scale) == ("ZYX", (3.0, 0.5, 0.5))
    np.testing.assert_array_equal(again.pixels, labels)


def test_other_programs_find_the_resolution(tmp_path):
    like = Image(np.zeros((20, 30)), "YX", (0.25, 0.5), (MICRO, MICRO))
    write_tiff(tmp_path / "a.tif", drawn((20, 30), np.int32), like)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages.first.tags
        assert tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        for name, pixels_per_cm in (("XResolution", 20_000), ("YResolution", 40_000)):
            assert tags[name].value[0] / tags[name].value[1] == pytest.approx(pixels_per_cm)


# What must be refused ----------------------------------------------------------------------------------


def tiff_that_declares(height, width, bits=32):
    """A TIFF of about a hundred bytes whose header asks for all the memory there is."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
            (278, 4, height), (279, 4, 8)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def test_a_hundred_bytes_that_declare_terabytes(tmp_path):
    data = tiff_that_declares(1_000_000, 1_000_000)
    assert len(data) < 130
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif declares 3,725\.3 GiB"):
        read_tiff(tmp_path / "a.tif")


def test_a_small_lie_is_truncation(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_that_declares(1000, 1000))
    with pytest.raises(ImageError, match="can't be read as TIFF"):
        read_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_truncated_files(options, tmp_path):
    path = written(tmp_path, drawn((64, 64)), **options)
    whole = path.read_bytes()
    for length in (0, 1, 4, 8, 60, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError):
            read_tiff(path)


def test_damaged_bytes_give_pixels_or_our_error(tmp_path):
    path = written(tmp_path, drawn((32, 32)), compression="zlib", metadata={"axes": "YX"})
    whole = path.read_bytes()
    draw = np.random.default_rng(7)
    refused = 0
    for _ in range(80):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), draw.choice([1, 10])):
            damaged[place] ^= int(draw.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_tiff(path)
        except ImageError:
            refused += 1
    assert refused > 10


def test_complex_pictures(tmp_path):
    with pytest.raises(ImageError, match="can't be segmented"):
        read_tiff(written(tmp_path, np.zeros((8, 8), np.complex64)))


# Written beside ----------------------------------------------------------------------------------------


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with written_beside(path) as beside:
        beside.write_text("new")
        assert beside.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_failure_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with written_beside(path) as beside:
            beside.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_pixels_that_cant_be_written_leave_the_old_file_alone(tmp_path):
    like = Image(np.zeros((4, 5)), "YX")
    write_tiff(tmp_path / "a.tif", np.ones((4, 5), np.int32), like)
    with pytest.raises(KeyError):  # tifffile's way to say so, in the middle of writing
        write_tiff(tmp_path / "a.tif", np.full((4, 5), "text"), like)
    with pytest.raises(ImageError, match="don't fit the axes YX"):
        write_tiff(tmp_path / "a.tif", np.zeros((2, 4, 5), np.int32), like)
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").pixels, 1)
    assert os.listdir(tmp_path) == ["a.tif"]


def test_pages_that_lead_in_a_circle_are_refused(tmp_path):
    """A little file that would keep a reader busy for ever."""
    path = tmp_path / "circle.tif"
    tifffile.imwrite(path, np.zeros((2, 8, 8), np.uint8), photometric="minisblack", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        first, second = (page.offset for page in file.pages)
    tags = int.from_bytes(content[second : second + 2], "little")
    place = second + 2 + 12 * tags
    content[place : place + 4] = first.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ImageError, match="pages have no end"):
        read_tiff(path)
