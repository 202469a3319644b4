"""The predictor: tiles don't change a result, every kind of input, and what happens when the device fails."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.data import immunohistochemistry
from small_networks import TRAINED, discs, one_thread, seeded, seeing_brightness  # noqa: F401
from torch import nn

from napari_unetsharp.errors import DeviceError, ImageError, SettingsError
from napari_unetsharp.images.intensity import IMAGENET_DEVIATION, IMAGENET_MEAN, Intensity
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import Region, plan_tiles
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.network.grid import branches_of_level
from napari_unetsharp.nuclei.instances import label_nuclei

TISSUE = immunohistochemistry()
LARGE = 4096
"""A tile that holds every picture here."""


@pytest.fixture(scope="module")
def checkpoint():
    return seeded(TISSUE[:256, :256], 1)


def cpu(checkpoint, level=None, branches=None, **settings):
    return Predictor(checkpoint, "cpu", level, branches, **settings)


def largest_difference(one, other, share=99.9):
    return float(np.percentile(np.abs(one.astype(np.float32) - other.astype(np.float32)), share))


# Tiles -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "tile", "shape"), [(4, 240, (328, 200)), (3, 160, (190, 180)), (2, 96, (115, 150)),
                                                      (1, 80, (100, 117))])  # fmt: skip
def test_tiled_equals_whole_on_tissue(checkpoint, level, tile, shape):
    plane = TISSUE[100 : 100 + shape[0], 150 : 150 + shape[1]]
    assert len(plan_tiles(shape, None, level, tile)) >= 3
    whole, tiled = (cpu(checkpoint, level, tile=side).predict(plane) for side in (LARGE, tile))
    assert list(whole.full) == list(branches_of_level(level))
    for name, values in whole.full.items():
        assert values.std() > 0.01
        assert largest_difference(values, tiled.full[name]) <= 0.01, name
    if level > 1:
        assert whole.doubt.std() > 0.001
        assert largest_difference(whole.doubt, tiled.doubt) <= 0.01
    assert whole.computed.all()
    assert tiled.computed.all()


def test_a_tile_that_knows_nothing_of_the_whole_would_differ(checkpoint):
    """What the test above would find if a tile took its upsampling from its own size."""
    plane = TISSUE[100:428, 150:350]
    plan = plan_tiles(plane.shape[:2], None, 4, 240)[0]
    part = Region(plan.window.top, plan.window.left, plan.window.height, plan.window.width).within(plane.shape[:2])
    alone = cpu(checkpoint, tile=LARGE).predict(plane[part.slices]).full
    whole = cpu(checkpoint, tile=LARGE).predict(plane).full
    for name, values in whole.items():
        assert largest_difference(alone[name][plan.kept], values[plan.core.slices]) > 0.01, name


@pytest.mark.skipif(not TRAINED.is_file(), reason=f"no {TRAINED}")
def test_tiled_equals_whole_with_a_trained_network():
    trained = load_checkpoint(TRAINED)
    plane = TISSUE[60:380, 100:228]
    whole, tiled = (cpu(trained, tile=side).predict(plane) for side in (LARGE, 240))
    for name, values in whole.full.items():
        assert largest_difference(values, tiled.full[name]) <= 0.01, name
        assert np.ptp(values.astype(np.float32)) > 0.5
    for level in (1, 2, 3, 4):
        ours, theirs = (label_nuclei(result.full[f"x0{level}"]) for result in (whole, tiled))
        assert ours.max() > 10
        assert ours.max() == theirs.max()
        assert np.count_nonzero(ours != theirs) < 1e-3 * ours.size


@pytest.mark.parametrize(("level", "tile", "shape"), [(4, 224, (336, 96)), (3, 160, (240, 96)), (2, 112, (208, 150)),
                                                      (1, 112, (208, 150))])  # fmt: skip
def test_nuclei_on_seams_are_neither_cut_nor_doubled(level, tile, shape):
    """Discs on every seam and crossing: the tiled labels are those of the whole image, and each disc is one nucleus."""
    tiles = plan_tiles(shape, None, level, tile)
    rows = sorted({plan.core.top for plan in tiles} - {0})
    columns = sorted({plan.core.left for plan in tiles} - {0}) or [48]
    centres = [(y, x) for y in rows for x in columns]
    centres += [(y, x + 18) for y, x in centres] + [(y + 18, x) for y, x in centres]
    grey = discs(shape, centres, 6)
    truth, count = ndimage.label(grey > 100)
    assert count == len(centres) >= 6
    plane, name = np.repeat(grey[..., np.newaxis], 3, axis=2), f"x0{level}"
    for network in (seeing_brightness(), seeded(plane, 2, 0.1)):
        whole, tiled = (cpu(network, level, (name,), tile=side).predict(plane).full[name] for side in (LARGE, tile))
        ours, theirs = (label_nuclei(probability) for probability in (whole, tiled))
        assert ours.max() > 0
        np.testing.assert_array_equal(ours, theirs)
        if network.metadata.name == "bright":
            np.testing.assert_array_equal(theirs, truth)


@pytest.mark.parametrize("region", [Region(37, 20, 100, 60), Region(0, 150, 30, 50), Region(200, 170, 128, 30)])
def test_a_region_gives_that_part_of_the_whole(checkpoint, region):
    plane = TISSUE[100:428, 150:350]
    whole = cpu(checkpoint, tile=LARGE).predict(plane)
    part = cpu(checkpoint, tile=224).predict(plane, region)
    assert part.computed[region.slices].all()
    assert not part.computed.all()
    for name, values in part.full.items():
        assert largest_difference(values[region.slices], whole.full[name][region.slices]) <= 0.01
        assert not values[~part.computed].any()


def test_brightness_is_measured_on_the_whole_plane_also_for_a_region():
    plane = np.full((160, 160, 1), 100, np.uint16)
    plane[:16, :16] = 1000
    plane[110, 100:120] = 150  # the brightest of the region
    network = seeing_brightness(intensity=Intensity(low=0, high=100, mean=(0.0,), deviation=(1.0,)), in_channels=1)
    part = cpu(network, 1, tile=80).predict(plane, Region(100, 100, 20, 20))
    whole = cpu(network, 1, tile=80).predict(plane)
    assert whole.full["x01"][:16, :16].min() > 0.99
    assert part.full["x01"][100:120, 100:120].max() < 0.01


class Watched:
    """A plane that notes what is read of it."""

    ndim = 3

    def __init__(self, pixels):
        self.pixels, self.shape, self.dtype, self.read = pixels, pixels.shape, pixels.dtype, []

    def __getitem__(self, key):
        self.read.append(key)
        return self.pixels[key]


def test_limits_that_are_given_hold_for_any_part_and_nothing_else_is_read():
    grey = np.full((200, 180, 1), 100.0, np.float32)
    grey[110:120, 100:110] = 150
    grey[0, 0] = np.nan  # never read
    network = seeing_brightness(intensity=Intensity(low=0, high=100, mean=(0.0,), deviation=(1.0,)), in_channels=1)
    for limits, bright in (((100.0, 160.0), True), ((100.0, 1000.0), False)):
        plane = Watched(grey)
        (tile,) = cpu(network, 1).tiles(plane, Region(100, 100, 20, 20), limits=limits)
        assert (tile.full["x01"][14:24, 4:14] > 0.5).all() == bright
        assert tile.core == Region(96, 96, 32, 32)
        assert min(rows.start for rows, _ in plane.read) == 64
        assert max(columns.stop for _, columns in plane.read) == 160
    with pytest.raises(ImageError, match="NaN"):
        list(cpu(network, 1).tiles(Watched(grey), Region(0, 0, 20, 20), limits=limits))


def test_limits_and_magnification_that_are_given_are_those_that_a_plane_would_have(checkpoint):
    plane = TISSUE[100:228, 150:290]
    known = replace(checkpoint, metadata=replace(checkpoint.metadata, nucleus_size=10.0))
    whole = cpu(known, 1).predict(plane, nucleus_size=16.0)
    given = whole.full["x01"] * 0
    for tile in cpu(checkpoint, 1).tiles(Watched(plane), limits=(0.0, 255.0), factor=10 / 16):
        given[tile.core.slices] = tile.full["x01"]
    assert largest_difference(given, whole.full["x01"]) <= 0.01
    with_limits = cpu(known, 1).predict(plane, nucleus_size=16.0, limits=(0.0, 255.0))
    assert largest_difference(with_limits.full["x01"], whole.full["x01"]) <= 0.01


def test_the_same_input_gives_the_same_bits(checkpoint):
    plane = TISSUE[:90, :70]
    one, other = (cpu(checkpoint).predict(plane) for _ in range(2))
    for name, values in one.full.items():
        np.testing.assert_array_equal(values, other.full[name])


def test_tiles_come_with_their_number_and_rate():
    plane = np.zeros((200, 100, 3), np.uint8)
    predictor = cpu(seeing_brightness(), 1, tile=80)
    tiles = list(predictor.tiles(plane))
    assert [tile.done for tile in tiles] == list(range(1, len(tiles) + 1))
    assert {tile.total for tile in tiles} == {len(tiles)}
    seconds = [tile.seconds for tile in tiles]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    heard = []
    predictor.predict(plane, on_tile=heard.append)
    assert [tile.core for tile in heard] == [tile.core for tile in tiles]


# What comes out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 48), (61, 35)])
def test_maps_are_those_of_the_network_by_hand(checkpoint, shape):
    plane = TISSUE[200 : 200 + shape[0], 200 : 200 + shape[1]]
    beyond = [(0, -side % 16) for side in shape]
    scaled = (np.pad(plane, (*beyond, (0, 0)), mode="symmetric") / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION
    image = torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None]
    prediction = cpu(checkpoint).predict(plane)
    with torch.inference_mode():
        logits = checkpoint.network(image)
    for name, values in logits.items():
        full = nn.functional.interpolate(values, size=image.shape[-2:], mode="bilinear", align_corners=True)
        expected = torch.sigmoid(full)[0, 0, : shape[0], : shape[1]].numpy()
        assert prediction.full[name].dtype == np.float16
        np.testing.assert_allclose(prediction.full[name].astype(np.float32), expected, atol=1e-3)


def test_of_several_classes_the_most_probable_counts():
    network = seeing_brightness(classes=3).network
    with torch.no_grad():
        network.heads["x04"].bias[:] = torch.tensor([-50.0, 1.0, -50.0])
        network.heads["x04"].weight.zero_()
    checkpoint = replace(seeing_brightness(classes=3), network=network)
    values = cpu(checkpoint, branches=("x04",)).predict(np.zeros((20, 20, 3), np.uint8)).full["x04"]
    np.testing.assert_allclose(values.astype(float), 1 / (1 + np.exp(-1)), atol=1e-3)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_level_gives_its_branches(checkpoint, level):
    prediction = cpu(checkpoint, level).predict(TISSUE[:40, :40])
    assert tuple(prediction.full) == branches_of_level(level)


def test_a_shallower_level_is_that_branch_of_the_full_pass(checkpoint):
    plane = TISSUE[:48, :64]
    full = cpu(checkpoint).predict(plane).full
    for level in (1, 2, 3):
        np.testing.assert_array_equal(cpu(checkpoint, level).predict(plane).full[f"x0{level}"], full[f"x0{level}"])


def test_only_the_branches_wanted(checkpoint):
    plane = TISSUE[:48, :64]
    prediction = cpu(checkpoint, branches=("x31", "x02")).predict(plane)
    assert tuple(prediction.full) == ("x02", "x31")
    full = cpu(checkpoint).predict(plane).full
    for name, values in prediction.full.items():
        np.testing.assert_array_equal(values, full[name])


def test_one_head_gives_one_map():
    alone = seeing_brightness(deep_supervision=False)
    predictor = cpu(alone)
    assert predictor.branches == ("x04",)
    prediction = predictor.predict(np.zeros((20, 30, 3), np.uint8))
    assert tuple(prediction.full) == ("x04",)
    assert prediction.doubt is None
    with pytest.raises(SettingsError, match="gives x04, not x01"):
        cpu(alone, branches=("x01",))
    with pytest.raises(SettingsError, match="depth 2"):
        cpu(alone, 2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"level": 3}, "depth 3 was asked of a checkpoint of depth 2"),
        ({"level": 0}, "choose 1 to 2"),
        ({"branches": ("x03",)}, "gives x01, x02, not x03"),
        ({"branches": ("x99",)}, "not x99"),
        ({"branches": ()}, "choose among those"),
        ({"guided": True}, "no guided modules"),
        ({"device": "tpu"}, "choose one of"),
    ],
)
def test_what_the_checkpoint_lacks_is_refused(settings, words):
    with pytest.raises((SettingsError, DeviceError), match=words):
        Predictor(seeing_brightness(level=2), **({"device": "cpu"} | settings))


def test_the_checkpoint_stays_as_it_is(checkpoint):
    before = copy.deepcopy(checkpoint.network)
    cpu(checkpoint).predict(TISSUE[:40, :40])
    for (name, ours), other in zip(checkpoint.network.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(ours, other), name
        assert ours.stride() == other.stride(), name


# What goes in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        lambda plane: plane.astype(np.uint16) * 257,
        lambda plane: plane.astype(np.float32) / 255,
        lambda plane: plane.astype(np.float64) / 255,
        lambda plane: plane.astype(">u2") * 257,
        lambda plane: plane.astype(np.uint32) * 16843009,
        np.asfortranarray,
        lambda plane: plane[::-1][::-1],
    ],
    ids=["uint16", "float32", "float64", "big-endian", "uint32", "fortran", "backwards"],
)
def test_the_type_of_the_numbers_does_not_matter(checkpoint, convert):
    plane = TISSUE[:50, :40]
    expected = cpu(checkpoint, branches=("x04", "x40")).predict(plane)
    found = cpu(checkpoint, branches=("x04", "x40")).predict(convert(plane))
    for name, values in expected.full.items():
        np.testing.assert_allclose(found.full[name].astype(float), values.astype(float), atol=2e-3)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.float16, np.float32, np.float64])
def test_brightness_of_every_type_with_percentiles(dtype):
    grey = discs((60, 50), [(20, 20), (40, 35)], 7) > 100
    plane = grey if dtype is bool else (grey * 90 + 20).astype(dtype)
    network = seeing_brightness(intensity=Intensity(mean=(0.0,), deviation=(1.0,)), in_channels=1)
    prediction = cpu(network).predict(plane)
    np.testing.assert_array_equal(prediction.full["x04"] > 0.5, grey)


def test_transparency_is_left_out_and_said(checkpoint):
    opaque = np.dstack([TISSUE[:50, :40], np.full((50, 40), 255, np.uint8)])
    found, expected = (cpu(checkpoint).predict(plane) for plane in (opaque, TISSUE[:50, :40]))
    np.testing.assert_array_equal(found.full["x04"], expected.full["x04"])
    assert expected.notes == []
    (note,) = found.notes
    assert "transparency" in note


@pytest.mark.parametrize("shape", [(50, 40), (50, 40, 1)])
def test_one_channel_is_repeated_and_said(checkpoint, shape):
    grey = TISSUE[:50, :40, 0]
    found = cpu(checkpoint).predict(grey.reshape(shape))
    expected = cpu(checkpoint).predict(np.dstack([grey] * 3))
    np.testing.assert_array_equal(found.full["x04"], expected.full["x04"])
    assert found.notes == ["The one channel was repeated for the 3 that this model takes."]


def test_a_note_is_given_once(checkpoint):
    notes = []
    for _ in range(2):
        list(cpu(checkpoint, 1).tiles(TISSUE[:20, :20, 0], notes=notes))
    assert len(notes) == 1


@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (1, 300), (16, 16), (17, 31)])
def test_small_pictures(checkpoint, shape):
    prediction = cpu(checkpoint, tile=224).predict(TISSUE[: shape[0], : shape[1]])
    for name, values in prediction.full.items():
        assert values.shape == shape
        assert np.isfinite(values).all(), name
        assert ((values >= 0) & (values <= 1)).all()
    assert prediction.doubt.shape == shape


@pytest.mark.parametrize("intensity", [Intensity("range", mean=(0.0,), deviation=(1.0,)),
                                       Intensity(mean=(0.0,), deviation=(1.0,))])  # fmt: skip
@pytest.mark.parametrize("value", [0, 70])
def test_an_empty_picture_holds_no_nuclei(intensity, value):
    prediction = cpu(seeing_brightness(intensity=intensity)).predict(np.full((40, 50, 3), value, np.uint8))
    for values in prediction.full.values():
        assert values.max() < 0.01
    assert prediction.doubt.max() < 0.01


@pytest.mark.parametrize("kind", ["range", "percentile"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(7, 5), (300, 90), (60, 50, 3)])
def test_values_that_are_no_numbers_are_counted(kind, bad, shape):
    plane = np.random.default_rng(0).random(shape).astype(np.float32)
    plane[2, 3] = plane[5, 1] = bad
    count = np.count_nonzero(~np.isfinite(plane))
    predictor = cpu(seeing_brightness(intensity=Intensity(kind, mean=(0.0,), deviation=(1.0,))), 1, tile=80)
    with pytest.raises(ImageError, match=f"^{count} of {plane.size} values are NaN or infinite"):
        predictor.predict(plane)


# When the device fails ---------------------------------------------------------------------------------


def failing_after(monkeypatch, calls, error):
    """Let the allocator fail after so many convolutions."""
    real, done = nn.functional.conv2d, []

    def convolve(*arguments, **options):
        done.append(1)
        if len(done) > calls:
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(nn.functional, "conv2d", convolve)
    return done


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand much more"), "CUDA out of memory. Tried to"),
        (torch.OutOfMemoryError("MPS backend out of memory"), "MPS backend out of memory"),
        (RuntimeError(""), "RuntimeError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_failing_device_says_why_and_keeps_finished_tiles(monkeypatch, error, reason):
    plane = np.full((200, 100, 3), 255, np.uint8)
    predictor = cpu(seeing_brightness(), 1, tile=80)
    prediction = predictor.empty(plane.shape)
    total = len(plan_tiles(plane.shape[:2], None, 1, 80))
    counted = failing_after(monkeypatch, 10**9, error)
    prediction.place(next(predictor.tiles(plane)))
    monkeypatch.undo()
    failing_after(monkeypatch, 2 * len(counted), error)
    with pytest.raises(DeviceError, match="finished tiles are kept") as caught:
        deque(map(prediction.place, predictor.tiles(plane)))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "80 px" in str(caught.value)
    assert caught.value.__cause__ is error
    assert 0 < np.count_nonzero(prediction.computed) < prediction.computed.size
    assert total > 3
    assert prediction.full["x01"][prediction.computed].min() > 0.99


def test_a_failing_guided_module_is_an_error_of_ours(monkeypatch):
    predictor = cpu(seeing_brightness(guided_from=0.1), 1, tile=80, guided=True)
    failing_after(monkeypatch, 3, RuntimeError("CUDA out of memory"))
    with pytest.raises(DeviceError, match="CUDA out of memory"):
        predictor.predict(np.zeros((50, 50, 3), np.uint8))


def test_a_device_without_room_for_the_network_is_an_error_of_ours(monkeypatch):
    checkpoint = seeing_brightness()

    def refuse(*arguments, **options):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(nn.Module, "to", refuse)
    with pytest.raises(DeviceError, match="CUDA out of memory"):
        cpu(checkpoint)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_cuda_gives_what_the_cpu_gives(checkpoint):
    plane = TISSUE[:200, :300]
    ours, theirs = (Predictor(checkpoint, device, tile=224).predict(plane) for device in ("cpu", "cuda"))
    for name, values in ours.full.items():
        assert largest_difference(values, theirs.full[name]) <= 0.01
