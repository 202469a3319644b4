"""Tiles cover what was asked for, once, and know where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_unetsharp.errors import ShapeError
from napari_unetsharp.inference.tiling import (
    DEFAULT_TILE,
    LARGE_TILE,
    MARGINS,
    Region,
    least_tile,
    padded,
    plan_tiles,
    read_window,
    suitable_tile,
)
from napari_unetsharp.network.upconv import Window

LEVELS = st.sampled_from([1, 2, 3, 4])


@st.composite
def plans(draw):
    """Shape, region, level, tile and the tiles planned for them."""
    level = draw(LEVELS)
    shape = (draw(st.integers(1, 900)), draw(st.integers(1, 400)))
    spans = []
    for length in shape:
        start = draw(st.integers(0, length - 1))
        spans.append((start, draw(st.integers(1, length - start))))
    region = draw(st.sampled_from([None, Region(spans[0][0], spans[1][0], spans[0][1], spans[1][1])]))
    tile = draw(st.integers(2 * MARGINS[level] + 16, 2 * MARGINS[level] + 300))
    return shape, region, level, tile, plan_tiles(shape, region, level, tile)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(plans())
def test_cores_cover_the_region_once(planned):
    shape, region, _, _, tiles = planned
    region = region or Region(0, 0, *shape)
    times = np.zeros(shape, int)
    for plan in tiles:
        assert plan.core.height > 0
        assert plan.core.width > 0
        times[plan.core.slices] += 1
    assert times.max() == 1
    assert times[region.slices].min() == 1
    beyond = np.ones(shape, bool)
    beyond[max(0, region.top - 15) : region.top + region.height + 15,
           max(0, region.left - 15) : region.left + region.width + 15] = False  # fmt: skip
    assert not times[beyond].any()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(plans())
def test_windows_lie_on_the_grid_inside_the_padded_plane(planned):
    shape, _, level, tile, tiles = planned
    whole = tuple(-(-side // 16) * 16 for side in shape)
    for plan in tiles:
        window, core = plan.window, plan.core
        assert (window.whole_height, window.whole_width) == whole
        for start, length, limit in (
            (window.top, window.height, whole[0]), (window.left, window.width, whole[1]),
        ):  # fmt: skip
            assert start % 16 == length % 16 == 0
            assert start >= 0
            assert start + length <= limit
            assert 0 < length <= tile
        for start, length, first, size, limit, side in (
            (core.top, core.height, window.top, window.height, whole[0], shape[0]),
            (core.left, core.width, window.left, window.width, whole[1], shape[1]),
        ):
            stop = start + length
            assert start % 16 == 0
            assert stop % 16 == 0 or stop == side
            assert first == 0 or start - first >= MARGINS[level]
            assert first + size == limit or first + size - stop >= MARGINS[level]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(plans())
def test_the_middle_comes_first(planned):
    shape, region, _, _, tiles = planned
    region = region or Region(0, 0, *shape)
    middle = region.top + region.height / 2, region.left + region.width / 2
    far = [
        max(
            abs(plan.core.top + plan.core.height / 2 - middle[0]),
            abs(plan.core.left + plan.core.width / 2 - middle[1]),
        )
        for plan in tiles
    ]
    assert far == sorted(far)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(LEVELS, st.integers(1, 6000), st.integers(0, 300))
@example(1, 5248, 288)  # eighteen tiles, evened: rounding down would give nineteen
def test_no_more_tiles_than_needed(level, side, more):
    margin = MARGINS[level]
    tile = (2 * margin + 16 + more) // 16 * 16
    needed = 1 if padded(side) <= tile else 2
    # the two tiles at the ends need one margin each, those between two
    while needed > 1 and 2 * (tile - margin) + (needed - 2) * (tile - 2 * margin) < padded(side):
        needed += 1
    assert len(plan_tiles((side, 5), None, level, tile)) == needed


@pytest.mark.parametrize("side", [1072, 1100, 1168, 1232, 1300])
def test_the_last_tile_is_no_sliver(side):
    """A sliver would cost as much margin as a whole tile."""
    cores = [plan.core.height for plan in plan_tiles((side, 5), None, 4, 512)]
    assert sum(cores) == side
    assert min(cores) >= 160


def test_an_image_that_fits_is_one_tile():
    (plan,) = plan_tiles((500, 389))
    assert plan.window == Window(0, 0, 512, 400, 512, 400)
    assert plan.core == Region(0, 0, 500, 389)


@pytest.mark.parametrize(("level", "least"), [(1, 80), (2, 80), (3, 144), (4, 208)])
def test_a_tile_without_a_core_is_refused(level, least):
    assert plan_tiles((600, 600), None, level, least)
    with pytest.raises(ShapeError, match=f"{least} or more"):
        plan_tiles((600, 600), None, level, least - 1)


@pytest.mark.parametrize("region", [Region(50, 0, 5, 5), Region(0, 60, 5, 5), Region(-9, 0, 9, 9), Region(3, 3, 0, 4)])
def test_a_region_off_the_image_is_refused(region):
    with pytest.raises(ShapeError, match="50 x 60 px"):
        plan_tiles((50, 60), region)


def test_a_region_that_hangs_over_is_cut():
    assert Region(-5, 40, 20, 40).within((50, 60)) == Region(0, 40, 15, 20)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 512])
def test_padded_is_the_next_multiple(length):
    assert padded(length) % 16 == 0
    assert 0 <= padded(length) - length < 16


# Reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 1, 3), (1, 40, 1), (16, 32, 2), (100, 37, 3)])
def test_beyond_the_edge_is_mirrored_as_numpy_does(shape):
    plane = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    whole = tuple(padded(side) for side in shape[:2])
    beyond = [(0, side - given) for side, given in zip(whole, shape, strict=False)]
    np.testing.assert_array_equal(
        read_window(plane, Window.whole(*whole)), np.pad(plane, (*beyond, (0, 0)), mode="symmetric")
    )


@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 1, 1), (40, 21, 2)])
def test_before_the_edge_too(shape):
    plane = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    expected = np.pad(plane, ((48, 64), (32, 64), (0, 0)), mode="symmetric")[:96, :64]
    np.testing.assert_array_equal(read_window(plane, Window(-48, -32, 96, 64, 96, 64)), expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(plans())
def test_what_is_kept_is_the_core(planned):
    shape, _, _, _, tiles = planned
    plane = np.arange(shape[0] * shape[1]).reshape(*shape, 1)
    for plan in tiles[:4]:
        block = read_window(plane, plan.window)
        assert block.shape == (plan.window.height, plan.window.width, 1)
        np.testing.assert_array_equal(block[plan.kept], plane[plan.core.slices])


class Recorder:
    """A plane far larger than memory, of which only what is asked for exists."""

    shape = (10**6, 10**6, 3)

    def __init__(self):
        self.read = 0

    def __getitem__(self, key):
        rows, columns = (range(*part.indices(side)) for part, side in zip(key, self.shape, strict=False))
        self.read += len(rows) * len(columns)
        return np.add.outer(np.array(rows), np.array(columns))[..., np.newaxis] + np.zeros(3, int)


def test_only_what_is_needed_is_read():
    plane = Recorder()
    plan = plan_tiles(plane.shape[:2], Region(500_000, 999_900, 50, 100), 4, 320)[0]
    block = read_window(plane, plan.window)
    assert plane.read <= 320 * 320
    assert block[0, 0, 0] == plan.window.top + plan.window.left


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [300, 1024, 2047, 2048, 20_000])
def test_tiles_suit_the_plane_and_the_memory(level, side):
    usual = suitable_tile((side, 200), level, 1e9)
    assert usual == suitable_tile((200, side), level, 1e9) == (LARGE_TILE if side >= 2048 else DEFAULT_TILE)
    for room in (1e3, 2e5, 5e5):
        tile = suitable_tile((side, 200), level, room)
        assert tile <= usual
        assert tile % 16 == 0
        assert tile**2 <= room or tile == least_tile(level)


def test_margins_of_a_large_plane_cost_no_more_than_the_half():
    plans = plan_tiles((4096, 4096), None, 4, suitable_tile((4096, 4096), 4, 1e9))
    assert sum(plan.window.height * plan.window.width for plan in plans) < 1.5 * 4096**2
