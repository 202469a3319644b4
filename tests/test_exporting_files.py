"""Each format as its own tool opens it; what was there before stays until a new file is whole."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import yaml
from small_networks import one_thread, seeded  # noqa: F401

from napari_unetsharp.errors import SaveError, SettingsError
from napari_unetsharp.exporting import formats
from napari_unetsharp.exporting.check import example, expected
from napari_unetsharp.exporting.depth import cut
from napari_unetsharp.exporting.export import export_model, export_steps, target_of
from napari_unetsharp.exporting.formats import FORMATS, file_name, known_format
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import file_hash, load_checkpoint

GREY, _ = draw_fluorescence(3, 96, 128, 16)
PICTURE = np.repeat(GREY[..., None], 3, axis=2)
needs_onnx = pytest.mark.skipif(
    not all(find_spec(name) for name in ("onnx", "onnxruntime")), reason="needs the extra `export` (onnx)"
)
needs_bioimageio = pytest.mark.skipif(
    not find_spec("bioimageio") or not find_spec("bioimageio.core"), reason="needs the extra `export` (bioimageio.core)"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    seeded(PICTURE, intensity=Intensity(), extras=("core", "border")).save(path)
    return load_checkpoint(path)


def test_our_own_file_finds_what_the_whole_model_finds_at_that_depth(whole, tmp_path):
    said = []
    path = export_model(whole, 2, "safetensors", tmp_path / "small", on_step=said.append)
    assert path == tmp_path / "small.safetensors"
    small = load_checkpoint(path)
    assert small.config.heads == ("x01", "x02")
    assert small.metadata.parent == whole.metadata.sha256
    found = Predictor(small, "cpu").predict(PICTURE)
    wanted = Predictor(whole, "cpu", level=2).predict(PICTURE)
    for name in ("x01", "x02"):
        np.testing.assert_array_equal(found.full[name], wanted.full[name])
    assert said[0].words == "Cutting out depth 2"


def test_torch_export_loads_without_this_project(whole, tmp_path):
    path = export_model(whole, 1, "torch", tmp_path / "one.pt2")
    told = {"unetsharp.json": ""}
    loaded = torch.export.load(path, extra_files=told).module()
    part = cut(whole, 1)
    for shape in [(1, 32, 48), (3, 112, 80)]:
        image = example(part, shape)
        found = loaded(torch.from_numpy(image))
        assert set(found) == {"x01"}
        np.testing.assert_allclose(found["x01"].numpy(), expected(part, image)["x01"], rtol=0, atol=1e-4)
    assert json.loads(told["unetsharp.json"])["outputs"]["x01"]["channels"] == ["nucleus", "core", "border"]


@needs_onnx
@needs_bioimageio
def test_a_package_holds_all_that_another_tool_needs(tmp_path):
    from napari_unetsharp.exporting.onnx_file import runner

    part = seeded(PICTURE, intensity=Intensity(), level=1)
    part.metadata = replace(part.metadata, pixel_size=0.5, nucleus_size=18.0)
    path = export_model(part, 1, "bioimageio", tmp_path / "one")
    assert path.name == "one.bioimageio.zip"
    with zipfile.ZipFile(path) as package:
        files = {name: package.read(name) for name in package.namelist()}
    described = yaml.safe_load(files["rdf.yaml"])
    (entering,), (leaving,) = described["inputs"], described["outputs"]
    assert [axis.get("scale") for axis in entering["axes"][2:]] == [0.5, 0.5]
    assert [axis["unit"] for axis in leaving["axes"][2:]] == ["micrometer", "micrometer"]
    assert described["cite"][0]["doi"] == "10.48550/arXiv.2205.11759"
    assert "license" not in described  # nobody stated one
    card = files["README.md"].decode()
    assert "about 18 px across" in card
    assert "not stated" in card
    picture, wanted = (np.load(io.BytesIO(files[name])) for name in ("test_input.npy", "test_output.npy"))
    low, high = np.percentile(picture, (1, 99.8))  # the steps of the description, by hand
    scaled = (np.clip((picture - low) / (high - low), -0.5, 2) - 0.5) / 0.25
    found = runner(files["weights.onnx"])(scaled.astype(np.float32))["x01"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert np.ptp(wanted) > 0.1


@needs_bioimageio
def test_a_package_whose_example_is_wrong_is_not_given_away(tmp_path, monkeypatch):
    from napari_unetsharp.exporting import bioimageio_file

    def wrong(checkpoint, height, width):
        picture, map_ = right(checkpoint, height, width)
        return picture, map_[..., ::-1]

    right = bioimageio_file._example
    monkeypatch.setattr(bioimageio_file, "_example", wrong)
    target = tmp_path / "one.bioimageio.zip"
    with pytest.raises(SaveError, match=r"bioimageio\.core finds a fault"):
        export_model(seeded(PICTURE, intensity=Intensity(), level=1), 1, "bioimageio", target)
    assert list(tmp_path.iterdir()) == []


# Files ---------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_stays_unless_it_may_be_replaced(whole, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(SaveError, match="there already"):
        export_model(whole, 1, "safetensors", path)
    assert path.read_bytes() == b"before"
    export_model(whole, 1, "safetensors", path, overwrite=True)
    assert load_checkpoint(path).config.level == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.safetensors"]


def test_one_that_comes_while_it_is_written_stays_too(whole, tmp_path):
    path = tmp_path / "mine.safetensors"
    steps = export_steps(whole, 1, "safetensors", path)
    next(steps)
    path.write_bytes(b"somebody else's")
    with pytest.raises(SaveError, match="there already"):
        list(steps)
    assert path.read_bytes() == b"somebody else's"


def test_an_export_that_is_given_up_leaves_nothing(whole, tmp_path):
    steps = export_steps(whole, 1, "safetensors", tmp_path / "mine.safetensors")
    for _ in range(3):
        next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file_is_said_in_our_words(whole, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SaveError, match="can't be written"):
        export_model(whole, 1, "safetensors", tmp_path / "file" / "mine.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(SaveError, match="there already"):
        export_model(whole, 1, "safetensors", tmp_path / "folder.safetensors", overwrite=True)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    broken = seeded(PICTURE)
    broken.network.nodes["x00"].conv1.weight.data[0, 0, 0, 0] = np.nan
    for format in ("safetensors", *(["onnx"] if find_spec("onnx") and find_spec("onnxruntime") else [])):
        with pytest.raises(Exception, match=r"NaN|nan"):
            export_model(broken, 1, format, tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_the_model_that_is_exported_stays_as_it_is(whole, tmp_path):
    before = {key: value.clone() for key, value in whole.network.state_dict().items()}
    export_model(whole, 2, "safetensors", tmp_path / "mine")
    assert all(torch.equal(value, before[key]) for key, value in whole.network.state_dict().items())
    assert file_hash(tmp_path / "mine.safetensors")


def test_names_of_files(tmp_path):
    assert file_name("nuclei", 2, "onnx") == "nuclei-L2.onnx"
    assert file_name("H&E / mine", 4, "bioimageio") == "H-E-mine-L4.bioimageio.zip"
    assert file_name("..", 1, "torch") == "model-L1.pt2"
    assert target_of(tmp_path / "a.safetensors", "safetensors") == tmp_path / "a.safetensors"
    assert target_of(tmp_path / "a.v2", "safetensors") == tmp_path / "a.v2.safetensors"


def test_an_unknown_format_and_a_missing_package_say_what_to_do(monkeypatch):
    with pytest.raises(SettingsError, match="safetensors, onnx, torch, bioimageio"):
        known_format("tensorflow")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"onnx and onnxruntime.*napari-unetsharp\[export\]"):
        known_format("onnx")
    assert known_format("torch") is FORMATS["torch"]
