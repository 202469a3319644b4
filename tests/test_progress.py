"""Generators of progress are driven to their result."""

from __future__ import annotations

import pytest

from napari_unetsharp.progress import run


def counting(count, failing=False):
    yield from range(count)
    if failing:
        raise ValueError("in the middle")
    return f"{count} done"


@pytest.mark.parametrize("count", [0, 3])
def test_every_step_is_told_and_the_result_comes_back(count):
    told = []
    assert run(counting(count), told.append) == f"{count} done"
    assert told == list(range(count))


def test_a_failure_is_passed_on():
    with pytest.raises(ValueError, match="in the middle"):
        run(counting(2, failing=True))
