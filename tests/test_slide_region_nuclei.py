"""What a run found on a slide is what a review of a region starts from; what a person says goes back to its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from painted_slides import disc_map
from scipy import ndimage
from test_slide_region import write_slide

from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.nuclei import answers, edits, redrawing
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.store import SlideStore
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.slide_given import give_steps, review_of, same_nuclei, waiting
from napari_unetsharp.widgets.slide_region import as_image, cut_region, region_at
from napari_unetsharp.widgets.slide_seed import material_of_slide

SIDES = (300, 420)


def about_of(slide, **changed):
    told = {
        "downsample": 1, "checkpoint": "small", "checkpoint_sha256": "ab" * 32, "level": 2, "side": 128, "margin": 32,
        "maps": ("x02",),
    }  # fmt: skip
    return RunAbout(slide.name, str(slide.path), slide.identity, SIDES, **(told | changed))


def run_over(folder, about, blocks=None, seed=0):
    """A run whose maps are discs; of some blocks only."""
    store = SlideStore.open_or_create(folder, about, LabelSettings(smallest=4))
    whole = disc_map(about.shape, 60 // about.downsample, seed)
    for row, column in store.grid if blocks is None else blocks:
        store.put_maps(row, column, {about.maps[0]: whole[store.grid.window(row, column).slices]})
        store.paint(row, column)
    return store


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    pixels = np.random.default_rng(4).integers(0, 255, (*SIDES, 3), np.uint8)
    with open_slide(write_slide(tmp_path_factory.mktemp("slides") / "case 7.tif", pixels)) as opened:
        yield opened


def slivers_of(store, box):
    """Pixels in a box of nuclei that lie mostly beyond it."""
    whole, here = store.read_labels(Box(0, 0, *store.about.shape)), store.read_labels(box)
    ids = [id_ for id_ in np.unique(here[here > 0]) if 2 * (here == id_).sum() < (whole == id_).sum()]
    return np.isin(here, ids)


def material(slide, region, store) -> Material | None:
    return material_of_slide(region, as_image(region, cut_region(slide, region)), store)


def test_nuclei_of_a_region_are_those_of_the_slide_numbered_from_one(slide, tmp_path):
    with run_over(tmp_path / "run", about_of(slide)) as store:
        region = region_at(slide, Box(60, 100, 220, 330))
        given, there = material(slide, region, store), store.read_labels(region.box)
        there[slivers_of(store, region.box)] = 0
        count = len(np.unique(there)) - 1
        assert count > 10
        assert given.labels.shape == region.box.shape
        assert set(np.unique(given.labels)) == set(range(count + 1)), "ids of a slide have gaps of millions"
        pairs = np.unique(np.stack([given.labels.ravel(), there.ravel()], axis=1), axis=0)
        assert len(pairs) == count + 1, "one number for each id"
        assert given.level == 2
        assert given.model == "ab" * 32
        assert given.of_slide
        assert given.computed.all()
        probability = store.probability.read(region.box)
        seen, inside = np.round(given.maps["x02"].astype(np.float32) * 255), given.labels > 0
        assert np.array_equal(seen[inside], probability[inside])
        assert not seen[slivers_of(store, region.box)].any(), "nor is it offered as a possible miss"
        doubts = {nucleus.id: nucleus.doubt for nucleus in store.nuclei(region.box)}
        for id_ in np.unique(there[there > 0]):
            assert given.doubt[there == id_] == pytest.approx(doubts[int(id_)], abs=1e-3)


def test_coarser_results_lie_where_the_slide_has_them(slide, tmp_path):
    with run_over(tmp_path / "run", about_of(slide, downsample=2, side=64, margin=16)) as store:
        region = region_at(slide, Box(61, 103, 220, 330))
        given = material(slide, region, store)
        there = store.read_labels(Box(0, 0, *store.about.shape)).repeat(2, 0).repeat(2, 1)[region.box.slices]
        assert np.array_equal((given.labels > 0) | given.known["ignored"], there > 0)
        assert (given.labels > 0).any()


def test_where_the_run_was_not_nothing_is_said(slide, tmp_path):
    with run_over(tmp_path / "run", about_of(slide), [(0, 0), (0, 1)]) as store:
        apart = region_at(slide, Box(200, 0, 290, 100))
        assert material(slide, apart, store) is None
        part = material(slide, region_at(slide, Box(60, 60, 200, 200)), store)
        assert part.computed[:68].all()
        assert not part.computed[68:].any()
    with run_over(tmp_path / "other plane", about_of(slide, plane=(3,)), [(0, 0)]) as store:
        assert material(slide, region_at(slide, Box(0, 0, 100, 100)), store) is None


def test_the_same_nucleus_is_the_one_that_shares_most():
    before = np.zeros((20, 40), np.int32)
    before[2:12, 2:12], before[2:12, 12:22], before[14:18, 30:34] = 2_000_000_000, 7, 9
    own = np.zeros_like(before)
    own[2:12, 3:9] = 1  # most of the first
    own[2:12, 9:14] = 2  # the rest of it, and a strip of the second
    own[2:12, 15:22] = 3  # most of the second
    own[12:16, 24:32] = 4  # a corner of the third
    assert same_nuclei(own, before) == {1: 2_000_000_000, 3: 7}
    assert same_nuclei(np.zeros_like(own), before) == {} == same_nuclei(own, np.zeros_like(own))


class Bench:
    """A slide, a run over it, and the review of a region."""

    def __init__(self, slide, folder, box, **changed):
        self.slide, self.folder = slide, folder
        self.store = run_over(folder / "run", about_of(slide, **changed))
        self.region = region_at(slide, Box(*box))
        self.region = replace(self.region, file=folder / "regions" / self.region.file.name)
        self.pixels = cut_region(slide, self.region)
        given = material_of_slide(self.region, as_image(self.region, self.pixels), self.store)
        identity = identify(self.pixels, "YXC")
        self.review = Review.start(review_of(self.region).parent, identity, given.labels, "tester", **given.known)

    def give(self, store=None):
        self.review.save()
        return [done.nuclei for done in give_steps(store or self.store, [self.region])]

    def on_slide(self, id_):
        """Id on the slide of a nucleus of the review, by its middle pixel."""
        mask = self.review.labels == id_
        ids, counts = np.unique(self.shown()[mask], return_counts=True)
        return int(ids[counts.argmax()])

    def shown(self):
        """Labels of the slide within the region, at full resolution."""
        step = self.store.about.downsample
        whole = self.store.read_labels(Box(0, 0, *self.store.about.shape)).repeat(step, 0).repeat(step, 1)
        return whole[self.region.box.slices]

    def states(self):
        return {nucleus.id: nucleus.state for nucleus in self.store.nuclei()}

    def inner(self, count):
        """Nuclei that lie within the region, large ones first."""
        height, width = self.review.labels.shape
        boxes = self.review.boxes.items()
        far = [id_ for id_, (top, left, bottom, right) in boxes if top and left and bottom < height and right < width]
        return sorted(far, key=lambda id_: -self.review.areas[id_])[:count]

    def repaint(self):
        """Other settings and back: what a later run does."""
        for threshold in (0.4, 0.5):
            self.store.relabel(LabelSettings(threshold, smallest=4))
            for row, column in self.store.grid:
                self.store.paint(row, column)

    def close(self):
        self.review.close()
        self.store.close()


@pytest.fixture
def bench(slide, tmp_path):
    made = Bench(slide, tmp_path, (60, 100, 220, 330))
    yield made
    made.close()


def test_answers_are_in_the_results_and_no_later_run_overwrites_them(bench):
    right, wrong, thin, _, left = bench.inner(5)
    ids = {id_: bench.on_slide(id_) for id_ in (right, wrong, thin, left)}
    bench.review.apply(answers.accept, right)
    bench.review.apply(answers.reject, wrong)
    box = bench.review.boxes[thin]
    narrow = Box(box.top, box.left, box.bottom - 3, box.right)
    bench.review.apply(redrawing.redraw, thin, narrow, bench.review.labels[narrow.slices] == thin)
    bench.review.apply(edits.add, free := Box(*_free(bench.review.labels)), np.ones(free.shape, bool))
    added = bench.review.next_id - 1
    untouched = (bench.review.labels == left).copy()
    assert bench.give() == [4]
    for _ in range(2):
        states, shown = bench.states(), bench.shown()
        assert (states[ids[right]], states[ids[thin]]) == ("accepted", "edited")
        assert ids[wrong] not in states
        assert not (shown == ids[wrong]).any()
        assert np.array_equal(shown == ids[thin], bench.review.labels == thin)
        new = bench.on_slide(added)
        assert states[new] == "added"
        assert np.array_equal(shown == new, bench.review.labels == added)
        assert states[ids[left]] == "unchecked"
        assert np.array_equal(shown == ids[left], untouched)
        bench.repaint()
    assert waiting(bench.store, [bench.region]) == []
    assert bench.give() == []


def test_what_is_taken_back_is_taken_back_on_the_slide(bench):
    before = bench.shown()
    (wrong, cut) = bench.inner(2)
    bench.review.apply(answers.reject, wrong)
    box = bench.review.boxes[cut]
    middle = (box.top + box.bottom) / 2
    bench.review.apply(edits.split, cut, [(middle, box.left - 2), (middle, box.right + 2)])
    assert bench.give()
    assert not np.array_equal(bench.shown(), before)
    bench.review.undo()
    bench.review.undo()
    assert bench.give() == [0]
    assert np.array_equal(bench.shown(), before)
    assert set(bench.states().values()) == {"unchecked"}


def test_ids_stay_while_more_is_done(bench):
    first = Box(*_free(bench.review.labels))
    bench.review.apply(edits.add, first, np.ones(first.shape, bool))
    one = bench.review.next_id - 1
    (cut,) = bench.inner(1)
    known = bench.on_slide(cut)
    bench.give()
    kept = bench.on_slide(one)
    second = Box(*_free(bench.review.labels))
    bench.review.apply(edits.add, second, np.ones(second.shape, bool))
    two = bench.review.next_id - 1
    box = bench.review.boxes[cut]
    share = box.top + 0.7 * (box.bottom - box.top)
    bench.review.apply(edits.split, cut, [(share, box.left - 2), (share, box.right + 2)])
    parts = [cut, bench.review.next_id - 1]
    bench.give()
    assert bench.on_slide(one) == kept
    assert bench.on_slide(two) not in (kept, 0)
    largest = max(parts, key=lambda id_: bench.review.areas[id_])
    assert bench.on_slide(largest) == known
    ids = [bench.on_slide(id_) for id_ in (one, two, *parts)]
    bench.repaint()
    assert len(set(ids)) == 4
    assert ids == [bench.on_slide(id_) for id_ in (one, two, *parts)]


def test_a_nucleus_on_the_border_stays_whole_and_a_sliver_is_none_of_the_region(slide, tmp_path):
    bench = Bench(slide, tmp_path, (66, 102, 218, 332))
    shown, whole = bench.shown(), bench.store.read_labels(Box(0, 0, *bench.store.about.shape))
    cut = [int(id_) for id_ in np.unique(shown[shown > 0]) if (whole == id_).sum() > (shown == id_).sum()]
    beyond = slivers_of(bench.store, bench.region.box)
    kept = [id_ for id_ in cut if id_ not in shown[beyond]]
    assert kept
    assert beyond.any()
    assert np.array_equal(bench.review.ignored, beyond)
    assert not bench.review.labels[beyond].any()
    bench.review.apply(answers.complete_view, Box(0, 0, *bench.region.box.shape))
    bench.give()
    after = bench.store.read_labels(Box(0, 0, *bench.store.about.shape))
    for id_ in cut:
        assert np.array_equal(after == id_, whole == id_), "nothing is cut at the border, and nothing lost beyond it"
    states = bench.states()
    assert {states[id_] for id_ in kept} == {"accepted"}
    assert {states[int(id_)] for id_ in shown[beyond]} == {"unchecked"}
    bench.close()


def test_another_run_gets_the_answers_too(bench):
    right, wrong = bench.inner(2)
    bench.review.apply(answers.accept, right)
    bench.review.apply(answers.reject, wrong)
    bench.give()
    with run_over(bench.folder / "deeper", about_of(bench.slide, level=3, maps=("x03",))) as other:
        assert waiting(other, [bench.region]) == [bench.region]
        assert bench.give(other) == [2]
        shown = other.read_labels(bench.region.box)
        states = {nucleus.id: nucleus.state for nucleus in other.nuclei()}
        assert {states[int(id_)] for id_ in np.unique(shown[bench.review.labels == right])} == {"accepted"}
        outline = bench.review.rejected[wrong]
        assert not shown[outline.box.slices][outline.mask()].any()


def test_answers_reach_coarser_results_in_their_place(slide, tmp_path):
    bench = Bench(slide, tmp_path, (61, 103, 221, 331), downsample=2, side=64, margin=16)
    right, wrong = bench.inner(2)
    ids, mask = (bench.on_slide(right), bench.on_slide(wrong)), bench.review.labels == right
    bench.review.apply(answers.accept, right)
    bench.review.apply(answers.reject, wrong)
    bench.give()
    assert bench.states()[ids[0]] == "accepted"
    assert ids[1] not in bench.states()
    assert ((bench.shown() == ids[0]) & mask).sum() > 0.9 * mask.sum()
    bench.close()


def test_the_newer_of_two_regions_that_overlap_counts_and_starts_from_the_older(bench, slide, tmp_path):
    (seen,) = bench.inner(1)
    id_ = bench.on_slide(seen)
    bench.review.apply(answers.accept, seen)
    bench.give()
    box, (top, left, _, _) = bench.review.boxes[seen], bench.region.box
    around = Box(top + box.top - 20, left + box.left - 20, top + box.bottom + 20, left + box.right + 20)
    region = replace(region_at(slide, around), file=tmp_path / "regions" / "newer.tif")
    pixels = cut_region(slide, region)
    given = material_of_slide(region, as_image(region, pixels), bench.store)
    with Review.start(review_of(region).parent, identify(pixels, "YXC"), given.labels, **given.known) as newer:
        local = int(newer.labels[20 + box.shape[0] // 2, 20 + box.shape[1] // 2])
        assert newer.nuclei[local].state is State.RIGHT
        newer.apply(answers.reject, local)
        newer.save()
        assert [done.region for done in give_steps(bench.store, [bench.region, region])] == [region]
    assert id_ not in bench.states()
    assert not (bench.shown() == id_).any()


def _free(labels):
    """Top, left, bottom, right of a square of background, away from nuclei."""
    rows, columns = np.nonzero(ndimage.distance_transform_cdt(np.pad(labels == 0, 1), "chessboard")[1:-1, 1:-1] > 6)
    return rows[0] - 3, columns[0] - 3, rows[0] + 3, columns[0] + 3
