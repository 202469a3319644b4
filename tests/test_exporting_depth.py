"""A depth cut out of a model keeps its views to the last bit, and says where it comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_networks import one_thread, seeded  # noqa: F401

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.exporting.depth import cut, licence_of, views
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.network.checkpoint import Checkpoint, file_hash, load_checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp

GREY, _ = draw_fluorescence(3, 64, 96, 8)
PICTURE = np.repeat(GREY[..., None], 3, axis=2)
VIEWS = {1: 1, 2: 2, 3: 3, 4: 8}


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("settings", [{}, {"full_scale": "conv", "guided": True, "extras": ("core", "border")}])
def test_every_view_of_the_depth_is_the_same_to_the_last_bit(level, settings):
    whole = seeded(PICTURE, **settings)
    part = cut(whole, level)
    image = torch.randn(2, 3, 48, 80)
    with torch.inference_mode():
        wanted, found = whole.network(image, level), part.network(image)
        assert len(found) == VIEWS[level]
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
        presence = part.network.presence_logits(part.network.features(image), level)
    assert set(presence) == (set(found) if whole.config.guided else set())


@pytest.mark.parametrize("level", [1, 2, 3])
def test_nothing_deeper_is_left(level):
    part = cut(seeded(PICTURE, guided=True, full_scale="conv"), level)
    fresh = UNetSharp(part.config)
    assert {key: value.shape for key, value in part.network.state_dict().items()} == {
        key: value.shape for key, value in fresh.state_dict().items()
    }


def test_the_original_stays():
    whole = seeded(PICTURE)
    before = list(whole.network.state_dict())
    cut(whole, 1)
    assert list(whole.network.state_dict()) == before
    assert whole.config.level == 4
    assert whole.metadata.recipe == {}


def test_where_it_comes_from_is_kept(tmp_path):
    told = CheckpointMetadata(
        "mine", nucleus_size=17.0, pixel_size=0.25, crop=96, history=[{"epoch": 1}], parent="b" * 64,
        class_names=("nucleus",), recipe={"licence": "CC-BY-4.0", "seed": 3},
    )  # fmt: skip
    Checkpoint(seeded(PICTURE).network, told).save(tmp_path / "mine.safetensors")
    whole = load_checkpoint(tmp_path / "mine.safetensors")
    metadata = cut(whole, 2).metadata
    assert metadata.name == "mine-L2"
    assert metadata.parent == file_hash(tmp_path / "mine.safetensors")
    assert metadata.recipe["cut_from"]["parent"] == "b" * 64
    assert metadata.recipe["seed"] == 3
    assert licence_of(metadata) == "CC-BY-4.0"
    for name in ("nucleus_size", "pixel_size", "crop", "history", "intensity", "class_names", "metrics"):
        assert getattr(metadata, name) == getattr(whole.metadata, name), name


def test_the_shipped_model_has_the_licence_of_the_project_and_others_have_none():
    shipped = load_checkpoint("nuclei")
    assert licence_of(shipped.metadata) == "MIT"
    assert licence_of(cut(shipped, 1).metadata) == "MIT"
    assert licence_of(seeded(PICTURE).metadata) == ""


@pytest.mark.parametrize(("settings", "level", "there"), [
    ({"level": 2}, 3, "depth 1, 2"), ({"deep_supervision": False}, 2, "depth 4"), ({}, 5, "depth 1, 2, 3, 4"),
])  # fmt: skip
def test_a_depth_that_is_not_there_is_refused_with_those_that_are(settings, level, there):
    with pytest.raises(SettingsError, match=there):
        views(seeded(PICTURE, **settings), level)
