"""The next block is the one in view that is nearest to its middle."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.grid import BlockGrid
from napari_unetsharp.slides.order import next_block

GRID = BlockGrid((950, 1210), 100, 10)  # 10 rows, 13 columns; the last ones are smaller
SHAPE = (GRID.rows, GRID.columns)
ALL, NONE = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)


def order(view, pending=ALL, ready=NONE):
    left, found = pending.copy(), []
    while (place := next_block(GRID, left, ready, view)) is not None:
        found.append(place)
        left[place] = False
    return found


def test_without_a_view_blocks_come_row_by_row():
    assert order(None) == list(GRID)


def test_what_is_in_view_comes_first_then_the_nearest():
    found = order(Box(310, 420, 490, 570))  # rows 3 and 4, columns 4 and 5; its middle is (400, 495)
    assert set(found[:4]) == {(3, 4), (3, 5), (4, 4), (4, 5)}
    assert found[0] in {(3, 4), (4, 4)}
    assert set(found[4:8]) == {(2, 4), (5, 4), (3, 3), (4, 3)} or set(found[4:6]) <= {(2, 4), (5, 4), (3, 3), (4, 3)}
    assert sorted(found) == list(GRID)


def test_what_lacks_but_its_labels_comes_first_in_view_and_elsewhere():
    ready = NONE.copy()
    ready[0, 0] = ready[4, 5] = True
    found = order(Box(310, 420, 490, 570), ready=ready)
    assert found[0] == (4, 5)
    assert found[4] == (0, 0)
    assert order(None, ready=ready)[:2] == [(0, 0), (4, 5)]


def test_a_view_beside_the_slide_still_leads_to_its_nearest_block():
    assert order(Box(2000, 2000, 2100, 2100))[0] == (9, 12)
    assert order(Box(-300, -300, -10, -10))[0] == (0, 0)


def test_nothing_is_left():
    assert next_block(GRID, NONE, NONE, None) is None
    assert next_block(GRID, NONE, NONE, Box(0, 0, 9, 9)) is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.tuples(*[st.integers(-500, 1500)] * 2), st.tuples(*[st.integers(1, 900)] * 2))
def test_no_block_in_view_waits_for_one_out_of_view(seed, corner, sides):
    pending = np.random.default_rng(seed).random(SHAPE) < 0.5
    view = Box(*corner, corner[0] + sides[0], corner[1] + sides[1])
    shown = [GRID.own(*place).meets(view) for place in order(view, pending)]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == pending.sum()
