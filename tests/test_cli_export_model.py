"""``unetsharp export-model`` as a person types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from small_networks import one_thread, seeded  # noqa: F401
from typer.testing import CliRunner

from napari_unetsharp.cli import app
from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.network.checkpoint import load_checkpoint

GREY, _ = draw_fluorescence(3, 96, 128, 16)
PICTURE = np.repeat(GREY[..., None], 3, axis=2)


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seeded(PICTURE).save(tmp_path / "mine.safetensors")
    tifffile.imwrite(tmp_path / "field.tif", PICTURE)
    return tmp_path / "mine.safetensors"


def typed(*words):
    """Type a command; gives what it printed, or our error."""
    result = CliRunner().invoke(app, [*map(str, words)])
    if isinstance(result.exception, UNetSharpError):
        return result.exception
    assert result.exit_code == 0, (result.output, repr(result.exception))
    return result


def test_a_smaller_model_segments_as_the_whole_one_at_that_depth(model, tmp_path):
    said = typed("export-model", model, "--level", 2)
    small = tmp_path / "seeded-0-L2.safetensors"
    assert said.stdout == f"Written to {small.name}\n"
    assert load_checkpoint(small).config.heads == ("x01", "x02")
    typed("segment", "field.tif", "--out", "whole", "--checkpoint", model, "--level", 2, "--nucleus-size", 10)
    typed("segment", "field.tif", "--out", "small", "--checkpoint", small, "--nucleus-size", 10)
    wanted, found = (tifffile.imread(tmp_path / name / "field_L2.tif") for name in ("whole", "small"))
    np.testing.assert_array_equal(found, wanted)
    assert wanted.max() > 0


def test_what_was_done_is_said_once_each_and_the_report_is_json(model):
    said = typed("export-model", model, "--level", 1, "--out", "one", "--json")
    report = json.loads(said.stdout)
    assert report == {"file": "one.safetensors", "format": "safetensors", "level": 1, "views": ["x01"]}
    lines = said.stderr.splitlines()
    assert lines[0].strip() == "Cutting out depth 1"
    assert len(lines) == len(set(lines))


def test_a_file_that_is_there_is_replaced_only_if_asked(model, tmp_path):
    (tmp_path / "one.safetensors").write_bytes(b"before")
    assert "there already" in str(typed("export-model", model, "--level", 1, "--out", "one.safetensors"))
    assert (tmp_path / "one.safetensors").read_bytes() == b"before"
    typed("export-model", model, "--level", 1, "--out", "one.safetensors", "--overwrite")
    assert load_checkpoint(tmp_path / "one.safetensors").config.level == 1


def test_wrong_words_are_answered_before_any_work(model, tmp_path):
    assert "choose one of safetensors, onnx, torch, bioimageio" in str(typed("export-model", model, "-f", "keras"))
    typed("export-model", model, "--level", 2, "--out", "two.safetensors")
    assert "it has depth 1, 2" in str(typed("export-model", "two.safetensors", "--level", 3))
    assert "no checkpoint at" in str(typed("export-model", "nothing.safetensors"))
