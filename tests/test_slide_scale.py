"""Which scale a slide is run at: by hand for each way to know it, and measured on drawn nuclei."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_slides import ArrayTiles, halves, slide_of, spotted
from small_networks import PLAIN, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.errors import ImageError, SettingsError, SlideRunError
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.images.tissue import Tissue
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.slides.preparing import RunSettings, find_tissue, prepare
from napari_unetsharp.slides.scale import scale_of

QUARTER = (0.25, 0.25)


def knowing(**known):
    return CheckpointMetadata("m", PLAIN, **known)


def never():
    raise AssertionError("nothing needs to be measured")


@pytest.mark.parametrize(("size", "magnification", "downsample", "margin"), [
    (20.0, 1.0, 1, 48),
    (32.0, 0.625, 1, 64),
    (39.0, 20 / 39, 1, 80),
    (40.0, 0.5, 2, 48),
    (80.0, 0.25, 4, 48),
    (10.0, 2.0, 1, 48),
    (500.0, 0.125, 8, 128),
    (1.0, 4.0, 1, 48),
])  # fmt: skip
def test_a_size_that_is_said_decides(size, magnification, downsample, margin):
    scale = scale_of(knowing(nucleus_size=20.0), QUARTER, size, never)
    assert (scale.nucleus_size, scale.magnification, scale.downsample) == (size, magnification, downsample)
    assert scale.margin() == margin


def test_the_sentence_says_what_is_resampled():
    metadata = knowing(nucleus_size=20.0)
    assert scale_of(metadata, QUARTER, None, lambda: 32.04).sentence == (
        "0.25 µm per px; nuclei of about 32 px are brought to the 20 px that the model knows."
    )
    assert scale_of(metadata, None, 20.2, never).sentence == "Nuclei of about 20 px are as the model knows them."
    assert scale_of(metadata, None, None, lambda: None).sentence == (
        "No nuclei were found to measure, so the slide is taken as it is."
    )
    assert scale_of(knowing(), QUARTER, None, never).sentence == (
        "0.25 µm per px; the model states no scale of its own, so the slide is taken as it is."
    )


def test_the_models_um_per_pixel_decide_where_both_are_known():
    scale = scale_of(knowing(pixel_size=0.5, nucleus_size=20.0), QUARTER, None, never)
    assert (scale.magnification, scale.nucleus_size, scale.downsample) == (0.5, 40.0, 2)
    assert scale.sentence == "0.25 µm per px; the slide is brought to the 0.5 µm per px of the model."
    assert scale_of(knowing(pixel_size=0.5), QUARTER, None, never).nucleus_size is None
    assert scale_of(knowing(pixel_size=0.5), None, None, never).magnification == 1.0
    assert scale_of(knowing(pixel_size=0.5, nucleus_size=20.0), QUARTER, 20.0, never).magnification == 1.0


@pytest.mark.parametrize("wrong", [0.0, -3.0, float("nan"), float("inf")])
def test_sizes_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingsError, match="above 0"):
        scale_of(knowing(nucleus_size=20.0), None, wrong, never)
    with pytest.raises(SettingsError, match="above 0"):
        scale_of(knowing(nucleus_size=20.0), (wrong, 0.5), 20.0, never)


def seeing(intensity=PLAIN, **known):
    checkpoint = seeing_brightness(intensity=intensity)
    return Predictor(Checkpoint(checkpoint.network, replace(checkpoint.metadata, **known)), "cpu", 1, ("x01",))


@pytest.fixture(scope="module")
def drawn():
    """Nuclei of 25 px in one corner of a slide."""
    pixels, _ = spotted((1400, 1300), 60, 12, inside=(700, 650, 1350, 1250))
    return pixels


def test_nuclei_are_measured_where_tissue_is(drawn):
    prepared = prepare(slide_of(drawn), seeing(nucleus_size=20.0), RunSettings(), [])
    assert prepared.about.nucleus_size == pytest.approx(24.5, abs=1.5)
    assert prepared.about.options["magnification"] == pytest.approx(20 / prepared.about.nucleus_size)
    assert prepared.about.limits == [0.0, 255.0]
    assert prepared.about.um_per_pixel == (0.5, 0.5)
    assert prepared.tissue.meets((900, 900, 1028, 1028))
    assert not prepared.tissue.meets((0, 0, 400, 400))
    assert prepared.look is None


def test_a_slide_without_small_levels_is_measured_by_samples(drawn, monkeypatch):
    monkeypatch.setattr("napari_unetsharp.slides.preparing._COSTLY", 1e6)
    tiles = ArrayTiles(drawn)
    prepared = prepare(slide_of(tiles), seeing(nucleus_size=20.0), RunSettings(), [])
    assert prepared.tissue is None
    assert prepared.look.is_in(drawn[800:1200, 700:1200])
    assert not prepared.look.is_in(drawn[:500, :500])
    assert prepared.about.nucleus_size == pytest.approx(24.5, abs=1.5)
    monkeypatch.setattr("napari_unetsharp.slides.preparing.OVERVIEW", 300)
    assert find_tissue(slide_of(*halves(drawn, 3))).meets((900, 900, 1028, 1028))


def test_brightness_is_measured_on_tissue_and_shared_by_all_blocks(drawn):
    percentile = Intensity(low=1, high=99.8)
    prepared = prepare(slide_of(drawn), seeing(percentile), RunSettings(), [])
    assert prepared.about.limits == [10.0, 230.0]


def test_what_an_earlier_run_measured_is_taken_again(drawn):
    slide, predictor = slide_of(drawn), seeing(nucleus_size=20.0)
    first = prepare(slide, predictor, RunSettings(), []).about
    other = Tissue(np.ones((4, 4), bool), (350.0, 325.0))
    again = prepare(slide, predictor, RunSettings(tissue=other), [replace(first, slide="moved")])
    assert again.about.fingerprint == first.fingerprint
    assert again.sentence == ""
    said = prepare(slide, predictor, RunSettings(nucleus_size=30.0), [first])
    assert said.about.nucleus_size == 30.0
    assert prepare(slide, predictor, RunSettings(), [said.about]).about.fingerprint == first.fingerprint
    assert prepare(slide, predictor, RunSettings(um_per_pixel=QUARTER), [first]).about.um_per_pixel == QUARTER


def test_another_model_is_another_run(drawn):
    slide = slide_of(drawn)
    one, other = (prepare(slide, seeing(sha256=name), RunSettings(), []).about for name in ("a" * 64, "b" * 64))
    assert one.fingerprint != other.fingerprint
    unsaved = prepare(slide, seeing(), RunSettings(), []).about
    assert len(unsaved.checkpoint_sha256) == 64


def test_all_of_the_slide_is_asked_for(drawn):
    prepared = prepare(slide_of(drawn), seeing(), RunSettings(tissue_only=False), [])
    assert prepared.tissue is None
    assert prepared.look is None


def test_damage_is_passed_by_where_there_is_something_whole(drawn):
    broken = ArrayTiles(drawn, 128, ((7, 7), (2, 2)))
    assert prepare(slide_of(broken), seeing(), RunSettings(), []).tissue.meets((256, 256, 384, 384))
    all_of_it = slide_of(ArrayTiles(drawn, 2048, ((0, 0),)))
    with pytest.raises(ImageError, match="can't be decoded"):
        prepare(all_of_it, seeing(), RunSettings(), [])


def test_stopping_while_it_is_measured(drawn):
    with pytest.raises(SlideRunError, match="stopped"):
        prepare(slide_of(drawn), seeing(nucleus_size=20.0), RunSettings(), [], lambda: True)


def test_what_nobody_found_is_looked_for_where_there_is_most_to_see(drawn, monkeypatch):
    """The look for tissue misses it: brightness and nuclei are still not measured on an empty border."""
    slide, predictor = slide_of(drawn), seeing(Intensity(low=1, high=99.8), nucleus_size=20.0)
    right = prepare(slide, predictor, RunSettings(), []).about
    nothing = Tissue(np.zeros((100, 100), bool), (14.0, 13.0))
    with monkeypatch.context() as patched:
        patched.setattr("napari_unetsharp.slides.preparing.find_tissue", lambda *_: nothing)
        missed = prepare(slide, predictor, RunSettings(), [])
        assert missed.about.limits == right.limits == [10.0, 230.0]
        assert missed.about.nucleus_size == pytest.approx(24.5, abs=1.5)
        assert not missed.tissue.mask.any()
        again = prepare(slide, predictor, RunSettings(), [missed.about])
        assert (again.about.fingerprint, again.sentence) == (missed.about.fingerprint, "")
        everything = prepare(slide, predictor, RunSettings(tissue_only=False), [missed.about])
        assert everything.about.fingerprint == missed.about.fingerprint
        painted = nothing.mask.copy()
        painted[50:90, 50:90] = True
        person = prepare(slide, predictor, RunSettings(tissue=Tissue(painted, nothing.downsample)), [missed.about])
        assert person.sentence
        assert person.about.fingerprint != missed.about.fingerprint
    assert prepare(slide, predictor, RunSettings(), [missed.about]).about.fingerprint == right.fingerprint
    assert prepare(slide, predictor, RunSettings(), [missed.about, right]).sentence == ""


def test_a_person_s_tissue_is_where_is_measured(drawn):
    """Two kinds of tissue: nuclei of 12 px above, of 25 px below; the one that is painted counts."""
    small, _ = spotted(drawn.shape[:2], 150, 6, seed=3, inside=(0, 0, 650, 1300))
    slide, mask = slide_of(np.maximum(drawn, small)), np.zeros((14, 13), bool)
    for rows, size in ((slice(1, 6), 12.5), (slice(8, 13), 24.5)):
        painted = mask.copy()
        painted[rows, 7:12] = True
        settings = RunSettings(tissue=Tissue(painted, (100.0, 100.0)))
        prepared = prepare(slide, seeing(nucleus_size=20.0), settings, [])
        assert prepared.about.nucleus_size == pytest.approx(size, abs=1.5)


def test_a_size_that_was_not_found_is_measured_again_on_other_tissue(drawn):
    slide, predictor, mask = slide_of(drawn), seeing(nucleus_size=20.0), np.zeros((14, 13), bool)
    mask[:3, :3] = True
    nowhere = prepare(slide, predictor, RunSettings(tissue=Tissue(mask, (100.0, 100.0))), []).about
    assert (nowhere.nucleus_size, nowhere.options["scale"]) == (20.0, "nothing")
    again = prepare(slide, predictor, RunSettings(), [nowhere]).about
    assert again.nucleus_size == pytest.approx(24.5, abs=1.5)
