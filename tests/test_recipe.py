"""Recipe files, and several datasets together."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_unetsharp.errors import DatasetError, SettingsError
from napari_unetsharp.training.recipe import SHIPPED_RECIPES, Recipe
from napari_unetsharp.training.samples import find_splits


@pytest.mark.parametrize("name", SHIPPED_RECIPES)
def test_shipped_recipes_load_and_say_what_they_are_for(name):
    recipe = Recipe.load(name)
    assert recipe == Recipe.load(SHIPPED_RECIPES[name])
    assert recipe == Recipe.from_dict(recipe.as_dict())
    assert recipe.extras == ("core", "border")
    assert recipe.nucleus_size > 0
    assert "unetsharp train" in SHIPPED_RECIPES[name].read_text(encoding="utf-8")


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("epochs = 3\ncrop = 64  # small\n", encoding="utf-8")
    assert Recipe.load(path) == Recipe(epochs=3, crop=64)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", "unknown recipe settings"),
        ("epochs = ", "no recipe"),
        ("epochs = 'many'", "compare it with a shipped recipe"),
        ("crop = 100", "divisible by 16"),
        ("balance = 3.0", "lie in 0..1"),
        ("bend = -1.0", "lie in 0..1"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=words):
        Recipe.load(path)


def test_a_name_that_nobody_knows_gets_the_known_ones():
    with pytest.raises(SettingsError, match="one of nuclei, nuclei-cpu"):
        Recipe.load("nucleus")


def dataset(folder, names):
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for name in names:
            tifffile.imwrite(folder / kind / f"{name}.tif", np.ones((8, 8), np.uint8))
    return folder


def test_datasets_come_together_and_stay_apart(tmp_path):
    """The one with a val/ gives it; the other, without, keeps nothing aside."""
    dataset(tmp_path / "fields" / "train", "ab")
    dataset(tmp_path / "fields" / "val", "c")
    dataset(tmp_path / "tiles", "ad")
    training, aside = find_splits([tmp_path / "fields", tmp_path / "tiles"], None, 1)
    assert [sample.name for sample in training] == ["fields/a", "fields/b", "tiles/a", "tiles/d"]
    assert [sample.name for sample in aside] == ["fields/c"]
    assert [sample.modality for sample in training] == ["fields", "fields", "tiles", "tiles"]
    assert len({sample.group for sample in training}) == 4


def test_without_any_val_each_keeps_a_tenth_aside(tmp_path):
    one, other = dataset(tmp_path / "one", "abcdefghij"), dataset(tmp_path / "other", "klmnopqrst")
    training, aside = find_splits([one, other], None, 1)
    assert len(training) == 18
    assert sorted(sample.modality for sample in aside) == ["one", "other"]


def test_a_validation_set_of_its_own_is_the_only_one(tmp_path):
    dataset(tmp_path / "fields" / "train", "ab")
    dataset(tmp_path / "fields" / "val", "c")
    training, aside = find_splits([tmp_path / "fields", dataset(tmp_path / "tiles", "d")],
                                  dataset(tmp_path / "held", "xy"), 1)  # fmt: skip
    assert len(training) == 3
    assert [sample.name for sample in aside] == ["x", "y"]


def test_one_dataset_is_taken_as_it_is(tmp_path):
    training, aside = find_splits([dataset(tmp_path / "one", "abcdefghij")], None, 1)
    assert {sample.name for sample in (*training, *aside)} == set("abcdefghij")
    with pytest.raises(DatasetError, match="not a folder"):
        find_splits([tmp_path / "none"], None, 1)
