"""A level cut out of the network gives what the whole network gives there, to the last bit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.network.pruning import prune
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig

SMALL = (4, 6, 8, 10, 12)
LEVELS = [1, 2, 3, 4]


def drawn(seed=0, **settings):
    """A network with drawn weights whose statistics have seen a batch."""
    torch.manual_seed(seed)
    network = UNetSharp(UNetSharpConfig(**{"widths": SMALL} | settings)).train()
    with torch.no_grad():
        maps = network.features(torch.randn(2, network.config.in_channels, 32, 32))
        network.presence_logits(maps, network.config.level)
    return network.eval()


def picture(*shape, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (2, 3, 16, 16), (1, 3, 160, 32)])
def test_the_same_bits(level, shape):
    network, image = drawn(), picture(*shape)
    with torch.inference_mode():
        pruned = prune(network, level)(image)
        assert set(pruned) == {f"x0{level}"}
        assert torch.equal(pruned[f"x0{level}"], network(image)[f"x0{level}"])


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_bits_at_full_width(level):
    network, image = drawn(widths=(32, 64, 128, 256, 512)), picture(1, 3, 48, 64)
    with torch.inference_mode():
        assert torch.equal(prune(network, level)(image)[f"x0{level}"], network(image)[f"x0{level}"])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("settings", [{"full_scale": "conv", "classes": 2}, {"guided": True, "in_channels": 1}])
def test_the_same_bits_in_every_form(level, settings):
    network = drawn(**settings)
    image = picture(2, network.config.in_channels, 32, 48)
    pruned, head = prune(network, level), f"x0{level}"
    with torch.inference_mode():
        maps, cut = network.features(image), pruned.features(image)
        assert torch.equal(pruned.head_logits(cut, level)[head], network.head_logits(maps, 4)[head])
        presence = pruned.presence_logits(cut, level)
        assert set(presence) == ({head} if network.config.guided else set())
        for name, logits in presence.items():
            assert torch.equal(logits, network.presence_logits(maps, 4)[name])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 3, 160, 32)])
def test_the_same_bits_in_the_same_memory_layout(level, shape):
    """Convolutions of channels-last weights round otherwise, so a copy must keep the layout."""
    network, image = drawn().to(memory_format=torch.channels_last), picture(*shape)
    with torch.inference_mode():
        assert torch.equal(prune(network, level)(image)[f"x0{level}"], network(image)[f"x0{level}"])


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_bits_while_training(level):
    network, image = drawn().train(), picture(2, 3, 32, 32)
    pruned = prune(network, level)
    with torch.no_grad():
        assert torch.equal(pruned(image)[f"x0{level}"], network(image)[f"x0{level}"])


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_type_stay(training):
    network = drawn().train(training).double()
    network.nodes["x00"].bn1.eval()  # a frozen part stays frozen
    pruned = prune(network, 2)
    assert pruned.training is training
    assert pruned.nodes["x00"].bn1.training is False
    assert pruned.nodes["x02"].bn1.training is training
    assert {p.dtype for p in pruned.parameters()} == {torch.float64}


def test_a_copy_the_original_stays():
    network = drawn()
    before = copy.deepcopy(network.state_dict())
    draws = torch.get_rng_state()
    pruned = prune(network, 2)
    assert torch.equal(torch.get_rng_state(), draws)
    with torch.no_grad():
        for parameter in pruned.parameters():
            parameter.zero_()
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("level", LEVELS)
def test_the_copy_has_the_weights_of_its_configuration(level):
    pruned = prune(drawn(full_scale="conv", guided=True), level)
    fresh = UNetSharp(pruned.config)
    assert pruned.config.level == level
    assert {key: v.shape for key, v in pruned.state_dict().items()} == {
        key: v.shape for key, v in fresh.state_dict().items()
    }


def test_pruning_twice_is_pruning_once():
    network, image = drawn(level=3), picture(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(prune(prune(network, 3), 3)(image)["x03"], prune(network, 3)(image)["x03"])
        assert torch.equal(prune(network, 2)(image)["x02"], network(image)["x02"])


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, 0),
        ({}, 5),
        ({"level": 2}, 3),
        ({"deep_supervision": False}, 2),
        ({"level": 2, "deep_supervision": False}, 1),
    ],
)
def test_a_level_without_its_head_is_refused_with_those_there_are(settings, level):
    network = UNetSharp(UNetSharpConfig(widths=SMALL, **settings))
    with pytest.raises(SettingsError, match=", ".join(network.heads)):
        prune(network, level)
