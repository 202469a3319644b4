"""DICOM slides give the pixels that were put in, whatever the order and compression; those that lie are refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from PIL import Image as Picture  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate, encapsulate_extended  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import generate_uid  # noqa: E402

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.slide_open import open_slide  # noqa: E402
from napari_unetsharp.images.slide_seams import seams  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "data" / "formats" / "dicom_wsi"
EXPLICIT, IMPLICIT, JPEG, JPEG_2000, RLE = (f"1.2.840.10008.1.2{end}" for end in (".1", "", ".4.50", ".4.90", ".5"))
TILE = 32


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture in colours that differs everywhere."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / 17 + y / 29 + turn) * np.cos(y / 13 - turn) for turn in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def cut(plane: np.ndarray) -> list[np.ndarray]:
    """Tiles row by row, those at the border padded with 255."""
    height, width = (-(-side // TILE) * TILE for side in plane.shape[:2])
    padded = np.full((height, width, *plane.shape[2:]), 255, plane.dtype)
    padded[: plane.shape[0], : plane.shape[1]] = plane
    return [padded[y : y + TILE, x : x + TILE] for y in range(0, height, TILE) for x in range(0, width, TILE)]


def encoded(tile: np.ndarray, syntax: str) -> bytes:
    if syntax == RLE:
        from pydicom.pixels import get_encoder

        options = {"rows": TILE, "columns": TILE, "samples_per_pixel": tile.shape[-1], "number_of_frames": 1,
                   "bits_allocated": 8, "bits_stored": 8, "pixel_representation": 0, "planar_configuration": 0,
                   "photometric_interpretation": "RGB"}  # fmt: skip
        return get_encoder(RLE).encode(tile.tobytes(), index=0, encoding_plugin="pydicom", **options)
    held = io.BytesIO()
    kind = {"format": "JPEG", "quality": 95, "subsampling": 0} if syntax == JPEG else {"format": "JPEG2000", "mct": 0}
    Picture.fromarray(tile).save(held, **kind)
    return held.getvalue() + b"\0" * (len(held.getvalue()) % 2)


def write_level(
    path: Path,
    planes: list[np.ndarray],
    syntax: str = EXPLICIT,
    *,
    order: list[int] | None = None,
    table: str = "basic",
    series: str = "1.2.3",
    um: float | None = 0.5,
    depths: int = 1,
    **elements: Any,
) -> Path:
    """Write one level; planes in the order of the standard (optical path, then depth). `order` makes it sparse."""
    height, width = planes[0].shape[:2]
    coloured = planes[0].ndim == 3
    tiles = [tile for plane in planes for tile in cut(plane)]
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", generate_uid()
    header.SeriesInstanceUID, header.Modality, header.Manufacturer = series, "SM", "Maker"
    header.PatientName, header.ImageType = "Secret^Person", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    header.Rows = header.Columns = TILE
    header.TotalPixelMatrixRows, header.TotalPixelMatrixColumns = height, width
    header.SamplesPerPixel, header.PhotometricInterpretation = (3, "RGB") if coloured else (1, "MONOCHROME2")
    if coloured:
        header.PlanarConfiguration = 0
    header.BitsAllocated = header.BitsStored = 8 * planes[0].dtype.itemsize
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, 0
    header.DimensionOrganizationType = "TILED_SPARSE" if order else "TILED_FULL"
    paths = len(planes) // depths
    header.TotalPixelMatrixFocalPlanes, header.NumberOfOpticalPaths = depths, paths
    header.OpticalPathSequence = Sequence([Dataset() for _ in range(paths)])
    for number, item in enumerate(header.OpticalPathSequence):
        item.OpticalPathIdentifier, item.OpticalPathDescription = str(number), f"dye {number}"
        item.ObjectiveLensPower = 20
    if um:
        measures = Dataset()
        measures.PixelSpacing = [um / 1000, um / 1000]
        shared = Dataset()
        shared.PixelMeasuresSequence = Sequence([measures])
        header.SharedFunctionalGroupsSequence = Sequence([shared])
        header.ImagedVolumeWidth, header.ImagedVolumeHeight = width * um / 1000, height * um / 1000
    if order is not None:
        header.PerFrameFunctionalGroupsSequence = Sequence(
            [placed(number, width, paths, len(tiles)) for number in order]
        )
        tiles = [tiles[number] for number in order]
    header.NumberOfFrames = len(tiles)
    if syntax in (EXPLICIT, IMPLICIT):
        header.PixelData = b"".join(tile.tobytes() for tile in tiles)
        header.PixelData += b"\0" * (len(header.PixelData) % 2)
    elif table == "extended":
        frames = [encoded(tile, syntax) for tile in tiles]
        header.PixelData, header.ExtendedOffsetTable, header.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    else:
        header.PixelData = encapsulate([encoded(tile, syntax) for tile in tiles], has_bot=table == "basic")
    header["PixelData"].VR = "OW" if header.BitsAllocated > 8 or syntax == IMPLICIT else "OB"
    header["PixelData"].is_undefined_length = syntax not in (EXPLICIT, IMPLICIT)
    for keyword, value in elements.items():
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    return saved(header, path, syntax)


def saved(header: Dataset, path: Path, syntax: str) -> Path:
    """Write with the start that a file needs."""
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(path, enforce_file_format=True)
    return path


def placed(number: int, width: int, paths: int, tiles: int) -> Dataset:
    """State where a tile lies, and its optical path."""
    path, place = divmod(number, tiles // paths)
    columns = -(-width // TILE)
    position, identity, item = Dataset(), Dataset(), Dataset()
    position.ColumnPositionInTotalImagePixelMatrix = place % columns * TILE + 1
    position.RowPositionInTotalImagePixelMatrix = place // columns * TILE + 1
    identity.OpticalPathIdentifier = str(path)
    item.PlanePositionSlideSequence = Sequence([position])
    item.OpticalPathIdentificationSequence = Sequence([identity])
    return item


SLIDE = picture(150, 230)


@pytest.mark.parametrize(
    ("syntax", "table"),
    [
        (EXPLICIT, ""),
        (IMPLICIT, ""),
        (RLE, "basic"),
        (JPEG_2000, "none"),
        (JPEG, "basic"),
        (JPEG, "none"),
        (JPEG, "extended"),
    ],
)
def test_all_syntaxes_and_tables(tmp_path: Path, syntax: str, table: str):
    path = write_level(tmp_path / "a.dcm", [SLIDE], syntax, table=table, **(
        {"PhotometricInterpretation": "YBR_FULL_422"} if syntax == JPEG else {}
    ))  # fmt: skip
    with open_slide(path) as slide:
        assert (slide.kind, slide.axes, slide.rgb, slide.vendor, slide.objective) == (
            "DICOM slide", "YXC", True, "Maker", 20.0,
        )  # fmt: skip
        assert slide.um_per_pixel == pytest.approx((0.5, 0.5))
        assert slide.notes == []
        away = np.abs(np.asarray(slide.levels[0]).astype(int) - SLIDE)
        assert away.max() <= (16 if syntax in (JPEG, JPEG_2000) else 0)
        assert away.mean() < 1.5


def test_a_folder_is_a_pyramid_with_its_small_pictures(tmp_path: Path):
    for number, step in enumerate((4, 1, 2)):
        write_level(tmp_path / f"{number}.dcm", [SLIDE[::step, ::step]], um=0.5 * step)
    label = picture(40, 50)
    write_level(tmp_path / "9.dcm", [label], um=None, ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"])
    write_level(tmp_path / "other.dcm", [SLIDE], series="1.2.9")
    (tmp_path / "notes.txt").write_text("not DICOM")
    with open_slide(tmp_path / "2.dcm") as slide:
        assert [level.shape[:2] for level in slide.levels] == [(150, 230), (75, 115), (38, 58)]
        for level, step in zip(slide.levels, (1, 2, 4), strict=True):
            np.testing.assert_array_equal(np.asarray(level), SLIDE[::step, ::step])
        assert slide.associated == ("label",)
        np.testing.assert_array_equal(slide.picture("label"), label)
        again = open_slide(tmp_path / "0.dcm")
        assert again.identity == slide.identity
        again.close()
    with pytest.raises(ImageError, match="holds 2 slides; give one file"):
        open_slide(tmp_path)
    (tmp_path / "other.dcm").unlink()
    with open_slide(tmp_path) as slide:
        assert len(slide.levels) == 3


def test_a_label_that_cannot_be_read_costs_only_itself(tmp_path: Path):
    write_level(tmp_path / "a.dcm", [SLIDE])
    label = {"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"], "TotalPixelMatrixRows": None}
    write_level(tmp_path / "b.dcm", [picture(40, 50)], **label)
    with open_slide(tmp_path) as slide:
        assert slide.associated == ()
        assert "The label of the slide can't be read: b.dcm states no usable TotalPixelMatrixRows" in slide.notes[0]
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), SLIDE)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG_2000])
def test_tiles_in_any_order_go_where_they_say(tmp_path: Path, syntax: str):
    count = len(cut(SLIDE))
    order = np.random.default_rng(0).permutation(count).tolist()
    path = write_level(tmp_path / "a.dcm", [SLIDE], syntax, order=order)
    with open_slide(path) as slide:
        assert np.abs(np.asarray(slide.levels[0]).astype(int) - SLIDE).max() <= (0 if syntax != JPEG_2000 else 12)
    order.remove(9)
    path = write_level(tmp_path / "a.dcm", [SLIDE], syntax, order=order)
    with open_slide(path) as slide:
        assert "Tiles of level 0 that aren't stored and show as empty: 1." in slide.notes
        assert np.all(slide.levels[0][TILE : 2 * TILE, TILE : 2 * TILE] == 255)


@pytest.mark.parametrize("sparse", [False, True])
def test_optical_paths_are_channels_and_depths_a_stack(tmp_path: Path, sparse: bool):
    rng = np.random.default_rng(0)
    dyes = [rng.integers(0, 60000, (70, 100), dtype=np.uint16) for _ in range(3)]
    order = rng.permutation(3 * len(cut(dyes[0]))).tolist() if sparse else None
    with open_slide(write_level(tmp_path / "a.dcm", dyes, order=order)) as slide:
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), np.stack(dyes, axis=-1))
        assert ([channel.name for channel in slide.channels], slide.rgb) == (["dye 0", "dye 1", "dye 2"], False)
    if not sparse:
        with open_slide(write_level(tmp_path / "b.dcm", dyes, depths=3, series="1.2.4")) as slide:
            assert slide.axes == "ZYXC"
            np.testing.assert_array_equal(np.asarray(slide.levels[0])[..., 0], np.stack(dyes))


def lie(tmp_path: Path, **elements: Any) -> Path:
    return write_level(tmp_path / "a.dcm", [SLIDE], **elements)


def test_frames_that_are_missing_are_counted(tmp_path: Path):
    with pytest.raises(ImageError, match=r"230 x 150 .* 40 frames are needed, but it has 39; frames are missing"):
        open_slide(lie(tmp_path, NumberOfFrames=39))
    frames = [encoded(tile, RLE) for tile in cut(SLIDE)][:39]
    with pytest.raises(ImageError, match="declares 40 frames but holds 39"):
        open_slide(lie(tmp_path, syntax=RLE, PixelData=encapsulate(frames)))
    with pytest.raises(ImageError, match="declares 40 frames of 32 x 32 pixels, 122880 bytes, but holds 119808"):
        open_slide(lie(tmp_path, PixelData=b"\0" * (39 * TILE * TILE * 3)))


def test_columns_for_rows_are_refused_by_the_stated_places(tmp_path: Path):
    order = list(range(40))
    wrong = {"TotalPixelMatrixRows": 230, "TotalPixelMatrixColumns": 150}
    with pytest.raises(ImageError, match=r"states 150 x 230 pixels, but 15 of its 40 tiles lie outside its sides"):
        open_slide(lie(tmp_path, order=order, **wrong))
    with pytest.raises(ImageError, match=r"states other places|outside its sides"):
        open_slide(lie(tmp_path, order=order, DimensionOrganizationType="TILED_FULL", **wrong))


def test_columns_for_rows_are_refused_by_the_pixels(tmp_path: Path):
    wrong = {"TotalPixelMatrixRows": 230, "TotalPixelMatrixColumns": 150}
    told = {"ImagedVolumeWidth": 150 * 5e-4, "ImagedVolumeHeight": 230 * 5e-4}
    for elements in (wrong, wrong | told):
        with pytest.raises(ImageError, match="its tiles only join if columns and rows change places"):
            open_slide(lie(tmp_path, **elements))


def test_columns_for_rows_in_one_level_are_refused(tmp_path: Path):
    write_level(tmp_path / "b.dcm", [np.full((75, 115, 3), 240, np.uint8)], um=1.0,
                TotalPixelMatrixRows=115, TotalPixelMatrixColumns=75)  # fmt: skip
    with pytest.raises(
        ImageError, match=r"b.dcm \(75 x 115 pixels\) can't be a smaller size .* columns stand for rows"
    ):
        open_slide(lie(tmp_path))


def test_a_blank_slide_with_sides_exchanged_in_mm_is_opened_with_a_warning(tmp_path: Path):
    path = write_level(tmp_path / "a.dcm", [np.full((150, 230, 3), 240, np.uint8)],
                       ImagedVolumeWidth=150 * 5e-4, ImagedVolumeHeight=230 * 5e-4)  # fmt: skip
    with open_slide(path) as slide:
        assert "the other way round than its columns and rows" in slide.notes[0]


def test_sizes_that_contradict_are_told(tmp_path: Path):
    with open_slide(lie(tmp_path, ImagedVolumeWidth=15.0, ImagedVolumeHeight=15.0)) as slide:
        assert "its pixel size may be wrong" in slide.notes[0]
    write_level(tmp_path / "b.dcm", [SLIDE[::2, ::2]], um=0.5)
    with open_slide(lie(tmp_path)) as slide:
        assert "they differ by 50%" in " ".join(slide.notes)
        assert slide.um_per_pixel == pytest.approx((0.5, 0.5))


def test_no_pixel_size_is_told(tmp_path: Path):
    with open_slide(lie(tmp_path, um=None)) as slide:
        assert slide.um_per_pixel is None
        assert slide.notes == ["The file states no pixel size: lengths are in pixels."]


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"TotalPixelMatrixRows": 0}, "no usable TotalPixelMatrixRows"),
        ({"TotalPixelMatrixColumns": None}, "no usable TotalPixelMatrixColumns"),
        ({"PixelData": None}, "holds no pixels"),
        ({"DimensionOrganizationType": "TILED_SPARSE"}, "states no places"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "is no whole slide .kind: CT Image Storage"),
        ({"ConcatenationUID": "1.2", "InConcatenationTotalNumber": 2}, "one piece of a level in several files"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, elements: dict[str, Any], said: str):
    with pytest.raises(ImageError, match=said) as caught:
        open_slide(lie(tmp_path, **elements))
    assert "Secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_anywhere_is_refused_or_its_tiles_are(tmp_path: Path):
    for syntax in (EXPLICIT, JPEG_2000):
        content = lie(tmp_path, syntax=syntax).read_bytes()
        for share in (0.02, 0.3, 0.6, 0.9, 0.999):
            (tmp_path / "a.dcm").write_bytes(content[: int(len(content) * share)])
            with pytest.raises(ImageError), open_slide(tmp_path / "a.dcm") as slide:
                slide.levels[0][:]


def test_a_damaged_frame_is_told_and_the_others_are_read(tmp_path: Path):
    path = lie(tmp_path, syntax=JPEG)
    content = bytearray(path.read_bytes())
    start = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"][9]
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with open_slide(path) as slide:
        _, damaged = slide.levels[0].region(...)
        assert [(one.top, one.left) for one in damaged] == [(32, 32)]


def test_a_frame_that_is_cut_off_is_damage(tmp_path: Path):
    tiles = [encoded(tile, JPEG) for tile in cut(SLIDE)]
    tiles[20] = tiles[20][: len(tiles[20]) // 4 * 2]
    with open_slide(lie(tmp_path, syntax=JPEG, PixelData=encapsulate(tiles))) as slide:
        _, damaged = slide.levels[0].region(...)
        assert [(one.top, one.left, one.reason) for one in damaged] == [(64, 128, "the frame is cut off")]


def test_a_frame_of_other_sides_is_damage(tmp_path: Path):
    tiles = [encoded(tile, JPEG) for tile in cut(SLIDE)]
    held = io.BytesIO()
    Picture.fromarray(SLIDE[:16, :64]).save(held, "JPEG")
    tiles[3] = held.getvalue() + b"\0" * (len(held.getvalue()) % 2)
    with open_slide(lie(tmp_path, syntax=JPEG, PixelData=encapsulate(tiles))) as slide:
        _, damaged = slide.levels[0].region(...)
        assert damaged[0].reason == "the frame holds 64 x 16 pixels, not 32 x 32"


def test_many_frames_are_found_without_parsing_what_is_said_of_each(tmp_path: Path):
    big = np.zeros((30 * TILE, 20 * TILE), np.uint8)
    big[5 * TILE + 1, 7 * TILE + 2] = 9
    order = list(range(30 * 20))
    path = write_level(tmp_path / "a.dcm", [big], order=order[::-1])
    with open_slide(path) as slide:
        assert np.argwhere(slide.levels[0][4 * TILE : 6 * TILE, 7 * TILE : 8 * TILE, 0]).tolist() == [[TILE + 1, 2]]


def test_seams():
    tiles = cut(picture(150, 230))
    assert seams(lambda number: tiles[number], 5, 8) == "fit"
    assert seams(lambda number: tiles[number], 8, 5) == "turned"
    blank = np.full((TILE, TILE, 3), 243, np.uint8)
    assert seams(lambda number: blank, 5, 8) == "unknown"
    noise = np.random.default_rng(0)
    assert seams(lambda number: noise.integers(0, 255, (TILE, TILE, 3), dtype=np.uint8), 8, 5) == "unknown"


def test_openslide_reads_the_same_pyramid(tmp_path: Path):
    openslide = pytest.importorskip("openslide")
    whole = picture(300, 450)
    for number, step in enumerate((1, 2, 4)):
        write_level(tmp_path / f"{number}.dcm", [whole[::step, ::step]], JPEG, um=0.5 * step,
                    PhotometricInterpretation="YBR_FULL_422")  # fmt: skip
    with open_slide(tmp_path) as slide, openslide.OpenSlide(tmp_path / "0.dcm") as other:
        assert [level.shape[1::-1] for level in slide.levels] == list(other.level_dimensions)
        for number, level in enumerate(slide.levels):
            seen = np.asarray(other.read_region((0, 0), number, other.level_dimensions[number]))[..., :3]
            np.testing.assert_array_equal(np.asarray(level), seen)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the files of /work/shared")
def test_real_files_are_what_openslide_and_pydicom_read():
    openslide = pytest.importorskip("openslide")
    for name in ("highdicom_sm_image", "highdicom_sm_image_numbers", "openslide_python_boxes_0"):
        path = SHARED / f"{name}.dcm"
        with open_slide(path) as slide, openslide.OpenSlide(path) as other:
            assert [level.shape[1::-1] for level in slide.levels] == list(other.level_dimensions)
            seen = np.asarray(other.read_region((0, 0), 0, other.dimensions))[..., :3]
            np.testing.assert_array_equal(np.asarray(slide.levels[0]), seen)
            assert slide.um_per_pixel[1] == pytest.approx(float(other.properties["openslide.mpp-x"]))
            assert set(slide.associated) == set(other.associated_images)
    frames = pydicom.dcmread(SHARED / "highdicom_sm_image.dcm").pixel_array
    with open_slide(SHARED / "highdicom_sm_image.dcm") as slide:
        expected = frames.reshape(5, 5, 10, 10, 3).swapaxes(1, 2).reshape(50, 50, 3)
        np.testing.assert_array_equal(np.asarray(slide.levels[0]), expected)
