"""The network against the golden files and against a plain network written out here."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_unetsharp.errors import SettingsError, ShapeError
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.network.pruning import prune
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig, count_parameters, probabilities
from napari_unetsharp.network.upconv import Window

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files lie in shared/, which is not here")
SMALL = (4, 6, 8, 10, 12)
TOP, DEEP = ("x01", "x02", "x03", "x04"), ("x13", "x22", "x31", "x40")


def filled(shapes, seed):
    """The rule of golden/README.md."""
    state = {}
    for key, shape in shapes.items():
        rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
        if key.endswith("num_batches_tracked"):
            values = np.array(1, dtype=np.int64)
        elif key.endswith("running_var") or (".bn" in key and key.endswith("weight")):
            values = rng.uniform(0.5, 1.5, shape)
        elif key.endswith(("running_mean", "bias")):
            values = rng.normal(0, 0.1, shape)
        else:
            values = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        state[key] = torch.from_numpy(values if values.dtype == np.int64 else values.astype(np.float32))
    return state


def drawn(config, seed=0):
    """A network whose every weight and statistic is drawn."""
    network = UNetSharp(config)
    network.load_state_dict(filled({key: tuple(v.shape) for key, v in network.state_dict().items()}, seed))
    return network.eval()


def picture(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def plain(state, image, full_scale="concat"):
    """UNet# as the paper puts it: upsample, concatenate, convolve. Nothing of ours but the names of weights."""

    def layer(prefix, conv, norm, x):
        x = functional.conv2d(x, state[f"{prefix}.{conv}.weight"], state[f"{prefix}.{conv}.bias"], padding=1)
        mean, variance, gain, shift = (
            state[f"{prefix}.{norm}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return torch.relu((x - mean) / torch.sqrt(variance + 1e-5) * gain + shift)

    def larger(x, factor):
        size = (x.shape[-2] * factor, x.shape[-1] * factor)
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=True)

    x = {}
    for i in range(5):
        x[i, 0] = image if i == 0 else functional.max_pool2d(x[i - 1, 0], 2)
        x[i, 0] = layer(f"nodes.x{i}0", "conv2", "bn2", layer(f"nodes.x{i}0", "conv1", "bn1", x[i, 0]))
    for j in range(1, 5):
        for i in range(5 - j):
            read = [x[i, column] for column in range(j)]
            for k in range(1, j + 1):
                below = larger(x[i + k, j - k], 2**k)
                if full_scale == "conv" and k >= 2:
                    below = layer(f"links.x{i + k}{j - k}_x{i}{j}", "conv", "bn", below)
                read.append(below)
            first = layer(f"nodes.x{i}{j}", "conv1", "bn1", torch.cat(read, 1))
            x[i, j] = layer(f"nodes.x{i}{j}", "conv2", "bn2", first)
    return {
        name: functional.conv2d(
            x[int(name[1]), int(name[2])], state[f"heads.{name}.weight"], state[f"heads.{name}.bias"],
            padding=state[f"heads.{name}.weight"].shape[-1] // 2,
        )
        for name in (*TOP, *DEEP) if f"heads.{name}.weight" in state
    }  # fmt: skip


def relative(found, wanted):
    return float((found.double() - wanted.double()).abs().max() / wanted.double().abs().max())


# Counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "count"), [(1, 103_041), (2, 555_969), (3, 2_531_073), (4, 10_748_481)])
def test_parameters_of_the_paper_by_level(level, count):
    assert count_parameters(prune(UNetSharp(), level)) == count
    assert count_parameters(UNetSharp(UNetSharpConfig(level=level, deep_supervision=False))) == count


def test_parameters_with_eight_heads():
    assert count_parameters(UNetSharp()) == 10_757_224
    assert count_parameters(UNetSharp(UNetSharpConfig(full_scale="conv"))) == 11_072_104


@pytest.mark.parametrize("change", [{"in_channels": 1}, {"in_channels": 5}, {"classes": 4}])
def test_channels_and_classes_change_the_first_and_the_last_layers_only(change):
    config = UNetSharpConfig(widths=SMALL, **change)
    extra = 9 * SMALL[0] * (config.in_channels - 3)
    heads = 4 * (SMALL[0] + 1) + sum(9 * width + 1 for width in SMALL[1:])
    extra += (config.classes - 1) * heads
    assert count_parameters(UNetSharp(config)) == count_parameters(UNetSharp(UNetSharpConfig(widths=SMALL))) + extra


# Values ------------------------------------------------------------------------------------------------


@needs_golden
@pytest.mark.parametrize(
    ("layout", "golden", "branches"),
    [
        ("published_layout_deep_supervision.json", "deep_supervision_seed7.npz", (*TOP, *DEEP)),
        ("published_layout_plain.json", "plain_seed7.npz", ("x04",)),
    ],
)
def test_the_published_network_to_five_digits(layout, golden, branches, tmp_path):
    shapes = json.loads((GOLDEN / layout).read_text())
    torch.save(filled(shapes, 7), tmp_path / "published.pth")
    network = load_checkpoint(tmp_path / "published.pth").network
    with np.load(GOLDEN / golden) as file, torch.inference_mode():
        logits = network(torch.from_numpy(file["x"]))
        assert set(logits) == set(file) - {"x"} == set(branches)
        for name, found in logits.items():
            full = functional.interpolate(found, size=file["x"].shape[2:], mode="bilinear", align_corners=True)
            assert relative(full, torch.from_numpy(file[name])) < 1e-5, name


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (1, 3, 64, 96)),
        ({}, (2, 3, 16, 16)),
        ({"widths": SMALL, "in_channels": 1}, (1, 1, 160, 48)),
        ({"widths": SMALL, "in_channels": 4, "classes": 3}, (1, 4, 32, 544)),
        ({"widths": SMALL, "full_scale": "conv"}, (2, 3, 48, 80)),
        ({"widths": SMALL, "full_scale": "conv", "in_channels": 1}, (1, 1, 176, 32)),
        ({"widths": (3, 3, 3, 3, 3), "deep_supervision": False, "classes": 2}, (1, 3, 32, 32)),
        ({"widths": (8, 2, 6, 1, 5), "full_scale": "conv", "classes": 2}, (1, 3, 32, 144)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", [11, 12])
def test_the_same_as_a_plain_network(settings, shape, seed):
    config = UNetSharpConfig(**settings)
    network, image = drawn(config, seed), picture(seed, *shape)
    with torch.inference_mode():
        found, wanted = network(image), plain(network.state_dict(), image, config.full_scale)
    assert set(found) == set(wanted)
    for name in wanted:
        assert found[name].shape == wanted[name].shape
        assert relative(found[name], wanted[name]) < 1e-5, name


def test_channels_last_gives_the_same():
    network, image = drawn(UNetSharpConfig(widths=SMALL)), picture(1, 1, 3, 144, 32)
    with torch.inference_mode():
        wanted = network(image)
        found = network.to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last))
    assert max(relative(found[name], wanted[name]) for name in wanted) < 1e-5


def test_each_branch_comes_at_its_own_scale():
    logits = drawn(UNetSharpConfig(widths=SMALL, classes=2))(picture(2, 1, 3, 32, 64))
    scales = dict.fromkeys(TOP, 1) | {"x13": 2, "x22": 4, "x31": 8, "x40": 16}
    assert {name: tuple(x.shape) for name, x in logits.items()} == {
        name: (1, 2, 32 // scale, 64 // scale) for name, scale in scales.items()
    }


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_shallower_pass_gives_the_same_bits_for_what_it_gives(level):
    network, image = drawn(UNetSharpConfig(widths=SMALL)), picture(3, 1, 3, 64, 32)
    with torch.inference_mode():
        full, part = network(image), network(image, level=level)
    assert tuple(part) == TOP[:level]
    assert all(torch.equal(part[name], full[name]) for name in part)


def test_without_deep_supervision_there_is_one_branch():
    assert set(drawn(UNetSharpConfig(widths=SMALL, deep_supervision=False))(picture(4, 1, 3, 16, 16))) == {"x04"}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_level_by_itself_is_supervised_on_all_its_heads(level):
    network = drawn(UNetSharpConfig(widths=SMALL, level=level))
    assert tuple(network(picture(5, 1, 3, 16, 16))) == TOP[:level]


@pytest.mark.parametrize(("level", "margin", "limit"), [(1, 32, 1e-5), (2, 32, 1e-5), (4, 96, 1e-3)])
def test_a_tile_repeats_the_whole_image_inside_its_margin(level, margin, limit):
    network, image = drawn(UNetSharpConfig(widths=SMALL)), picture(6, 1, 3, 320, 352)
    window = Window(48, 80, 2 * margin + 48, 2 * margin + 32, 320, 352)
    part = image[..., window.top : window.top + window.height, window.left : window.left + window.width]
    with torch.inference_mode():
        whole, tile = network(image, level)[f"x0{level}"], network(part, level, window)[f"x0{level}"]
        alone = network(part, level)[f"x0{level}"]
    core = whole[..., 48 + margin : 96 + margin, 80 + margin : 112 + margin]
    inside = (..., slice(margin, margin + 48), slice(margin, margin + 32))
    assert relative(tile[inside], core) < limit < 10 * limit < relative(alone[inside], core)


# Training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full_scale", ["concat", "conv"])
def test_every_weight_learns_also_after_looking(full_scale):
    network = drawn(UNetSharpConfig(widths=SMALL, full_scale=full_scale, guided=True))
    image = picture(7, 2, 3, 208, 32)  # a size that no other test uses: tables are made under inference_mode
    with torch.inference_mode():
        network(image)
    network.train()
    maps = network.features(image)
    losses = [x.square().mean() for x in network.head_logits(maps, 4).values()]
    losses += [x.square().mean() for x in network.presence_logits(maps, 4).values()]
    torch.stack(losses).sum().backward()
    assert len(losses) == 16
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if parameter.ndim > 1:
            assert parameter.grad.abs().sum() > 0, name


def test_training_gradients_are_those_of_the_plain_network():
    network, image = drawn(UNetSharpConfig(widths=SMALL)), picture(8, 1, 3, 32, 48)
    keys = [key for key, _ in network.named_parameters()]

    def gradients(run, leaves):
        total = sum(x.square().mean() for x in run().values())
        return dict(zip(keys, torch.autograd.grad(total, leaves), strict=True))

    found = gradients(lambda: network(image), list(network.parameters()))
    state = {key: value.double().clone() if value.is_floating_point() else value
             for key, value in network.state_dict().items()}  # fmt: skip
    leaves = [state[key].requires_grad_() for key in keys]
    wanted = gradients(lambda: plain(state, image.double()), leaves)
    for key in keys:
        assert relative(found[key], wanted[key]) < 1e-4, key


def test_weights_begin_as_he_draws_them():
    torch.manual_seed(9)
    for name, weight in UNetSharp().state_dict().items():
        if ".conv" in name and name.endswith("weight"):
            expected = (2 / weight[0].numel()) ** 0.5
            assert float(weight.std()) == pytest.approx(expected, rel=0.15), name
            assert abs(float(weight.mean())) < 0.1 * expected, name


# Refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "named"), [((30, 32), "32 x 32"), ((100, 37), "96 x 32"), ((100, 37), "112 x 48"), ((7, 5), "16 x 16")]
)
def test_sides_that_dont_divide_are_refused_with_the_nearest_that_do(sides, named):
    network = UNetSharp(UNetSharpConfig(widths=SMALL))
    with pytest.raises(ShapeError, match=named) as refused:
        network(torch.zeros(1, 3, *sides))
    assert f"{sides[0]} x {sides[1]}" in str(refused.value)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 4, 32, 32), (3, 32, 32), (1, 3, 0, 16)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"got"):
        UNetSharp(UNetSharpConfig(widths=SMALL))(torch.zeros(*shape))


def test_a_deeper_level_than_the_network_has_is_refused():
    network = UNetSharp(UNetSharpConfig(widths=SMALL, level=2))
    with pytest.raises(SettingsError, match="1 to 2"):
        network(torch.zeros(1, 3, 16, 16), level=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"in_channels": 0}, {"in_channels": 1.5}, {"in_channels": "3"}, {"classes": -1}, {"classes": None},
        {"widths": (1, 2, 3, 4)}, {"widths": (1, 2, 3, 4, 0)}, {"widths": ["a"] * 5}, {"widths": 5},
        {"widths": [10**12] * 5}, {"in_channels": 10**30}, {"full_scale": "sum"}, {"level": 0}, {"level": 5},
        {"level": 2.0}, {"guided": "no"}, {"deep_supervision": 1}, {"depth": 5},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(SettingsError):
        UNetSharpConfig.from_dict(settings)


def test_settings_survive_json():
    config = UNetSharpConfig(2, 3, SMALL, "conv", False, True, 3)
    assert UNetSharpConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_probabilities_are_each_class_by_itself_in_float32():
    found = probabilities(torch.tensor([-200.0, 0.0, 200.0, 2.0], dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([0, 0.5, 1, 1 / (1 + np.exp(-2))], abs=1e-6)
