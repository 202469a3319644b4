"""In which order nuclei are served."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.nuclei.order import (
    draw_spot_checks,
    in_region,
    in_state,
    mix,
    nearest_first,
    one_by_one,
    random_order,
    screens,
)
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.states import State


def nuclei(count, seed=0):
    drawn = np.random.default_rng(seed)
    return drawn.random(count), drawn.uniform(0, 1000, (count, 2))


def test_the_doubtful_fifth_is_served():
    doubt, centres = nuclei(200)
    queue = one_by_one(doubt, centres)
    assert set(queue.cards.tolist()) == set(np.argsort(-doubt)[:40].tolist())
    assert len(set(queue.cards.tolist())) == len(queue) == 40
    assert not queue.spots.any()


def test_bands_go_from_the_most_doubtful_down():
    doubt, centres = nuclei(200)
    queue = one_by_one(doubt, centres)
    assert queue.bands.tolist() == sorted(queue.bands.tolist())
    lowest = [doubt[queue.cards[queue.bands == band]].min() for band in range(5)]
    highest = [doubt[queue.cards[queue.bands == band]].max() for band in range(5)]
    assert all(low > high for low, high in zip(lowest[:-1], highest[1:], strict=True))


@pytest.mark.parametrize("bands", [1, 3, 7])
def test_the_nearest_comes_next_inside_a_band(bands):
    doubt, centres = nuclei(90)
    queue = one_by_one(doubt, centres, share=1, bands=bands, start=(500, 500))
    here = np.array([500, 500])
    for band in range(bands):
        left = queue.cards[queue.bands == band].tolist()
        for card in list(left):
            assert np.hypot(*(centres[card] - here)) == np.hypot(*(centres[left] - here).T).min()
            left.remove(card)
            here = centres[card]


def test_without_a_start_the_most_doubtful_is_first():
    doubt, centres = nuclei(60)
    assert one_by_one(doubt, centres).cards[0] == np.argmax(doubt)


def test_filters_leave_out_but_bring_nobody_in():
    doubt, centres = nuclei(100)
    kept = np.random.default_rng(1).random(100) < 0.5
    everyone = one_by_one(doubt, centres).cards
    assert set(one_by_one(doubt, centres, kept).cards.tolist()) == set(everyone[kept[everyone]].tolist())


def test_nobody_is_lost():
    doubt, centres = nuclei(57)
    doubt[:30] = 0
    assert sorted(one_by_one(doubt, centres, share=1).cards.tolist()) == list(range(57))
    assert len(one_by_one(doubt, centres, share=0)) == 0
    assert len(one_by_one([], np.zeros((0, 2)))) == 0


@pytest.mark.parametrize(("share", "bands"), [(-0.1, 5), (1.1, 5), (0.2, 0)])
def test_orders_that_make_no_sense_are_refused(share, bands):
    with pytest.raises(SettingsError):
        one_by_one([0.5], [(1, 1)], share=share, bands=bands)


def test_of_equally_near_ones_the_first_is_taken():
    assert nearest_first(np.array([(0.0, 0), (0, 2), (2, 0), (0, -2)])).tolist() == [0, 1, 2, 3]
    assert nearest_first(np.zeros((5, 2))).tolist() == [0, 1, 2, 3, 4]
    assert nearest_first(np.zeros((0, 2))).tolist() == []


def test_a_random_order_is_fair():
    ids = np.arange(1, 41)
    firsts = np.bincount([random_order(ids, seed)[0] for seed in range(4000)], minlength=40)
    assert abs(firsts - 100).max() < 5 * np.sqrt(100)
    pairs = sum(
        np.argsort(random_order(ids, seed))[3] < np.argsort(random_order(ids, seed))[17] for seed in range(2000)
    )
    assert abs(pairs - 1000) < 5 * np.sqrt(500)


def test_a_random_order_stays_when_ids_come_and_go():
    ids = np.arange(1, 200)
    kept = ids[np.random.default_rng(2).random(199) < 0.7]
    served = ids[random_order(ids, 9)]
    assert served[np.isin(served, kept)].tolist() == kept[random_order(kept, 9)].tolist()
    assert not np.array_equal(served, ids[random_order(ids, 10)])
    np.testing.assert_array_equal(served, ids[random_order(ids, 9)])


def test_more_spot_checks_go_on_from_fewer():
    ids = np.arange(10, 90)
    few, many = draw_spot_checks(ids, 7, 3), draw_spot_checks(ids, 30, 3)
    assert many[:7].tolist() == few.tolist()
    assert len(set(many.tolist())) == 30
    assert len(draw_spot_checks(ids, 500, 3)) == 80
    assert len(draw_spot_checks(ids, -1, 3)) == 0


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5), st.integers(1, 6))
def test_mixing_keeps_both_orders_and_serves_each_once(count, checks, seed, every):
    doubt, centres = nuclei(count, seed)
    queue = one_by_one(doubt, centres, share=0.5)
    drawn = draw_spot_checks(np.arange(1, count + 1), checks, seed)
    mixed = mix(queue, drawn, seed, every)
    cards = mixed.cards.tolist()
    assert len(cards) == len(set(cards))
    assert set(cards) == set(queue.cards.tolist()) | set(drawn.tolist())
    assert mixed.spots.tolist() == np.isin(mixed.cards, drawn).tolist()
    only_doubtful = [card for card in queue.cards.tolist() if card not in set(drawn.tolist())]
    assert [card for card in cards if card in set(only_doubtful)] == only_doubtful
    only_drawn = [card for card in drawn.tolist() if card not in set(queue.cards.tolist())]
    assert [card for card in cards if card in set(only_drawn)] == only_drawn
    known = dict(zip(queue.cards.tolist(), queue.bands.tolist(), strict=True))
    assert mixed.bands.tolist() == [known.get(card, -1) for card in cards]


def test_spot_checks_come_at_random_places_about_as_often_as_asked():
    doubt, centres = nuclei(3000)
    queue = one_by_one(doubt, centres, share=1)
    spots = mix(queue, draw_spot_checks(np.arange(3000), 300, 1), 1, every=5).spots
    first_half = spots[: len(spots) // 2].mean()
    assert 0.1 < first_half < 0.25
    assert len(set(np.diff(np.flatnonzero(spots)).tolist())) > 5


def test_a_card_is_shown_at_its_own_turn_only():
    """Being drawn as a spot check brings nobody among those that count as shown."""
    doubt, centres = nuclei(100)
    queue = one_by_one(doubt, centres, share=0.5)
    mixed = mix(queue, draw_spot_checks(np.arange(100), 60, 4), 4, every=1)
    before = np.zeros(100, bool)
    for served in range(len(mixed) + 1):
        shown = mixed.shown(served, 100)
        turns = int(shown.sum())
        assert shown[queue.cards[:turns]].all()
        assert (before <= shown).all()
        seen = np.isin(np.arange(100), mixed.cards[:served])
        assert seen[shown].all()
        before = shown
    assert before.sum() == 50


def test_states_and_regions():
    assert in_state([State.TO_DO, State.RIGHT, State.UNSURE]).tolist() == [True, False, False]
    assert in_state([State.TO_DO, State.NOT], {State.NOT, State.UNSURE}).tolist() == [False, True]
    centres = [(5, 5), (9.4, 5), (5, 10)]
    assert in_region(centres, Box(0, 0, 10, 10)).tolist() == [True, True, False]
    mask = np.zeros((10, 10), bool)
    mask[9, 5] = True
    assert in_region(centres, mask).tolist() == [False, True, False]
    assert in_region(np.zeros((0, 2)), mask).tolist() == []


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 25), st.integers(1, 25))
def test_screens_cover_the_field_in_one_walk(height, width, rows, columns):
    views = screens((height, width), (rows, columns))
    covered = np.zeros((height, width), bool)
    for view in views:
        assert view.shape == (min(rows, height), min(columns, width))
        covered[view.slices] = True
    assert covered.all()
    assert len(views) == -(-height // rows) * -(-width // columns)
    for one, other in pairwise(views):
        assert one.top == other.top or one.left == other.left
        assert abs(one.top - other.top) <= rows
        assert abs(one.left - other.left) <= columns


def test_screens_of_a_region_cover_it():
    region = Box(30, 10, 75, 58)
    views = screens((80, 60), (20, 25), region)
    covered = np.zeros((80, 60), bool)
    for view in views:
        covered[view.slices] = True
    assert covered[region.slices].all()
    assert len(views) == 3 * 2
    assert screens((80, 60), (500, 500)) == [Box(0, 0, 80, 60)]
    with pytest.raises(SettingsError):
        screens((80, 60), (0, 5))
