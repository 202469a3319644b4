"""The grid against the paper's figure, written out node by node."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_unetsharp.network.grid import BRANCHES, NODES, branches_of_level, nodes_of_level

# Fig. 1 (d) and Eq. 1 by hand: the row up to the node, then the diagonal below it with its upsampling.
FIGURE = {
    "x00": "",
    "x10": "x00",
    "x20": "x10",
    "x30": "x20",
    "x40": "x30",
    "x01": "x00 x10*2",
    "x11": "x10 x20*2",
    "x21": "x20 x30*2",
    "x31": "x30 x40*2",
    "x02": "x00 x01 x11*2 x20*4",
    "x12": "x10 x11 x21*2 x30*4",
    "x22": "x20 x21 x31*2 x40*4",
    "x03": "x00 x01 x02 x12*2 x21*4 x30*8",
    "x13": "x10 x11 x12 x22*2 x31*4 x40*8",
    "x04": "x00 x01 x02 x03 x13*2 x22*4 x31*8 x40*16",
}
HEADS = {
    "x01": (1, 1, 1),
    "x02": (2, 1, 1),
    "x03": (3, 1, 1),
    "x04": (4, 1, 1),
    "x13": (4, 2, 3),
    "x22": (4, 4, 3),
    "x31": (4, 8, 3),
    "x40": (4, 16, 3),
}


def test_there_are_fifteen_nodes_below_the_diagonal():
    assert set(NODES) == {f"x{i}{j}" for i in range(5) for j in range(5) if i + j <= 4}
    assert all(node.name == name for name, node in NODES.items())


@pytest.mark.parametrize("name", FIGURE)
def test_each_node_reads_what_the_figure_shows_in_the_order_of_concatenation(name):
    read = [link.source if link.factor == 1 else f"{link.source}*{link.factor}" for link in NODES[name].inputs]
    assert " ".join(read) == FIGURE[name]


@pytest.mark.parametrize("name", FIGURE)
def test_an_upsampled_input_has_the_scale_of_its_node(name):
    node = NODES[name]
    for link in node.inputs:
        pooled = 2 if node.column == 0 else 1
        assert NODES[link.source].scale * pooled == node.scale * link.factor


def test_the_order_of_evaluation_never_reads_ahead():
    seen = set()
    for name, node in NODES.items():
        assert {link.source for link in node.inputs} <= seen
        seen.add(name)


@pytest.mark.parametrize(("level", "count"), [(1, 3), (2, 6), (3, 10), (4, 15)])
def test_a_level_keeps_the_nodes_up_to_its_diagonal(level, count):
    kept = nodes_of_level(level)
    assert set(kept) == {name for name in FIGURE if int(name[1]) + int(name[2]) <= level}
    assert len(kept) == count
    assert kept == tuple(NODES)[:count]


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_level_has_all_that_its_output_depends_on(level):
    needed, open_ends = set(), [f"x0{level}"]
    while open_ends:
        name = open_ends.pop()
        needed.add(name)
        open_ends += [word.split("*")[0] for word in FIGURE[name].split()]
    assert needed == set(nodes_of_level(level))


def test_the_eight_branches():
    assert {name: (b.level, b.scale, b.kernel) for name, b in BRANCHES.items()} == HEADS
    assert list(BRANCHES) == list(HEADS)
    assert all(branch.node == name for name, branch in BRANCHES.items())
    assert [branch.title for branch in BRANCHES.values()] == [
        "L1 · x01", "L2 · x02", "L3 · x03", "L4 · x04", "1/2 · x13", "1/4 · x22", "1/8 · x31", "1/16 · x40",
    ]  # fmt: skip


def test_deep_branches_come_with_the_last_level_only():
    assert branches_of_level(1) == ("x01",)
    assert branches_of_level(2) == ("x01", "x02")
    assert branches_of_level(3) == ("x01", "x02", "x03")
    assert branches_of_level(4) == tuple(HEADS)


@pytest.mark.parametrize("level", [0, 5, -1, 1.5, "4"])
@pytest.mark.parametrize("ask", [nodes_of_level, branches_of_level])
def test_other_levels_are_refused(ask, level):
    with pytest.raises(ValueError, match="1, 2, 3 or 4"):
        ask(level)


def test_the_grid_is_plain_data_without_torch():
    code = "import sys, napari_unetsharp.network.grid; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
