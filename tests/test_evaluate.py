"""What is measured of a checkpoint, with networks whose answer is known."""

from __future__ import annotations

import csv

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp import Predictor
from napari_unetsharp.errors import DatasetError, SettingsError
from napari_unetsharp.images.image import adapt_channels
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.nuclei.metrics import METRICS, score_nuclei
from napari_unetsharp.progress import run
from napari_unetsharp.training.evaluate import evaluate, measured_samples, measuring_predictor
from napari_unetsharp.training.samples import find_samples

SHAPE = (48, 60)
TWO = [(12, 12), (32, 40)]


def numbered(*centres, radius=7):
    """The truth of `discs`: an instance map."""
    labels = np.zeros(SHAPE, np.uint16)
    for label, centre in enumerate(centres, start=1):
        labels[discs(SHAPE, [centre], radius) > 100] = label
    return labels


def dataset(folder, **images):
    """images/ and labels/ with a manifest; by name: modality, centres in the picture, centres in the truth."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "modality"])
        for name, (modality, shown, true) in images.items():
            imageio.imwrite(folder / "images" / f"{name}.png", discs(SHAPE, shown, 7))
            tifffile.imwrite(folder / "labels" / f"{name}.tif", numbered(*true))
            rows.writerow([name, modality])
    return folder


@pytest.fixture
def samples(tmp_path):
    """Perfect, one of two missed, and one false; nothing at all."""
    folder = dataset(
        tmp_path / "data",
        a=("bright", TWO, TWO),
        b=("bright", TWO[:1], TWO),
        c=("dark", TWO, TWO[:1]),
        d=("dark", [], []),
    )
    return find_samples(folder)


def test_counts_and_means_by_modality(samples):
    evaluation = run(evaluate(seeing_brightness(), samples))
    assert evaluation.node == "x04"
    assert set(evaluation.groups) == {"bright", "dark"}
    bright, dark = evaluation.groups["bright"]["x04"], evaluation.groups["dark"]["x04"]
    assert (bright.counts.found, bright.counts.missed, bright.counts.false) == (3, 1, 0)
    assert (dark.counts.found, dark.counts.missed, dark.counts.false) == (1, 0, 1)
    assert (bright.images, bright.left_out, dark.images, dark.left_out) == (2, 0, 2, 1)
    assert bright.means()["f1_50"] == pytest.approx((1 + 2 / 3) / 2)
    assert bright.means()["aji"] == bright.means()["ap_50"] == (1 + 1 / 2) / 2
    assert bright.pooled()["iou"] == pytest.approx(3 / 4)
    assert dark.means()["pq"] == dark.pooled()["pq"] == pytest.approx(1 / 1.5)


def test_overall_is_all_modalities_together(samples):
    evaluation = run(evaluate(seeing_brightness(), samples))
    assert evaluation.overall == evaluation.groups["bright"]["x04"] + evaluation.groups["dark"]["x04"]
    assert evaluation.overall.means()["f1_50"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert evaluation.nodes["x04"] == evaluation.overall
    assert evaluation.seconds >= evaluation.overall.seconds > 0


def test_one_pass_measures_all_eight_branches(samples):
    evaluation = run(evaluate(seeing_brightness(limits={"x01": 2.0}), samples))
    for group in evaluation.groups.values():
        assert tuple(group) == tuple(BRANCHES)
    nodes = evaluation.nodes
    assert nodes["x02"].counts == nodes["x03"].counts == nodes["x04"].counts
    assert (nodes["x01"].counts.found, nodes["x01"].counts.missed) == (0, 5)  # it sees nothing
    assert nodes["x01"].means()["pq"] == 0
    assert (nodes["x01"].left_out, nodes["x04"].left_out) == (1, 1)


def test_deep_branches_are_measured_at_full_resolution_as_the_window_shows_them(samples):
    checkpoint = seeing_brightness()
    evaluation = run(evaluate(checkpoint, samples[:1]))
    pixels, truth = samples[0].read(3)
    prediction = Predictor(checkpoint, "cpu").predict(pixels)
    for name in ("x13", "x22", "x31", "x40"):
        assert prediction.full[name].shape == SHAPE
        mask = prediction.full[name] >= 0.5
        expected = score_nuclei(truth, label_nuclei(prediction.full[name]), mask)
        assert evaluation.nodes[name].counts == expected.counts
    assert evaluation.nodes["x13"].counts.found == 2
    assert 0 < evaluation.nodes["x13"].means()["iou"] < 1  # max-pooling widens


def test_pixel_metrics_are_those_of_the_map(tmp_path):
    folder = dataset(tmp_path, a=("all", [], TWO))
    picture = discs(SHAPE, TWO, 7)
    picture[0:3, 50:53] = 230  # nine pixels: no nucleus, but in the mask
    imageio.imwrite(folder / "images" / "a.png", picture)
    overall = run(evaluate(seeing_brightness(), find_samples(folder))).overall
    area = np.count_nonzero(numbered(*TWO))
    assert overall.means()["iou"] == pytest.approx(area / (area + 9))
    assert overall.means()["pq"] == 1
    assert overall.counts.false == 0


def test_settings_are_used(samples):
    evaluation = run(evaluate(seeing_brightness(), samples, settings=LabelSettings(smallest=10_000)))
    assert evaluation.overall.counts.results == 0


def test_each_image_is_reported_as_it_is_done(samples):
    steps = []
    evaluation = run(evaluate(seeing_brightness(), samples), steps.append)
    assert [(step.sample.name, step.done, step.total) for step in steps] == [
        ("a", 1, 4), ("b", 2, 4), ("c", 3, 4), ("d", 4, 4)
    ]  # fmt: skip
    assert steps[0].scores["x04"].means() == dict.fromkeys(METRICS, 1.0)
    first, *others = (step.scores["x04"] for step in steps)
    assert sum(others, first).counts == evaluation.overall.counts


def test_a_network_of_one_channel(samples):
    evaluation = run(evaluate(seeing_brightness(in_channels=1), samples[:1]))
    assert adapt_channels(samples[0].read(1)[0], 1)[1] == ""
    assert evaluation.overall.means()["pq"] == 1


# What is computed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "branch", "node", "depth", "branches"),
    [
        (None, None, "x04", 4, tuple(BRANCHES)),
        (2, None, "x02", 2, ("x02",)),
        (4, None, "x04", 4, ("x04",)),
        (None, "x02", "x02", 2, ("x02",)),
        (None, "x31", "x31", 4, ("x31",)),
        (3, "x01", "x01", 3, ("x01",)),
    ],
)
def test_only_what_is_asked_for_is_computed(level, branch, node, depth, branches):
    predictor, measured = measuring_predictor(seeing_brightness(), level, branch, "cpu")
    assert (measured, predictor.level, predictor.branches) == (node, depth, branches)


def test_a_shallow_checkpoint_is_measured_at_its_own_level(samples):
    checkpoint = seeing_brightness(level=2)
    predictor, node = measuring_predictor(checkpoint)
    assert (node, predictor.branches) == ("x02", ("x01", "x02"))
    assert run(evaluate(checkpoint, samples)).node == "x02"


def test_options_reach_the_predictor():
    predictor, _ = measuring_predictor(seeing_brightness(guided_from=0.1), guided=True)
    assert predictor.guided


@pytest.mark.parametrize(
    ("settings", "level", "branch", "words"),
    [
        ({}, None, "x05", "there is no branch 'x05'; choose among x01, x02"),
        ({}, 2, "x13", "depth 2 doesn't compute x13; ask for depth 4"),
        ({"level": 2}, None, "x13", "gives x01, x02, not x13"),
        ({"level": 2}, 4, None, "gives x01, x02, not x04"),
        ({"deep_supervision": False}, 2, None, "gives x04, not x02"),
    ],
)
def test_what_a_checkpoint_cannot_give(settings, level, branch, words):
    with pytest.raises(SettingsError, match=words):
        measuring_predictor(seeing_brightness(**settings), level, branch)


def test_a_node_that_is_not_computed(samples):
    predictor, _ = measuring_predictor(seeing_brightness(), 2)
    with pytest.raises(SettingsError, match="x04 isn't computed here; choose among x02"):
        run(evaluate(predictor, samples, "x04"))


# Datasets ----------------------------------------------------------------------------------------------


def test_no_sample():
    with pytest.raises(DatasetError, match="no image to measure on"):
        run(evaluate(seeing_brightness(), []))


def test_a_sample_that_cannot_be_read(samples):
    samples[1].image.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="sample b: "):
        run(evaluate(seeing_brightness(), samples))


def test_of_a_dataset_with_parts_the_validation_part_is_measured(tmp_path):
    dataset(tmp_path / "train", a=("all", TWO, TWO))
    with pytest.raises(DatasetError, match=r"no val/ to measure on; give .*train if"):
        measured_samples(tmp_path)
    dataset(tmp_path / "val", b=("all", TWO, TWO))
    folder, samples = measured_samples(tmp_path)
    assert folder == tmp_path / "val"
    assert [sample.name for sample in samples] == ["b"]
    assert measured_samples(tmp_path / "train")[1][0].name == "a"


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: (folder / "images").mkdir()])
def test_a_folder_without_samples(make, tmp_path):
    make(tmp_path)
    with pytest.raises(DatasetError, match="holds no samples"):
        measured_samples(tmp_path)
