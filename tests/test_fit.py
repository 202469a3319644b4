"""Training on two drawn images: what it writes, going on after a break, and how it fails."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from napari_unetsharp.errors import CheckpointError, DatasetError, DeviceError, SettingsError, TrainingError
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig
from napari_unetsharp.training.fit import EpochReport, StepReport, fit
from napari_unetsharp.training.recipe import Recipe
from napari_unetsharp.training.samples import Sample, find_samples
from napari_unetsharp.training.validation import validate

BRANCHES = {"x01", "x02", "x03", "x04", "x13", "x22", "x31", "x40"}
# level 1 is the smallest network there is: enough for all that isn't about branches
QUICK = Recipe(epochs=2, crops_per_epoch=4, batch=2, crop=32, level=1, warm_up=2, seed=5)
FULL = replace(QUICK, level=4, guided=True)


def drawn(seed, shape=(48, 48), channels=3, dtype=np.uint8, stained=False):
    """Bright discs on a dark, noisy ground, or purple ones on a bright one, and their labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for label in range(1, 7):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        labels[(rows - y) ** 2 + (columns - x) ** 2 < 36] = label
    pixels = (labels > 0) * 0.6 + 0.15 + rng.normal(0, 0.03, shape)
    pixels = np.repeat(pixels[..., None], channels, 2)
    if stained:
        pixels = 1 - pixels * (0.5, 0.7, 0.3)
    return (pixels.clip(0, 1) * np.iinfo(dtype).max).astype(dtype), labels


def dataset(folder, count=2, **look):
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for seed in range(count):
        pixels, labels = drawn(seed, **look)
        photometric = "rgb" if pixels.shape[-1] in (3, 4) else "minisblack"
        tifffile.imwrite(folder / "images" / f"{seed}.tif", pixels.squeeze(), photometric=photometric)
        tifffile.imwrite(folder / "labels" / f"{seed}.tif", labels, photometric="minisblack")
    return find_samples(folder)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("drawn"))


def train(samples, out, recipe=QUICK, **options):
    return fit(samples[:1], samples[1:], out, recipe, device="cpu", **options)


def progress_of(out):
    return torch.load(out.with_name(out.name + ".resume"), weights_only=True)


def same(one, other):
    """Whether two nests of dicts, lists and tensors are equal to the last bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one == other


def learned(state):
    """What a training has come to, without the clock."""
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in state["progress"]["history"]]
    return {
        **{key: state[key] for key in ("network", "average", "optimiser")},
        "step": state["progress"]["step"], "best": state["progress"]["best"], "history": history,
    }  # fmt: skip


@pytest.fixture(scope="module")
def unbroken(samples, tmp_path_factory):
    """One training of the whole network, from its first step to its last."""
    out = tmp_path_factory.mktemp("unbroken") / "model.safetensors"
    reports, state = [], None
    for report in train(samples, out, FULL):
        reports.append(report)
        if isinstance(report, EpochReport) and report.epoch == FULL.epochs:
            state = learned(progress_of(out))
    return out, reports, state


# What it gives -----------------------------------------------------------------------------------------


def test_every_step_and_every_epoch_is_reported(unbroken):
    _, reports, _ = unbroken
    steps = [report for report in reports if isinstance(report, StepReport)]
    epochs = [report for report in reports if isinstance(report, EpochReport)]
    assert [(r.epoch, r.step, r.steps) for r in steps] == [(1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2)]
    assert [(r.epoch, r.epochs) for r in epochs] == [(1, 2), (2, 2)]
    for report in reports:
        assert set(report.branches) == BRANCHES
        assert all(math.isfinite(value) for value in (report.loss, *report.branches.values()))
    assert all(set(report.iou) == BRANCHES for report in epochs)
    assert all(0 <= value <= 1 for report in epochs for value in report.iou.values())
    assert epochs[0].best
    first = [report.branches for report in steps[:2]]
    assert epochs[0].branches["x04"] == pytest.approx((first[0]["x04"] + first[1]["x04"]) / 2)
    assert steps[-1].seconds_left == pytest.approx(0, abs=1e-6)


def test_the_best_epoch_is_written_with_its_history(unbroken):
    out, reports, _ = unbroken
    loaded = load_checkpoint(out)
    epochs = [report for report in reports if isinstance(report, EpochReport)]
    best = max(epoch.epoch for epoch in epochs if epoch.best)
    assert [row["epoch"] for row in loaded.metadata.history] == list(range(1, best + 1))
    assert loaded.metadata.history[-1]["iou"] == epochs[best - 1].iou
    assert loaded.metadata.metrics["iou_pooled"]["all"] == epochs[best - 1].iou
    assert loaded.metadata.metrics["images"] == {"all": 1}
    assert Recipe.from_dict({key: loaded.metadata.recipe[key] for key in FULL.as_dict()}) == FULL
    assert {"hours", "device", "torch", "python"} <= set(loaded.metadata.recipe)
    assert (loaded.metadata.name, loaded.metadata.crop) == ("model", 32)
    assert loaded.config == UNetSharpConfig(guided=True)
    assert out.stat().st_size < 2.1 * sum(value.numel() for value in loaded.network.state_dict().values()) + 1e5


def test_nothing_else_is_left(unbroken):
    assert [path.name for path in unbroken[0].parent.iterdir()] == ["model.safetensors"]


def test_the_written_network_is_the_average_that_was_validated(samples, tmp_path):
    list(train(samples, tmp_path / "a.safetensors", replace(QUICK, epochs=1, averaging=0.5)))
    state = None
    for report in train(samples, tmp_path / "b.safetensors", replace(QUICK, epochs=1, averaging=0.5)):
        if isinstance(report, EpochReport):
            state = progress_of(tmp_path / "b.safetensors")
    written = load_checkpoint(tmp_path / "b.safetensors").network.state_dict()
    assert same(written, load_checkpoint(tmp_path / "a.safetensors").network.state_dict())
    for key, value in state["average"].items():
        half = value if "running_" in key or "num_batches" in key else value.half().float()
        assert torch.equal(written[key], half), key
    assert not same(state["average"], state["network"])


def test_without_averaging_the_network_itself_is_kept(samples, tmp_path):
    for report in train(samples, tmp_path / "a.safetensors", replace(QUICK, epochs=1, averaging=0.0)):
        if isinstance(report, EpochReport):
            state = progress_of(tmp_path / "a.safetensors")
    assert same(state["average"], state["network"])


def test_the_same_seed_gives_the_same_bits_and_another_doesnt(samples, tmp_path):
    found = []
    for index, seed in enumerate((1, 1, 2)):
        torch.manual_seed(index)  # what was drawn before doesn't matter
        out = tmp_path / f"{index}.safetensors"
        list(train(samples, out, replace(QUICK, seed=seed)))
        found.append(load_checkpoint(out).network.state_dict())
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_each_epoch_draws_other_crops(samples, tmp_path):
    """At no rate at all the network stays as it is, so only other crops can give another loss."""
    reports = list(train(samples, tmp_path / "a.safetensors", replace(QUICK, rate=1e-30, decay=0.0)))
    losses = [report.loss for report in reports if isinstance(report, StepReport)]
    assert len(set(losses)) == 4


def test_it_learns(samples, tmp_path):
    recipe = replace(QUICK, epochs=1, crops_per_epoch=160, batch=4, level=2, averaging=0.8, rate=3e-3)
    reports = list(train(samples, tmp_path / "a.safetensors", recipe))
    losses = [report.loss for report in reports if isinstance(report, StepReport)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert reports[-1].iou["x02"] > 0.6


@pytest.mark.parametrize("level", [1, 2])
def test_a_level_alone_is_supervised_on_all_it_has(level, samples, tmp_path):
    reports = list(train(samples, tmp_path / "a.safetensors", replace(QUICK, level=level, epochs=1)))
    names = {f"x0{index}" for index in range(1, level + 1)}
    assert all(set(report.branches) == names for report in reports)
    assert load_checkpoint(tmp_path / "a.safetensors").config == UNetSharpConfig(level=level)


@pytest.mark.parametrize(
    "look",
    [
        {"channels": 1},
        {"channels": 4},
        {"stained": True},
        {"dtype": np.uint16, "channels": 1},
        {"shape": (20, 70)},
        {"shape": (9, 7)},
    ],
)
def test_images_of_every_make(look, tmp_path):
    samples = dataset(tmp_path / "data", **look)
    reports = list(train(samples, tmp_path / "a.safetensors", replace(QUICK, epochs=1)))
    assert math.isfinite(reports[-1].loss)
    assert load_checkpoint(tmp_path / "a.safetensors").config.in_channels == 3


@pytest.mark.parametrize("value", [0, 1])
def test_images_without_a_nucleus_and_of_nothing_else(value, tmp_path):
    samples = dataset(tmp_path / "data")
    for sample in samples:
        tifffile.imwrite(sample.labels[0], np.full((48, 48), value, np.uint16), photometric="minisblack")
    reports = list(train(samples, tmp_path / "a.safetensors", replace(QUICK, guided=True)))
    assert all(math.isfinite(report.loss) for report in reports)
    assert load_checkpoint(tmp_path / "a.safetensors").metadata.history


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_in_lower_precision(precision, samples, tmp_path):
    recipe = replace(QUICK, epochs=1, level=2, guided=True)
    reports = list(train(samples, tmp_path / "a.safetensors", recipe, precision=precision))
    assert math.isfinite(reports[-1].loss)
    assert load_checkpoint(tmp_path / "a.safetensors").config.level == 2


def test_what_is_told_about_the_images_is_kept(samples, tmp_path):
    metadata = CheckpointMetadata("grey", Intensity("range"), nucleus_size=12.0, pixel_size=0.5, crop=32)
    list(train(samples, tmp_path / "a.safetensors", replace(QUICK, epochs=1), metadata=metadata))
    found = load_checkpoint(tmp_path / "a.safetensors").metadata
    assert (found.name, found.intensity, found.nucleus_size) == ("grey", Intensity("range"), 12.0)


# Going on ----------------------------------------------------------------------------------------------


def broken_off(samples, out, recipe, after):
    """A training that dies after so many reports."""
    running = train(samples, out, recipe)
    for _ in range(after):
        next(running)
    running.close()


@pytest.mark.parametrize("after", [3, 4], ids=["between epochs", "in the middle of one"])
def test_going_on_gives_the_bits_of_an_unbroken_training(after, samples, unbroken, tmp_path):
    out = tmp_path / "model.safetensors"
    broken_off(samples, out, FULL, after)
    assert progress_of(out)["progress"]["epoch"] == 1
    torch.manual_seed(99)
    state = None
    for report in train(samples, out, FULL):
        assert report.epoch == 2
        if isinstance(report, EpochReport):
            state = learned(progress_of(out))
    assert same(state, unbroken[2])
    assert same(load_checkpoint(out).network.state_dict(), load_checkpoint(unbroken[0]).network.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("name", ["model", "model.v1", "model.v1.safetensors", "größe.resume"])
def test_each_name_has_a_file_of_its_own_to_go_on_from(name, samples, tmp_path):
    broken_off(samples, tmp_path / name, QUICK, 3)
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.resume"}
    assert load_checkpoint(tmp_path / name).config.level == 1
    other = tmp_path / "model.v2.safetensors"
    assert next(train(samples, other)).epoch == 1
    assert next(train(samples, tmp_path / name)).epoch == 2


@pytest.mark.parametrize("change", [{"seed": 6}, {"rate": 1e-4}, {"epochs": 3}, {"level": 2}, {"crop": 16}])
def test_another_recipe_is_refused(change, samples, tmp_path):
    out = tmp_path / "a.safetensors"
    broken_off(samples, out, QUICK, 3)
    before = out.read_bytes()
    with pytest.raises(TrainingError, match="other settings"):
        next(train(samples, out, replace(QUICK, **change)))
    assert out.read_bytes() == before
    assert next(train(samples, out)).epoch == 2


def test_other_images_are_refused(samples, tmp_path):
    broken_off(samples, tmp_path / "a.safetensors", QUICK, 3)
    with pytest.raises(TrainingError, match="images"):
        next(train(samples[::-1], tmp_path / "a.safetensors"))


@pytest.mark.parametrize("data", [b"", b"not a training", b"PK\x03\x04"])
def test_a_damaged_file_to_go_on_from(data, samples, tmp_path):
    (tmp_path / "a.safetensors.resume").write_bytes(data)
    with pytest.raises(TrainingError, match="damaged"):
        next(train(samples, tmp_path / "a.safetensors"))


def test_a_training_that_is_over_is_over(samples, tmp_path):
    """Killed after the last epoch, before the file beside was removed."""
    out = tmp_path / "a.safetensors"
    broken_off(samples, out, QUICK, 6)
    before = out.read_bytes()
    assert list(train(samples, out)) == []
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


# Stopping ----------------------------------------------------------------------------------------------


def test_stopping_keeps_the_best_epoch_and_can_go_on(samples, tmp_path):
    out, seen = tmp_path / "a.safetensors", []
    for report in train(samples, out, stop=lambda: len(seen) >= 3):  # the first step of the second epoch
        seen.append(report)
    assert [type(report) for report in seen] == [StepReport, StepReport, EpochReport, StepReport]
    assert len(load_checkpoint(out).metadata.history) == 1
    assert next(train(samples, out)).epoch == 2


def test_stopping_before_the_first_epoch_is_over_writes_nothing(samples, tmp_path):
    assert len(list(train(samples, tmp_path / "a.safetensors", stop=lambda: True))) == 1
    assert list(tmp_path.iterdir()) == []


# Failing -----------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_the_training(samples, tmp_path):
    with pytest.raises(TrainingError, match=r"no number after .*no epoch was finished.*--rate"):
        list(train(samples, tmp_path / "a.safetensors", replace(QUICK, rate=1e30, warm_up=0, epochs=50)))
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_a_loss_that_is_no_number_leaves_the_best_epoch(samples, tmp_path):
    out = tmp_path / "a.safetensors"
    broken_off(samples, out, QUICK, 3)
    before, state = out.read_bytes(), progress_of(out)
    state["network"]["nodes.x00.conv1.weight"][0] = torch.nan
    torch.save(state, tmp_path / "a.safetensors.resume")
    with pytest.raises(TrainingError, match="is kept in"):
        list(train(samples, out))
    assert out.read_bytes() == before


@pytest.mark.parametrize(("some", "others"), [(0, 1), (1, 0), (0, 0)])
def test_there_must_be_images(some, others, samples, tmp_path):
    with pytest.raises(DatasetError, match=f"{some} images to train and {others} to validate"):
        next(fit(samples[:some], samples[:others], tmp_path / "a.safetensors", QUICK, device="cpu"))


def test_an_image_that_cant_be_read_is_named(samples, tmp_path):
    gone = Sample("gone", tmp_path / "gone.tif", samples[0].labels, "g")
    with pytest.raises(DatasetError, match="sample gone"):
        next(fit([gone], samples, tmp_path / "a.safetensors", QUICK, device="cpu"))


@pytest.mark.parametrize(
    "options",
    [
        {"device": "quantum"},
        {"device": "cpu", "precision": "7-bit"},
        {"device": "cpu", "devices": 0},
        pytest.param(
            {"device": "cuda"}, marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
        ),
        pytest.param(
            {"device": "mps"}, marks=pytest.mark.skipif(torch.backends.mps.is_available(), reason="this is a Mac")
        ),
    ],
)
def test_a_device_that_isnt_there(options, samples, tmp_path):
    with pytest.raises(DeviceError, match="choose"):
        next(fit(samples, samples, tmp_path / "a.safetensors", QUICK, **options))


def test_auto_finds_a_device(samples, tmp_path):
    reports = list(fit(samples[:1], samples[1:], tmp_path / "a.safetensors", replace(QUICK, epochs=1), device="auto"))
    assert isinstance(reports[-1], EpochReport)
    assert load_checkpoint(tmp_path / "a.safetensors").metadata.recipe["device"].split()[0] in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0}, {"batch": 0}, {"crop": 0}, {"crop": 100}, {"rate": 0.0}, {"rate": float("nan")},
        {"averaging": 1.0}, {"smallest": 2.0}, {"smallest": 0.0}, {"seed": -1}, {"seed": 2**32}, {"speed": 3},
    ],
)  # fmt: skip
def test_recipes_that_make_no_sense(values):
    with pytest.raises(SettingsError):
        Recipe.from_dict(values)


def test_recipes_survive_json():
    assert Recipe.from_dict(FULL.as_dict()) == FULL


# Validation --------------------------------------------------------------------------------------------


def sure(answer):
    """A network that answers the same everywhere."""
    network = UNetSharp(UNetSharpConfig(widths=(2, 2, 2, 2, 2))).eval()
    for head in network.heads.values():
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, answer)
    return Checkpoint(network)


def test_the_pooled_iou_by_modality(tmp_path):
    samples = dataset(tmp_path, 3, shape=(48, 39))
    samples = [replace(sample, modality=kind) for sample, kind in zip(samples, ("dark", "bright", "dark"), strict=True)]
    shares = [float((sample.read(3)[1] > 0).mean()) for sample in samples]
    found = validate(sure(9.0), samples)
    assert found["images"] == {"dark": 2, "bright": 1, "all": 3}
    # with everything found, intersection over union is the share of nuclei; images of one size pool evenly
    wanted = {"dark": (shares[0] + shares[2]) / 2, "bright": shares[1], "all": sum(shares) / 3}
    for kind, value in wanted.items():
        assert set(found["iou_pooled"][kind]) == BRANCHES
        assert found["iou_pooled"][kind]["x04"] == pytest.approx(value, abs=1e-4)
        assert found["iou_pooled"][kind]["x40"] == pytest.approx(value, abs=1e-4)
    assert validate(sure(-9.0), samples)["iou_pooled"]["all"]["x04"] == 0


def test_images_without_a_modality_are_counted_once(samples):
    assert validate(sure(9.0), samples)["images"] == {"all": 2}


def test_large_images_are_cut_to_their_middle(tmp_path):
    samples = dataset(tmp_path, 1, shape=(96, 80))
    middle = samples[0].read(3)[1][32:64, 24:56] > 0
    found = validate(sure(9.0), samples, largest=32)["iou_pooled"]["all"]["x04"]
    assert found == pytest.approx(float(middle.mean()), abs=1e-4)


def test_validation_changes_no_weight(samples):
    checkpoint = sure(0.1)
    checkpoint.network.train()
    before = copy.deepcopy(checkpoint.network.state_dict())
    validate(checkpoint, samples)
    assert same(checkpoint.network.state_dict(), before)
