"""Whether a tuned model is better: what counts, how sure that is, and the words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reviewed_fields import field, reviewed

from napari_unetsharp.training.quality import Tally
from napari_unetsharp.training.reviewed_sample import ReviewedSample
from napari_unetsharp.training.verdict import Change, Decision, judge
from napari_unetsharp.training.what_changed import what_changed


def tally(found, missed=0, false=0, fit=0.9, edited=True):
    return Tally(np.array([fit] * found + [0.2] * missed), np.full(found + missed, edited), false)


def change(before, after):
    return Change.of([before], [after])


def test_only_looked_at_nuclei_are_counted():
    sample = reviewed(looked_at=(1, 2, 3))
    found = np.where(np.isin(sample.labels, (1, 2, 20)), sample.labels, 0)
    at = Tally.of(sample, found)
    assert at.found.tolist() == [True, True, False]
    assert at.false == 0, "what lies where nobody looked is neither right nor wrong"
    y, x = np.argwhere(sample.reviewed & (sample.labels == 0))[0]
    found[max(0, y - 1) : y + 1, max(0, x - 1) : x + 1] = 50
    assert Tally.of(sample, np.where(sample.reviewed, found, 0)).false == 1


def test_a_no_that_is_found_again_is_false():
    pixels, labels = field()
    sample = ReviewedSample("no", pixels, np.where(labels == 5, 0, labels), np.isin(labels, (5, 6)))
    assert Tally.of(sample, labels).false == 1
    assert Tally.of(sample, sample.labels).false == 0


def test_an_accepted_outline_doesnt_favour_the_old_model():
    """A model that draws otherwise but finds the same is no worse on outlines that were a model's own."""
    old, new = tally(20, fit=1.0, edited=False), tally(20, fit=0.7, edited=False)
    assert change(old, new).gain == 0
    assert change(replace(old, edited=~old.edited), replace(new, edited=~new.edited)).gain < -0.2
    assert old.quality().fit is None


def test_the_score_of_hand_drawn_outlines_is_pq():
    sample, found = reviewed(), np.roll(field()[1], 2, axis=1)
    at = Tally.of(sample, found)
    matched = at.fit[at.fit >= 0.5]
    assert at.quality().score == pytest.approx(matched.sum() / ((len(at.fit) + len(matched) + at.false) / 2))


def test_the_interval_narrows_with_more_nuclei_and_holds_the_gain():
    widths = []
    for count in (10, 40, 160):
        told = change(tally(count // 2, count - count // 2), tally(count * 3 // 4, count - count * 3 // 4))
        assert told.low < told.gain < told.high
        widths.append(told.high - told.low)
    assert widths == sorted(widths, reverse=True)
    same = change(tally(10, 2, 3), tally(10, 2, 3))
    assert (same.gain, same.low <= 0 <= same.high, same.sure) == (0, True, pytest.approx(0.5, abs=0.5))


BETTER = change(tally(60, 60, 30), tally(110, 10, 5))
UNSURE = change(tally(5, 3, 1), tally(6, 2, 1))
WORSE = change(tally(110, 10, 5), tally(60, 60, 30))
SAME = change(tally(50, 5, 5), tally(50, 5, 5))


@pytest.mark.parametrize(
    ("aside", "everything", "check", "decision"),
    [
        (BETTER, BETTER, SAME, Decision.KEEP),
        (BETTER, None, SAME, Decision.KEEP),
        (BETTER, BETTER, WORSE, Decision.CHOICE),
        (BETTER, WORSE, SAME, Decision.CHOICE),
        (UNSURE, BETTER, SAME, Decision.CHOICE),
        (None, BETTER, SAME, Decision.CHOICE),
        (SAME, SAME, SAME, Decision.DISCARD),
        (WORSE, BETTER, SAME, Decision.DISCARD),
        (None, None, None, Decision.CHOICE),
    ],
)
def test_the_advice(aside, everything, check, decision):
    verdict = judge(aside, everything, check)
    assert verdict.decision is decision
    if aside is not None:
        after = aside.after
        assert f"{after.missed} missed ({aside.before.missed})" in verdict.words
        assert f"Of {after.nuclei} kept-aside nuclei" in verdict.words
    assert verdict.as_dict()["decision"] == str(decision)


def test_what_a_version_changed():
    labels = field()[1]
    after = np.where(labels == 3, 0, labels)
    after[after == 4] = 0
    after[0:5, 0:5] = 77
    told = what_changed(labels, after, checked=range(5, 12))
    assert (told.changed, told.unchecked, told.changed_checked, told.checked) == (2, labels.max() - 7, 0, 7)
    assert told.new == 1
    assert told.words("v2").startswith(f"v2 changed 2 of the {labels.max() - 7} you have not checked, 0 of your 7")
