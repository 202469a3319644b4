"""Fine-tuning a small network on discs: what learns, what is kept, how it ends, and that the parent stays."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reviewed_fields import field, reviewed
from small_networks import SMALL, seeded, seeing_brightness

from napari_unetsharp.errors import DatasetError, DeviceError, SettingsError, TrainingError
from napari_unetsharp.network.checkpoint import file_hash, load_checkpoint
from napari_unetsharp.training.fine_tune import CANDIDATE, Finished, SamplesRead, Tuned, fine_tune
from napari_unetsharp.training.loop import StepReport, step_error
from napari_unetsharp.training.protection import NO_PROTECTION, Protection, blended
from napari_unetsharp.training.reviewed_crops import CropSettings
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.sample_sources import Source
from napari_unetsharp.training.speeds import Speed, measured_cost, seconds_of_tests
from napari_unetsharp.training.tune_settings import TuneSettings

CROPS = CropSettings(batch=4, crop=32, old=0.25, look=0.0)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A model that takes only what is very bright for a nucleus: it misses all discs."""
    path = tmp_path_factory.mktemp("parent") / "dim.safetensors"
    checkpoint = seeing_brightness({f"x0{level}": 0.7 for level in range(1, 5)})
    replace(checkpoint, metadata=replace(checkpoint.metadata, name="dim", class_names=("nucleus",))).save(path)
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "a.npz"
    return Source(str(reviewed(looked_at=range(1, 21)).save(path)))


def settings(parent, sample, **more):
    known = {"level": 1, "speed": "touch-up", "rate": 0.5, "epochs": 2, "steps": 12, "device": "cpu", "seed": 4}
    known |= {"drawn_old": 1, "drawn_check": 0, "protection": Protection(stay=0.0, blends=())}
    return TuneSettings(str(parent), (sample,), crops=CROPS, **known | more)


def tune(parent, sample, folder, stop=lambda: False, **more):
    folder.mkdir(exist_ok=True)
    return list(fine_tune(settings(parent, sample, **more), folder, stop))


@pytest.fixture(scope="module")
def tuned(parent, sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    before = file_hash(parent)
    reports = tune(parent, sample, folder, epochs=3, drawn_check=1)
    assert file_hash(parent) == before, "the parent's file never changes"
    return folder, reports


def weights(path):
    return load_checkpoint(path).network.state_dict()


# What it gives -----------------------------------------------------------------------------------------


def test_a_model_that_missed_all_learns_and_says_so(tuned):
    folder, reports = tuned
    last = reports[-1]
    assert isinstance(last, Finished)
    assert last.candidate == folder / CANDIDATE
    aside = last.verdict.aside
    assert aside.before.found == 0
    assert aside.after.found == aside.after.nuclei > 0
    assert last.verdict.everything.after.nuclei > aside.after.nuclei
    assert f"{aside.after.found} found (before 0)" in last.verdict.words
    assert not last.stopped


def test_every_step_and_epoch_is_reported_with_quality_by_level(tuned):
    _, reports = tuned
    steps = [report for report in reports if isinstance(report, StepReport)]
    epochs = [report for report in reports if isinstance(report, Tuned)]
    read = next(report for report in reports if isinstance(report, SamplesRead))
    assert len(steps) == 3 * 12
    assert [report.epoch for report in epochs] == [1, 2, 3]
    assert all(set(report.branches) == {"x01", "all"} for report in epochs)
    assert all(set(report.aside) == set(report.check) == {"x01"} for report in epochs)
    assert any(report.best for report in epochs)
    assert "kept aside" in read.split.words
    with np.load(epochs[-1].preview) as preview:
        assert preview["labels"].shape == preview["probability"].shape == preview["truth"].shape
        assert preview["labels"].any()
        assert not preview["labels_before"].any()


def test_the_candidate_tells_where_it_is_from(tuned, parent):
    checkpoint = load_checkpoint(tuned[0] / CANDIDATE)
    recipe, metrics = checkpoint.metadata.recipe, checkpoint.metadata.metrics
    assert checkpoint.metadata.parent == file_hash(parent)
    assert checkpoint.config.level == 1, "a model of the tuned depth only"
    assert recipe["settings"]["seed"] == 4
    assert recipe["settings"]["samples"][0]["path"].endswith("a.npz")
    assert {row["part"] for row in recipe["samples"]} == {"train", "aside"}
    assert all(len(row["sha256"]) == 64 for row in recipe["samples"])
    assert [row["epoch"] for row in checkpoint.metadata.history][: metrics["epoch"]] == list(
        range(1, metrics["epoch"] + 1)
    )
    assert metrics["verdict"]["decision"] in {"keep", "your choice", "discard"}
    json.dumps(checkpoint.metadata.as_dict(), allow_nan=False)


def test_the_same_gives_the_same_weights(tuned, parent, sample, tmp_path):
    tune(parent, sample, tmp_path / "again", epochs=3, drawn_check=1)
    one, two = weights(tuned[0] / CANDIDATE), weights(tmp_path / "again" / CANDIDATE)
    assert all(torch.equal(value, two[key]) for key, value in one.items())


# What learns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", list(Speed))
def test_what_learns_by_speed(speed, parent, sample, tmp_path):
    reports = tune(parent, sample, tmp_path, speed=speed, epochs=1, steps=2, rate=0.05)
    before, after = weights(parent), weights(tmp_path / CANDIDATE)
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert any(key.startswith("heads.") for key in changed)
    assert any(key.startswith("nodes.") for key in changed) == (speed is not Speed.TOUCH_UP)
    assert not any("running_" in key for key in changed), "statistics of batch norm are held"
    level = 4 if speed is Speed.THOROUGH else 1
    assert load_checkpoint(tmp_path / CANDIDATE).config.level == level
    epoch = next(report for report in reports if isinstance(report, Tuned))
    assert set(epoch.aside) == {f"x0{depth}" for depth in range(1, level + 1)}, "every depth that is saved is measured"
    branches = {1: {"x01"}, 4: {"x01", "x02", "x03", "x04", "x13", "x22", "x31", "x40"}}[level]
    assert set(epoch.branches) == branches | {"all"}


def test_cores_borders_and_guided_modules_learn_too(sample, tmp_path):
    path = tmp_path / "full.safetensors"
    seeded(field()[0], level=2, guided=True, extras=("core", "border")).save(path)
    tune(path, sample, tmp_path / "out", level=2, speed="standard", epochs=1, steps=2, rate=0.01)
    before, after = weights(path), weights(tmp_path / "out" / CANDIDATE)
    changed = {key.split(".")[0] for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed == {"nodes", "heads", "guides"}
    assert all(torch.equal(value, before[key]) for key, value in after.items() if "running_" in key)


def test_a_blend_lies_between(parent):
    one, two = load_checkpoint(parent).network, seeded(field()[0]).network
    middle = blended(one, two, 0.25).state_dict()
    before, after = one.state_dict(), two.state_dict()
    for key, value in middle.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * before[key] + 0.25 * after[key])
    assert all(torch.equal(value, before[key]) for key, value in blended(one, two, 0.0).state_dict().items()
               if value.is_floating_point())  # fmt: skip


def test_a_step_back_is_kept_where_it_is_better(sample, tmp_path):
    """A perfect model, spoilt by far too large steps: nearly all the way back is better."""
    checkpoint = seeing_brightness(level=1)
    path = tmp_path / "good.safetensors"
    replace(checkpoint, metadata=replace(checkpoint.metadata, class_names=("nucleus",))).save(path)
    protection = Protection(stay=0.0, blends=(0.9, 0.01))
    reports = tune(path, sample, tmp_path / "out", epochs=1, steps=2, rate=50.0, protection=protection)
    assert load_checkpoint(tmp_path / "out" / CANDIDATE).metadata.metrics["blend"] == 0.01
    epoch = next(report for report in reports if isinstance(report, Tuned))
    assert reports[-1].verdict.aside.after.score > epoch.aside["x01"].quality().score


def test_protection_keeps_weights_near_the_parent(parent, sample, tmp_path):
    before, far = weights(parent), []
    for protection in (NO_PROTECTION, replace(NO_PROTECTION, stay=200.0)):
        tune(parent, sample, tmp_path / str(len(far)), speed="standard", epochs=1, rate=0.002, protection=protection)
        after = weights(tmp_path / str(len(far)) / CANDIDATE)
        far.append(sum(float((value.float() - before[key].float()).square().sum()) for key, value in after.items()))
    assert far[1] < 0.5 * far[0]


def test_costs_are_those_of_what_learns(parent):
    checkpoint = load_checkpoint(parent)
    costs = [measured_cost(checkpoint, speed, 2, torch.device("cpu"), (4, 32), 10) for speed in Speed]
    heads, sub, whole = costs
    assert heads.weights == 2 * (SMALL[0] + 1)
    assert heads.weights < sub.weights == sub.all_weights < whole.weights == whole.all_weights
    assert (heads.level, sub.level, whole.level) == (2, 2, 4)
    assert heads.bytes < sub.bytes < whole.bytes
    assert all(cost.seconds == pytest.approx(10 * cost.seconds_per_step) for cost in costs)
    assert all(cost.seconds_per_mpx > 0 for cost in costs)
    assert seconds_of_tests(2.0, epochs=3, blends=2, learned=0.5, tested=0.25) == 2 * (6 * 0.25 + 2 * 0.5)


# How it ends ---------------------------------------------------------------------------------------------


def test_stop_keeps_the_best_epoch(parent, sample, tmp_path):
    seen = []

    def stop():
        return sum(isinstance(report, Tuned) for report in seen) >= 1

    for report in fine_tune(settings(parent, sample, epochs=50), tmp_path, stop):
        seen.append(report)
    last = seen[-1]
    assert last.stopped == "stopped"
    assert last.verdict is not None
    assert load_checkpoint(last.candidate).metadata.metrics["epoch"] == 1
    assert sum(isinstance(report, StepReport) for report in seen) <= 13


def test_stopped_before_an_epoch_there_is_no_candidate(parent, sample, tmp_path):
    last = tune(parent, sample, tmp_path, stop=lambda: True)[-1]
    assert (last.candidate, last.verdict, last.stopped) == (None, None, "stopped")
    assert not (tmp_path / CANDIDATE).exists()


def test_minutes_end_it(parent, sample, tmp_path):
    last = tune(parent, sample, tmp_path, epochs=1000, minutes=0.02)[-1]
    assert "minutes are over" in last.stopped


@pytest.mark.parametrize("after", [0, 14])
def test_a_loss_that_is_no_number_gives_the_best_epoch_back(after, parent, sample, tmp_path):
    steps = fine_tune(settings(parent, sample, epochs=3), tmp_path)
    reports, taken = [], 0
    real = torch.nn.functional.conv2d

    def convolve(image, weight, *rest, **options):
        out = real(image, weight, *rest, **options)
        return out * math.nan if taken >= after and torch.is_grad_enabled() and weight.requires_grad else out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv2d", convolve)
        if after == 0:
            with pytest.raises(TrainingError, match="no number"):
                reports.extend(steps)
            assert not (tmp_path / CANDIDATE).exists()
            return
        for report in steps:
            reports.append(report)
            taken += isinstance(report, StepReport)
    assert "no number" in reports[-1].stopped
    assert "back at epoch 1" in reports[-1].stopped
    assert all(torch.isfinite(value).all() for value in weights(reports[-1].candidate).values())


def test_a_loss_that_grows_wildly_ends_it(parent, sample, tmp_path):
    steps = fine_tune(settings(parent, sample, epochs=2, steps=20, rate=1e4, protection=NO_PROTECTION), tmp_path)
    with pytest.raises(TrainingError, match="smaller learning rate"):
        list(steps)


@pytest.mark.parametrize("looked", ["nothing", "background", "nuclei"])
def test_samples_that_teach_nothing_are_refused_with_what_is_needed(looked, parent, tmp_path):
    pixels, labels = field()
    counts = {"nothing": labels < 0, "background": labels == 0, "nuclei": labels > 0}[looked]
    path = ReviewedSample("x", pixels, labels, counts).save(tmp_path / "x.npz")
    needed = {"nothing": "say yes or no", "background": "say yes", "nuclei": "view"}[looked]
    with pytest.raises(DatasetError, match=needed):
        tune(parent, Source(str(path)), tmp_path / "out")


@pytest.mark.parametrize(
    "wrong", [{"level": 5}, {"speed": "slow"}, {"epochs": 0}, {"rate": -1.0}, {"normalisation": "odd"}, {"seed": -1}]
)
def test_settings_that_make_no_sense(wrong, parent, sample, tmp_path):
    with pytest.raises(SettingsError):
        tune(parent, sample, tmp_path, **wrong)


def test_settings_go_through_json(parent, sample):
    known = settings(parent, sample, old_folders=("a",), minutes=2.5)
    assert TuneSettings.from_dict(json.loads(json.dumps(known.as_dict()))) == known
    with pytest.raises(SettingsError, match="unknown"):
        TuneSettings.from_dict(known.as_dict() | {"later": 1})


def test_out_of_memory_is_said_only_where_it_is_true():
    assert "out of memory" in str(step_error(RuntimeError("CUDA out of memory. Tried to allocate"), "cuda"))
    assert "out of memory" in str(step_error(MemoryError(), "cpu"))
    other = step_error(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "cuda")
    assert isinstance(other, DeviceError)
    assert "memory" not in str(other)
