"""What is known of a nucleus besides its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a nucleus stands in the review; the value is the word on screen and in files."""

    TO_DO = "to do"
    RIGHT = "right"
    CHANGED = "changed"
    NOT = "not a nucleus"
    UNSURE = "can't tell"


REASONS = ("debris", "out of focus", "overlap", "edge", "other")
"""Why somebody said no or can't tell."""


@dataclass(frozen=True)
class Nucleus:
    """A nucleus of a review, without its pixels.

    Attributes
    ----------
    id : int
        Above 0; never reused, never renumbered.
    state : State
    reason : str
        One of `REASONS`, or empty.
    kind : str
        Its class where the model has classes, else empty.
    tags : tuple of str
        Free words of the reviewer.
    """

    id: int
    state: State = State.TO_DO
    reason: str = ""
    kind: str = ""
    tags: tuple[str, ...] = ()
