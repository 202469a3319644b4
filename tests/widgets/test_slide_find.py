"""*Find* on a slide in the real window: what is in view first, kept on disk, gone on with."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_unetsharp import Predictor, load_checkpoint
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.images.tissue import Tissue
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.run import BlockDone, RunSettings, SlideRun
from napari_unetsharp.slides.store import SlideStore
from napari_unetsharp.widgets import slide_find_job
from napari_unetsharp.widgets.dock import open_dock
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.slide_find_job import Begun, SlideJob, Wishes, slide_steps
from napari_unetsharp.widgets.slide_find_place import earlier_runs, slide_root
from napari_unetsharp.widgets.slide_find_stores import OpenStores
from napari_unetsharp.widgets.slide_results_levels import ShownResults

LEFT = Qt.MouseButton.LeftButton
SHAPE = (1400, 2000)
SIDE = 512
"""Of a block here, whatever suits this machine: 3 x 4 of them make the slide."""
MORE = 0.54
"""The small network's weights are random: here its map is cut into some hundred pieces."""
UPPER_LEFT, LOWER_RIGHT = (350, 450), (1050, 1300)


@pytest.fixture(scope="session")
def slide_file(tmp_path_factory):
    """Nuclei on tissue that leaves a quarter of the glass empty: an OME-TIFF of two sizes, 3 x 4 blocks."""
    field, _ = draw_fluorescence(seed=8, height=350, width=500, nuclei=120)
    dark = np.tile(field, (4, 4)).astype(np.float32) / 255
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    tissue = (((rows - 700) / 640) ** 2 + ((columns - 1000) / 900) ** 2 < 1) & (columns < 1460)
    absorbed = tissue[..., None] * (0.5 * np.array([0.16, 0.42, 0.25]) + dark[..., None] * np.array([1.1, 1.0, 0.5]))
    pixels = (243 * np.exp(-absorbed)).astype(np.uint8)
    path = tmp_path_factory.mktemp("slides") / "slide.ome.tif"
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path, ome=True) as file:
        options = {"photometric": "rgb", "tile": (256, 256), "compression": "zlib"}
        file.write(pixels, subifds=1, metadata={"axes": "YXS", **size}, **options)
        file.write(pixels[::2, ::2], subfiletype=1, metadata=None, **options)
    return path


@pytest.fixture
def own_slide(slide_file, tmp_path):
    """A copy, so that nothing was found on it."""
    return Path(shutil.copy(slide_file, tmp_path / slide_file.name))


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    monkeypatch.setattr(slide_find_job, "CPU_SIDE", SIDE)


@pytest.fixture
def on_slide(window, own_slide, small_checkpoint, qtbot):
    """The slide is open, the small model chosen."""
    viewer, stage = window
    stage.open_model(small_checkpoint)
    stage.form.depth.value = 2
    stage.label_form.threshold.value = MORE
    stage.form.where.value = "what I see"
    stage.open_image(str(own_slide))
    rests(stage, qtbot)
    yield viewer, stage, stage.layer
    stage.run_button.quit()
    rests(stage, qtbot)


def rests(stage, qtbot, timeout=90_000):
    qtbot.waitUntil(lambda: not stage.running, timeout=timeout)


def look_at(viewer, layer, centre, height=300):
    """Bring a place of the slide into the middle, with so many rows in view."""
    row, column = np.array(centre) * layer.scale[-2:]
    viewer.scene.camera.center = (0, row, column)
    viewer.scene.camera.zoom = viewer.canvas.size[0] / (height * layer.scale[-2])


def press(stage, qtbot):
    qtbot.mouseClick(stage.run_button.button, LEFT)


def after_blocks(stage, qtbot, acts):
    """Press, and do something after each of the first blocks; gives all blocks, in the order in which they came.

    No block is begun before the window has seen the one before and it was acted upon.
    """
    came, acts, seen = [], list(acts), threading.Semaphore(0)

    def step(done):
        if isinstance(done, BlockDone):
            came.append(done)
            try:
                if acts:
                    acts.pop(0)()
            finally:
                seen.release()

    def hold(done):
        if isinstance(done, BlockDone):
            seen.acquire(timeout=30)

    stage.run_button.step.connect(step)
    with qtbot.waitSignal(stage.finished, timeout=90_000):
        press(stage, qtbot)
        stage.run_button._worker.yielded.connect(hold, Qt.ConnectionType.DirectConnection)  # in its own thread
    stage.run_button.step.disconnect(step)
    rests(stage, qtbot)
    return came


def holds(done, place):
    return done.box.top <= place[0] < done.box.bottom and done.box.left <= place[1] < done.box.right


def unbroken(path, checkpoint, folder, labels):
    """Labels of the same run without a window: row by row, never stopped."""
    with open_slide(path) as slide:
        predictor = Predictor(load_checkpoint(checkpoint), "cpu", 2)
        with SlideRun.prepare(slide, predictor, folder, RunSettings(labels, side=SIDE)) as run:
            assert list(run.steps())
            return run.store.read_labels(Box(0, 0, *run.store.grid.shape)), run.store.count, run.store.about.fingerprint


def whole(store):
    return store.read_labels(Box(0, 0, *store.grid.shape))


def test_view_first_then_nearest_cancel_keeps_and_the_next_press_goes_on(
    on_slide, qtbot, own_slide, small_checkpoint, tmp_path
):
    viewer, stage, layer = on_slide
    assert stage.form.where.value == "whole image"
    look_at(viewer, layer, LOWER_RIGHT)
    move = lambda: look_at(viewer, layer, UPPER_LEFT)  # noqa: E731
    came = after_blocks(stage, qtbot, [lambda: None, move, lambda: None, stage.run_button.cancel])
    assert holds(came[0], LOWER_RIGHT)
    assert holds(came[2], UPPER_LEFT)
    store = stage.store_of(layer)
    kept, wanted = store.painted.sum(), store.wanted.sum()
    assert kept == 4 < wanted
    assert f"Stopped: {kept} of {wanted} blocks are done and kept" in stage.message.text()

    begun = []
    stage.run_button.step.connect(lambda step: isinstance(step, Begun) and begun.append(stage.message.text()))
    came = after_blocks(stage, qtbot, [])
    assert begun == [f"Resumed: {kept} of {wanted} blocks were there."]
    assert came[-1].done == came[-1].total == wanted == 9 < store.grid.blocks  # empty glass is left out
    store = stage.store_of(layer)
    alone, count, alone_print = unbroken(own_slide, small_checkpoint, tmp_path / "alone", stage.label_form.settings)
    assert count > 50
    assert f"{count:,} nuclei at depth 2." in stage.message.text()
    np.testing.assert_array_equal(whole(store), alone)

    shown = viewer.layers["L2 · nuclei"]
    for size, level in zip(shown.data, store.labels.levels, strict=True):
        np.testing.assert_array_equal(np.asarray(size[...]), np.asarray(level[...]))
    np.testing.assert_allclose(shown.extent.world, layer.extent.world)
    assert not shown.editable
    assert store.about.fingerprint == alone_print
    assert stage.found is None
    assert not stage.results  # no array of the slide's size was made


def test_sliders_act_without_the_network_and_all_of_it_is_there_when_the_slide_is_opened_again(
    on_slide, qtbot, own_slide
):
    viewer, stage, layer = on_slide
    after_blocks(stage, qtbot, [stage.run_button.cancel])
    store = stage.store_of(layer)
    before, computed = whole(store), store.computed.copy()
    steps = []
    stage.run_button.step.connect(steps.append)
    stage.label_form.threshold.value = MORE + 0.01
    stage.label_form.smallest.value = 30
    qtbot.waitUntil(lambda: store.settings == stage.label_form.settings, timeout=30_000)
    rests(stage, qtbot)
    fewer = whole(store)
    assert 0 < len(np.unique(fewer)) < len(np.unique(before))
    np.testing.assert_array_equal(np.asarray(viewer.layers["L2 · nuclei"].data[-1]), store.labels.levels[-1][...])
    np.testing.assert_array_equal(store.computed, computed)
    assert not steps

    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: "L2 · nuclei" not in [one.name for one in viewer.layers], timeout=10_000)
    assert stage.form.where.value == "what I see"  # as it was before a slide was chosen
    with SlideStore.open(store.folder, writing=True):  # the window has let it go
        pass
    stage.form.depth.value = 1
    stage.label_form.threshold.value = 0.5
    stage.open_image(str(own_slide))
    qtbot.waitUntil(lambda: "Found earlier with model small, depth 2" in stage.message.text(), timeout=30_000)
    rests(stage, qtbot)
    assert "Find nuclei goes on" in stage.message.text()
    assert (stage.form.depth.value, stage.label_form.settings) == (2, store.settings)
    again = viewer.layers["L2 · nuclei"]
    np.testing.assert_array_equal(np.asarray(again.data[0][...]), fewer)
    assert not steps


def test_only_tissue_only_what_was_painted_only_the_region(on_slide, qtbot):
    viewer, stage, layer = on_slide
    qtbot.mouseClick(stage.slide_form.edit_button, LEFT)
    rests(stage, qtbot)
    mask = viewer.layers["Tissue"]
    assert (mask.mode, viewer.layers.selection.active) == ("paint", mask)
    np.testing.assert_allclose(mask.extent.world, layer.extent.world, atol=1.1 * mask.scale[0])
    assert mask.data[350, 500]
    assert not mask.data[5, 5]
    mask.data_setitem(np.nonzero(mask.data), 0)
    rows, columns = np.mgrid[10:20, 10:20]
    mask.data_setitem((rows.ravel(), columns.ravel()), 1)  # a corner of glass
    came = after_blocks(stage, qtbot, [])
    assert [(done.row, done.column) for done in came] == [(0, 0)]

    def paint():
        rows, columns = np.mgrid[340:360, 490:510]
        mask.data_setitem((rows.ravel(), columns.ravel()), 1)
        wishes = stage.slides.wishes  # the strokes before the press may be told only now, too
        qtbot.waitUntil(lambda: wishes.painted and wishes.tissue.mask[350, 500], timeout=5_000)

    mask.data_setitem((np.array([260]), np.array([10])), 1)
    mask.data_setitem((np.array([520]), np.array([10])), 1)
    came = after_blocks(stage, qtbot, [paint])
    assert {(done.row, done.column) for done in came} >= {(1, 0), (2, 0), (1, 1)}

    stage.form.where.value = "drawn rectangle"
    corners = np.array([[600, 1600], [600, 1700], [700, 1700], [700, 1600]])
    viewer.layers["UNet# area"].add_rectangles(corners)
    stage.slide_form.tissue_only.setChecked(False)
    came = after_blocks(stage, qtbot, [])
    assert [(done.row, done.column) for done in came] == [(1, 3)]
    stage.form.where.value = "what I see"
    look_at(viewer, layer, (200, 800), height=60)
    stage.form.depth.value = 1
    came = after_blocks(stage, qtbot, [])
    assert {done.row for done in came} == {0}
    assert {"L1 · nuclei", "L1 · x01"} <= {one.name for one in viewer.layers}
    assert "L2 · nuclei" not in [one.name for one in viewer.layers]


def test_tissue_only_acts_while_it_runs_with_no_mask_on_screen(own_slide, small_checkpoint):
    labels, stores = LabelSettings(MORE), OpenStores()
    wishes = Wishes(labels)
    with open_slide(own_slide) as slide:
        job = SlideJob(slide, str(small_checkpoint), "cpu", 2, RunSettings(labels, tissue_only=False))
        steps = slide_steps(ModelList(), job, wishes, stores, lambda: None, lambda: None, lambda: False)
        _, begun = next(steps), next(steps)
        assert begun.total == begun.run.store.grid.blocks == 12
        assert next(steps).total == 12
        wishes.only = wishes.painted = True
        assert next(steps).total == 9  # of which the slide's own tissue decides
        mask = np.zeros((14, 20), bool)
        mask[12, 1] = True
        wishes.tissue, wishes.painted = Tissue(mask, (100, 100)), True
        done = next(steps)
        assert (done.row, done.column, done.total) == (2, 0, 1)
        steps.close()
    stores.end()


def test_results_that_the_command_made_are_opened_as_a_folder(on_slide, qtbot, own_slide, small_checkpoint, tmp_path):
    viewer, stage, layer = on_slide
    folder = tmp_path / "out" / "slide"
    settings = RunSettings(LabelSettings(MORE), region=Box(600, 900, 700, 1000))
    with open_slide(own_slide) as slide:
        predictor = Predictor(load_checkpoint(small_checkpoint), "cpu", 3)
        with SlideRun.prepare(slide, predictor, folder, settings) as run:
            assert len(list(run.steps())) == 1
            count = run.store.count
    for opened in (False, True):
        if opened:
            viewer.layers.remove(layer)
            qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=10_000)
        stage.open_image(str(folder))
        qtbot.waitUntil(lambda: "L3 · nuclei" in [one.name for one in viewer.layers], timeout=30_000)
        rests(stage, qtbot)
        assert f"Found earlier with model small, depth 3: {count:,} nuclei" in stage.message.text()
        assert "starts a run of its own" in stage.message.text()
        assert stage.store_of(stage.layer).folder == folder
    record = folder / "run.json"
    record.write_text(record.read_text(encoding="utf-8").replace(own_slide.name, "gone.tif"), encoding="utf-8")
    stage.open_image(str(folder))
    assert "put it back there" in stage.message.text()


def test_results_are_looked_for_again_where_another_image_was_chosen_meanwhile(on_slide, qtbot, own_slide, field):
    viewer, stage, layer = on_slide
    after_blocks(stage, qtbot, [stage.run_button.cancel])
    viewer.layers.remove(layer)
    other = viewer.add_image(np.array(field[0]), name="field")
    (folder,) = folders(own_slide)
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=10_000)
    stage.open_image(str(own_slide))
    stage.form.image.value = other
    rests(stage, qtbot)
    assert "L2 · nuclei" not in [one.name for one in viewer.layers]
    stage.form.image.value = next(one for one in viewer.layers if one.name.startswith("slide"))
    qtbot.waitUntil(lambda: "L2 · nuclei" in [one.name for one in viewer.layers], timeout=30_000)


def test_live_and_the_views_say_what_a_slide_has(on_slide, qtbot, field):
    viewer, stage, layer = on_slide
    qtbot.mouseClick(stage.live_button, LEFT)
    assert not stage.live_button.isChecked()
    assert "On a slide Find nuclei follows the view" in stage.message.text()
    qtbot.waitUntil(lambda: stage.slides.ready.prepared is not None, timeout=60_000)  # nobody has pressed yet
    rests(stage, qtbot)
    after_blocks(stage, qtbot, [stage.run_button.cancel])
    used, measured = stage.store_of(layer).about, stage.slides.ready.prepared.about
    assert (used.limits, used.options, used.nucleus_size) == (measured.limits, measured.options, measured.nucleus_size)
    assert "the slide is taken as it is" in stage.slide_form.scale.text()
    stage.views.drawing.chosen.emit("x02", False)
    assert viewer.layers["L2 · x02"].visible
    stage.views.drawing.chosen.emit("x40", False)
    assert "On a slide the map of the chosen depth is kept" in stage.views.drawing._unavailable["x40"]
    assert not stage.views.edit_button.isEnabled()
    other = viewer.add_image(np.array(field[0]), name="field")
    stage.form.image.value = other
    qtbot.mouseClick(stage.live_button, LEFT)
    assert stage.live_button.isChecked()
    stage.form.image.value = layer
    qtbot.waitUntil(lambda: not stage.live_button.isChecked(), timeout=20_000)
    qtbot.waitUntil(lambda: not stage.running, timeout=60_000)
    assert stage.slide_form.isVisibleTo(stage)
    stage.form.image.value = other
    assert not stage.slide_form.isVisibleTo(stage)
    assert (
        "press Find nuclei" in stage.views.drawing._unavailable["x40"]
        or "Needs depth" in (stage.views.drawing._unavailable["x40"])
    )


def test_closing_the_slide_or_the_window_in_the_middle_keeps_what_is_done(
    make_napari_viewer, qtbot, own_slide, small_checkpoint
):
    viewer = make_napari_viewer()
    stage = open_dock(viewer).find
    stage.open_model(small_checkpoint)
    stage.form.depth.value = 2
    stage.label_form.threshold.value = MORE
    stage.open_image(str(own_slide))
    rests(stage, qtbot)
    after_blocks(stage, qtbot, [lambda: viewer.layers.remove(stage.layer)])
    assert "closed" in stage.message.text()
    assert [one.name for one in viewer.layers] == []
    (folder,) = folders(own_slide)
    with SlideStore.open(folder, writing=True) as store:
        first = store.painted.sum()
        assert 0 < first < store.wanted.sum()
    stage.open_image(str(own_slide))
    rests(stage, qtbot)
    with qtbot.waitSignal(
        stage.run_button.step, timeout=60_000, check_params_cb=lambda step: isinstance(step, BlockDone)
    ):
        press(stage, qtbot)
    worker = stage.run_button._worker
    viewer.close()
    assert worker.stop.is_set()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=20_000)
    with SlideStore.open(folder, writing=True) as store:
        assert first < store.painted.sum() < store.wanted.sum()


def test_a_run_that_another_program_writes_is_shown_and_can_not_be_changed(on_slide, qtbot, own_slide):
    viewer, stage, layer = on_slide
    after_blocks(stage, qtbot, [stage.run_button.cancel])
    viewer.layers.remove(layer)
    (folder,) = folders(own_slide)
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=10_000)
    with SlideStore.open(folder, writing=True):
        stage.open_image(str(own_slide))
        rests(stage, qtbot)
        assert "they are only shown" in stage.message.text()
        assert "L2 · nuclei" in [one.name for one in viewer.layers]
        press(stage, qtbot)
        qtbot.waitUntil(lambda: stage.message.is_problem, timeout=60_000)
        assert "is being written by" in stage.message.text()
        rests(stage, qtbot)
        assert "L2 · nuclei" in [one.name for one in viewer.layers]


def folders(path):
    with open_slide(path) as slide:
        return earlier_runs(slide)


def test_where_nothing_can_be_written_beside_the_slide_the_user_s_own_folder_is_taken(tmp_path, monkeypatch):
    beside = SimpleNamespace(path=tmp_path / "a slide.svs", identity="ab" * 32)
    assert slide_root(beside) == tmp_path / "a slide.svs.unetsharp" / "found"
    assert earlier_runs(beside) == []
    if not Path("/proc/version").exists():
        pytest.skip("no folder at hand that nobody can write into")
    sealed = SimpleNamespace(path=Path("/proc/version"), identity="ab" * 32)
    assert slide_root(sealed).name == "version-abababababab"
    assert slide_root(sealed).parent.name == "slides"


def test_runs_are_listed_by_when_they_were_worked_on_while_their_files_come_and_go(tmp_path):
    slide = SimpleNamespace(path=tmp_path / "a.svs", identity="ab" * 32)
    times = {"first": (100, 300), "second": (200, 250), "third": (400, None)}
    for name, (begun, painted) in times.items():
        folder = slide_root(slide) / name
        folder.mkdir(parents=True)
        for file, time in (("run.json", begun), ("painted.npy", painted)):
            if time is not None:
                (folder / file).touch()
                os.utime(folder / file, (time, time))
    (slide_root(slide) / "first" / ".painted.npy.7.part").symlink_to(tmp_path / "gone")  # listed, and not there
    assert [folder.name for folder in earlier_runs(slide)] == ["third", "first", "second"]


def test_results_of_one_plane_of_a_stack_lie_on_it_and_the_others_are_empty():
    plane = np.arange(6 * 8).reshape(6, 8)
    shown = ShownResults([plane, plane[::2, ::2]], (3, 2), (1, 0))
    assert [level.shape for level in shown] == [(3, 2, 6, 8), (3, 2, 3, 4)]
    full = np.zeros((3, 2, 6, 8), int)
    full[1, 0] = plane
    np.testing.assert_array_equal(np.asarray(shown[0]), full)
    for key in [
        (1, 0), (2, 0), (slice(None), 0, slice(1, 3), slice(2, 8)), (slice(0, 1), slice(None), slice(None), 3),
        (1, slice(None), 2, 3), (..., slice(1, 2)), (slice(1, None), 0, ..., slice(0, 4)),
    ]:  # fmt: skip
        np.testing.assert_array_equal(shown[0][key], full[key])


def test_the_smallest_size_is_read_again_into_the_array_that_napari_keeps():
    plane = np.zeros((6, 8), np.int32)
    shown = ShownResults([plane, plane[::2, ::2]])
    kept = np.asarray(shown[-1])
    plane[2:4, 2:4] = 7
    assert not kept.any()
    shown.read_again()
    np.testing.assert_array_equal(kept, plane[::2, ::2])
    np.testing.assert_array_equal(shown[0][1:3, 2:], plane[1:3, 2:])
