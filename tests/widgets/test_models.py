"""The list of models remembers, and published files are asked about once."""

from __future__ import annotations

import json

import pytest
import torch

from napari_unetsharp.errors import CheckpointError
from napari_unetsharp.network.published import HEADS
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.widgets import models
from napari_unetsharp.widgets.model_dialog import PublishedModelDialog
from napari_unetsharp.widgets.models import NORMALISATIONS, ModelList


@pytest.fixture
def published(tmp_path):
    """A file in the published layout."""
    torch.manual_seed(2)
    heads = {node: name for name, node in HEADS.items()}
    state = {}
    for key, value in UNetSharp(UNetSharpConfig(widths=(4, 4, 4, 4, 4))).state_dict().items():
        kind, node, rest = key.split(".", 2)
        state[f"conv{node[1]}_{node[2]}.{rest}" if kind == "nodes" else f"{heads[node]}.{rest}"] = value
    path = tmp_path / "model.pth"
    torch.save(state, path)
    return str(path)


def test_recent_models_survive_a_restart(small_checkpoint):
    kept = ModelList()
    kept.add(small_checkpoint)
    assert small_checkpoint in [path for _, path in ModelList.remembered().choices()]


def test_a_file_that_went_away_is_not_offered(tmp_path):
    kept = ModelList([str(tmp_path / "gone.safetensors")])
    assert str(tmp_path / "gone.safetensors") not in [path for _, path in kept.choices()]


@pytest.mark.parametrize("text", ["", "[]", '{"recent": 3}', '{"recent": [], "answers": []}'])
def test_a_damaged_memory_is_left_behind(text):
    models.memory_file().parent.mkdir(parents=True)
    models.memory_file().write_text(text, encoding="utf-8")
    assert ModelList.remembered().recent == []


def test_the_answer_about_a_published_file_is_used_and_remembered(published):
    kept = ModelList()
    assert kept.needs_answer(published)
    kept.answer(published, "0 to 1", 12)
    again = ModelList.remembered()
    assert not again.needs_answer(published)
    metadata = again.load(published).metadata
    assert metadata.intensity == NORMALISATIONS["0 to 1"]
    assert metadata.nucleus_size == 12


def test_without_an_answer_a_published_file_means_imagenet(published):
    assert ModelList().load(published).metadata.intensity == NORMALISATIONS["ImageNet (published code)"]


def test_an_unknown_answer_is_refused(published):
    kept = ModelList()
    kept.answer(published, "0 to 1", 0)
    text = models.memory_file().read_text(encoding="utf-8")
    models.memory_file().write_text(text.replace("0 to 1", "sideways"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="choose it again"):
        ModelList.remembered().load(published)
    assert json.loads(text)["answers"]


def test_the_window_asks_about_a_published_file(window, published, monkeypatch):
    _, stage = window
    asked = []

    def accept(dialog):
        asked.append(dialog)
        dialog.normalisation.value = "0 to 1"
        return 1

    monkeypatch.setattr(PublishedModelDialog, "exec", accept)
    stage.open_model(published)
    stage.open_model(published)
    assert len(asked) == 1
    assert stage.form.model.value == published
    assert stage.models.load(published).metadata.intensity == NORMALISATIONS["0 to 1"]


def test_a_bad_model_is_one_sentence_and_the_old_one_stays(window, tmp_path, small_checkpoint):
    _, stage = window
    stage.open_model(small_checkpoint)
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    stage.open_model(str(bad))
    assert stage.message.is_problem
    assert "bad.safetensors" in stage.message.text()
    assert stage.form.model.value == small_checkpoint
