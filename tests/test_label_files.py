"""Label images of other programs as they write them, and ours without loss."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from napari_unetsharp.errors import ImageError, LabelsError
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei.label_files import masks_beside, read_labels, write_labels

SHARED = Path(__file__).parents[2] / "shared" / "data" / "formats" / "tiff"
LARGEST = 2**31 - 1
LABELS = np.array([[0, 3, 3, 0], [0, 3, 0, 250], [7, 7, 0, 250]], np.int32)
MICRONS = {"scale": (0.5, 0.25), "units": ("micrometer", "micrometer")}


def pixels(path, like=None):
    image = read_labels(path, like)
    assert image.axes == "YX"
    assert image.pixels.dtype == np.int32
    return image.pixels


# Other programs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.int64, np.float32, np.float64])
def test_tiff_of_any_number(dtype, tmp_path):
    """QuPath, StarDist, Cellpose and Fiji differ in what they take for a label."""
    tifffile.imwrite(tmp_path / "cells_cp_masks.tif", LABELS.astype(dtype))
    np.testing.assert_array_equal(pixels(tmp_path / "cells_cp_masks.tif"), LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png(dtype, tmp_path):
    Pillow.fromarray(LABELS.astype(dtype)).save(tmp_path / "cells_cp_masks.png")
    np.testing.assert_array_equal(pixels(tmp_path / "cells_cp_masks.png"), LABELS)


def test_a_palette_gives_numbers_not_colours(tmp_path):
    """QuPath writes label images with the colours of the classes."""
    colours = np.random.default_rng(0).integers(0, 256, 768).tolist()
    image = Pillow.frombytes("P", LABELS.shape[::-1], LABELS.astype(np.uint8).tobytes())
    image.putpalette(colours)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), LABELS)
    table = np.array(colours, np.uint16).reshape(3, 256)
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.uint8), photometric="palette", colormap=table)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), LABELS)


def test_grey_saved_as_colour(tmp_path):
    Pillow.fromarray(np.repeat(LABELS[..., np.newaxis], 3, axis=2).astype(np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), LABELS)


def test_npy_without_a_pickle(tmp_path):
    np.save(tmp_path / "a.npy", LABELS.astype(np.uint16))
    np.testing.assert_array_equal(pixels(tmp_path / "a.npy"), LABELS)


class Canary:
    """What a pickle can do: it runs when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_never_read(tmp_path):
    np.save(tmp_path / "cells_seg.npy", np.array({"masks": LABELS, "run": Canary(tmp_path / "canary")}, dtype=object))
    with pytest.raises(LabelsError, match="save the masks as PNG or TIFF"):
        read_labels(tmp_path / "cells_seg.npy")
    assert not (tmp_path / "canary").exists()


def test_a_mask_of_one_number_is_cut_into_its_pieces(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", (LABELS > 0).astype(np.uint8) * 255)
    image = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, [[0, 1, 1, 0], [0, 1, 0, 2], [1, 1, 0, 2]])
    assert image.notes == ["All nuclei had the same number; the 2 pieces of the mask are now nuclei."]


def test_one_nucleus_keeps_its_number(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.where(LABELS == 7, LABELS, 0).astype(np.uint8))
    assert pixels(tmp_path / "a.tif").max() == 7


@pytest.mark.parametrize("dtype", [np.uint32, np.float64, np.int64])
def test_numbers_that_are_too_large_get_ranks(dtype, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 4_000_000_000], [9, 9]]).astype(dtype))
    image = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, [[0, 2], [1, 1]])
    assert image.notes == ["Ids up to 4000000000 were replaced by 1 to 2."]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([[0.0, 0.5]], np.float32), "probability"),
        (np.array([[0.0, np.nan]], np.float32), "whole numbers"),
        (np.array([[-1, 2]], np.int16), "start at 0"),
        (np.zeros((2, 4, 4), np.uint16), "stack"),
        (np.arange(48, dtype=np.uint8).reshape(4, 4, 3), "channels"),
    ],
)
def test_what_is_no_label_image(array, said, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb" if array.shape[-1] == 3 else "minisblack")
    with pytest.raises(LabelsError, match=said):
        read_labels(tmp_path / "a.tif")


def lying_npy():
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": (10**7, 10**7), "fortran_order": False, "descr": "<i4"})
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", lying_npy(), b"\x93NUMPY\x09\x00" + b"\xff" * 40, b"PK\x03\x04"]
)
def test_npy_that_lies_or_ends(content, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ImageError) as raised:
        read_labels(tmp_path / "a.npy")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["none.tif", "none.png", "none.npy"])
def test_missing_files(name, tmp_path):
    with pytest.raises(ImageError):
        read_labels(tmp_path / name)


def test_damaged_png(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40)
    with pytest.raises(ImageError, match="can't be read"):
        read_labels(tmp_path / "a.png")


def test_it_must_fit_the_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    image = Image(np.zeros((*LABELS.shape, 3), np.uint8), "YXC", **MICRONS)
    assert read_labels(tmp_path / "a.tif", image).scale == (0.5, 0.25)
    with pytest.raises(LabelsError, match="full resolution"):
        read_labels(tmp_path / "a.tif", Image(np.zeros((6, 8), np.uint8), "YX"))


@pytest.mark.parametrize("name", ["stardist_mask2d.tif", "neubias_xy_16bit_labels__nuclei.tif"])
def test_real_label_images(name):
    if not (SHARED / name).exists():
        pytest.skip("needs ../shared")
    np.testing.assert_array_equal(pixels(SHARED / name), tifffile.imread(SHARED / name))


# Ours ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("highest", [1, 255, 65535, 65536, LARGEST])
def test_written_without_loss(highest, tmp_path):
    labels = np.where(LABELS == 250, highest, LABELS).astype(np.int32)
    image = Image(np.zeros((2, *LABELS.shape, 3), np.uint8), "ZYXC", (2.0, 0.5, 0.25), ("micrometer",) * 3)
    write_labels(tmp_path / "a.tif", labels, image)
    found = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, labels)
    assert (found.scale, found.units) == (MICRONS["scale"], MICRONS["units"])
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages.first.tags
        dots = [tags[name].value[0] / tags[name].value[1] for name in ("XResolution", "YResolution")]
        assert dots == pytest.approx([40000, 20000])
        assert file.pages.first.dtype == (np.uint16 if highest < 65536 else np.int32)


def test_nothing_known_of_the_pixels(tmp_path):
    write_labels(tmp_path / "a.tif", LABELS)
    assert read_labels(tmp_path / "a.tif").units == ("pixel", "pixel")


@pytest.mark.parametrize(
    "labels", [LABELS - 1, LABELS.astype(np.int64) + LARGEST, LABELS / 2, LABELS[np.newaxis], LABELS[:2]]
)
def test_what_can_not_be_written(labels, tmp_path):
    with pytest.raises(LabelsError):
        write_labels(tmp_path / "a.tif", labels, Image(np.zeros(LABELS.shape, np.uint8), "YX"))
    assert list(tmp_path.iterdir()) == []


def test_masks_beside_an_image(tmp_path):
    names = ["a[1].png", "a[1]_cp_masks.tif", "a[1]_masks.txt", "a[1]-labels.PNG", "a[1]_other.tif", "b_masks.tif"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in masks_beside(tmp_path / "a[1].png")] == ["a[1]_cp_masks.tif", "a[1]-labels.PNG"]
    assert masks_beside(tmp_path / "b_masks.tif") == []
