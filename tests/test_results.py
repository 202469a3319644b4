"""Results fill as tiles finish, keep what is finished, and are read anew without the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401
from torch import nn

from napari_unetsharp.errors import DeviceError, ImageError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import PlaneDone, Results, TileDone, guarded
from napari_unetsharp.inference.tiling import Region, plan_tiles
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei

SETTINGS = LabelSettings()
LEVELS = (1, 2, 3, 4)
CENTRES = [(16, 16), (16, 60), (50, 30), (52, 52), (80, 15), (78, 80)]


def shades(shape=(96, 100), centres=CENTRES, radius=7):
    """Discs of falling brightness: 250, 220, 190 ... on black."""
    picture = np.zeros(shape, np.uint8)
    for place, centre in enumerate(centres):
        picture[discs(shape, [centre], radius) > 100] = 250 - 30 * place
    return picture


def by_depth():
    """Deeper levels see fewer of them: 6, 5, 4 and 3 of `shades`."""
    return seeing_brightness({f"x0{level}": (250 - 30 * (6 - level) - 15) / 255 for level in LEVELS})


def run(results, predictor, planes=((),), settings=SETTINGS, **more):
    return list(results.steps(predictor, list(planes), lambda: settings, **more))


@pytest.fixture(scope="module")
def predictor():
    return Predictor(by_depth(), "cpu")


@pytest.fixture
def results(predictor):
    results = Results(Image(shades(), "YX", notes=["It was found in the attic."]))
    run(results, predictor)
    return results


# Filling -----------------------------------------------------------------------------------------------


def test_everything_has_the_shape_of_the_image(results):
    assert set(results.maps) == {"x01", "x02", "x03", "x04", "x13", "x22", "x31", "x40"}
    assert set(results.labels) == set(LEVELS)
    assert results.levels == LEVELS
    for array in (*results.maps.values(), *results.labels.values(), results.doubt):
        assert array.shape == results.shape == (96, 100)
    assert {array.dtype for array in results.maps.values()} == {np.dtype(np.float16)}
    assert {array.dtype for array in results.labels.values()} == {np.dtype(np.int32)}
    assert results.planes_computed() == [()]


def test_steps_say_how_far_it_is_and_what_was_found(predictor):
    results = Results(Image(shades(), "YX"))
    tile, plane = run(results, predictor)
    assert isinstance(tile, TileDone)
    assert (tile.plane, tile.planes_done, tile.planes, tile.tile.done, tile.tile.total) == ((), 0, 1, 1, 1)
    assert plane == PlaneDone((), {4: 3, 3: 4, 2: 5, 1: 6}, False)


def test_labels_are_those_of_the_maps(results):
    for level in LEVELS:
        found = label_nuclei(results.maps[f"x0{level}"], SETTINGS)
        truth, count = ndimage.label(shades() > 250 - 30 * (6 - level) - 15)
        assert found.max() == count
        np.testing.assert_array_equal(found, truth)
        np.testing.assert_array_equal(results.labels[level] > 0, truth > 0)


def test_a_nucleus_has_the_same_id_at_every_depth(results):
    for y, x in CENTRES:
        ids = {int(results.labels[level][y, x]) for level in LEVELS} - {0}
        assert len(ids) == 1
    for level in LEVELS:
        ids = np.unique(results.labels[level])
        assert len(ids) == 1 + {4: 3, 3: 4, 2: 5, 1: 6}[level]
    assert len({int(results.labels[1][centre]) for centre in CENTRES}) == 6


def test_arrays_stay_the_same_objects_while_they_fill(predictor):
    """The window's layers show these very arrays."""
    results = Results(Image(shades(), "YX"))
    results.prepare(predictor.branches)
    held = {**results.maps, **results.labels, "doubt": results.doubt}
    run(results, predictor)
    run(results, predictor, settings=LabelSettings(0.3))
    for name, array in held.items():
        now = results.doubt if name == "doubt" else {**results.maps, **results.labels}[name]
        assert now is array
        assert array.any()


def test_notes_of_reading_and_of_running_are_both_there(results):
    assert results.notes[0] == "It was found in the attic."
    assert "repeated for the 3" in results.notes[1]
    assert len(results.notes) == 2


@pytest.mark.parametrize(("axes", "shape"), [("TYX", (3,)), ("TZYX", (2, 2)), ("ZYXC", (2,))])
def test_a_stack_is_run_plane_by_plane(axes, shape, predictor):
    planes = [shades(centres=CENTRES[: 1 + place]) for place in range(int(np.prod(shape)))]
    pixels = np.stack(planes).reshape(*shape, 96, 100)
    if axes.endswith("C"):
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=-1)
    results = Results(Image(pixels, axes))
    indices = list(results.image.plane_indices())
    steps = run(results, predictor, indices)
    done = [step for step in steps if isinstance(step, PlaneDone)]
    assert [step.plane for step in done] == indices
    assert [step.nuclei[1] for step in done] == [1 + place for place in range(len(indices))]
    assert [step.planes_done for step in steps if isinstance(step, TileDone)] == list(range(len(indices)))
    for index, plane in zip(indices, planes, strict=True):
        alone = Results(Image(plane, "YX"))
        run(alone, predictor)
        for level in LEVELS:
            np.testing.assert_array_equal(results.labels[level][index], alone.labels[level])
        for name, values in alone.maps.items():
            np.testing.assert_array_equal(results.maps[name][index], values)
        np.testing.assert_array_equal(results.doubt[index], alone.doubt)


def test_one_plane_of_a_stack_leaves_the_others_alone(predictor):
    results = Results(Image(np.stack([shades()] * 3), "TYX"))
    run(results, predictor, [(1,)])
    assert results.planes_computed() == [(1,)]
    for array in (*results.maps.values(), *results.labels.values(), results.doubt):
        assert array[1].any()
        assert not array[0].any()
        assert not array[2].any()


# Regions and depths on top of each other ---------------------------------------------------------------


def test_a_second_region_adds_to_the_first(predictor):
    shape = (96, 260)
    picture = discs(shape, [(30, 40), (60, 230)], 8)
    results = Results(Image(picture, "YX"))
    network = Predictor(seeing_brightness(), "cpu", 2, tile=96)
    for place, region in enumerate([Region(0, 0, 96, 64), Region(0, 192, 96, 68)]):
        *_, done = run(results, network, region=region)
        assert done.nuclei == {2: 1 + place, 1: 1 + place}
    whole = Results(Image(picture, "YX"))
    run(whole, network)
    for level in (1, 2):
        np.testing.assert_array_equal(results.labels[level] > 0, whole.labels[level] > 0)


def test_a_deeper_run_of_a_part_does_not_doubt_the_rest():
    """Where only depth 2 was computed, the emptiness of depth 4 is no disagreement."""
    picture = discs((64, 400), [(30, 30), (30, 370)], 8)
    checkpoint = seeing_brightness({"x02": 2.0})
    results = Results(Image(picture, "YX"))
    run(results, Predictor(checkpoint, "cpu", 2))
    before = results.doubt.copy()
    assert before[30, 370] > 0.9  # of two views one sees it
    run(results, Predictor(checkpoint, "cpu", 4, tile=208), region=Region(0, 0, 64, 64))
    np.testing.assert_array_equal(results.doubt[:, 200:], before[:, 200:])
    np.testing.assert_allclose(results.doubt[:, :64], np.where(picture[:, :64] > 100, 1 / 7, 0), atol=0.01)


def test_a_run_again_replaces_what_was_there(predictor, results):
    before = results.labels[1].copy()
    darker = shades() // 2
    results.replace_image(Image(darker, "YX"))
    run(results, predictor)
    assert results.labels[4].max() == 0
    assert not np.array_equal(results.labels[1], before)


# Reading anew ------------------------------------------------------------------------------------------


def test_settings_re_apply_without_the_network(results, monkeypatch):
    monkeypatch.setattr(nn.functional, "conv2d", None)  # nothing can be computed any more
    maps = {name: values.copy() for name, values in results.maps.items()}
    area = int(np.count_nonzero(results.labels[1]) / 6)
    assert results.label((), LabelSettings(smallest=area * 2)) == {4: 0, 3: 0, 2: 0, 1: 0}
    assert results.label((), LabelSettings(smallest=0)) == {4: 3, 3: 4, 2: 5, 1: 6}
    assert results.label((), LabelSettings(0.999)) != {4: 3, 3: 4, 2: 5, 1: 6}
    for name, values in maps.items():
        np.testing.assert_array_equal(results.maps[name], values)


def test_splitting_re_applies():
    picture = discs((60, 90), [(30, 30), (30, 52)], 12)
    results = Results(Image(picture, "YX"))
    run(results, Predictor(seeing_brightness(), "cpu"))
    assert results.label((), LabelSettings()) == dict.fromkeys((4, 3, 2, 1), 2)
    assert results.label((), LabelSettings(split=False)) == dict.fromkeys((4, 3, 2, 1), 1)


def test_only_the_levels_shown_are_read_at_once(predictor):
    results = Results(Image(shades(), "YX"))
    *_, done = run(results, predictor, shown=3)
    assert done.nuclei == {4: 3, 3: 4}
    assert not results.labels[1].any()
    assert results.is_labelled((), 3, SETTINGS)
    assert not results.is_labelled((), 2, SETTINGS)
    assert results.label((), SETTINGS, 1) == {4: 3, 3: 4, 2: 5, 1: 6}
    at_once = Results(Image(shades(), "YX"))
    run(at_once, predictor)
    for level in LEVELS:
        np.testing.assert_array_equal(results.labels[level], at_once.labels[level])


def test_levels_up_to_date_are_left_as_they_are(results):
    results.labels[4][...] = 7  # would be undone by labelling again
    results.label((), SETTINGS)
    assert (results.labels[4] == 7).all()
    results.label((), LabelSettings(0.4))
    assert results.labels[4].max() == 3
    assert results.is_labelled((), 4, LabelSettings(0.4))
    assert not results.is_labelled((), 4, SETTINGS)


def test_settings_are_asked_for_when_a_plane_is_read(predictor):
    """A person may move the slider while the network runs."""
    results = Results(Image(np.stack([shades()] * 2), "TYX"))
    chosen = [LabelSettings(smallest=10**6), SETTINGS]
    counts = [step.nuclei[1] for step in results.steps(predictor, [(0,), (1,)], lambda: chosen.pop(0))
              if isinstance(step, PlaneDone)]  # fmt: skip
    assert counts == [0, 6]


# Another checkpoint ------------------------------------------------------------------------------------


def claiming(checkpoint, **settings):
    return Predictor(checkpoint, "cpu", **settings)


def test_another_checkpoint_starts_afresh(results):
    checkpoint = by_depth()
    first = replace(checkpoint, metadata=replace(checkpoint.metadata, sha256="a" * 64))
    results.claim(claiming(first))
    assert results.levels == LEVELS  # the first claim keeps what is there
    results.claim(claiming(first))
    assert results.levels == LEVELS
    assert results.labels[1].any()
    results.claim(claiming(replace(first, metadata=replace(first.metadata, sha256="b" * 64))))
    assert results.levels == ()
    assert results.maps == results.labels == {}
    assert not results.doubt.any()
    assert results.planes_computed() == []
    assert results.notes == ["It was found in the attic."]
    assert results.label((), SETTINGS) == {}


def test_other_intensities_start_afresh_too(results):
    checkpoint = by_depth()
    results.claim(claiming(checkpoint))
    results.claim(claiming(replace(checkpoint, metadata=replace(checkpoint.metadata, intensity=Intensity()))))
    assert results.levels == ()


@pytest.mark.parametrize("other", [{"orientations": 2}, {"accurate": True}])
def test_so_do_other_test_time_options(results, other):
    checkpoint = by_depth()
    results.claim(claiming(checkpoint))
    results.claim(claiming(checkpoint, level=2))  # a depth less is a part of what is there
    assert results.levels == LEVELS
    results.claim(claiming(checkpoint, **other))
    assert results.levels == ()


def test_checkpoints_that_were_never_saved_are_told_apart(results):
    first = by_depth()
    results.claim(claiming(first))
    results.claim(claiming(first))
    assert results.levels == LEVELS
    results.claim(claiming(by_depth()))
    assert results.levels == ()


# Stopping and failing ----------------------------------------------------------------------------------


def strip():
    """A long picture with a disc in every tile of level 1."""
    centres = [(20, 20 + 40 * place) for place in range(10)]
    picture = discs((40, 420), centres, 8)
    network = Predictor(seeing_brightness(), "cpu", 1, tile=80)
    assert len(plan_tiles((40, 420), None, 1, 80)) > 5
    return Results(Image(picture, "YX")), network


@pytest.mark.parametrize("finished", [1, 3])
def test_stopping_keeps_finished_tiles_and_reads_them(finished):
    results, network = strip()
    tiles = []
    steps = results.steps(network, [()], lambda: SETTINGS, stop=lambda: len(tiles) == finished)
    for step in steps:
        if isinstance(step, TileDone):
            tiles.append(step.tile)
    assert isinstance(step, PlaneDone)
    assert step.stopped
    assert len(tiles) == finished < tiles[0].total
    inside = np.zeros(results.shape, bool)
    for tile in tiles:
        inside[tile.core.slices] = True
    np.testing.assert_array_equal(results.maps["x01"] > 0.5, inside & (results.image.pixels > 100))
    np.testing.assert_array_equal(
        results.labels[1], label_nuclei(np.where(inside, results.maps["x01"], 0).astype(np.float16))
    )
    assert step.nuclei == {1: int(results.labels[1].max())}
    assert step.nuclei[1] >= 1


def test_stopping_between_planes(predictor):
    results = Results(Image(np.stack([shades()] * 3), "TYX"))
    steps = run(results, predictor, [(0,), (1,), (2,)], stop=lambda: True)
    assert [type(step) for step in steps] == [TileDone, PlaneDone]
    assert steps[-1].stopped
    assert results.planes_computed() == [(0,)]


def test_stopping_after_the_last_tile_is_no_stop(predictor):
    results = Results(Image(shades(), "YX"))
    assert not run(results, predictor, stop=lambda: True)[-1].stopped


def test_after_a_stop_it_runs_again():
    results, network = strip()
    run(results, network, stop=lambda: True)
    *_, done = run(results, network)
    assert done == PlaneDone((), {1: 10}, False)


def test_closing_the_generator_leaves_results_that_can_be_read():
    results, network = strip()
    steps = results.steps(network, [()], lambda: SETTINGS)
    next(steps)
    steps.close()
    assert 1 <= results.label((), SETTINGS)[1] < 10


def failing_at(monkeypatch, tile, network, picture):
    """Let the allocator fail in the convolutions of that tile (1 is the first)."""
    real, done = nn.functional.conv2d, []

    def convolve(*arguments, **options):
        done.append(1)
        if failing and len(done) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(*arguments, **options)

    failing, limit = False, 0
    monkeypatch.setattr(nn.functional, "conv2d", convolve)
    next(network.tiles(picture))
    failing, limit = True, (tile - 1) * len(done)
    done.clear()


def test_a_failure_keeps_finished_tiles_reads_them_and_says_why(monkeypatch):
    results, network = strip()
    failing_at(monkeypatch, 3, network, results.image.pixels)
    steps, seen = results.steps(network, [()], lambda: SETTINGS), []
    with pytest.raises(DeviceError, match="CUDA out of memory"):
        seen.extend(steps)  # extended step by step
    assert [type(step) for step in seen] == [TileDone, TileDone, PlaneDone]
    assert seen[-1].stopped
    assert seen[-1].nuclei[1] == results.labels[1].max() >= 1
    monkeypatch.undo()
    assert run(results, network)[-1].nuclei == {1: 10}


def test_a_plane_with_a_hole_ends_the_run_but_keeps_the_planes_before(predictor):
    pixels = np.stack([shades().astype(np.float32) / 255] * 3)
    pixels[1, 4, 4] = np.nan
    results = Results(Image(pixels, "TYX"))
    seen = []
    with pytest.raises(ImageError, match="1 of 9600 values"):
        seen.extend(results.steps(predictor, [(0,), (1,), (2,)], lambda: SETTINGS))
    assert [(step.plane, step.stopped) for step in seen if isinstance(step, PlaneDone)] == [((0,), False), ((1,), True)]
    assert results.labels[1][0].max() == 6
    assert not results.labels[1][1:].any()


@pytest.mark.parametrize("error", [RuntimeError("something deep in torch\nsecond line"), RuntimeError()])
def test_no_runtime_error_leaves_the_generator(error):
    """napari's generator workers swallow a RuntimeError without a word."""

    def steps():
        yield from ()
        raise error

    with pytest.raises(DeviceError, match="the run failed") as caught:
        list(guarded(steps()))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, RuntimeError)
    assert caught.value.__cause__ is error


def test_other_errors_and_steps_pass_as_they_are():
    def steps(error):
        yield 1
        yield 2
        if error:
            raise error

    assert list(guarded(steps(None))) == [1, 2]
    with pytest.raises(ImageError, match="mine"):
        list(guarded(steps(ImageError("mine"))))
