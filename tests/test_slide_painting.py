"""Blocks together show what the whole plane would: every nucleus once, whatever the order of work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

for needed in ("zarr", "pyarrow"):
    pytest.importorskip(needed)

from drawn_maps import SETTINGS, about_of, computed, content, discs, paint_all, scattered  # noqa: E402

from napari_unetsharp.nuclei.instances import label_nuclei  # noqa: E402
from napari_unetsharp.nuclei.label_settings import LabelSettings  # noqa: E402
from napari_unetsharp.nuclei.pixels import Box  # noqa: E402
from napari_unetsharp.slides.painting import largest_pieces  # noqa: E402

SHAPE = (256, 384)


def test_small_nuclei_are_those_of_the_whole_plane(tmp_path: Path) -> None:
    plane = scattered(SHAPE, 0)
    whole = label_nuclei(plane.astype(np.float32) / 255, SETTINGS)
    with computed(tmp_path / "run", plane) as store:
        paint_all(store, 3)
        labels = store.read_labels(store.grid.plane)
        assert store.count == whole.max() > 150
    pairs = np.unique(np.stack([whole.ravel(), labels.ravel()]), axis=1)
    assert pairs.shape[1] == whole.max() + 1  # one to one, the outside too
    assert len(np.unique(pairs[1])) == pairs.shape[1]


def test_the_order_of_work_changes_nothing(tmp_path: Path) -> None:
    plane = scattered(SHAPE, 1, radii=(5, 30), step=40)  # some larger than the margin
    found = []
    for seed in range(3):
        with computed(tmp_path / str(seed), plane) as store:
            paint_all(store, seed)
            found.append(content(store))
    assert all(one == found[0] for one in found[1:])
    assert any(cut for *_, cut in found[0]["nuclei"])


def test_painting_again_changes_nothing(tmp_path: Path) -> None:
    with computed(tmp_path / "run", scattered(SHAPE, 2, radii=(5, 20))) as store:
        paint_all(store, 0)
        before = content(store)
        store.paint(1, 1)
        assert content(store) == before


@pytest.mark.parametrize("place", [(128, 128), (127.4, 128.3), (130, 126), (125, 256), (128, 300)])
def test_a_nucleus_on_a_seam_is_there_once(tmp_path: Path, place: tuple[float, float]) -> None:
    with computed(tmp_path / "run", discs(SHAPE, [(*place, 9)])) as store:
        paint_all(store, 1)
        (nucleus,) = store.nuclei()
        assert not nucleus.cut
        assert nucleus.area == pytest.approx(np.pi * 81, rel=0.05)
        assert nucleus.centroid == pytest.approx((place[0] + 0.5, place[1] + 0.5), abs=0.3)
        assert store.count == 1


def test_neighbours_that_draw_a_seam_nucleus_differently_have_it_once(tmp_path: Path) -> None:
    places = list(about_of(SHAPE).grid)
    found = []
    for seed in range(3):
        with computed(tmp_path / str(seed), np.zeros(SHAPE, np.uint8)) as store:
            for number, place in enumerate(places):  # each sees it a bit elsewhere and larger
                plane = discs(SHAPE, [(128 + number % 3 - 1, 128 - number % 2, 9 + number / 9), (60, 60, 8)])
                store.put_maps(*place, {"x02": plane[store.grid.window(*place).slices]})
            paint_all(store, seed)
            found.append(content(store))
            assert store.count == 2
    assert found[0] == found[1] == found[2]


def test_larger_than_the_margin_but_seen_whole_by_one_block_is_whole(tmp_path: Path) -> None:
    # blocks of 128 see 32 beyond: the block of the middle sees all of it, its left neighbour doesn't
    with computed(tmp_path / "run", discs(SHAPE, [(190, 165, 45)])) as store:
        paint_all(store, 5)
        (nucleus,) = store.nuclei()
        assert not nucleus.cut
        assert nucleus.area == pytest.approx(np.pi * 45**2, rel=0.03)


def test_seen_whole_by_no_block_is_cut_at_the_seams_and_marked(tmp_path: Path) -> None:
    plane = discs(SHAPE, [(128, 128, 70), (240, 350, 8)])
    with computed(tmp_path / "run", plane) as store:
        paint_all(store, 6)
        labels = store.read_labels(store.grid.plane)
        pieces = [one for one in store.nuclei() if one.cut]
        assert [one.cut for one in store.nuclei()].count(False) == 1
    assert len(pieces) == 4
    assert sum(one.area for one in pieces) == (plane[:230, :230] >= 127.5).sum()
    for piece in pieces:
        owns = [store.grid.own(*place) for place in store.grid if store.grid.own(*place).meets(piece.box)]
        assert len(owns) == 1
    assert ((labels > 0) == (plane >= 127.5)).all()


def test_cores_tell_nuclei_apart_and_doubt_is_measured(tmp_path: Path) -> None:
    about = about_of(SHAPE, maps=("x02", "core", "doubt"))
    plane = np.zeros(SHAPE, np.uint8)
    plane[100:150, 100:160] = 255  # one plate across the seam, with two cores
    core = discs(SHAPE, [(125, 115, 8), (125, 145, 8)])
    with computed(tmp_path / "run", plane, about=about) as store:
        for place in store.grid:
            window = store.grid.window(*place).slices
            doubt = np.full(SHAPE, 51, np.uint8)
            store.put_maps(*place, {"x02": plane[window], "core": core[window], "doubt": doubt[window]})
        paint_all(store)
        nuclei = list(store.nuclei())
        assert sum(one.area for one in nuclei) == 50 * 60
    assert len(nuclei) == 2
    assert {round(one.doubt, 4) for one in nuclei} == {0.2}
    assert {one.probability for one in nuclei} == {1.0}


@pytest.mark.parametrize("nucleus_size", [14.0, None])
def test_pale_middles_are_filled_and_lumens_are_not(tmp_path: Path, nucleus_size: float | None) -> None:
    plane = discs(SHAPE, [(60, 60, 9), (200, 200, 25), (20, 20, 7), (100, 160, 7), (240, 300, 7), (240, 150, 7)])
    plane[discs(SHAPE, [(60, 60, 3)]) > 127] = 0
    plane[discs(SHAPE, [(200, 200, 20)]) > 127] = 0  # wider than twice a nucleus of 14 px
    with computed(tmp_path / "run", plane, nucleus_size=nucleus_size) as store:
        paint_all(store)
        labels = store.read_labels(store.grid.plane)
    assert labels[60, 60] > 0
    assert labels[200, 200] == 0


def test_too_small_is_left_out_and_ids_stay_in_their_blocks(tmp_path: Path) -> None:
    plane = discs(SHAPE, [(50, 50, 4), (60, 200, 9), (200, 300, 9)])
    with computed(tmp_path / "run", plane, LabelSettings(smallest=100)) as store:
        paint_all(store)
        capacity = store.grid.capacity
        assert [one.id for one in store.nuclei()] == [capacity * 1 + 1, capacity * (3 + 2) + 1]


def test_nuclei_in_a_box_are_those_that_reach_it(tmp_path: Path) -> None:
    with computed(tmp_path / "run", scattered(SHAPE, 4), downsample=1) as store:
        paint_all(store)
        everything = list(store.nuclei())
        for box in (Box(100, 100, 160, 200), Box(0, 0, 1, 1), Box(127, 127, 129, 129), Box(240, 0, 256, 384)):
            near = {one.id for one in everything if one.box.meets(box)}
            assert {one.id for one in store.nuclei(box)} == near


def test_only_the_largest_piece_of_what_is_left_stays() -> None:
    labels = np.array([[1, 1, 0, 1], [2, 0, 2, 0], [2, 0, 2, 3]], np.int32)
    assert largest_pieces(labels, 1).tolist() == [[1, 1, 0, 0], [2, 0, 0, 0], [2, 0, 0, 3]]
    assert largest_pieces(labels, 2).tolist() == [[1, 1, 0, 0], [2, 0, 0, 0], [2, 0, 0, 0]]
    assert largest_pieces(np.zeros((2, 2), np.int32), 1).tolist() == [[0, 0], [0, 0]]
