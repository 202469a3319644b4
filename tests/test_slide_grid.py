"""Blocks cover a plane once, and their windows reach a margin beyond them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.grid import BlockGrid

GRIDS = [
    BlockGrid((300, 500), 128, 32),
    BlockGrid((128, 256), 128, 0),
    BlockGrid((1, 1), 7, 3),
    BlockGrid((5, 90), 9, 9),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_own_boxes_cover_every_pixel_once(grid: BlockGrid) -> None:
    seen = np.zeros(grid.shape, int)
    for row, column in grid:
        seen[grid.own(row, column).slices] += 1
    assert (seen == 1).all()
    assert len(list(grid)) == len(grid) == grid.rows * grid.columns


@pytest.mark.parametrize("grid", GRIDS)
def test_windows_reach_the_margin_and_stay_inside(grid: BlockGrid) -> None:
    for row, column in grid:
        own, window = grid.own(row, column), grid.window(row, column)
        assert window.top == max(0, own.top - grid.margin)
        assert window.right == min(grid.shape[1], own.right + grid.margin)
        assert window.shape == np.zeros(grid.shape)[window.slices].shape


@pytest.mark.parametrize("grid", GRIDS)
def test_numbers_run_row_by_row_and_back(grid: BlockGrid) -> None:
    assert [grid.number(*place) for place in grid] == list(range(grid.blocks))
    assert [grid.place(number) for number in range(grid.blocks)] == list(grid)


def test_a_pixel_belongs_to_the_block_that_owns_it() -> None:
    grid = GRIDS[0]
    for y, x in np.random.default_rng(0).uniform((0, 0), grid.shape, (50, 2)):
        own = grid.own(*grid.at(y, x))
        assert own.top <= y < own.bottom
        assert own.left <= x < own.right
    assert grid.at(-3, 10_000) == (0, grid.columns - 1)


def test_neighbours_are_those_whose_windows_reach_a_block() -> None:
    grid = GRIDS[0]
    for place in grid:
        near = [other for other in grid if other != place and grid.window(*other).meets(grid.own(*place))]
        assert sorted(grid.neighbours(*place)) == sorted(near)


def test_blocks_that_meet_a_box() -> None:
    grid = GRIDS[0]
    rng = np.random.default_rng(1)
    for _ in range(50):
        top, left = (int(one) for one in rng.integers(-40, 320, 2))
        box = Box(top, left, top + int(rng.integers(0, 200)), left + int(rng.integers(0, 200)))
        inside = Box(max(0, box.top), max(0, box.left), min(300, box.bottom), min(500, box.right))
        near = [place for place in grid if inside.area and grid.own(*place).meets(inside)]
        assert grid.meeting(box) == near


def test_ids_of_all_blocks_and_of_added_nuclei_fit_32_bits() -> None:
    for grid in (*GRIDS, BlockGrid((100_000, 100_000), 1024, 64)):
        assert (grid.blocks + 1) * grid.capacity <= np.iinfo(np.int32).max
    assert BlockGrid((100_000, 100_000), 1024, 64).capacity > 200_000


@pytest.mark.parametrize(
    ("shape", "side", "margin"),
    [((0, 5), 4, 1), ((5, 5), 0, 0), ((5, 5), 4, 5), ((9, 9), 4, -1), ((2**20, 2**20), 1, 0)],
)
def test_a_grid_that_makes_no_sense_is_refused(shape: tuple[int, int], side: int, margin: int) -> None:
    with pytest.raises(SettingsError, match=r"grid|blocks"):
        BlockGrid(shape, side, margin)
