"""What a tuned model says about itself, for a person: Markdown beside its file."""

from __future__ import annotations

from typing import Any

from napari_unetsharp.network.metadata import CheckpointMetadata


def card(name: str, metadata: CheckpointMetadata) -> str:
    """Markdown from a checkpoint's own metadata: parent, samples, settings, curves and verdict.

    Parameters
    ----------
    name : str
    metadata : CheckpointMetadata
        As `fine_tune` wrote it.
    """
    recipe, metrics = metadata.recipe, metadata.metrics
    verdict = metrics.get("verdict", {})
    lines = [
        f"# Model card: {name}", "",
        f"Tuned from {recipe.get('parent_name', 'another')} (SHA-256 `{metadata.parent}`), which stays as it was.",
        "", "## Verdict", "", str(verdict.get("words", "not measured")), "",
    ]  # fmt: skip
    lines += _levels(metrics.get("levels", {}), str(metrics.get("node", "")))
    lines += ["## Samples", "", f"{recipe.get('aside', '')}.", "", *_samples(recipe.get("samples", []))]
    lines += ["", "## Course", "", *_course(metadata.history), "", "## Settings", ""]
    settings = {key: value for key, value in recipe.get("settings", {}).items() if key != "samples"}
    facts = {key: recipe[key] for key in ("device", "threads", "seconds", "torch", "python") if key in recipe}
    lines += [f"- {key}: {value}" for key, value in (settings | facts).items()]
    lines += ["", "It is a research tool, not a medical device: check what it finds.", ""]
    return "\n".join(lines)


def _levels(levels: dict[str, Any], node: str) -> list[str]:
    """Every depth that is in the file, with a mark on those that got worse."""
    rows = []
    for name, changes in levels.items():
        here, check = changes["here"], changes["check"]
        worse = here["gain"] < 0 or check["gain"] < -0.01
        mark = "worse: check before use" if worse else "tuned" if name == node else ""
        cells = [f"{part['before']['score']:.3f} → {part['after']['score']:.3f}" for part in (here, check)]
        rows.append(f"| {name[2:]} | {' | '.join(cells)} | {mark} |")
    head = ["| depth | score on kept-aside nuclei | on check images | |", "|---|---|---|---|"]
    return [*head, *rows, ""] if rows else []


def _samples(samples: list[dict[str, Any]]) -> list[str]:
    head = ["| sample | part | nuclei | drawn by hand | SHA-256 |", "|---|---|---|---|---|"]
    return head + [
        f"| {row['name']} | {row['part']} | {row['nuclei']} | {row['edited']} | `{row['sha256'][:16]}` |"
        for row in samples
    ]


def _course(history: list[dict[str, Any]]) -> list[str]:
    """Loss and score by epoch; the last that is marked is the one in the file."""
    rows = ["| epoch | loss | score | |", "|---|---|---|---|"]
    for row in history:
        losses, score = row.get("losses", {}), row.get("score")
        told = f"{score:.3f}" if isinstance(score, float) else ""
        cells = str(row.get("epoch")), f"{losses.get('all', 0):.3f}", told, "best" if row.get("best") else ""
        rows.append(f"| {' | '.join(cells)} |")
    return rows
