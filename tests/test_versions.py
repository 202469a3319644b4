"""Versions of a model: kept under a new name, never overwritten, with parents, cards and a choice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_networks import seeing_brightness

from napari_unetsharp.errors import CheckpointError, SettingsError
from napari_unetsharp.network.checkpoint import file_hash, load_checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.training import versions as history

SAID = "Better, and nothing lost: keep it."


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "models_folder", lambda: tmp_path / "models")
    return tmp_path / "models"


def candidate(tmp_path, parent="", name="dim", number=0):
    """As fine-tuning leaves it."""
    checkpoint = seeing_brightness({"x01": 0.5 + number / 100}, level=1)
    verdict = {"decision": "keep", "words": SAID}
    change = {"gain": 0.1, "before": {"score": 0.1}, "after": {"score": 0.2}}
    checkpoint.metadata = CheckpointMetadata(
        name, parent=parent, history=[{"epoch": 1, "losses": {"all": 1.5}, "best": True, "score": 0.2}],
        recipe={"parent_name": name, "samples": [
            {"name": "a", "part": "train", "nuclei": 3, "edited": 1, "sha256": "ab" * 32}]},
        metrics={"verdict": verdict, "node": "x01", "levels": {"x01": {"here": change, "check": change}}},
    )  # fmt: skip
    path = tmp_path / f"candidate{number}.safetensors"
    checkpoint.save(path)
    return path


def test_versions_are_numbered_and_never_overwritten(models, tmp_path):
    first = history.keep(candidate(tmp_path))
    second = history.keep(candidate(tmp_path, name="dim-v2", number=1))
    assert [path.name for path in (first, second)] == ["dim-v2.safetensors", "dim-v3.safetensors"]
    before = file_hash(first)
    with pytest.raises(FileExistsError):
        history.keep_as(candidate(tmp_path, number=2), first)
    assert file_hash(first) == before
    assert load_checkpoint(first).metadata.name == "dim-v2"
    assert SAID in first.with_suffix(".md").read_text()
    assert (tmp_path / "candidate0.safetensors").exists()
    assert {path.suffix for path in models.iterdir()} == {".safetensors", ".md"}, "nothing half-written is left"


def test_the_history_is_a_tree_by_hashes(models, tmp_path):
    first = history.keep(candidate(tmp_path))
    child = history.keep(candidate(tmp_path, parent=file_hash(first), number=1))
    other = history.keep(candidate(tmp_path, parent=file_hash(first), number=2))
    grandchild = history.keep(candidate(tmp_path, parent=file_hash(child), number=3))
    (models / "broken.safetensors").write_bytes(b"none")
    found = [version for version in history.versions() if version.path.parent == models.resolve()]
    told = [(version.path.name, version.generation) for version in found]
    assert told == [(first.name, 0), (child.name, 1), (grandchild.name, 2), (other.name, 1)]
    assert (found[0].decision, found[0].words, found[0].level) == ("keep", SAID, 1)
    renamed = history.rename(first, "liver")
    again = [version for version in history.versions() if version.path.parent == models.resolve()]
    assert [(version.name, version.generation) for version in again if version.generation == 0] == [("liver", 0)]
    assert len(again) == 4
    assert renamed.with_suffix(".md").is_file()
    assert not first.exists()
    assert history.versions()[0].name == "nuclei" or not history.SHIPPED["nuclei"].is_file()


def test_a_name_that_is_taken_or_odd_is_refused(models, tmp_path):
    first, second = history.keep(candidate(tmp_path)), history.keep(candidate(tmp_path, number=1))
    before = file_hash(second)
    with pytest.raises(CheckpointError, match="never overwritten"):
        history.rename(first, second.stem)
    assert file_hash(second) == before
    assert first.exists()
    for name in ("", "../up", "a/b"):
        with pytest.raises(SettingsError):
            history.rename(first, name)


def test_the_choice_is_remembered(models, tmp_path):
    first = history.keep(candidate(tmp_path))
    assert history.chosen() == "nuclei"
    history.choose(str(first))
    assert history.chosen() == str(first)
    renamed = history.rename(first, "liver")
    assert history.chosen() == str(renamed)
    (models / "liver.safetensors").unlink()
    assert history.chosen() == "nuclei"


@pytest.mark.parametrize("level", [None, 1])
def test_export_copies_or_prunes(models, tmp_path, level):
    checkpoint = seeing_brightness(level=2)
    replace(checkpoint, metadata=CheckpointMetadata("two")).save(tmp_path / "two.safetensors")
    out = history.export(tmp_path / "two.safetensors", tmp_path / "out" / "mine.safetensors", level)
    assert load_checkpoint(out).config.level == (level or 2)
    with pytest.raises(CheckpointError, match="exists already"):
        history.export(tmp_path / "two.safetensors", out, level)
