"""Killed at any moment of edits and saves: never corrupt, and at most the action in flight is lost."""

from __future__ import annotations

import random

from scripted_review import Killing

KILLS = 20


def test_a_kill_costs_at_most_the_action_in_flight(tmp_path):
    killing, draws = Killing(tmp_path / "review"), random.Random(0)
    for seed in range(KILLS):
        killing.once(seed, draws.randrange(12), draws.uniform(0, 0.01))
    assert len(killing.killed) == KILLS
    assert killing.killed[-1][1] > KILLS  # they did review
