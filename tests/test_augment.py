"""Crops and looks: seeded, of the asked shape, with seams between touching nuclei."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import label as connected

from napari_unetsharp.training.augment import random_crop
from napari_unetsharp.training.looks import stain_clouds, vary_look
from napari_unetsharp.training.targets import nuclei_without_seams


def drawn(seed=0, shape=(64, 80), channels=3):
    """A picture whose value is its truth, and ten square nuclei."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for name in range(1, 11):
        top, left = rng.integers(0, max(1, shape[0] - 8)), rng.integers(0, max(1, shape[1] - 8))
        labels[top : top + 8, left : left + 8] = name
    return np.repeat((labels > 0).astype(np.float32)[..., None], channels, 2), labels


def crop(seed, size=32, shape=(64, 80), channels=3, **more):
    return random_crop(*drawn(0, shape, channels), size, np.random.default_rng(seed), **more)


# Crops -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 80), (32, 32), (20, 90), (90, 5), (7, 5), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_has_the_asked_shape_also_of_smaller_images(shape, channels):
    for seed in range(12):
        pixels, target = crop(seed, 32, shape, channels)
        assert (pixels.shape, target.shape) == ((32, 32, channels), (32, 32))
        assert (pixels.dtype, target.dtype) == (np.float32, np.int32)
        assert set(np.unique(target)) <= set(range(11))
        assert np.isfinite(pixels).all()
        assert pixels.flags.c_contiguous
        assert target.flags.c_contiguous


def test_the_same_seed_gives_the_same_crop_and_look():
    def run(seed):
        rng = np.random.default_rng(seed)
        pixels, target = random_crop(*drawn(), 32, rng)
        return vary_look(pixels, rng), target

    for seed in range(20):
        first, second = run(seed), run(seed)
        assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert len({run(seed)[0].tobytes() for seed in range(20)}) == 20


def test_picture_and_truth_move_together():
    """The picture shows the truth itself, so at native scale they are the same."""
    for seed in range(30):
        pixels, labels = crop(seed, scales=(1.0, 1.0))
        np.testing.assert_array_equal(pixels[..., 0], labels > 0)


def test_picture_and_truth_bend_together():
    """The picture is interpolated where the labels have steps: a corner takes a quarter from its own side at least."""
    straight = [crop(seed, 64, scales=(1.0, 1.0), bend=0.0)[1] for seed in range(10)]
    bent = [crop(seed, 64, scales=(1.0, 1.0), bend=1.0) for seed in range(10)]
    for (pixels, labels), before in zip(bent, straight, strict=True):
        assert labels.shape == before.shape == (64, 64)
        assert not np.array_equal(labels, before)
        assert np.abs(pixels[..., 0] - (labels > 0)).max() <= 0.76


def test_a_crop_at_native_scale_is_a_part_of_the_image_turned_or_mirrored():
    labels = np.arange(1, 65 * 65 + 1, dtype=np.int32).reshape(65, 65)
    pixels = labels[..., None].astype(np.float32)
    ways = set()
    for seed in range(60):
        part, _ = random_crop(pixels, labels, 16, np.random.default_rng(seed), scales=(1.0, 1.0))
        steps = (part[0, 1, 0] - part[0, 0, 0], part[1, 0, 0] - part[0, 0, 0])
        assert sorted(np.abs(steps)) == [1, 65]
        np.testing.assert_array_equal(np.diff(part[..., 0], axis=1), steps[0])
        np.testing.assert_array_equal(np.diff(part[..., 0], axis=0), steps[1])
        ways.add(steps)
    assert len(ways) == 8


def test_scale_changes_the_size_of_nuclei():
    pixels, labels = np.ones((80, 80, 1), np.float32), np.zeros((80, 80), np.int32)
    labels[30:50, 30:50] = 1  # 400 px
    areas = []
    for scale in (0.5, 1.0, 2.0):
        found = [
            random_crop(pixels, labels, 64, np.random.default_rng(s), (scale, scale))[1].astype(bool).sum()
            for s in range(150)
        ]
        areas.append(float(max(found)))
    assert areas == pytest.approx([100, 400, 1600], rel=0.15)


def test_sparse_images_are_mostly_shown_where_they_have_nuclei():
    pixels, labels = np.zeros((256, 256, 1), np.float32), np.zeros((256, 256), np.int32)
    labels[116:140, 116:140] = 1
    hits = [random_crop(pixels, labels, 64, np.random.default_rng(s), (1.0, 1.0))[1].any() for s in range(300)]
    blind = (87 / 193) ** 2  # the share of places that hit
    assert 1.5 * blind < np.mean(hits) < 0.9


def test_an_image_without_any_nucleus_is_no_trouble():
    pixels, labels = np.zeros((40, 40, 3), np.float32), np.zeros((40, 40), np.int32)
    assert random_crop(pixels, labels, 32, np.random.default_rng(1))[1].sum() == 0


def test_the_images_themselves_stay_as_they_are():
    pixels, labels = drawn()
    before = pixels.copy(), labels.copy()
    rng = np.random.default_rng(3)
    for _ in range(20):
        vary_look(random_crop(pixels, labels, 32, rng)[0], rng)
        vary_look(pixels, rng)
    assert np.array_equal(pixels, before[0])
    assert np.array_equal(labels, before[1])


# Seams -------------------------------------------------------------------------------------------------


def seams_by_hand(labels):
    """A nucleus pixel is given up if one of its eight neighbours belongs to another nucleus."""
    wanted = (labels > 0).astype(np.float32)
    for y, x in zip(*np.nonzero(labels), strict=True):
        for dy, dx in itertools.product((-1, 0, 1), repeat=2):
            v, u = y + dy, x + dx
            if 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1] and labels[v, u] not in (0, labels[y, x]):
                wanted[y, x] = 0
    return wanted


@pytest.mark.parametrize("seed", range(6))
def test_touching_nuclei_give_up_the_pixels_that_touch(seed):
    labels = np.random.default_rng(seed).choice([0, 0, 1, 2, 70_000], (9, 11)).astype(np.int32)
    labels = np.kron(labels, np.ones((3, 3), np.int32))
    np.testing.assert_array_equal(nuclei_without_seams(labels), seams_by_hand(labels))


def test_two_touching_nuclei_are_two_and_a_lone_one_is_whole():
    labels = np.zeros((10, 12), np.int32)
    labels[2:8, 1:6], labels[2:8, 6:11] = 5, 2
    target = nuclei_without_seams(labels)
    assert connected(target, np.ones((3, 3)))[1] == 2
    assert target.sum() == 60 - 12
    alone = np.where(labels == 5, 5, 0)
    np.testing.assert_array_equal(nuclei_without_seams(alone), alone > 0)


# Looks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_looks_keep_shape_and_type_and_are_finite(channels):
    pixels = np.random.default_rng(1).uniform(-0.5, 2, (16, 20, channels)).astype(np.float32)
    for seed in range(60):
        look = vary_look(pixels, np.random.default_rng(seed))
        assert (look.shape, look.dtype) == (pixels.shape, np.float32)
        assert np.isfinite(look).all()


def test_grey_pictures_stay_grey_mostly_and_colours_move():
    grey = np.repeat(np.random.default_rng(2).random((16, 16, 1)).astype(np.float32), 3, 2)
    stained = np.random.default_rng(3).uniform(0.2, 0.9, (16, 16, 3)).astype(np.float32)
    spread = [np.ptp(vary_look(grey, np.random.default_rng(seed)), axis=-1).max() for seed in range(80)]
    noiseless = [value for value in spread if value < 1e-5]
    assert len(noiseless) > 40
    hues = [vary_look(stained, np.random.default_rng(seed)).mean((0, 1)) for seed in range(40)]
    assert np.std([hue[0] - hue[2] for hue in hues]) > 0.01


def brightfield(seed=0, side=64):
    """Purple nuclei on a bright ground."""
    target = (np.random.default_rng(seed).random((side // 8, side // 8)) < 0.3).astype(np.float32)
    target = np.kron(target, np.ones((8, 8), np.float32))
    pixels = np.where(target[..., None] > 0, (0.5, 0.35, 0.6), (0.95, 0.93, 0.96)).astype(np.float32)
    return pixels, target


def test_clouds_of_another_stain_only_darken_and_spare_the_nuclei():
    pixels, target = brightfield()
    on, around, colours = [], [], set()
    for seed in range(40):
        clouded = stain_clouds(pixels, target, np.random.default_rng(seed))
        assert (clouded.shape, clouded.dtype) == (pixels.shape, np.float32)
        assert np.isfinite(clouded).all()
        assert clouded.min() >= 0
        assert np.all(clouded <= pixels + 1e-6)
        absorbed = -np.log(np.maximum(clouded, 1e-6) / pixels)
        on.append(absorbed[target > 0].mean())
        around.append(absorbed[target == 0].mean())
        if absorbed.max() > 0.01:  # some pictures stay without a cloud
            colours.add(int(absorbed.mean((0, 1)).argmax()))
    assert 0 < np.mean(on) < 0.5 * np.mean(around)
    assert colours == {1, 2}  # eosin takes green most, DAB takes blue most


def test_clouds_come_to_bright_colour_pictures_with_a_truth_only():
    pixels, target = brightfield()
    grey = np.repeat(pixels[..., :1], 3, 2)

    def differ(picture):
        looks = ([vary_look(picture, np.random.default_rng(seed), truth) for truth in (None, target)]
                 for seed in range(20))  # fmt: skip
        return [not np.array_equal(plain, given) for plain, given in looks]

    assert any(differ(pixels))
    for other in (grey, 1 - pixels, pixels[..., :1]):
        assert not any(differ(other))


def test_both_polarities_occur():
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32)[None, :, None], (8, 1, 1))
    rising = [vary_look(ramp, np.random.default_rng(s))[:, -4:].mean() > 0.5 for s in range(200)]
    assert 0.02 < 1 - np.mean(rising) < 0.25
