"""The grid of UNet#, written once, as plain data.

Fifteen nodes ``x{row}{column}`` with ``row + column <= 4`` (Qian et al., *UNet#*, Fig. 1 d and Eq. 1).
The same table is the network, the pruning rule, the names of the weights, the drawing in the dock
and the oracle of the tests. Nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass

DEPTH = 4
"""Number of poolings: rows and columns run from 0 to 4."""

STRIDE = 2**DEPTH
"""Sides of an image must be divisible by this (16) to pass the grid."""

LEVELS = (1, 2, 3, 4)
"""Pruning levels: level L keeps the nodes with row + column <= L."""

WIDTHS = (32, 64, 128, 256, 512)
"""Channels per row, as published."""


@dataclass(frozen=True)
class Link:
    """One input of a node.

    Attributes
    ----------
    source : str
        Name of the node that is read.
    factor : int
        How many times its map is upsampled (1: same row; 2, 4, 8, 16: rows below).
    """

    source: str
    factor: int


@dataclass(frozen=True)
class Node:
    """One convolution block of the grid.

    Attributes
    ----------
    row, column : int
        Depth (0 is full resolution) and position along the row.
    inputs : tuple of Link
        What the node reads, in the order of concatenation. Empty for x00, which reads the image;
        one pooled source for the rest of column 0.
    """

    row: int
    column: int
    inputs: tuple[Link, ...]

    @property
    def name(self) -> str:
        """Name in the paper's coordinates, such as ``x04``."""
        return f"x{self.row}{self.column}"

    @property
    def level(self) -> int:
        """Smallest pruning level that keeps this node (0 for x00)."""
        return self.row + self.column

    @property
    def scale(self) -> int:
        """Side of the image divided by the side of this node's map."""
        return int(2**self.row)


@dataclass(frozen=True)
class Branch:
    """One supervision branch: a head on a node.

    Attributes
    ----------
    node : str
        Name of the node that carries the head.
    level : int
        Pruning level that computes it (1 to 4; 4 for the deep branches).
    scale : int
        Side of the image divided by the side of the branch's own map (1, 2, 4, 8, 16).
    kernel : int
        Side of the head's convolution: 1 on the top row, 3 on the diagonal.
    """

    node: str
    level: int
    scale: int
    kernel: int

    @property
    def title(self) -> str:
        """Name of the layer on screen, such as ``L4 · x04`` or ``1/16 · x40``."""
        prefix = f"L{self.level}" if self.scale == 1 else f"1/{self.scale}"
        return f"{prefix} · {self.node}"


def _inputs(row: int, column: int) -> tuple[Link, ...]:
    """List the inputs of a node by the paper's one rule (Eq. 1, Fig. 1 d)."""
    if column == 0:
        return () if row == 0 else (Link(f"x{row - 1}0", 1),)
    same_row = tuple(Link(f"x{row}{j}", 1) for j in range(column))
    diagonal = tuple(Link(f"x{row + k}{column - k}", int(2**k)) for k in range(1, column + 1))
    return same_row + diagonal


NODES: dict[str, Node] = {
    f"x{level - j}{j}": Node(level - j, j, _inputs(level - j, j))
    for level in range(DEPTH + 1)
    for j in range(level + 1)
}
"""All nodes by name, in an order of evaluation whose first 3, 6, 10, 15 nodes are levels 1 to 4."""

BRANCHES: dict[str, Branch] = {f"x0{level}": Branch(f"x0{level}", level, 1, 1) for level in LEVELS} | {
    f"x{row}{DEPTH - row}": Branch(f"x{row}{DEPTH - row}", DEPTH, int(2**row), 3) for row in range(1, DEPTH + 1)
}
"""The eight supervision branches by node: x01 to x04, then x13, x22, x31, x40."""


def nodes_of_level(level: int) -> tuple[str, ...]:
    """Names of the nodes that a pruning level keeps, in order of evaluation.

    Parameters
    ----------
    level : int
        1 to 4.

    Returns
    -------
    tuple of str
        3, 6, 10 or 15 names.

    Raises
    ------
    ValueError
        If the level is none of 1 to 4.
    """
    if level not in LEVELS:
        raise ValueError(f"pruning level {level!r} does not exist; choose 1, 2, 3 or 4")
    return tuple(name for name, node in NODES.items() if node.level <= level)


def branches_of_level(level: int) -> tuple[str, ...]:
    """Branches that a pass at this level gives: x01 to x0L, and the deep ones at level 4.

    Parameters
    ----------
    level : int
        1 to 4.

    Returns
    -------
    tuple of str
        1, 2, 3 or 8 names, the top row first.
    """
    nodes_of_level(level)
    return tuple(name for name, branch in BRANCHES.items() if branch.level <= level)
