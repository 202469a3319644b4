"""Pictures from disk by what they are, and arrays as pictures."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import picture_from_array, read_image
from napari_unetsharp.images.image import Image, adapt_channels, check_finite, check_size

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"


def drawn(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


# Reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff", ".TIF", ".PNG"])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_pictures_without_loss(ending, shape, tmp_path):
    pixels = drawn(shape)
    imageio.imwrite(tmp_path / f"Gewebe é 細胞{ending}", pixels)
    image = read_image(tmp_path / f"Gewebe é 細胞{ending}")
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.uint8
    assert image.axes == "YXC"[: len(shape)]
    assert image.name == "Gewebe é 細胞"
    assert image.notes == []


@pytest.mark.parametrize("how", [str, Path])
def test_a_path_may_be_text(how, tmp_path):
    imageio.imwrite(tmp_path / "a.png", drawn((4, 5)))
    assert read_image(how(tmp_path / "a.png")).plane_shape == (4, 5)


def test_jpeg(tmp_path):
    pixels = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    imageio.imwrite(tmp_path / "a.jpg", pixels)
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == "YXC"
    assert np.abs(image.pixels.astype(int) - pixels).max() < 10


def test_sixteen_bits_stay_sixteen(tmp_path):
    pixels = drawn((20, 30), np.uint16)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize(("channels", "axes"), [(4, "YXC"), (2, "YXC")])
def test_transparency_is_left_out_and_said(channels, axes, tmp_path):
    pixels = drawn((20, 30, channels))
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.axes == axes
    np.testing.assert_array_equal(image.pixels, pixels[..., :-1])
    assert image.notes == ["The last channel (transparency) was left out."]


def test_palettes_become_colours(tmp_path):
    pixels = np.array([[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 0, 0]]], np.uint8)
    Pillow.fromarray(pixels).quantize(4).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.axes == "YXC"
    np.testing.assert_array_equal(image.pixels[..., :3], pixels)


def test_black_and_white(tmp_path):
    mask = drawn((20, 30)) > 100
    Pillow.fromarray(mask).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png").pixels) > 0, mask)


def test_animations_are_stacks(tmp_path):
    frames = np.zeros((3, 20, 30, 3), np.uint8)
    frames[1, 5:9], frames[2, :, 7:12] = (255, 0, 0), (0, 255, 0)
    imageio.imwrite(tmp_path / "a.gif", frames, loop=0)
    image = read_image(tmp_path / "a.gif")
    assert image.axes == "TYXC"
    assert image.stack_shape == (3,)
    np.testing.assert_array_equal(image.plane((1,))[..., :3], frames[1])


@pytest.mark.skipif(not FORMATS.is_dir(), reason="the DICOM files lie in shared/, which is not here")
def test_dicom_by_its_ending_and_by_its_mark(tmp_path):
    original = FORMATS / "dicom" / "pydicom_CT_small.dcm"
    for name in ("scan", "scan.IMA", "scan.dicom"):
        shutil.copyfile(original, tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name).pixels, read_image(original).pixels)


# What can't be read ------------------------------------------------------------------------------------


def test_what_is_not_there(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match="is not a file"):
            read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.gif", "a.xyz", "a", "a.dcm"])
@pytest.mark.parametrize("data", [b"", b"no picture at all, only words", b"\x00" * 200])
def test_files_that_are_no_pictures(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=name.replace(".", r"\.")):
        read_image(tmp_path / name)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
def test_truncated_pictures_are_errors_not_grey(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    imageio.imwrite(path, drawn((64, 64, 3)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="can't be read"):
        read_image(path)


def bomb(side):
    """A PNG of a few bytes that declares side x side colours."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize("side", [20_000, 1_000_000])
def test_a_small_file_that_declares_a_huge_picture(side, tmp_path):
    (tmp_path / "a.png").write_bytes(bomb(side))
    with pytest.raises(ImageError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_a_small_animation_that_declares_hundreds_of_gigabytes(tmp_path):
    """Each frame is one pixel of a canvas that is still below Pillow's own limit."""
    side, frames = 9000, 2000
    canvas = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    (tmp_path / "a.gif").write_bytes(canvas + frame * frames + b"\x3b")
    with pytest.raises(ImageError, match=r"a\.gif declares 452\.6 GiB"):
        read_image(tmp_path / "a.gif")


def test_declared_sizes_are_told():
    check_size((1000, 1000, 3), np.dtype(np.uint8), "x.tif")
    with pytest.raises(ImageError, match=r"x\.tif declares 3,725\.3 GiB.*crop it"):
        check_size((10**6, 10**6), np.dtype(np.float32), "x.tif")


# Arrays as pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axes", "kept"),
    [
        ((7, 5), "YX", (7, 5)),
        ((7, 5, 3), "YXC", (7, 5, 3)),
        ((7, 5, 4), "YXC", (7, 5, 3)),
        ((7, 5, 2), "YXC", (7, 5, 1)),
        ((6, 7, 5), "TYX", (6, 7, 5)),
        ((6, 7, 5, 3), "TYXC", (6, 7, 5, 3)),
    ],
)
def test_axes_of_decoded_pictures(shape, axes, kept):
    image = picture_from_array(np.zeros(shape, np.uint8), "a")
    assert (image.axes, image.pixels.shape) == (axes, kept)


@pytest.mark.parametrize("shape", [(7,), (2, 6, 7, 5), (2, 2, 6, 7, 3)])
def test_other_shapes_cant_be_placed(shape):
    with pytest.raises(ImageError, match="can't be placed"):
        picture_from_array(np.zeros(shape, np.uint8), "a")


def test_planes_come_one_by_one():
    pixels = drawn((2, 3, 7, 5))
    image = Image(pixels, "TZYX")
    assert (image.stack_shape, image.plane_shape, image.spatial_axes) == ((2, 3), (7, 5), "TZYX")
    assert list(image.plane_indices()) == [(t, z) for t in range(2) for z in range(3)]
    np.testing.assert_array_equal(image.plane((1, 2)), pixels[1, 2][..., None])
    single = Image(pixels[0, 0], "YX")
    assert list(single.plane_indices()) == [()]
    assert single.plane(()).shape == (7, 5, 1)
    assert (single.scale, single.units) == ((1.0, 1.0), ("pixel", "pixel"))
    assert Image(drawn((7, 5, 3)), "YXC").plane().shape == (7, 5, 3)


@pytest.mark.parametrize("axes", ["XY", "YXS", "ZYX", "", "YXZ"])
def test_axes_that_dont_fit_are_refused(axes):
    with pytest.raises(ImageError, match="must end in YX"):
        Image(np.zeros((4, 5)), axes)


@pytest.mark.parametrize("dtype", [np.complex64, "U3", "M8[s]", object])
def test_values_no_network_takes_are_refused(dtype):
    with pytest.raises(ImageError, match="can't be segmented"):
        Image(np.zeros((4, 5), dtype), "YX")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_a_picture_without_a_pixel_is_refused(shape):
    with pytest.raises(ImageError, match="empty"):
        Image(np.zeros(shape), "YX")


def test_no_numbers_are_counted():
    plane = np.ones((10, 10, 1), np.float32)
    check_finite(plane)
    check_finite(plane.astype(np.uint8))
    plane[0, :3], plane[1, 0] = np.nan, -np.inf
    with pytest.raises(ImageError, match="4 of 100"):
        check_finite(plane)


# Channels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "wanted", "source", "said"),
    [
        (3, 3, [0, 1, 2], ""),
        (1, 1, [0], ""),
        (1, 3, [0, 0, 0], "was repeated for the 3"),
        (4, 3, [0, 1, 2], "transparency"),
        (2, 1, [0], "second channel was left out"),
        (2, 3, [0, 0, 0], "first of 2 channels"),
        (5, 3, [0, 0, 0], "first of 5 channels"),
        (1, 2, [0, 0], "was repeated for the 2"),
    ],
)
def test_channels_are_fitted_and_it_is_said(given, wanted, source, said):
    plane = drawn((6, 7, given), np.uint16)
    fitted, note = adapt_channels(plane, wanted)
    np.testing.assert_array_equal(fitted, plane[..., source])
    assert fitted.dtype == np.uint16
    assert said in note
    assert bool(said) == bool(note)


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_are_averaged_for_one_channel(channels):
    plane = drawn((6, 7, channels))
    fitted, note = adapt_channels(plane, 1)
    assert (fitted.shape, fitted.dtype) == ((6, 7, 1), np.uint8)
    assert np.abs(fitted[..., 0] - plane[..., :3].astype(float).mean(-1)).max() <= 1
    assert "averaged" in note


def test_reading_goes_by_the_kind_not_by_luck(tmp_path):
    """A stack saved as TIFF keeps its axes; imageio alone would not tell them."""
    tifffile.imwrite(tmp_path / "a.tif", drawn((2, 3, 8, 9)), metadata={"axes": "TZYX"}, photometric="minisblack")
    assert read_image(tmp_path / "a.tif").axes == "TZYX"
