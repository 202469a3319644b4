"""DICOM files become pictures with the right values, axes and spacing, or are refused in one sentence."""

from __future__ import annotations

import io
import logging
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from PIL import Image as Picture  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import generate_uid  # noqa: E402

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.dicom import display_window, read_dicom  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "data" / "formats" / "dicom"
FILES = sorted(SHARED.glob("*.dcm"))
EXPLICIT, IMPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in (".1", "", ".2", ".1.99"))
JPEG, JPEG_2000, RLE = (f"1.2.840.10008.1.2.{end}" for end in ("4.50", "4.90", "5"))
SECOND_CAPTURE, SLIDE = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77.1.6"
GREY = np.arange(48, dtype=np.uint16).reshape(6, 8) * 85  # 0..3995: within 12 bits
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PATIENT = "Secret^Person"


def save(path: Path, stored: np.ndarray, syntax: str = EXPLICIT, **elements: object) -> Path:
    """Write a DICOM file of `stored` (Y, X), (F, Y, X) or with colours last; elements replace or remove (None)."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID, header.PatientName = SECOND_CAPTURE, generate_uid(), PATIENT
    colours = elements.get("SamplesPerPixel") == 3
    header.Rows, header.Columns = stored.shape[-3:-1] if colours else stored.shape[-2:]
    if stored.ndim == (4 if colours else 3):
        header.NumberOfFrames = len(stored)
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = 8 * stored.dtype.itemsize
    header.BitsStored = 12 if stored.dtype == np.uint16 else header.BitsAllocated
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(stored.dtype.kind == "i")
    header.PixelData = stored.astype(stored.dtype.newbyteorder(">" if syntax == BIG else "<")).tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    if "PixelData" in header:
        packed = syntax not in (EXPLICIT, IMPLICIT, BIG)
        header["PixelData"].VR = "OB" if header.BitsAllocated == 8 or packed else "OW"
        header["PixelData"].is_undefined_length = packed
        if len(header.PixelData) % 2:
            header.PixelData += b"\0"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.save_as(path, enforce_file_format=True)
    return path


def save_colour(path: Path, stored: np.ndarray, kind: str = "RGB", **elements: object) -> Path:
    """Write colours, (Y, X, 3) or (F, Y, X, 3)."""
    elements = {"PlanarConfiguration": 0, **elements}
    return save(path, stored, SamplesPerPixel=3, PhotometricInterpretation=kind, **elements)


def packed(pixels: np.ndarray, format: str, **options: object) -> bytes:
    """One frame, compressed by Pillow."""
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def item(**elements: object) -> Dataset:
    """One item of a sequence."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def refused(path: Path) -> str:
    """The sentence with which a file is refused: one line, short, with its name and without the patient's."""
    with pytest.raises(ImageError) as caught:
        read_dicom(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 400
    assert path.name in sentence
    assert "Secret" not in sentence
    return sentence


# Values


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_grey_values_are_those_stored(tmp_path, syntax):
    image = read_dicom(save(tmp_path / "plain.dcm", GREY, syntax, PixelSpacing=[0.5, 0.25]))
    np.testing.assert_array_equal(image.pixels, GREY)
    assert image.pixels.dtype == np.uint16
    assert image.pixels.dtype.isnative  # torch takes nothing else
    assert (image.axes, image.name, image.notes) == ("YX", "plain", [])
    assert (image.scale, image.units) == ((0.5, 0.25), ("millimeter", "millimeter"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_monochrome1_looks_like_its_monochrome2_twin(tmp_path, dtype):
    stored = (GREY // 16).astype(dtype) - (100 if dtype == np.int16 else 0)
    low, high = (-32768, 32767) if dtype == np.int16 else (0, 4095 if dtype == np.uint16 else 255)
    twin = (low + high - stored.astype(int)).astype(dtype)
    options = {"RescaleSlope": 2, "RescaleIntercept": -7, "WindowWidth": 60}
    dark = save(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1", WindowCenter=50, **options)
    # The window of the twin is mirrored within the rescaled range, as its values are.
    centre = 2 * (low + high) - 14 - 50
    bright = save(tmp_path / "b.dcm", twin, WindowCenter=centre, **options)
    np.testing.assert_array_equal(read_dicom(dark).pixels, read_dicom(bright).pixels)
    assert display_window(dark) == display_window(bright)
    assert any("MONOCHROME1" in note for note in read_dicom(dark).notes)
    assert not any("MONOCHROME1" in note for note in read_dicom(bright).notes)


@pytest.mark.parametrize(
    ("slope", "intercept", "kinds"), [(1, -1024, "iu"), (2, 0, "iu"), (-1, 0, "iu"), (1000, 0, "iu"), (0.5, 3, "f")]
)
def test_rescaling_is_exact_and_whole_where_it_can_be(tmp_path, slope, intercept, kinds):
    image = read_dicom(save(tmp_path / "a.dcm", GREY, RescaleSlope=slope, RescaleIntercept=intercept))
    np.testing.assert_array_equal(image.pixels, GREY * float(slope) + intercept)
    assert image.pixels.dtype.kind in kinds
    assert any("rescaled" in note for note in image.notes)


def test_a_slope_of_zero_is_not_believed(tmp_path):
    image = read_dicom(save(tmp_path / "a.dcm", GREY, RescaleSlope=0, RescaleIntercept=5))
    np.testing.assert_array_equal(image.pixels, GREY)


def test_each_frame_takes_its_own_slope(tmp_path):
    groups = [item(PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0)]) for slope in (1, 3)]
    path = save(tmp_path / "a.dcm", np.stack([GREY, GREY]), PerFrameFunctionalGroupsSequence=Sequence(groups))
    np.testing.assert_array_equal(read_dicom(path).pixels, np.stack([GREY, GREY * 3]))


def test_modality_table_replaces_values_and_clamps_beyond_its_ends(tmp_path):
    table = item(LUTDescriptor=[3, 1, 16], LUTData=[10, 200, 3000], ModalityLUTType="US")
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    stored = np.array([[0, 1], [2, 3], [4, 200]], np.uint8)
    image = read_dicom(save(tmp_path / "a.dcm", stored, ModalityLUTSequence=Sequence([table])))
    np.testing.assert_array_equal(image.pixels, [[10, 10], [200, 3000], [3000, 3000]])


def test_bits_that_hold_no_grey_values_are_ignored(tmp_path):
    image = read_dicom(save(tmp_path / "a.dcm", GREY | np.uint16(0xA000)))  # 12 of 16 bits are in use
    np.testing.assert_array_equal(image.pixels, GREY)


@pytest.mark.parametrize("plane_by_plane", [False, True])
def test_rgb_either_way_round(tmp_path, plane_by_plane):
    data = np.moveaxis(COLOUR, -1, 0).tobytes() if plane_by_plane else COLOUR.tobytes()
    path = save_colour(tmp_path / "a.dcm", COLOUR, PlanarConfiguration=int(plane_by_plane), PixelData=data)
    image = read_dicom(path)
    np.testing.assert_array_equal(image.pixels, COLOUR)
    assert image.axes == "YXC"


def test_ybr_becomes_rgb(tmp_path):
    ybr = np.full((4, 4, 3), 128, np.uint8)
    ybr[:2] = (76, 85, 255)  # red, by the definition of YBR_FULL
    image = read_dicom(save_colour(tmp_path / "a.dcm", ybr, "YBR_FULL"))
    assert np.ptp(image.pixels[3, 3].astype(int)) == 0
    np.testing.assert_allclose(image.pixels[0, 0].astype(int), (255, 0, 0), atol=2)


@pytest.mark.parametrize(("bits", "factor"), [(8, 1), (16, 257)])
def test_palette_colours_are_those_shown(tmp_path, bits, factor):
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0], [10, 20, 30]]) * factor
    dtype = np.uint8 if bits == 8 else "<u2"
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    elements: dict[str, object] = {f"{name}Descriptor": [4, 5, bits] for name in names}
    elements |= {f"{name}Data": table[:, place].astype(dtype).tobytes() for place, name in enumerate(names)}
    stored = np.array([[0, 5], [6, 7], [8, 255]], np.uint8)
    path = save(tmp_path / "a.dcm", stored, PhotometricInterpretation="PALETTE COLOR", **elements)
    image = read_dicom(path)
    expected = (table // factor)[[[0, 0], [1, 2], [3, 3]]]
    np.testing.assert_array_equal(image.pixels, expected)
    assert (image.pixels.dtype, image.axes) == (np.uint8, "YXC")
    assert display_window(path) is None


def test_missing_palette_is_refused(tmp_path):
    assert "palette" in refused(save(tmp_path / "a.dcm", COLOUR[..., 0], PhotometricInterpretation="PALETTE COLOR"))


# Axes and spacing


def groups(**by_name: list[object]) -> Sequence:
    """Per-frame positions."""
    return Sequence([item(PlanePositionSequence=[item(ImagePositionPatient=place)]) for place in by_name["positions"]])


@pytest.mark.parametrize(
    ("elements", "axes", "step"),
    [
        ({"SpacingBetweenSlices": 2.5}, "ZYX", 2.5),
        ({"SpacingBetweenSlices": 2.5, "FrameIncrementPointer": 0x00181063, "FrameTime": 40}, "TYX", 1.0),
        ({"GridFrameOffsetVector": [0, 3, 6]}, "ZYX", 3.0),
        ({"PerFrameFunctionalGroupsSequence": groups(positions=[[0, 0, 9], [0, 3, 5], [0, 6, 1]])}, "ZYX", 5.0),
        ({"PerFrameFunctionalGroupsSequence": groups(positions=[[0, 0, 0], [0, 0, 1], [0, 0, 0]])}, "TYX", 1.0),
        ({}, "TYX", 1.0),
    ],
)
def test_frames_are_slices_only_where_the_file_says_how_far_apart(tmp_path, elements, axes, step):
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    image = read_dicom(save(tmp_path / "a.dcm", stack, PixelSpacing=[0.5, 0.25], **elements))
    np.testing.assert_array_equal(image.pixels, stack)
    assert (image.axes, image.scale) == (axes, (step, 0.5, 0.25))
    assert image.units == ("millimeter" if axes == "ZYX" else "pixel", "millimeter", "millimeter")


def test_colour_films_keep_their_frames_in_order(tmp_path):
    film = np.stack([COLOUR, 255 - COLOUR])
    image = read_dicom(save_colour(tmp_path / "a.dcm", film))
    np.testing.assert_array_equal(image.pixels, film)
    assert image.axes == "TYXC"


def test_spacing_of_functional_groups_and_detectors(tmp_path):
    shared = Sequence([item(PixelMeasuresSequence=[item(PixelSpacing=[0.2, 0.1], SpacingBetweenSlices=4)])])
    stack = np.stack([GREY, GREY])
    image = read_dicom(save(tmp_path / "a.dcm", stack, SharedFunctionalGroupsSequence=shared))
    assert (image.axes, image.scale) == ("ZYX", (4.0, 0.2, 0.1))
    image = read_dicom(save(tmp_path / "b.dcm", GREY, ImagerPixelSpacing=[0.2, 0.1]))
    assert image.scale == (0.2, 0.1)
    assert any("detector" in note for note in image.notes)


@pytest.mark.parametrize("elements", [{}, {"PixelSpacing": [0, 0]}, {"PixelSpacing": [-1, 1]}])
def test_unknown_spacing_is_said_and_not_invented(tmp_path, elements):
    image = read_dicom(save(tmp_path / "a.dcm", GREY, **elements))
    assert (image.scale, image.units) == ((1.0, 1.0), ("pixel", "pixel"))
    assert any("no pixel size" in note for note in image.notes)


def test_window_is_in_rescaled_values(tmp_path):
    options = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": [40, 300], "WindowWidth": [400, 1500]}
    assert display_window(save(tmp_path / "a.dcm", GREY, **options)) == (-160.0, 240.0)
    assert display_window(save(tmp_path / "b.dcm", GREY)) is None


# Compressed


def test_compressed_values_are_those_before(tmp_path):
    square = (np.arange(64 * 48) % 251).astype(np.uint8).reshape(48, 64)
    frame = packed(square, "JPEG2000", no_jp2=True, irreversible=False)
    path = save(tmp_path / "a.dcm", square, JPEG_2000, PixelData=encapsulate([frame]))
    np.testing.assert_array_equal(read_dicom(path).pixels, square)


@pytest.mark.parametrize(("syntax", "format"), [(JPEG, "JPEG"), (JPEG_2000, "JPEG2000")])
def test_frame_with_other_sides_than_the_header_is_refused(tmp_path, syntax, format):
    options = {"no_jp2": True} if format == "JPEG2000" else {}
    frame = packed(np.zeros((48, 64), np.uint8), format, **options)  # as many pixels, but turned
    path = save(tmp_path / "a.dcm", np.zeros((64, 48), np.uint8), syntax, PixelData=encapsulate([frame]))
    assert "48 x 64" in refused(path)


@pytest.mark.parametrize(("syntax", "format"), [(JPEG, "JPEG"), (JPEG_2000, "JPEG2000")])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_half_a_compressed_frame_is_refused(tmp_path, syntax, format, share):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8)
    frame = packed(noise, format, **({"no_jp2": True} if format == "JPEG2000" else {}))
    path = save(tmp_path / "a.dcm", noise, syntax, PixelData=encapsulate([frame[: int(len(frame) * share)]]))
    refused(path)


def test_fewer_compressed_frames_than_declared_are_refused(tmp_path):
    frames = [packed(np.full((8, 8), value, np.uint8), "JPEG") for value in (0, 99)]
    refused(save(tmp_path / "a.dcm", np.zeros((3, 8, 8), np.uint8), JPEG, PixelData=encapsulate(frames)))


def test_missing_decoder_names_the_package(tmp_path, monkeypatch):
    frame = packed(np.zeros((8, 8), np.uint8), "JPEG2000", no_jp2=True)
    path = save(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8), JPEG_2000, PixelData=encapsulate([frame]))
    decoder = pydicom.pixels.decoders.base.Decoder
    monkeypatch.setattr(decoder, "is_available", property(lambda self: False))
    assert 'pip install "napari-unetsharp[dicom]"' in refused(path)


def test_unknown_compression_is_refused(tmp_path):
    refused(save(tmp_path / "a.dcm", GREY, "1.2.840.10008.1.2.4.100", PixelData=encapsulate([b"\0\0\1\xb3"])))


# Damaged, hostile, or something else


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path):
    whole = save(tmp_path / "whole.dcm", GREY, PixelSpacing=[1, 1]).read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in range(0, len(whole), 3):
        cut.write_bytes(whole[:length])
        refused(cut)


@pytest.mark.parametrize("change", [{"Rows": 5}, {"Rows": 7}, {"Columns": 7}, {"Columns": 9}, {"NumberOfFrames": 2}])
def test_sides_that_do_not_fit_the_pixels_are_refused(tmp_path, change):
    assert "header is wrong" in refused(save(tmp_path / "a.dcm", GREY, **change))


@pytest.mark.parametrize(
    "change",
    [{"Rows": 0}, {"BitsStored": 20}, {"BitsAllocated": 12}, {"NumberOfFrames": -1}, {"BitsAllocated": None},
     {"PhotometricInterpretation": "CMYK"}, {"SamplesPerPixel": 2}, {"PhotometricInterpretation": None}],
)  # fmt: skip
def test_headers_that_make_no_sense_are_refused(tmp_path, change):
    if "BitsAllocated" in change:  # pydicom would not write it, so it is changed afterwards
        path = save(tmp_path / "a.dcm", GREY)
        data = path.read_bytes()
        place = data.index(b"\x28\x00\x00\x01US")
        value = (change["BitsAllocated"] or 0).to_bytes(2, "little")
        path.write_bytes(data[: place + 8] + value + data[place + 10 :])
    else:
        path = save(tmp_path / "a.dcm", GREY, **change)
    refused(path)


def test_a_little_padding_is_no_fault(tmp_path):
    odd = np.arange(15, dtype=np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(read_dicom(save(tmp_path / "a.dcm", odd)).pixels, odd)
    image = read_dicom(save(tmp_path / "b.dcm", GREY, PixelData=GREY.tobytes() + bytes(4)))
    np.testing.assert_array_equal(image.pixels, GREY)
    assert any("left out" in note for note in image.notes)


def test_files_without_pixels_say_what_they_are(tmp_path):
    structures = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3", "PixelData": None, "Rows": None, "Columns": None}
    assert "RT Structure Set" in refused(save(tmp_path / "a.dcm", GREY, **structures))
    refused(save(tmp_path / "b.dcm", GREY, PixelData=None))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(300), b"\x08\x00" * 200, b"MZ" * 400])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    refused(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    refused(tmp_path / "nowhere.dcm")
    refused(tmp_path)


def test_a_deflated_bomb_is_not_inflated(tmp_path):
    path = save(tmp_path / "a.dcm", GREY)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = DEFLATED, SECOND_CAPTURE
    meta.MediaStorageSOPInstanceUID = generate_uid()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"\x09\x00\x01\x00OB\0\0" + (2**26).to_bytes(4, "little") + bytes(2**26)
    buffer = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(buffer, meta)
    path.write_bytes(path.read_bytes()[:132] + buffer.getvalue() + packer.compress(body) + packer.flush())
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    try:
        assert "deflated" in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("syntax", [EXPLICIT, RLE])
def test_a_huge_declaration_is_refused_before_reading(tmp_path, syntax):
    data = encapsulate([bytes(64)]) if syntax == RLE else bytes(64)
    huge = {"Rows": 65535, "Columns": 65535, "NumberOfFrames": 30000, "PixelData": data}
    assert "GiB" in refused(save(tmp_path / "a.dcm", GREY, syntax, **huge))
    many = {"Rows": 1, "Columns": 1, "NumberOfFrames": 2**31 - 1, "PixelData": data}
    refused(save(tmp_path / "b.dcm", GREY.astype(np.uint8), syntax, **many))


def test_a_slide_in_tiles_is_not_taken_for_a_stack(tmp_path):
    tiles = np.stack([COLOUR, COLOUR])
    path = save_colour(tmp_path / "a.dcm", tiles, SOPClassUID=SLIDE, TotalPixelMatrixRows=12, TotalPixelMatrixColumns=8)
    assert "slide" in refused(path)


def test_nothing_about_the_patient_gets_out(tmp_path, caplog, capfd):
    path = save(tmp_path / "a.dcm", GREY, PatientID="Secret-1", PatientBirthDate="19700101", PatientAge="030Y")
    data = path.read_bytes().replace(b"19700101", b"Secret!!").replace(b"030Y", b"Secr").replace(b"CS", b"QQ")
    broken = tmp_path / "b.dcm"
    # A class without its end runs on into the patient's name: names of damaged UIDs must not be repeated either.
    place = data.index(SECOND_CAPTURE.encode(), data.index(b"\x08\x00\x16\x00UI"))
    broken.write_bytes(data[: place - 2] + (400).to_bytes(2, "little") + data[place:])
    odd = tmp_path / "c.dcm"
    odd.write_bytes(data)
    told = [refused(broken)]
    with caplog.at_level(logging.DEBUG):
        for one in (path, odd):
            try:
                told += read_dicom(one).notes
            except ImageError as error:
                told.append(str(error))
    told += [caplog.text, *capfd.readouterr()]
    assert "Secr" not in " ".join(told)


# Real files


REFUSED = {
    "pydicom_MR_truncated": "cut off",
    "pydicom_badVR": "NumberOfFrames",
    "pydicom_image_dfl": "deflated",
    "pydicom_no_meta": "not a DICOM file",
    "pydicom_rtstruct": "RT Structure Set",
}


@pytest.mark.skipif(not FILES, reason=f"no files in {SHARED}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_real_file_opens_or_is_refused_in_one_sentence(path):
    try:
        image = read_dicom(path)
    except ImageError:
        sentence = refused(path)
        assert REFUSED.get(path.stem, "pip install") in sentence  # else only for want of a decoder
        return
    assert path.stem not in REFUSED
    assert image.name == path.stem
    assert np.ptp(image.pixels) > 0
    assert len(image.scale) == len(image.units) == len(image.spatial_axes)
    assert min(image.scale) > 0
    window = display_window(path)
    assert window is None or window[0] < window[1]


@pytest.mark.skipif(not FILES, reason=f"no files in {SHARED}")
@pytest.mark.parametrize("variant", ["RLE", "bigendian", "implicit", "jp2klossless", "jpeg_ls_lossless"])
def test_the_same_picture_stored_otherwise_has_the_same_values(variant):
    if variant == "jpeg_ls_lossless":
        pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed")
    plain, other = (read_dicom(SHARED / f"pydicom_MR_small{end}.dcm") for end in ("", f"_{variant}"))
    np.testing.assert_array_equal(plain.pixels, other.pixels)
    assert (plain.axes, plain.scale, plain.units) == (other.axes, other.scale, other.units)


@pytest.mark.skipif(not FILES, reason=f"no files in {SHARED}")
@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk", "SC_ybr_full_422_uncompressed", "SC_rgb_rle_2frame"])
def test_colour_bars_have_their_colours(name):
    pixels = read_dicom(SHARED / f"pydicom_{name}.dcm").pixels
    column = (pixels[0] if pixels.ndim == 4 else pixels)[5::10, 50].astype(int)
    bars = [[255, 0, 0], [255, 128, 128], [0, 255, 0], [128, 255, 128], [0, 0, 255], [128, 128, 255],
            [0, 0, 0], [64, 64, 64], [192, 192, 192], [255, 255, 255]]  # fmt: skip
    np.testing.assert_allclose(column, bars, atol=6)
