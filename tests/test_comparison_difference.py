"""Where two sets of nuclei differ, by cases worked by hand and by what must always hold."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unetsharp.comparison.difference import BAND, COLOURS, NAMES, Kind, difference
from napari_unetsharp.errors import ShapeError
from napari_unetsharp.nuclei.matching import match_nuclei


def drawn(shape, *squares):
    """An instance map; each square is (id, top, left, bottom, right)."""
    labels = np.zeros(shape, np.int32)
    for id_, top, left, bottom, right in squares:
        labels[top:bottom, left:right] = id_
    return labels


def random_nuclei(seed, count=40, side=96):
    """Squares on each other, of any ids."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    for id_ in rng.choice(2**31 - 2, count, replace=False) + 1:
        top, left = rng.integers(0, side - 4, 2)
        height, width = rng.integers(3, 16, 2)
        labels[top : top + height, left : left + width] = id_
    return labels


def test_each_kind_once():
    a = drawn((40, 60), (5, 2, 2, 8, 8), (7, 10, 2, 14, 12), (8, 2, 20, 8, 24), (3, 2, 24, 8, 28), (11, 12, 20, 16, 24))
    b = drawn((40, 60), (9, 2, 3, 8, 9), (1, 10, 2, 14, 7), (2, 10, 7, 14, 12), (4, 2, 20, 8, 28), (12, 30, 50, 34, 54))
    found = difference(a, b)
    assert found.counts == {Kind.ONLY_A: 1, Kind.ONLY_B: 1, Kind.BOTH: 1, Kind.SPLIT: 1, Kind.JOINED: 1}
    items = {item.kind: item for item in found.items}
    assert (items[Kind.SPLIT].ids_a, items[Kind.SPLIT].ids_b) == ((7,), (1, 2))
    assert (set(items[Kind.JOINED].ids_a), items[Kind.JOINED].ids_b) == ({3, 8}, (4,))
    assert (items[Kind.ONLY_A].ids_a, items[Kind.ONLY_A].ids_b) == ((11,), ())
    assert (items[Kind.ONLY_B].ids_a, items[Kind.ONLY_B].ids_b) == ((), (12,))
    assert items[Kind.JOINED].box == (2, 20, 8, 28)
    assert [items[kind].area for kind in (Kind.ONLY_A, Kind.ONLY_B, Kind.SPLIT, Kind.JOINED)] == [16, 16, 40, 48]
    for kind, item in items.items():
        rows, columns = item.box.slices
        assert set(np.unique(found.codes[rows, columns])) == {kind}
    assert (found.codes[2:8, 2:9] == Kind.BOTH).all(), "the rim of a matched pair isn't a difference"


def test_nuclei_that_overlap_without_matching_show_as_rims():
    a, b = drawn((10, 20), (1, 2, 2, 6, 10)), drawn((10, 20), (1, 2, 7, 6, 15))
    found = difference(a, b)
    assert found.codes[3, 2] == Kind.ONLY_A
    assert found.codes[3, 8] == Kind.BOTH
    assert found.codes[3, 14] == Kind.ONLY_B
    assert [(item.ids_a, item.ids_b) for item in found.items] == [((1,), (1,)), ((1,), (1,))]
    assert {item.words("L2", "L4") for item in found.items} == {"L2 and L4 draw this differently"}


def test_words_say_who_sees_what():
    a = drawn((40, 60), (1, 2, 2, 8, 8), (2, 20, 2, 26, 20))
    b = drawn((40, 60), (1, 20, 2, 26, 11), (2, 20, 11, 26, 20), (3, 30, 40, 36, 50))
    assert [item.words("Depth 2", "Depth 4") for item in difference(a, b).items] == [
        "only Depth 2 sees this", "one nucleus in Depth 2, 2 in Depth 4", "only Depth 4 sees this"
    ]  # fmt: skip
    assert difference(b, a).items[1].words("Depth 4", "Depth 2") == "2 nuclei in Depth 4, one in Depth 2"


@pytest.mark.parametrize("seed", range(6))
def test_every_nucleus_is_told_once(seed):
    """What a random pair of maps must keep: each nucleus that isn't in both is in the list, and the rest is not."""
    a, b = random_nuclei(seed), random_nuclei(seed + 100)
    b[:48] = a[:48]  # half of it is the same
    found, matching = difference(a, b), match_nuclei(a, b)
    told_a = {id_ for item in found.items if item.kind is not Kind.ONLY_B for id_ in item.ids_a}
    told_b = {id_ for item in found.items if item.kind is not Kind.ONLY_A for id_ in item.ids_b}
    pairs = matching.matches()
    alone_a = set(matching.true_ids.tolist()) - set(matching.true_ids[matching.truth[pairs]].tolist())
    alone_b = set(matching.found_ids.tolist()) - set(matching.found_ids[matching.found[pairs]].tolist())
    assert alone_a <= told_a
    assert alone_b <= told_b
    assert len(matching.true_ids) == found.counts[Kind.BOTH] + len(told_a)
    assert found.counts[Kind.SPLIT] == len(matching.split())
    assert found.counts[Kind.JOINED] == len(matching.merged())
    assert ((found.codes > 0) == ((a > 0) | (b > 0))).all()
    assert found.counts[Kind.BOTH] > 0


def test_the_other_way_round_is_the_mirror_image():
    a, b = random_nuclei(1), random_nuclei(2)
    there, back = difference(a, b), difference(b, a)
    mirror = {Kind.ONLY_A: Kind.ONLY_B, Kind.ONLY_B: Kind.ONLY_A, Kind.SPLIT: Kind.JOINED, Kind.JOINED: Kind.SPLIT}
    assert {mirror[kind]: count for kind, count in there.counts.items() if kind in mirror} == {
        kind: count for kind, count in back.counts.items() if kind in mirror
    }
    told = {(mirror[item.kind], item.ids_b, item.ids_a, item.box) for item in there.items}
    assert told == {(item.kind, item.ids_a, item.ids_b, item.box) for item in back.items}


def test_boxes_hold_their_nuclei():
    a, b = random_nuclei(3), random_nuclei(4)
    for item in difference(a, b).items:
        ids_a = item.ids_a if item.kind is not Kind.ONLY_B else ()
        ids_b = item.ids_b if item.kind is not Kind.ONLY_A else ()
        rows, columns = np.nonzero(np.isin(a, ids_a) | np.isin(b, ids_b))
        assert item.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert item.area == len(rows)


def test_the_walk_goes_to_and_fro():
    places = [(10, 500), (20, 10), (BAND + 10, 30), (BAND + 5, 400)]
    a = drawn((2 * BAND, 600), *((n, y, x, y + 4, x + 4) for n, (y, x) in enumerate(places, start=1)))
    walk = [item.box[:2] for item in difference(a, np.zeros_like(a)).items]
    assert walk == [(20, 10), (10, 500), (BAND + 5, 400), (BAND + 10, 30)]


def test_nothing_and_the_same():
    a = random_nuclei(5)
    nothing = np.zeros_like(a)
    same = difference(a, a)
    assert same.items == []
    assert set(np.unique(same.codes)) == {Kind.NONE, Kind.BOTH}
    empty = difference(nothing, nothing)
    assert (empty.items, empty.codes.any(), set(empty.counts.values())) == ([], False, {0})
    assert difference(nothing, a).counts[Kind.ONLY_B] == len(np.unique(a)) - 1
    with pytest.raises(ShapeError):
        difference(a, a[:-1])


def lightness(colour):
    """CIE 1931 relative luminance of an sRGB colour, 0..1."""
    values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_kind_has_a_colour_and_a_name_of_its_own():
    kinds = set(Kind) - {Kind.NONE}
    assert set(COLOURS) == set(NAMES) == kinds
    assert len(set(COLOURS.values())) == len(set(NAMES.values())) == len(kinds)
    assert abs(lightness(COLOURS[Kind.ONLY_A]) - lightness(COLOURS[Kind.ONLY_B])) > 0.05
