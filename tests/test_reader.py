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
from napari_unetsharp.nuclei.identity import identify  # noqa: E402
from napari_unetsharp.widgets.reader import get_reader  # noqa: E402
from napari_unetsharp.widgets.review_source import subject_of  # noqa: E402
from napari_unetsharp.widgets.sample_data import drawn_fluorescence, immunohistochemistry  # noqa: E402

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


@pytest.mark.parametrize("name", ["a.dcm", "a.DCM", "b.dicom", "c.ima", "c.IMA"])
def test_dicom_endings_are_claimed(name):
    assert get_reader(name) is not None
    assert get_reader([name, "other.dcm"]) is not None


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.svs", "dcm", "folder", "a.dcm.gz", [], ["a.dcm", "b.tif"]])
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
