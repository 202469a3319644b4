"""The page that benchmarks/network.py writes."""

from __future__ import annotations

from statistics import median
from typing import Any

HEAD = """# The network against its plain form

Written by `python benchmarks/network.py`. Plain: upsample, concatenate, convolve (what the published code does),
channels-last, batch norm as it is. Ours: what the predictor runs. Both compute all branches of the level. Seconds are
medians, ratios medians over turns in which every way was called once. "Plain in tiles" runs 256 px tiles without any
margin: the least time in which the plain form covers the picture, not the same result. Memory is the peak above what
was there before, of a first call.
"""


def page(result: dict[str, Any]) -> str:
    """Markdown of all parts that were measured."""
    text = [HEAD]
    if "floor" in result:
        text.append(_floor(result["floor"]))
    if "inference" in result:
        text.append(_inference(result["inference"], result.get("floor")))
    if "training" in result:
        text.append(_training(result["training"]))
    return "\n".join(text)


def _machine(part: dict[str, Any]) -> str:
    named = part["machine"]
    clock = "seconds of wall time" if named["clock"] == "wall" else "seconds of processor time of one thread"
    return (
        f"Machine: {named['processor']}; {named['device']}; {named['threads']} threads, {clock}; "
        f"torch {named['torch']}; load at the start {named['load']}; commit {named['commit']}.\n"
    )


def _floor(part: dict[str, Any]) -> str:
    rates = part["rows"]["gflops"]
    lines = ["## What the machine allows\n", _machine(part), "3 x 3 convolutions of the grid's own shapes reach "]
    lines[-1] += ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in rates.items()) + ".\n"
    lines += ["| level | plain, MMAC/px | ours, MMAC/px |" + "".join(f" floor {name}, s/Mpx |" for name in rates)]
    lines.append("|---|---:|---:|" + "---:|" * len(rates))
    for level, counts in part["rows"]["multiply_adds"].items():
        floors = [_floor_seconds(counts["ours"], 1024, rate) for rate in rates.values()]
        cells = "".join(f" {seconds:.2f} |" for seconds in floors)
        lines.append(f"| {level} | {counts['plain'] / 1e6:.3f} | {counts['ours'] / 1e6:.3f} |{cells}")
    return "\n".join(lines) + "\n"


def _floor_seconds(multiply_adds: float, side: int, rate: float) -> float:
    return 2 * multiply_adds * side**2 / (rate * 1e9)


def _inference(part: dict[str, Any], floor: dict[str, Any] | None) -> str:
    lines = ["## Inference\n", _machine(part)]
    lines.append("| px | level | way | s | plain / this | in tiles / this | share of the floor | peak MB | of plain |")
    lines.append("|---:|---|---|---:|---:|---:|---:|---:|---:|")
    for row in part["rows"]:
        times, peaks = row["seconds"], row["peak_mb"]
        for name, seconds in times.items():
            against = " | ".join(_ratio(times, plain, name) for plain in ("plain float32", "plain in tiles float32"))
            lines.append(
                f"| {row['side']} | L{row['level']} | {name} | {median(seconds):.3f} | {against} | "
                f"{_share(row, name, median(seconds), part, floor)} | {_memory(peaks, name)} |"
            )
    lines.append("\nRatios are against the plain form in float32: of the whole picture, and in tiles.")
    return "\n".join(lines) + "\n"


def _ratio(times: dict[str, list[float]], plain: str, name: str) -> str:
    if plain not in times:
        return ""
    return f"{median(one / other for one, other in zip(times[plain], times[name], strict=True)):.2f}"


def _share(row: dict[str, Any], name: str, seconds: float, part: dict[str, Any], floor: dict[str, Any] | None) -> str:
    """How near ours comes to the floor; only where both were measured alike."""
    same = ("processor", "device", "threads", "clock")
    dtype = name.rsplit(maxsplit=1)[-1]
    if floor is None or any(floor["machine"][key] != part["machine"][key] for key in same) or name[:4] != "ours":
        return ""
    rows = floor["rows"]
    least = _floor_seconds(rows["multiply_adds"][f"L{row['level']}"]["ours"], row["side"], rows["gflops"][dtype])
    return f"{least / seconds:.0%}"


def _memory(peaks: dict[str, float | None], name: str) -> str:
    own, plain = peaks[name], peaks[f"plain {name.rsplit(maxsplit=1)[-1]}"]
    if own is None or not plain:
        return " | "
    return f"{own:.0f} | {own / plain:.2f}"


def _training(part: dict[str, Any]) -> str:
    lines = ["## Training step\n", _machine(part)]
    lines.append("Forward and backward of all eight branches, without the optimiser.\n")
    lines.append("| crops | px | plain, s | ours, s | ratio | plain, peak MB | ours, peak MB |")
    lines.append("|" + "---:|" * 7)
    for row in part["rows"]:
        times, peaks = row["seconds"], row["peak_mb"]
        plain, ours = times["plain float32"], times["ours float32"]
        ratio = median(one / other for one, other in zip(plain, ours, strict=True))
        memory = " | ".join("" if peak is None else f"{peak:.0f}" for peak in peaks.values())
        lines.append(
            f"| {row['crops']} | {row['side']} | {median(plain):.2f} | {median(ours):.2f} | {ratio:.2f} | {memory} |"
        )
    return "\n".join(lines) + "\n"
