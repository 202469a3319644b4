"""What a depth takes: counted against what torch really computes, and measured."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from small_networks import one_thread, seeing_brightness  # noqa: F401
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from napari_unetsharp.comparison.cost import Measured, counted_cost, measured_cost
from napari_unetsharp.comparison.operations import count_operations
from napari_unetsharp.comparison.peak_memory import PeakMemory
from napari_unetsharp.errors import DeviceError, SettingsError
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.network.folding import folded
from napari_unetsharp.network.forms import StripForm, strip_form
from napari_unetsharp.network.grid import NODES
from napari_unetsharp.network.needed import needed_nodes
from napari_unetsharp.network.strips import StripPass
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.network.upconv import Window

NARROW = (2, 4, 4, 4, 4)


class MultiplyAdds(TorchDispatchMode):
    """Counts what is multiplied, operation by operation as torch runs them."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result, name = function(*arguments, **(options or {})), str(function)
        if "conv" in name:
            self.count += result.numel() * arguments[1][0].numel()
        elif "bmm" in name:
            self.count += arguments[0].numel() * arguments[1].shape[-1]
        elif "addmm" in name:
            self.count += arguments[1].numel() * arguments[2].shape[-1]
        elif "aten.mul" in name or "addcmul" in name:
            self.count += result.numel()
        return result


@pytest.mark.parametrize(("full_scale", "head", "deepest"), [("concat", "x04", 16), ("conv", "x03", 8)])
def test_every_multiply_add_of_the_cpu_is_counted(full_scale, head, deepest):
    """The count is equal, to the last one, to what the pass in rectangles does."""
    form = StripForm(16, 64, strip_form(torch.float32).pairs)
    height, width = deepest * form.rows, deepest * form.columns  # whole rectangles at every scale
    network = UNetSharp(UNetSharpConfig(widths=NARROW, full_scale=full_scale)).eval()
    evaluated, image = StripPass(folded(network), torch.float32, form), torch.zeros(1, 3, height, width)
    evaluated.logits(image, Window.whole(height, width), (head,))  # weights of interpolation are kept from now on
    with torch.inference_mode(), MultiplyAdds() as seen:
        evaluated.logits(image, Window.whole(height, width), (head,))
    counted = count_operations(network.config, needed_nodes([head]), (head,), form)
    assert counted.evaluated * height * width == seen.count


def test_the_plain_form_is_counted_as_torch_counts_it():
    """Upsample, concatenate, convolve, as in the paper, under torch's own counter: 2 operations per multiply-add."""
    network = UNetSharp(UNetSharpConfig(widths=NARROW)).eval()
    maps, image = {}, torch.zeros(1, 3, 64, 64)
    with FlopCounterMode(display=False) as seen, torch.no_grad():
        for name in needed_nodes(["x04"]):
            node, block = NODES[name], network.nodes[name]
            if not node.inputs:
                entering = image
            elif node.column == 0:
                entering = functional.max_pool2d(maps[node.inputs[0].source], 2)
            else:
                larger = (maps[link.source].repeat_interleave(link.factor, 2).repeat_interleave(link.factor, 3)
                          for link in node.inputs)  # fmt: skip
                entering = torch.cat(list(larger), 1)
            maps[name] = block.conv2(block.conv1(entering))
        network.heads["x04"](maps["x04"])
    counted = count_operations(network.config, needed_nodes(["x04"]), ["x04"])
    assert 2 * counted.plain * 64 * 64 == seen.get_total_flops()


def test_the_shipped_model_in_numbers():
    """As the paper says, each depth more costs: parameters by hand for depth 1, operations ascending."""
    checkpoint = load_checkpoint("nuclei")
    costs = [counted_cost(checkpoint, level) for level in (1, 2, 3, 4)]
    convolutions = [(3, 32), (32, 32), (32, 64), (64, 64), (32 + 64, 32), (32, 32)]
    outputs = checkpoint.config.outputs
    expected = sum(9 * a * b + b + 2 * b for a, b in convolutions) + 32 * outputs + outputs
    assert costs[0].parameters == expected
    assert [cost.parameters for cost in costs] == sorted({cost.parameters for cost in costs})
    assert all(one.gflop_per_mpx < other.gflop_per_mpx for one, other in pairwise(costs))
    assert all(cost.gflop_per_mpx < cost.plain_gflop_per_mpx for cost in costs)
    assert all((cost.ms_per_mpx, cost.peak_bytes, cost.device) == (None, None, "") for cost in costs)


def test_a_depth_without_a_head():
    with pytest.raises(SettingsError, match="depth 2 has no head"):
        counted_cost(seeing_brightness(deep_supervision=False), 2)


def test_a_depth_is_really_run():
    steps, measuring = [], measured_cost(seeing_brightness(), 2, "cpu", side=64, repeats=2)
    while True:
        try:
            steps.append(next(measuring))
        except StopIteration as ended:
            cost = ended.value
            break
    assert [(step.done, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert all(isinstance(step, Measured) and step.words for step in steps)
    assert cost.ms_per_mpx > 0
    assert (cost.precision, cost.parameters) == ("float32", counted_cost(seeing_brightness(), 2).parameters)
    assert cost.device.startswith("CPU")


def test_it_can_be_stopped():
    measuring = measured_cost(seeing_brightness(), 1, "cpu", stop=lambda: True, side=64)
    next(measuring)
    with pytest.raises(StopIteration) as ended:
        next(measuring)
    assert ended.value.value is None


def test_a_device_that_is_not_there():
    with pytest.raises(DeviceError, match="abacus"):
        next(measured_cost(seeing_brightness(), 1, "abacus"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is found by looking now and then")
def test_the_peak_is_that_of_what_was_taken_in_between():
    """64 MB are taken and given back within the block; what was there before doesn't count."""
    before = np.ones(4_000_000)
    with PeakMemory("cpu") as memory:
        taken = np.ones(8_000_000)
        del taken
    assert 60e6 < memory.bytes < 100e6
    assert before.all()


def test_where_the_system_keeps_no_mark_the_memory_is_watched(monkeypatch):
    """As on macOS and Windows: what is there at a look counts, though it is gone at the end."""
    monkeypatch.setattr("napari_unetsharp.comparison.peak_memory._mark_anew", lambda: False)
    with PeakMemory("cpu") as memory:
        taken = np.ones(8_000_000)
        memory.look()
        del taken
    assert memory.bytes > 60e6
