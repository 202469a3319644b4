"""The sentence of advice: what it names, how sure it is, and when it says nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_unetsharp.comparison.advice import Loss, advice, against_words
from napari_unetsharp.comparison.candidate import Candidate, view_name
from napari_unetsharp.comparison.cost import Cost
from napari_unetsharp.comparison.rows import rows

COUNT = 225
SECONDS = {1: 100.0, 2: 250.0, 3: 500.0, 4: 1400.0}


@pytest.fixture(scope="module")
def nuclei():
    """A field of 15 x 15 squares, ids 1 to 225."""
    labels = np.zeros((180, 180), np.int32)
    for place in range(COUNT):
        row, column = divmod(place, 15)
        labels[12 * row + 2 : 12 * row + 10, 12 * column + 2 : 12 * column + 10] = place + 1
    return labels


def depth(level, nuclei, missed=0, false=0):
    """A depth that misses the first nuclei and invents some between the last rows."""
    labels = np.where(nuclei > missed, nuclei, 0)
    for place in range(false):
        row, column = divmod(place, 15)
        labels[12 * row : 12 * row + 2, 12 * column : 12 * column + 8] = 1000 + place
    return Candidate(view_name(f"x0{level}"), labels, node=f"x0{level}", model="nuclei")


def told(candidates, nuclei, timed=True, corrected=True):
    costs = {
        one.name: Cost(1, SECONDS[one.depth] / 10, SECONDS[one.depth] if timed else None)
        for one in candidates
        if one.depth
    }
    truth = Candidate("Corrected", nuclei, is_truth=True) if corrected else candidates[-1]
    return rows(candidates, truth, costs=costs)


def percents(sentence):
    return [float(number) for number in re.findall(r"([\d.]+) (?:% fewer|% more|to|%)", sentence)]


def test_the_fastest_that_surely_loses_little_is_named(nuclei):
    found = told([depth(1, nuclei, 60), depth(2, nuclei, 4), depth(3, nuclei, 2), depth(4, nuclei)], nuclei)
    sentence = advice(found, "Corrected")
    assert sentence.startswith("On 225 reviewed nuclei depth 2 finds 1.8 % fewer than depth 4, 95 % interval ")
    assert sentence.endswith("runs 5.6 times faster: depth 2 will do.")
    share, low, high = 100 * 4 / 225, *percents(sentence)[2:4]
    assert 0 <= low < share < high < 5


def test_the_interval_is_that_of_a_paired_share(nuclei):
    """4 nuclei of 225 that only one finds: the exact binomial interval of 4 of 225 is 0.5 to 4.5 %."""
    shallow, deep = told([depth(2, nuclei, 4), depth(4, nuclei)], nuclei)
    loss = Loss.of(shallow, deep)
    assert loss.share == pytest.approx(4 / 225)
    assert (loss.low, loss.high) == pytest.approx((0.0044, 0.036), abs=0.01)
    unpaired = np.std(shallow.draws["found"]) + np.std(deep.draws["found"])
    assert loss.high - loss.low < 4 * unpaired + 0.05


def test_too_much_is_lost(nuclei):
    sentence = advice(told([depth(1, nuclei, 60), depth(2, nuclei, 40), depth(4, nuclei)], nuclei))
    assert "depth 2 finds 17.8 % fewer than depth 4" in sentence
    assert sentence.endswith(": stay with depth 4.")


def test_many_false_ones_are_told_and_not_advised(nuclei):
    sentence = advice(told([depth(2, nuclei, false=60), depth(4, nuclei)], nuclei))
    assert "depth 2 finds as many as depth 4" in sentence
    assert "has 60 more false ones" in sentence
    assert sentence.endswith("stay with depth 4.")


def test_no_nucleus_tells_them_apart_and_still_it_is_not_certain(nuclei):
    """With 225 nuclei and no difference, up to 1 - 0.025 ** (1 / 225) = 1.6 % may be hidden."""
    sentence = advice(told([depth(1, nuclei), depth(4, nuclei)], nuclei))
    assert "depth 1 finds as many as depth 4, 95 % interval 1.6 % more to 1.6 % fewer" in sentence
    assert sentence.endswith("depth 1 will do.")


def test_without_times_operations_are_told(nuclei):
    assert "needs 18 % of the operations" in advice(told([depth(2, nuclei), depth(4, nuclei)], nuclei, timed=False))


def test_the_best_is_the_fastest(nuclei):
    sentence = advice(told([depth(1, nuclei), depth(4, nuclei, 30)], nuclei))
    assert "depth 4 finds 13.3 % fewer than depth 1" in sentence
    assert sentence.endswith("takes 14.0 times as long: stay with depth 1.")


def test_nobody_corrected_it(nuclei):
    found = told([depth(1, nuclei, 60), depth(2, nuclei, 4), depth(4, nuclei)], nuclei, corrected=False)
    sentence = advice(found)
    assert sentence.startswith("Of the 225 nuclei of depth 4, depth 2 misses 1.8 %, 95 % interval ")
    assert sentence.endswith("runs 5.6 times faster; nobody has corrected this, so it is agreement, not quality.")
    assert against_words(found[0]) == "against Depth 4 · x04, 225 nuclei: nobody has corrected this"


def test_a_mask_from_elsewhere_is_the_truth_that_was_given(nuclei):
    """Nobody knows whether somebody corrected it, so neither is said."""
    found = rows([depth(2, nuclei, 4), depth(4, nuclei)], Candidate("layer mask", nuclei))
    assert against_words(found[0]) == "against layer mask, 225 nuclei, taken for the truth"
    assert advice(found).startswith("On 225 nuclei of layer mask depth 2 finds 1.8 % fewer than depth 4, ")
    assert "nobody" not in advice(found)


def test_all_nuclei_of_the_depth_are_found(nuclei):
    found = told([depth(2, nuclei), depth(4, nuclei)], nuclei, corrected=False)
    assert "depth 2 misses 0.0 %, 95 % interval 0.0 to 1.6 %, and" in advice(found)


def test_too_few_nuclei(nuclei):
    few = np.where(nuclei <= 12, nuclei, 0)
    sentence = advice(told([depth(1, few), depth(4, few)], few))
    assert sentence == "Only 12 reviewed nuclei: too few to advise, 20 or more are needed."


def test_nothing_to_choose_from(nuclei):
    assert advice([]) == ""
    assert advice(told([depth(4, nuclei)], nuclei)) == ""


def test_labels_that_no_network_computed(nuclei):
    layers = [Candidate("by hand", np.where(nuclei > 9, nuclei, 0)), Candidate("other", nuclei)]
    found = rows(layers, Candidate("Corrected", nuclei, is_truth=True))
    assert "by hand finds 4.0 % fewer than other" in advice(found)
    assert against_words(found[0]) == "against Corrected, 225 nuclei"


def test_versions_keep_their_names(nuclei):
    old, new = (Candidate(view_name("x04", model), nuclei, node="x04", model=model) for model in ("v1", "v2"))
    new = Candidate(new.name, np.where(nuclei > 20, nuclei, 0), node="x04", model="v2")
    assert "v2 · depth 4 finds 8.9 % fewer than v1 · depth 4" in advice(
        rows([old, new], Candidate("Corrected", nuclei, is_truth=True))
    )
