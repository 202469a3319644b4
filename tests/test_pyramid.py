"""TIFF slides open lazily, give the pixels that tifffile gives, and are refused where their numbers contradict."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.pyramid_tiff import open_tiff
from napari_unetsharp.images.slide_open import open_slide

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (3, 203, 150), dtype=np.uint16)
COLOUR = RNG.integers(0, 256, (203, 150, 3), dtype=np.uint8)


def write_pyramid(path: Path, levels: list[np.ndarray], subifds: bool = True, **options: object) -> Path:
    """Write levels as SubIFDs of the first, or as pages of falling size."""
    with tifffile.TiffWriter(path, ome=subifds and path.name.endswith(".ome.tif")) as file:
        file.write(levels[0], subifds=len(levels) - 1 if subifds else None, **options)
        options.pop("metadata", None)
        for level in levels[1:]:
            file.write(level, subfiletype=1, metadata=None, **options)
    return path


def change_tag(path: Path, page: int, tag: str, value: int) -> None:
    """Make a page lie."""
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[page].tags[tag].overwrite(value)


def assert_same(path: Path, expected: list[np.ndarray]) -> None:
    """Compare all levels, and a region that crosses tiles, with arrays (*stack, Y, X, C)."""
    with open_slide(path) as slide:
        assert [level.shape for level in slide.levels] == [one.shape for one in expected]
        for level, one in zip(slide.levels, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(level), one)
        np.testing.assert_array_equal(slide.levels[0][..., 60:140, 50:131, :], expected[0][..., 60:140, 50:131, :])


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "jpeg2000"])
def test_an_ome_pyramid_in_colour(tmp_path: Path, compression: str | None):
    levels = [COLOUR, COLOUR[::2, ::2], COLOUR[::4, ::4]]
    options = {"photometric": "rgb", "tile": (64, 64), "compression": compression}
    if compression == "jpeg2000":
        options["compressionargs"] = {"level": 0, "reversible": True}
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.26, "PhysicalSizeXUnit": "µm"}
    path = write_pyramid(tmp_path / "a.ome.tif", levels, metadata=metadata, **options)
    assert_same(path, levels)
    with open_slide(path) as slide:
        assert (slide.kind, slide.axes, slide.rgb, slide.um_per_pixel) == ("OME-TIFF", "YXC", True, (0.26, 0.25))
        assert [channel.name for channel in slide.channels] == ["red", "green", "blue"]
        assert slide.levels[2].downsample == (203 / 51, 150 / 38)
        assert slide.notes == []


def test_channels_have_names_and_colours_and_are_decoded_one_by_one(tmp_path: Path):
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD3", "CD20"]}}
    path = write_pyramid(tmp_path / "a.ome.tif", [GREY, GREY[:, ::2, ::2]], tile=(64, 64), metadata=metadata)
    expected = [np.moveaxis(one, 0, -1) for one in (GREY, GREY[:, ::2, ::2])]
    assert_same(path, expected)
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.channels] == ["DAPI", "CD3", "CD20"]
        assert (slide.rgb, slide.levels[0].dtype) == (False, np.uint16)
        slide.levels[0][:64, :64, 1]
        assert slide.levels[0].cache.bytes == 64 * 64 * 2


def test_colours_of_ome_channels_are_read_as_signed_numbers(tmp_path: Path):
    from napari_unetsharp.images.pyramid_described import _ome

    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument ID="Instrument:0">'
        '<Microscope Manufacturer="Zeiss"/><Objective ID="Objective:0" NominalMagnification="10"/>'
        '<Objective ID="Objective:1" NominalMagnification="40.0"/></Instrument><Image ID="Image:0">'
        '<ObjectiveSettings ID="Objective:1"/><Pixels><Channel ID="Channel:0:0" Name="DAPI" Color="65535"/>'
        '<Channel ID="Channel:0:1" Color="-16776961"/></Pixels></Image><Image><Pixels><Channel/></Pixels></Image></OME>'
    )
    found = _ome(xml)
    assert [(one.name, one.colour) for one in found.channels] == [("DAPI", (0, 0, 255)), ("channel 2", (255, 0, 0))]
    assert (found.objective, found.vendor) == (40.0, "Zeiss")
    assert _ome('<!DOCTYPE x [<!ENTITY a "b">]><OME/>').channels == []


def test_stacks_keep_their_axes_and_steps(tmp_path: Path):
    film = RNG.integers(0, 255, (2, 3, 4, 70, 66), dtype=np.uint8)  # TZCYX
    metadata = {
        "axes": "TZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0,
        "PhysicalSizeZUnit": "µm", "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm",
    }  # fmt: skip
    path = tmp_path / "film.ome.tif"
    tifffile.imwrite(path, film, tile=(32, 32), metadata=metadata, photometric="minisblack", compression="zlib")
    assert_same(path, [np.moveaxis(film, 2, -1)])
    with open_slide(path) as slide:
        assert (slide.axes, slide.steps, slide.units) == ("TZYXC", (1.0, 2.0), ("pixel", "micrometer"))


@pytest.mark.parametrize(
    "options", [{"rowsperstrip": 7, "compression": "zlib"}, {"rowsperstrip": 7}, {}, {"tile": (32, 48)}]
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_flat_pictures_in_strips_tiles_and_planes(tmp_path: Path, options: dict[str, object], planar: str):
    stored = COLOUR if planar == "contig" else np.moveaxis(COLOUR, -1, 0).copy()
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, **options)
    assert_same(path, [COLOUR])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_values_and_byte_orders(tmp_path: Path, order: str, dtype: str):
    stored = (GREY[0] % 100).astype(dtype)
    for number, options in enumerate(({}, {"tile": (64, 64), "compression": "zlib", "predictor": dtype != "f4"})):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, stored, byteorder=order, photometric="minisblack", **options)
        assert_same(path, [stored[..., np.newaxis]])


def test_transparency_is_left_out_and_said(tmp_path: Path):
    clear = np.concatenate([COLOUR, COLOUR[..., :1]], axis=-1)
    for number, options in enumerate(({}, {"tile": (64, 64), "compression": "zlib"})):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, clear, photometric="rgb", extrasamples=["unassalpha"], **options)
        assert_same(path, [COLOUR])
        with open_slide(path) as slide:
            assert "transparency" in slide.notes[0]


def test_imagej_stacks(tmp_path: Path):
    stack = RNG.integers(0, 255, (5, 3, 40, 50), dtype=np.uint8)  # ZCYX
    path = tmp_path / "stack.tif"
    metadata = {"axes": "ZCYX", "unit": "um", "spacing": 1.5}
    tifffile.imwrite(path, stack, imagej=True, resolution=(4.0, 4.0), metadata=metadata)
    with open_slide(path) as slide:
        assert (slide.kind, slide.axes, slide.steps, slide.um_per_pixel) == (
            "ImageJ TIFF",
            "ZYXC",
            (1.5,),
            (0.25, 0.25),
        )
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), np.moveaxis(stack, 1, -1))


def test_pages_of_falling_size_are_levels(tmp_path: Path):
    levels = [GREY[0], GREY[0, ::2, ::2], GREY[0, ::4, ::4]]
    options = {"tile": (64, 64), "compression": "zlib", "photometric": "minisblack"}
    path = write_pyramid(tmp_path / "pages.tif", levels, subifds=False, metadata=None, **options)
    assert_same(path, [one[..., np.newaxis] for one in levels])


def write_qptiff(path: Path) -> list[np.ndarray]:
    """Write three channels in two sizes with a thumbnail, as the scanner does."""
    stored = RNG.integers(0, 255, (3, 256, 192), dtype=np.uint8)
    names, colours = ["DAPI", "CD8", "PanCK"], ["0,0,255", "255,255,0", "nonsense"]
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level, kind in ((stored, "FullResolution"), (stored[:, ::2, ::2], "ReducedResolution")):
            for name, colour, plane in zip(names, colours, level, strict=True):
                xml = (
                    '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription><ImageType>'
                    f"{kind}</ImageType><Biomarker>{name}</Biomarker><Color>{colour}</Color>"
                    "<Objective>20x</Objective></PerkinElmer-QPI-ImageDescription>"
                )
                file.write(
                    plane, tile=(64, 64), compression="lzw", description=xml, software="PerkinElmer-QPI", metadata=None,
                    resolution=(20000.0, 20000.0), resolutionunit="CENTIMETER", photometric="minisblack",
                )  # fmt: skip
            if kind == "FullResolution":
                word = "PerkinElmer-QPI-ImageDescription"
                xml = f"<{word}><ImageType>Thumbnail</ImageType></{word}>"
                file.write(
                    COLOUR[:50, :40], description=xml, software="PerkinElmer-QPI", metadata=None, photometric="rgb"
                )
    return [np.moveaxis(one, 0, -1) for one in (stored, stored[:, ::2, ::2])]


def test_qptiff(tmp_path: Path):
    path = tmp_path / "panel.qptiff"
    expected = write_qptiff(path)
    assert_same(path, expected)
    with open_slide(path) as slide:
        assert (slide.kind, slide.vendor, slide.objective, slide.um_per_pixel) == ("QPTIFF", "akoya", 20.0, (0.5, 0.5))
        found = [(channel.name, channel.colour) for channel in slide.channels]
        assert found == [("DAPI", (0, 0, 255)), ("CD8", (255, 255, 0)), ("PanCK", None)]
        assert slide.associated == ("thumbnail",)
        np.testing.assert_array_equal(slide.picture("thumbnail"), COLOUR[:50, :40])


def test_a_hundred_thousand_pixels_wide_opens_without_reading_them(tmp_path: Path):
    side, tile = 100_000, 512
    count = -(-side // tile)
    path = tmp_path / "huge.tif"
    one = np.full((tile, tile, 3), 77, np.uint8)
    held = zlib.compress(one.tobytes())
    place = 150 * count + 100
    pieces = (held if number == place else b"" for number in range(count * count))
    tifffile.imwrite(
        path, pieces, shape=(side, side, 3), dtype=np.uint8, tile=(tile, tile), compression="zlib", photometric="rgb",
        bigtiff=True, metadata=None,
    )  # fmt: skip
    tracemalloc.start()
    try:
        with open_tiff(path) as slide:
            level = slide.levels[0]
            assert level.shape == (side, side, 3)
            pixels = level[150 * tile - 2 : 150 * tile + 2, 100 * tile - 2 : 100 * tile + 2]
            assert pixels[2:, 2:].min() == pixels[2:, 2:].max() == 77
            assert np.all(pixels[:2] == 255)
            assert f"show as empty: {count * count - 1}" in slide.notes[0]
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()


def test_a_large_flat_file_is_read_in_parts(tmp_path: Path):
    path = tmp_path / "flat.tif"
    side = 15_000  # 1.3 GB, which take no room on most disks
    tifffile.imwrite(path, shape=(side, side, 3), dtype=np.uint16, photometric="rgb", bigtiff=True, metadata=None)
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset + (12_000 * side + 9_000) * 6)
        file.write(np.array([1, 2, 3, 4, 5, 6], "<u2").tobytes())
    tracemalloc.start()
    try:
        with open_slide(path) as slide:
            assert slide.shape == (side, side, 3)
            assert slide.levels[0][12_000, 8_999:9_003].tolist() == [[0] * 3, [1, 2, 3], [4, 5, 6], [0] * 3]
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_a_picture_that_can_only_be_decoded_whole_is_refused_by_its_declared_size(tmp_path: Path):
    path = tmp_path / "strip.tif"
    tifffile.imwrite(path, GREY[0], compression="zlib", rowsperstrip=203, metadata=None)
    for tag, value in (("ImageWidth", 50_000), ("ImageLength", 50_000), ("RowsPerStrip", 50_000)):
        change_tag(path, 0, tag, value)
    with pytest.raises(ImageError, match=r"50000 x 50000 pixels in pieces of 4\.7 GiB .* save it in tiles"):
        open_slide(path)


def test_wrong_sides_are_refused_before_a_pixel_is_read(tmp_path: Path):
    path = tmp_path / "lie.tif"
    tifffile.imwrite(path, GREY[0], tile=(64, 64), compression="zlib", metadata=None)
    change_tag(path, 0, "ImageWidth", 1500)
    with pytest.raises(ImageError, match=r"1500 x 203 .* 96 are needed, but it lists 12"):
        open_slide(path)


def test_a_level_with_columns_for_rows_is_left_out_and_said(tmp_path: Path):
    levels = [COLOUR, COLOUR[::2, ::2].transpose(1, 0, 2).copy(), COLOUR[::4, ::4]]
    options = {"photometric": "rgb", "tile": (32, 32), "metadata": {"axes": "YXS"}}
    path = write_pyramid(tmp_path / "a.ome.tif", levels, **options)
    with open_slide(path) as slide:
        assert [level.shape for level in slide.levels] == [levels[0].shape, levels[2].shape]
        assert "One of them has its columns for rows" in slide.notes[0]
        np.testing.assert_array_equal(slide.levels[1][:], levels[2])


def test_columns_for_rows_are_refused_by_the_pixels(tmp_path: Path):
    y, x = np.mgrid[:230, :410]
    smooth = (128 + 100 * np.sin(x / 17 + y / 29) * np.cos(y / 13)).astype(np.uint8)
    path = tmp_path / "turned.tif"
    tifffile.imwrite(path, smooth, tile=(64, 64), compression="zlib", metadata=None, photometric="minisblack")
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.levels[0][..., 0], smooth)
    change_tag(path, 0, "ImageWidth", 230)
    change_tag(path, 0, "ImageLength", 410)
    with pytest.raises(ImageError, match="230 x 410 pixels, but its tiles only join if columns and rows change places"):
        open_slide(path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path):
    for number, options in enumerate(({"tile": (64, 64)}, {"tile": (64, 64), "compression": "zlib"}, {})):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, GREY[0], metadata=None, photometric="minisblack", **options)
        content = path.read_bytes()
        path.write_bytes(content[:-5000])
        with pytest.raises(ImageError, match="cut off"):
            open_slide(path)


def test_a_damaged_tile_is_told_and_the_others_are_read(tmp_path: Path):
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, GREY[0], tile=(64, 64), compression="zlib", metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[4]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<Q", 0))
    with open_slide(path) as slide:
        with pytest.raises(
            ImageError, match=r"1 tiles of level 0 of damaged.tif can't be decoded, the first at row 64"
        ):
            slide.levels[0][:]
        np.testing.assert_array_equal(slide.levels[0][:64, :, 0], GREY[0, :64])


def test_pages_without_end_are_refused(tmp_path: Path):
    path = tmp_path / "circle.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<HI", 0, 8))
    with pytest.raises(ImageError, match="no end"):
        open_slide(path)


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs the files of /work/shared")
def test_real_tiffs_are_what_tifffile_reads():
    paths = [path for path in FORMATS.glob("tiff/*.tif") if "small" not in path.name]
    paths += [*FORMATS.glob("derived/*.tif"), *FORMATS.glob("volumes/*/*.tif")]
    assert len(paths) > 15
    for path in paths:
        with tifffile.TiffFile(path) as file, open_slide(path) as slide:
            for level, stored in zip(slide.levels, file.series[0].levels, strict=True):
                expected, axes = stored.asarray(), stored.axes
                letter = next((one for one in "SC" if one in axes), "")
                expected = np.moveaxis(expected, axes.index(letter), -1) if letter else expected[..., np.newaxis]
                np.testing.assert_array_equal(np.asarray(level), expected, err_msg=path.name)
