"""An ONNX file gives in ONNX Runtime what the network gives here, says how it is fed, and nobody hears of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from small_networks import one_thread, seeded  # noqa: F401

from napari_unetsharp.errors import SaveError
from napari_unetsharp.exporting.check import example, expected
from napari_unetsharp.exporting.depth import cut
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.intensity import Intensity

if not all(find_spec(name) for name in ("onnx", "onnxruntime")):
    pytest.skip("needs the extra `export` (onnx, onnxruntime)", allow_module_level=True)

import onnx

from napari_unetsharp.exporting.onnx_file import onnx_steps, runner
from napari_unetsharp.exporting.onnx_graph import graph_of
from napari_unetsharp.exporting.plain_form import plain_network

GREY, _ = draw_fluorescence(3, 64, 96, 8)
PICTURE = np.repeat(GREY[..., None], 3, axis=2)
KINDS = {
    "plain": {}, "guided": {"guided": True, "extras": ("core", "border")},
    "converted": {"full_scale": "conv", "classes": 2, "in_channels": 1, "intensity": Intensity()},
}  # fmt: skip


def written(part, **options):
    *_, last = onnx_steps(part, **options)
    return last


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [2, 4])
def test_it_runs_at_every_size_in_steps_of_16(kind, level):
    part = cut(seeded(PICTURE, **KINDS[kind]), level)
    run = runner(written(part))
    for shape in [(1, 16, 16), (2, 80, 16), (1, 16, 144), (3, 48, 48), (1, 112, 176)]:
        image = example(part, (shape[0], max(32, shape[1]), max(32, shape[2])))[..., : shape[1], : shape[2]]
        image = np.ascontiguousarray(image)
        found, wanted = run(image), expected(part, image)
        assert set(found) == set(wanted)
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-4, err_msg=f"{name} on {shape}")


def test_what_the_file_says_of_itself():
    whole = seeded(PICTURE, intensity=Intensity(), guided=True, extras=("core",))
    part = cut(whole, 2)
    model = onnx.load_from_string(written(part))
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 17}
    sizes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert sizes == {
        "image": ["batch", 3, "height", "width"],
        "x01": ["batch", 2, "height", "width"], "x02": ["batch", 2, "height", "width"],
        "x01_presence": ["batch"], "x02_presence": ["batch"],
    }  # fmt: skip
    kept = {entry.key: entry.value for entry in model.metadata_props}
    about = json.loads(kept["unetsharp"])
    assert "probabilities" in kept["values"]
    assert "percentile" in kept["intensity"]
    assert about["input"]["intensity"] == Intensity().as_dict()
    assert about["outputs"]["x02"]["channels"] == ["nucleus", "core"]
    assert "32 px" in about["outputs"]["x02_presence"]["values"]
    assert about["opset"] == 17
    assert about["level"] == 2


def test_it_is_the_plain_form():
    """Upsampling then convolving: a kind of operation that any program knows, and no gathered matrices."""
    model = onnx.load_from_string(written(cut(seeded(PICTURE), 4)))
    kinds = {node.op_type for node in model.graph.node}
    assert kinds == {"Conv", "Relu", "Resize", "Concat", "Sigmoid", "MaxPool"}
    assert sum(node.op_type == "Resize" for node in model.graph.node) == 20  # links over one row and more (Fig. 1 d)


def test_one_view_of_four():
    part = cut(seeded(PICTURE, guided=True), 4)
    assert [value.name for value in onnx.load_from_string(written(part, heads=("x04",))).graph.output] == ["x04"]


def test_what_is_no_onnx_is_refused_in_our_words():
    with pytest.raises(SaveError, match="ONNX Runtime can't open"):
        runner(b"nothing")


def test_wrong_weights_are_noticed():
    part = cut(seeded(PICTURE), 1)
    model = graph_of(plain_network(part.network, ("x01",)), 3)
    weight = next(item for item in model.graph.initializer if item.name == "x01.conv2.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0, 1, 1] += 0.5
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    image = example(part, (1, 48, 80))
    found = runner(model.SerializeToString())(image)["x01"]
    assert np.abs(found - expected(part, image)["x01"]).max() > 1e-4


def test_onnx_runtime_keeps_no_identifier_and_sends_nothing(tmp_path):
    """Since 1.29 it writes a device id and a queue of reports into the home folder, unless it is told not to."""
    code = "from napari_unetsharp.exporting.onnx_runtime import onnx_runtime; onnx_runtime().SessionOptions()"
    quiet = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")}
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "LOCALAPPDATA": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=quiet | places, check=True)
    assert list(tmp_path.rglob("*")) == []
