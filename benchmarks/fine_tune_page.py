"""The page of benchmarks/fine_tune.py, from its rows."""

from __future__ import annotations

from typing import Any

_KNOWN = {
    "level", "seed", "nuclei", "speed", "order", "protection", "checkpoint", "measured", "reviewed", "seconds",
    "verdict", "best_epoch", "device", "threads", "cores", "load",
}  # fmt: skip


def page(rows: list[dict[str, Any]]) -> str:
    """Markdown of what was measured."""
    lines = [
        "# Fine-tuning on a simulated review", "",
        "Written by benchmarks/fine_tune.py, which says what is done. PQ, AJI, F1 and Dice are means over images; in "
        "brackets the change against the model before. Answers are cards that were answered; true nuclei those that "
        "were accepted, redrawn or added, and the rest were declared none. `other` are settings that differ from the "
        "defaults. Seconds are those of fine-tuning with its checks; where the load exceeds the cores, others used the "
        "machine as well.",
        "",
        "| model | depth | seed | answers | true nuclei | corrected | speed | order | protected | other | PQ | AJI "
        "| F1 | Dice | DSB PQ | seconds | device, threads (load) | advice |",
        "|" + "---|" * 18,
    ]  # fmt: skip
    before = {_key(row): row["measured"] for row in rows if not row["nuclei"]}
    lines += [_line(row, before.get(_key(row))) for row in rows]
    return "\n".join(lines) + "\n"


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["checkpoint"], row["level"], row["seed"]


def _line(row: dict[str, Any], before: dict[str, Any] | None) -> str:
    here, there = (row["measured"][name] for name in ("other fields", "DSB validation"))
    old = (None, None) if before is None else (before["other fields"], before["DSB validation"])
    cells = [_cell(here, old[0], name) for name in ("pq", "aji", "f1_50", "dice")] + [_cell(there, old[1], "pq")]
    other = ", ".join(f"{key} {value}" for key, value in others(row).items())
    reviewed = row.get("reviewed", {})
    words = [
        row["checkpoint"][:8], row["level"], row["seed"],
        _true(reviewed) + reviewed["rejected"] if reviewed else 0, _true(reviewed), reviewed.get("corrections", ""),
        row.get("speed", ""), row.get("order", ""),
        {True: "yes", False: "no"}.get(row.get("protection"), ""), other, *cells, row.get("seconds", ""),
        f"{row['device']}, {row['threads']} ({row['load']:.1f})", row.get("verdict", {}).get("decision", "before"),
    ]  # fmt: skip
    return f"| {' | '.join(map(str, words))} |"


def others(row: dict[str, Any]) -> dict[str, Any]:
    """Settings that differ from the defaults."""
    return {key: value for key, value in row.items() if key not in _KNOWN}


def _true(reviewed: dict[str, int]) -> int:
    """Answers that left a nucleus: the others declared a proposal none."""
    return sum(reviewed.get(name, 0) for name in ("accepted", "redrawn", "added"))


def _cell(now: dict[str, Any], before: dict[str, Any] | None, name: str) -> str:
    if before is None or now is before:
        return f"{now[name]:.3f}"
    return f"{now[name]:.3f} ({now[name] - before[name]:+.3f})"
