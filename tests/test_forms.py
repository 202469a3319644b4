"""The committed table says which form runs; nothing is timed."""

from __future__ import annotations

import itertools
import json
from importlib.resources import files

import pytest
import torch

from napari_unetsharp.network.forms import TABLE, link_form, strip_form
from napari_unetsharp.network.grid import NODES

LINKS = sorted({(node.scale, link.factor) for node in NODES.values() for link in node.inputs if link.factor > 1})


@pytest.fixture(scope="module")
def table():
    return json.loads((files("napari_unetsharp.network") / TABLE).read_text(encoding="utf-8"))


def test_every_link_of_the_grid_was_measured(table):
    measured = {(row["scale"], row["factor"]) for row in table["links"] if row["device"] == "cpu"}
    assert set(LINKS) <= measured


@pytest.mark.parametrize(("scale", "factor"), LINKS)
def test_the_smallest_side_that_is_not_shorter_decides(table, scale, factor):
    rows = [row for row in table["links"] if (row["device"], row["dtype"], row["scale"], row["factor"])
            == ("cpu", "float32", scale, factor)]  # fmt: skip
    rows.sort(key=lambda row: row["side"])
    for row in rows:
        assert link_form("cpu", torch.float32, scale, factor, row["side"]) == row["form"]
    for before, after in itertools.pairwise(rows):
        assert link_form("cpu", torch.float32, scale, factor, before["side"] + 1) == after["form"]
    assert link_form("cpu", torch.float32, scale, factor, 10**6) == rows[-1]["form"]
    assert link_form("cpu", torch.float32, scale, factor, 1) == rows[0]["form"]


@pytest.mark.parametrize("side", [16, 100, 5000])
def test_what_was_never_measured_runs_as_float32_on_the_cpu_does(side):
    for device, dtype in (("xpu", torch.float32), ("cpu", torch.float64), ("mps", torch.float16)):
        assert link_form(device, dtype, 1, 4, side) == link_form("cpu", torch.float32, 1, 4, side)
    assert strip_form(torch.float64) == strip_form(torch.float32)


def test_large_maps_are_never_spread_by_one_matrix():
    """Its cost grows with the side."""
    for scale, factor in LINKS:
        assert link_form("cpu", torch.float32, scale, factor, 4096 // scale) != "dense"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rectangles_fit_the_grid(dtype):
    form = strip_form(dtype)
    assert form.rows % 16 == 0
    assert form.columns % 64 == 0
