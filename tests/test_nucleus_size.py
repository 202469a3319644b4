"""The size of nuclei, found by the network itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.image import Image
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import Results
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.nuclei.instances import LabelSettings, median_diameter


def sized(diameter=20.0, **settings):
    checkpoint = seeing_brightness(in_channels=1, **settings)
    return replace(checkpoint, metadata=replace(checkpoint.metadata, nucleus_size=diameter))


def field(diameter, side=400):
    step = round(2.5 * diameter)
    places = range(step // 2, side - step // 2 + 1, step)
    return discs((side, side), [(row, column) for row in places for column in places], diameter / 2)


@pytest.mark.parametrize("diameter", [8, 12, 20, 35, 60])
def test_discs_have_their_diameter(diameter):
    found = Predictor(sized(), "cpu", 2).estimate_size(field(diameter))
    assert found == pytest.approx(diameter, rel=0.15)


def test_nothing_to_measure_gives_no_size():
    predictor = Predictor(sized(), "cpu", 2)
    assert predictor.estimate_size(np.zeros((100, 80), np.uint8)) is None
    assert predictor.estimate_size(np.zeros((1, 1), np.uint8)) is None
    assert Predictor(seeing_brightness(in_channels=1), "cpu").estimate_size(field(20)) is None


def test_one_deep_head_is_enough():
    found = Predictor(sized(deep_supervision=False), "cpu").estimate_size(field(20))
    assert found == pytest.approx(20, rel=0.15)


def test_planes_of_a_stack_share_the_size_of_the_first():
    stack = np.stack([field(30, 200), field(15, 200)])
    results = Results(Image(stack, "ZYX"))
    predictor = Predictor(sized(), "cpu", 1)
    results.claim(predictor)
    list(results.steps(predictor, [(0,), (1,)], LabelSettings))
    assert results.nucleus_size == pytest.approx(30, rel=0.15)


def test_a_size_that_was_set_counts_and_another_starts_afresh():
    results = Results(Image(field(30, 200), "YX"))
    predictor = Predictor(sized(), "cpu", 1)
    for size in (25.0, 25.0, 40.0):
        results.claim(predictor, size)
        if size == 40.0:
            assert results.maps == {}
        list(results.steps(predictor, [()], LabelSettings))
        assert results.nucleus_size == size
        assert results.maps["x01"].any()


@pytest.mark.parametrize("factor", [1, 2])
def test_the_shipped_model_measures_the_drawn_sample(factor):
    picture, mask = draw_fluorescence(3, 256, 256, 40)
    picture, mask = (np.kron(values, np.ones((factor, factor), values.dtype)) for values in (picture, mask))
    checkpoint = load_checkpoint("nuclei")
    if checkpoint.metadata.nucleus_size is None:
        pytest.skip("the shipped checkpoint knows no nucleus size")
    found = Predictor(checkpoint, "cpu").estimate_size(picture)
    assert found == pytest.approx(median_diameter(mask), rel=0.3)
