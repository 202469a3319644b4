"""``unetsharp fine-tune`` from a folder to a new version."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import tifffile
from reviewed_fields import field
from small_networks import seeing_brightness

from napari_unetsharp.launch import main
from napari_unetsharp.network.checkpoint import file_hash, load_checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata


@pytest.fixture
def unetsharp(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["unetsharp", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def model(tmp_path):
    checkpoint = seeing_brightness({"x01": 0.7, "x02": 0.7}, level=2)
    checkpoint.metadata = CheckpointMetadata("dim", checkpoint.metadata.intensity, crop=32)
    checkpoint.save(tmp_path / "dim.safetensors")
    return tmp_path / "dim.safetensors"


@pytest.fixture
def dataset(tmp_path):
    pixels, labels = field()
    for part, plane, kind in (("images", pixels, "rgb"), ("labels", labels.astype(np.uint16), "minisblack")):
        (tmp_path / "set" / part).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "set" / part / "a.tif", plane, photometric=kind)
    return tmp_path / "set"


def test_it_writes_a_new_version_with_its_card(unetsharp, model, dataset, tmp_path):
    before, out = file_hash(model), tmp_path / "dim-v2.safetensors"
    again = tmp_path / "again"
    shutil.copytree(dataset, again)
    words = "fine-tune", "-c", model, "--samples", dataset, again, "--out", out, "--level", 1, "--epochs", 1
    words = *words, "--steps", 2
    code, said, _ = unetsharp(*words, "--speed", "touch-up", "--json", "--device", "cpu")
    assert code in (0, None)
    told = json.loads(said)
    assert told["out"] == str(out)
    assert told["verdict"]["words"]
    tuned = load_checkpoint(out)
    assert (tuned.config.level, tuned.metadata.parent, tuned.metadata.name) == (1, before, "dim-v2")
    assert len({row["source"] for row in tuned.metadata.recipe["samples"]}) == 2
    assert "Model card: dim-v2" in out.with_suffix(".md").read_text()
    assert file_hash(model) == before
    code, _, error = unetsharp(*words)
    assert code == 2
    assert "no version is ever overwritten" in error


def test_nothing_is_written_if_asked_for_better_ones_only(unetsharp, model, dataset, tmp_path):
    """A learning rate of nearly nothing changes nothing."""
    out = tmp_path / "dim-v2.safetensors"
    words = "fine-tune", "-c", model, "--samples", dataset, "--out", out, "--level", 1, "--epochs", 1, "--steps", 1
    code, said, _ = unetsharp(*words, "--rate", 1e-9, "--only-better", "--device", "cpu")
    assert code in (0, None)
    assert "discard it" in said
    assert "Nothing was written" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "x.pt"), ".safetensors"),
        (("--out", "x.safetensors", "--speed", "slow"), "touch-up, standard, thorough"),
        (("--out", "x.safetensors", "--level", "4"), "depth 4 was asked"),
        (("--out", "x.safetensors", "--samples", "nowhere"), "not a folder"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(words, said, unetsharp, model, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = unetsharp("fine-tune", "-c", model, "--samples", dataset, "--device", "cpu", *words)
    assert code == 2
    assert said in error
    assert not (tmp_path / "x.safetensors").exists()
