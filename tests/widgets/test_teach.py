"""Stage Teach: samples, the process of its own, verdict, Keep and the next image, by clicks in the real window."""

from __future__ import annotations

import itertools
import json
import time

import numpy as np
import psutil
import pytest
import tifffile
import torch
from qtpy.QtCore import Qt

from napari_unetsharp.images.files import read_image
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.network.checkpoint import Checkpoint, file_hash, load_checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.speeds import Speed
from napari_unetsharp.training.teacher import CANDIDATE, teaching_folder
from napari_unetsharp.training.versions import chosen, models_folder
from napari_unetsharp.widgets.dock import open_dock
from napari_unetsharp.widgets.teach_samples import Entry, thumbnail, weigh

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 90_000


def discs(seed):
    """Pixels (128, 128, 3) of uint8 and labels: 25 bright discs on a dark ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((128, 128))
    labels = np.zeros((128, 128), np.int32)
    for label, (y, x) in enumerate(itertools.product(range(13, 128, 25), repeat=2), start=1):
        down, right = rng.uniform(-3, 3, 2)
        labels[np.hypot(rows - y - down, columns - x - right) <= 7] = label
    light = np.where(labels > 0, 150, 40) + rng.normal(0, 8, labels.shape)
    return np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, 2), labels


@pytest.fixture(scope="session")
def dim(tmp_path_factory):
    """A model of depth 1 that sees brightness: it finds the discs, with ragged edges."""
    network = UNetSharp(UNetSharpConfig(widths=(4, 8, 8, 16, 16), level=1))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.zero_()
                module.bias.zero_()
        for block in network.nodes.values():
            block.conv1.weight[0, 0, 1, 1] = block.conv2.weight[0, 0, 1, 1] = 1
        head = network.heads["x01"]
        head.weight[:, 0, head.kernel_size[0] // 2, head.kernel_size[1] // 2] = 40
        head.bias[:] = -40 * 0.56
    path = tmp_path_factory.mktemp("dim") / "dim.safetensors"
    plain = Intensity("range", mean=(0.0,), deviation=(1.0,))
    Checkpoint(network.eval(), CheckpointMetadata("dim", plain, crop=32)).save(path)
    return str(path)


@pytest.fixture
def cases(tmp_path):
    """A folder of three images; the first has a review with most nuclei looked at and half of it completed."""
    folder = tmp_path / "fields"
    folder.mkdir()
    for number in (1, 2, 3):
        tifffile.imwrite(folder / f"field_{number}.tif", discs(number)[0], photometric="rgb")
    image, labels = read_image(folder / "field_1.tif"), discs(1)[1]
    known = {id_: Nucleus(id_, State.RIGHT) for id_ in range(1, 17)}
    beside = folder / "field_1.tif.unetsharp"
    Review.start(beside, identify(image.pixels, image.axes), labels, nuclei=known, views=[Box(0, 0, 64, 128)]).close()
    (beside / "case.json").write_text(json.dumps({"state": "in review"}), encoding="utf-8")
    return folder


@pytest.fixture
def teach(make_napari_viewer, qtbot, tmp_path, monkeypatch, dim):
    """A window with the dim model chosen, whose settings make a training of seconds."""
    for name in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    dock = open_dock(viewer)
    dock.find.open_model(dim)
    dock.find.form.device.value = "cpu"
    dock.teach.setup.speeds.buttons[Speed.TOUCH_UP].setChecked(True)
    form = dock.teach.setup.form
    form.epochs.value, form.steps.value, form.batch.value, form.crop.value = 2, 3, 2, 32
    form.rate.value, form.stay.value = 0.1, 0.0
    yield dock.teach
    stage = dock.teach
    stage.reader.quit()
    qtbot.waitUntil(lambda: not stage.reader.running and not stage.tissue.running, timeout=PATIENCE)
    dock.review.close_review()
    qtbot.waitUntil(lambda: not dock.find.running and not dock.find.relabeller.running, timeout=PATIENCE)


def dock_of(stage):
    return open_dock(stage.find.viewer)


def click(qtbot, button):
    assert button.isVisible(), button.text()
    assert button.isEnabled(), button.text()
    qtbot.mouseClick(button, LEFT)


def enter(qtbot, stage, measure=False):
    click(qtbot, dock_of(stage).buttons["Teach"])
    qtbot.waitUntil(lambda: stage.reader.weighed is not None and not stage.reader.running, timeout=PATIENCE)
    if not measure:
        stage.setup.speeds.stop()


def open_review(qtbot, stage, folder):
    dock = dock_of(stage)
    dock.cases.open_folder(str(folder))
    qtbot.waitUntil(lambda: not dock.review.preparation.running and dock.review.desk is not None, timeout=PATIENCE)


def test_from_the_review_to_the_next_image_in_three_clicks(teach, cases, qtbot, dim, tmp_path):
    dock, before = dock_of(teach), file_hash(cases / "field_1.tif")
    parent = file_hash(type(cases)(dim))
    open_review(qtbot, teach, cases)
    looked_at = dock.review.session.review.labels.copy()
    changed = []
    teach.keeping.done.connect(changed.append)
    enter(qtbot, teach, measure=True)  # 1
    check_the_speeds(qtbot, teach)
    row = teach.setup.samples.rows[str(cases / "field_1.tif.unetsharp")]
    assert len(teach.setup.samples.rows) == 1, "images of which nothing is reviewed aren't listed"
    assert row.entry.sample.share >= 0.5
    assert row.counts.text().startswith(f"{len(row.entry.sample.nuclei)} nuclei")
    assert "kept aside" in teach.setup.aside.text()
    click(qtbot, teach.button)  # 2
    qtbot.waitUntil(lambda: teach.teaching, timeout=PATIENCE)
    assert teach.button.text() == "Stop"
    process = psutil.Process(teach._holder[0].pid)
    qtbot.waitUntil(lambda: teach.candidate is not None, timeout=PATIENCE)
    assert set(teach.live.losses.lines) == {"L1"}
    assert len(teach.live.losses.lines["L1"]) == 6
    assert [epoch for epoch, _ in teach.live.quality.lines["check images"]] == [0, 1, 2], "the old model comes first"
    assert teach.live.quality.marks["check images"] == teach.live.quality.lines["check images"][0][1]
    assert teach.live.pictures[1].pixmap().width() > 60
    assert teach.verdict.headline.text()
    qtbot.waitUntil(lambda: not teach.tissue.running, timeout=PATIENCE)
    shown = [layer.name for layer in teach.find.viewer.layers if layer.visible]
    assert {"before · nuclei", "after · nuclei"} <= set(shown)
    click(qtbot, teach.verdict.before)
    assert not teach.find.viewer.layers["before · nuclei"].visible
    click(qtbot, teach.verdict.keep_next)  # 3
    qtbot.waitUntil(lambda: dock.find.layer is not None and dock.find.layer.name != "field_1", timeout=PATIENCE)
    qtbot.waitUntil(lambda: not dock.find.running, timeout=PATIENCE)
    assert "you have not checked, 0 of your 16" in changed[0]
    kept = models_folder() / "dim-v2.safetensors"
    assert load_checkpoint(kept).metadata.parent == parent == file_hash(type(cases)(dim))
    assert kept.with_suffix(".md").is_file()
    assert dock.find.form.model.value == str(kept) == chosen()
    assert dock.stage == "Find"
    assert dock.find.found.results.labels[1].any(), dock.find.message.text()
    names = [layer.name for layer in teach.find.viewer.layers]
    assert "after · nuclei" not in names
    assert not list(teaching_folder().iterdir())
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert file_hash(cases / "field_1.tif") == before
    with Review.open(cases / "field_1.tif.unetsharp", identity_of(cases / "field_1.tif")) as review:
        checked = [id_ for id_, nucleus in review.nuclei.items() if nucleus.state is State.RIGHT]
        assert len(checked) == 16
        np.testing.assert_array_equal(np.isin(review.labels, checked), np.isin(looked_at, checked))
    check_the_versions(qtbot, teach, tmp_path)


def identity_of(path):
    image = read_image(path)
    return identify(image.pixels, image.axes)


def check_the_versions(qtbot, teach, tmp_path):
    """The history lists what was kept below its parent; it can be renamed and exported, and never overwrites."""
    click(qtbot, dock_of(teach).buttons["Teach"])
    teach.setup.speeds.stop()
    click(qtbot, teach.versions.title)
    history = teach.history
    qtbot.waitUntil(lambda: not history.running and bool(history.versions), timeout=PATIENCE)
    names = [(version.name, version.generation) for version in history.versions]
    place = names.index(("dim-v2", 1))
    assert place == names.index(("dim", 0)) + 1
    history.rename(history.versions[place], "for H&E")
    assert history.message.is_problem, "no file can have this name everywhere"
    history.export(history.versions[place], tmp_path / "copy.safetensors")
    assert load_checkpoint(tmp_path / "copy.safetensors").config.level == 1
    history.export(history.versions[place], tmp_path / "copy.safetensors")
    assert "exists already" in history.message.text()
    history.rename(history.versions[place], "for HE")
    assert teach.find.form.model.value == str(models_folder() / "for HE.safetensors") == chosen()
    qtbot.waitUntil(lambda: not history.running and not teach.reader.running, timeout=PATIENCE)


def test_stop_keeps_the_best_and_discard_leaves_nothing(teach, qtbot, tmp_path):
    pixels, labels = discs(4)
    viewer = teach.find.viewer
    viewer.add_image(pixels, name="open", rgb=True)
    enter(qtbot, teach)
    assert not teach.button.isEnabled()
    assert "nothing is reviewed" in teach.setup.aside.text()
    viewer.add_labels(labels, name="mask")
    click(qtbot, dock_of(teach).buttons["Find"])
    enter(qtbot, teach)
    assert teach.setup.pairs.isVisible(), "a pair is offered where there is nothing else"
    click(qtbot, teach.setup.pairs.add)
    qtbot.waitUntil(teach.button.isEnabled, timeout=PATIENCE)
    assert teach.setup.samples.rows["open + mask"].entry.sample.share == 1.0
    assert teach.setup.quarter_choice.isVisible()
    other = "top" if teach.reader.weighed.divided != "top" else "left"
    teach.setup.quarter_choice.setCurrentText(other)
    teach.setup.quarter_choice.activated.emit(teach.setup.quarter_choice.currentIndex())
    qtbot.waitUntil(teach.button.isEnabled, timeout=PATIENCE)
    assert f"the {other} quarter" in teach.setup.aside.text().lower()
    assert teach.setup.settings().quarter == other
    teach.setup.form.epochs.value = 900
    click(qtbot, teach.button)
    lines = teach.live.quality.lines
    qtbot.waitUntil(lambda: any(len(line) > 1 for line in lines.values()), timeout=PATIENCE)  # an epoch is over
    began = time.monotonic()
    click(qtbot, teach.button)
    qtbot.waitUntil(lambda: teach.candidate is not None, timeout=PATIENCE)
    assert time.monotonic() - began < 4, "two seconds, and a busy machine"
    assert "best so far" in teach.verdict.words.text()
    assert load_checkpoint(teach.candidate).config.level == 1
    qtbot.waitUntil(lambda: not teach.tissue.running, timeout=PATIENCE)
    click(qtbot, teach.verdict.discard)
    teach.setup.speeds.stop()
    assert not list(teaching_folder().iterdir())
    assert not models_folder().exists()
    assert [layer.name for layer in viewer.layers] == ["open", "mask"]
    assert viewer.layers["mask"].visible
    qtbot.waitUntil(teach.button.isEnabled, timeout=PATIENCE)
    click(qtbot, teach.button)
    qtbot.waitUntil(lambda: teach.teaching, timeout=PATIENCE)
    psutil.Process(teach._holder[0].pid).kill()
    qtbot.waitUntil(lambda: teach.message.is_problem, timeout=PATIENCE)
    assert "signal 9" in teach.message.text()
    assert teach.button.text() == "Teach"
    assert teach.setup.isVisible()
    teach.setup.speeds.stop()
    assert not list(teaching_folder().iterdir())


def test_a_sample_that_says_what_it_is(tmp_path):
    pixels, labels = discs(2)
    sample = ReviewedSample.of_pair("pair", pixels, labels, Box(0, 0, 64, 128))
    entry = Entry("pair", "pair", lambda: None, sample=sample)
    assert entry.words() == f"{len(sample.nuclei)} nuclei · 50% counts · {len(sample.nuclei)} drawn"
    small = thumbnail(sample)
    assert small[10].mean() > 2 * small[-10].mean(), "what doesn't count is dark"
    assert "kept aside" in weigh([sample], 1).aside
    empty = ReviewedSample.of_pair("empty", pixels, np.zeros_like(labels))
    assert "nucleus is needed" in weigh([empty], 1).missing


def check_the_speeds(qtbot, teach):
    """Weights, time and memory of each are measured when the stage is entered, and only once."""
    speeds = teach.setup.speeds
    assert speeds.measuring
    qtbot.waitUntil(lambda: not speeds.measuring, timeout=PATIENCE)
    texts = [made.text() for made in speeds.buttons.values()]
    assert all("weights" in text and ("MB" in text or "GB" in text) for text in texts), texts
    click(qtbot, dock_of(teach).buttons["Find"])
    click(qtbot, dock_of(teach).buttons["Teach"])
    assert not speeds.measuring, "known already"
    qtbot.waitUntil(lambda: teach.reader.weighed is not None and not teach.reader.running, timeout=PATIENCE)


def test_what_a_closed_window_had_learned_is_offered(teach, qtbot, dim):
    left = teaching_folder() / "left"
    left.mkdir(parents=True)
    checkpoint = load_checkpoint(dim)
    Checkpoint(checkpoint.network, CheckpointMetadata("dim", crop=32, parent="0" * 64)).save(left / CANDIDATE)
    enter(qtbot, teach)
    assert teach.left.isVisible()
    click(qtbot, teach.left.look)
    assert teach.candidate == left / CANDIDATE
    assert "not measured" in teach.verdict.headline.text().lower()
    qtbot.waitUntil(lambda: not teach.tissue.running, timeout=PATIENCE)
    click(qtbot, teach.verdict.discard)
    teach.setup.speeds.stop()
    assert not list(teaching_folder().iterdir())
    qtbot.waitUntil(lambda: not teach.reader.running, timeout=PATIENCE)
