"""The table as text, for a document or a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_unetsharp.comparison.rows import Row


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes
    ----------
    name : str
        For a machine.
    title : str
        For a person, with the unit.
    words : str
        What it means.
    digits : int
        After the point.
    """

    name: str
    title: str
    words: str
    digits: int = 0


COLUMNS = (
    Column("nuclei", "Nuclei", "Nuclei of the candidate, where it was compared"),
    Column("found", "Found", "Nuclei of the truth that match one of the candidate (IoU of 0.5 or more)"),
    Column("missed", "Missed", "Nuclei of the truth without a match"),
    Column("false", "False", "Nuclei of the candidate without a match"),
    Column("split", "Split", "Nuclei of the truth that the candidate cuts apart"),
    Column("joined", "Joined", "Nuclei of the candidate that join several of the truth"),
    Column("dice", "Dice", "Of pixels: 2 |A and B| / (|A| + |B|)", 3),
    Column("iou", "IoU", "Of pixels: |A and B| / |A or B|", 3),
    Column("f1_50", "F1@0.5", "2 found / (2 found + missed + false)", 3),
    Column("pq", "PQ", "Panoptic quality: sum of the IoU of matches / (found + missed/2 + false/2)", 3),
    Column("aji", "AJI", "Aggregated Jaccard index (Kumar et al. 2017)", 3),
    Column("boundary_px", "Boundary px", "Mean distance between the outlines of matched nuclei, in pixels", 2),
    Column("boundary_um", "Boundary µm", "The same in micrometres", 2),
    Column("parameters", "Parameters", "Of the network pruned to this depth"),
    Column("gflop_per_mpx", "GFLOP/Mpx", "1e9 operations per 1e6 pixels at the model's scale; a multiply-add is 2", 0),
    Column("ms_per_mpx", "ms/Mpx", "Measured on this device", 0),
    Column("peak_mb", "Peak MB", "Memory on top of what was taken before, measured on this device", 0),
)
"""After the name. Those from dice to aji are pooled over all nuclei or pixels."""

COSTS = ("parameters", "gflop_per_mpx", "ms_per_mpx", "peak_mb")
"""Names of the columns that say what a candidate takes."""


def value_of(row: Row, column: str) -> float | None:
    """The number in a column; None where there is none."""
    if column in row.scores:
        value: float | None = row.scores[column]
    elif column == "peak_mb":
        value = None if row.peak_bytes is None else row.peak_bytes / 1e6
    else:
        value = getattr(row, column, None)
    return None if value is None or math.isnan(value) else value


def cell(row: Row, column: Column, with_interval: bool = False) -> str:
    """A number as text, such as ``0.812`` or ``0.812 (0.79–0.83)``; a dash where there is none."""
    value = value_of(row, column.name)
    if value is None:
        return "–"
    text = f"{value:,.{column.digits}f}"
    ends = row.intervals.get(column.name) if column.name != "found" else None
    if not with_interval or ends is None:
        return text
    return f"{text} ({ends[0]:.{column.digits}f}–{ends[1]:.{column.digits}f})"


def as_markdown(rows: Sequence[Row]) -> str:
    """A Markdown table with intervals, ending in a newline."""
    heads = ["Candidate", *(column.title for column in COLUMNS)]
    lines = [heads, ["---"] + ["---:"] * len(COLUMNS)]
    lines += [[row.name.replace("|", "\\|"), *(cell(row, column, True) for column in COLUMNS)] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_csv(rows: Sequence[Row]) -> str:
    """A table for a spreadsheet: full precision, an empty cell where there is no number.

    Columns end in ``_low`` and ``_high`` for 95 % intervals; ``found_share`` is the share of the truth's nuclei.
    """
    intervals = [column.name for column in COLUMNS if column.digits and "boundary" not in column.name]
    intervals += ["boundary_px", "boundary_um"]
    heads = ["candidate", "node", "model", "against", "corrected", "true_nuclei", *(column.name for column in COLUMNS)]
    heads += ["found_share_low", "found_share_high"]
    heads += [f"{name}_{end}" for name in intervals for end in ("low", "high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        cells = [value_of(row, column.name) for column in COLUMNS]
        ends = [end for name in ("found", *intervals) for end in row.intervals.get(name, ("", ""))]
        words = [_harmless(row.name), row.node, _harmless(row.model), _harmless(row.against), row.corrected]
        writer.writerow([*words, row.true_nuclei, *("" if value is None else value for value in cells), *ends])
    return text.getvalue()


def _harmless(words: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{words}" if words[:1] in ("=", "+", "-", "@") else words
