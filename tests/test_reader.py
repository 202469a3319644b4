"""What napari gets when a DICOM file is dropped, and what File > Open Sample offers."""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402
from napari.layers import Image, Labels  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402

from napari_unetsharp.errors import ImageError  # noqa: E402
from napari_unetsharp.images.files import read_image  # noqa: E402
from napari_unetsharp.images.volume import Planes  # noqa: E402
from napari_unetsharp.nuclei.identity import identify  # noqa: E402
from napari_unetsharp.widgets.reader import get_reader, opens_as_one  # noqa: E402
from napari_unetsharp.widgets.review_source import subject_of  # noqa: E402
from napari_unetsharp.widgets.sample_data import drawn_fluorescence, immunohistochemistry  # noqa: E402
from napari_unetsharp.widgets.slide_layers import is_slide  # noqa: E402
from napari_unetsharp.widgets.source import image_from_layer  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "data" / "formats" / "dicom"


def save(path: Path, stored: np.ndarray, **elements: object) -> str:
    """Write a small DICOM file of uint8 (Y, X), (F, Y, X) or, with SamplesPerPixel=3, (Y, X, 3)."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = stored.shape[:2] if "SamplesPerPixel" in elements else stored.shape[-2:]
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    header.PixelData = stored.tobytes()
    header["PixelData"].VR = "OB"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)
    return str(path)


def shown(path: str | list[str]) -> list[Image]:
    """Read `path` into a viewer and give its layers."""
    reader = get_reader(path)
    assert reader is not None
    viewer = ViewerModel()
    for pixels, keywords, kind in reader(path):
        assert kind == "image"
        viewer.add_image(pixels, **keywords)
    return list(viewer.layers)


@pytest.mark.parametrize("name", ["a.dcm", "a.DCM", "b.dicom", "c.IMA", "a.svs", "a.ome.tif", "a.nii.gz", "a.NRRD"])
def test_dicom_slides_and_volumes_are_claimed(name):
    assert get_reader(name) is not None
    assert get_reader([name, "other.dcm"]) is not None


@pytest.mark.parametrize("name", ["a.tif", "a.png", "dcm", "folder", "a.dcm.gz", [], ["a.dcm", "b.tif"]])
def test_everything_else_is_left_to_napari(name):
    assert get_reader(name) is None


def test_asking_reads_nothing(tmp_path):
    assert get_reader(str(tmp_path / "nowhere.dcm")) is not None


def test_a_stack_keeps_its_name_spacing_units_and_axes(tmp_path):
    stack = np.arange(3 * 4 * 6, dtype=np.uint8).reshape(3, 4, 6)
    spacing = {"PixelSpacing": [0.5, 0.25], "SpacingBetweenSlices": 2, "NumberOfFrames": 3}
    (layer,) = shown(save(tmp_path / "stack.dcm", stack, **spacing))
    np.testing.assert_array_equal(layer.data, stack)
    assert (layer.name, layer.rgb) == ("stack", False)
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.25))
    assert layer.axis_labels == ("z", "y", "x")
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3


def test_colours_are_shown_as_colours(tmp_path):
    colour = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    options = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    (layer,) = shown(save(tmp_path / "a.dcm", colour, **options))
    np.testing.assert_array_equal(layer.data, colour)
    assert layer.rgb
    assert layer.axis_labels == ("y", "x")


def test_films_without_spacing_can_be_shown(tmp_path):
    film = np.arange(3 * 4 * 6, dtype=np.uint8).reshape(3, 4, 6)
    (layer,) = shown(save(tmp_path / "a.dcm", film, NumberOfFrames=3, PixelSpacing=[0.5, 0.5]))
    assert layer.axis_labels == ("t", "y", "x")
    np.testing.assert_allclose(layer.scale, (1, 0.5, 0.5))


def test_notes_reach_the_layer(tmp_path):
    (layer,) = shown(save(tmp_path / "a.dcm", np.eye(4, dtype=np.uint8)))
    assert any("pixel size" in note for note in layer.metadata["unetsharp_notes"])


def test_suggested_window_is_used_where_it_shows_anything(tmp_path):
    ramp = np.arange(48, dtype=np.uint8).reshape(6, 8)
    (layer,) = shown(save(tmp_path / "a.dcm", ramp, WindowCenter=20, WindowWidth=10))
    assert tuple(layer.contrast_limits) == (15, 25)
    (layer,) = shown(save(tmp_path / "b.dcm", ramp, WindowCenter=200, WindowWidth=10))
    low, high = layer.contrast_limits  # napari's own choice
    assert (low, high) != (195, 205)
    assert low <= ramp.min() < ramp.max() <= high


def test_each_file_becomes_its_own_layer(tmp_path):
    paths = [save(tmp_path / f"{name}.dcm", np.full((4, 4), value, np.uint8)) for name, value in (("a", 1), ("b", 2))]
    assert [(layer.name, int(layer.data.max())) for layer in shown(paths)] == [("a", 1), ("b", 2)]


def test_a_broken_file_is_refused_with_our_sentence(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_text("hello")
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(ImageError, match=r"a\.dcm is not a DICOM file"):
        reader(str(path))


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no files in {SHARED}")
@pytest.mark.parametrize("name", ["pydicom_CT_small", "pdata_emri_small", "pydicom_examples_palette", "pydicom_rtdose"])
def test_real_files_become_layers(name):
    (layer,) = shown(str(SHARED / f"{name}.dcm"))
    assert layer.name == name
    assert layer.contrast_limits[0] < layer.contrast_limits[1]


def series(folder: Path, count: int = 3, **elements: object) -> list[str]:
    """Write planes 2 mm apart, the last one first; stored 0 to 95 upwards, shown from 20 to 71."""
    folder.mkdir()
    uid, paths = generate_uid(), []
    for number in range(count):
        stored = (np.arange(96, dtype=np.uint8).reshape(8, 12) + number).astype(np.uint8)
        place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, 2 * number]}
        about = {"SeriesInstanceUID": uid, "Modality": "CT", "PixelSpacing": [0.5, 0.25]}
        window = {"WindowCenter": 45.5, "WindowWidth": 51}
        paths.append(save(folder / f"{count - number}.dcm", stored, **{**about, **place, **window, **elements}))
    return paths


def test_a_series_is_one_lazy_layer_shown_and_run_through_its_window(tmp_path):
    paths = series(tmp_path / "ct")
    for opened in (str(tmp_path / "ct"), paths):
        (layer,) = shown(opened)
        assert isinstance(layer.data, Planes)
        assert layer.data.shape == (3, 8, 12)
        np.testing.assert_allclose(layer.scale, (2, 0.5, 0.25))
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
        assert tuple(layer.contrast_limits) == (20, 71)
    layer.contrast_limits = (0, 200)  # what is on screen changes nothing
    image = image_from_layer(layer)
    assert (image.axes, image.scale) == ("ZYX", (2, 0.5, 0.25))
    stored = np.arange(96).reshape(8, 12) + 1
    by_hand = np.clip((stored - 20) * 5, 0, 255)
    np.testing.assert_array_equal(image.plane((1,))[..., 0], by_hand)


def test_a_folder_is_one_picture_only_where_it_is_a_series_a_slide_or_a_zarr(tmp_path):
    series(tmp_path / "ct")
    assert opens_as_one(tmp_path / "ct")
    apart = tmp_path / "pictures"
    apart.mkdir()
    for name in ("a.dcm", "b.dcm"):  # each of its own: a folder to work through
        save(apart / name, np.eye(4, dtype=np.uint8), SeriesInstanceUID=generate_uid())
    (tmp_path / "photos").mkdir()
    imageio.imwrite(tmp_path / "photos" / "a.png", np.eye(9, dtype=np.uint8))
    (tmp_path / "cut off.zarr").mkdir()
    for other in (apart, tmp_path / "photos", tmp_path, tmp_path / "nowhere"):
        assert not opens_as_one(other)
        assert get_reader(str(other)) is None
    reader = get_reader(str(tmp_path / "cut off.zarr"))
    with pytest.raises(ImageError, match="incomplete"):
        reader(str(tmp_path / "cut off.zarr"))


def test_a_volume_without_a_window_gets_one_for_all_planes(tmp_path):
    ramp = np.arange(4 * 30 * 40, dtype=np.int16).reshape(4, 30, 40)
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 40 30 4\nspacings: 0.5 0.5 2\nendian: little\n"
    (tmp_path / "a.nrrd").write_bytes((header + "encoding: raw\n\n").encode() + ramp.tobytes())
    (layer,) = shown(str(tmp_path / "a.nrrd"))
    np.testing.assert_allclose(layer.contrast_limits, np.percentile(ramp, (0.5, 99.8)), atol=10)
    image = image_from_layer(layer)
    planes = np.stack([image.plane((number,))[..., 0] for number in range(4)]).astype(int)
    assert planes.dtype != np.int16
    assert (np.diff(planes.reshape(4, -1).mean(axis=1)) > 40).all()  # later planes stay brighter


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no files in {SHARED}")
def test_real_series_and_slides_become_layers():
    (layer,) = shown(str(SHARED.parent / "dicom_series" / "STS_002" / "CT" / "image"))
    assert layer.data.shape[0] == 48
    assert layer.metadata["format"] == "CT series"
    (slide,) = shown(str(SHARED.parent / "derived" / "CMU-1-Small-Region_pyramid.ome.tif"))
    assert is_slide(slide)
    np.testing.assert_allclose(slide.scale, (0.499, 0.499))


def test_sample_pictures_need_no_download(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)  # what scikit-image would download with
    ((pixels, keywords, kind),) = immunohistochemistry()
    layer = ViewerModel().add_image(pixels, **keywords)
    assert (kind, layer.rgb, layer.data.shape) == ("image", True, (512, 512, 3))


def test_drawn_sample_hides_its_truth_below_the_same_pixels():
    (picture, picture_keywords, kind), (mask, mask_keywords, mask_kind) = drawn_fluorescence()
    image, labels = Image(picture, **picture_keywords), Labels(mask, **mask_keywords)
    assert (kind, mask_kind) == ("image", "labels")
    assert image.data.shape == labels.data.shape
    assert (image.visible, labels.visible) == (True, False)
    assert labels.name == "drawn nuclei (truth)"


def test_a_transparent_picture_is_the_same_from_napari_and_from_its_file(tmp_path):
    """Else a review of the layer would be refused for its own file."""
    pixels = np.random.default_rng(1).integers(0, 255, (24, 30, 4)).astype(np.uint8)
    imageio.imwrite(tmp_path / "a.png", pixels)
    viewer, file = ViewerModel(), read_image(tmp_path / "a.png")
    subject = subject_of(viewer, viewer.add_image(pixels, rgb=True, name="a"))
    assert subject.identity.pixels == identify(file.pixels, file.axes).pixels
    np.testing.assert_array_equal(subject.image.pixels, pixels[..., :3])
