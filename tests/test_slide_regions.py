"""What a person reviewed on a slide stays for good, whatever is run, resumed or relabelled afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("zarr", "pyarrow"):
    pytest.importorskip(needed)

from drawn_maps import SETTINGS, computed, content, discs, paint_all, scattered  # noqa: E402

from napari_unetsharp.errors import ShapeError, SlideRunError  # noqa: E402
from napari_unetsharp.nuclei.label_settings import LabelSettings  # noqa: E402
from napari_unetsharp.nuclei.pixels import Box  # noqa: E402
from napari_unetsharp.slides.store import SlideStore  # noqa: E402

SHAPE = (200, 300)
BOX = Box(60, 90, 160, 220)  # across four blocks
PLANE = scattered(SHAPE, 0, radii=(5, 11))
FEWER = LabelSettings(threshold=0.6, smallest=200)
NEW = 77


def answered(labels: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """One nucleus taken away, one accepted, one redrawn, one drawn anew; of those that lie inside."""
    labels, inner = labels.copy(), labels[12:-12, 12:-12]
    whole = [one for one in np.unique(inner)[1:].tolist() if (inner == one).sum() == (labels == one).sum() > 60]
    gone, right, redrawn = whole[:3]
    labels[labels == gone] = 0
    there = np.argwhere(labels == redrawn)
    labels[tuple(there[: len(there) // 3].T)] = 0
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    labels[np.hypot(rows - 60, columns - 70) < 9] = NEW
    return labels, {gone: "rejected", right: "accepted", redrawn: "edited", NEW: "added"}


def reviewed_pixels(box: Box = BOX) -> np.ndarray:
    looked = np.zeros(box.shape, bool)
    looked[8:-8, 8:-8] = True
    return looked


def review(store: SlideStore, box: Box = BOX) -> tuple[dict[int, int], np.ndarray, dict[int, str]]:
    """Answer in a box; ids kept, labels as they must stay, states by kept id."""
    labels, states = answered(store.read_labels(box))
    kept = store.write_region(box, labels, reviewed_pixels(box), states)
    shall = np.zeros_like(labels)
    for given, here in kept.items():
        shall[labels == given] = here
    return kept, shall, {kept[one]: state for one, state in states.items() if state != "rejected"}


def check_consistent(store: SlideStore) -> None:
    labels, nuclei = store.read_labels(store.grid.plane), list(store.nuclei())
    areas = dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True))
    areas.pop(0, None)
    assert [one.id for one in nuclei] == sorted(areas)
    assert {one.id: one.area for one in nuclei} == areas
    assert store.count == len(nuclei)


def check_kept(store: SlideStore, shall: np.ndarray, states: dict[int, str]) -> None:
    looked = reviewed_pixels()
    assert np.array_equal(store.read_labels(BOX)[looked], shall[looked])
    found = {one.id: one.state for one in store.nuclei(BOX)}
    assert {one: found[one] for one in states} == states
    check_consistent(store)


def test_reviewed_pixels_are_as_they_were_given_and_the_table_says_so(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        before = store.read_labels(BOX)
        kept, shall, states = review(store)
        check_kept(store, shall, states)
        assert kept[NEW] > store.grid.blocks * store.grid.capacity
        assert all(given == here for given, here in kept.items() if given != NEW)
        outside = ~np.isin(before, list(kept))
        assert np.array_equal(store.read_labels(BOX)[outside & (before > 0)], before[outside & (before > 0)])


def test_an_accepted_nucleus_keeps_its_measures(tmp_path: Path) -> None:
    plane, doubt = discs(SHAPE, [(100, 100, 14)]), np.full(SHAPE, 102, np.uint8)
    with computed(tmp_path / "run", plane, maps=("x02", "doubt")) as store:
        for place in store.grid:
            window = store.grid.window(*place).slices
            store.put_maps(*place, {"x02": plane[window], "doubt": doubt[window]})
        paint_all(store)
        (before,) = store.nuclei()
        store.write_region(BOX, store.read_labels(BOX), np.ones(BOX.shape, bool), {before.id: "accepted"})
        (after,) = store.nuclei()
    assert (after.id, after.state, after.area, after.box) == (before.id, "accepted", before.area, before.box)
    assert np.array_equal(after.polygon, before.polygon)
    assert after.probability == pytest.approx(before.probability, abs=1e-6)
    assert after.doubt == pytest.approx(before.doubt) == pytest.approx(0.4)


def test_no_order_of_work_resuming_or_relabelling_changes_it(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        _, shall, states = review(store)
        before = content(store)
    with SlideStore.open(tmp_path / "run", writing=True) as store:
        check_kept(store, shall, states)
        for place in store.grid:
            store.paint(*place)
        assert content(store) == before
        store.relabel(FEWER)
        store.paint(0, 1)
        check_kept_pixels = reviewed_pixels()
        assert np.array_equal(store.read_labels(BOX)[check_kept_pixels], shall[check_kept_pixels])
        paint_all(store, 2)
        check_kept(store, shall, states)
        assert content(store) != before
        store.relabel(SETTINGS)
        paint_all(store, 3)
        assert content(store) == before


def test_a_region_reviewed_before_its_blocks_are_run_wins_too(tmp_path: Path) -> None:
    with computed(tmp_path / "one", PLANE) as store:
        paint_all(store)
        labels, states = answered(store.read_labels(BOX))
        store.write_region(BOX, labels, reviewed_pixels(), states)
        after = store.read_labels(BOX)
    with computed(tmp_path / "two", PLANE) as store:
        kept = store.write_region(BOX, labels, reviewed_pixels(), states)
        assert store.count == len({kept[one] for one in np.unique(labels[reviewed_pixels()])[1:].tolist()})
        paint_all(store, 1)
        check_consistent(store)
        looked = reviewed_pixels()
        assert np.array_equal(store.read_labels(BOX)[looked] > 0, after[looked] > 0)


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        labels, states = answered(store.read_labels(BOX))
        first = store.write_region(BOX, labels, reviewed_pixels(), states)
        before = content(store)
        assert store.write_region(BOX, labels, reviewed_pixels(), states) == first
        assert content(store) == before
        taken_up = np.zeros_like(labels)  # now by the ids that were returned
        for given, here in first.items():
            taken_up[labels == given] = here
        states = {first[one]: state for one, state in states.items()}
        again = store.write_region(BOX, taken_up, reviewed_pixels(), states)
        assert all(given == here for given, here in again.items())
        assert content(store) == before


def test_while_new_settings_wait_to_be_painted_reviewed_pixels_are_right_too(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        store.relabel(FEWER)
        labels = np.zeros(BOX.shape, np.int32)
        store.write_region(BOX, labels, reviewed_pixels(), {})
        assert not store.read_labels(BOX)[reviewed_pixels()].any()
        assert store.read_labels(store.grid.plane).any()  # the rest waits as it was
        paint_all(store)
        assert not store.read_labels(BOX)[reviewed_pixels()].any()
        check_consistent(store)


def test_withdrawn_answers_bring_the_runs_nuclei_back(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        before, labels = content(store), store.read_labels(BOX)
        review(store)
        assert content(store) != before
        store.write_region(BOX, labels, np.zeros(BOX.shape, bool), {})
        assert content(store) == before


def test_a_nucleus_with_one_reviewed_pixel_is_kept_whole_beyond_the_box(tmp_path: Path) -> None:
    places = [(100, 100, 14), (40, 40, 9)]
    with computed(tmp_path / "run", discs(SHAPE, places)) as store:
        paint_all(store)
        whole = store.read_labels(store.grid.plane)
        box = Box(100, 100, 150, 150)  # a quarter of it
        (number,) = np.unique(whole[box.slices])[1:].tolist()
        reviewed = np.zeros(box.shape, bool)
        reviewed[3, 3] = True
        store.write_region(box, whole[box.slices], reviewed, {number: "accepted"})
        assert np.array_equal(store.read_labels(store.grid.plane), whole)
        assert {one.id: one.state for one in store.nuclei()}[number] == "accepted"
        store.relabel(LabelSettings(smallest=2000))  # the run alone would find nothing any more
        paint_all(store)
        assert np.array_equal(store.read_labels(store.grid.plane) > 0, whole == number)
        check_consistent(store)


def test_a_redrawn_nucleus_isnt_there_twice_where_the_run_finds_it_again(tmp_path: Path) -> None:
    with computed(tmp_path / "run", discs(SHAPE, [(100, 100, 14)])) as store:
        paint_all(store)
        (number,) = [one.id for one in store.nuclei()]
        box = Box(60, 60, 140, 140)
        labels = np.zeros(box.shape, np.int32)
        labels[26:36, 36:46] = number  # a small part of it is what the person leaves
        reviewed = labels > 0
        store.write_region(box, labels, reviewed, {number: "edited"})
        for settings in (SETTINGS, LabelSettings(threshold=0.4, smallest=10)):
            store.relabel(settings)
            paint_all(store)
            (nucleus,) = store.nuclei()
            assert (nucleus.id, nucleus.area, nucleus.state) == (number, 100.0, "edited")
            assert (store.read_labels(store.grid.plane) > 0).sum() == 100


def test_a_rejected_nucleus_is_gone_whatever_pixels_were_reviewed(tmp_path: Path) -> None:
    with computed(tmp_path / "run", discs(SHAPE, [(100, 100, 14), (40, 40, 9)])) as store:
        paint_all(store)
        number = int(store.read_labels(Box(100, 100, 101, 101))[0, 0])
        box = Box(95, 95, 140, 140)
        store.write_region(box, np.zeros(box.shape, np.int32), np.zeros(box.shape, bool), {number: "rejected"})
        for _ in range(2):
            assert number not in [one.id for one in store.nuclei()]
            assert store.count == 1
            check_consistent(store)
            store.relabel(LabelSettings(threshold=0.45, smallest=10))
            paint_all(store)


def test_of_two_regions_the_newest_wins_where_both_were_reviewed(tmp_path: Path) -> None:
    other = Box(20, 30, 120, 150)
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        first, shall_first, _ = review(store)
        second, shall_second, states = review(store, other)
        assert first[NEW] != second[NEW]
        looked = reviewed_pixels(other)
        assert np.array_equal(store.read_labels(other)[looked], shall_second[looked])
        check_consistent(store)
        before = content(store)
        assert len({one for one in before["nuclei"] if one[5] == "added"}) >= 1
        far = np.s_[80:92, 80:120]  # reviewed in the first, and far from the second
        assert np.array_equal(store.read_labels(BOX)[far], shall_first[far])
    with SlideStore.open(tmp_path / "run", writing=True) as store:
        store.relabel(FEWER)
        paint_all(store, 1)
        store.relabel(SETTINGS)
        paint_all(store, 2)
        assert content(store) == before
        assert states.items() <= {one.id: one.state for one in store.nuclei()}.items()


def test_ids_that_a_person_holds_are_given_to_nobody_else(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        _, shall, states = review(store)
        for threshold in (0.3, 0.75):  # ranks move: other nuclei would get the same numbers
            store.relabel(LabelSettings(threshold=threshold, smallest=10))
            paint_all(store, 1)
            check_kept(store, shall, states)


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("left", [1, 2, 6])
def test_ending_at_any_write_of_a_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    other, replace, until = Box(20, 30, 120, 150), os.replace, [0]

    def ending(source: Any, target: Any) -> None:
        until[0] -= 1
        if until[0] == 0:
            raise _Killed
        replace(source, target)

    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        review(store, other)
        labels, states = answered(store.read_labels(BOX))
        monkeypatch.setattr(os, "replace", ending)
        until[0] = left
        with pytest.raises(_Killed):
            store.write_region(BOX, labels, reviewed_pixels(), states)
        until[0] = 0
    with SlideStore.open(tmp_path / "run", writing=True) as store:
        check_consistent(store)  # the region is there, or it isn't
        kept = store.write_region(BOX, labels, reviewed_pixels(), states)
        assert kept[NEW] > store.grid.blocks * store.grid.capacity
        check_consistent(store)
        looked = reviewed_pixels()
        assert np.array_equal(store.read_labels(BOX)[looked] > 0, labels[looked] > 0)
        before = content(store)
        store.relabel(SETTINGS)
        paint_all(store, left)
        assert content(store) == before


def test_what_doesnt_fit_is_refused(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        labels, reviewed = np.zeros(BOX.shape, np.int32), np.zeros(BOX.shape, bool)
        with pytest.raises(ShapeError, match="result plane"):
            store.write_region(Box(150, 250, 250, 380), labels, reviewed, {})
        with pytest.raises(ShapeError, match="of that shape"):
            store.write_region(BOX, labels[1:], reviewed, {})
        with pytest.raises(SlideRunError, match="'right'"):
            store.write_region(BOX, labels, reviewed, {1: "right"})
        assert not (store.folder / "regions").exists()


def test_a_damaged_region_stops_the_run_rather_than_losing_it(tmp_path: Path) -> None:
    with computed(tmp_path / "run", PLANE) as store:
        paint_all(store)
        review(store)
        (path,) = (store.folder / "regions").glob("*.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SlideRunError, match="reviewed region"):
        SlideStore.open(tmp_path / "run", writing=True)
    path.write_bytes(whole)
    with SlideStore.open(tmp_path / "run", writing=True) as store:
        store.paint(0, 0)
