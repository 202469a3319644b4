"""Baselines as wirings: what each node reads, the printed parameter counts, and that UNet#'s wiring is UNet#."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from small_networks import SMALL, one_thread  # noqa: F401

from napari_unetsharp.errors import SettingsError, ShapeError
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig, count_parameters
from napari_unetsharp.network.wired import WiredNetwork, initialise
from napari_unetsharp.network.wiring import (
    WIDE_WIDTHS,
    Head,
    Input,
    WiredNode,
    Wiring,
    unet,
    unet_3_plus,
    unet_plus_plus,
    unet_sharp,
)

ENCODER = {"x00": "", "x10": "x00/2", "x20": "x10/2", "x30": "x20/2", "x40": "x30/2"}
# Each decoder by hand from its paper's figure; *2 is upsampled, /2 max-pooled.
FIGURES = {
    "U-Net": ENCODER | {"x31": "x30 x40*2", "x22": "x20 x31*2", "x13": "x10 x22*2", "x04": "x00 x13*2"},
    "UNet++": ENCODER
    | {"x31": "x30 x40*2", "x21": "x20 x30*2", "x11": "x10 x20*2", "x01": "x00 x10*2"}
    | {"x22": "x20 x21 x31*2", "x12": "x10 x11 x21*2", "x02": "x00 x01 x11*2"}
    | {"x13": "x10 x11 x12 x22*2", "x03": "x00 x01 x02 x12*2", "x04": "x00 x01 x02 x03 x13*2"},
    "UNet3+": ENCODER
    | {"x31": "x00/8 x10/4 x20/2 x30 x40*2", "x22": "x00/4 x10/2 x20 x31*2 x40*4"}
    | {"x13": "x00/2 x10 x22*2 x31*4 x40*8", "x04": "x00 x13*2 x22*4 x31*8 x40*16"},
}
MAKERS = {"U-Net": unet, "UNet++": unet_plus_plus, "UNet3+": unet_3_plus, "UNet#": unet_sharp}


def _written(item):
    if item.factor < 1:
        return f"{item.source}/{round(1 / item.factor)}"
    return item.source if item.factor == 1 else f"{item.source}*{round(item.factor)}"


def _counted(wiring):
    with torch.device("meta"):
        return count_parameters(WiredNetwork(wiring))


def _small(name):
    settings = {"widths": SMALL} | ({"gathered": 4} if name == "UNet3+" else {})
    network = WiredNetwork(MAKERS[name](**settings))
    initialise(network, 3)
    return network.eval()


@pytest.mark.parametrize("name", FIGURES)
def test_each_node_reads_what_the_papers_figure_shows(name):
    wiring = MAKERS[name]()
    assert {node.name: " ".join(map(_written, node.inputs)) for node in wiring.nodes} == FIGURES[name]


def test_heads_are_where_each_paper_supervises():
    assert [head.node for head in unet().heads] == ["x04"]
    assert [(head.node, head.kernel) for head in unet_plus_plus().heads] == [(f"x0{j}", 1) for j in (1, 2, 3, 4)]
    assert [(head.node, head.kernel) for head in unet_3_plus().heads] == [
        ("x40", 3), ("x31", 3), ("x22", 3), ("x13", 3), ("x04", 3),
    ]  # fmt: skip
    assert {head.node for head in unet_sharp().heads} == {"x01", "x02", "x03", "x04", "x13", "x22", "x31", "x40"}
    for wiring in (unet_plus_plus(False), unet_3_plus(False), unet_sharp(False)):
        assert wiring.output == "x04"
        assert len(wiring.heads) == 1


@pytest.mark.parametrize(
    ("wiring", "printed"),
    [
        (unet(), 7.85), (unet(WIDE_WIDTHS), 9.39), (unet_plus_plus(False), 9.16), (unet_plus_plus(), 9.16),
        (unet_sharp(False, 1), 0.10), (unet_sharp(False, 2), 0.56), (unet_sharp(False, 3), 2.53),
    ],
)  # fmt: skip
def test_counts_agree_with_those_that_the_paper_prints(wiring, printed):
    assert round(_counted(wiring) / 1e6, 2) == printed


def test_a_decoder_node_of_unet_3_plus_gathers_five_times_64_channels_and_fuses_them_once():
    wiring = unet_3_plus()
    with torch.device("meta"):
        network = WiredNetwork(wiring)
    assert all(item.channels == 64 for node in wiring.nodes[5:] for item in node.inputs)
    assert tuple(network.nodes["x04"].conv.weight.shape) == (320, 320, 3, 3)
    # by hand: encoder as in U-Net, then 5 gathered and 1 fusing convolution per node, with bias and batch norm
    widths = (32, 64, 128, 256, 512)
    encoder = sum(9 * a * b + 9 * b * b + 6 * b for a, b in zip((3, *widths), widths, strict=False))
    sources = [(32, 64, 128, 256, 512), (32, 64, 128, 320, 512), (32, 64, 320, 320, 512), (32, 320, 320, 320, 512)]
    decoder = sum(9 * sum(read) * 64 + 5 * 3 * 64 + 9 * 320 * 320 + 3 * 320 for read in sources)
    assert count_parameters(network) - (9 * 320 + 1) - 4 * (9 * 320 + 1) - (9 * 512 - 9 * 320) == encoder + decoder


@pytest.mark.parametrize("full_scale", ["concat", "conv"])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_wiring_of_unet_sharp_is_unet_sharp_to_the_last_bit(full_scale, level):
    torch.manual_seed(level)
    original = UNetSharp(UNetSharpConfig(widths=SMALL, full_scale=full_scale, level=level, guided=True)).eval()
    wired = WiredNetwork(unet_sharp(True, level, full_scale, SMALL), guided=True).eval()
    wired.load_state_dict(original.state_dict())
    image = torch.randn(2, 3, 48, 32)
    ours, theirs = wired(image), original(image)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    presence = wired.presence_logits(wired.features(image))
    expected = original.presence_logits(original.features(image), level)
    assert all(torch.equal(presence[name], expected[name]) for name in expected)
    assert set(presence) == set(expected)


def test_a_level_alone_is_what_pruning_leaves_of_the_whole():
    whole = _small("UNet#")
    alone = WiredNetwork(unet_sharp(False, 2, widths=SMALL)).eval()
    alone.load_state_dict({name: whole.state_dict()[name] for name in alone.state_dict()})
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(alone(image)["x02"], whole(image)["x02"])


@pytest.mark.parametrize("name", MAKERS)
def test_every_network_gives_each_head_at_its_own_scale(name):
    network = _small(name)
    outputs = network(torch.randn(1, 3, 32, 48))
    assert list(outputs)[-1] == network.wiring.output or name == "UNet#"
    for node, logits in outputs.items():
        scale = 2 ** int(node[1])
        assert tuple(logits.shape) == (1, 1, 32 // scale, 48 // scale)


@pytest.mark.parametrize("name", MAKERS)
def test_gradients_reach_every_weight(name):
    network = _small(name).train()
    sum(logits.square().mean() for logits in network(torch.randn(2, 3, 32, 32)).values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_gathered_map_is_pooled_or_upsampled_before_its_convolution():
    network = WiredNetwork(unet_3_plus(widths=SMALL, gathered=4)).eval()
    maps = network.features(torch.randn(1, 3, 32, 32))
    up = torch.nn.functional.interpolate(maps["x40"], scale_factor=2, mode="bilinear", align_corners=True)
    entering = []
    for source, read in {
        "x00": torch.nn.functional.max_pool2d(maps["x00"], 8), "x10": torch.nn.functional.max_pool2d(maps["x10"], 4),
        "x20": torch.nn.functional.max_pool2d(maps["x20"], 2), "x30": maps["x30"], "x40": up,
    }.items():  # fmt: skip
        link = network.links[f"{source}_x31"]
        entering.append(torch.relu(link.bn(link.conv(read))))
    fused = network.nodes["x31"]
    expected = torch.relu(fused.bn(fused.conv(torch.cat(entering, 1))))
    assert torch.allclose(maps["x31"], expected, atol=1e-5)


def test_layers_of_one_name_start_alike_in_every_wiring():
    one, other = _small("U-Net"), _small("UNet++")
    for name in ("nodes.x00.conv1.weight", "nodes.x40.conv2.weight", "nodes.x31.conv1.weight", "heads.x04.weight"):
        assert torch.equal(one.state_dict()[name], other.state_dict()[name])
    again = WiredNetwork(unet(SMALL))
    initialise(again, 4)
    assert not torch.equal(again.state_dict()["nodes.x00.conv1.weight"], one.state_dict()["nodes.x00.conv1.weight"])


def test_starting_weights_have_the_spread_of_he():
    network = WiredNetwork(unet(SMALL))
    initialise(network, 1)
    weight = network.nodes["x40"].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.1)
    assert not network.nodes["x40"].conv2.bias.any()


def test_a_wiring_that_can_not_be_evaluated_is_refused():
    first = WiredNode("x00", 4, ())
    with pytest.raises(SettingsError, match="x01 can't read x10"):
        Wiring("late", (first, WiredNode("x01", 4, (Input("x10", 2.0),))), (Head("x01", 1),))
    with pytest.raises(SettingsError, match="factor of 2"):
        Wiring("scale", (first, WiredNode("x01", 4, (Input("x00", 2.0),))), (Head("x01", 1),))
    with pytest.raises(SettingsError, match="x09"):
        Wiring("head", (first,), (Head("x09", 1),))


def test_images_and_modules_that_do_not_fit_are_refused_in_words():
    with pytest.raises(ShapeError, match="divisible by 16"):
        _small("U-Net")(torch.zeros(1, 3, 40, 32))
    with pytest.raises(SettingsError, match="guided"):
        WiredNetwork(unet_3_plus(widths=SMALL, gathered=4), guided=True)


def test_wirings_need_no_torch():
    code = "import sys, napari_unetsharp.network.wiring; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
