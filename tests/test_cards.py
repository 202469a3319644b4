"""Cards: what is asked about each nucleus, in words, with what "yes" would leave."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.alternatives import other_outlines
from napari_unetsharp.nuclei.cards import Kind
from napari_unetsharp.nuclei.deck import deal
from napari_unetsharp.nuclei.instances import label_nuclei
from napari_unetsharp.nuclei.pixels import Box

SHAPE = (90, 120)
CENTRES = [(20, 20), (20, 37), (60, 20), (60, 60)]


def disc(centre, radius=8):
    return discs(SHAPE, [centre], radius) > 100


def four():
    """Four sure nuclei that all depths see alike; the first two touch."""
    labels = np.zeros(SHAPE, np.int32)
    for number, centre in enumerate(CENTRES, start=1):
        labels[disc(centre)] = 10 * number
    values = (labels > 0).astype(np.float16)
    return {f"x0{level}": values.copy() for level in range(1, 5)}, {level: labels.copy() for level in range(1, 5)}


def placed(card):
    """What the card draws, in the plane."""
    plane = np.zeros(SHAPE, np.int32)
    plane[card.box.slices] = card.parts
    return plane


def test_a_perfect_network_leaves_no_doubt_anywhere():
    picture = discs((150, 117), [(20, 20), (70, 60), (110, 100), (149, 10)], 9)
    prediction = Predictor(seeing_brightness(), "cpu").predict(np.repeat(picture[..., np.newaxis], 3, axis=2))
    labels = {level: label_nuclei(prediction.full[f"x0{level}"]) for level in range(1, 5)}
    deck = deal(prediction.full, labels, 4, prediction.doubt)
    assert len(deck) == 4
    assert deck.doubt.max() < 0.001
    assert set(deck.kinds) == {Kind.NUCLEUS}
    assert deck.card(0).words == "little speaks against it"


def test_every_nucleus_has_one_card():
    maps, labels = four()
    deck = deal(maps, labels, 4)
    assert deck.ids.tolist() == [10, 20, 30, 40]
    assert [deck.place_of(number) for number in (10, 40, 41, 0)] == [0, 3, -1, -1]
    card = deck.card(2)
    assert (card.kind, card.ids, card.source) == (Kind.NUCLEUS, (30,), "x04")
    np.testing.assert_array_equal(placed(card), labels[4] == 30)
    assert card.mask.dtype == bool


def test_a_possible_miss():
    maps, labels = four()
    for level in (1, 2, 3):
        maps[f"x0{level}"][disc((60, 100))] = 1
        labels[level][disc((60, 100))] = 7
    maps["x04"][disc((60, 100))] = 0.45
    deck = deal(maps, labels, 4)
    card = deck.card(4)
    assert (card.kind, card.ids, card.source) == (Kind.MISS, (), "x03")
    assert card.words == "depth 1, 2 and 3 see a nucleus here"
    assert card.doubt == deck.doubt[4] > 0.1
    np.testing.assert_array_equal(placed(card), disc((60, 100)))


def test_a_possible_false_find():
    maps, labels = four()
    for level in (1, 2, 3):
        labels[level][labels[4] == 40] = 0
        maps[f"x0{level}"][labels[4] == 40] = 0
    deck = deal(maps, labels, 4)
    card = deck.card(3)
    assert (card.kind, card.ids) == (Kind.FALSE, (40,))
    assert card.words == "no other depth sees it: maybe not a nucleus"
    np.testing.assert_array_equal(placed(card), labels[4] == 40)
    assert np.argmax(deck.doubt) == 3


@pytest.mark.parametrize("level", [1, 3])
def test_an_offered_split_follows_the_depth_that_sees_two(level):
    maps, labels = four()
    right = (labels[4] == 30) & (np.indices(SHAPE)[1] >= 20)
    labels[level][right] = 99
    if level == 1:
        assert deal(maps, labels, 4).kinds[2] is Kind.NUCLEUS  # a far depth alone is no reason
        maps["x04"][labels[4] == 30] = 0.7
        maps["x04"][56:64, 14:17] = maps["x04"][56:64, 24:27] = 0.95
    card = deal(maps, labels, 4).card(2)
    assert (card.kind, card.ids, card.source) == (Kind.SPLIT, (30,), f"x0{level}")
    assert card.words == f"depth {level} sees 2 nuclei here"
    parts = placed(card)
    assert set(np.unique(parts[labels[4] == 30])) == {1, 2}
    assert not parts[labels[4] != 30].any()
    assert len(np.unique(parts[right])) == len(np.unique(parts[(labels[4] == 30) & ~right])) == 1


def test_an_offered_split_at_two_centres():
    maps, labels = four()
    maps["x04"][labels[4] == 30] = 0.7
    maps["x04"][54:67, 13:18] = maps["x04"][54:67, 23:28] = 0.95
    maps["x04"][labels[4] == 0] = 0
    card = deal(maps, labels, 4).card(2)
    assert (card.kind, card.words) == (Kind.SPLIT, "two centres: maybe two nuclei")
    assert placed(card)[60, 14] != placed(card)[60, 26]
    np.testing.assert_array_equal(placed(card) > 0, labels[4] == 30)


def test_an_offered_join():
    maps, labels = four()
    labels[3][labels[3] == 20] = 10
    deck = deal(maps, labels, 4)
    assert deck.partners.tolist() == [20, 10, 0, 0]
    card = deck.card(0)
    assert (card.kind, card.ids) == (Kind.JOIN, (10, 20))
    assert card.words == "depth 3 sees it and nucleus 20 as one"
    np.testing.assert_array_equal(placed(card), np.isin(labels[4], (10, 20)))


def test_an_offered_other_outline():
    maps, labels = four()
    labels[3][labels[3] == 40] = 0
    labels[3][disc((60, 66))] = 40
    card = deal(maps, labels, 4).card(3)
    assert (card.kind, card.ids, card.source) == (Kind.OUTLINE, (40,), "x03")
    assert card.words == "depth 3 draws another outline"
    np.testing.assert_array_equal(placed(card), disc((60, 66)))


def test_another_depth_can_be_reviewed():
    maps, labels = four()
    labels[1][labels[1] == 30] = 0
    deck = deal(maps, labels, 1)
    assert deck.ids[:3].tolist() == [10, 20, 40]
    assert deck.kinds[3] is Kind.MISS
    assert deck.card(3).source == "x02"


def test_a_single_map_makes_cards_too():
    maps, labels = four()
    deck = deal({"x02": maps["x02"]}, {2: labels[2]}, 2)
    assert set(deck.kinds) == {Kind.NUCLEUS}
    assert not deck.doubt.any()


def test_other_outlines_come_once_and_the_most_alike_first():
    maps, labels = four()
    labels[3][labels[3] == 40] = 0
    labels[3][disc((60, 66))] = 44
    labels[2][labels[2] == 40] = 0
    labels[2][disc((60, 63))] = 4
    labels[1] = labels[2]
    maps["x22"] = np.zeros(SHAPE, np.float16)
    maps["x22"][50:70, 50:70] = 1
    box = Box(52, 52, 69, 69)
    cards = other_outlines(maps, labels, 40, labels[4][box.slices] == 40, box)
    assert {card.source for card in cards} == {"x02", "x03", "x22"}
    assert [card.doubt for card in cards] == sorted(card.doubt for card in cards)
    by_source = {card.source: card for card in cards}
    np.testing.assert_array_equal(placed(by_source["x02"]), disc((60, 63)))
    np.testing.assert_array_equal(placed(by_source["x03"]), disc((60, 66)))
    assert placed(by_source["x22"]).sum() == 400
    assert by_source["x03"].words == "as depth 3 sees it"
    assert by_source["x22"].words == "as the 1/4 view sees it"
    assert all(card.ids == (40,) and card.kind is Kind.OUTLINE for card in cards)


def test_where_nothing_else_is_seen_there_is_no_other_outline():
    maps, labels = four()
    box = Box(0, 100, 10, 110)
    assert other_outlines(maps, labels, 5, np.ones((10, 10), bool), box) == []


def test_cards_of_an_empty_plane():
    maps, labels = four()
    empty = {level: np.zeros(SHAPE, np.int32) for level in labels}
    deck = deal({name: np.zeros(SHAPE, np.float16) for name in maps}, empty, 4)
    assert len(deck) == 0
    assert deck.place_of(1) == -1


@pytest.mark.parametrize("level", [2, 3])
def test_a_nucleus_taken_away_since_leaves_an_empty_card(level):
    maps, labels = four()
    labels[level][(labels[4] == 30) & (np.indices(SHAPE)[1] >= 20)] = 99
    deck = deal(maps, labels, 4)
    labels[4][labels[4] == 30] = 0
    assert not deck.card(2).mask.any()
