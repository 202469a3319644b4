"""Out of memory is a step down: what is tried next, that it is said, and that finished tiles are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import immunohistochemistry
from small_networks import one_thread, seeded  # noqa: F401
from torch import nn

from napari_unetsharp.errors import DeviceError
from napari_unetsharp.inference.engine import half_of
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.stepping import Means, is_out_of_memory, step_down
from napari_unetsharp.inference.tiling import Region, least_tile
from napari_unetsharp.network.device import WISHES

TISSUE = immunohistochemistry()
FULL = "DefaultCPUAllocator: not enough memory: you tried to allocate 123 bytes.\nand more"


@pytest.fixture(scope="module")
def checkpoint():
    return seeded(TISSUE[:128, :128], 1)


def limited(monkeypatch, width, after=0, error=None):
    """An allocator that has no room for convolutions wider than so many pixels, from some call on."""
    real, calls = nn.functional.conv2d, []

    def convolve(values, *arguments, **options):
        calls.append(1)
        if values.shape[-1] > width + 2 and len(calls) > after:
            raise error or RuntimeError(FULL)
        return real(values, *arguments, **options)

    monkeypatch.setattr(nn.functional, "conv2d", convolve)
    return calls


def steps_from(means, level):
    found, first = [], means
    while (means := step_down(means, level, first)) is not None:
        found.append(means)
        assert len(found) < 50
    return found


@pytest.mark.parametrize("level", [1, 4])
@pytest.mark.parametrize("device", [wish for wish in WISHES if wish != "auto"])
def test_each_step_needs_less_until_nothing_is_left(device, level):
    first = Means(512, torch.float32, device)
    steps = steps_from(first, level)
    assert len(set(steps)) == len(steps)
    assert first not in steps
    for before, after in zip((first, *steps), steps, strict=False):
        if (before.device, before.dtype) == (after.device, after.dtype):
            assert least_tile(level) <= after.tile < before.tile
            assert after.tile % 16 == 0
        else:
            assert before.tile == least_tile(level)  # smaller tiles come first: they change nothing in a result
            assert after.tile == first.tile
    half = half_of(device)
    devices = [means.device for means in steps]
    assert devices == sorted(devices, key=lambda kind: kind == "cpu")
    assert any(means.dtype == half for means in steps if means.device == device) or half is None
    assert steps[-1].device == "cpu"


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (MemoryError(), True), (torch.OutOfMemoryError("CUDA out of memory"), True), (RuntimeError(FULL), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False), (ValueError("out of memory"), False),
    ],
)  # fmt: skip
def test_what_counts_as_out_of_memory(error, means):
    assert is_out_of_memory(error) is means


@pytest.mark.parametrize(("level", "tile", "room", "shape"), [(1, 240, 130, (250, 210)), (4, 480, 300, (250, 470))])
def test_smaller_tiles_give_the_same_result(monkeypatch, checkpoint, level, tile, room, shape):
    plane, name = TISSUE[: shape[0], : shape[1]], (f"x0{level}",)
    whole = Predictor(checkpoint, "cpu", level, name, tile=tile).predict(plane)
    limited(monkeypatch, room)
    predictor = Predictor(checkpoint, "cpu", level, name, tile=tile)
    tiles = []
    stepped = predictor.predict(plane, on_tile=tiles.append)
    assert stepped.computed.all()
    assert predictor.means.tile <= room
    assert {part.means for part in tiles} == {predictor.means}
    assert [part.done for part in tiles] == list(range(1, tiles[-1].total + 1))
    (note, *more) = stepped.notes
    assert f"tiles of {tile} px in float32 on cpu" in note
    assert "not enough memory" in note
    assert not any("\n" in line for line in (note, *more))
    assert all("float32" in line for line in more)
    difference = np.abs(stepped.full[name[0]].astype(float) - whole.full[name[0]])
    assert np.percentile(difference, 99.9) <= 0.01


def test_finished_tiles_stay_and_are_not_computed_again(monkeypatch, checkpoint):
    plane = TISSUE[:330, :100]
    network = Predictor(checkpoint, "cpu", 1, tile=144)
    counted = limited(monkeypatch, 10**9)
    first = next(network.tiles(plane))
    each = len(counted)
    monkeypatch.undo()
    limited(monkeypatch, 80, after=each)
    tiles = list(network.tiles(plane))
    assert tiles[0].core == first.core
    assert tiles[0].means.tile == 144
    assert {part.means.tile for part in tiles[1:]} == {80}
    times = np.zeros(plane.shape[:2], int)
    for part in tiles:
        times[part.core.slices] += 1
    assert (times == 1).all()
    assert tiles[-1].done == tiles[-1].total == len(tiles)


def test_of_a_region_only_the_region_is_computed(monkeypatch, checkpoint):
    limited(monkeypatch, 100)
    region = Region(100, 40, 60, 90)
    prediction = Predictor(checkpoint, "cpu", 1, tile=240).predict(TISSUE[:300, :260], region)
    assert prediction.computed[region.slices].all()
    assert np.count_nonzero(prediction.computed) <= 96 * 128


@pytest.mark.skipif(half_of("cpu") is None, reason="this CPU has no instructions for half precision")
def test_half_precision_comes_after_the_smallest_tile(monkeypatch, checkpoint):
    real = nn.functional.conv2d

    def convolve(values, *arguments, **options):
        if values.dtype == torch.float32:
            raise RuntimeError(FULL)
        return real(values, *arguments, **options)

    plane = TISSUE[:100, :90]
    exact = Predictor(checkpoint, "cpu", 1).predict(plane)
    monkeypatch.setattr(nn.functional, "conv2d", convolve)
    predictor = Predictor(checkpoint, "cpu", 1)
    prediction = predictor.predict(plane)
    assert predictor.means.dtype == torch.bfloat16
    assert prediction.computed.all()
    assert "bfloat16" in prediction.notes[-1]
    assert np.abs(prediction.full["x01"].astype(float) - exact.full["x01"]).mean() < 0.01


def test_the_true_error_where_nothing_helps(monkeypatch, checkpoint):
    limited(monkeypatch, 0)
    predictor = Predictor(checkpoint, "cpu", 4, tile=480)
    with pytest.raises(DeviceError, match=r"tile of \d+ x \d+ px failed on cpu .*not enough memory") as caught:
        predictor.predict(TISSUE[:100, :200])
    assert "\n" not in str(caught.value)


def test_other_failures_are_no_reason_to_step_down(monkeypatch, checkpoint):
    limited(monkeypatch, 0, error=RuntimeError("illegal instruction"))
    predictor = Predictor(checkpoint, "cpu", 4, tile=480)
    with pytest.raises(DeviceError, match="illegal instruction"):
        predictor.predict(TISSUE[:100, :200])
    assert predictor.means.tile == 480
