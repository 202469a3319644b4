"""The classification-guided modules: their layers, their arithmetic, batches of one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_unetsharp.network.classification import GuidedModule, guided_modules
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig

SMALL = (4, 6, 8, 10, 12)


def drawn(module, seed=0):
    """Every weight and statistic drawn."""
    rng = np.random.default_rng(seed)
    state = {
        key: torch.from_numpy(
            rng.uniform(0.5, 1.5, value.shape) if "var" in key else rng.normal(0, 0.5, value.shape)
        ).float()
        if value.is_floating_point()
        else value
        for key, value in module.state_dict().items()
    }
    module.load_state_dict(state)
    return module


def features(channels, batch=3, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, channels, 4, 5)).astype(np.float32))


def by_hand(state, maps, hidden):
    """Pools, then BatchNorm and Linear from their definitions, in float64."""

    def normed(x, place):
        mean, variance, gain, shift = (
            state[f"layers.{place}.{part}"].double().numpy()
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gain + shift

    def linear(x, place):
        return x @ state[f"layers.{place}.weight"].double().numpy().T + state[f"layers.{place}.bias"].double().numpy()

    x = maps.double().numpy()
    x = np.concatenate([x.mean((2, 3)), x.max((2, 3))], axis=1)
    if hidden:
        x = np.maximum(linear(normed(x, 0), 2), 0)
        return linear(normed(x, 4), 6)
    return linear(normed(x, 0), 2)


@pytest.mark.parametrize("hidden", [True, False])
def test_the_arithmetic_of_the_paper(hidden):
    module, maps = drawn(GuidedModule(5, hidden)).eval(), features(5)
    found = module(maps).detach().numpy()
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found, by_hand(module.state_dict(), maps, hidden), rtol=1e-4, atol=1e-5)


def test_logits_may_be_negative():
    """The ReLU that the text repeats after the last layer would clip the softmax."""
    module = drawn(GuidedModule(5, False)).eval()
    assert module(features(5, batch=64)).min() < 0


def test_two_branches_have_a_hidden_layer():
    modules = guided_modules(SMALL)
    assert list(modules) == list(BRANCHES)
    widths = dict(zip(("x40", "x31", "x22", "x13"), (12, 10, 8, 6), strict=True)) | {
        f"x0{level}": 4 for level in (1, 2, 3, 4)
    }
    for name, c in widths.items():
        plain = 2 * 2 * c + 2 * (2 * c) + 2
        deep = 2 * 2 * c + (2 * c * c + c) + 2 * c + (2 * c + 2)
        count = sum(parameter.numel() for parameter in modules[name].parameters())
        assert count == (deep if name in ("x40", "x31") else plain), name
        assert [m.p for m in modules[name].modules() if isinstance(m, nn.Dropout)] == [0.5] * (
            2 if name in ("x40", "x31") else 1
        )


@pytest.mark.parametrize("hidden", [True, False])
def test_a_batch_of_one_trains_on_the_running_statistics(hidden):
    module, maps = drawn(GuidedModule(5, hidden)).train(), features(5, batch=1)
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    before = {key: value.clone() for key, value in module.state_dict().items()}
    logits = module(maps)
    np.testing.assert_allclose(logits.detach(), by_hand(before, maps, hidden), rtol=1e-4, atol=1e-5)
    logits.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_a_larger_batch_trains_on_its_own_statistics():
    module = drawn(GuidedModule(5, False)).train()
    before = module.layers[0].running_mean.clone()
    module(features(5, batch=2))
    assert not torch.equal(module.layers[0].running_mean, before)


def test_dropout_drops_in_training_only():
    module, maps = drawn(GuidedModule(16, False)), features(16, batch=1)
    torch.manual_seed(3)
    module.train()
    assert len({float(module(maps)[0, 0].detach()) for _ in range(8)}) > 1
    module.eval()
    assert len({float(module(maps)[0, 0].detach()) for _ in range(8)}) == 1


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, set(BRANCHES)),
        ({"level": 2}, {"x01", "x02"}),
        ({"deep_supervision": False}, {"x04"}),
        ({"level": 3, "deep_supervision": False}, {"x03"}),
    ],
)
def test_there_is_one_per_branch_with_a_head(settings, names):
    network = UNetSharp(UNetSharpConfig(widths=SMALL, guided=True, **settings)).eval()
    level = network.config.level
    presence = network.presence_logits(network.features(torch.zeros(2, 3, 16, 32)), level)
    assert set(presence) == names
    assert {tuple(logits.shape) for logits in presence.values()} == {(2, 2)}


def test_a_network_without_them_has_none():
    network = UNetSharp(UNetSharpConfig(widths=SMALL)).eval()
    assert network.presence_logits(network.features(torch.zeros(1, 3, 16, 16)), 4) == {}
    assert not any(key.startswith("guides") for key in network.state_dict())


def test_a_whole_network_trains_on_one_image():
    torch.manual_seed(4)
    network = UNetSharp(UNetSharpConfig(widths=SMALL, guided=True)).train()
    maps = network.features(torch.randn(1, 3, 32, 32))
    total = sum(logits.sum() for logits in network.presence_logits(maps, 4).values())
    total.backward()
    assert torch.isfinite(network.nodes["x00"].conv1.weight.grad).all()
