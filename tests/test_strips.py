"""The grid evaluated in small rectangles is the network: every branch, odd sizes, tiles, every form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import immunohistochemistry
from small_networks import one_thread, seeded  # noqa: F401
from test_unet_sharp import drawn, picture, plain, relative
from torch import nn

from napari_unetsharp import network as network_package
from napari_unetsharp.inference.engine import HALF_TOLERANCE, Engine
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.network.folding import folded
from napari_unetsharp.network.forms import StripForm
from napari_unetsharp.network.grid import BRANCHES, NODES, branches_of_level, nodes_of_level
from napari_unetsharp.network.needed import needed_nodes
from napari_unetsharp.network.strips import StripPass
from napari_unetsharp.network.unet_sharp import UNetSharpConfig
from napari_unetsharp.network.upconv import Window

SHIPPED = Path(network_package.__file__).parents[1] / "models" / "nuclei.safetensors"
TINY = (3, 4, 5, 6, 7)
forms = st.builds(StripForm, st.sampled_from([16, 32, 64]), st.sampled_from([64, 128]), st.booleans())


def strips(network, dtype=torch.float32, form=StripForm(32, 128, True)):  # noqa: B008
    return StripPass(folded(network), dtype, form)


def all_of(network):
    return tuple(network.heads)


@st.composite
def cases(draw):
    """A network, a picture of any size in steps of 16, whole or part of a larger one, and a form."""
    config = UNetSharpConfig(
        draw(st.integers(1, 4)), draw(st.integers(1, 2)), TINY, draw(st.sampled_from(["concat", "conv"])),
        level=draw(st.integers(1, 4)),
    )  # fmt: skip
    spans = []
    for _ in range(2):
        length = 16 * draw(st.integers(1, 11))
        before, after = (16 * draw(st.integers(0, 5)) for _ in range(2))
        spans.append((before, length, before + length + after))
    (top, height, tall), (left, width, wide) = spans
    return config, Window(top, left, height, width, tall, wide), draw(forms), draw(st.integers(0, 99))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(cases())
def test_every_branch_is_that_of_the_network(case):
    config, window, form, seed = case
    network = drawn(config, seed)
    image = picture(seed, 1, config.in_channels, window.height, window.width)
    with torch.inference_mode():
        wanted = network(image, window=window)
        found = strips(network, form=form).logits(image, window, all_of(network))
    assert list(found) == list(branches_of_level(config.level))
    for name, logits in found.items():
        assert logits.shape == wanted[name].shape
        assert relative(logits, wanted[name]) < 1e-5, name


@pytest.mark.parametrize("full_scale", ["concat", "conv"])
@pytest.mark.parametrize("shape", [(1, 3, 304, 80), (1, 3, 16, 592)])
def test_every_branch_is_that_of_a_plain_network(full_scale, shape):
    """Several rectangles in each direction, the last of them shorter."""
    network, image = drawn(UNetSharpConfig(widths=TINY, full_scale=full_scale)), picture(3, *shape)
    with torch.inference_mode():
        found = strips(network).logits(image, Window.whole(*shape[2:]), all_of(network))
        wanted = plain(network.state_dict(), image, full_scale)
    assert max(relative(found[name], wanted[name]) for name in wanted) < 1e-5


def test_at_the_published_widths():
    network, image = drawn(UNetSharpConfig(), 4), picture(5, 1, 3, 80, 112)
    with torch.inference_mode():
        found = strips(network).logits(image, Window.whole(80, 112), all_of(network))
        wanted = plain(network.state_dict(), image)
    assert max(relative(found[name], wanted[name]) for name in wanted) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_shallower_level_gives_the_same_bits(dtype):
    network, image = drawn(UNetSharpConfig(widths=TINY)), picture(6, 1, 3, 96, 144).to(dtype)
    window, task = Window.whole(96, 144), strips(network, dtype)
    with torch.inference_mode():
        full = task.logits(image, window, all_of(network))
        full = {name: logits.clone() for name, logits in full.items()}
        for name in BRANCHES:
            alone = strips(network, dtype).logits(image, window, (name,))
            assert torch.equal(alone[name], full[name]), name


def test_a_pass_leaves_no_trace_in_the_next():
    """Maps stay in memory from tile to tile: other sizes, and values that are no numbers, must not show."""
    network = drawn(UNetSharpConfig(widths=TINY))
    used, window = strips(network), Window.whole(96, 80)
    image = picture(7, 1, 3, 96, 80)
    with torch.inference_mode():
        used.logits(picture(8, 1, 3, 160, 176), Window.whole(160, 176), all_of(network))
        used.logits(torch.full_like(image, torch.nan), window, all_of(network))
    found = used.logits(image, window, all_of(network))  # outside of inference_mode too
    with torch.inference_mode():
        fresh = strips(network).logits(image, window, all_of(network))
    assert all(torch.equal(found[name], fresh[name]) for name in fresh)


@pytest.fixture
def threads():
    """Several threads for one test."""
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_of_threads_does_not_change_a_bit(threads, dtype):
    network, image = drawn(UNetSharpConfig(widths=TINY)), picture(12, 1, 3, 176, 208).to(dtype)
    window, task = Window.whole(176, 208), strips(network, dtype, StripForm(16, 64, True))
    found = task.logits(image, window, all_of(network))
    assert torch.get_num_threads() == threads
    found = {name: logits.clone() for name, logits in found.items()}
    torch.set_num_threads(1)
    alone = task.logits(image, window, all_of(network))
    assert all(torch.equal(alone[name], found[name]) for name in alone)


def test_an_error_in_one_thread_is_the_one_that_is_raised(threads, monkeypatch):
    network, image = drawn(UNetSharpConfig(widths=TINY)), picture(13, 1, 3, 176, 208)
    window, task = Window.whole(176, 208), strips(network, form=StripForm(16, 64, True))
    wanted = task.logits(image, window, ("x04",))["x04"].clone()
    real, calls = nn.functional.conv2d, []

    def convolve(*arguments, **options):
        calls.append(1)
        if len(calls) == 40:
            raise MemoryError("no room")
        return real(*arguments, **options)

    monkeypatch.setattr(nn.functional, "conv2d", convolve)
    with pytest.raises(MemoryError, match="no room"):
        task.logits(image, window, ("x04",))
    assert torch.get_num_threads() == threads
    assert torch.equal(task.logits(image, window, ("x04",))["x04"], wanted)


def test_half_precision_stays_near():
    """Bound: 8 bits of mantissa, some thirty roundings on the way; a probability moves by 0.01 on the mean."""
    checkpoint = seeded(immunohistochemistry()[:128, :160], 2, widths=(8, 8, 16, 16, 32))
    image, window = picture(9, 1, 3, 128, 160), Window.whole(128, 160)
    with torch.inference_mode():
        exact = strips(checkpoint.network).logits(image, window, tuple(BRANCHES))
        found = strips(checkpoint.network, torch.bfloat16).logits(image.bfloat16(), window, tuple(BRANCHES))
    for name, logits in found.items():
        assert logits.dtype == torch.bfloat16
        moved = (torch.sigmoid(logits.float()) - torch.sigmoid(exact[name])).abs()
        assert moved.mean() < 0.01, name


def test_half_precision_of_the_shipped_model_keeps_its_promise():
    network = load_checkpoint(SHIPPED).network
    pixels = (immunohistochemistry()[100:260, 100:292] / 255 - 0.5).astype(np.float32) * 4
    window, maps = Window.whole(160, 192), []
    for dtype in (torch.float32, torch.bfloat16):
        engine = Engine(network, choose_device("cpu"), dtype)
        with torch.inference_mode():
            maps.append(engine.logits(engine.tensor(pixels), window, tuple(BRANCHES)))
    for name in BRANCHES:
        exact, found = (torch.sigmoid(logits[name]) for logits in maps)
        assert exact.amax() > 0.4
        assert (found - exact).abs().max() <= HALF_TOLERANCE


# Folding, and only what is needed ------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"full_scale": "conv", "classes": 2}, {"guided": True, "in_channels": 1}])
def test_a_folded_network_is_the_same_function(settings):
    network = drawn(UNetSharpConfig(widths=TINY, **settings))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    copied, image = folded(network), picture(10, 1, network.config.in_channels, 48, 64)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copied.modules())
    with torch.inference_mode():
        found, wanted = copied(image), network(image)
    assert all(relative(found[name], wanted[name]) < 1e-5 for name in wanted)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_level_needs_all_of_its_nodes(level):
    assert needed_nodes((f"x0{level}",)) == nodes_of_level(level)


@given(st.sets(st.sampled_from(sorted(NODES)), min_size=1))
def test_what_is_needed_is_closed_and_in_order(names):
    found = needed_nodes(names)
    assert names <= set(found)
    for place, name in enumerate(found):
        assert {link.source for link in NODES[name].inputs} <= set(found[:place])
    # nothing could be left out: each is wanted or read by one that is there
    read = {link.source for name in found for link in NODES[name].inputs}
    assert set(found) == names | read


def test_a_view_nobody_wants_costs_nothing(monkeypatch):
    """Counted in convolutions: x40 alone needs the encoder, ten of them, and its head."""
    checkpoint = seeded(immunohistochemistry()[:64, :64], 3)
    counted, real = [], nn.functional.conv2d

    def convolve(*arguments, **options):
        counted.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(nn.functional, "conv2d", convolve)
    Predictor(checkpoint, "cpu", branches=("x40",)).predict(np.zeros((16, 16, 3), np.uint8), nucleus_size=1.0)
    assert len(counted) == 11


def test_what_a_network_computes_of_some_nodes_is_what_it_computes_of_all():
    network, image = drawn(UNetSharpConfig(widths=TINY)), picture(11, 1, 3, 48, 32)
    with torch.inference_mode():
        some, every = network.maps_for(("x12", "x30"), image), network.features(image)
    assert tuple(some) == needed_nodes(("x12", "x30"))
    assert all(torch.equal(some[name], every[name]) for name in some)


def test_precision_is_part_of_what_makes_a_result():
    checkpoint = seeded(immunohistochemistry()[:64, :64], 3)
    with pytest.raises(Exception, match="precision is one of"):
        Predictor(checkpoint, "cpu", precision="double")
    exact, found = (Predictor(replace(checkpoint), "cpu", precision=wish) for wish in ("float32", "auto"))
    assert (exact.options == found.options) == (exact.means.dtype == found.means.dtype)
