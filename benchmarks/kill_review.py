"""Kill a process that edits and saves a review, at random moments, and open what it left.

    python benchmarks/kill_review.py [KILLS]

Every opening must succeed, hold every action that was acknowledged and at most one more, and be the same, bit for
bit, as a review of the same actions that was never killed. The first violation ends the run with an AssertionError.
Writes benchmarks/kill_review.json.
"""

from __future__ import annotations

import json
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from scripted_review import Killing

from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.journal import read_journal

KILLS = 200
SEED = 0


def main() -> None:
    """Kill, check, count."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    draws, started = random.Random(SEED), time.perf_counter()
    counts = {"in the middle of a rewrite": 0, "in the middle of a line": 0, "after a line, before its report": 0}
    with tempfile.TemporaryDirectory() as folder:
        killing = Counting(Path(folder) / "review", counts)
        for seed in range(kills):
            killing.once(seed, draws.randrange(25), draws.uniform(0, 0.02))
            told, found = killing.killed[-1]
            print(f"{seed + 1}/{kills}: acknowledged {told}, found {found}", flush=True)
    result = {
        "kills": len(killing.killed),
        "actions": killing.killed[-1][1],
        "acknowledged actions lost": sum(max(0, told - found) for told, found in killing.killed),
        "more than the action in flight": sum(found > told + 1 for told, found in killing.killed),
        "killed": counts,
        "seconds": round(time.perf_counter() - started),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


class Counting(Killing):
    """Looks at what a kill left before it is opened."""

    def __init__(self, folder: Path, counts: dict[str, int]) -> None:
        super().__init__(folder)
        self.counts = counts

    def check(self, seed: int, reports: list[tuple[int, int]]) -> None:
        """Count, then check."""
        path = self.folder / JOURNAL
        self.counts["in the middle of a rewrite"] += path.with_name(JOURNAL + ".new").exists()
        self.counts["in the middle of a line"] += read_journal(path).length < path.stat().st_size
        super().check(seed, reports)
        told, found = self.killed[-1]
        self.counts["after a line, before its report"] += found > told


if __name__ == "__main__":
    main()
