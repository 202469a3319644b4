"""Doubt combines the evidence, and says why in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.nuclei.doubt_weights import KNOTS, MISS_WEIGHTS, TYPICAL, WEIGHTS, WEIGHTS_BEYOND
from napari_unetsharp.nuclei.doubtful import combined, doubts, reason, reasons, strongest
from napari_unetsharp.nuclei.evidence import TERMS, Evidence
from napari_unetsharp.nuclei.misses import TERMS as MISS_TERMS


def evidence(terms, sides=(0.0, 0.0), blind=()):
    """One nucleus with this evidence, by name, everything else as usual."""
    row = [terms.get(name, TYPICAL[name]) for name in TERMS]
    ones, flags = np.ones(1, np.int64), {level: np.array([level not in blind]) for level in (1, 2, 3)}
    return Evidence(
        4, ones, ones * 50, np.array([[0, 0, 9, 9]]), np.array([[4.0, 4.0]]), np.array([row]), np.array([sides]),
        flags, dict.fromkeys(flags, ones), dict.fromkeys(flags, ones * 0), {},
    )  # fmt: skip


def test_no_evidence_is_exactly_no_doubt():
    assert combined(np.zeros((3, len(TERMS)))).tolist() == [0, 0, 0]
    assert combined(np.zeros((0, len(TERMS)))).shape == (0,)


def test_every_kind_has_a_weight_that_never_speaks_for_a_nucleus():
    assert set(WEIGHTS) == set(WEIGHTS_BEYOND) == set(KNOTS) == set(TYPICAL) == set(TERMS)
    assert set(MISS_WEIGHTS) == set(MISS_TERMS)
    assert min(*WEIGHTS.values(), *WEIGHTS_BEYOND.values(), *MISS_WEIGHTS.values()) >= 0
    assert min(WEIGHTS["views"], WEIGHTS_BEYOND["views"]) > 0


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 2), min_size=len(TERMS), max_size=len(TERMS)), st.integers(0, len(TERMS) - 1))
def test_more_evidence_never_lowers_the_doubt(terms, place):
    more = list(terms)
    more[place] += 0.5
    less, higher = combined([terms, more])
    assert 0 <= less <= higher <= 1


def test_much_evidence_is_near_certainty():
    assert combined(np.ones((1, len(TERMS))))[0] > 0.95
    assert doubts(evidence({}))[0] < 0.3


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({}, "little speaks against it"),
        ({"faint": 0.45}, "faint: 55 % sure"),
        ({"unstable": 2.0}, "its edge is unsure"),
        ({"small": 1.0}, "much smaller than the others"),
        ({"large": 1.0}, "much larger than the others: maybe more than one"),
        ({"shape": 0.5}, "an unusual shape"),
        ({"centres": 0.4}, "two centres: maybe two nuclei"),
        ({"views": 0.5}, "the views disagree about it"),
    ],
)
def test_the_strongest_evidence_is_named(terms, words):
    assert reason(evidence(terms), 0) == words
    assert reasons(evidence(terms)) == [words]


@pytest.mark.parametrize(
    ("sides", "where"),
    [((0, -0.6), "on its left edge"), ((0.1, 0.6), "on its right edge"), ((-0.5, 0.2), "on its upper edge"),
     ((0.5, 0.2), "on its lower edge"), ((0.1, -0.1), "about it")],
)  # fmt: skip
def test_the_side_is_named(sides, where):
    assert reason(evidence({"views": 0.5}, sides), 0) == f"the views disagree {where}"


@pytest.mark.parametrize(
    ("blind", "words"),
    [((), "its outline moves from depth to depth"), ((1,), "depth 1 does not see it"),
     ((1, 3), "depth 1 and 3 do not see it"), ((1, 2, 3), "no other depth sees it")],
)  # fmt: skip
def test_depths_that_are_blind_are_named(blind, words):
    assert reason(evidence({"depths": 1.0}, blind=blind), 0) == words


def test_what_is_usual_is_no_reason():
    usual = [TYPICAL[name] for name in TERMS]
    rows = [usual, usual]
    rows[1] = [value + (1.0 if name == "faint" else 0.0) for value, name in zip(usual, TERMS, strict=True)]
    assert strongest(rows).tolist() == [-1, TERMS.index("faint")]
    assert strongest(np.zeros((0, len(TERMS)))).tolist() == []
