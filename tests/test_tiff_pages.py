"""TIFF files whose pages lead in a circle."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images import tiff_pages
from napari_unetsharp.images.tiff_pages import check_pages
from napari_unetsharp.nuclei.label_files import read_labels


def circle(path, pages, order="<", back_to=0):
    """A file of pages of one tag each, the last of which is followed by an earlier one."""
    places = [8 + number * 18 for number in range(pages)]
    content = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, places[0])
    for following in [*places[1:], places[back_to]]:
        content += struct.pack(f"{order}HHHIII", 1, 256, 4, 1, 4, following)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("pages", "back_to"), [(1, 0), (3, 1), (150, 120)])
def test_a_circle_is_refused(pages, back_to, order, tmp_path):
    path = circle(tmp_path / "a.tif", pages, order, back_to)
    for read in (check_pages, read_labels):
        with pytest.raises(ImageError, match="no end"):
            read(path)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_sound_files_pass(order, big, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=big, byteorder=order) as file:
        for number in range(5):
            file.write(np.full((3, 4), number, np.uint8), contiguous=False)
    check_pages(tmp_path / "a.tif")


def test_more_pages_than_anybody_has(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_pages, "MOST_PAGES", 4)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6, 7), np.uint8), metadata=None)
    with pytest.raises(ImageError, match="no end"):
        check_pages(tmp_path / "a.tif")


@pytest.mark.parametrize("content", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"PNG", b"MM\0+" + b"\xff" * 12])
def test_what_is_no_tiff_is_left_to_others(content, tmp_path):
    (tmp_path / "a.tif").write_bytes(content)
    check_pages(tmp_path / "a.tif")
    check_pages(tmp_path / "none.tif")
