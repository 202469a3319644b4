"""Training folders as people have them."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from napari_unetsharp.errors import DatasetError
from napari_unetsharp.training.samples import Sample, find_samples, find_split

BOWL = Path(__file__).parents[2] / "shared" / "data" / "dsb2018"


def picture(seed=0, shape=(12, 16)):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def instances(shape=(12, 16)):
    labels = np.zeros(shape, np.uint16)
    labels[1:4, 1:4], labels[6:9, 8:12] = 1, 300
    return labels


def flat(folder, names, labels_ending=".tif"):
    """images/ and labels/ with instance maps."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index, name in enumerate(names):
        imageio.imwrite(folder / "images" / f"{name}.png", picture(index))
        imageio.imwrite(folder / "labels" / f"{name}{labels_ending}", instances())
    return folder


def bowl(folder, names):
    """ID/images and ID/masks, a mask per nucleus, colours with transparency."""
    for index, name in enumerate(names):
        for part in ("images", "masks"):
            (folder / name / part).mkdir(parents=True)
        imageio.imwrite(folder / name / "images" / f"{name}.png", picture(index, (12, 16, 4)))
        for label in np.unique(instances())[1:]:
            mask = (instances() == label).astype(np.uint8) * 255
            imageio.imwrite(folder / name / "masks" / f"m{label}.png", mask)
    return folder


def names(samples):
    return [sample.name for sample in samples]


# Layouts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_images_and_instance_maps(ending, tmp_path):
    samples = find_samples(flat(tmp_path, ["b", "a", "c"], ending))
    assert names(samples) == ["a", "b", "c"]
    pixels, labels = samples[1].read(3)
    assert (pixels.shape, pixels.dtype) == ((12, 16, 3), np.uint8)
    np.testing.assert_array_equal(pixels, np.repeat(picture(0)[..., None], 3, axis=2))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, instances())


def test_the_data_science_bowl_as_it_comes(tmp_path):
    samples = find_samples(bowl(tmp_path, ["two", "one"]))
    assert names(samples) == ["one", "two"]
    pixels, labels = samples[0].read(3)
    np.testing.assert_array_equal(pixels, picture(1, (12, 16, 4))[..., :3])
    np.testing.assert_array_equal(labels > 0, instances() > 0)
    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize("make", [flat, bowl])
def test_a_folder_with_train_and_val(make, tmp_path):
    make(tmp_path / "train", ["a", "b"])
    make(tmp_path / "val", ["c"])
    training, validation = find_split(tmp_path, None, seed=1)
    assert (names(training), names(validation)) == (["a", "b"], ["c"])


def test_a_validation_set_of_its_own_goes_first(tmp_path):
    flat(tmp_path / "data" / "train", ["a", "b"])
    flat(tmp_path / "data" / "val", ["c"])
    bowl(tmp_path / "other", ["d"])
    training, validation = find_split(tmp_path / "data", tmp_path / "other", seed=1)
    assert (names(training), names(validation)) == (["a", "b"], ["d"])


def test_train_alone_gives_a_tenth(tmp_path):
    flat(tmp_path / "train", [f"i{index:02}" for index in range(30)])
    training, validation = find_split(tmp_path, None, seed=1)
    assert (len(training), len(validation)) == (27, 3)


@pytest.mark.skipif(not BOWL.is_dir(), reason="the Bowl's images lie in shared/, which is not here")
def test_the_shared_bowl():
    training, validation = find_split(BOWL, None, seed=1)
    assert (len(training), len(validation)) == (468, 98)
    assert not {s.group for s in training} & {s.group for s in validation}
    assert "fluorescence" in {s.modality for s in training}
    pixels, labels = validation[0].read(1)
    assert pixels.shape == (*labels.shape, 1)
    assert labels.max() > 1


# Splitting ---------------------------------------------------------------------------------------------


def grouped(folder, count=24, each=4, mark=""):
    flat(folder, [f"i{index:02}" for index in range(count)])
    rows = [f"i{index:02},g{index // each},{'dark' if index % 2 else 'bright'}" for index in range(count)]
    text = "\n".join([f"{mark}id,group,modality", *rows])
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "from Excel"])
@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_split(seed, mark, tmp_path):
    training, validation = find_split(grouped(tmp_path, mark=mark), None, seed)
    assert sorted(names(training) + names(validation)) == [f"i{index:02}" for index in range(24)]
    assert not {s.group for s in training} & {s.group for s in validation}
    assert {s.group for s in validation} < {f"g{index}" for index in range(6)}
    assert len(validation) == 4
    assert {s.modality for s in training} == {"bright", "dark"}


def test_the_same_seed_splits_the_same_way_and_another_differently(tmp_path):
    flat(tmp_path, [f"i{index:02}" for index in range(30)])
    aside = [tuple(names(find_split(tmp_path, None, seed)[1])) for seed in (1, 1, 2, 3)]
    assert aside[0] == aside[1]
    assert len(set(aside)) > 1


def test_two_images_are_enough_and_one_is_not(tmp_path):
    flat(tmp_path / "two", ["a", "b"])
    training, validation = find_split(tmp_path / "two", None, 1)
    assert (len(training), len(validation)) == (1, 1)
    with pytest.raises(DatasetError, match="--validation"):
        find_split(flat(tmp_path / "one", ["a"]), None, 1)
    with pytest.raises(DatasetError, match="one group"):
        find_split(grouped(tmp_path / "group", 4), None, 1)


# The manifest ------------------------------------------------------------------------------------------


def test_the_manifest_may_lie_one_folder_up_also_from_inside(tmp_path, monkeypatch):
    flat(tmp_path / "train", ["a", "b"])
    (tmp_path / "manifest.csv").write_text("id,modality,group\na,dark,g\nb,,\nz,bright,g\n")
    for dataset in (tmp_path / "train", "."):
        if dataset == ".":
            monkeypatch.chdir(tmp_path / "train")
        samples = find_samples(dataset)
        assert [(s.modality, s.group) for s in samples] == [("dark", "g"), ("all", "b")]


def test_a_manifest_of_something_else_is_no_harm(tmp_path):
    flat(tmp_path, ["a"])
    (tmp_path / "manifest.csv").write_text("file,size\na,3\n")
    assert [(s.modality, s.group) for s in find_samples(tmp_path)] == [("all", "a")]


# Errors ------------------------------------------------------------------------------------------------


def test_folders_that_hold_no_dataset(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(DatasetError, match="is not a folder"):
            find_samples(folder)
    with pytest.raises(DatasetError, match="images/"):
        find_samples(tmp_path / "empty")
    with pytest.raises(DatasetError, match="images/"):
        find_samples(flat(tmp_path / "bare", []))


def test_images_without_labels_are_named(tmp_path):
    flat(tmp_path, ["a", "b", "c"])
    (tmp_path / "labels" / "b.tif").unlink()
    with pytest.raises(DatasetError, match=r"b\.png \(1 in all\)"):
        find_samples(tmp_path)


def test_a_bowl_sample_without_masks_is_named(tmp_path):
    bowl(tmp_path, ["a"])
    for mask in (tmp_path / "a" / "masks").iterdir():
        mask.unlink()
    with pytest.raises(DatasetError, match="mask per nucleus"):
        find_samples(tmp_path)


def test_other_files_are_passed_over(tmp_path):
    flat(tmp_path, ["a"])
    (tmp_path / "images" / "Thumbs.db").touch()
    (tmp_path / "labels" / "notes.txt").touch()
    assert names(find_samples(tmp_path)) == ["a"]


def write(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


def test_what_cant_be_read_names_its_sample(tmp_path):
    image = write(tmp_path / "i.tif", picture())
    good = write(tmp_path / "l.tif", instances())
    (tmp_path / "broken.tif").write_bytes(image.read_bytes()[:40])
    nan = write(tmp_path / "nan.tif", np.full((12, 16), np.nan, np.float32))
    small = write(tmp_path / "small.tif", instances()[:6])
    stack = write(tmp_path / "stack.tif", np.stack([instances()] * 3))
    cases = [
        (Sample("one", tmp_path / "gone.tif", (good,), "g"), "is not a file"),
        (Sample("two", tmp_path / "broken.tif", (good,), "g"), "can't be read"),
        (Sample("three", nan, (good,), "g"), "NaN"),
        (Sample("four", image, (small,), "g"), r"\(12, 16\).*\(6, 16\)"),
        (Sample("five", image, (stack,), "g"), "single planes"),
        (Sample("six", image, (good, small), "g"), "differ in size"),
    ]
    for sample, reason in cases:
        with pytest.raises(DatasetError, match=reason):
            sample.read(3)


def test_channels_are_made_to_fit(tmp_path):
    colours = picture(1, (12, 16, 3))
    imageio.imwrite(tmp_path / "c.png", colours)
    sample = Sample("c", tmp_path / "c.png", (write(tmp_path / "l.tif", instances()),), "g")
    assert sample.read(3)[0].shape == (12, 16, 3)
    grey = sample.read(1)[0]
    assert grey.shape == (12, 16, 1)
    assert np.abs(grey[..., 0] - colours.mean(-1)).max() <= 1
