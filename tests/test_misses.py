"""What the chosen level may have missed."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.nuclei.instances import label_nuclei
from napari_unetsharp.nuclei.misses import COARSE, FAINT, TERMS, possible_misses, words

SHAPE = (90, 120)
CENTRES = [(20, 20), (20, 60), (60, 20), (60, 60)]


def disc(centre, radius=8):
    return discs(SHAPE, [centre], radius) > 100


def four(missed_by=(4,), faintly=0.0):
    """Four sure nuclei, and one at (60, 100) that these depths miss; they see it with a probability of `faintly`."""
    labels = np.zeros(SHAPE, np.int32)
    for number, centre in enumerate(CENTRES, start=1):
        labels[disc(centre)] = number
    maps, by_level = {}, {}
    for level in range(1, 5):
        seen = labels.copy()
        values = (labels > 0).astype(np.float16)
        values[disc((60, 100))] = faintly if level in missed_by else 1
        if level not in missed_by:
            seen[disc((60, 100))] = 9
        maps[f"x0{level}"], by_level[level] = values, seen
    return maps, by_level


def test_a_nucleus_that_another_depth_sees():
    maps, labels = four()
    found = possible_misses(maps, labels, 4, least=0)
    assert len(found) == 1
    assert found.sources == ("x03",)
    assert found.seen[0] == ("x01", "x02", "x03")
    np.testing.assert_allclose(found.centres, [(60, 100)])
    top, left, bottom, right = found.boxes[0]
    drawn = np.zeros(SHAPE, bool)
    drawn[top:bottom, left:right] = found.masks[0]
    np.testing.assert_array_equal(drawn, disc((60, 100)))
    assert found.areas.tolist() == [drawn.sum()]
    assert words(found, 0) == "depth 1, 2 and 3 see a nucleus here"


def test_the_nearest_depth_lends_its_outline():
    maps, labels = four(missed_by=(1, 3, 4))
    assert possible_misses(maps, labels, 4, least=0).sources == ("x02",)
    assert words(possible_misses(maps, labels, 4, least=0), 0) == "depth 2 sees a nucleus here"


def test_what_the_level_itself_sees_faintly():
    maps, labels = four(missed_by=(1, 2, 3, 4), faintly=0.4)
    found = possible_misses(maps, labels, 4, least=0)
    assert found.sources == (FAINT,)
    assert found.terms[0, TERMS.index("here")] == pytest.approx(0.4, abs=1e-3)
    assert words(found, 0) == "faintly seen: maybe a missed nucleus"


def test_what_only_the_coarse_views_see():
    maps, labels = four(missed_by=(1, 2, 3, 4))
    for name in ("x13", "x22", "x31", "x40"):
        maps[name] = maps["x04"].copy()
        maps[name][48:72, 88:112] = 1
    found = possible_misses(maps, labels, 4, least=0)
    assert len(found) == 1
    assert COARSE in found.seen[0]
    assert words(found, 0) == "the coarse views see a nucleus here"


def test_a_perfect_network_misses_nothing():
    picture = discs((150, 117), [(20, 20), (70, 60), (110, 100), (149, 10), (71, 101)], 4)
    prediction = Predictor(seeing_brightness(), "cpu").predict(np.repeat(picture[..., np.newaxis], 3, axis=2))
    labels = {level: label_nuclei(prediction.full[f"x0{level}"]) for level in range(1, 5)}
    assert labels[4].max() == 5
    assert len(possible_misses(prediction.full, labels, 4, least=0)) == 0


def test_another_outline_of_a_known_nucleus_is_no_miss():
    maps, labels = four(missed_by=())
    labels[3] = np.roll(labels[3], 6, axis=1)
    assert len(possible_misses(maps, labels, 4, least=0)) == 0


def test_nothing_small_is_offered():
    maps, labels = four()
    area = int(disc((60, 100)).sum())
    assert len(possible_misses(maps, labels, 4, smallest=area, least=0)) == 1
    assert len(possible_misses(maps, labels, 4, smallest=area + 1, least=0)) == 0


def test_the_surer_the_views_the_likelier_a_nucleus():
    sure, unsure = four(), four(missed_by=(1, 2, 3, 4), faintly=0.3)
    high = possible_misses(*sure, 4, least=0).doubt
    low = possible_misses(*unsure, 4, least=0).doubt
    assert 0 < low[0] < high[0] < 1
    assert len(possible_misses(*unsure, 4, least=low[0] - 1e-6)) == 1
    assert len(possible_misses(*unsure, 4, least=low[0] + 1e-6)) == 0


def test_what_the_views_together_see_is_offered_in_any_case():
    assert len(possible_misses(*four(), 4, least=1)) == 1
    assert len(possible_misses(*four(missed_by=(1, 2, 4)), 4, least=1)) == 0


def test_misses_don_t_overlap_each_other_or_nuclei():
    drawn = np.random.default_rng(5)
    maps = {f"x0{level}": drawn.random(SHAPE).astype(np.float16) for level in range(1, 5)}
    labels = {level: label_nuclei(maps[f"x0{level}"] > 0.7) for level in range(1, 5)}
    found = possible_misses(maps, labels, 4, smallest=3, least=0)
    assert len(found) > 5
    count = np.zeros(SHAPE, int)
    for (top, left, bottom, right), mask in zip(found.boxes.tolist(), found.masks, strict=True):
        count[top:bottom, left:right] += mask
    assert count.max() == 1
    assert not (count * labels[4]).any()


def test_what_speaks_for_a_miss_is_measured_on_its_own_pixels():
    drawn = np.random.default_rng(6)
    maps = {name: drawn.random(SHAPE).astype(np.float16) for name in ("x02", "x03", "x04", "x31", "x40")}
    labels = {level: label_nuclei(maps[f"x0{level}"] > 0.7) for level in (2, 3, 4)}
    found = possible_misses(maps, labels, 4, smallest=3, least=0)
    assert len(found) > 5
    for place, ((top, left, bottom, right), mask) in enumerate(zip(found.boxes.tolist(), found.masks, strict=True)):
        assert mask.any(axis=0).all()
        assert mask.any(axis=1).all()
        part = slice(top, bottom), slice(left, right)
        means = {name: values[part][mask].mean(dtype=float) for name, values in maps.items()}
        coarse = (means["x31"] + means["x40"]) / 2
        seen = [f"x0{level}" for level in (2, 3) if (labels[level][part][mask] > 0).mean() >= 0.25]
        assert found.seen[place] == (*seen, *([COARSE] if coarse >= 0.5 else []))
        expected = {"here": means["x04"], "best": max(means.values()), "coarse": coarse,
                    "views": np.mean(list(means.values())), "seen": len(found.seen[place]) / 4}  # fmt: skip
        for name, value in expected.items():
            assert found.terms[place, TERMS.index(name)] == pytest.approx(value, abs=1e-4)
        assert found.areas[place] == mask.sum()
        rows, columns = np.nonzero(mask)
        np.testing.assert_allclose(found.centres[place], (top + rows.mean(), left + columns.mean()))


def test_a_plane_without_nuclei():
    nothing = np.zeros(SHAPE, np.float16)
    found = possible_misses({"x04": nothing}, {4: nothing.astype(np.int32)}, 4)
    assert len(found) == 0
    assert found.terms.shape == (0, len(TERMS))
    maps, labels = four()
    labels[4][:] = 0
    maps["x04"][:] = 0
    assert len(possible_misses(maps, labels, 4, least=0)) == 5
