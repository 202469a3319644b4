"""The test-time options of segment and evaluate, and training by a recipe file in slices."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.launch import main
from napari_unetsharp.network.checkpoint import load_checkpoint

RECIPE = """
epochs = 3
crops_per_epoch = 2
batch = 2
crop = 32
level = 1
warm_up = 2
nucleus_size = 12.0
extras = ["core"]
"""


@pytest.fixture
def unetsharp(monkeypatch, capsys):
    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["unetsharp", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err.strip()

    return typed


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "bright.safetensors"
    checkpoint = seeing_brightness(guided_from=0.9)  # the modules say "target" nowhere in what follows
    replace(checkpoint, metadata=replace(checkpoint.metadata, nucleus_size=20.0)).save(path)
    return path


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "discs.png"
    imageio.imwrite(path, discs((120, 160), [(30, 40), (80, 110), (90, 30)], 8))
    return path


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "fields"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for seed in range(2):
        drawn, labels = draw_fluorescence(seed, 64, 64, 6)
        imageio.imwrite(folder / "images" / f"{seed}.png", drawn)
        tifffile.imwrite(folder / "labels" / f"{seed}.tif", labels.astype(np.uint16))
    return folder


def entry(said):
    (only,) = json.loads(said)["images"]
    return only


def test_the_size_is_estimated_or_given(unetsharp, model, picture, tmp_path):
    code, said, _ = unetsharp("segment", picture, "-o", tmp_path / "one", "-c", model, "--json")
    assert code == 0
    assert entry(said)["nucleus_size"] == pytest.approx(16, abs=3)
    assert entry(said)["nuclei"] == {"L4": 3}
    code, said, _ = unetsharp("segment", picture, "-o", tmp_path / "two", "-c", model, "--json", "--nucleus-size", 30)
    assert entry(said)["nucleus_size"] == 30
    assert entry(said)["nuclei"] == {"L4": 3}


@pytest.mark.parametrize(
    "options", [("--orientations", 8), ("--accurate",), ("--accurate", "--level", 2), ("--precision", "auto")]
)
def test_averages_of_a_perfect_network_find_the_same(options, unetsharp, model, picture, tmp_path):
    code, said, _ = unetsharp("segment", picture, "-o", tmp_path / "out", "-c", model, "--json", *options)
    assert code == 0
    assert list(entry(said)["nuclei"].values()) == [3]


def test_guided_modules_clear_what_they_do_not_see(unetsharp, model, picture, tmp_path):
    code, said, _ = unetsharp("segment", picture, "-o", tmp_path / "out", "-c", model, "--json", "--guided")
    assert code == 0
    assert entry(said)["nuclei"] == {"L4": 0}


def test_what_makes_no_sense_is_one_sentence(unetsharp, model, picture, tmp_path):
    for options, words in (
        (("--orientations", 3), "1, 2, 4, 8"),
        (("--nucleus-size", -4), "above 0"),
        (("--precision", "double"), "half"),
    ):
        code, _, err = unetsharp("segment", picture, "-o", tmp_path / "out", "-c", model, *options)
        assert code == 2
        assert words in err
        assert len(err.splitlines()) == 1


def test_evaluate_takes_the_same_options(unetsharp, model, dataset):
    plain, sized, guided = (
        json.loads(unetsharp("evaluate", dataset, "-c", model, "--json", *options)[1])
        for options in ((), ("--nucleus-size", 20, "--accurate"), ("--guided",))
    )
    assert plain["settings"]["nucleus_size"] is None
    assert (sized["settings"]["nucleus_size"], sized["settings"]["accurate"]) == (20, True)
    assert guided["overall"]["found"] == 0
    assert plain["overall"]["nuclei"] == guided["overall"]["nuclei"] > 0


def test_a_recipe_trains_in_slices_and_ends_as_in_one_go(unetsharp, dataset, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    common = ("--recipe", recipe, "--validation", dataset, "--device", "cpu")
    whole, sliced = tmp_path / "whole.safetensors", tmp_path / "sliced.safetensors"
    assert unetsharp("train", dataset, "--out", whole, *common)[0] == 0
    for _ in range(2):
        code, said, _ = unetsharp("train", dataset, "--out", sliced, *common, "--minutes", 0)
        assert code == 0
        assert "Stopped; give the same command to go on." in said
    code, said, _ = unetsharp("train", dataset, "--out", sliced, *common)
    assert f"Written to {sliced}" in said
    one, other = load_checkpoint(whole), load_checkpoint(sliced)
    assert one.metadata.nucleus_size == 12
    assert one.config.extras == ("core",)
    for (name, ours), theirs in zip(one.network.state_dict().items(), other.network.state_dict().values(), strict=True):
        assert ours.equal(theirs), name


def test_an_option_beside_a_recipe_wins_and_a_start_is_remembered(unetsharp, dataset, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    common = ("--recipe", recipe, "--validation", dataset, "--device", "cpu", "--epochs", 1)
    assert unetsharp("train", dataset, dataset, "--out", first, *common)[0] == 0
    assert unetsharp("train", dataset, "--out", second, *common, "--start", first, "--rate", 1e-9)[0] == 0
    begun, went_on = load_checkpoint(first), load_checkpoint(second)
    assert len(begun.metadata.history) == 1
    assert went_on.metadata.parent == begun.metadata.sha256
    assert went_on.metadata.recipe["rate"] == 1e-9
    pairs = zip(begun.network.named_parameters(), went_on.network.parameters(), strict=True)
    for (name, ours), theirs in pairs:
        assert np.allclose(ours.detach(), theirs.detach(), atol=1e-3), name


def test_a_recipe_that_is_none_starts_nothing(unetsharp, dataset, tmp_path):
    code, _, err = unetsharp("train", dataset, "--out", tmp_path / "x.safetensors", "--recipe", "sauce")
    assert code == 2
    assert "one of nuclei, nuclei-cpu" in err
    assert not (tmp_path / "x.safetensors").exists()
