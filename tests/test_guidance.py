"""Gates: no target, no probability; and the tiling doesn't matter."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from small_networks import PLAIN, one_thread, seeded, seeing_brightness  # noqa: F401
from torch import nn

from napari_unetsharp.inference.guidance import presence_gates
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import Region, plan_tiles, read_window
from napari_unetsharp.network.grid import BRANCHES


def cpu(checkpoint, **settings):
    return Predictor(checkpoint, "cpu", **settings)


def reading(plane):
    return partial(read_window, plane)


@pytest.fixture
def picture():
    """A bright corner, and far from it one bright pixel, which modules take for nothing."""
    grey = np.full((116, 150), 10, np.uint8)
    grey[:56, :56] = 255
    grey[100, 130] = 255
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


@pytest.fixture
def checkpoint():
    """Windows of 32 px; a target is where more than a third of one is bright."""
    return seeing_brightness(guided_from=0.34)


def test_no_target_no_probability(checkpoint, picture):
    plain, gated = (cpu(checkpoint, guided=guided).predict(picture) for guided in (False, True))
    for name in BRANCHES:
        assert plain.full[name][90:, 120:].max() > 0.5
        assert gated.full[name][90:, 120:].max() == 0  # a logit times 0 would be 0.5
        np.testing.assert_array_equal(gated.full[name][:30, :30], plain.full[name][:30, :30])
        assert plain.full[name][:30, :30].min() > 0.9
        assert (gated.full[name] <= plain.full[name]).all()


def test_coarse_maps_are_gated_alike_so_that_nothing_is_doubted(checkpoint, picture):
    doubt = cpu(checkpoint, guided=True).predict(picture).doubt
    assert doubt[90:, 120:].max() == 0
    assert doubt[:30, :30].max() < 0.01


def test_modules_that_always_say_yes_change_nothing(picture):
    checkpoint = seeing_brightness(guided_from=-1.0)
    plain, gated = (cpu(checkpoint, guided=guided).predict(picture) for guided in (False, True))
    for name in BRANCHES:
        np.testing.assert_array_equal(gated.full[name], plain.full[name])


def test_each_branch_has_its_own_gate(picture):
    checkpoint = seeing_brightness(guided_from=-1.0)
    with torch.no_grad():
        checkpoint.network.guides["x22"].layers[-1].bias[:] = torch.tensor([99.0, -99.0])
    plain, gated = (cpu(checkpoint, guided=guided).predict(picture) for guided in (False, True))
    for name in BRANCHES:
        if name == "x22":
            assert not gated.full[name].any()
        else:
            np.testing.assert_array_equal(gated.full[name], plain.full[name])


@pytest.mark.parametrize(("level", "tile"), [(4, 208), (3, 144), (1, 80)])
def test_the_tile_size_does_not_matter(checkpoint, picture, level, tile):
    picture = np.pad(picture, ((0, 0), (0, 90), (0, 0)))
    whole, tiled = (cpu(checkpoint, level=level, guided=True, tile=side).predict(picture) for side in (1024, tile))
    assert len(plan_tiles(picture.shape[:2], None, level, tile)) > 1
    for name, values in whole.full.items():
        assert 0 < np.count_nonzero(values) < values.size
        np.testing.assert_allclose(tiled.full[name].astype(float), values.astype(float), atol=1e-3)


def test_nor_with_drawn_weights():
    picture = np.random.default_rng(0).integers(0, 256, (90, 240, 3), dtype=np.uint8)
    picture[:, 120:] //= 3
    checkpoint = seeded(picture, guided=True, intensity=PLAIN, level=2)
    network = checkpoint.network
    crops = [picture[:32, left : left + 32] / np.float32(255) for left in range(0, 224, 32)]
    with torch.no_grad():  # half of the crops are "target"
        maps = network.features(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2))
        for name, logits in network.presence_logits(maps, 2).items():
            network.guides[name].layers[-1].bias[0] += (logits[:, 1] - logits[:, 0]).median()
    whole, tiled = (cpu(checkpoint, guided=True, level=2, tile=tile).predict(picture) for tile in (1024, 96))
    for name, values in whole.full.items():
        assert 0 < np.count_nonzero(values) < values.size
        np.testing.assert_allclose(tiled.full[name].astype(float), values.astype(float), atol=0.01)


def test_gates_of_a_region_are_those_of_the_whole(checkpoint, picture):
    region = Region(30, 10, 60, 70)
    whole = cpu(checkpoint, guided=True).predict(picture)
    part = cpu(checkpoint, guided=True).predict(picture, region)
    for name, values in part.full.items():
        np.testing.assert_allclose(
            values[region.slices].astype(float), whole.full[name][region.slices].astype(float), atol=1e-3
        )


@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (33, 16), (64, 90)])
@pytest.mark.parametrize("present", [0, 1])
def test_gates_cover_every_pixel(shape, present):
    plane = np.zeros((*shape, 3), np.uint8)
    sides = set()

    def run(pixels):
        sides.add(pixels.shape)
        return {"x01": bool(present)}

    gates = presence_gates(run, reading(plane), shape, 32, plan_tiles(shape))
    np.testing.assert_allclose(gates.maps["x01"], np.full(shape, present), atol=1e-6)
    (side,) = sides
    assert side == (min(32, -(-max(shape) // 16) * 16),) * 2 + (3,)


def test_windows_have_the_crop_of_the_training_at_half_stride():
    plane = np.arange(96 * 64, dtype=np.float32).reshape(96, 64, 1)
    seen = []

    def run(pixels):
        seen.append(pixels[..., 0])
        return {"x01": True}

    presence_gates(run, reading(plane), (96, 64), 32, plan_tiles((96, 64)))
    corners = {int(window[0, 0]) for window in seen if np.all(np.diff(window, axis=1) == 1)}
    inside = {64 * top + left for top in range(0, 80, 16) for left in range(0, 48, 16)}
    assert inside <= corners
    assert {window.shape for window in seen} == {(32, 32)}


def test_only_windows_that_matter_are_asked(checkpoint, picture, monkeypatch):
    """A region doesn't cost the whole image."""
    asked = []
    real = nn.Linear.forward

    def forward(self, features):
        asked.append(1)
        return real(self, features)

    monkeypatch.setattr(nn.Linear, "forward", forward)
    cpu(checkpoint, guided=True).predict(picture)
    whole = len(asked)
    asked.clear()
    cpu(checkpoint, guided=True).predict(picture, Region(0, 0, 32, 32))
    assert 0 < len(asked) < whole / 3
