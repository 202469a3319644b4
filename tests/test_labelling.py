"""Labelling by tiles: the same nuclei and ids as in one piece, from windows alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import reconstruction
from skimage.segmentation import watershed
from small_networks import discs

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.instances import (
    SPLIT_DEPTH,
    LabelSettings,
    fill_small_holes,
    label_nuclei,
    split_touching,
)
from napari_unetsharp.nuclei.label_canvas import packed
from napari_unetsharp.nuclei.label_holes import half_widths
from napari_unetsharp.nuclei.label_tiles import TILE, label_tiles, tiles_of, windows_of
from napari_unetsharp.progress import run

EIGHT = np.ones((3, 3), bool)


def by_tiles(probability, chosen=None, core=None, tile=32, margin=8, workers=2):
    """A whole plane put together from its tiles."""
    labels = np.full(probability.shape, -1, np.int32)

    def keep(step):
        box, found = step
        assert (labels[box.slices] == -1).all()
        labels[box.slices] = found

    read_core = None if core is None else windows_of(core)
    order = run(label_tiles(windows_of(probability), probability.shape, chosen, read_core, tile, workers, margin), keep)
    assert sorted(order) == list(range(len(order)))
    assert labels.min(initial=0) == 0
    return order[labels]


def clouds(seed, shape, width):
    """Smooth noise 0..1: clumps of all sizes and shapes, with holes."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), width).astype(np.float32)
    return (values - values.min()) / max(float(np.ptp(values)), 1e-6)


def touching(seed, shape, count):
    """Discs of whole radii at whole places: symmetrical, touching, and full of equal distances."""
    dice = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    probability = np.zeros(shape, np.float16)
    for _ in range(count):
        (y, x), radius = dice.integers(0, shape), dice.integers(2, 14)
        distance = np.hypot(rows - y, columns - x)
        probability[distance <= radius] = 0.9
        probability[distance <= radius * dice.choice([0, 0, 0.4])] = 0.1  # some are pale in the middle
    return probability


shapes = st.tuples(st.integers(1, 110), st.integers(1, 110))


@st.composite
def scenes(draw):
    """Probability, and that of cores or None."""
    shape, seed = draw(shapes), draw(st.integers(0, 10**6))
    if draw(st.booleans()):
        probability = touching(seed, shape, draw(st.integers(1, 40)))
    else:
        probability = clouds(seed, shape, draw(st.sampled_from([1.0, 2.0, 4.0, 8.0])))
    if not draw(st.booleans()):
        return probability, None
    width = draw(st.sampled_from([0.5, 2.0]))
    if draw(st.booleans()):
        return probability, clouds(seed + 1, shape, width).astype(np.float16)
    return probability, ndimage.gaussian_filter(probability.astype(np.float32), width).astype(np.float16)


chosen_settings = st.builds(LabelSettings, st.sampled_from([0.3, 0.5, 0.6]), st.integers(0, 40), st.booleans())


# The same in tiles as in one piece -----------------------------------------------------------------------


@settings(max_examples=40, deadline=None, derandomize=True)
@given(scenes(), chosen_settings, st.integers(24, 90), st.sampled_from([1, 6, 24]))
def test_tiles_change_nothing(scene, chosen, tile, margin):
    probability, core = scene
    assert max(probability.shape) <= TILE  # label_nuclei looks at it in one piece
    whole = label_nuclei(probability, chosen, core)
    np.testing.assert_array_equal(by_tiles(probability, chosen, core, tile, margin), whole)


@pytest.mark.parametrize("workers", [1, 3])
def test_tiles_at_a_time_change_nothing(workers):
    probability = touching(5, (150, 170), 60)
    np.testing.assert_array_equal(by_tiles(probability, workers=workers), label_nuclei(probability))


def test_a_plane_larger_than_a_tile():
    """What label_nuclei does by tiles of its own size, against the same plane in one piece."""
    patch = touching(9, (300, 260), 150)
    probability = np.tile(patch, (1, 5))
    assert probability.shape[1] > TILE
    in_one = by_tiles(probability, tile=probability.shape[1])
    np.testing.assert_array_equal(label_nuclei(probability), in_one)
    assert in_one.max() > 200


def test_each_disc_of_a_chain_is_one_wherever_tiles_end():
    centres = [(30, 20 + 26 * place) for place in range(10)]
    probability = (discs((60, 290), centres, 14) > 100).astype(np.float16)
    for tile in (13, 26, 40):
        labels = by_tiles(probability, tile=tile)
        assert [int(labels[centre]) for centre in centres] == list(range(1, 11))
        areas = np.bincount(labels.ravel())[2:10]
        assert np.ptp(areas) <= 0.1 * areas.mean()


def test_a_nucleus_larger_than_a_tile_is_one():
    probability = (discs((200, 200), [(100, 100)], 80) > 100).astype(np.float32)
    np.testing.assert_array_equal(by_tiles(probability, tile=20), probability > 0.5)


def test_everything_and_nothing():
    for value in (0.0, 1.0):
        probability = np.full((70, 90), value, np.float32)
        np.testing.assert_array_equal(by_tiles(probability, tile=20), value)
    assert by_tiles(np.zeros((0, 5))).shape == (0, 5)


def test_a_pale_middle_on_a_tiles_edge_is_filled_and_a_lumen_is_not():
    rows, columns = np.indices((120, 120))
    gland = np.hypot(rows - 60, columns - 60)
    probability = ((gland > 30) & (gland < 45)).astype(np.float32)
    for row, column in ((8, 8), (8, 110), (110, 8)):
        distance = np.hypot(rows - row, columns - column)
        probability[(distance <= 7) & (distance > 2)] = 1
    labels = by_tiles(probability, LabelSettings(split=False), tile=9)
    assert labels.max() == 4
    assert labels[60, 60] == 0
    assert min(labels[8, 8], labels[8, 110], labels[110, 8]) > 0


def test_ids_come_row_by_row():
    centres = [(y, x) for y in range(12, 150, 25) for x in range(12, 150, 25)]
    probability = (discs((160, 160), centres, 9) > 100).astype(np.float32)
    expected, count = ndimage.label(probability > 0.5)
    assert count == len(centres)
    np.testing.assert_array_equal(by_tiles(probability, LabelSettings(split=False), tile=37), expected)


@pytest.mark.parametrize("radius", [5, 8, 12])
def test_a_cut_depends_on_nothing_far_away(radius):
    """Twins that meet in the middle: which takes a pixel that both reach alike must not depend on others."""
    pair = (discs((60, 100), [(30, 48 - radius), (30, 48 + radius)], radius) > 100).astype(np.float32)
    others = (discs((60, 100), [(10, 10), (50, 12), (48, 88), (9, 90)], 6) > 100).astype(np.float32)
    alone, among = label_nuclei(pair), label_nuclei(np.maximum(pair, others))
    assert alone.max() == 2
    left, right = among[30, 48 - radius], among[30, 48 + radius]
    np.testing.assert_array_equal(np.isin(among, (left, right)), alone > 0)
    np.testing.assert_array_equal(among == left, alone == 1)


# Against the plain way -----------------------------------------------------------------------------------


def cut_plainly(mask):
    """What split_touching says, by skimage on the whole plane."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].astype(np.float32)
    landscape = np.where(mask, np.log1p(ndimage.gaussian_filter(distance, 1.0)), np.float32(0))
    depth = np.float32(SPLIT_DEPTH)
    rise = landscape - reconstruction(np.maximum(landscape - depth, 0), landscape, footprint=EIGHT).astype(np.float32)
    domes, count = ndimage.label(rise > 0, EIGHT)
    high = np.flatnonzero(ndimage.maximum(rise, domes, np.arange(1, count + 1)) >= 0.999 * depth) + 1
    markers = np.zeros_like(domes)
    for number, dome in enumerate(high, start=1):
        markers[domes == dome] = number
    parts = watershed(-landscape, markers, mask=mask)
    lost = mask & (parts == 0)
    parts[lost] = ndimage.label(lost)[0][lost] + len(high)
    return parts


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), shapes, st.sampled_from([1.0, 2.0, 3.0, 6.0]), st.floats(0.3, 0.6))
def test_cutting_is_that_of_skimage(seed, shape, width, threshold):
    mask = clouds(seed, (shape[0] + 3, shape[1] + 3), width) >= threshold
    np.testing.assert_array_equal(split_touching(mask.astype(int)), cut_plainly(mask))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), shapes, st.integers(1, 40))
def test_holes_are_told_from_lumens_by_the_median_half_width(seed, shape, count):
    mask = touching(seed, shape, count) > 0.5
    components, parts = ndimage.label(mask)
    holes, number = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    expected = mask.copy()
    if number:
        widths = ndimage.maximum(ndimage.distance_transform_edt(mask), components, np.arange(1, parts + 1))
        np.testing.assert_array_equal(half_widths(mask).largest, widths)
        for hole in range(1, number + 1):
            expected |= (holes == hole) & (np.sum(holes == hole) <= np.pi * (2 * np.median(widths)) ** 2)
    np.testing.assert_array_equal(fill_small_holes(mask), expected)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), shapes, st.sampled_from([1.0, 3.0]))
def test_a_canvas_keeps_objects_and_holds_them_apart(seed, shape, width):
    objects, count = ndimage.label(clouds(seed, (shape[0] + 1, shape[1] + 1), width) > 0.5, EIGHT)
    wanted = np.random.default_rng(seed).random(count + 1) < 0.6
    wanted[0] = False
    canvas = packed(objects, wanted)
    there = canvas.taken(objects)
    assert not np.concatenate([there[0], there[-1], there[:, 0], there[:, -1]]).any()
    assert ndimage.label(there, EIGHT)[1] == np.count_nonzero(wanted)
    for number in np.flatnonzero(wanted):
        rows, columns = np.nonzero(there == number)
        own_rows, own_columns = np.nonzero(objects == number)
        assert len({*(rows - own_rows).tolist()}) == len({*(columns - own_columns).tolist()}) == 1
    back = np.zeros_like(objects)
    canvas.given_back(there, back)
    np.testing.assert_array_equal(back, np.where(wanted[objects], objects, 0))


# Windows only --------------------------------------------------------------------------------------------


def test_only_windows_are_read():
    probability, seen = touching(3, (300, 400), 80), []

    def read(box):
        seen.append(box)
        return probability[box.slices]

    run(label_tiles(read, probability.shape, LabelSettings(split=False), tile=50, margin=40, workers=2))
    assert len(seen) >= 2 * 6 * 8
    assert max(max(box.shape) for box in seen) < 250  # the largest clump of these touching discs and its margin


@pytest.mark.parametrize("kept", ["memory map", "zarr"])
def test_maps_on_disk(tmp_path, kept):
    probability = touching(4, (150, 1100), 150)
    if kept == "zarr":
        on_disk = zarr.create_array(tmp_path / "map.zarr", shape=probability.shape, chunks=(64, 64), dtype="float16")
        on_disk[:] = probability
    else:
        np.save(tmp_path / "map.npy", probability)
        on_disk = np.load(tmp_path / "map.npy", mmap_mode="r")
    np.testing.assert_array_equal(label_nuclei(on_disk), label_nuclei(probability))


def test_memory_follows_the_tile_not_the_plane():
    patch = touching(8, (128, 128), 12)
    patch[[0, -1]], patch[:, [0, -1]] = 0, 0

    def read(box):
        rows, columns = (np.arange(start, stop) % 128 for start, stop in ((box[0], box[2]), (box[1], box[3])))
        return patch[np.ix_(rows, columns)]

    def peak(side):
        tracemalloc.start()
        run(label_tiles(read, (side, side), tile=128, workers=1))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(128)  # imports and caches
    assert peak(1024) < 1.5 * peak(384)


def test_tiles_cover_a_plane_once():
    for shape in ((1, 1), (1024, 1025), (3000, 700)):
        covered = np.zeros(shape, int)
        for row in tiles_of(shape):
            for box in row:
                assert max(box.shape) <= TILE
                covered[box.slices] += 1
        assert (covered == 1).all()


@pytest.mark.parametrize("given_", [{"tile": 0}, {"workers": 0}, {"margin": 0}])
def test_impossible_tiles_are_refused(given_):
    with pytest.raises(SettingsError, match="1 or more"):
        run(label_tiles(windows_of(np.zeros((5, 5))), (5, 5), **given_))


def test_a_reader_that_fails_ends_the_run():
    def read(box):
        if box.left > 60:
            raise OSError("no such chunk")
        return np.ones(box.shape, np.float32)

    with pytest.raises(OSError, match="no such chunk"):
        run(label_tiles(read, (50, 400), tile=40, margin=8))


def test_a_run_can_be_left_half_way():
    tiles = label_tiles(windows_of(touching(2, (200, 200), 40)), (200, 200), tile=40)
    next(tiles)
    tiles.close()
