"""Scanner files give the same through OpenSlide and through tifffile, and survive damage."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

openslide = pytest.importorskip("openslide")

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.openslide_reader import open_by_openslide  # noqa: E402
from napari_unetsharp.images.pyramid_tiff import open_tiff  # noqa: E402
from napari_unetsharp.images.slide_open import open_slide  # noqa: E402

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"
REAL = FORMATS / "wsi" / "CMU-1-Small-Region.svs"
needs_files = pytest.mark.skipif(not FORMATS.is_dir(), reason="needs the files of /work/shared")

y, x = np.mgrid[:700, :900]
TISSUE = np.stack([128 + 100 * np.sin(x / (9 + turn) + y / 31) for turn in range(3)], axis=-1).astype(np.uint8)


def write_svs(path: Path, levels: list[np.ndarray], compression: str | None = "zlib") -> Path:
    """Write what Aperio's scanners write: largest level, thumbnail, further levels, label, macro."""
    told = "Aperio Image Library v12.0.15\r\n900x700 [0,0 900x700] (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2520"
    common = {"photometric": "rgb", "metadata": None, "compression": compression}
    with tifffile.TiffWriter(path) as file:
        file.write(levels[0], tile=(256, 256), description=told, **common)
        file.write(TISSUE[::8, ::8], description="Aperio Image Library v12.0.15\r\n900x700 -> 112x87 - ", **common)
        for level in levels[1:]:
            file.write(level, tile=(256, 256), description="Aperio Image Library v12.0.15\r\n", **common)
        for word, kind in (("label", 1), ("macro", 9)):
            text = f"Aperio Image Library v12.0.15\r\n{word} 60x50"
            file.write(TISSUE[:50, :60], description=text, subfiletype=kind, **common)
    return path


@pytest.mark.parametrize("ending", ["svs", "tif"])
def test_a_slide_of_our_own_through_both_readers(tmp_path: Path, ending: str):
    levels = [TISSUE, TISSUE[::4, ::4]]
    path = write_svs(tmp_path / f"a.{ending}", levels)
    with open_slide(path) as slide, open_tiff(path) as other:
        for one in (slide, other):
            assert (one.kind, one.vendor, one.objective, one.um_per_pixel) == (
                "Aperio SVS",
                "aperio",
                40.0,
                (0.252, 0.252),
            )
            assert [level.shape for level in one.levels] == [level.shape for level in levels]
            np.testing.assert_array_equal(np.asarray(one.levels[0]), TISSUE)
            np.testing.assert_array_equal(one.levels[1][:], levels[1])
            np.testing.assert_array_equal(one.levels[0][250:260, 500:520], TISSUE[250:260, 500:520])
            assert set(one.associated) == {"label", "macro", "thumbnail"}
            np.testing.assert_array_equal(one.picture("macro"), TISSUE[:50, :60])
        assert slide.identity == other.identity


def test_a_plain_tiled_tiff_in_colour_goes_to_openslide_and_sixteen_bits_do_not(tmp_path: Path):
    tifffile.imwrite(tmp_path / "c.tif", TISSUE, tile=(256, 256), photometric="rgb", metadata=None)
    deep = TISSUE[..., 0].astype(np.uint16) * 200
    tifffile.imwrite(tmp_path / "g.tif", deep, tile=(256, 256), photometric="minisblack", metadata=None)
    with open_slide(tmp_path / "c.tif") as slide:
        assert slide.kind == "tiled TIFF"
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), TISSUE)
    with open_slide(tmp_path / "g.tif") as slide:
        assert slide.levels[0].dtype == np.uint16
        np.testing.assert_array_equal(np.asarray(slide.levels[0])[..., 0], deep)


def test_without_openslide_tiffs_are_read_and_others_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_svs(tmp_path / "a.svs", [TISSUE])
    monkeypatch.setitem(sys.modules, "openslide", None)
    with open_slide(path) as slide:
        assert slide.kind == "Aperio SVS"
        np.testing.assert_array_equal(slide.levels[0][100:300], TISSUE[100:300])
    (tmp_path / "a.ndpi").write_bytes(b"II")
    with pytest.raises(ImageError, match=r"napari-unetsharp\[slides\]"):
        open_slide(tmp_path / "a.ndpi")


def test_a_damaged_tile_is_told_again_and_again_while_the_others_are_read(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", [TISSUE])
    with tifffile.TiffFile(path) as file:
        offset, length = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(length))
    with open_by_openslide(path) as slide:
        for _ in range(2):
            pixels, damaged = slide.levels[0].region(...)
            assert [(one.top, one.left, one.bottom, one.right) for one in damaged] == [(256, 256, 512, 512)]
            np.testing.assert_array_equal(pixels[:256], TISSUE[:256])
            np.testing.assert_array_equal(pixels[512:], TISSUE[512:])


def test_sides_that_lie_are_refused_before_openslide_decodes(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", [TISSUE])
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(700)
    with pytest.raises(ImageError, match=r"page 0 of a.svs declares 700 x 700 .* 9 are needed, but it lists 12"):
        open_slide(path)


def test_columns_for_rows_are_refused_by_the_pixels(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", [np.concatenate([TISSUE, TISSUE], axis=1)])
    with open_slide(path) as slide:
        assert slide.shape == (700, 1800, 3)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(700)
        file.pages[0].tags["ImageLength"].overwrite(1800)
    with pytest.raises(ImageError, match="its tiles only join if columns and rows change places"):
        open_slide(path)


def test_a_level_of_another_form_is_left_out(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", [TISSUE, TISSUE[::2, ::4], TISSUE[::4, ::4]])
    with open_slide(path) as slide:
        assert [level.shape[:2] for level in slide.levels] == [(700, 900), (175, 225)]
        assert "doesn't fit the first" in slide.notes[0]


def test_a_slide_that_is_cut_off_is_refused(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", [TISSUE])
    content = path.read_bytes()
    for share in (0.5, 0.01):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError):
            open_slide(path)
    path.write_bytes(content[: int(len(content) * 0.99)])  # only the macro picture is lost
    with open_slide(path) as slide:
        assert slide.notes == ["The file is cut off: its last pages are lost; copy it again."]
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), TISSUE)


def test_a_slide_without_pixel_size_says_so(tmp_path: Path):
    path = tmp_path / "a.svs"
    told = "Aperio Image Library v12.0.15\r\n900x700|AppMag = 20"
    tifffile.imwrite(path, TISSUE, tile=(256, 256), description=told, photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        assert (slide.um_per_pixel, slide.objective) == (None, 20.0)
        assert slide.notes == ["The file states no pixel size: lengths are in pixels."]


@needs_files
def test_the_real_svs_through_both_readers():
    with open_slide(REAL) as slide, open_tiff(REAL) as other:
        assert (slide.um_per_pixel, slide.objective, slide.vendor) == ((0.499, 0.499), 20.0, "aperio")
        assert (other.um_per_pixel, other.objective, other.vendor) == ((0.499, 0.499), 20.0, "aperio")
        assert set(slide.associated) == set(other.associated) == {"label", "macro", "thumbnail"}
        region = (slice(1000, 1700), slice(900, 2220))
        away = np.abs(slide.levels[0][region].astype(int) - other.levels[0][region])
        assert away.max() <= 2  # two JPEG libraries round differently
        for name in slide.associated:
            assert np.abs(slide.picture(name).astype(int) - other.picture(name)).max() <= 2


@needs_files
def test_real_synthetic_slides_match_what_tifffile_reads():
    path = FORMATS / "wsi_synthetic" / "openslide_python_boxes.tiff"
    with open_slide(path) as slide, tifffile.TiffFile(path) as file:
        assert slide.um_per_pixel is None
        assert "352.778 µm per pixel" in slide.notes[0]
        for level, page in zip(slide.levels, file.pages, strict=True):
            np.testing.assert_array_equal(np.asarray(level), page.asarray())


def test_a_damaged_small_picture_is_told_and_the_slide_goes_on(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", [TISSUE])
    with tifffile.TiffFile(path) as file:
        macro = file.pages[-1]
        offset, length = macro.dataoffsets[0], macro.databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(length))
    with open_by_openslide(path) as slide:
        for _ in range(2):
            with pytest.raises(ImageError, match="the picture 'macro' of the slide can't be read"):
                slide.picture("macro")
        np.testing.assert_array_equal(slide.levels[0][:300], TISSUE[:300])
        np.testing.assert_array_equal(slide.picture("label"), TISSUE[:50, :60])
