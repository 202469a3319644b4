"""Batches: seeded per crop, balanced, brought to one nucleus size; and starting from another checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from small_networks import SMALL, one_thread, seeded  # noqa: F401

from napari_unetsharp.errors import TrainingError
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.training.crops import Crops, shares
from napari_unetsharp.training.looks import as_stain, empty_crop
from napari_unetsharp.training.recipe import Recipe
from napari_unetsharp.training.samples import Sample, find_samples
from napari_unetsharp.training.start import begin_with

EXTRAS = ("core", "border")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for seed in range(3):
        picture, labels = draw_fluorescence(seed, 160, 160, 20)
        if seed == 2:  # the same nuclei twice as large
            picture, labels = (np.kron(values, np.ones((2, 2), values.dtype)) for values in (picture, labels))
        tifffile.imwrite(folder / "images" / f"{seed}.tif", picture)
        tifffile.imwrite(folder / "labels" / f"{seed}.tif", labels.astype(np.uint16))
    return find_samples(folder)


def crops(samples, **settings):
    recipe = Recipe(**{"crop": 64, "batch": 3, "nucleus_size": 20.0, "extras": EXTRAS} | settings)
    return Crops(samples, 3, recipe, CheckpointMetadata())


def test_batches_have_their_shapes_and_come_again(samples):
    source = crops(samples)
    first, again = ([(image.clone(), truth.clone()) for image, truth in source.batches((1, 0), 4)] for _ in range(2))
    assert len(first) == 4
    for (image, truth), (image_again, truth_again) in zip(first, again, strict=True):
        assert image.shape == (3, 3, 64, 64)
        assert truth.shape == (3, 3, 64, 64)
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(image, image_again)
        assert torch.equal(truth, truth_again)
    other = next(iter(source.batches((1, 1), 1)))[0]
    assert not torch.equal(first[0][0], other)


def test_a_crop_does_not_depend_on_its_batch(samples):
    source = crops(samples)
    _, (image, truth) = list(source.batches((7,), 2))
    pixels, answer = source.crop((7, 1, 2))
    np.testing.assert_array_equal(image[2].permute(1, 2, 0), pixels)
    np.testing.assert_array_equal(truth[2], answer)


def test_images_are_brought_to_one_nucleus_size(samples):
    source = crops(samples, smallest=1.0, largest=1.0)
    one, _, doubled = source.magnifications
    assert doubled == pytest.approx(1.0 * source.magnifications[2])
    diameters = [
        float(np.median(np.sqrt(4 / np.pi * np.bincount(labels.ravel())[1:]))) for _, labels in source.pictures
    ]
    for diameter, factor in zip(diameters, source.magnifications, strict=True):
        assert diameter * factor == pytest.approx(20, rel=0.02)
    assert one > 1.5 * doubled
    assert crops(samples, nucleus_size=0.0).magnifications == [1.0] * 3


def test_empty_crops_teach_that_there_is_nothing(samples):
    source = crops(samples, empty=0.99)
    truths = [source.crop((3, place))[1] for place in range(40)]
    assert sum(not truth.any() for truth in truths) >= 36
    picture = np.repeat(source.pictures[0][0][..., :1], 3, 2)
    drawn = empty_crop(picture, source.pictures[0][1], 48, np.random.default_rng(0))
    assert drawn.shape == (48, 48, 3)
    assert np.isfinite(drawn).all()
    full = np.ones(picture.shape[:2], np.int32)
    assert np.isfinite(empty_crop(picture, full, 48, np.random.default_rng(0))).all()


def test_fluorescence_as_stain_is_dark_on_bright():
    light = np.zeros((40, 40, 3), np.float32)
    light[10:30, 10:30] = 0.8
    for seed in range(10):
        stained = as_stain(light, np.random.default_rng(seed))
        assert stained[0, 0].min() > 0.7
        assert stained[20, 20].mean() < stained[0, 0].mean() - 0.1
        assert stained[20, 20, 2] > stained[20, 20, 1]  # haematoxylin is bluish


def test_balance_raises_what_is_rare():
    def sample(index, modality):
        return Sample(str(index), Path(), (), str(index), modality)

    unequal = [*(sample(index, "many") for index in range(90)), *(sample(index, "few") for index in range(10))]
    for balance, wanted in ((1.0, 0.1), (0.5, 0.25), (0.0, 0.5)):
        drawn = shares(unequal, balance)
        assert drawn.sum() == pytest.approx(1)
        assert drawn[90:].sum() == pytest.approx(wanted)


# Starting from another checkpoint ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def parent():
    return seeded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), 5)


def test_a_network_begins_with_what_its_parent_knows(parent):
    torch.manual_seed(9)
    network = UNetSharp(UNetSharpConfig(widths=SMALL, extras=EXTRAS, guided=True)).eval()
    begin_with(network, parent)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours, theirs = network(image), parent.network(image)
    for name, logits in theirs.items():
        torch.testing.assert_close(ours[name][:, :1], logits)
        assert ours[name].shape[1] == 3


def test_a_shallower_network_begins_with_its_part(parent):
    network = UNetSharp(UNetSharpConfig(widths=SMALL, level=2)).eval()
    begin_with(network, parent)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(network(image)["x02"], parent.network(image, 2)["x02"])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"widths": (4, 8, 8, 16, 32)}, "widths"),
        ({"in_channels": 1}, "in_channels"),
        ({"full_scale": "conv"}, "full_scale"),
    ],
)
def test_another_network_is_no_start(parent, other, words):
    network = UNetSharp(UNetSharpConfig(**{"widths": SMALL} | other))
    with pytest.raises(TrainingError, match=words):
        begin_with(network, parent)


def test_a_pruned_parent_can_not_fill_a_deeper_network(parent):
    shallow = replace(parent, network=UNetSharp(UNetSharpConfig(widths=SMALL, level=2)))
    with pytest.raises(TrainingError, match="depth"):
        begin_with(UNetSharp(UNetSharpConfig(widths=SMALL)), shallow)
