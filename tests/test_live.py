"""A live look: what is missing in view, in what order, and that it ends as one run over all of it would."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.live import Look, TooWide
from napari_unetsharp.inference.live_labels import renewed
from napari_unetsharp.inference.live_network import LiveNetwork, LiveWish
from napari_unetsharp.inference.live_patches import STEP, asked, grown, in_view, longest_side, patches
from napari_unetsharp.inference.live_results import LiveResults
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import PlaneDone, TileDone
from napari_unetsharp.inference.scaling import ModelScale
from napari_unetsharp.inference.tiling import Region, plan_tiles
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei

SETTINGS = LabelSettings(smallest=5)


# which pieces ----------------------------------------------------------------------------------------


@st.composite
def views(draw):
    """A plane at some scale, a part of it on screen, and rectangles of it that were computed."""
    shape = draw(st.tuples(st.integers(20, 700), st.integers(20, 700)))
    scale = ModelScale.of(shape, draw(st.sampled_from([1.0, 0.37, 0.8, 1.9, 4.0])))
    regions = st.builds(
        Region, st.integers(-50, 600), st.integers(-50, 600), st.integers(1, 500), st.integers(1, 500)
    ).filter(lambda region: region.top < shape[0] and region.left < shape[1] and _reaches(region))  # fmt: skip
    done = np.zeros(shape, bool)
    for region in draw(st.lists(regions, max_size=3)):
        done[region.within(shape).slices] = True
    return scale, draw(regions).within(shape), done


def _reaches(region):
    return region.top + region.height > 0 and region.left + region.width > 0


@settings(max_examples=40, deadline=None)
@given(views(), st.sampled_from([1, 2, 5]))
def test_pieces_cover_all_that_is_missing_in_view_once_and_nothing_needless(view, cells):
    scale, region, done = view
    side = cells * STEP
    pieces = patches(in_view(scale, region), scale, done, side)
    covered = np.zeros(done.shape, int)
    for piece in pieces:
        assert 0 < piece.height <= side
        assert 0 < piece.width <= side
        core = scale.core(piece)
        covered[core.slices] += 1
        assert not done[core.slices].all()
    assert covered.max() <= 1
    assert (done | (covered > 0))[region.slices].all()


@settings(max_examples=40, deadline=None)
@given(views(), st.sampled_from([1, 4]))
def test_a_piece_is_one_tile_with_nothing_beyond_it(view, level):
    scale, region, done = view
    side = longest_side(level, 512)
    for piece in patches(in_view(scale, region), scale, done, side):
        part = asked(scale, piece)
        (plan,) = plan_tiles(scale.model, scale.region(part), level, 512)
        assert plan.core == piece


def test_the_middle_of_the_view_comes_first():
    scale = ModelScale.of((640, 960))
    pieces = patches(Region(0, 0, 640, 960), scale, np.zeros((640, 960), bool), 192)
    middles = [(piece.top + piece.height / 2 - 320, piece.left + piece.width / 2 - 480) for piece in pieces]
    away = [max(abs(down), abs(across)) for down, across in middles]
    assert away == sorted(away)
    assert len(pieces) == 4 * 5


def test_after_a_move_to_the_right_only_the_new_strip_waits():
    scale, done = ModelScale.of((600, 1200)), np.zeros((600, 1200), bool)
    done[:512, :704] = True
    (strip,) = patches(in_view(scale, Region(0, 100, 500, 700)), scale, done, 512)
    assert strip == Region(0, 704, 512, 128)


# labels ----------------------------------------------------------------------------------------------


def test_a_nucleus_cut_by_the_edge_grows_and_keeps_its_id_and_its_neighbour_stays():
    before, found = np.zeros((2, 8, 12), np.int32)
    before[1:4, 2:6] = 7
    before[5:8, 1:4] = 9
    found[1:4, 2:8] = 1
    found[5:8, 1:4] = 2
    found[5:7, 8:11] = 3
    after = renewed(before, found, (slice(0, 8), slice(6, 12)), first_free=30)
    expected = np.where(found == 1, 7, 0) + np.where(found == 2, 9, 0) + np.where(found == 3, 31, 0)
    np.testing.assert_array_equal(after, expected)


def test_a_nucleus_that_falls_apart_gives_its_id_to_the_larger_part():
    before, found = np.zeros((2, 6, 12), np.int32)
    before[1:4, 1:11] = 4
    found[1:4, 1:8] = 1
    found[1:4, 9:11] = 2
    after = renewed(before, found, (slice(0, 6), slice(8, 12)), first_free=4)
    np.testing.assert_array_equal(after, np.where(found == 1, 4, 0) + np.where(found == 2, 5, 0))


def test_ids_of_a_deeper_level_are_lent_but_never_twice():
    """One nucleus of the deeper level; of the two here, the left one has its id and doesn't touch the change."""
    before, found, deeper = np.zeros((3, 6, 12), np.int32)
    deeper[1:4, 1:11] = 5
    before[1:4, 1:5] = 5
    found[1:4, 1:5] = 1
    found[1:4, 6:11] = 2
    after = renewed(before, found, (slice(0, 6), slice(6, 12)), first_free=5, lending=deeper)
    assert set(np.unique(after[1:4, 1:5])) == {5}
    assert set(np.unique(after[1:4, 6:11])) == {6}


def same_nuclei(one, other):
    """Whether two maps hold the same nuclei, whatever their ids."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


# looks -----------------------------------------------------------------------------------------------

SHAPE = (300, 420)
WHOLE = Region(0, 0, *SHAPE)


def picture(seed=2):
    """Discs of two brightnesses, many of them touching."""
    random = np.random.default_rng(seed)
    pixels = np.zeros(SHAPE, np.uint8)
    for row, column in random.integers(0, SHAPE, (70, 2)):
        pixels[discs(SHAPE, [(row, column)], random.integers(5, 11)) > 100] = random.choice([150, 250])
    return pixels


def shallow_sees_more():
    """Depth 1 takes both brightnesses for nuclei, deeper ones only the brighter."""
    return seeing_brightness({"x01": 0.4, "x02": 0.8, "x03": 0.8, "x04": 0.8})


class Window:
    """What a window keeps between looks."""

    def __init__(self, checkpoint, depth=2, pixels=None):
        self.checkpoints = {"model": checkpoint}
        self.network, self.wish = LiveNetwork(), LiveWish("model", "cpu", depth)
        image = Image(picture() if pixels is None else pixels, "YX")
        self.results, self.first = LiveResults(image), LiveResults(image)

    def look(self, region=WHOLE, stop=lambda: False, settings=SETTINGS):
        self.network.take(self.wish, self.checkpoints.__getitem__)
        return list(Look(self.network, self.results, self.first, (), region, settings, stop).steps())


def tiles(steps):
    return [step.tile for step in steps if isinstance(step, TileDone)]


@pytest.fixture(scope="module")
def checkpoint():
    return shallow_sees_more()


def test_looks_here_and_there_end_as_one_run_does(checkpoint):
    window = Window(checkpoint)
    for region in (Region(30, 40, 90, 120), Region(100, 110, 120, 100), Region(10, 300, 80, 100), WHOLE):
        window.look(region)
    alone = Predictor(checkpoint, "cpu", 2).predict(picture())
    for name in ("x01", "x02"):
        np.testing.assert_array_equal(window.results.maps[name], alone.full[name])
    np.testing.assert_array_equal(window.results.doubt, alone.doubt)
    assert window.results.computed(()).all()
    for level in (1, 2):
        assert same_nuclei(window.results.labels[level], label_nuclei(alone.full[f"x0{level}"], SETTINGS))


def test_a_nucleus_has_one_id_in_both_depths(checkpoint):
    window = Window(checkpoint)
    window.look(Region(0, 0, 150, 200))
    window.look()
    deep, shallow = window.results.labels[2], window.results.labels[1]
    shared = {(a, b) for a, b in zip(deep[deep > 0], shallow[deep > 0], strict=True)}
    same = [a for a, b in shared if a == b]
    counts = Counter(int(value) for value in np.unique(deep[deep > 0]))
    assert len(same) > 0.8 * len(counts)


def test_depth_1_comes_first_and_gives_way(checkpoint):
    window = Window(checkpoint)
    steps = window.look()
    names = [tuple(tile.full) for tile in tiles(steps)]
    assert names == sorted(names, key=len)
    assert names[0] == ("x01",)
    assert names[-1] == ("x01", "x02")
    assert isinstance(steps[0], Predictor)
    assert isinstance(steps[-1], PlaneDone)
    assert steps[-1].nuclei[2] == window.results.labels[2].max()
    assert not steps[-1].stopped
    assert not window.first.labels[1].any()
    assert not window.first.computed(()).any()


def test_what_is_there_is_not_computed_again(checkpoint):
    window = Window(checkpoint)
    window.look(Region(0, 0, 120, 120))
    assert not tiles(window.look(Region(5, 5, 100, 100)))
    there = window.results.computed(())
    new = tiles(window.look(Region(0, 60, 120, 120)))
    for tile in new:
        assert not there[tile.core.slices].any()


def test_a_look_that_is_dropped_keeps_its_tiles_and_the_next_goes_on(checkpoint):
    window = Window(checkpoint, pixels=np.tile(picture(), (3, 3)))
    whole = Region(0, 0, 900, 1260)
    asked_so_far = []

    def stop():
        asked_so_far.append(True)
        return len(asked_so_far) > 2

    steps = window.look(whole, stop)
    assert len(tiles(steps)) == 2
    assert steps[-1].stopped
    assert not window.results.computed(()).any()
    seen_first = window.first.computed(())
    assert 0 < seen_first.mean() < 1
    rest = [tile for tile in tiles(window.look(whole)) if tuple(tile.full) == ("x01",)]
    for tile in rest:
        assert not seen_first[tile.core.slices].any()
    assert window.results.computed(()).all()


def test_only_what_the_chosen_depth_reached_counts_as_computed(checkpoint):
    window = Window(checkpoint, pixels=np.tile(picture(), (3, 3)))
    steps = window.look(Region(0, 0, 900, 1260), stop=lambda: bool(window.results.computed(()).any()))
    assert steps[-1].stopped
    done = window.results.computed(())
    assert 0 < done.mean() < 1
    assert not window.results.labels[2][~done].any()
    assert not window.results.labels[1][~done].any()
    assert window.results.labels[1][done].any()
    assert window.first.labels[1][~done].any()
    assert not window.first.labels[1][done].any()


def test_other_settings_are_read_from_the_maps_without_the_network(checkpoint):
    window = Window(checkpoint)
    window.look()
    other = LabelSettings(smallest=150)
    assert not tiles(window.look(settings=other))
    for level in (1, 2):
        expected = label_nuclei(window.results.maps[f"x0{level}"], other)
        assert same_nuclei(window.results.labels[level], expected)


def test_another_depth_or_model_clears_what_no_longer_holds(checkpoint):
    window = Window(checkpoint)
    window.look()
    window.wish = LiveWish("model", "cpu", 3)
    window.look(Region(0, 0, 60, 60))
    done = window.results.computed(())
    assert done[:60, :60].all()
    assert not done[200:, 200:].any()
    assert not window.results.maps["x01"][200:, 200:].any()
    window.checkpoints["model"] = seeing_brightness({"x03": 0.3})
    window.wish = LiveWish("model", "cpu", 3, written=1)
    window.look(Region(0, 0, 60, 60))
    pixels = picture()[:60, :60]
    np.testing.assert_array_equal(window.results.labels[3][:60, :60] > 0, window.results.maps["x03"][:60, :60] > 0.5)
    assert (window.results.maps["x03"][:60, :60][pixels == 150] > 0.5).all()


def test_after_a_run_of_the_same_depth_nothing_waits(checkpoint):
    window = Window(checkpoint)
    for _ in window.results.steps(Predictor(checkpoint, "cpu", 2), [()], lambda: SETTINGS):
        pass
    assert not tiles(window.look())


def test_too_wide_a_view_is_said_before_anything_is_computed(checkpoint, monkeypatch):
    window = Window(checkpoint)
    monkeypatch.setattr("napari_unetsharp.inference.live_network.MOST", 0.05e6)
    steps = window.look()
    assert steps[-1] == TooWide(SHAPE[0] * SHAPE[1], 50_000)
    assert not tiles(steps)
    assert tiles(window.look(Region(0, 0, 60, 60)))


def test_only_the_chosen_depth_where_depth_1_has_no_head():
    checkpoint = seeing_brightness(deep_supervision=False)
    window = Window(checkpoint, depth=4)
    steps = window.look(Region(0, 0, 100, 100))
    assert {tuple(tile.full) for tile in tiles(steps)} == {("x04",)}
    assert steps[-1].nuclei[4] > 0


def test_pixels_that_cannot_be_used_are_an_error(checkpoint):
    pixels = picture().astype(np.float32)
    pixels[3, 3] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        Window(checkpoint, pixels=pixels).look()


def test_grown_stays_within_the_plane():
    assert grown(Region(5, 90, 10, 10), 8, (40, 100)) == Region(0, 82, 23, 18)
