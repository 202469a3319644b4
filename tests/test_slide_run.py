"""A run over a slide gives the same whatever its order, and however often it was stopped, killed or gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from drawn_slides import ArrayTiles, slide_of, spotted, write_slide
from scipy import ndimage
from small_networks import one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.errors import DeviceError, ImageError, SlideRunError
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.images.tissue import Tissue
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.run import RunSettings, SlideRun, run_folder
from napari_unetsharp.slides.store import SlideStore

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")

SHAPE, BLOCKS = (330, 380), 9
PIXELS, CENTRES = spotted(SHAPE, 40, 6)
SETTINGS = RunSettings(side=128, tissue_only=False)
ALL = Box(0, 0, *SHAPE)


def predictor_of(level=1, tile=None):
    return Predictor(seeing_brightness(), "cpu", level, (f"x0{level}",), tile)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slide") / "drawn.tif", PIXELS)


@pytest.fixture
def slide(path):
    with open_slide(path) as slide:
        yield slide


def outcome(folder):
    """Labels, probability, table and reviewable rows of a finished run, as bytes."""
    with SlideStore.open(folder) as store:
        assert store.done
        nuclei = [(one.id, one.centroid, one.area, one.polygon.tobytes()) for one in store.nuclei()]
        levels = [
            np.asarray(level[...]).tobytes()
            for pyramid in (store.labels, store.probability)
            for level in pyramid.levels
        ]
        return levels, nuclei, (folder / "nuclei.parquet").read_bytes()


@pytest.fixture(scope="module")
def plain(path, tmp_path_factory):
    """What an unbroken run gives, row by row."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    with open_slide(path) as slide, SlideRun.prepare(slide, predictor_of(), folder, SETTINGS) as run:
        list(run.steps())
    return outcome(folder)


def test_each_nucleus_is_found_once_and_whole(plain, tmp_path, slide):
    with SlideRun.prepare(slide, predictor_of(), tmp_path / "run", SETTINGS) as run:
        done = list(run.steps())
        assert [(one.row, one.column) for one in done] == list(run.store.grid)
        assert [one.done for one in done] == list(range(1, BLOCKS + 1))
        assert {one.total for one in done} == {BLOCKS}
        assert done[-1].seconds_left == 0
        assert done[-1].mpx_per_s > 0
        assert done[4].box == Box(128, 128, 256, 256)
        assert run.remaining() == []
        labels = run.store.read_labels(ALL)
        assert run.store.count == len(CENTRES)
    truth, count = ndimage.label(PIXELS[..., 0] > 127)
    assert count == len(CENTRES)
    np.testing.assert_array_equal(labels > 0, truth > 0)
    pairs = np.unique(np.stack([truth.ravel(), labels.ravel()]), axis=1)
    assert pairs.shape[1] == len(CENTRES) + 1  # each has one id of its own
    assert outcome(tmp_path / "run") == plain


@pytest.mark.parametrize("seed", [0, 1])
def test_a_wandering_view_gives_the_same(plain, slide, tmp_path, seed):
    rng = np.random.default_rng(seed)

    def focus():
        y, x = rng.integers(-100, 400, 2)
        return None if rng.random() < 0.2 else Box(y, x, y + 60, x + 90)

    with SlideRun.prepare(slide, predictor_of(), tmp_path / "run", SETTINGS) as run:
        order = [(one.row, one.column) for one in run.steps(focus=focus)]
        assert order != sorted(order)
    assert outcome(tmp_path / "run") == plain


def test_what_is_in_view_comes_first_and_panning_is_followed(slide, tmp_path):
    views = [Box(280, 300, 320, 370)] * 2 + [Box(10, 10, 60, 60)] * 20
    with SlideRun.prepare(slide, predictor_of(), tmp_path / "run", SETTINGS) as run:
        order = [(one.row, one.column) for one in run.steps(focus=lambda: views.pop(0), table=False)]
        assert run.store.done
    assert order[0] == (2, 2)
    assert order[2] == (0, 0)
    assert not (tmp_path / "run" / "nuclei.parquet").exists()


def test_stopped_between_blocks_and_within_one_and_gone_on_with(plain, slide, tmp_path):
    folder = tmp_path / "run"
    for blocks in (2, 0, 1):  # of 9 tiles each
        with SlideRun.prepare(slide, predictor_of(tile=160), folder, SETTINGS) as run:
            before, seen = int(run.store.painted.sum()), []
            asked = iter([False] * (blocks * 9 or 1) + [True] * 999)
            seen = list(run.steps(stop=partial(next, asked)))
            assert int(run.store.painted.sum()) == before + len(seen)
            assert len(run.remaining()) == BLOCKS - before - len(seen) > 0
    with SlideRun.prepare(slide, predictor_of(tile=160), folder, SETTINGS) as run:
        list(run.steps())
    assert outcome(folder) == plain


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_slide_run import SETTINGS, predictor_of
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.slides.run import SlideRun
import napari_unetsharp.slides.store as store
import torch; torch.set_num_threads(1)
left = [{blocks}]
real = getattr(store.SlideStore, {at!r})
def dying(self, *given):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *given)
setattr(store.SlideStore, {at!r}, dying)
with open_slide({path!r}) as slide, SlideRun.prepare(slide, predictor_of(), Path({folder!r}), SETTINGS) as run:
    list(run.steps())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_and_gone_on_with(plain, path, slide, tmp_path):
    """Once before a block's maps are kept, once between that and its labels."""
    folder = tmp_path / "run"
    for at, blocks in (("put_maps", 4), ("paint", 3)):
        script = KILLED.format(
            tests=str(Path(__file__).parent), blocks=blocks, at=at, path=str(path), folder=str(folder)
        )
        ended = subprocess.run([sys.executable, "-c", script], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
        assert ended.returncode == -signal.SIGKILL
    with SlideRun.prepare(slide, predictor_of(), folder, SETTINGS) as run:
        assert (run.store.computed.sum(), run.store.painted.sum()) == (6, 5)
        assert sum(1 for _ in run.steps()) == BLOCKS - 5
    assert outcome(folder) == plain


def test_another_process_may_compute(plain, path, slide, tmp_path):
    """Blocks that somebody else put there are but labelled."""
    from napari_unetsharp.slides.block import compute_block

    with SlideRun.prepare(slide, predictor_of(), tmp_path / "run", SETTINGS) as run:
        worker = SlideStore.open(tmp_path / "run")
        for row, column in [(2, 2), (1, 2), (0, 0)]:
            worker.put_maps(row, column, compute_block(slide, predictor_of(), worker.about, row, column))
        first = [(one.row, one.column) for _, one in zip(range(3), run.steps(), strict=False)]
        assert first == [(0, 0), (1, 2), (2, 2)]
        list(run.steps())
    assert outcome(tmp_path / "run") == plain


def test_other_label_settings_are_put_in_force_while_it_runs_those_in_view_first(slide, tmp_path):
    wish, other = [LabelSettings()], LabelSettings(smallest=10_000)
    with SlideRun.prepare(slide, predictor_of(), tmp_path / "run", SETTINGS) as run:
        order = []
        for one in run.steps(focus=lambda: Box(200, 250, 220, 270), labels=lambda: wish[0]):
            order.append((one.row, one.column))
            if len(order) == 4:
                wish[0] = other
        assert len(order) == 4 + BLOCKS
        assert order[4] == order[0]  # in view
        assert set(order[4:8]) == set(order[:4])
        assert run.store.count == 0
        wish[0] = LabelSettings()
        assert sum(1 for _ in run.steps(labels=lambda: wish[0])) == BLOCKS
        assert run.store.count == len(CENTRES)


def test_a_damaged_place_is_one_failed_block_and_the_rest_goes_on(tmp_path):
    tiles = ArrayTiles(PIXELS, 64, ((0, 0),))  # seen by the four blocks around: their margins reach into it
    with SlideRun.prepare(slide_of(tiles), predictor_of(), tmp_path / "run", SETTINGS) as run:
        failed = {(one.row, one.column): one.failure for one in run.steps() if one.failure}
        assert failed == run.failures
        assert set(failed) == {(0, 0), (0, 1), (1, 0), (1, 1)}
        assert all("can't be decoded" in reason for reason in failed.values())
        assert run.remaining() == sorted(failed)
        assert sum("Left out: rows" in note for note in run.notes) == len(failed)
        assert not run.store.done
        assert run.store.painted.sum() == BLOCKS - 4
        tiles.broken = ()
    with SlideRun.prepare(slide_of(tiles), predictor_of(), tmp_path / "run", SETTINGS) as run:
        assert not any(one.failure for one in run.steps())
        assert run.store.done


def test_a_damaged_block_file_is_computed_again(plain, slide, tmp_path):
    folder = tmp_path / "run"
    with SlideRun.prepare(slide, predictor_of(), folder, SETTINGS) as run:
        list(run.steps())
        run.store.relabel(LabelSettings(0.6))
        run.store.relabel(LabelSettings())
    for file in sorted((folder / "blocks").glob("*.npz"))[:2]:
        file.write_bytes(file.read_bytes()[:100])
    with SlideRun.prepare(slide, predictor_of(), folder, SETTINGS) as run:
        assert sum(1 for _ in run.steps()) == BLOCKS
    assert outcome(folder) == plain


def test_only_tissue_and_only_the_region(tmp_path):
    pixels, centres = spotted((384, 384), 15, 6, inside=(0, 0, 190, 190))
    slide = slide_of(pixels)
    with SlideRun.prepare(slide, predictor_of(), tmp_path / "tissue", replace(SETTINGS, tissue_only=True)) as run:
        assert len(list(run.steps())) <= 4
        assert run.store.count == len(centres)
        run.want(None, Tissue(np.ones((2, 2), bool), (192.0, 192.0)))  # painted by a person
        assert len(list(run.steps())) >= 5
        assert run.store.painted.all()
    region = replace(SETTINGS, region=Box(10, 130, 20, 250))
    with SlideRun.prepare(slide, predictor_of(), tmp_path / "region", region) as run:
        assert [(one.row, one.column) for one in run.steps()] == [(0, 1)]
        assert run.store.done


def test_a_slide_without_small_levels_is_asked_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unetsharp.slides.preparing._COSTLY", 1e4)
    pixels, centres = spotted((384, 384), 15, 6, inside=(0, 0, 190, 190))
    predictor = predictor_of()
    calls = []
    real = predictor.tiles
    monkeypatch.setattr(predictor, "tiles", lambda *given, **named: calls.append(1) or real(*given, **named))
    with SlideRun.prepare(slide_of(pixels), predictor, tmp_path / "run", replace(SETTINGS, tissue_only=True)) as run:
        assert run.tissue is None
        assert any("block by block" in note for note in run.notes)
        assert len(list(run.steps())) == 9
        assert run.store.count == len(centres)
        assert len(calls) <= 4
    calls.clear()
    with SlideRun.prepare(slide_of(pixels), predictor, tmp_path / "all", replace(SETTINGS, tissue_only=True)) as run:
        next(iter(run.steps()))
        before = len(calls)
        run.want(None, tissue_only=False)  # a person takes it back while it runs
        assert len(list(run.steps())) == 8
        assert len(calls) == before + 8


def test_results_of_a_smaller_grid_have_the_nuclei_of_the_slide(tmp_path):
    """Nuclei twice as large as the model knows are run at half the size, and told in pixels of level 0."""
    checkpoint = seeing_brightness()
    known = type(checkpoint)(checkpoint.network, replace(checkpoint.metadata, nucleus_size=12.0))
    pixels, centres = spotted((600, 520), 20, 14)
    slide = slide_of(pixels)
    with SlideRun.prepare(
        slide, Predictor(known, "cpu", 1, ("x01",)), tmp_path / "run", replace(SETTINGS, nucleus_size=28.0)
    ) as run:
        assert run.store.about.downsample == 2
        done = list(run.steps())
        assert done[-1].box == Box(512, 512, 600, 520)
        found = sorted(tuple(one.centroid) for one in run.store.nuclei())
        np.testing.assert_allclose(found, sorted(centres), atol=1.0)


def test_a_run_lies_where_its_fingerprint_says(slide, tmp_path):
    with SlideRun.under(tmp_path, slide, predictor_of(), SETTINGS) as run:
        folder = run.store.folder
        assert folder == run_folder(tmp_path, run.store.about)
        assert folder.name == f"drawn-{run.store.about.fingerprint[:10]}"
        with pytest.raises(SlideRunError, match="is being written"):
            SlideRun.under(tmp_path, slide, predictor_of(), SETTINGS)
    with SlideRun.under(tmp_path, slide, predictor_of(), replace(SETTINGS, side=256)) as run:
        assert run.store.folder != folder
    with pytest.raises(SlideRunError, match="the depth"):
        SlideRun.prepare(slide, predictor_of(2), folder, SETTINGS)


def test_a_device_that_fails_ends_the_run_and_what_is_finished_stays(plain, slide, tmp_path, monkeypatch):
    predictor, folder = predictor_of(), tmp_path / "run"
    calls, real = [], predictor._maps

    def failing(*given):
        calls.append(1)
        if len(calls) == 4:
            raise DeviceError("the device went away")
        return real(*given)

    monkeypatch.setattr(predictor, "_maps", failing)
    with SlideRun.prepare(slide, predictor, folder, SETTINGS) as run:
        with pytest.raises(DeviceError, match="went away"):
            list(run.steps())
        assert run.store.painted.sum() == 3
        list(run.steps())
    assert outcome(folder) == plain


def test_a_closed_slide_ends_the_run(path, tmp_path):
    with open_slide(path) as slide, SlideRun.prepare(slide, predictor_of(), tmp_path / "run", SETTINGS) as run:
        steps = run.steps()
        next(steps)
        slide.close()
        with pytest.raises(ImageError, match="closed"):
            list(steps)
        assert not run.failures
