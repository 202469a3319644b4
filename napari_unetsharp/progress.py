"""Long work is a generator of progress whose return value is the result; this drives it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def run(steps: Generator[Step, None, Result], on_step: Callable[[Step], object] = lambda step: None) -> Result:
    """Go through all steps and give the result.

    Parameters
    ----------
    steps : generator
    on_step : callable
        Gets what the generator yields.

    Returns
    -------
    object
        What the generator returns.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as ended:
            result: Result = ended.value
            return result
        on_step(step)
